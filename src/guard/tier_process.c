/* The process behind a tier.
 *
 * A driver and /proc are asked for a whole tree, whose root is an idle process of ours
 * (promote/alive.h); so there is one for as long as the same process is seen, and another for the
 * next. What it holds is what the policy counts with, where it works is for tier_place.c.
 *
 * Rejected: a look at each tick. On a CPU box the memory of a tree is its PSS, some 14 ms of CPU
 * per GiB.
 *
 * Invariant: figures are of a process that lived at that moment, else unknown. */
#include "guard/tier_process.h"

#include "base/clock.h"
#include "device/device.h"

#include <math.h>

static const int64_t HELD_EVERY_NS = 2 * NS_PER_S, HELD_EVERY_CPU_NS = 30 * NS_PER_S;

struct tier_process tier_process_new(void)
{
    return (struct tier_process){.held_bytes = NAN};
}

void tier_process_forget(struct tier_process *process)
{
    promote_alive_done(&process->alive);
    process->alive = (struct promote_alive){0};
    process->held_bytes = NAN;
    process->held_at_ns = 0;
}

bool tier_process_follow(struct tier_process *process, pid_t pid)
{
    struct promote_alive *alive = &process->alive;
    struct proc_stat now;
    if (pid <= 0 || !proc_read_stat("/proc", pid, &now) || proc_is_dead(&now)) {
        tier_process_forget(process);
        return false;
    }
    if (alive->anchor > 0 && alive->main.pid == pid && alive->main.start_ticks == now.start_ticks)
        return true;
    tier_process_forget(process);
    alive->main = now;
    return promote_alive_anchor(alive);
}

void tier_process_weigh(struct tier_process *process, const struct tier_process_look *look,
                        int64_t now_ns)
{
    struct device_usage usage;
    const bool on_gpu = look->device && device_facts(look->device)->cores == 0;
    const int64_t every_ns = on_gpu ? HELD_EVERY_NS : HELD_EVERY_CPU_NS;
    if (!look->device || (process->held_at_ns && now_ns - process->held_at_ns < every_ns))
        return;
    const bool lives = tier_process_follow(process, look->find(look->owner));
    const pid_t pid = lives ? process->alive.main.pid : 0;
    if (pid != process->weighed_pid)
        process->changed_ns = now_ns;
    process->weighed_pid = pid;
    if (!lives)
        return;
    process->held_at_ns = now_ns;
    device_usage(look->device, process->alive.anchor, &usage);
    process->held_bytes = reading_value(usage.memory_bytes);
    if (on_gpu && look->place)
        tier_place_look(&process->place, &process->alive.main, &usage, look->device_name, now_ns);
}
