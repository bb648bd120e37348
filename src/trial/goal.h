/* Metrics to fitness: requirements first, then the weighted desirabilities. Pure. */
#pragma once

#include "base/arena.h"
#include "spec/study.h"
#include "store/store.h"

struct goal_result {
    double fitness;        /* 0..1; 0 when a requirement failed; NaN when it can't be known */
    bool met;              /* every requirement is true */
    const char *failed;    /* the first requirement that failed, with its numbers; NULL when met */
    bool failed_on_errors; /* that requirement is about errors or error_ratio */
    int failed_service;    /* index of the service it names first, -1 if none */
};

/* The value of a metric among the rows of one trial (mode "shared"); NaN when it is not there. */
double goal_metric(const struct spec_study *study, const struct store_metric *metrics, size_t count,
                   struct metric_ref ref);

/* One requirement by itself. */
struct goal_answer {
    enum expr_truth truth; /* EXPR_MAYBE: it could not be told */
    const char *text;      /* "stt.latency.p95 is 612 ms, required < 500 ms"; in the arena */
    bool on_errors;        /* it is about errors or error_ratio */
    int service;           /* index of the service it names first, -1 if none */
};
struct goal_answer goal_requirement(const struct spec_study *study,
                                    const struct store_metric *metrics, size_t count, size_t k,
                                    struct arena *arena);

/* Texts are in `arena`. A requirement that comes out unknown has failed: unknown is not "fine". */
struct goal_result goal_evaluate(const struct spec_study *study, const struct store_metric *metrics,
                                 size_t count, struct arena *arena);
