/* tournament: rounds that halve the field while each survivor is measured longer (successive halving;
 * Karnin, Koren and Somekh 2013, Jamieson and Talwalkar 2016). The first round sees many candidates
 * shortly, the last few at the full window.
 *
 * The first field is as large as the limit on trials allows: n + n/2 + n/4 + ... <= trials. Survivors
 * of a round are its better half by fitness; a trial without fitness never survives, an infeasible one
 * (fitness 0) only where feasible ones are too few. Rounds go on until the final takes over: when no
 * more than `finalists` remain. Everything is recomputed from the history at each call, so a resumed
 * study needs no state of its own. */
#include "search/search.h"

#include <math.h>
#include <string.h>

enum { ROUNDS_MAX = 12 };
static const double FIRST_WINDOW_RATIO = 0.25; /* shorter windows rank by luck */

struct shape {
    int rounds;
    size_t size[ROUNDS_MAX]; /* field of each round */
};

static size_t half(size_t n)
{
    return (n + 1) / 2;
}

static struct shape shape_of(size_t field, size_t finalists)
{
    struct shape shape = {.rounds = 1, .size = {field}};
    while (shape.rounds < ROUNDS_MAX && shape.size[shape.rounds - 1] > finalists) {
        shape.size[shape.rounds] = half(shape.size[shape.rounds - 1]);
        shape.rounds++;
    }
    return shape;
}

static size_t shape_trials(const struct shape *shape)
{
    size_t sum = 0;
    for (int r = 0; r < shape->rounds; r++)
        sum += shape->size[r];
    return sum;
}

static struct shape choose_shape(const struct search_input *input)
{
    size_t finalists = (size_t)(input->study->search.finalists > 0 ? input->study->search.finalists : 1);
    size_t field = input->code_count;
    if (input->trials && field > input->trials)
        field = input->trials;
    struct shape shape = shape_of(field, finalists);
    while (input->trials && field > 1 && shape_trials(&shape) > input->trials)
        shape = shape_of(--field, finalists);
    return shape;
}

/* Doubles from round to round and reaches the full window in the last. */
static double window_ratio(const struct shape *shape, int round)
{
    double ratio = ldexp(1.0, round - shape->rounds);
    return fmax(ratio, FIRST_WINDOW_RATIO);
}

static int compare_results(const void *a, const void *b)
{
    const struct search_result *x = a, *y = b;
    if (x->fitness != y->fitness)
        return x->fitness > y->fitness ? -1 : 1;
    return x->code < y->code ? -1 : 1;
}

/* The survivors of a finished round, arranged for few restarts. */
static size_t survivors(const struct search_input *input, const struct search_result *results,
                        size_t count, size_t keep, struct arena *scratch, spec_code *ret_codes)
{
    struct search_result *ranked = arena_array(scratch, count + 1, sizeof *ranked);
    size_t n = 0;
    for (size_t i = 0; i < count; i++)
        if (verdict_facts(results[i].verdict)->has_fitness && !isnan(results[i].fitness))
            ranked[n++] = results[i];
    qsort(ranked, n, sizeof *ranked, compare_results);
    if (n > keep)
        n = keep;
    for (size_t i = 0; i < n; i++)
        ret_codes[i] = ranked[i].code;
    search_arrange(input->study, ret_codes, n, scratch);
    return n;
}

static bool tournament_next(const struct search_input *input, struct arena *scratch,
                            struct search_request *ret_request)
{
    struct shape shape = choose_shape(input);
    spec_code *field;
    size_t count = search_field(input, "tournament", shape.size[0], scratch, &field);
    const struct search_result *at = input->history;
    size_t left = input->history_count;
    for (int round = 1; round <= shape.rounds && count > 0; round++) {
        if (left < count) {
            *ret_request = (struct search_request){
                .code = field[left], .round = round, .window_ratio = window_ratio(&shape, round)};
            return !input->trials || input->history_count < input->trials;
        }
        size_t keep = round < shape.rounds ? shape.size[round] : 0;
        size_t next_count = survivors(input, at, count, keep, scratch, field);
        at += count;
        left -= count;
        count = next_count;
    }
    return false;
}

static size_t tournament_planned(const struct search_input *input)
{
    struct shape shape = choose_shape(input);
    return shape_trials(&shape);
}

const struct search_strategy search_tournament = {
    .name = "tournament",
    .help = "rounds halve the field, survivors are measured longer",
    .next = tournament_next,
    .planned = tournament_planned,
};
