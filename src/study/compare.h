/* Two or more candidates against each other: interleaved cold starts in blocks, and for each
 * measure an answer with an interval. Trials are stored in the study's store with the purpose
 * "compare", where neither its plan nor its report looks at them. */
#pragma once

#include "base/json.h"
#include "spec/space.h"
#include "stats/compare.h"
#include "study/study.h"

enum { COMPARE_SIDES_MAX = 6, COMPARE_BLOCKS_MAX = 96, COMPARE_ROWS_MAX = 448 };

/* How a measure of the other side stands to the first's. */
enum compare_answer {
    COMPARE_OPEN,    /* neither is certain: more blocks may tell */
    COMPARE_SAME,    /* no difference beyond the tolerance */
    COMPARE_BETTER,  /* by more than the tolerance */
    COMPARE_WORSE,   /* by more than the tolerance */
    COMPARE_UNKNOWN, /* not measured, see `unknown` */
    COMPARE_ANSWER_COUNT_
};
const char *study_compare_answer_name(enum compare_answer answer); /* "open", "same", ... */

struct compare_row {
    const char *name;    /* "stt.latency.p95"; "memory": of all services */
    const char *service; /* NULL: all */
    enum metric metric;
    enum metric_stat stat;
    bool higher_is_better;
    bool is_ratio;       /* effect is other / first; else other - first, in the metric's unit */
    bool judged;         /* part of the answer, and of the error that is shared by all of it */
    double first, other; /* levels: geometric mean of blocks, for differences the mean */
    struct stats_effect effect; /* of the blocks in which both are known */
    double low, high;           /* of other - first in the metric's unit; NaN: none */
    enum compare_answer answer;
    bool counted_otherwise; /* in some block: tokens of one side by events, of the other by its
                               server */
    const char *unknown;    /* why nothing can be said; NULL */
};

struct compare_side {
    const char *given, *text; /* as typed; the whole candidate */
    const char *completed;    /* "baseline", "winner": where what was not typed comes from; NULL */
    spec_code code;
    size_t runs, slow;      /* measured; of these, that missed a requirement */
    size_t disturbed;       /* lost even after their retries */
    int64_t failed_trial;   /* the first that failed; 0: none */
    const char *failed;     /* its verdict: "oom_start" */
    const char *failed_why; /* its evidence in short; outside text; NULL */
};

struct compare_pair { /* the first side and another */
    size_t other;     /* index into sides */
    struct compare_row *rows;
    size_t row_count;
};

enum compare_end {
    COMPARE_GOES_ON, /* called off, or a look on the way */
    COMPARE_DECIDED, /* every judged measure has an answer */
    COMPARE_FAILED,  /* a side failed, and a failure has no number to go on with */
    COMPARE_BLOCKS,  /* as many as were allowed */
    COMPARE_TIME,
    COMPARE_END_COUNT_
};
const char *study_compare_end_name(enum compare_end end); /* "goes on", "decided", ... */

struct study_comparison { /* texts and lists in the arena that was given */
    int64_t number;       /* 1, 2, ... in this store */
    enum compare_end end;
    size_t blocks, looked; /* whole ones; at the last look */
    size_t blocks_most;
    double error, tolerance; /* ratios */
    double window_s;
    size_t judged; /* intervals that share the error, over all pairs */
    struct compare_side sides[COMPARE_SIDES_MAX];
    size_t side_count;
    struct compare_pair pairs[COMPARE_SIDES_MAX];
    size_t pair_count;
    bool over; /* somebody is certainly worse by more than the tolerance, or failed where the first
                  did not */
};

struct compare_options {
    const char *const *sides; /* as typed: "baseline", "winner", "stt.model=tiny llm.x=2" */
    size_t side_count;
    double error, tolerance;
    int blocks; /* at most; brought down to the last look within */
    bool anew;  /* even if the same was compared before */
    /* After each whole block, and at the end; may be NULL. */
    void (*looked)(void *context, const struct study_comparison *so_far);
    void *context;
};

/* Goes on with the last comparison of the same sides, or begins one; of `options` time_ns is what
 * all its trials may take. Errors as study_run(); ERR_INPUT also for sides that can't be. What came
 * out is also in the store, as an event "compared". */
NODISCARD bool study_compare(const struct study_options *options,
                             const struct compare_options *compare, struct arena *arena,
                             struct study_comparison *ret, struct err *err);

/* New reference. */
json_t *study_comparison_json(const struct study_comparison *comparison);
