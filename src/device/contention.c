/* How much of the machine went to others during a window.
 *
 *     others = (busy + steal - own) / (window * cores)
 *
 * "Own" is what our trees and the declared neighbours used. Load average was rejected: it counts
 * our own waiting threads and lags by a minute. Pressure (PSI) tells that somebody waited, not for
 * whom, and our own services fill it when they share the box on purpose.
 *
 * How it can lie: interrupts are busy time of nobody's, so heavy network or disk work of our own
 * shows as a little of "others"; a process that came and went unseen counts as others, rightly; in
 * a container `busy` is the whole host's. Each counter is off by up to a tick per core or process,
 * about 0.1 % in a window of 10 s. */
#include "device/machine.h"

#include "base/clock.h"

/* Ticks make a share of slightly over one possible in a short window; more is not a share, but
 * counters that can't be believed (a core that went offline, a machine that was moved). */
static const double believable = 1.05;

double device_contention_ratio(const struct device_snapshot *before,
                               const struct device_snapshot *after, int64_t own_ns, int cores)
{
    double busy_ns = reading_value(after->busy_ns) - reading_value(before->busy_ns);
    double steal_ns = reading_value(after->steal_ns) - reading_value(before->steal_ns);
    double window_ns = (double)(after->at_ns - before->at_ns) * cores;
    if (!(window_ns > 0) || cores < 1 || !(busy_ns >= 0) || !(steal_ns >= 0) || own_ns < 0)
        return NAN;
    double others_ns = busy_ns - (double)own_ns;
    /* Our trees' ticks may run ahead of the machine's: that must not hide steal. */
    double ratio = ((others_ns > 0 ? others_ns : 0) + steal_ns) / window_ns;
    if (ratio > believable)
        return NAN;
    return ratio > 1 ? 1 : ratio;
}
