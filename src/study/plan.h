/* Which trial comes next. Pure: study file, candidates and history in, one step out. */
#pragma once

#include "study/history.h"
#include "study/study.h"

enum {
    STUDY_FINALISTS_MAX = 200
}; /* twice the most that a study may ask for: with those that
    * replace who fell */

struct study_plan {
    const struct spec_study *study;
    const spec_code *codes; /* the field */
    size_t code_count;
    bool has_baseline;
    spec_code baseline;
    int trials;    /* exploring trials allowed, 0: no limit */
    double time_s; /* 0: no limit */
    size_t lanes;  /* trials at once; 0: one */
};

struct study_step {
    enum study_stage stage;       /* STAGE_DONE: nothing left but to decide; STAGE_WAIT only
                                   * beside trials under way */
    struct trial_request request; /* candidate, purpose, round, repeat, window, cold, alone; number
                                   * and retry_of are set too */
};

struct study_step study_next(const struct study_plan *plan, const struct history *history,
                             struct arena *scratch);

/* What is under way while a lane asks. */
struct study_beside {
    const struct trial_request *pending; /* begun or promised, not stored */
    size_t count;
    const struct spec_candidate
        *up; /* whose services are up in the lane that asks; NULL: nothing */
};
/* The same for one of several lanes: never what is pending, and in the exploration what this lane
 * can run with the fewest restarts. */
struct study_step study_next_beside(const struct study_plan *plan, const struct history *history,
                                    const struct study_beside *beside, struct arena *scratch);

/* Finalists as of now, best of the exploration first, those that failed in the final replaced by
 * the next in rank; at most search.finalists of them are in the race at once. */
size_t study_finalists(const struct study_plan *plan, const struct history *history,
                       struct arena *scratch, spec_code ret_codes[STUDY_FINALISTS_MAX]);

/* Did this candidate fail a trial of the final? */
bool study_failed_final(const struct history *history, spec_code code);

struct study_progress_counts {
    size_t explored, explore_planned, finals_done, finals_planned;
    double left_s;
};
struct study_progress_counts study_count(const struct study_plan *plan,
                                         const struct history *history, struct arena *scratch);
