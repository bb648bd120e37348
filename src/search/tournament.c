/* tournament: rounds that halve the field while each survivor is measured longer (successive
 * halving; Karnin, Koren and Somekh 2013, Jamieson and Talwalkar 2016). The first round sees many
 * candidates shortly, the last few at the full window.
 *
 * The first field is as large as the limit on trials allows: n + n/2 + n/4 + ... <= trials.
 * Survivors of a round are its better half by fitness; a trial without fitness never survives, an
 * infeasible one (fitness 0) only where feasible ones are too few. Rounds go on until the final
 * takes over: its cold starts are the round of the last `finalists`. */
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
    while (shape.rounds < ROUNDS_MAX && half(shape.size[shape.rounds - 1]) > finalists) {
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
    size_t finalists =
        (size_t)(input->study->search.finalists > 0 ? input->study->search.finalists : 1);
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
    if (x->verdict != y->verdict) /* both 0: feasible before infeasible */
        return x->verdict == VERDICT_OK ? -1 : 1;
    return x->code < y->code ? -1 : 1;
}

struct tournament {
    const struct search_input *input;
    struct arena *arena;
    struct shape shape;
    int round;                     /* under way; over shape.rounds: ended */
    spec_code *field;              /* of the round */
    size_t count, done;            /* of the round; done results are known */
    struct search_result *results; /* of the round */
    size_t told;                   /* in all */
};

static void *tournament_begin(const struct search_input *input, struct arena *arena)
{
    struct tournament *t = arena_alloc(arena, sizeof *t);
    *t = (struct tournament){
        .input = input, .arena = arena, .shape = choose_shape(input), .round = 1};
    t->count = t->shape.size[0]
                   ? search_field(input, "tournament", t->shape.size[0], arena, &t->field)
                   : 0;
    t->results = arena_array(arena, t->count, sizeof *t->results);
    return t;
}

/* The survivors of the finished round become the next one's field, arranged for few restarts. */
static void advance(struct tournament *t)
{
    size_t keep = t->round < t->shape.rounds ? t->shape.size[t->round] : 0, n = 0;
    for (size_t i = 0; i < t->count; i++)
        if (verdict_facts(t->results[i].verdict)->has_fitness && !isnan(t->results[i].fitness))
            t->results[n++] = t->results[i];
    qsort(t->results, n, sizeof *t->results, compare_results);
    t->count = n < keep ? n : keep;
    for (size_t i = 0; i < t->count; i++)
        t->field[i] = t->results[i].code;
    search_arrange(t->input->study, t->field, t->count, t->arena);
    t->done = 0;
    t->round++;
}

static bool tournament_ask(const void *session, struct search_request *ret_request)
{
    const struct tournament *t = session;
    if (t->done >= t->count || (t->input->trials && t->told >= t->input->trials))
        return false;
    *ret_request = (struct search_request){
        .code = t->field[t->done],
        .round = t->round,
        .window_ratio = window_ratio(&t->shape, t->round),
    };
    return true;
}

static void tournament_tell(void *session, const struct search_result *result)
{
    struct tournament *t = session;
    t->results[t->done++] = *result;
    t->told++;
    if (t->done == t->count)
        advance(t);
}

static size_t tournament_planned(const struct search_input *input)
{
    struct shape shape = choose_shape(input);
    return shape_trials(&shape);
}

const struct search_strategy search_tournament = {
    .name = "tournament",
    .help = "rounds halve the field, survivors are measured longer",
    .begin = tournament_begin,
    .ask = tournament_ask,
    .tell = tournament_tell,
    .planned = tournament_planned,
};
