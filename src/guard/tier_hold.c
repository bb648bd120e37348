/* Who else has a hand on tiers' units.
 *
 * A study that pauses a tier has freed its memory, and seems to need nobody: the policy would start
 * it again into the measurement, or another into that room. A promotion writes units' files and
 * restarts them one after another; a tier that is started or stopped between two of its steps is
 * not what it then verifies. So nothing of the paused tier's front is started or stopped for as
 * long as the pause lasts, and of no front during a promotion, whose steps may be anybody's units.
 * Requests are moved as ever.
 *
 * The pause is its journal's word, while its process lives; of one that was killed the restorer
 * starts the units, and has as long as they may take together. After that nobody will, and a front
 * without servers is worse. A promotion is under way while its process holds the study's lock; one
 * that was broken off bars nothing, whatever its journal says, since nobody may come for days.
 *
 * Both are asked each tick (some 40 us together), after HAProxy was: it takes a tier's server as
 * down at the first request that is refused, and by then the pause, or the lock, is there.
 *
 * Rejected: only those units that the journal names. Another tier of the front would be started
 * into the room that the study measures in. */
#include "guard/tier_hold.h"

#include "base/auto.h"
#include "guard/watch_aside.h"

#include <stdlib.h>
#include <string.h>

static int64_t restorers_ns(const struct host_journal *pause)
{
    int64_t within_ns = 0;
    for (size_t i = 0; i < pause->count; i++)
        within_ns += pause->units[i].was_up ? pause->units[i].start_within_ns : 0;
    return within_ns;
}

void tier_hold_look(struct tier_hold *hold, const char *folder, int64_t now_ns)
{
    struct err ignored = ERR_INIT; /* what can't be read is the pause's to say */
    bool found = false;
    if (!folder)
        return;
    AUTO(free) char *path = host_journal_path(folder);
    hold->paused =
        host_journal_read(path, &found, &hold->pause, &ignored) && found && !hold->pause.done;
    if (!hold->paused || host_process_alive(&hold->pause.owner))
        return;
    if (!host_process_same(&hold->pause.owner, &hold->gone)) {
        hold->gone = hold->pause.owner;
        hold->gone_ns = now_ns;
    }
    hold->paused = now_ns - hold->gone_ns <= restorers_ns(&hold->pause);
}

bool tier_hold_paused(const struct tier_hold *hold, const struct spec_tier *tier)
{
    if (!hold->paused || !tier->unit || tier->user != (hold->pause.scope == HOST_USER))
        return false;
    for (size_t i = 0; i < hold->pause.count; i++)
        if (guard_aside_same_unit(hold->pause.units[i].name, tier->unit))
            return true;
    return false;
}

void tier_hold_words(const struct tier_hold *hold, const struct spec_front *front, char *ret_words,
                     size_t size)
{
    snprintf(ret_words, size, "%s", hold->promoting ? "a promotion is under way" : "");
    for (size_t t = 0; t < front->tier_count && !ret_words[0]; t++)
        if (tier_hold_paused(hold, &front->tiers[t]))
            snprintf(ret_words, size, "the study %.40s has stopped %.60s for a while",
                     hold->pause.study, front->tiers[t].name);
}
