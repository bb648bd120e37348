/* Requirements on ratios that are counts of something else than late requests: goodput_ratio (of
 * requests) and wer (of words). Decided like those on quantiles (stats/requirement.h). Pure but for
 * the arena. */
#pragma once

#include "store/finding.h"
#include "trial/metrics.h"

struct ratio_bound {
    const char *text;   /* as written; borrowed */
    enum metric metric; /* METRIC_GOODPUT_RATIO, METRIC_WER */
    double allowed;     /* ratio that may be bad: not good, wrong */
};

/* Those on service `i`; in the arena. */
struct ratio_bound *ratio_bounds(const struct spec_study *study, size_t i, struct arena *arena,
                                 size_t *ret_count);
/* Of no request, or no word: undecided. */
struct store_requirement ratio_requirement(const struct metrics_input *input,
                                           const struct ratio_bound *bound, struct arena *arena);
