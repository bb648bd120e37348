/* The live line of `spica bench`: once a second on a terminal, nothing elsewhere. It goes to
 * stderr, so that --json can have stdout. */
#pragma once

#include "bench/setup.h"

#include <stdio.h>

struct bench_live {
    FILE *out;
    bool on;
    int width;
    const struct bench_setup *setup; /* borrowed */
    int64_t started_ns;
};

struct bench_live bench_live_init(const struct bench_setup *setup, FILE *out);
void bench_live_draw(struct bench_live *live, struct bench_results *so_far);
void bench_live_clear(struct bench_live *live);
