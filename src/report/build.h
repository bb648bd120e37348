/* The steps in which view.c builds a view; nobody outside report/ includes this. */
#pragma once

#include "report/view.h"

struct report_builder {
    struct store *store;
    struct arena *arena;
    struct report_view *view;
    json_t *decision; /* borrowed; NULL while unfinished */
};

void report_build_measures(struct report_builder *b);

/* view_candidates.c: from trials to candidates; fates once the sides are known. */
void report_build_candidates(struct report_builder *b);
void report_build_fates(struct report_builder *b);
struct report_candidate *report_find_candidate(struct report_view *view, const char *text);

/* view_numbers.c */
NODISCARD bool report_build_numbers(struct report_builder *b, struct report_side *side,
                                    struct err *err);
double report_trial_value(const struct report_view *view, const struct store_trial *trial,
                          const struct report_measure *measure, const char *mode);
/* The runs' own requests, sorted within each run; empty when the measure has none of its own. */
NODISCARD bool report_read_runs(struct report_builder *b, const struct report_side *side,
                                const struct report_measure *measure, const char *mode,
                                struct stats_runs *ret_runs, struct err *err);
bool report_has_samples(const struct report_measure *measure);

/* One clip's word errors, summed over a side's runs. */
struct report_clip {
    int64_t item, errors, words;
};
NODISCARD bool report_read_clips(struct report_builder *b, const struct report_side *side,
                                 const char *service, struct report_clip **ret_clips,
                                 size_t *ret_count, struct err *err);

/* view_changes.c: against the baseline, and shared against alone. */
NODISCARD bool report_build_changes(struct report_builder *b, struct err *err);

/* view_cards.c, view_coverage.c, view_fallback.c */
void report_build_cards(struct report_builder *b, struct report_side *side);
void report_build_kept(struct report_builder *b);
void report_build_bounds(struct report_builder *b);
void report_build_fallbacks(struct report_builder *b);
/* view_contention.c */
void report_build_crowd(struct report_builder *b, const struct store_event *events, size_t count);

/* compared.c */
void report_build_compared(struct report_builder *b, const struct store_event *events,
                           size_t count);

/* view_capacity.c; before the unknowns. */
void report_build_capacities(struct report_builder *b);
void report_build_unknowns(struct report_builder *b);
