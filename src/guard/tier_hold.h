/* Inside guard/: units of tiers that others have spoken for: a study that has stopped them for a
 * while (host/journal.h): nothing of that front is started or stopped; or a promotion: of no front.
 */
#pragma once

#include "host/journal.h"
#include "spec/guard.h"

struct tier_hold {  /* of all fronts; zeroed at first */
    bool promoting; /* a promotion, or its undoing, is under way */
    bool paused;    /* `pause` names units that are stopped */
    struct host_journal pause;
    struct host_process gone; /* the last study that was seen to be */
    int64_t gone_ns;
};
/* Once a tick. `folder`: of the study's results; NULL: no study is asked for. */
void tier_hold_look(struct tier_hold *hold, const char *folder, int64_t now_ns);
/* A study has stopped it, and not yet started it again. */
bool tier_hold_paused(const struct tier_hold *hold, const struct spec_tier *tier);
/* Who has spoken for any of the front's tiers, in words; "": nobody. */
void tier_hold_words(const struct tier_hold *hold, const struct spec_front *front, char *ret_words,
                     size_t size);
