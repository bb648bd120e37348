/* Tokens counted by events beside tokens counted by servers: who is ranked. */
#include "check.h"

#include "study/counted.h"

static struct spec_study *study_of(struct arena *arena, enum metric metric)
{
    struct spec_study *study = arena_alloc(arena, sizeof *study);
    memset(study, 0, sizeof *study);
    study->services = arena_array(arena, 2, sizeof *study->services);
    memset(study->services, 0, 2 * sizeof *study->services);
    study->services[0].name = "stt";
    study->services[1].name = "llm";
    study->service_count = 2;
    study->objectives = arena_array(arena, 1, sizeof *study->objectives);
    memset(study->objectives, 0, sizeof *study->objectives);
    study->objectives[0].metric = (struct metric_ref){.service = 1, .metric = metric};
    study->objective_count = 1;
    return study;
}

static void only_what_differs_is_set_apart(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        enum metric goal;
        struct study_counted trials[3];
        uint32_t mixed;
    } rows[] = {
        {"all by events", METRIC_TOKENS_PER_S, {{true, 2}, {true, 2}, {true, 2}}, 0},
        {"all by servers", METRIC_TOKENS_PER_S, {{true, 0}, {true, 0}, {true, 0}}, 0},
        {"one of them", METRIC_TOKENS_PER_S, {{true, 0}, {true, 2}, {true, 0}}, 2},
        {"one that has no rank", METRIC_TOKENS_PER_S, {{true, 0}, {false, 2}, {true, 0}}, 0},
        {"another service", METRIC_TOKENS_PER_S, {{true, 0}, {true, 1}, {true, 0}}, 0},
        {"another goal", METRIC_LATENCY, {{true, 0}, {true, 2}, {true, 0}}, 0},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        AUTO(arena_free) struct arena *arena = arena_new();
        const struct spec_study *study = study_of(arena, rows[i].goal);
        CHECK_ROW(i, rows[i].name, study_counted_mixed(study, rows[i].trials, 3) == rows[i].mixed);
    }
}

static void services_by_name_and_by_row(void **state)
{
    (void)state;
    AUTO(arena_free) struct arena *arena = arena_new();
    const struct spec_study *study = study_of(arena, METRIC_TOKENS_PER_S);
    assert_int_equal(study_counted_names(study, NULL), 0);
    assert_int_equal(study_counted_names(study, "llm"), 2);
    assert_int_equal(study_counted_names(study, "stt llm other"), 3);
    const struct store_metric metrics[] = {
        {.service = "llm", .mode = "shared", .metric = "tokens_per_s", .method = METRIC_BY_EVENTS},
        {.service = "stt", .mode = "alone", .metric = "tokens_per_s", .method = METRIC_BY_EVENTS},
        {.service = "stt", .mode = "shared", .metric = "latency", .method = "ranks"},
    };
    const struct store_trial trial = {.metrics = metrics, .metric_count = ARRAY_LEN(metrics)};
    assert_int_equal(study_counted_by_events(study, &trial), 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(only_what_differs_is_set_apart),
        cmocka_unit_test(services_by_name_and_by_row),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
