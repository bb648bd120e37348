/* Random numbers that can be replayed: the n-th draw of a stream is a pure function of (seed,
 * stream, n). No hidden state is shared between uses, so adding a draw in one place moves no other.
 * Generator: SplitMix64 (Steele, Lea, Flood 2014) over a key mixed from seed and stream name. */
#pragma once

#include <stddef.h>
#include <stdint.h>

struct rng {
    uint64_t state;
};

/* `stream` names the use ("arrivals/stt", "tournament/round 1"); same seed and name, same draws. */
struct rng rng_init(uint64_t seed, const char *stream);

uint64_t rng_u64(struct rng *rng);
double rng_unit(struct rng *rng); /* uniform in [0, 1) */
uint64_t rng_below(struct rng *rng,
                   uint64_t bound); /* uniform in [0, bound), bound > 0, unbiased */
double rng_exponential(struct rng *rng, double mean); /* mean in any unit, result in the same */
void rng_shuffle(struct rng *rng, size_t *items, size_t count); /* Fisher-Yates */
