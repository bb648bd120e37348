/* An account per kind of call: it fills by its share of the time that passes, and each call takes
 * out what it cost. While there is something on it the call is made.
 *
 * A fixed period was rejected: what a call costs differs a hundredfold between drivers and kinds of
 * call, and is known only when it was made. A period from the smoothed cost was rejected as well:
 * two readings right behind each other, at a phase's end, are worth more than an even spacing. So
 * the account starts with, and keeps at most, enough for a burst.
 *
 * A call that blocks takes no CPU time and holds up the reader: time that passed counts like CPU
 * time. But it may have passed because this machine was asleep, or others had the cores, so for
 * that alone a call is left out for a minute at most; one that is due by `most_ns` waits until ten
 * times its last length has passed. A call that never comes back is not caught here.
 *
 * Invariant: calls take CPU time of at most share * time + one burst + one call (but for
 * `most_ns`). */
#include "device/gpu_pace.h"

#include <math.h>

static const double burst_ns = 50e6;
static const double wall_for_ns = 60e9; /* the longest that wall time alone leaves a call out */
static const int64_t wall_times = 10;

bool gpu_pace_due(struct gpu_pace *pace, const struct gpu_pace_rule *rule, int64_t now_ns)
{
    if (pace->at_ns == 0)
        pace->balance_ns = burst_ns;
    else if (now_ns > pace->at_ns)
        pace->balance_ns += rule->share * (double)(now_ns - pace->at_ns);
    if (pace->balance_ns > burst_ns)
        pace->balance_ns = burst_ns;
    pace->at_ns = now_ns;
    const int64_t since_ns = now_ns - pace->called_ns;
    if (pace->called_ns == 0)
        return true;
    if (since_ns < rule->least_ns)
        return false;
    const bool overdue = rule->most_ns > 0 && since_ns >= rule->most_ns;
    return pace->balance_ns > 0 || (overdue && since_ns / wall_times >= pace->wall_ns);
}

void gpu_pace_paid(struct gpu_pace *pace, const struct gpu_pace_rule *rule, int64_t now_ns,
                   int64_t cpu_ns, int64_t wall_ns)
{
    const double floor_ns = -rule->share * wall_for_ns;
    const double by_cpu_ns = pace->balance_ns - (double)cpu_ns;
    const double by_wall_ns = pace->balance_ns - (double)wall_ns;
    pace->called_ns = now_ns;
    pace->wall_ns =
        wall_ns < (int64_t)wall_for_ns / wall_times ? wall_ns : (int64_t)wall_for_ns / wall_times;
    pace->balance_ns = fmin(by_cpu_ns, fmax(by_wall_ns, floor_ns));
}
