/* "latency.p95 < 300ms": asked of one window, answered only as far as the window can tell. */
#pragma once

#include "base/arena.h"
#include "bench/measure.h"
#include "spec/expr.h"

enum bench_answer { BENCH_MET, BENCH_MISSED, BENCH_UNTOLD, BENCH_ANSWER_COUNT_ };
extern const char
    *const bench_answer_names[BENCH_ANSWER_COUNT_]; /* "met", "missed", "cannot tell" */

struct bench_requirement { /* in the arena */
    const struct expr *expr;
    const char *text; /* as written */
};

/* Names are metrics without a service. ERR_INPUT names what answers of these sources (enum
 * metric_source bits, bench_sources()) are measured by. */
NODISCARD bool bench_require_parse(const char *text, const struct spec_protocol *protocol,
                                   unsigned sources, struct arena *arena,
                                   struct bench_requirement *ret_requirement, struct err *err);

/* What all of them together ask of a single answer. */
struct finding_limits bench_require_limits(const struct bench_requirement *list, size_t count);

struct bench_judgement {
    enum bench_answer answer;
    const char *why; /* "latency.p95 is 212 ms, 95 % sure below 240 ms", in the arena */
};
/* Each side is at 95 %: "met" and "missed" are each wrong for at most one service of twenty that
 * lies just at the limit. */
struct bench_judgement bench_require_judge(const struct bench_requirement *requirement,
                                           struct bench_results *results, struct arena *arena);

/* The quantile of all that was asked, as a requirement sees it: what failed, and an answer that
 * never had what is asked about, is FINDING_WORST. Also where the sample is too small for it to be
 * shown; NAN: nothing was asked. The metric is one with a series (bench_series_of). */
double bench_require_quantile(struct bench_results *results, enum metric metric, double q);
