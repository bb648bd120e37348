/* Stored rows to requirements and fitness. */
#include "check.h"

#include "trial/goal.h"

#include <math.h>

static const struct metric_ref refs[] = {
    {0, METRIC_LATENCY, STAT_P95},  /* stt.latency.p95 */
    {0, METRIC_ERRORS, STAT_VALUE}, /* stt.errors */
    {1, METRIC_TOKENS_PER_S, STAT_VALUE}, {1, METRIC_ERROR_RATIO, STAT_VALUE},
    {2, METRIC_LATENCY, STAT_P95}, /* t.latency.p95: a part of stt's name */
};
enum { REF_COUNT = ARRAY_LEN(refs) };

struct fixture {
    struct arena *arena;
    struct spec_study study;
    struct spec_requirement requirements[4];
    struct spec_objective objectives[4];
};

static enum expr_name resolve(void *context, const char *name, size_t *ret_id, struct err *err)
{
    struct fixture *f = context;
    for (size_t id = 0; id < REF_COUNT; id++)
        if (strcmp(spec_metric_ref_name(&f->study, refs[id]), name) == 0) {
            *ret_id = id;
            return EXPR_NAME_VARIABLE;
        }
    err_set(err, ERR_INPUT, "no %s", name);
    return EXPR_NAME_BAD;
}

static void init(struct fixture *f)
{
    static struct spec_service services[] = {{.name = "stt"}, {.name = "llm"}, {.name = "t"}};
    *f = (struct fixture){.arena = arena_new()};
    f->study.arena = f->arena;
    f->study.services = services;
    f->study.service_count = ARRAY_LEN(services);
    f->study.metric_refs = arena_array(f->arena, REF_COUNT, sizeof *f->study.metric_refs);
    memcpy(f->study.metric_refs, refs, sizeof refs);
    f->study.metric_ref_count = REF_COUNT;
    f->study.requirements = f->requirements;
    f->study.objectives = f->objectives;
}

static void require(struct fixture *f, const char *text)
{
    const struct expr_names names = {.context = f, .resolve = resolve};
    struct expr *expr = NULL;
    struct err err = ERR_INIT;
    if (!expr_parse(f->arena, text, &names, &expr, &err))
        fail_msg("%s: %s", text, err.text);
    f->requirements[f->study.requirement_count++].expr = expr;
}

static void optimise(struct fixture *f, size_t ref, double good, double bad, double weight)
{
    f->objectives[f->study.objective_count++] =
        (struct spec_objective){.metric = refs[ref],
                                .good = good,
                                .bad = bad,
                                .weight = weight,
                                .name = spec_metric_ref_name(&f->study, refs[ref])};
}

#define ROW(s, mode_, m, st, v)                                                                    \
    {                                                                                              \
        .service = s, .mode = mode_, .metric = m, .stat = st, .value = v, .count = 40              \
    }
static const struct store_metric metrics[] = {
    ROW("stt", "alone", "latency", "p95", 0.1),
    ROW("stt", "shared", "latency", "p50", 0.2),
    ROW("stt", "shared", "latency", "p95", 0.612),
    ROW("stt", "shared", "errors", "", 0),
    ROW("llm", "shared", "tokens_per_s", "", 40),
    ROW("llm", "shared", "error_ratio", "", 0.02),
    {"t", "shared", "latency", "p95", .value = 3, .low = NAN, .high = NAN, .count = 14},
};

static void test_lookup(void **state)
{
    (void)state;
    struct fixture f;
    init(&f);
    assert_true(goal_metric(&f.study, metrics, ARRAY_LEN(metrics), refs[0]) == 0.612);
    const struct metric_ref absent = {0, METRIC_LATENCY, STAT_P99};
    assert_true(isnan(goal_metric(&f.study, metrics, ARRAY_LEN(metrics), absent)));
    assert_true(isnan(goal_metric(&f.study, metrics, 0, refs[0])));
    arena_free(f.arena);
}

