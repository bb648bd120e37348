/* A plain growing array. Rejected: a histogram with a relative error, as the tools for millions of
 * values have it: a window has some 100,000 sends, and 1 MB of exact values needs no error bound.
 * The bands are for people, one per decade, and no verdict is made of them. */
#include "load/delays.h"

#include "base/clock.h"

#include <stdlib.h>
#include <string.h>

const int64_t load_delay_band_ns[LOAD_DELAY_BANDS] = {
    10 * NS_PER_US,  100 * NS_PER_US, NS_PER_MS,     10 * NS_PER_MS,
    100 * NS_PER_MS, NS_PER_S,        10 * NS_PER_S, INT64_MAX,
};

void load_delays_add(struct load_delays *delays, const int64_t *ns, size_t count)
{
    if (delays->count + count > delays->cap) {
        size_t cap = delays->cap ? delays->cap : 4096;
        while (cap < delays->count + count)
            cap *= 2;
        int64_t *grown = realloc(delays->ns, cap * sizeof *grown);
        if (!grown)
            abort();
        delays->ns = grown;
        delays->cap = cap;
    }
    if (count)
        memcpy(delays->ns + delays->count, ns, count * sizeof *ns);
    delays->count += count;
}

void load_delays_done(struct load_delays *delays)
{
    if (!delays)
        return;
    free(delays->ns);
    *delays = (struct load_delays){0};
}

static int compare(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

void load_delays_sort(struct load_delays *delays)
{
    if (delays->count)
        qsort(delays->ns, delays->count, sizeof *delays->ns, compare);
}

double load_delays_quantile_s(const struct load_delays *delays, double q)
{
    if (delays->count == 0)
        return __builtin_nan("");
    size_t rank = (size_t)__builtin_ceil(q * (double)delays->count);
    return (double)delays->ns[rank > 0 ? rank - 1 : 0] / (double)NS_PER_S;
}

void load_delays_count(const struct load_delays *delays, uint64_t ret_bands[LOAD_DELAY_BANDS])
{
    memset(ret_bands, 0, LOAD_DELAY_BANDS * sizeof *ret_bands);
    for (size_t i = 0; i < delays->count; i++) {
        size_t band = 0;
        while (band + 1 < LOAD_DELAY_BANDS && delays->ns[i] >= load_delay_band_ns[band])
            band++;
        ret_bands[band]++;
    }
}
