/* What a level asks of whole turns. */
#include "level_play.h"

#include "base/auto.h"

/* A turn counts from its first step's send, and one that broke there, of which nothing comes here,
 * is over. Before: the value of the turns that came through. */
static void test_whole_turns(void **state)
{
    (void)state;
    static const struct level_bound bound = {.text = "llm.turn.p95 < 1s",
                                             .stream = 1,
                                             .metric = METRIC_TURN,
                                             .limit = 1,
                                             .allowed = 0.05,
                                             .at_limit_is_over = true};
    static const struct {
        const char *name;
        uint32_t count;
        uint32_t breaks, fails; /* every so many-th breaks at its first step, or here; 0: none */
        double first_s;         /* from the end of speech to the send of this step */
        enum stats_level outcome;
        const char *broke;
    } rows[] = {
        {"all come through", 100, 0, 0, 0.1, LEVEL_MET, NULL},
        {"the step is quick, the turn is not", 100, 0, 0, 1.5, LEVEL_MISSED, "llm.turn.p95 < 1s: "},
        {"a third breaks before it", 99, 3, 0, 0.1, LEVEL_MISSED,
         "llm.turn.p95 < 1s: 33 of 99 over"},
        {"a third fails here", 99, 0, 3, 0.1, LEVEL_MISSED, "llm.turn.p95 < 1s: 33 of 99 over"},
        {"fourteen", 14, 0, 0, 0.1, LEVEL_LEANS_MET, NULL},
        {"one of fourteen broke", 14, 14, 0, 0.1, LEVEL_LEANS_MISSED,
         "llm.turn.p95 < 1s: 1 of 14 over"},
        {"all broke", 100, 1, 0, 0.1, LEVEL_MISSED, "llm.turn.p95 < 1s: 100 of 100 over"},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        AUTO(arena_free) struct arena *arena = arena_new();
        AUTO(free) struct load_record *records = calloc(2 * rows[i].count, sizeof *records);
        struct level_plan plan = plan_of(&bound, 1);
        struct store_capacity_point point;
        size_t count = 0;
        plan.begun[1] = 1;
        assert_non_null(records);
        for (uint32_t n = 0; n < rows[i].count; n++) {
            double at = n * 2.0 / rows[i].count;
            bool breaks = rows[i].breaks && (n + 1) % rows[i].breaks == 0;
            struct load_record *first = &records[count++];
            *first = record_of(n, at, rows[i].first_s);
            first->turn_start_ns = -1;
            first->error = breaks ? LOAD_CLOSED : LOAD_OK;
            if (breaks)
                continue;
            struct load_record *step = &records[count++];
            *step = record_of(n, at + rows[i].first_s, 0.05);
            step->stream = 1;
            step->turn_start_ns = first->intended_ns;
            step->first_token_ns = step->intended_ns + 20 * NS_PER_MS;
            if (rows[i].fails && (n + 1) % rows[i].fails == 0)
                step->error = LOAD_CLOSED;
        }
        AUTO(level_check_free) struct level_check *check = level_check_new(&plan);
        enum stats_level outcome = play(check, records, count, arena, &point);
        CHECK_ROW_TEXT(i, rows[i].name, stats_level_name(outcome),
                       stats_level_name(rows[i].outcome));
        CHECK_ROW(i, rows[i].name, !point.broke == !rows[i].broke);
        CHECK_ROW(i, rows[i].name,
                  !point.broke || point.early || strstr(point.broke, rows[i].broke));
        CHECK_ROW(i, rows[i].name, level_check_count(check, 1) <= count - rows[i].count);
    }
}

/* What a window was left for, as `show` tells it. Expected: turns are called so, and answers that
 * are slow one after the other are worth fewer than they are. Before: requests, each worth one. */
static void test_what_was_missed(void **state)
{
    (void)state;
    enum { COUNT = 300 };
    static const struct level_bound bounds[] = {
        {.text = "llm.latency.p95 < 26ms", .metric = METRIC_LATENCY, .limit = 0.026},
        {.text = "llm.turn.p95 < 1s", .metric = METRIC_TURN, .limit = 1},
    };
    static const struct {
        size_t bound;
        uint32_t run; /* so many are quick, then so many are not */
        const char *of;
        bool alike;
    } rows[] = {{0, 1, "requests", false}, {0, 50, "requests", true}, {1, 50, "turns", true}};
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        AUTO(arena_free) struct arena *arena = arena_new();
        struct load_record records[COUNT];
        struct level_bound bound = bounds[rows[i].bound];
        bound.allowed = 0.05;
        bound.at_limit_is_over = true;
        struct level_plan plan = plan_of(&bound, 1);
        struct store_capacity_point point;
        struct store_requirement counts = {.of = NULL};
        size_t at = 9;
        plan.window_ns = 100 * NS_PER_S;
        for (uint32_t n = 0; n < COUNT; n++) {
            bool slow = n / rows[i].run % 2 == 1;
            records[n] = record_of(n, n * 0.3, slow ? 0.2 : 0.01);
            records[n].first_token_ns = records[n].done_ns;
            records[n].turn_start_ns = records[n].done_ns - (slow ? 2 : 1) * NS_PER_S / 2 - 1;
        }
        AUTO(level_check_free) struct level_check *check = level_check_new(&plan);
        CHECK_ROW(i, bound.text, !level_check_missed_counts(check, &at, &counts));
        play(check, records, COUNT, arena, &point);
        CHECK_ROW(i, bound.text, level_check_missed_counts(check, &at, &counts) && at == 0);
        CHECK_ROW_TEXT(i, bound.text, counts.of, rows[i].of);
        CHECK_ROW_TEXT(i, bound.text, counts.text, bound.text);
        CHECK_ROW(i, bound.text, counts.over > 0 && counts.over <= counts.requests);
        CHECK_ROW(i, bound.text, (counts.worth < 0.9 * (double)counts.requests) == rows[i].alike);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_whole_turns),
        cmocka_unit_test(test_what_was_missed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
