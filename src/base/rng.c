/* SplitMix64: one multiply-xor-shift chain per draw, full period 2^64, passes BigCrush. A stronger
 * generator would buy nothing for arrival times and shuffles; being able to write the n-th draw of
 * a stream down in one line is worth more here. */
#include "base/rng.h"

#include <math.h>

static uint64_t mix(uint64_t z)
{
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

struct rng rng_init(uint64_t seed, const char *stream)
{
    /* FNV-1a over the name, then mixed with the seed so that near seeds share nothing. */
    uint64_t hash = UINT64_C(0xcbf29ce484222325);
    for (const unsigned char *p = (const unsigned char *)stream; *p; p++)
        hash = (hash ^ *p) * UINT64_C(0x100000001b3);
    return (struct rng){.state = mix(mix(seed + UINT64_C(0x9e3779b97f4a7c15)) ^ hash)};
}

uint64_t rng_u64(struct rng *rng)
{
    rng->state += UINT64_C(0x9e3779b97f4a7c15);
    return mix(rng->state);
}

double rng_unit(struct rng *rng)
{
    return (double)(rng_u64(rng) >> 11) * 0x1.0p-53;
}

uint64_t rng_below(struct rng *rng, uint64_t bound)
{
    /* Draws from the incomplete last block would favour small results: reject them. */
    uint64_t limit = UINT64_MAX - UINT64_MAX % bound;
    uint64_t draw = rng_u64(rng);
    while (draw >= limit)
        draw = rng_u64(rng);
    return draw % bound;
}

double rng_exponential(struct rng *rng, double mean)
{
    return -mean * log1p(-rng_unit(rng));
}

void rng_shuffle(struct rng *rng, size_t *items, size_t count)
{
    for (size_t i = count; i > 1; i--) {
        size_t j = (size_t)rng_below(rng, i);
        size_t held = items[i - 1];
        items[i - 1] = items[j];
        items[j] = held;
    }
}
