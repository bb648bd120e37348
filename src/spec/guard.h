/* What is watched in production and what may be done there: the study file's `guard:`. Borrowed
 * from the study's arena. No measurement depends on it: the study's digest leaves it out. Durations
 * are ns, sizes bytes, shares ratios; what is not given is NULL, 0 or NaN as said. */
#pragma once

#include "spec/front.h"
#include "spec/guard_metric.h"
#include "spec/service.h"

enum {
    SPEC_RULES_MAX = 64,
    SPEC_PROBE_MOST_RPS = 10,
};

/* How a live service is found. Not given in `watch:`: its unit and port of `production:`. */
enum spec_watch_kind { WATCH_NOTHING, WATCH_UNIT, WATCH_PID, WATCH_CONTAINER, WATCH_PORT };
struct spec_watch {
    enum spec_watch_kind kind; /* WATCH_NOTHING: this service is not watched */
    const char *unit;          /* full name */
    bool user;                 /* of the user's manager */
    int64_t pid;
    const char *container;    /* name or id, found by its cgroup */
    int port;                 /* 0: unknown: it gets no probes, its engine's metrics are not read */
    const char *metrics_path; /* of the engine's own metrics; NULL: its engine's, if it has any */
    double probe_rps;         /* 0: none */
    int64_t probe_within_ns;  /* a probe without an answer by then: it hangs */
    struct spec_place place;
};

enum spec_action {
    ACTION_NOTIFY,
    ACTION_TIER_DOWN,
    ACTION_TIER_UP,
    ACTION_RESTART,
    ACTION_ROLLBACK,
    ACTION_RESTUDY,
    ACTION_COUNT_
};
extern const char *const spec_action_names[ACTION_COUNT_]; /* "notify", "tier-down", ... */

struct spec_guard_rule {
    const char *name;
    const struct expr *when;  /* variables are indices into spec_guard.metrics */
    const struct expr *until; /* it is over when this holds; NULL: when `when` does not */
    int64_t for_ns;           /* `when` must hold so long without a break */
    int64_t clear_ns;         /* and `until` so long; default for_ns */
    int64_t cool_down_ns;     /* after it was over it does not act again so soon */
    uint64_t at_least;        /* fewer values behind a percentile: no data */
    uint32_t actions;         /* bit per spec_action */
    int service;              /* whom restart and tiers concern: the one that `when` names; -1: none
                               * or several (then such an action is refused on loading) */
    struct spec_place place;
};

struct spec_guard_limit { /* of one action */
    bool allowed;         /* named under `act:`: all are off until they are */
    int per_hour;
    int64_t back_off_ns; /* restart: doubles from this after each one, up to an hour */
};

struct spec_restudy_hours { /* minutes after midnight, local time; from may be after to */
    bool given;
    int from_min, to_min;
    const char *pause; /* units that it stops meanwhile, "a,b"; NULL: none */
    bool pause_user;   /* they are the user's manager's */
};

struct spec_guard {
    bool given;
    int64_t every_ns;                       /* default 1 s */
    int64_t window_ns;                      /* of percentiles; default 1 min */
    struct spec_watch *watches;             /* one for each service */
    const struct guard_metric_ref *metrics; /* everything that may be known: see guard_metric.h */
    size_t metric_count;
    struct spec_guard_rule *rules;
    size_t rule_count;
    struct spec_guard_limit limits[ACTION_COUNT_];
    struct spec_setting *notify; /* a command, word by word; {rule}, {state}, {text} in it; NULL */
    size_t notify_count;
    struct spec_restudy_hours restudy;
    const char *listen_address; /* NULL: nothing is served */
    int listen_port;
    const char *token_env; /* environment variable that holds the token; NULL: none */
    int64_t record_bytes;  /* most that recordings may take on disk; default 64 MiB; 0: none */
    struct spec_proxy proxy;
    struct spec_front *fronts;
    size_t front_count;
};
