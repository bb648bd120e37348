/* Inside trial/: what is read of devices and services while a trial runs (watch.c, scrape.c). */
#pragma once

#include "service/engine_metrics.h"

#include <stdbool.h>
#include <stdint.h>

/* Sums of a straight line through one service's memory over the window. */
struct memory_trend {
    uint64_t count;
    double t, y, tt, ty;
};

/* One device of study->devices during one trial: see watch.c. */
struct watch {
    bool used; /* some service of the candidate is on it */
    int64_t began_wall_us;
    double least_free_bytes, strangers_before_bytes; /* NaN unknown */
    /* Over the window. */
    bool window_seen;
    double strangers_least_bytes, strangers_most_bytes;
    double busy_sum;
    uint64_t busy_count;
};

/* A service's own metrics at the window's start. */
struct scrape {
    bool known;
    struct engine_metrics metrics;
};
