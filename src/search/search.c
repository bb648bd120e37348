/* The table of strategies and what they share: the field, the order in it, the choice of finalists.
 *
 * Order matters for cost, not for the answer: restarting an unchanged service buys nothing, so a
 * field is walked along short steps. Exact shortest tours were rejected: greedy needs no tuning and
 * with two or three services is within a few restarts of the best. */
#include "search/search.h"

#include "base/rng.h"

#include <math.h>
#include <string.h>

/* Above this many candidates the greedy order (quadratic) is left out and codes stay ascending:
 * nobody restarts servers ten thousand times. */
enum { ARRANGE_MAX = 4096 };

extern const struct search_strategy search_grid, search_random, search_tournament;

/* Tournament first: it is the default and what `init` writes. */
const struct search_strategy *const search_strategies[] = {
    &search_tournament,
    &search_random,
    &search_grid,
};
const size_t search_strategy_count = ARRAY_LEN(search_strategies);

const struct search_strategy *search_strategy_find(const char *name)
{
    for (size_t i = 0; i < search_strategy_count; i++)
        if (strcmp(search_strategies[i]->name, name) == 0)
            return search_strategies[i];
    return NULL;
}

const char *const *search_strategy_names(size_t *ret_count)
{
    static const char *names[ARRAY_LEN(search_strategies)];
    for (size_t i = 0; i < search_strategy_count; i++)
        names[i] = search_strategies[i]->name;
    *ret_count = search_strategy_count;
    return names;
}

/* How many services must restart between two candidates. */
static int services_changed(const struct spec_study *study, const struct spec_candidate *a,
                            const struct spec_candidate *b)
{
    uint32_t changed = 0;
    for (size_t k = 0; k < study->knob_count; k++)
        if (a->index[k] != b->index[k])
            changed |= UINT32_C(1) << study->knobs[k].service;
    return __builtin_popcount(changed);
}

void search_arrange(const struct spec_study *study, spec_code *codes, size_t count,
                    struct arena *scratch)
{
    if (count > ARRANGE_MAX || count < 3)
        return;
    struct spec_candidate *candidates = arena_array(scratch, count, sizeof *candidates);
    for (size_t i = 0; i < count; i++)
        candidates[i] = spec_candidate_decode(study, codes[i]);
    for (size_t at = 1; at + 1 < count; at++) {
        size_t best = at;
        int best_changed = services_changed(study, &candidates[at - 1], &candidates[at]);
        for (size_t i = at + 1; i < count && best_changed > 1; i++) {
            int changed = services_changed(study, &candidates[at - 1], &candidates[i]);
            if (changed < best_changed) {
                best = i;
                best_changed = changed;
            }
        }
        /* Moved to the front by shifting, so that ties keep their drawing order. */
        spec_code code = codes[best];
        struct spec_candidate candidate = candidates[best];
        memmove(&codes[at + 1], &codes[at], (best - at) * sizeof *codes);
        memmove(&candidates[at + 1], &candidates[at], (best - at) * sizeof *candidates);
        codes[at] = code;
        candidates[at] = candidate;
    }
}

size_t search_field(const struct search_input *input, const char *stream, size_t count,
                    struct arena *scratch, spec_code **ret_codes)
{
    size_t n = input->code_count;
    if (count == 0 || count > n)
        count = n;
    spec_code *drawn = arena_array(scratch, n ? n : 1, sizeof *drawn);
    memcpy(drawn, input->codes, n * sizeof *drawn);
    /* The first `count` steps of a Fisher-Yates shuffle: a uniform draw without replacement. */
    struct rng rng = rng_init(input->study->seed, stream);
    for (size_t i = 0; i < count; i++) {
        size_t j = i + (size_t)rng_below(&rng, n - i);
        spec_code held = drawn[i];
        drawn[i] = drawn[j];
        drawn[j] = held;
    }
    search_arrange(input->study, drawn, count, scratch);
    *ret_codes = drawn;
    return count;
}

struct ranked {
    struct search_result result;
    size_t order;
};

static int compare_ranked(const void *a, const void *b)
{
    const struct ranked *x = a, *y = b;
    if (x->result.round != y->result.round)
        return x->result.round > y->result.round ? -1 : 1;
    if (x->result.fitness != y->result.fitness)
        return x->result.fitness > y->result.fitness ? -1 : 1;
    return x->order < y->order ? -1 : 1;
}

size_t search_finalists(const struct search_input *input, spec_code except, bool has_except,
                        spec_code *ret_codes, size_t max, struct arena *scratch)
{
    size_t n = input->history_count, count = 0;
    struct ranked *ranked = arena_array(scratch, n ? n : 1, sizeof *ranked);
    for (size_t i = 0; i < n; i++) {
        const struct search_result *result = &input->history[i];
        bool superseded = false;
        for (size_t j = i + 1; j < n && !superseded; j++)
            superseded = input->history[j].code == result->code;
        if (superseded || result->verdict != VERDICT_OK || isnan(result->fitness) ||
            (has_except && result->code == except))
            continue;
        ranked[count++] = (struct ranked){*result, i};
    }
    qsort(ranked, count, sizeof *ranked, compare_ranked);
    if (count > max)
        count = max;
    for (size_t i = 0; i < count; i++)
        ret_codes[i] = ranked[i].result.code;
    return count;
}
