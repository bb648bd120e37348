/* The place of a split's arms, from the driver's list, and what they hold.
 *
 * A service's `watch:` names one server, and its split has others beside it. One of them that was
 * restarted onto the CPU answers, slowly, and the test needs its requests to say so; a stopped arm,
 * or a shadow, has none. So each is asked for its place, by the same rule as a tier is
 * (tier_place.c), and it is said.
 *
 * It is said and not acted on, as when memory ends an arm: what an arm costs its clients is for the
 * test to say, by the requests that it fails or answers late, at the error that was promised.
 *
 * Rejected: telling it as the service's own placement. Its alarm ends when the watched server is
 * listed, and that is another one.
 *
 * Invariant: a driver that tells nothing, or is not open, says nothing about an arm. */
#include "guard/split_place.h"

#include "base/clock.h"
#include "device/device.h"

static const int64_t LOOK_EVERY_NS = 2 * NS_PER_S;

struct split_place split_place_new(void)
{
    return (struct split_place){.process = tier_process_new()};
}

void split_place_done(struct split_place *place)
{
    tier_process_forget(&place->process);
}

void split_place_follow(struct split_place *place)
{
    const bool owed = tier_place_is_wrong(&place->process.place);
    place->process.place = (struct tier_place){.seen.owed = owed};
    place->process.held_at_ns = place->looked_ns = 0;
}

static pid_t listener_of(void *owner)
{
    struct split_place *place = owner;
    return proc_listening(&place->listening, "/proc", place->port);
}

static bool is_watched(const struct spec_study *study, size_t service, int port)
{
    const struct spec_watch *watch = &study->guard->watches[service];
    return watch->kind != WATCH_NOTHING && watch->port == port;
}

void split_place_look(struct split_place *place, const struct guard_split_setup *setup, size_t arm,
                      int64_t now_ns)
{
    const struct spec_study *study = setup->study;
    const struct spec_front *front = &study->guard->fronts[setup->front];
    const int port = front->split.arms[arm].port;
    const bool placed = study->services[front->service].on == ON_GPU;
    const struct guard_place *seen = &place->process.place.seen;
    if (!setup->devices || is_watched(study, front->service, port) ||
        (place->looked_ns && now_ns - place->looked_ns < LOOK_EVERY_NS))
        return;
    const size_t d = spec_candidate_device(study, setup->candidate, front->service);
    const struct tier_process_look look = {.device = setup->devices[d],
                                           .device_name = study->devices[d],
                                           .find = listener_of,
                                           .owner = place,
                                           .place = placed};
    place->looked_ns = now_ns;
    place->port = port;
    if (!look.device || (placed && device_facts(look.device)->cores > 0))
        return;
    tier_process_weigh(&place->process, &look, now_ns);
    /* One that is down is HAProxy's to tell. Another process after one that was elsewhere: it has
     * to be seen there. */
    place->wrong =
        place->process.weighed_pid > 0 && placed && (seen->told || (place->wrong && seen->owed));
}
