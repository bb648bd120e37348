/* A report's numbers, with what they are worth. NaN is unknown. */
#pragma once

#include "spec/study.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* How a number came about decides how its interval reads. */
enum report_kind {
    NUMBER_QUANTILE, /* of the requests of all runs pooled; interval free of distributions */
    NUMBER_RUNS,     /* mean of the runs' values; low and high are the least and the largest run */
    NUMBER_SHARE,    /* pooled: word errors over words (interval over clips), failed over all */
    NUMBER_SUM,      /* a count over all runs */
};
struct report_number {
    enum report_kind kind;
    double value, low, high;
    int64_t count; /* requests, words for WER, values for NUMBER_RUNS */
    size_t runs;
    const char *unknown; /* why value is NaN; NULL otherwise */
    const char *method;  /* of the interval of a quantile; NULL: none, or another kind */
    const char *refused; /* why a quantile has no interval; NULL */
};

/* Against something else: a ratio (1: the same), or a difference for shares and counts. */
struct report_change {
    bool given; /* false: this measure is not compared */
    bool is_ratio;
    double value, low, high;
    int certain; /* 1 certainly better, -1 certainly worse, 0 not certain */
};

enum { REPORT_ALL_SERVICES = SPEC_SERVICES_MAX }; /* `service` of a number about all of them */
struct report_measure {
    size_t service;
    enum metric metric;
    enum metric_stat stat;
    const char *name; /* "stt.latency.p95" */
    enum metric_unit unit;
    bool higher_is_better;
    bool key;      /* in the short tables: asked for by the goal, or one everybody asks for */
    bool headline; /* told first: objectives (key ones where there are none) and all memory */
    const struct spec_objective *objective; /* NULL: not an objective */
};
