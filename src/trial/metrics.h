/* Answers of a load to metric rows and request rows. */
#pragma once

#include "load/corpus.h"
#include "load/record.h"
#include "stats/wer.h"
#include "trial/judge.h"

struct level_bound;
struct ratio_bound;
struct finding_limits;

struct attempt;

/* An answer kept for metrics; text and gaps in the attempt's arena. */
struct trial_answer {
    struct load_record record;
    const char *text;
    const int64_t *gaps_ns;
};

struct answer_list { /* items in the arena, doubled when full */
    struct trial_answer *items;
    size_t count, capacity;
};

struct metrics_input {
    const char *service, *mode;
    const struct answer_list *answers;
    int64_t window_start_ns, window_end_ns;
    const struct corpus *corpus;      /* transcripts; may be NULL */
    enum stats_normaliser normaliser; /* after which their words are counted */
    unsigned sources;                 /* of the protocol */
    uint64_t seed;                    /* of the bootstrap */
    const struct level_bound *bounds; /* requirements on its requests; NULL none */
    size_t bound_count;
    const struct ratio_bound *ratios; /* requirements on shares of other kinds; NULL none */
    size_t ratio_count;
    const struct answer_list *begun; /* of the stream that began the turns; NULL: no chain */
    bool left;                       /* early: who had answered by then were the quick ones */
    const struct store_requirement *missed; /* for which it was left, if it is this service's */
    bool moving; /* the load itself changes within the window: there is no steady state to find */
    int64_t
        settled_ns; /* attempt_add_metrics sets it: where the window begins after what was cut */
    const struct finding_limits *limits; /* what a good request keeps; NULL: nothing is asked */
};

/* Rows of attempt->metrics and ->requests from answers; counts into `service` unless NULL. Pure but
 * for the attempt's lists. */
void attempt_add_metrics(struct attempt *attempt, const struct metrics_input *input,
                         struct judge_service *service);
