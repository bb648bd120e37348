/* The Pareto front on small hand-made tables, and against its definition on random ones. */
#include "stats/pareto.h"

#include "check.h"

#include <math.h>

#include "base/auto.h"
#include "base/rng.h"

static const enum stats_direction lower_higher[] = {DIRECTION_LOWER, DIRECTION_HIGHER};

static void test_table(void **state)
{
    (void)state;
    static const struct {
        double latency, tokens;
        bool front;
    } rows[] = {
        {0.2, 50, true},   {0.1, 40, true},       {0.3, 50, false}, {0.1, 40, true}, /* equal */
        {NAN, 900, false}, {0.01, NAN, false},    {0.1, 39, false}, {0.5, 60, true},
        {0.6, 60, false},  {INFINITY, 70, true},
    };
    double values[2 * ARRAY_LEN(rows)];
    bool front[ARRAY_LEN(rows)];
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        values[2 * i] = rows[i].latency;
        values[2 * i + 1] = rows[i].tokens;
    }
    stats_pareto_front(values, ARRAY_LEN(rows), 2, lower_higher, front);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        CHECK_ROW(i, "front", front[i] == rows[i].front);
    stats_pareto_front(values, 3, 0, lower_higher, front);
    assert_false(front[0] || front[1] || front[2]);
    stats_pareto_front(values, 0, 2, lower_higher, front);
}

/* Every row off the front is beaten by one on it, no row on it is beaten by any. */
static void test_definition(void **state)
{
    (void)state;
    enum { ROWS = 60, COLUMNS = 3 };
    const enum stats_direction all_lower[COLUMNS] = {DIRECTION_LOWER};
    struct rng rng = rng_init(8, "front");
    for (int round = 0; round < 50; round++) {
        double values[ROWS][COLUMNS];
        bool front[ROWS];
        for (size_t r = 0; r < ROWS; r++) {
            for (size_t c = 0; c < COLUMNS; c++)
                values[r][c] = (double)rng_below(&rng, 8);
        }
        stats_pareto_front(&values[0][0], ROWS, COLUMNS, all_lower, front);
        for (size_t r = 0; r < ROWS; r++) {
            bool beaten = false;
            for (size_t o = 0; o < ROWS; o++) {
                bool as_good = true, better = false;
                for (size_t c = 0; c < COLUMNS; c++) {
                    as_good &= values[o][c] <= values[r][c];
                    better |= values[o][c] < values[r][c];
                }
                beaten |= as_good && better && (front[r] || front[o]);
            }
            assert_true(front[r] != beaten);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_table),
        cmocka_unit_test(test_definition),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
