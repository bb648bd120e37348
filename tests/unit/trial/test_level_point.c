/* What a level's point says: rates, quantiles, and that it was our own doing. */
#include "level_play.h"

#include "base/auto.h"
#include "base/rng.h"
#include "trial/finding.h"

/* Four clients in step, 0.5 s an answer: 8 a second, whatever the window begins with. Expected: 8;
 * before: 4, since what the warm-up had asked was in no rate. */
static void test_rates_count_ends(void **state)
{
    (void)state;
    AUTO(arena_free) struct arena *arena = arena_new();
    struct level_bound bound = p95_bound;
    struct level_plan plan = plan_of(&bound, 1);
    struct load_record records[16];
    struct store_capacity_point point;
    size_t count = 0;
    bound.limit = 1;
    plan.window_ns = NS_PER_S;
    for (int round = 0; round < 4; round++)
        for (int client = 0; client < 4; client++, count++)
            records[count] = record_of((uint32_t)count, -0.8 + 0.5 * round, 0.5);
    AUTO(level_check_free) struct level_check *check = level_check_new(&plan);
    play(check, records, count, arena, &point);
    assert_int_equal(point.requests, 8);
    assert_true(point.answered_rps == 8 && point.good_rps == 8);
}

/* Good is what goodput calls so: of a metric the strictest quantile's limit, and gaps as well.
 * Before: the smallest limit of all (half of the first row's), and gaps not asked. */
static void test_good_is_goodput(void **state)
{
    (void)state;
    const struct level_bound both[] = {{.text = "llm.latency.p50 < 100ms",
                                        .metric = METRIC_LATENCY,
                                        .limit = 0.1,
                                        .allowed = 0.5,
                                        .at_limit_is_over = true},
                                       {.text = "llm.latency.p99 < 1s",
                                        .metric = METRIC_LATENCY,
                                        .limit = 1,
                                        .allowed = 0.01,
                                        .at_limit_is_over = true}};
    static const struct {
        const char *name;
        double latency_s, itl_s; /* limits; NaN: none */
        double slow_s;           /* of every second answer */
        double good_rps;         /* of 40 */
    } rows[] = {
        {"of two quantiles the stricter one's limit", 1, NAN, 0.2, 40},
        {"over that too", 1, NAN, 1.5, 20},
        {"a gap of 20 ms may be", 1, 0.02, 0.2, 40},
        {"of 15 ms: the slow ones' are 20", 1, 0.015, 0.2, 20},
        {"gaps alone", NAN, 0.015, 0.2, 20},
        {"nothing is asked of one request", NAN, NAN, 1.5, 40},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        AUTO(arena_free) struct arena *arena = arena_new();
        struct load_record records[160]; /* 40 a second, from 2 s before the window on */
        struct store_capacity_point point;
        struct level_plan plan = plan_of(both, ARRAY_LEN(both));
        struct finding_limits limits = finding_limits_none();
        limits.latency_s = rows[i].latency_s;
        limits.itl_s = rows[i].itl_s;
        plan.limits = &limits;
        plan.has_more = true;
        for (uint32_t k = 0; k < ARRAY_LEN(records); k++) {
            double s = k % 2 ? rows[i].slow_s : 0.05;
            struct load_record *r = &records[k];
            *r = record_of(k, k * 0.025 - 2, s);
            r->gap_count = 10;
            r->first_token_ns = r->intended_ns;
            r->last_token_ns = r->done_ns;
        }
        AUTO(level_check_free) struct level_check *check = level_check_new(&plan);
        level_check_begin(check, START_NS);
        for (size_t k = 0; k < ARRAY_LEN(records); k++)
            level_check_add(check, &records[k]);
        level_check_close(check, CLOCK_NEVER, &quiet, arena, &point);
        CHECK_ROW(i, rows[i].name, fabs(point.answered_rps - 40) < 1);
        CHECK_ROW(i, rows[i].name, fabs(point.good_rps - rows[i].good_rps) < 1);
    }
}

/* A closed loop shows no late send for a loop that stood still. Before: "missed", as if the service
 * had been slow. */