static const struct requirement_row {
    const char *text;
    const char *failed; /* NULL: met */
    int service;
    bool on_errors;
    size_t metric_count; /* rows that are there; 0: all */
} requirements[] = {
    {"stt.errors == 0", NULL, -1, false, 0},
    {"stt.latency.p95 < 700ms", NULL, -1, false, 0},
    {"stt.latency.p95 < 500ms", "stt.latency.p95 is 612 ms, required < 500 ms", 0, false, 0},
    {"llm.tokens_per_s >= 50", "llm.tokens_per_s is 40 /s, required >= 50 /s", 1, false, 0},
    {"llm.error_ratio <= 1%", "llm.error_ratio is 2.0 %, required <= 1.0 %", 1, true, 0},
    {"t.latency.p95 < 1s", "t.latency.p95 is 3.00 s (n=14), required < 1.00 s", 2, false, 0},
    {"stt.errors == 0", "stt.errors is unknown, required == 0", 0, true, 3},
    {"500ms > stt.latency.p95", "not met: 500ms > stt.latency.p95; stt.latency.p95 is 612 ms", 0,
     false, 0},
    {"stt.latency.p95 * 2 < 1s", "not met: stt.latency.p95 * 2 < 1s; stt.latency.p95 is 612 ms", 0,
     false, 0},
    {"llm.tokens_per_s > 100 or stt.latency.p95 < 100ms",
     "not met: llm.tokens_per_s > 100 or stt.latency.p95 < 100ms; llm.tokens_per_s is 40 /s", 1,
     false, 0},
};

static void test_requirements(void **state)
{
    (void)state;
    for (size_t r = 0; r < ARRAY_LEN(requirements); r++) {
        const struct requirement_row *row = &requirements[r];
        struct fixture f;
        init(&f);
        require(&f, row->text);
        size_t count = row->metric_count ? row->metric_count : ARRAY_LEN(metrics);
        struct goal_result g = goal_evaluate(&f.study, metrics, count, f.arena);
        CHECK_ROW(r, row->text, g.met == !row->failed);
        CHECK_ROW(r, row->text, g.failed_service == row->service);
        CHECK_ROW(r, row->text, g.failed_on_errors == row->on_errors);
        CHECK_ROW(r, row->text,
                  g.fitness == (row->failed ? 0 : 1)); /* no objectives: all as good */
        if (row->failed)
            CHECK_ROW_TEXT(r, row->text, g.failed, row->failed);
        else
            CHECK_ROW(r, row->text, !g.failed);
        arena_free(f.arena);
    }
}

static void test_first_failure_speaks(void **state)
{
    (void)state;
    struct fixture f;
    init(&f);
    require(&f, "stt.errors == 0");
    require(&f, "llm.tokens_per_s > 50");
    require(&f, "stt.latency.p95 < 1ms");
    struct goal_result g = goal_evaluate(&f.study, metrics, ARRAY_LEN(metrics), f.arena);
    assert_true(!g.met && g.failed_service == 1 && strstr(g.failed, "tokens_per_s"));
    arena_free(f.arena);
}

/* 612 ms between 100 ms and 10 s on the logarithmic scale: log(10/0.612) / log(100) = 0.60662;
 * 40/s between 20 and 90: 2/7; weights 3 and 1: exp((3 ln 0.60662 + ln 0.285714) / 4) = 0.50254. */
static void test_fitness(void **state)
{
    (void)state;
    struct fixture f;
    init(&f);
    optimise(&f, 0, 0.1, 10, 3);
    optimise(&f, 2, 90, 20, 1);
    struct goal_result g = goal_evaluate(&f.study, metrics, ARRAY_LEN(metrics), f.arena);
    assert_true(g.met);
    assert_true(fabs(g.fitness - 0.50254) < 1e-4);
    arena_free(f.arena);
}

/* An objective beyond its bad end is 0 for all, and one that was not measured is no success. */
static void test_fitness_of_failures(void **state)
{
    (void)state;
    struct fixture f;
    init(&f);
    optimise(&f, 0, 0.1, 10, 1);
    optimise(&f, 4, 0.1, 2, 1); /* 3 s */
    struct goal_result g = goal_evaluate(&f.study, metrics, ARRAY_LEN(metrics), f.arena);
    assert_true(g.met && g.fitness == 0);
    g = goal_evaluate(&f.study, metrics, 3, f.arena); /* without t's row */
    assert_true(!g.met && g.fitness == 0 && g.failed_service == 2);
    assert_string_equal(g.failed, "t.latency.p95 could not be measured in this window");
    arena_free(f.arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_lookup),
        cmocka_unit_test(test_requirements),
        cmocka_unit_test(test_first_failure_speaks),
        cmocka_unit_test(test_fitness),
        cmocka_unit_test(test_fitness_of_failures),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
