/* Placement, all the time: of what `watch:` names, and of tiers and arms beside it.
 *
 * Two things can show that a service fell to the CPU. The driver's list, on which whoever computes
 * on a card stands within seconds; and a probe's proof, which knows one that holds memory on the
 * card and computes elsewhere. Either is enough to say "not on the device"; that it is there only a
 * proof can say, so a listed service without one is "unproven".
 *
 * Not being listed is not computing elsewhere: a server that unloads by itself when it is idle
 * (Ollama, llama-swap), or has not been asked yet, is not listed either. So the list speaks against
 * who has computed while it was not there: an answer that was begun and ended so, or CPU time (work
 * that loads a model as well, so the card gets UNLISTED_NS after it). Answers in HAProxy's log say
 * nothing: a list of models is one too, and computes nothing.
 *
 * Rejected: taking what a start costs for computing. A runtime that is imported costs as much CPU
 * time as a small model that is loaded there.
 *
 * A proof holds for as long as its process is listed, although the driver had no sample of the last
 * short probe; what was unloaded has to be proven again.
 *
 * The bound of ten seconds is one on a process that came back elsewhere, and three of them are gone
 * before it is found at all. So who is new and has answered a probe whole, the driver listing it
 * neither before nor after, has PROBED_NS and no more: it has come up, whatever it loads. (While a
 * model loads a probe is refused or waits, and says nothing.) Later, UNLISTED_NS hold for it as
 * well: a server that loads for each request and unloads behind it is not listed at most looks.
 *
 * Invariant: a process is given its time to come up before anything is said of it, and who does
 * nothing is not said to do it in the wrong place. */
#include "guard/watch_place.h"

#include "base/clock.h"

#include <stdio.h>

static const int64_t UNLISTED_NS = 5 * NS_PER_S;
static const int64_t NEW_NS = 10 * NS_PER_S, PROBED_NS = 1500 * NS_PER_MS; /* two looks */
static const double work_least = 0.25; /* cores; health checks and an idle runtime take less */
static const int64_t WORKED_NS = NS_PER_S, RESTED_NS = 10 * NS_PER_S;

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

/* CPU time since the last look, where it was enough for work. A value that was read before, or of
 * the process before, tells nothing. */
static void take_work(struct guard_place *place, const struct guard_sighting *sighting)
{
    const int64_t spent_ns = sighting->cpu_ns - place->cpu_ns;
    const int64_t span_ns = sighting->cpu_at_ns - place->cpu_at_ns;
    if (sighting->cpu_at_ns < sighting->up_ns || span_ns <= 0)
        return;
    if (place->cpu_at_ns > 0 && (double)spent_ns >= work_least * (double)span_ns) {
        if (place->cpu_at_ns - place->worked_at_ns > RESTED_NS)
            place->worked_ns = 0; /* bursts of a whole night are no request */
        place->worked_ns += spent_ns;
        place->worked_at_ns = sighting->cpu_at_ns;
    }
    place->cpu_ns = sighting->cpu_ns;
    place->cpu_at_ns = sighting->cpu_at_ns;
}

static void take_computing(struct guard_place *place, const struct guard_sighting *sighting)
{
    if (place->unlisted_ns == 0)
        place->unlisted_ns = sighting->now_ns;
    take_work(place, sighting);
    if (place->computed_ns > 0)
        return;
    if (sighting->probed_ns >= place->unlisted_ns)
        place->computed_ns = sighting->probed_ns;
    else if (sighting->answered_ns >= place->unlisted_ns)
        place->computed_ns = sighting->answered_ns;
    else if (place->worked_ns >= WORKED_NS)
        place->computed_ns = sighting->now_ns;
}

static void forget_unlisted(struct guard_place *place, const struct guard_sighting *sighting)
{
    place->unlisted_ns = place->computed_ns = place->worked_ns = place->worked_at_ns = 0;
    place->cpu_ns = sighting->cpu_ns;
    place->cpu_at_ns = sighting->cpu_at_ns;
}

static int64_t latest(int64_t a_ns, int64_t b_ns)
{
    return a_ns > b_ns ? a_ns : b_ns;
}

/* Long enough to say that it is elsewhere, or unloaded? */
static bool is_unlisted_long(const struct guard_place *place, const struct guard_sighting *sighting)
{
    const int64_t since_ns = latest(place->unlisted_ns, place->computed_ns);
    const bool is_new = sighting->now_ns - sighting->up_ns < NEW_NS;
    if (is_new && sighting->probed_ns >= latest(place->unlisted_ns, sighting->up_ns) &&
        sighting->now_ns - latest(place->unlisted_ns, sighting->probed_ns) >= PROBED_NS)
        return true;
    return sighting->now_ns - latest(since_ns, sighting->up_ns) >= UNLISTED_NS;
}

static void take_listing(struct guard_place *place, const struct guard_sighting *sighting)
{
    if (sighting->listed != DEVICE_LISTED_NO) {
        if (place->unlisted_ns > 0 && !place->proven)
            place->evidence[0] = '\0';
        forget_unlisted(place, sighting);
        if (sighting->listed == DEVICE_LISTED_YES && place->word == PLACEMENT_CPU && !place->proven)
            place->word = PLACEMENT_UNPROVEN;
        return;
    }
    take_computing(place, sighting);
    const bool computed = place->computed_ns > 0;
    if (!is_unlisted_long(place, sighting) ||
        (!computed && (place->word == PLACEMENT_CPU || place->word == PLACEMENT_PARTIAL)))
        return;
    place->word = computed ? PLACEMENT_CPU : PLACEMENT_UNPROVEN;
    place->proven = false;
    snprintf(place->evidence, sizeof place->evidence,
             "the driver lists none of its processes on %s, %.0f s after it was up, and it has "
             "computed %s",
             sighting->device, (double)(sighting->now_ns - sighting->up_ns) / NS_PER_S,
             computed ? "meanwhile" : "nothing since: unloaded, or not asked yet");
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
