/* The place of a split's arms, from the driver's list.
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

static const char proc_root[] = "/proc";
static const int64_t LOOK_EVERY_NS = 2 * NS_PER_S;

static void forget(struct split_place *place)
{
    promote_alive_done(&place->alive);
    place->alive = (struct promote_alive){0};
}

void split_place_done(struct split_place *place)
{
    forget(place);
}

void split_place_follow(struct split_place *place)
{
    const bool owed = tier_place_is_wrong(&place->place);
    place->place = (struct tier_place){.seen.owed = owed};
    place->looked_ns = 0;
}

/* True once its tree can be asked about. */
static bool follow(struct split_place *place, int port)
{
    struct proc_stat now;
    const pid_t pid = proc_listener(proc_root, port);
    if (pid <= 0 || !proc_read_stat(proc_root, pid, &now) || proc_is_dead(&now)) {
        forget(place);
        return false;
    }
    if (place->alive.anchor > 0 && place->alive.main.pid == pid &&
        place->alive.main.start_ticks == now.start_ticks)
        return true;
    forget(place);
    place->alive.main = now;
    return promote_alive_anchor(&place->alive);
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
    if (!setup->devices || study->services[front->service].on != ON_GPU ||
        is_watched(study, front->service, port) ||
        (place->looked_ns && now_ns - place->looked_ns < LOOK_EVERY_NS))
        return;
    const size_t d = spec_candidate_device(study, setup->candidate, front->service);
    struct device *device = setup->devices[d];
    struct device_usage usage;
    place->looked_ns = now_ns;
    if (!device || device_facts(device)->cores > 0)
        return;
    if (!follow(place, port)) {
        place->wrong = false; /* it is down: HAProxy says that */
        return;
    }
    device_usage(device, place->alive.anchor, &usage);
    tier_place_look(&place->place, &place->alive.main, &usage, study->devices[d], now_ns);
    /* Another process after one that was elsewhere: it has to be seen there. */
    place->wrong = place->place.seen.told || (place->wrong && place->place.seen.owed);
}
