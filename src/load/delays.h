/* How late something of ours came, many times over: sends after they were due, turns of the loop
 * after their planned time. Kept raw, 8 bytes each, so that the delays of several workers can be
 * put together and the quantiles are those of the values themselves. */
#pragma once

#include <stddef.h>
#include <stdint.h>

struct load_delays {
    int64_t *ns; /* owned */
    size_t count, cap;
};

void load_delays_add(struct load_delays *delays, const int64_t *ns, size_t count);
void load_delays_done(struct load_delays *delays);
void load_delays_sort(struct load_delays *delays);
/* The smallest value that at least the share q of all does not exceed, in seconds; of sorted
 * delays. NaN when there are none. */
double load_delays_quantile_s(const struct load_delays *delays, double q);

/* How many delays lie below each of these bounds and not below the one before; the last band has
 * no bound. */
enum { LOAD_DELAY_BANDS = 8 };
extern const int64_t load_delay_band_ns[LOAD_DELAY_BANDS];
void load_delays_count(const struct load_delays *delays, uint64_t ret_bands[LOAD_DELAY_BANDS]);
