/* What a study knows of its GPUs: readings of cards over a finalist's runs, services that stayed
 * up, candidates that a bound made unnecessary, services that computed in the wrong place. Part of
 * the view; NaN is unknown. */
#pragma once

#include "store/read.h"

/* One reading over the runs that know it. */
struct report_span {
    double mean, low, high;
    size_t runs;
};

enum report_gauge {
    GAUGE_FREE_BEFORE, /* before this trial started anything; what stayed up is on it */
    GAUGE_FREE_IDLE,   /* all services up, before the first request */
    GAUGE_FREE_LEAST,  /* at any moment of the trial */
    GAUGE_FREE_AFTER,  /* once that was stopped which the next trial does not keep */
    GAUGE_NEIGHBOURS,
    GAUGE_STRANGERS,
    GAUGE_BUSY, /* mean over the windows */
    GAUGE_TEMPERATURE,
    GAUGE_POWER,
    GAUGE_POWER_LIMIT,
    GAUGE_SM_CLOCK,
    GAUGE_COUNT_
};
struct report_card {
    const char *device; /* "gpu0" */
    struct report_span gauges[GAUGE_COUNT_];
    size_t throttle_known, throttled; /* runs */
    const char *throttle;             /* what the last throttled run said; NULL: none was */
    size_t noted;                     /* runs that began with a note on the card's mode */
    const char *notes;                /* the last of them; NULL: none had any */
};

struct report_side;
struct report_view;

struct report_kept { /* one service over the study */
    const char *service;
    size_t times, unknown; /* trials in which it was still up; of them without a known start */
    double saved_s;        /* its own start to ready, once for each of the others */
};

struct report_bound { /* a failure for memory that spoke for others as well */
    const struct store_trial *trial;
    int64_t count; /* candidates that were not run because of it, and of none before it */
};

struct report_fallback { /* latencies of a service that computed in the wrong place: evidence */
    const struct store_trial *trial;
    const struct store_metric *metric; /* latency p50, mode "fallback" */
    const struct store_trial *twin;    /* the same on its GPU; NULL: there is none */
    const struct store_metric *twin_metric;
    const char *twin_changes; /* what differs in the twin's settings; "" nothing */
};

/* Every reading of a card by its gauge; NaN: not read. `words` may be NULL. */
double report_gauge(const struct store_trial *trial, const char *device, enum report_gauge gauge);
/* The reading by phase and name, of a device (service NULL) or a service; NULL: there is none. */
const struct store_reading *report_reading(const struct store_trial *trial, const char *device,
                                           const char *service, const char *phase,
                                           const char *name);
const struct report_fallback *report_find_fallback(const struct report_view *view,
                                                   const struct store_trial *trial);
