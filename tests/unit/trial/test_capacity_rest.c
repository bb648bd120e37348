/* What no request by itself can break: certain, or leaning, or not told. */
#include "check.h"

#include "trial/capacity_rest.h"

#include <math.h>

static const struct metric_ref refs[] = {
    {0, METRIC_ITL, STAT_P95},           {0, METRIC_ITL, STAT_P99},
    {0, METRIC_LATENCY, STAT_MEAN},      {0, METRIC_ITL, STAT_MAX},
    {0, METRIC_TURN_ERRORS, STAT_VALUE}, {0, METRIC_TOKENS_PER_S, STAT_VALUE},
};

static enum expr_name resolve(void *context, const char *name, size_t *ret_id, struct err *err)
{
    for (size_t id = 0; id < ARRAY_LEN(refs); id++)
        if (strcmp(spec_metric_ref_name(context, refs[id]), name) == 0) {
            *ret_id = id;
            return EXPR_NAME_VARIABLE;
        }
    err_set(err, ERR_INPUT, "no %s", name);
    return EXPR_NAME_BAD;
}

struct fixture {
    struct arena *arena;
    struct spec_study study;
    struct spec_requirement requirements[4];
};

static void init(struct fixture *f)
{
    static struct spec_service services[] = {{.name = "llm"}};
    *f = (struct fixture){.arena = arena_new()};
    f->study.arena = f->arena;
    f->study.services = services;
    f->study.service_count = 1;
    f->study.metric_refs = arena_array(f->arena, ARRAY_LEN(refs), sizeof refs[0]);
    memcpy(f->study.metric_refs, refs, sizeof refs);
    f->study.metric_ref_count = ARRAY_LEN(refs);
    f->study.requirements = f->requirements;
}

static void require(struct fixture *f, const char *text)
{
    const struct expr_names names = {.context = &f->study, .resolve = resolve};
    struct expr *expr = NULL;
    struct err err = ERR_INIT;
    if (!expr_parse(f->arena, text, &names, &expr, &err))
        fail_msg("%s: %s", text, err.text);
    f->requirements[f->study.requirement_count++].expr = expr;
}

static struct store_metric row_of(size_t id, double value, double low, double high)
{
    return (struct store_metric){.service = "llm",
                                 .mode = "shared",
                                 .metric = metric_facts(refs[id].metric)->name,
                                 .stat = metric_stat_name(refs[id].stat),
                                 .value = value,
                                 .low = low,
                                 .high = high,
                                 .count = 14};
}

/* Before: the value of one window was an answer that counted as certain. */
static void test_one(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        size_t id;
        double value, low, high;
        enum stats_level outcome;
        bool longer_helps; /* asked where it leans */
    } rows[] = {
        {"llm.itl.p95 < 20ms", 0, 0.010, 0.008, 0.012, LEVEL_MET, false},
        {"llm.itl.p95 < 20ms", 0, 0.015, 0.012, 0.022, LEVEL_LEANS_MET, true},
        {"llm.itl.p95 < 20ms", 0, 0.025, 0.018, 0.030, LEVEL_LEANS_MISSED, true},
        {"llm.itl.p95 < 20ms", 0, 0.025, 0.022, 0.030, LEVEL_MISSED, false},
        /* What fourteen can't carry. */
        {"llm.itl.p99 < 20ms", 1, 0.010, NAN, NAN, LEVEL_LEANS_MET, true},
        {"llm.itl.p99 < 20ms", 1, 0.025, NAN, NAN, LEVEL_LEANS_MISSED, true},
        {"llm.itl.p99 < 20ms", 1, 0.010, 0.008, NAN, LEVEL_LEANS_MET, true},
        {"llm.itl.p99 < 20ms", 0, 0.010, 0.008, 0.012, LEVEL_LEANS_MISSED, true}, /* unknown */
        /* No interval, no certainty. */
        {"llm.latency.mean < 20ms", 2, 0.010, NAN, NAN, LEVEL_LEANS_MET, false},
        {"llm.latency.mean < 20ms", 2, 0.025, NAN, NAN, LEVEL_LEANS_MISSED, false},
        {"llm.tokens_per_s > 20/s", 5, 25, NAN, NAN, LEVEL_LEANS_MET, false},
        {"llm.tokens_per_s > 20/s", 5, 15, NAN, NAN, LEVEL_LEANS_MISSED, false},
        {"llm.tokens_per_s > 20/s", 2, 15, NAN, NAN, LEVEL_LEANS_MISSED, true}, /* unknown */
        /* What the window was. */
        {"llm.itl.max < 20ms", 3, 0.010, NAN, NAN, LEVEL_MET, false},
        {"llm.itl.max < 20ms", 3, 0.025, NAN, NAN, LEVEL_MISSED, false},
        {"llm.turn_errors == 0", 4, 0, NAN, NAN, LEVEL_MET, false},
        {"llm.turn_errors == 0", 4, 3, NAN, NAN, LEVEL_MISSED, false},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct fixture f;
        const char *broke = NULL;
        bool longer_helps = true;
        init(&f);
        require(&f, rows[i].text);
        const struct store_metric row =
            row_of(rows[i].id, rows[i].value, rows[i].low, rows[i].high);
        enum stats_level outcome =
            capacity_judge_rest(&f.study, &row, 1, LEVEL_MET, f.arena, &longer_helps, &broke);
        CHECK_ROW_TEXT(i, rows[i].text, stats_level_name(outcome),
                       stats_level_name(rows[i].outcome));
        CHECK_ROW(i, rows[i].text, longer_helps == rows[i].longer_helps);
        CHECK_ROW(i, rows[i].text, !broke == (rows[i].outcome <= LEVEL_LEANS_MET));
        arena_free(f.arena);
    }
}

