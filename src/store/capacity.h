/* How much a service can take, as it is stored with a trial. Texts are borrowed, reals are base
 * units, NaN unknown. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

/* A search for how much one service can take (stats/capacity.h), and the levels it looked at. */
struct store_capacity {
    const char *service;
    const char *of;      /* "concurrency", "rate" */
    const char *metric;  /* of which the points' quantiles are: "latency", "ttft" */
    bool beside;         /* the other services kept their load */
    const char *end;     /* stats_capacity_end_name() */
    double low, high;    /* the largest level that met, the smallest that did not; NaN: none */
    bool unsure;         /* one of the two leans on its value, and is not certain */
    const char *broke;   /* at `high`: the first requirement that failed, with its numbers; where
                          * the search ended for it, what disturbed it; NULL */
    double memory_bytes; /* peak of the service on its device during the search; NaN unknown */
    double seconds;      /* that the search took */
};
struct store_capacity_point {
    int search;          /* index of its store_capacity in the trial */
    double level;        /* clients, or requests per second */
    const char *outcome; /* stats_level_name() */
    double window_s;     /* as long as it was looked at; shorter when decided early */
    bool early;
    int64_t requests, failed;
    double p50, p50_low, p50_high, p95, p95_low, p95_high; /* seconds; NaN: too few requests */
    double answered_rps;
    double good_rps;   /* answers that meet every requirement that is of one request */
    const char *broke; /* the requirement that failed, or what disturbed it; NULL */
};
