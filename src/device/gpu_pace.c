/* An account per kind of call: it fills by its share of the time that passes, and each call takes
 * out what it cost. While there is something on it the call is made.
 *
 * A fixed period was rejected: what a call costs differs a hundredfold between drivers and kinds of
 * call, and is known only when it was made. A period from the smoothed cost was rejected as well:
 * two readings right behind each other, at a phase's end, are worth more than an even spacing. So
 * the account starts with, and keeps at most, enough for a burst.
 *
 * Invariant: calls take at most share * time + one burst + one call (but for `most_ns`). */
#include "device/gpu_pace.h"

static const double burst_ns = 50e6;

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
    return pace->balance_ns > 0 || (rule->most_ns > 0 && since_ns >= rule->most_ns);
}

void gpu_pace_paid(struct gpu_pace *pace, int64_t now_ns, int64_t cpu_ns)
{
    pace->called_ns = now_ns;
    pace->balance_ns -= (double)cpu_ns;
}
