/* What guard may know of production, by name: "stt.latency.p95", "gpu0.memory.free". The names
 * rules use, ticks hold and /metrics shows. A table; nothing is measured here. */
#pragma once

#include "base/arena.h"
#include "base/err.h"
#include "spec/expr.h"

#include <stddef.h>
#include <stdint.h>

struct spec_study;

/* Where a figure comes from; shown beside it. */
enum guard_source {
    SOURCE_NONE,     /* a gauge of the machine: memory, placement, restarts */
    SOURCE_REQUESTS, /* real requests, as HAProxy logged them */
    SOURCE_ENGINE,   /* the engine's own /metrics */
    SOURCE_PROBE,    /* guard's own gentle requests */
    SOURCE_COUNT_
};
extern const char *const guard_source_names[SOURCE_COUNT_]; /* "", "requests", "engine", "probe" */

enum guard_scope { SCOPE_SERVICE, SCOPE_DEVICE, SCOPE_PROXY, SCOPE_GUARD };

enum guard_metric {
    /* of a service, from requests, engine and probe */
    GUARD_LATENCY, /* s, whole answer; quantiles p50 p95 p99 */
    GUARD_FIRST,   /* s, to the first token or byte of the answer; quantiles */
    GUARD_QUEUE,   /* s, waited before a server took it; quantiles */
    GUARD_RATE,    /* requests/s */
    GUARD_ERRORS,  /* ratio of requests */
    GUARD_IN_FLIGHT,
    GUARD_WAITING, /* queued requests now */
    /* of a service, of the machine */
    GUARD_UP,        /* truth */
    GUARD_PLACEMENT, /* text: "gpu", "cpu", "partial", "unproven" */
    GUARD_MEMORY,    /* bytes on its device */
    GUARD_GROWTH,    /* bytes/s of that, trend */
    GUARD_RESTARTS,  /* since guard began */
    GUARD_OOM,       /* likewise, of any kind */
    GUARD_SPARE,     /* requests/s or clients that still fit, against the study's capacity */
    GUARD_TIER,      /* text: its current tier */
    /* of a device */
    GUARD_DEVICE_USED,
    GUARD_DEVICE_FREE,
    GUARD_DEVICE_FULL_IN, /* s until it is full at the present trend; unknown when it does not grow
                           */
    GUARD_DEVICE_BUSY,    /* ratio */
    GUARD_DEVICE_THROTTLED, /* truth */
    GUARD_DEVICE_FAULT,     /* text: "none", "lost", "xid", "mismatch" */
    /* of HAProxy */
    GUARD_PROXY_UP,
    /* of guard itself */
    GUARD_DISK_FREE,          /* bytes, where it records */
    GUARD_CHANGED_VERSIONS,   /* truth: production is not what the study measured */
    GUARD_CHANGED_NEIGHBOURS, /* likewise */
    GUARD_CHANGED_LOAD,       /* likewise */
    GUARD_METRIC_COUNT_
};

struct guard_metric_ref {
    enum guard_metric metric;
    enum guard_source source; /* SOURCE_NONE where the metric has none. For a metric that has, the
                               * ref without one means the best there is now, as the metric's info
                               * says */
    size_t index;             /* of the service or device */
    double quantile;          /* of a metric with quantiles; else NaN */
    const char *const *words; /* of a text: all that it may be, ends with NULL; else NULL */
    const char *name;         /* "stt.latency.p95", "stt.probe.latency.p95", "gpu0.memory.free",
                               * "proxy.up"; in the study's arena */
};

struct guard_metric_info {
    const char *word; /* "latency", "memory.free" */
    enum guard_scope scope;
    enum expr_unit unit;
    bool sources, quantiles; /* has one ref for each */
    /* What a ref without a source means: the first of these that saw any; SOURCE_NONE: no more. */
    enum guard_source best[SOURCE_COUNT_ - 1];
    bool largest;     /* or the largest of them: each sees but a part */
    const char *help; /* a phrase, for /metrics and the manual */
};
extern const struct guard_metric_info guard_metric_infos[GUARD_METRIC_COUNT_];

/* All refs of a study, in a fixed order: services in file order, each metric, each source, each
 * quantile; devices; proxy; guard. In the arena. Words of tiers come from the study's guard. */
const struct guard_metric_ref *guard_metric_refs(const struct spec_study *study,
                                                 struct arena *arena, size_t *ret_count);
/* Index into refs, or -1. */
long guard_metric_find(const struct guard_metric_ref *refs, size_t count, const char *name);
