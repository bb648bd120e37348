/* Inside guard/: a tier that is not what it should be, as an alarm. Pure. */
#pragma once

#include "guard/tier_unit.h"

struct tier_doubt { /* of one front's tiers; zeroed at first */
    bool of[SPEC_TIERS_MAX];
};
/* After a step of tier `t`. True: EVENT_ARM_DOUBT or EVENT_ARM_SOUND is to be told of the service.
 */
bool tier_doubt_note(struct tier_doubt *doubt, size_t t, enum tier_turn turn,
                     const struct tier_unit *unit, enum guard_event_kind *ret_kind);
