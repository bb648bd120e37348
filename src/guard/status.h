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
};

struct guard_status_split { /* of one front */
    const char *verdict;    /* a word of a fixed set: "undecided", "harm", ...; static */
    char text[240];         /* its numbers in one line */
    char words[240];        /* word errors of its arms, or why there are none */
    struct guard_status_arm arms[SPEC_ARMS_MAX];
    size_t arm_count; /* 0: this front has no split */
};

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
