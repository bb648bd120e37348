/* Inside study/: the exploration, replayed from what is stored. Pure. */
#pragma once

#include "study/plan.h"

/* Parts of candidates that trials have ruled out, each followed by a blank. */
struct study_rulings {
    const char **parts;
    size_t count;
    const struct history_trial **bounds; /* settled failures that say something of others */
    size_t bound_count;
};
struct study_rulings study_collect_rulings(const struct history *history, struct arena *scratch);
bool study_ruled_out(const struct study_plan *plan, const struct study_rulings *rulings,
                     spec_code code);

/* Settled exploring results in order, retries folded; `ret` has room for the whole history. */
size_t study_explore_results(const struct history *history, struct search_result *ret);

/* Is this candidate under way for this purpose, in this round (of an exploration) or repeat (of a
 * final)? The baseline has neither: 0. */
bool study_is_pending(const struct study_plan *plan, const struct study_beside *beside,
                      const char *purpose, spec_code code, int turn);

struct search_input study_search_input(const struct study_plan *plan);

enum study_explored { EXPLORE_RUN, EXPLORE_WAIT, EXPLORE_OVER };
/* What is to be explored next, in *ret for EXPLORE_RUN. `seek`: the request of a trial that is to
 * be tried again, else NULL. */
enum study_explored study_explore_next(const struct study_plan *plan, const struct history *history,
                                       const struct study_beside *beside,
                                       const struct history_trial *seek, struct arena *scratch,
                                       struct search_request *ret);
