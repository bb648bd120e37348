/* Inside guard/: what is watched and was stopped on purpose, by guard's tiers or by a study. Pure
 * but for one small file, which is read only while the service is not up. */
#pragma once

#include "guard/find.h"
#include "guard/tiers.h"
#include "host/journal.h"

/* Of a tier: may its server be down without a word? */
enum guard_aside_tier {
    ASIDE_NO,
    ASIDE_STOPPED, /* where systemd says that it was stopped, and not that it failed: it was so when
                    * guard began, and may be an earlier guard's doing */
    ASIDE_YES,     /* guard stops it, has stopped it, or starts it again */
};
/* From one look to the next, by what the tier's power was then and is now. ASIDE_STOPPED at first.
 */
enum guard_aside_tier guard_aside_step(enum guard_aside_tier aside, enum guard_tier_power power);

struct guard_aside { /* of one service; zeroed at first */
    enum guard_aside_tier tier;
    const char *tier_name;      /* borrowed from the study */
    bool paused;                /* a study has stopped its unit, or just started it again */
    int64_t looked_ns;          /* when that was read; 0: never */
    int64_t over_ns;            /* since when the study is done with it, or gone; 0: it is not */
    bool orphaned;              /* it has not started it again, and its process is gone */
    struct host_process gone;   /* the last that was seen to be */
    int64_t gone_ns, within_ns; /* since when; how long the restorer may take to start the unit */
    char study[128];
};
/* "w" and "w.service" are one. */
bool guard_aside_same_unit(const char *a, const char *b);
/* The tier whose server this service's `watch:` names, where guard may stop it; NULL: none. */
const struct spec_tier *guard_aside_tier_of(const struct spec_study *study, size_t service);
/* Turns a service that is not up into one that was put aside (unknown, with the reason), where it
 * was. `folder`: of the study's results; NULL: no study is asked for. */
void guard_aside_look(struct guard_aside *aside, const struct spec_watch *watch, const char *folder,
                      int64_t ready_within_ns, int64_t now_ns, struct guard_life *life);
