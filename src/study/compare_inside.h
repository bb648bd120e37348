/* The steps of a comparison; nobody outside study/compare*.c and its tests includes this. */
#pragma once

#include "study/compare.h"
#include "study/history.h"
#include "store/read.h"

/* --- compare_sides.c --- */
/* What `given` means: a whole candidate in `side`. `winner` is the decision's, NULL: none. */
NODISCARD bool study_compare_read_side(const struct spec_study *study, const char *winner,
                                       const char *given, struct arena *arena,
                                       struct compare_side *side, struct err *err);

/* --- compare_plan.c --- */
struct compare_step {
    size_t block; /* of the request, from 1 on; those before are whole. 0: nothing is left */
    size_t side;
    struct trial_request request;
};
/* Pure: the comparison's own trials in, the next one out. A side that failed in an earlier block is
 * not run again. */
struct compare_step study_compare_next(const struct spec_study *study,
                                       const struct study_comparison *comparison,
                                       const struct history *history);

/* --- compare_rows.c --- */
/* Which measures, and which of them are judged: fills pairs[].rows but for their numbers. */
void study_compare_plan_rows(const struct spec_study *study, struct study_comparison *comparison,
                             struct arena *arena);
/* All numbers and answers from the trials of the first `blocks` blocks. `store` is asked for word
 * errors; NULL: there are none (tests). */
NODISCARD bool study_compare_fill(const struct spec_study *study, struct store *store,
                                  const struct store_trial *trials, size_t count, size_t blocks,
                                  struct study_comparison *comparison, struct arena *arena,
                                  struct err *err);
/* Has every judged measure its answer, or a side failed? */
enum compare_end study_compare_is_over(const struct study_comparison *comparison);
