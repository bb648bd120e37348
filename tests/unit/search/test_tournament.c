/* Rounds: halving fields, growing windows, who survives; and who goes to the final. */
#include "check.h"

#include "search/search.h"
#include "search/space.h"

#include "base/rng.h"

enum { ROUNDS = 16 };

static struct search_input input_of(struct arena *arena, size_t values, size_t trials,
                                    int finalists)
{
    const struct space_knob knob = {0, values};
    struct spec_study *study = space_study(arena, 1, &knob, 1);
    study->search.finalists = finalists;
    struct search_input input = {.study = study, .trials = trials};
    input.codes = space_codes(study, arena, &input.code_count);
    return input;
}

static const struct shape_row {
    const char *name;
    size_t values, trials;
    int finalists;
    size_t sizes[8]; /* of the rounds, ends with 0 */
    double windows[8];
} shapes[] = {
    {"24 trials, 2 finalists", 100, 24, 2, {13, 7, 4}, {0.25, 0.5, 1}},
    {"24 trials, 3 finalists", 100, 24, 3, {13, 7, 4}, {0.25, 0.5, 1}},
    {"small space", 5, 24, 3, {5}, {1}},
    {"as many as finalists", 3, 24, 3, {3}, {1}},
    {"no limit", 40, 0, 3, {40, 20, 10, 5}, {0.25, 0.25, 0.5, 1}},
    {"one candidate", 1, 10, 3, {1}, {1}},
};

static void test_shapes(void **state)
{
    (void)state;
    const struct search_strategy *t = search_strategy_find("tournament");
    for (size_t r = 0; r < ARRAY_LEN(shapes); r++) {
        const struct shape_row *row = &shapes[r];
        AUTO(arena_free) struct arena *arena = arena_new();
        struct search_input input = input_of(arena, row->values, row->trials, row->finalists);
        void *session = t->begin(&input, arena);
        size_t sizes[ROUNDS] = {0}, total = 0;
        struct search_request request;
        while (t->ask(session, &request)) {
            CHECK_ROW(r, row->name, request.round >= 1 && request.round <= 8);
            sizes[request.round - 1]++;
            total++;
            CHECK_ROW(r, row->name, request.window_ratio == row->windows[request.round - 1]);
            const struct search_result result = {request.code, request.round, VERDICT_OK,
                                                 (double)request.code / 100};
            t->tell(session, &result);
        }
        CHECK_ROW(r, row->name, t->planned(&input) == total);
        for (size_t k = 0; k < 8; k++)
            CHECK_ROW(r, row->name, sizes[k] == row->sizes[k]);
    }
}

/* In every round the candidates are the best of the round before, and none that failed. */
static void test_survivors(void **state)
{
    (void)state;
    const struct search_strategy *t = search_strategy_find("tournament");
    AUTO(arena_free) struct arena *arena = arena_new();
    struct search_input input = input_of(arena, 64, 0, 2);
    void *session = t->begin(&input, arena);
    struct search_request request;
    bool in_round[2][64] = {{false}};
    int round = 1;
    while (t->ask(session, &request)) {
        if (request.round > round) {
            memset(in_round[request.round % 2], 0, sizeof in_round[0]);
            round = request.round;
        }
        in_round[round % 2][request.code] = true;
        /* A third crashes, whatever its speed; a higher code is better. */
        bool crashes = request.code % 3 == 0;
        assert_false(crashes && round > 1);
        const struct search_result result = {request.code, round,
                                             crashes ? VERDICT_HUNG : VERDICT_OK,
                                             crashes ? NAN : (double)request.code / 64};
        t->tell(session, &result);
    }
    /* 64 -> 32 -> 16 -> 8 -> 4, the best four that do not crash; the final is the round of two. */
    assert_int_equal(round, 5);
    assert_true(in_round[1][62] && in_round[1][61] && in_round[1][59] && in_round[1][58]);
    size_t last = 0;
    for (size_t i = 0; i < 64; i++)
        last += in_round[1][i];
    assert_int_equal(last, 4);
}

static void test_all_fail(void **state)
{
    (void)state;
    const struct search_strategy *t = search_strategy_find("tournament");
    AUTO(arena_free) struct arena *arena = arena_new();
    struct search_input input = input_of(arena, 16, 0, 2);
    void *session = t->begin(&input, arena);
    struct search_request request;
    size_t count = 0;
    while (t->ask(session, &request)) {
        const struct search_result result = {request.code, 1, VERDICT_OOM_START, NAN};
        t->tell(session, &result);
        count++;
    }
    assert_int_equal(count, 16);
}

/* Slow ones survive only where there are too few that are ok, however bad those are. */
static void test_infeasible_survive_last(void **state)
{
    (void)state;
    const struct search_strategy *t = search_strategy_find("tournament");
    AUTO(arena_free) struct arena *arena = arena_new();
    struct search_input input = input_of(arena, 8, 0, 3);
    void *session = t->begin(&input, arena);
    struct search_request request;
    bool second[8] = {false};
    while (t->ask(session, &request)) {
        if (request.round == 2)
            second[request.code] = true;
        /* ok with fitness 0: 5, 6, 7; slow (0): the others. */
        const struct search_result result = {request.code, request.round,
                                             request.code >= 5 ? VERDICT_OK : VERDICT_SLOW, 0};
        t->tell(session, &result);
    }
    assert_true(second[5] && second[6] && second[7]);
    assert_int_equal(second[0] + second[1] + second[2] + second[3] + second[4], 1);
}

