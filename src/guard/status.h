/* What guard knows now, in one place that /status, /metrics and the terminal read: the last tick,
 * where each rule stands, HAProxy's servers, splits, and the last decisions. The daemon tells it;
 * it asks nobody. */
#pragma once

#include "base/buf.h"
#include "guard/judge.h"
#include "guard/tiers.h"
#include "guard/watch_requests.h"
#include "proxy/proxy.h"

enum { GUARD_RECENT_MAX = 100 }; /* decisions and events that are kept, each */

struct guard_status_arm {
    const char *name; /* borrowed from the study */
    int weight;       /* percent */
    uint64_t requests, errors;
    double p50_s, p95_s, p99_s; /* NaN: unknown */
    double wer_ratio;           /* on reference clips; NaN */
    double memory_bytes;        /* its server holds on its device; NaN */
    const char *placement;      /* a word of device_placement_names; NULL: nobody asks */
    bool over; /* its split was stopped or aborted: it may be down without a word */
};

struct guard_status_split { /* of one front */
    const char *verdict;    /* a word of a fixed set: "undecided", "harm", ...; static */
    char text[240];         /* its numbers in one line */
    char words[240];        /* word errors of its arms, or why there are none */
    struct guard_status_arm arms[SPEC_ARMS_MAX];
    size_t arm_count; /* 0: this front has no split */
};

/* A tier's or an arm's server that no `watch:` names. */
struct guard_server {
    size_t service, front;
    const char *name;               /* borrowed from the study */
    bool arm;                       /* else a tier */
    double up;                      /* 1 or 0; NaN: unknown, or put aside */
    double restarts, out_of_memory; /* since guard began; NaN */
    double memory_bytes;            /* held on its device; NaN */
    const char *placement;          /* a word of device_placement_names; NULL: nobody asks */
    char why[160];                  /* for `up` */
};
enum { GUARD_SERVERS_MAX = SPEC_FRONTS_MAX * SPEC_TIERS_MAX };

struct guard_status; /* opaque */
/* `study` and `judge` (NULL: none yet) are borrowed. */
struct guard_status *guard_status_new(const struct spec_study *study,
                                      const struct guard_judge *judge, bool dry_run);
struct guard_status *guard_status_free(struct guard_status *status); /* returns NULL */
AUTO_FN(struct guard_status, guard_status_free)

/* Each copies what it is given. */
void guard_status_tick(struct guard_status *status, const struct guard_tick *tick);
void guard_status_decision(struct guard_status *status, const struct guard_decision *decision);
void guard_status_proxy(struct guard_status *status, const struct proxy_view *view);
/* `tiers` and `text` as guard_tiers_standing() gives them. */
void guard_status_tiers(struct guard_status *status, size_t front,
                        const struct guard_tier_standing *tiers, size_t count, const char *text);
void guard_status_split(struct guard_status *status, size_t front,
                        const struct guard_status_split *split);

/* After the tiers and splits of the same moment: what those know of a server's memory and place is
 * taken where it is not given here. At most GUARD_SERVERS_MAX. */
void guard_status_servers(struct guard_status *status, const struct guard_server *servers,
                          size_t count);

/* How a service's requests ended, as one source has seen it; requests and probe alone. */
void guard_status_kinds(struct guard_status *status, size_t service, enum guard_source source,
                        const struct guard_kinds *kinds);
/* A word of that source; NULL: it has no such kind, or it is none of an error. */
const char *guard_kind_name(enum guard_source source, size_t kind);

/* Steady time since the last tick; CLOCK_NEVER: there was none. Over three times `every` (and 5 s)
 * guard is not well. */
int64_t guard_status_age_ns(const struct guard_status *status, int64_t now_ns);
bool guard_status_well(const struct guard_status *status, int64_t now_ns);

/* {"format":"spica guard status","version":1,...}; unknown is null. */
void guard_status_write_json(const struct guard_status *status, struct buf *buf);

enum guard_exposition { EXPOSE_OPENMETRICS, EXPOSE_TEXT }; /* 1.0.0; Prometheus text 0.0.4 */
/* openmetrics.c. What is unknown has no sample: NaN would spoil sums, 0 would lie. */
void guard_openmetrics_write(const struct guard_status *status, enum guard_exposition form,
                             struct buf *buf);
