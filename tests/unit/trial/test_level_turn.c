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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_whole_turns),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