static int restarts(const struct spec_study *study, const spec_code *codes, size_t count)
{
    int sum = 0;
    for (size_t i = 1; i < count; i++) {
        struct spec_candidate a = spec_candidate_decode(study, codes[i - 1]);
        struct spec_candidate b = spec_candidate_decode(study, codes[i]);
        bool changed[8] = {false};
        for (size_t k = 0; k < study->knob_count; k++)
            if (a.index[k] != b.index[k])
                changed[study->knobs[k].service] = true;
        for (size_t s = 0; s < study->service_count; s++)
            sum += changed[s];
    }
    return sum;
}

static int compare_codes(const void *a, const void *b)
{
    const spec_code *x = a, *y = b;
    return (*x > *y) - (*x < *y);
}

static void test_arrange(void **state)
{
    (void)state;
    AUTO(arena_free) struct arena *arena = arena_new();
    const struct space_knob knobs[] = {{0, 4}, {0, 3}, {1, 5}, {1, 2}};
    struct spec_study *study = space_study(arena, 2, knobs, ARRAY_LEN(knobs));
    struct search_input input = {.study = study};
    input.codes = space_codes(study, arena, &input.code_count);
    for (uint64_t seed = 1; seed <= 20; seed++) {
        study->seed = seed;
        spec_code shuffled[120], arranged[120];
        size_t order[120];
        for (size_t i = 0; i < 120; i++)
            order[i] = i;
        struct rng rng = rng_init(seed, "order");
        rng_shuffle(&rng, order, 120);
        size_t count = 40;
        for (size_t i = 0; i < count; i++)
            shuffled[i] = arranged[i] = order[i];
        search_arrange(study, arranged, count, arena);
        assert_int_equal(arranged[0], shuffled[0]);
        assert_true(restarts(study, arranged, count) < restarts(study, shuffled, count) * 4 / 5);
        /* Each step is as short as it could have been at that point. */
        for (size_t at = 1; at < count; at++)
            for (size_t i = at + 1; i < count; i++) {
                const spec_code taken[] = {arranged[at - 1], arranged[at]};
                const spec_code other[] = {arranged[at - 1], arranged[i]};
                assert_true(restarts(study, taken, 2) <= restarts(study, other, 2));
            }
        qsort(shuffled, count, sizeof *shuffled, compare_codes);
        qsort(arranged, count, sizeof *arranged, compare_codes);
        assert_memory_equal(shuffled, arranged, count * sizeof *shuffled);
    }
}

/* Where every step changes everything, the order is the drawn one. */
static void test_arrange_keeps_ties(void **state)
{
    (void)state;
    AUTO(arena_free) struct arena *arena = arena_new();
    const struct space_knob knobs[] = {{0, 8}, {1, 8}};
    struct spec_study *study = space_study(arena, 2, knobs, ARRAY_LEN(knobs));
    const spec_code drawn[] = {3 * 8 + 5, 7 * 8 + 0, 1 * 8 + 6, 0 * 8 + 4, 6 * 8 + 2};
    spec_code codes[ARRAY_LEN(drawn)];
    memcpy(codes, drawn, sizeof codes);
    search_arrange(study, codes, ARRAY_LEN(codes), arena);
    assert_memory_equal(codes, drawn, sizeof codes);
}

static void test_finalists(void **state)
{
    (void)state;
    AUTO(arena_free) struct arena *arena = arena_new();
    static const struct search_result results[] = {
        {1, 1, VERDICT_OK, 0.9}, /* the luckiest first round, worse later */
        {2, 1, VERDICT_OK, 0.5},           {3, 1, VERDICT_OK, 0.8},
        {4, 1, VERDICT_OK, 0.7}, /* out after round 1 */
        {5, 1, VERDICT_SLOW, 0},           {6, 1, VERDICT_HUNG, NAN},
        {7, 1, VERDICT_OK, 0.6},           {8, 1, VERDICT_OK, NAN}, /* an objective unknown */
        {1, 2, VERDICT_OK, 0.4},           {2, 2, VERDICT_OK, 0.5},
        {3, 2, VERDICT_CRASHED_LOAD, NAN}, /* its latest word */
    };
    spec_code codes[8];
    size_t count = search_finalists(results, ARRAY_LEN(results), 7, true, codes, 8, arena);
    assert_int_equal(count, 3);
    assert_int_equal(codes[0], 2);
    assert_int_equal(codes[1], 1);
    assert_int_equal(codes[2], 4);
    assert_int_equal(search_finalists(results, ARRAY_LEN(results), 0, false, codes, 2, arena), 2);
    assert_int_equal(search_finalists(results, 0, 0, false, codes, 8, arena), 0);
    assert_int_equal(search_finalists(&results[4], 2, 0, false, codes, 8, arena), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_shapes),    cmocka_unit_test(test_survivors),
        cmocka_unit_test(test_all_fail),  cmocka_unit_test(test_infeasible_survive_last),
        cmocka_unit_test(test_arrange),   cmocka_unit_test(test_arrange_keeps_ties),
        cmocka_unit_test(test_finalists),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