/* The worst counts, whatever the order; one that is certain is the reason. */
static void test_several(void **state)
{
    (void)state;
    static const struct {
        const char *texts[3];
        enum stats_level before, outcome;
        const char *broke;
    } rows[] = {
        {{"llm.itl.max < 20ms"}, LEVEL_LEANS_MET, LEVEL_LEANS_MET, NULL},
        {{"llm.itl.p95 < 20ms", "llm.itl.max < 20ms"}, LEVEL_MET, LEVEL_LEANS_MET, NULL},
        {{"llm.latency.mean < 5ms", "llm.turn_errors == 0"},
         LEVEL_MET,
         LEVEL_MISSED,
         "llm.turn_errors is 3, required == 0"},
        {{"llm.turn_errors == 0", "llm.latency.mean < 5ms"},
         LEVEL_MET,
         LEVEL_MISSED,
         "llm.turn_errors is 3, required == 0"},
        {{"llm.latency.mean < 5ms", "llm.itl.p99 < 1s"},
         LEVEL_MET,
         LEVEL_LEANS_MISSED,
         "llm.latency.mean is "},
        {{"llm.itl.p95 < 30ms and llm.itl.max < 20ms"}, LEVEL_MET, LEVEL_MET, NULL},
        {{"llm.itl.p95 < 20ms and llm.itl.max < 20ms"}, LEVEL_MET, LEVEL_LEANS_MET, NULL},
        {{"llm.itl.p95 < 20ms and llm.turn_errors == 0"}, LEVEL_MET, LEVEL_MISSED, "not met"},
    };
    const struct store_metric metrics[] = {row_of(0, 0.015, 0.012, 0.022),
                                           row_of(2, 0.010, NAN, NAN), row_of(3, 0.015, NAN, NAN),
                                           row_of(4, 3, NAN, NAN)};
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct fixture f;
        const char *broke = NULL;
        bool longer_helps = true;
        init(&f);
        for (size_t k = 0; k < ARRAY_LEN(rows[i].texts) && rows[i].texts[k]; k++)
            require(&f, rows[i].texts[k]);
        enum stats_level outcome = capacity_judge_rest(
            &f.study, metrics, ARRAY_LEN(metrics), rows[i].before, f.arena, &longer_helps, &broke);
        CHECK_ROW_TEXT(i, rows[i].texts[0], stats_level_name(outcome),
                       stats_level_name(rows[i].outcome));
        CHECK_ROW(i, rows[i].texts[0], !broke == !rows[i].broke);
        CHECK_ROW(i, rows[i].texts[0], !broke || strstr(broke, rows[i].broke));
        arena_free(f.arena);
    }
}

/* A longer window is worth its time where one of all that leans may be decided by it. Before: a
 * mean alone had every level looked at in windows of 1, 2 and 4. */
static void test_longer_helps(void **state)
{
    (void)state;
    static const struct {
        const char *texts[2];
        enum stats_level before;
        bool longer_helps;
    } rows[] = {
        {{"llm.latency.mean < 20ms"}, LEVEL_MET, false},
        {{"llm.latency.mean < 20ms"}, LEVEL_LEANS_MET, true}, /* single requests leave it open */
        {{"llm.latency.mean < 20ms", "llm.itl.p95 < 20ms"}, LEVEL_MET, true},
        {{"llm.itl.p95 < 20ms", "llm.latency.mean < 20ms"}, LEVEL_MET, true},
        {{"llm.latency.mean < 20ms", "llm.itl.p95 < 30ms"}, LEVEL_MET, false},
        {{"llm.itl.p95 < 30ms and llm.latency.mean < 20ms"}, LEVEL_MET, false},
        {{"llm.itl.p95 < 20ms and llm.latency.mean < 20ms"}, LEVEL_MET, true},
        {{"llm.itl.p95 < 20ms and llm.latency.mean < 5ms"}, LEVEL_MET, false},
        {{"llm.itl.p95 < 20ms or llm.latency.mean < 20ms"}, LEVEL_MET, false},
    };
    const struct store_metric metrics[] = {row_of(0, 0.015, 0.012, 0.022),
                                           row_of(2, 0.010, NAN, NAN)};
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct fixture f;
        const char *broke = NULL;
        bool longer_helps = !rows[i].longer_helps;
        init(&f);
        for (size_t k = 0; k < ARRAY_LEN(rows[i].texts) && rows[i].texts[k]; k++)
            require(&f, rows[i].texts[k]);
        capacity_judge_rest(&f.study, metrics, ARRAY_LEN(metrics), rows[i].before, f.arena,
                            &longer_helps, &broke);
        CHECK_ROW(i, rows[i].texts[0], longer_helps == rows[i].longer_helps);
        arena_free(f.arena);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_one),
        cmocka_unit_test(test_several),
        cmocka_unit_test(test_longer_helps),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
