/* Inside trial/: what is read of devices and services while a trial runs (watch.c, scrape.c). */
#pragma once

#include "device/proc.h"
#include "service/engine_metrics.h"

#include <stdbool.h>
#include <stdint.h>

/* Sums of a straight line through one service's memory over the window. */
struct memory_trend {
    uint64_t count;
    double t, y, tt, ty;
};

/* Declared neighbours on one device during one trial: see beside.c. NaN unknown. */
struct beside {
    double before_bytes, last_bytes;
    double least_bytes, most_bytes;               /* over the trial */
    double window_least_bytes, window_most_bytes; /* over the window */
    double room_bytes; /* least of what was free and what they held, at one moment */
    struct beside_worker {
        struct proc_stat stat;
        double bytes;
    } workers[8]; /* before the start */
    size_t worker_count;
};

/* One device of study->devices during one trial: see watch.c. */
struct watch {
    bool used; /* some service of the candidate is on it */
    int64_t began_wall_us;
    double least_free_bytes, strangers_before_bytes; /* NaN unknown */
    double strangers_peak_bytes;                     /* over the whole trial */
    const char *strangers_at_peak;                   /* who they were when they had grown; NULL */
    struct beside beside;
    /* Over the window. */
    bool window_seen;
    double strangers_least_bytes, strangers_most_bytes;
    double others_sm_sum; /* strangers' share of the SMs, asked about every second */
    uint64_t others_sm_count;
    double busy_sum;
    uint64_t busy_count;
};

/* A service's own metrics at the window's start. */
struct scrape {
    bool known;
    struct engine_metrics metrics;
};
