/* The place of a tier's server, from the driver's list.
 *
 * A tier proves its place with its first request. After that it may still move: restarted by
 * systemd, by its own supervisor within one unit, or by hand where it has none; and a tier that
 * takes no requests now is the one that the next overload is sent to. So it is looked at for as
 * long as it is on, by the same rule as the service's own (watch_place.c): who does nothing is not
 * said to do it in the wrong place.
 *
 * Rejected: a probe of each tier (they would disturb the one that serves, on the same card; and one
 * that has unloaded would be loaded again and again).
 *
 * Invariant: a process is given its time to come up before anything is said of it. */
#include "guard/tier_place.h"

static const struct device_proof proven = {.placement = PLACEMENT_GPU};

void tier_place_look(struct tier_place *place, const struct proc_stat *main,
                     const struct device_usage *usage, const char *device, int64_t now_ns)
{
    const bool another = main->pid != place->pid || main->start_ticks != place->start_ticks;
    if (another) {
        place->pid = main->pid;
        place->start_ticks = main->start_ticks;
        place->since_ns = now_ns;
    }
    const struct guard_sighting sighting = {.now_ns = now_ns,
                                            .up_ns = place->since_ns,
                                            .another = another,
                                            .listed = usage->listed,
                                            .cpu_ns = usage->cpu_ns,
                                            .cpu_at_ns = now_ns,
                                            .device = device,
                                            .proof =
                                                main->pid == place->proven_pid ? &proven : NULL};
    place->proven_pid = 0;
    const struct guard_place_turn turn = guard_place_step(&place->seen, &sighting);
    place->lost = turn.on_cpu || (place->lost && !turn.placed && !another);
}

bool tier_place_is_wrong(const struct tier_place *place)
{
    return place->seen.told || place->seen.owed;
}
