/* Beyond numbers: how sure a requirement is on the evidence of one window, which requests were good
 * for everything at once, and which clips were heard worst. Pure but for the arena. */
#pragma once

#include "store/finding.h"
#include "trial/level.h"
#include "trial/metrics.h"

/* What a request must keep to be good: of each metric the limit of the strictest quantile that a
 * requirement names (a max before a p99 before a p50). NaN: no such requirement. */
struct finding_limits {
    double latency_s, ttft_s, content_s, rtf;
    double itl_s; /* of the request's mean gap between text events, as others' TPOT */
    double of_latency, of_ttft, of_content, of_rtf,
        of_itl; /* the share of requests that each is of */
    bool any;
};

/* Requirements on service `i` that say how many requests may be over; in the arena. */
struct level_bound *finding_bounds(const struct spec_study *study, size_t i, struct arena *arena,
                                   size_t *ret_count);
struct finding_limits finding_limits_none(void);
/* What a comparison of the metric `id`, "METRIC < number", asks of a single request. */
void finding_limits_add(struct finding_limits *limits, const struct expr *expr, size_t id,
                        struct metric_ref ref);
/* All that is required of service `i`. */
struct finding_limits finding_limits_of(const struct spec_study *study, size_t i);
/* A failed request is never good. */
bool finding_is_good(const struct finding_limits *limits, const struct load_record *record);

/* Its values in parts of their limits, the largest; FINDING_WORST for a failed request or an
 * unknown value. */
#define FINDING_WORST 1e6
double finding_badness(const struct finding_limits *limits, const struct load_record *record);

/* Is it one of those that requirements on single requests are about? Not those before what was cut
 * as warm-up, the failed ones among them neither: failures are held against the errors of the whole
 * window as it was planned. */
bool finding_counts(const struct metrics_input *input, const struct load_record *record);
/* One requirement against the window's requests. Failed ones are over: they kept nothing. */
struct store_requirement finding_requirement(const struct metrics_input *input,
                                             const struct level_bound *bound, struct arena *arena);
/* "met", "missed" or "undecided" at 95 % for counts that may be sums over runs. */
const char *finding_answer(double allowed, int64_t requests, int64_t over, double worth);

/* The clips with most word errors each time they were heard, worst first, at most `most`; those
 * without errors are not in it. `utterances` and `answers` side by side. */
size_t finding_worst(const struct metrics_input *input, struct arena *arena, size_t most,
                     struct store_utterance **ret_list);
