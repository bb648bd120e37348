/* Reading a study's file: rows for reports, `show` and the judging of finals. */
#pragma once

#include "base/arena.h"
#include "store/store.h"

/* One trial with its phases, evidence, services and metrics (requests stay in the file); everything
 * in `arena`. *ret_trial NULL when there is no such number. */
NODISCARD bool store_read_trial(struct store *store, struct arena *arena, int64_t number,
                                struct store_trial **ret_trial, struct err *err);
/* All trials in order of number; with_detail: also phases, evidence, services (logs left out) and
 * metrics, by one pass over each table (2,000 trials in well under a second). */
NODISCARD bool store_read_trials(struct store *store, struct arena *arena, bool with_detail,
                                 struct store_trial **ret_trials, size_t *ret_count,
                                 struct err *err);

/* Was its window left early, since a requirement was certainly missed? Times of requests that such
 * a trial has stored (none since windows that were left store none) are those of the quick answers.
 */
bool store_trial_left_early(const struct store_trial *trial);

struct store_event {
    int64_t wall_us;
    const char *kind, *detail;
};
NODISCARD bool store_read_events(struct store *store, struct arena *arena,
                                 struct store_event **ret_events, size_t *ret_count,
                                 struct err *err);

/* Raw values of one service's window requests of some trials, pooled or per trial. */
enum store_sample {
    SAMPLE_LATENCY,
    SAMPLE_TTFT,
    SAMPLE_LATENESS,
    SAMPLE_RTF,
    SAMPLE_SERVICE_TIME,
    SAMPLE_CONTENT,
    SAMPLE_TURN
};
struct store_values {
    double *values;
    uint32_t *sessions; /* whose turn each is of */
    size_t count;       /* in the arena, in order of sequence */
};
/* Successful requests of part LOAD_WINDOW in seconds (rtf: ratio). */
NODISCARD bool store_read_values(struct store *store, struct arena *arena, int64_t trial,
                                 const char *service, const char *mode, enum store_sample sample,
                                 struct store_values *ret_values, struct err *err);

/* Word errors and words per utterance of window requests, and errors by kind. */
struct store_words {
    int64_t item, word_errors, words;
    const char *text;
};
NODISCARD bool store_read_words(struct store *store, struct arena *arena, int64_t trial,
                                const char *service, struct store_words **ret_words,
                                size_t *ret_count, struct err *err);
struct store_error_count {
    const char *service, *mode, *error;
    int http_status;
    int64_t count;
};
NODISCARD bool store_read_errors(struct store *store, struct arena *arena, int64_t trial,
                                 struct store_error_count **ret_counts, size_t *ret_count,
                                 struct err *err);
/* A service's stored log; owned by the arena, NULL when none. */
NODISCARD bool store_read_log(struct store *store, struct arena *arena, int64_t trial,
                              const char *service, const char **ret_log, struct err *err);
NODISCARD bool store_count_requests(struct store *store, int64_t *ret_count, struct err *err);
