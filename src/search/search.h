/* Results in, next candidate out. Pure: no clock, no I/O; the same study, seed and results give the
 * same requests, which is what makes a killed study resume to where it would have been: it tells a
 * new session what is stored and asks.
 *
 * To add a strategy: one file with a `const struct search_strategy`, one line in search/search.c.
 */
#pragma once

#include "spec/space.h"
#include "spec/verdict.h"

/* What became of one exploring trial. Trials whose verdict is retried (contended, ...) and were
 * tried again stand here once, with the last try. */
struct search_result {
    spec_code code;
    int round; /* as requested */
    enum verdict verdict;
    double fitness; /* 0..1; NaN when the verdict carries none */
};

struct search_input { /* borrowed by a session, for as long as it is used */
    const struct spec_study *study;
    const spec_code *codes; /* the field: all feasible candidates, or a seeded sample of them */
    size_t code_count;
    size_t trials; /* exploring trials allowed in all; 0: no limit */
};

struct search_request {
    spec_code code;
    int round;           /* 1, 2, ... */
    double window_ratio; /* of measure.window: early rounds measure shorter */
};

/* A strategy is asked and told in turn, from the start of the study on. One ask or tell costs
 * little; begin may look at the whole field. */
struct search_strategy {
    const char *name;
    const char *help;
    /* A session's state, in `arena`. */
    void *(*begin)(const struct search_input *input, struct arena *arena);
    /* What to measure next, the same until it is told; false when there is nothing more to explore.
     */
    bool (*ask)(const void *session, struct search_request *ret_request);
    /* The result of what was asked for last. */
    void (*tell)(void *session, const struct search_result *result);
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
size_t search_finalists(const struct search_result *results, size_t result_count, spec_code except,
                        bool has_except, spec_code *ret_codes, size_t max, struct arena *scratch);

/* Helpers shared by strategies. */

/* `count` of the codes, drawn without replacement, in an order in which successive candidates
 * change few services (each changed service is a restart): start with the first drawn, then always
 * the one that changes the fewest, ties in drawing order. All codes when count is 0 or too large.
 */
size_t search_field(const struct search_input *input, const char *stream, size_t count,
                    struct arena *arena, spec_code **ret_codes);
/* The same order for codes already chosen. */
void search_arrange(const struct spec_study *study, spec_code *codes, size_t count,
                    struct arena *scratch);
