/* Stored rows, read back as what the plan needs: retries folded, texts turned into codes. */
#pragma once

#include "search/search.h"
#include "store/store.h"

struct history_trial {
    int64_t number, retry_of;
    enum { HISTORY_BASELINE, HISTORY_EXPLORE, HISTORY_FINAL, HISTORY_COMPARE } purpose;
    spec_code code;
    int round, repeat;
    enum verdict verdict;
    bool cold;       /* every service was started for it */
    int workers;     /* that sent its load */
    double fitness;  /* to rank by: NaN as well where its tokens were counted otherwise */
    double measured; /* as stored */
    double duration_s;
    uint32_t by_events; /* study/counted.h */
    const char
        *ruled_out; /* "stt stt.server=x ...": candidates with this part are ruled out; NULL */
    enum history_bound { BOUND_NOTHING, BOUND_ABOVE_FAILS, BOUND_BELOW_FAILS } bound;
    size_t bound_service; /* whose failure it was */
};

struct history { /* in one arena, in order of number */
    struct history_trial *trials;
    size_t count, capacity;
    int64_t
        last_number; /* of any trial in the store when it was loaded, those of comparisons too */
};

/* All trials but those of comparisons. Rows of candidates that the study file no longer has are an
 * ERR_INTERNAL: the digest should have caught that. */
NODISCARD bool history_load(struct store *store, const struct spec_study *study,
                            struct arena *arena, struct history *ret_history, struct err *err);
/* Those of the comparison of this number instead. */
NODISCARD bool history_load_compare(struct store *store, const struct spec_study *study,
                                    int comparison, struct arena *arena,
                                    struct history *ret_history, struct err *err);
/* Goes to its place by number: lanes end their trials in any order. */
NODISCARD bool history_append(struct history *history, const struct spec_study *study,
                              const struct store_trial *trial, struct arena *arena,
                              struct err *err);

enum { HISTORY_TRIES = 3 }; /* one trial and two retries */

/* Is the trial at `index` the last word on its request? Not if a retry of it follows, nor if it may
 * still be retried (a retried verdict with tries left). An env_fault that rules out no candidate
 * lies in the surroundings and never settles, nor does a dirty device: after the repair its request
 * is run again. */
bool history_settled(const struct history *history, size_t index);
/* How many tries its request has had, this one included. */
int history_tries(const struct history *history, size_t index);
/* How many load workers the next trial gets; `last`: the one that it tries again, or NULL. A window
 * that we were too slow for is tried with twice as many, up to HISTORY_WORKERS_MAX; what a study
 * was once measured with, it keeps. */
enum { HISTORY_WORKERS_MAX = 4 };
int history_workers(const struct history *history, const struct history_trial *last);
/* The number of the first try of its request. */
int64_t history_chain(const struct history_trial *trial);
/* It has a fitness of its own, which can't be ranked among the others'. */
bool history_unranked(const struct history_trial *trial);
/* The request at `index` has been tried to the end (again) in broken surroundings: stop, resumably.
 */
bool history_broken_at(const struct history *history, size_t index);
/* The same of the last one. */
bool history_broken(const struct history *history);
/* Contended trials at the end of the history, in a row. */
int history_contended_in_a_row(const struct history *history);
double history_elapsed_s(const struct history *history);