static void test_own_standstill(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        double latency_s, p99_s, max_s, until_s; /* of the service; of our loop; of the window */
        uint64_t long_ones;                      /* of 100 moments, 10 ms late or more */
        enum stats_level outcome;
    } rows[] = {
        {"quiet", 0.030, 0.0002, 0.005, 2, 0, LEVEL_MISSED},
        {"stood still", 0.030, 0.2, 0.3, 2, 15, LEVEL_OWN_LIMIT},
        {"met in spite of it", 0.010, 0.02, 0.03, 2, 2, LEVEL_MET},
        {"met since nothing was asked for", 0.010, 0.2, 0.3, 2, 15, LEVEL_OWN_LIMIT},
        {"under 1 % of a long latency", 2, 0.015, 0.015, 2, 1, LEVEL_MISSED},
        {"a hiccup of a short look", 0.030, 0.0015, 0.0015, 0.4, 0, LEVEL_MISSED},
        {"1 % of a short look", 0.030, 0.0045, 0.0045, 0.4, 0, LEVEL_OWN_LIMIT},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        AUTO(arena_free) struct arena *arena = arena_new();
        struct load_record records[200];
        struct store_capacity_point point;
        struct level_plan plan = plan_of(&p95_bound, 1);
        const struct load_report report = {
            .stall_p99_s = rows[i].p99_s,
            .stall_max_s = rows[i].max_s,
            .stalls = {[0] = 100 - rows[i].long_ones, [4] = rows[i].long_ones}};
        plan.window_ns = (int64_t)(rows[i].until_s * NS_PER_S);
        plan.has_more = true; /* seen to its end */
        for (uint32_t k = 0; k < ARRAY_LEN(records); k++)
            records[k] = record_of(k, k * rows[i].until_s / ARRAY_LEN(records), rows[i].latency_s);
        AUTO(level_check_free) struct level_check *check = level_check_new(&plan);
        level_check_begin(check, START_NS);
        for (size_t k = 0; k < ARRAY_LEN(records); k++)
            level_check_add(check, &records[k]);
        enum stats_level outcome = level_check_close(check, CLOCK_NEVER, &report, arena, &point);
        CHECK_ROW_TEXT(i, rows[i].name, stats_level_name(outcome),
                       stats_level_name(rows[i].outcome));
    }
}

/* Of a level that was left because it was missed the quick ones had answered: no quantile. Where
 * neighbours are alike and few, no interval. Before: a p95 of 10 ms, and ranks as of requests that
 * have nothing to do with each other. */
static void test_quantiles_of_a_level(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        int every; /* so many hang for a second */
        bool alike, told, interval;
    } rows[] = {
        {"nobody is like another", 0, false, true, true},
        {"neighbours are alike", 0, true, true, false},
        {"left early", 3, false, false, false},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        AUTO(arena_free) struct arena *arena = arena_new();
        struct rng rng = rng_init(7, "values");
        struct load_record records[600];
        struct store_capacity_point point;
        for (uint32_t k = 0; k < ARRAY_LEN(records); k++) {
            double quick = 0.010 + 0.010 * (rows[i].alike ? (k / 60) % 2 : rng_unit(&rng));
            records[k] = record_of(k, k * 0.002, rows[i].every && k % 3 == 1 ? 1 : quick);
        }
        struct level_plan plan = plan_of(&p95_bound, 1);
        plan.has_more = true;
        AUTO(level_check_free) struct level_check *check = level_check_new(&plan);
        play(check, records, ARRAY_LEN(records), arena, &point);
        CHECK_ROW(i, rows[i].name, point.early == !rows[i].told);
        CHECK_ROW(i, rows[i].name, isnan(point.p50) == !rows[i].told);
        CHECK_ROW(i, rows[i].name, isnan(point.p95) == !rows[i].told);
        CHECK_ROW(i, rows[i].name, !isnan(point.p50_low) == rows[i].interval);
        CHECK_ROW(i, rows[i].name, !isnan(point.p95_high) == rows[i].interval);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rates_count_ends),
        cmocka_unit_test(test_good_is_goodput),
        cmocka_unit_test(test_own_standstill),
        cmocka_unit_test(test_quantiles_of_a_level),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
