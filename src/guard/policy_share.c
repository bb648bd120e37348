/* Several fronts on one device.
 *
 * A tier that comes up takes its memory over seconds or minutes. Until then the driver calls it
 * free, and a second front would start another into the same room: both would be right, and neither
 * would fit. So what a coming tier will still take is promised to it, and is nobody else's.
 *
 * Pressure is felt by all fronts at once. Would each give up its own largest tier, twice as much
 * would be stopped as is needed. So the front with the largest tier of all is asked first, and
 * while anything on the device is on its way down nobody else gives up anything: what comes back is
 * seen first. A front that could not do it (HAProxy refused the switch) leaves it to the next.
 *
 * Rejected: one policy over all fronts. Each choice would have to be told from all inputs of all
 * fronts, and a replay of one front from the others'.
 *
 * Invariant: on one device at most one tier is started and at most one stopped in a step; the sum
 * of what comes up leaves the reserve free, as far as memory was known when each was started. */
#include "guard/policy_share.h"

#include "guard/policy_fit.h"

#include <math.h>

size_t policy_share_next(const struct policy_seat *seats, size_t count)
{
    size_t next = count;
    double most = 0;
    for (size_t i = 0; i < count; i++) {
        const struct policy_seat *seat = &seats[i];
        if (seat->stepped)
            continue;
        double bytes = policy_victim_bytes(seat->front, seat->input, seat->sight, seat->current);
        if (next == count || bytes > most) {
            next = i;
            most = bytes;
        }
    }
    return next;
}

static double promised_of(const struct policy_seat *seat, size_t t)
{
    double held = seat->input->tiers[t].held_bytes;
    double left = policy_peak_bytes(&seat->front->tiers[t]) - (held > 0 ? held : 0);
    return left < 0 ? 0 : left; /* unknown stays unknown */
}

void policy_share_fill(struct policy_seat *seats, size_t count, size_t i)
{
    struct policy_input *input = seats[i].input;
    const size_t device = seats[i].devices[0];
    input->promised_bytes = 0;
    input->others_start = input->others_stop = false;
    for (size_t k = 0; k < count; k++)
        for (size_t t = 0; k != i && t < seats[k].front->count; t++) {
            const enum policy_power power = seats[k].input->tiers[t].power;
            const bool starts = seats[k].started == (int)t, stops = seats[k].stopped == (int)t;
            if (seats[k].devices[t] != device)
                continue;
            input->others_start |= starts;
            input->others_stop |= stops || power == POWER_GOING;
            if (starts || (power == POWER_COMING && !stops))
                input->promised_bytes += promised_of(&seats[k], t);
        }
}

double policy_share_reserve(const struct policy_seat *seats, size_t count, size_t device)
{
    double reserve = 0;
    for (size_t i = 0; i < count; i++)
        if (seats[i].devices[0] == device)
            reserve = fmax(reserve, seats[i].front->reserve_bytes);
    return reserve;
}
