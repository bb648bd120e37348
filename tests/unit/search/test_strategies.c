/* What holds for every strategy, whatever the space, the budget and the results: the same seed asks
 * the same, nobody is asked for twice in a round, budgets hold, and a session that is told a part
 * of the history goes on as the first one did. */
#include "check.h"

#include "search/search.h"
#include "search/space.h"

#include "base/rng.h"

static const struct row {
    const char *name, *strategy;
    size_t services;
    struct space_knob knobs[4];
    size_t knob_count, trials;
    int finalists;
} rows[] = {
    {"grid, all", "grid", 2, {{0, 3}, {0, 2}, {1, 4}}, 3, 0, 3},
    {"grid, limited", "grid", 2, {{0, 3}, {0, 2}, {1, 4}}, 3, 7, 3},
    {"random, all", "random", 2, {{0, 3}, {1, 5}}, 2, 0, 3},
    {"random, limited", "random", 2, {{0, 30}, {1, 50}}, 2, 20, 3},
    {"random, limit over the space", "random", 1, {{0, 5}}, 1, 100, 3},
    {"tournament, all", "tournament", 2, {{0, 4}, {1, 6}}, 2, 0, 3},
    {"tournament, limited", "tournament", 3, {{0, 10}, {1, 10}, {2, 10}}, 3, 24, 2},
    {"tournament, one finalist", "tournament", 2, {{0, 8}, {1, 8}}, 2, 40, 1},
    {"tournament, fewer trials than finalists", "tournament", 2, {{0, 8}, {1, 8}}, 2, 2, 5},
    {"tournament, one candidate", "tournament", 1, {{0, 1}}, 1, 24, 3},
    {"tournament, one trial", "tournament", 2, {{0, 8}, {1, 8}}, 2, 1, 1},
};

enum { MOST = 4096 };

struct world {
    struct arena *arena;
    struct search_input input;
    const struct search_strategy *strategy;
};

static struct world world_of(const struct row *row, uint64_t seed)
{
    struct world world = {.arena = arena_new()};
    struct spec_study *study = space_study(world.arena, row->services, row->knobs, row->knob_count);
    study->seed = seed;
    study->search.finalists = row->finalists;
    world.input.study = study;
    world.input.codes = space_codes(study, world.arena, &world.input.code_count);
    world.input.trials = row->trials;
    world.strategy = search_strategy_find(row->strategy);
    return world;
}

/* Results as a machine might give them: mostly ok, some slow, some without fitness. */
static struct search_result result_of(const struct search_request *request, uint64_t seed)
{
    char stream[64];
    snprintf(stream, sizeof stream, "%llu/%d", (unsigned long long)request->code, request->round);
    struct rng rng = rng_init(seed, stream);
    double kind = rng_unit(&rng), fitness = rng_unit(&rng);
    struct search_result result = {request->code, request->round, VERDICT_OK, fitness};
    if (kind < 0.1)
        result.verdict = VERDICT_CRASHED_LOAD, result.fitness = NAN;
    else if (kind < 0.2)
        result.verdict = VERDICT_SLOW, result.fitness = 0;
    else if (kind < 0.25)
        result.fitness = NAN; /* ok, but an objective is unknown */
    return result;
}

/* Runs a session to its end; requests and results side by side. */
static size_t play(const struct world *world, uint64_t seed, struct search_request *requests,
                   struct search_result *results)
{
    void *session = world->strategy->begin(&world->input, world->arena);
    size_t count = 0;
    while (count < MOST && world->strategy->ask(session, &requests[count])) {
        results[count] = result_of(&requests[count], seed);
        world->strategy->tell(session, &results[count]);
        count++;
    }
    return count;
}

static bool same(const struct search_request *a, const struct search_request *b)
{
    return a->code == b->code && a->round == b->round && a->window_ratio == b->window_ratio;
}

static void test_invariants(void **state)
{
    (void)state;
    static struct search_request requests[MOST];
    static struct search_result results[MOST];
    for (size_t r = 0; r < ARRAY_LEN(rows); r++) {
        for (uint64_t seed = 1; seed <= 10; seed++) {
            struct world world = world_of(&rows[r], seed);
            size_t count = play(&world, seed, requests, results);
            CHECK_ROW(r, rows[r].name, count >= 1 && count < MOST);
            CHECK_ROW(r, rows[r].name, count <= world.strategy->planned(&world.input));
            CHECK_ROW(r, rows[r].name, !rows[r].trials || count <= rows[r].trials);
            for (size_t i = 0; i < count; i++) {
                CHECK_ROW(r, rows[r].name, requests[i].code < world.input.code_count);
                CHECK_ROW(r, rows[r].name,
                          requests[i].window_ratio > 0 && requests[i].window_ratio <= 1);
                CHECK_ROW(r, rows[r].name, i == 0 || requests[i].round >= requests[i - 1].round);
                for (size_t k = 0; k < i; k++)
                    CHECK_ROW(r, rows[r].name,
                              requests[k].code != requests[i].code ||
                                  requests[k].round != requests[i].round);
            }
            arena_free(world.arena);
        }
    }
}

