/* History in, next candidate out. Pure: no clock, no I/O; the same study, seed and history give the
 * same answer, which is what makes a killed study resume to where it would have been.
 *
 * To add a strategy: one file with a `const struct search_strategy`, one line in search/search.c. */
#pragma once

#include "spec/space.h"
#include "spec/verdict.h"

/* What became of one exploring trial. Trials whose verdict is retried (contended, ...) and were tried
 * again stand here once, with the last try. */
struct search_result {
    spec_code code;
    int round;       /* as requested */
    enum verdict verdict;
    double fitness;  /* 0..1; NaN when the verdict carries none */
};

struct search_input {
    const struct spec_study *study;
    const spec_code *codes; /* the field: all feasible candidates, or a seeded sample of them */
    size_t code_count;
    size_t trials;          /* exploring trials allowed in all; 0: no limit */
    const struct search_result *history; /* exploring trials so far, in order */
    size_t history_count;
};

struct search_request {
    spec_code code;
    int round;           /* 1, 2, ... */
    double window_ratio; /* of measure.window: early rounds measure shorter */
};

struct search_strategy {
    const char *name;
    const char *help;
    /* False when there is nothing more to explore. `scratch` is for the call's own use. */
    bool (*next)(const struct search_input *input, struct arena *scratch,
                 struct search_request *ret_request);
    /* How many exploring trials there will be, at most. */
    size_t (*planned)(const struct search_input *input);
};

extern const struct search_strategy *const search_strategies[];
extern const size_t search_strategy_count;
const struct search_strategy *search_strategy_find(const char *name); /* NULL if none */
const char *const *search_strategy_names(size_t *ret_count);

/* The best `max` candidates for the final, best first: by the fitness of their latest (longest)
 * measurement, later rounds before earlier ones, `except` left out. Only candidates whose latest
 * verdict was ok take part; with none, slow ones do not either: nothing is feasible then. */
size_t search_finalists(const struct search_input *input, spec_code except, bool has_except,
                        spec_code *ret_codes, size_t max, struct arena *scratch);

/* Helpers shared by strategies. */

/* `count` of the codes, drawn without replacement, in an order in which successive candidates change
 * few services (each changed service is a restart): start with the first drawn, then always the one
 * that changes the fewest, ties in drawing order. All codes when count is 0 or too large. */
size_t search_field(const struct search_input *input, const char *stream, size_t count,
                    struct arena *scratch, spec_code **ret_codes);
/* The same order for codes already chosen. */
void search_arrange(const struct spec_study *study, spec_code *codes, size_t count,
                    struct arena *scratch);
