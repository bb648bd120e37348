/* The table of strategies and what they share: the field, the order in it, the choice of finalists.
 *
 * Order matters for cost, not for the answer: restarting an unchanged service buys nothing, so a
 * field is walked along short steps. Exact shortest tours were rejected: greedy needs no tuning and
 * with two or three services is within a few restarts of the best. */
#include "search/search.h"

#include "base/rng.h"

#include <limits.h>
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

/* One number per service that tells its settings apart: two candidates whose keys are equal need no
 * restart of it. */
static uint64_t *service_keys(const struct spec_study *study, const spec_code *codes, size_t count,
                              struct arena *scratch)
{
    uint64_t *keys = arena_array(scratch, count * study->service_count, sizeof *keys);
    for (size_t i = 0; i < count; i++) {
        struct spec_candidate candidate = spec_candidate_decode(study, codes[i]);
        uint64_t *key = &keys[i * study->service_count];
        for (size_t k = 0; k < study->knob_count; k++) {
            const struct spec_knob *knob = &study->knobs[k];
            key[knob->service] =
                key[knob->service] * (knob->value_count + 1) + (uint64_t)(candidate.index[k] + 1);
        }
    }
    return keys;
}

/* How many services must restart between two candidates. */
static int services_changed(const uint64_t *a, const uint64_t *b, size_t service_count)
{
    int changed = 0;
    for (size_t s = 0; s < service_count; s++)
        changed += a[s] != b[s];
    return changed;
}

/* Those not yet placed form a list in drawing order, so that taking one out moves nothing and ties
 * keep their order. */
void search_arrange(const struct spec_study *study, spec_code *codes, size_t count,
                    struct arena *scratch)
{
    if (count > ARRANGE_MAX || count < 3)
        return;
    size_t n = study->service_count;
    const uint64_t *keys = service_keys(study, codes, count, scratch);
    spec_code *order = arena_array(scratch, count, sizeof *order);
    size_t *next = arena_array(scratch, count + 1, sizeof *next); /* from 1; 0 ends */
    for (size_t i = 0; i < count; i++)
        next[i] = i + 1;
    size_t last = 0;
    next[0] = 2; /* the first drawn is placed */
    for (size_t at = 0; at < count; at++) {
        order[at] = codes[last];
        size_t best = 0, best_before = 0;
        int best_changed = INT_MAX;
        for (size_t before = 0, i = next[0]; i && best_changed > 1; before = i, i = next[i]) {
            int changed = services_changed(&keys[last * n], &keys[(i - 1) * n], n);
            if (changed < best_changed) {
                best = i;
                best_before = before;
                best_changed = changed;
            }
        }
        if (best) {
            next[best_before] = next[best];
            last = best - 1;
        }
    }
    memcpy(codes, order, count * sizeof *codes);
}

/* What a shuffle has moved: slot -> code, for slots that no longer hold their own. Open addressing,
 * sized by the draws, whatever the size of the space. */
struct moved {
    size_t *slot; /* slot + 1; 0: free */
    spec_code *code;
    size_t mask;
};

static size_t moved_find(const struct moved *moved, size_t slot)
{
    size_t at = (slot * UINT64_C(0x9e3779b97f4a7c15) >> 20) & moved->mask;
    while (moved->slot[at] && moved->slot[at] != slot + 1)
        at = (at + 1) & moved->mask;
    return at;
}

/* The first `count` steps of a Fisher-Yates shuffle: a uniform draw without replacement. */
static void draw_most(const struct search_input *input, const char *stream, size_t count,
                      spec_code *drawn)
{
    struct rng rng = rng_init(input->study->seed, stream);
    memcpy(drawn, input->codes, input->code_count * sizeof *drawn);
    for (size_t i = 0; i < count; i++) {
        size_t j = i + (size_t)rng_below(&rng, input->code_count - i);
        spec_code held = drawn[i];
        drawn[i] = drawn[j];
        drawn[j] = held;
    }
}

/* The same draw without a copy of a space of millions. */
static void draw_few(const struct search_input *input, const char *stream, size_t count,
                     struct arena *arena, spec_code *ret_codes)
{
    struct moved moved = {.mask = 63};
    while (moved.mask < 2 * count)
        moved.mask = 2 * moved.mask + 1;
    moved.slot = arena_array(arena, moved.mask + 1, sizeof *moved.slot);
    moved.code = arena_array(arena, moved.mask + 1, sizeof *moved.code);
    struct rng rng = rng_init(input->study->seed, stream);
    for (size_t i = 0; i < count; i++) {
        size_t j = i + (size_t)rng_below(&rng, input->code_count - i);
        size_t at_i = moved_find(&moved, i);
        spec_code own = moved.slot[at_i] ? moved.code[at_i] : input->codes[i];
        size_t at_j = moved_find(&moved, j);
        ret_codes[i] = moved.slot[at_j] ? moved.code[at_j] : input->codes[j];
        moved.slot[at_j] = j + 1;
        moved.code[at_j] = own;
    }
}

size_t search_field(const struct search_input *input, const char *stream, size_t count,
                    struct arena *arena, spec_code **ret_codes)
{
    if (count == 0 || count > input->code_count)
        count = input->code_count;
    bool few = count < input->code_count / 8;
    spec_code *drawn = arena_array(arena, few ? count : input->code_count, sizeof *drawn);
    if (few)
        draw_few(input, stream, count, arena, drawn);
    else if (count > 0)
        draw_most(input, stream, count, drawn);
    search_arrange(input->study, drawn, count, arena);
    *ret_codes = drawn;
    return count;
}

struct ranked {
    struct search_result result;
    size_t order;
};

/* Measurements of one candidate together, the latest first. */
static int compare_code(const void *a, const void *b)
{
    const struct ranked *x = a, *y = b;
    if (x->result.code != y->result.code)
        return x->result.code < y->result.code ? -1 : 1;
    return x->order > y->order ? -1 : 1;
}

static int compare_rank(const void *a, const void *b)
{
    const struct ranked *x = a, *y = b;
    if (x->result.round != y->result.round)
        return x->result.round > y->result.round ? -1 : 1;
    if (x->result.fitness != y->result.fitness)
        return x->result.fitness > y->result.fitness ? -1 : 1;
    return x->order < y->order ? -1 : 1;
}

size_t search_finalists(const struct search_result *results, size_t result_count, spec_code except,
                        bool has_except, spec_code *ret_codes, size_t max, struct arena *scratch)
{
    struct ranked *ranked = arena_array(scratch, result_count, sizeof *ranked);
    for (size_t i = 0; i < result_count; i++)
        ranked[i] = (struct ranked){results[i], i};
    qsort(ranked, result_count, sizeof *ranked, compare_code);
    size_t count = 0;
    bool any = false;
    spec_code before = 0;
    for (size_t i = 0; i < result_count; i++) {
        const struct search_result *result = &ranked[i].result;
        bool latest = !any || result->code != before;
        any = true;
        before = result->code;
        if (latest && result->verdict == VERDICT_OK && !isnan(result->fitness) &&
            !(has_except && result->code == except))
            ranked[count++] = ranked[i];
    }
    qsort(ranked, count, sizeof *ranked, compare_rank);
    if (count > max)
        count = max;
    for (size_t i = 0; i < count; i++)
        ret_codes[i] = ranked[i].result.code;
    return count;
}
