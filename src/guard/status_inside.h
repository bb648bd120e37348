/* What a status holds; for status*.c and openmetrics.c alone. */
#pragma once

#include "guard/status.h"

enum { STATUS_RULES_MAX = 160 }; /* the file's and the built-in ones */

struct status_event {
    int64_t wall_us;
    struct guard_event event;
};

struct status_rule {
    char name[128];
    int service; /* or -1 */
    uint64_t alarms;
};

struct status_kinds {
    bool told;
    struct guard_kinds kinds;
};

struct status_front {
    struct guard_tier_standing tiers[SPEC_TIERS_MAX];
    size_t tier_count;
    char text[512];
    struct guard_status_split split;
};

struct guard_status {
    const struct spec_study *study;  /* borrowed */
    const struct guard_judge *judge; /* borrowed, or NULL */
    bool dry_run;
    int64_t begun_wall_us;

    struct guard_value *values; /* owned: as many as the study's refs; all unknown before a tick */
    uint64_t ticks;
    int64_t tick_ns, tick_wall_us;

    /* Rings: the newest at (total - 1) % GUARD_RECENT_MAX. */
    struct guard_decision *decisions; /* owned; `rule` is borrowed from the study or static */
    struct status_event *events;      /* owned */
    uint64_t decision_total, event_total, events_lost;

    uint64_t event_counts[EVENT_COUNT_];
    uint64_t begun[ACTION_COUNT_], withheld[ACTION_COUNT_];
    struct status_rule rules[STATUS_RULES_MAX];
    size_t rule_count;

    struct status_kinds *kinds; /* owned: for each service, each source */

    bool has_proxy;
    struct proxy_view proxy;
    struct status_front fronts[SPEC_FRONTS_MAX];
    struct guard_server servers[GUARD_SERVERS_MAX];
    size_t server_count;
};

/* ---- status_servers.c ---- */
json_t *guard_status_servers_json(const struct guard_status *status);

/* ---- status_kinds.c ---- */
json_t *guard_status_kinds_json(const struct guard_status *status);