/* Cut anywhere: a new session that is told the first n results asks what the first one asked. */
static void test_replay(void **state)
{
    (void)state;
    static struct search_request requests[MOST], again;
    static struct search_result results[MOST];
    for (size_t r = 0; r < ARRAY_LEN(rows); r++) {
        struct world world = world_of(&rows[r], 7);
        size_t count = play(&world, 7, requests, results);
        for (size_t cut = 0; cut <= count; cut++) {
            struct world fresh = world_of(&rows[r], 7);
            void *session = fresh.strategy->begin(&fresh.input, fresh.arena);
            for (size_t i = 0; i < cut; i++)
                fresh.strategy->tell(session, &results[i]);
            bool more = fresh.strategy->ask(session, &again);
            CHECK_ROW(r, rows[r].name, more == (cut < count));
            CHECK_ROW(r, rows[r].name, !more || same(&again, &requests[cut]));
            /* Asking changes nothing. */
            struct search_request twice;
            CHECK_ROW(r, rows[r].name, fresh.strategy->ask(session, &twice) == more);
            CHECK_ROW(r, rows[r].name, !more || same(&again, &twice));
            arena_free(fresh.arena);
        }
        arena_free(world.arena);
    }
}

static void test_seeds_differ(void **state)
{
    (void)state;
    static struct search_request a[MOST], b[MOST];
    static struct search_result results[MOST];
    for (size_t r = 0; r < ARRAY_LEN(rows); r++) {
        if (strcmp(rows[r].strategy, "grid") == 0 || rows[r].knobs[0].values < 8 ||
            rows[r].trials < 20)
            continue;
        struct world one = world_of(&rows[r], 1), two = world_of(&rows[r], 2);
        size_t count = play(&one, 1, a, results);
        play(&two, 1, b, results);
        size_t equal = 0;
        for (size_t i = 0; i < count; i++)
            equal += a[i].code == b[i].code;
        CHECK_ROW(r, rows[r].name, equal < count / 2);
        arena_free(one.arena);
        arena_free(two.arena);
    }
}

static void test_unlimited_sees_everything(void **state)
{
    (void)state;
    static const char *const strategies[] = {"grid", "random", "tournament"};
    static struct search_request requests[MOST];
    static struct search_result results[MOST];
    for (size_t s = 0; s < ARRAY_LEN(strategies); s++) {
        const struct row row = {"all", strategies[s], 2, {{0, 6}, {1, 7}}, 2, 0, 3};
        struct world world = world_of(&row, 3);
        size_t count = play(&world, 3, requests, results), first_round = 0;
        bool seen[42] = {false};
        for (size_t i = 0; i < count; i++) {
            first_round += requests[i].round == 1;
            seen[requests[i].code] = true;
        }
        CHECK_ROW(s, strategies[s], first_round == 42);
        for (size_t i = 0; i < 42; i++)
            CHECK_ROW(s, strategies[s], seen[i]);
        arena_free(world.arena);
    }
}

/* A draw of few out of many is as uniform as one of many: each of 1,000 codes comes about as often.
 */
static void test_draw_is_uniform(void **state)
{
    (void)state;
    const struct row row = {"draw", "random", 1, {{0, 1000}}, 1, 20, 3};
    static int hits[1000];
    memset(hits, 0, sizeof hits);
    for (uint64_t seed = 1; seed <= 5000; seed++) {
        struct world world = world_of(&row, seed);
        spec_code *field;
        size_t count = search_field(&world.input, "random", 20, world.arena, &field);
        assert_int_equal(count, 20);
        for (size_t i = 0; i < count; i++)
            hits[field[i]]++;
        arena_free(world.arena);
    }
    double chi = 0; /* expected 100 each; 999 degrees of freedom: mean 999, sd 45 */
    for (size_t i = 0; i < 1000; i++)
        chi += (hits[i] - 100.0) * (hits[i] - 100.0) / 100.0;
    assert_true(chi > 999 - 5 * 45 && chi < 999 + 5 * 45);
}

/* Few or many, sparse or copied: the same draw. */
static void test_draw_does_not_depend_on_its_length(void **state)
{
    (void)state;
    const struct row row = {"draw", "random", 1, {{0, 4096}}, 1, 0, 3};
    struct world world = world_of(&row, 9);
    spec_code *few, *many;
    search_field(&world.input, "x", 2, world.arena, &few);
    search_field(&world.input, "x", 4095, world.arena, &many);
    assert_int_equal(few[0], many[0]);
    arena_free(world.arena);
}

/* Costs nothing to plan: a space of a million and 1,000 trials, told one by one. */
static void test_large_space(void **state)
{
    (void)state;
    const struct row row = {"large", "tournament", 2, {{0, 1000}, {1, 1000}}, 2, 1000, 3};
    struct world world = world_of(&row, 9);
    static struct search_request requests[MOST];
    static struct search_result results[MOST];
    size_t count = play(&world, 9, requests, results);
    assert_true(count > 900 && count <= 1000);
    arena_free(world.arena);
}

static void test_table(void **state)
{
    (void)state;
    size_t count = 0;
    const char *const *names = search_strategy_names(&count);
    assert_int_equal(count, search_strategy_count);
    for (size_t i = 0; i < count; i++) {
        const struct search_strategy *s = search_strategy_find(names[i]);
        assert_non_null(s);
        assert_true(s->begin && s->ask && s->tell && s->planned && s->help);
    }
    assert_null(search_strategy_find("bayes?"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_invariants),
        cmocka_unit_test(test_replay),
        cmocka_unit_test(test_seeds_differ),
        cmocka_unit_test(test_unlimited_sees_everything),
        cmocka_unit_test(test_draw_is_uniform),
        cmocka_unit_test(test_draw_does_not_depend_on_its_length),
        cmocka_unit_test(test_large_space),
        cmocka_unit_test(test_table),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
