/* Placement, all the time.
 *
 * Two things can show that a service fell to the CPU. The driver's list: whoever computes on a card
 * is listed there within seconds of listening on its port. And a probe's proof, which knows one
 * that holds memory on the card and computes elsewhere. Either is enough to say "not on the
 * device"; that it is there only a proof can say, so a listed service without one is "unproven".
 *
 * A proof holds for its process: what is listed and was proven stays "gpu" although the driver had
 * no sample of the last short probe. Not listed for UNLISTED_NS, counted from the moment that it is
 * up: a server may open its port a moment before it takes its memory. With a look each second that
 * is said well within ten seconds of a restart. */
#include "guard/watch_place.h"

#include "base/clock.h"

#include <stdio.h>

static const int64_t UNLISTED_NS = 5 * NS_PER_S;

static void begin_anew(struct guard_place *place)
{
    *place = (struct guard_place){.owed = place->told || place->owed};
}

static void take_proof(struct guard_place *place, const struct device_proof *proof)
{
    if (proof->placement == PLACEMENT_UNPROVEN)
        return;
    place->word = proof->placement;
    place->proven = true;
    snprintf(place->evidence, sizeof place->evidence, "%.110s%s%.110s", proof->evidence[0],
             proof->evidence[1][0] ? "; " : "", proof->evidence[1]);
}

static void take_listing(struct guard_place *place, const struct guard_sighting *sighting)
{
    if (sighting->listed != DEVICE_LISTED_NO) {
        place->unlisted_ns = 0;
        if (sighting->listed == DEVICE_LISTED_YES && place->word == PLACEMENT_CPU && !place->proven)
            place->word = PLACEMENT_UNPROVEN;
        return;
    }
    if (place->unlisted_ns == 0)
        place->unlisted_ns = sighting->now_ns;
    int64_t since_ns = place->unlisted_ns > sighting->up_ns ? place->unlisted_ns : sighting->up_ns;
    if (sighting->now_ns - since_ns < UNLISTED_NS)
        return;
    place->word = PLACEMENT_CPU;
    place->proven = false;
    snprintf(place->evidence, sizeof place->evidence,
             "the driver lists none of its processes on %s, %.0f s after it was up",
             sighting->device, (double)(sighting->now_ns - sighting->up_ns) / NS_PER_S);
}

struct guard_place_turn guard_place_step(struct guard_place *place,
                                         const struct guard_sighting *sighting)
{
    struct guard_place_turn turn = {0};
    if (sighting->another)
        begin_anew(place);
    if (sighting->up_ns == 0) {
        begin_anew(place);
        return turn;
    }
    take_listing(place, sighting);
    if (sighting->proof)
        take_proof(place, sighting->proof);
    bool elsewhere = place->word == PLACEMENT_CPU || place->word == PLACEMENT_PARTIAL;
    bool stays =
        sighting->listed == DEVICE_LISTED_YES && sighting->now_ns - sighting->up_ns >= UNLISTED_NS;
    bool there = place->word == PLACEMENT_GPU || (place->word == PLACEMENT_UNPROVEN && stays);
    turn.on_cpu = elsewhere && !place->told;
    turn.placed = there && (place->told || place->owed);
    if (turn.on_cpu)
        place->told = true;
    if (turn.placed)
        place->told = place->owed = false;
    return turn;
}
