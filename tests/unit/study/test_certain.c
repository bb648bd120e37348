/* Requirements of the final's runs, added up. */
#include "check.h"

#include "study/certain.h"

#include <math.h>

static const struct spec_study nothing; /* is required that has no count */

static struct store_trial trial_of(const char *purpose, const char *verdict, const char *candidate,
                                   const struct store_requirement *requirements, size_t count)
{
    return (struct store_trial){.purpose = purpose,
                                .verdict = verdict,
                                .candidate = candidate,
                                .requirements = requirements,
                                .requirement_count = count};
}

static json_t *decision_of(const char *outcome, const char *winner)
{
    return json_pack("{s:s, s:s?, s:s, s:s}", "outcome", outcome, "winner", winner, "baseline",
                     "k=0", "statement", "better than the baseline at 95 %.");
}

static void test_runs_are_added_up(void **state)
{
    (void)state;
    static const struct store_requirement runs[][2] = {
        {{"a", "a.latency.p95 < 1s", 0.05, 40, 0, 40, "undecided"},
         {"a", "a.ttft.p99 < 1s", 0.01, 40, 0, 40, "undecided"}},
        {{"a", "a.latency.p95 < 1s", 0.05, 40, 0, 40, "undecided"},
         {"a", "a.ttft.p99 < 1s", 0.01, 40, 1, 40, "undecided"}},
        {{"a", "a.latency.p95 < 1s", 0.05, 500, 400, 500, "missed"},
         {"a", "a.ttft.p99 < 1s", 0.01, 500, 0, 500, "met"}},
    };
    const struct store_trial trials[] = {
        trial_of("final", "ok", "k=1", runs[0], 2),
        trial_of("final", "ok", "k=1", runs[1], 2),
        trial_of("explore", "ok", "k=1", runs[2], 2),      /* not of the final */
        trial_of("final", "contended", "k=1", runs[2], 2), /* disturbed */
        trial_of("final", "ok", "k=0", runs[2], 2),        /* another candidate */
    };
    AUTO_JSON json_t *decision = decision_of("winner", "k=1");
    study_add_requirements(decision, &nothing, trials, 5);
    const json_t *list = json_object_get(decision, "requirements");
    assert_int_equal(json_array_size(list), 2);
    const json_t *p95 = json_array_get(list, 0), *p99 = json_array_get(list, 1);
    assert_string_equal(json_get_text(p95, "answer"), "met"); /* 80, none over; 40 are too few */
    assert_int_equal(json_integer_value(json_object_get(p95, "requests")), 80);
    assert_string_equal(json_get_text(p99, "answer"), "undecided");
    assert_int_equal(json_integer_value(json_object_get(p99, "over")), 1);
    assert_string_equal(json_get_text(decision, "statement"),
                        "better than the baseline at 95 %. Not certain at 95 %, all runs of the "
                        "final together: a.ttft.p99 < 1s (undecided: 1 of 80 requests over, 1 % "
                        "may be).");
    /* The baseline that stays is asked the same. */
    AUTO_JSON json_t *stays = decision_of("baseline_best", NULL);
    study_add_requirements(stays, &nothing, trials, 5);
    assert_non_null(strstr(json_get_text(stays, "statement"),
                           "a.latency.p95 < 1s (missed: 400 of 500 requests over, 5 % may be)"));
}

static void test_nothing_to_say(void **state)
{
    (void)state;
    static const struct store_requirement met[] = {
        {"a", "a.latency.p95 < 1s", 0.05, 100, 0, 100, "met"},
    };
    static const struct store_requirement unknown[] = {
        {"a", "a.latency.p95 < 1s", 0.05, 100, 0, NAN, "undecided"},
    };
    const struct store_trial trials[] = {trial_of("final", "ok", "k=1", met, 1),
                                         trial_of("final", "ok", "k=1", unknown, 1)};
    AUTO_JSON json_t *sure = decision_of("winner", "k=1");
    study_add_requirements(sure, &nothing, trials, 1);
    assert_string_equal(json_get_text(sure, "statement"), "better than the baseline at 95 %.");
    /* One run of which it is not known what it is worth makes the sum unknown. */
    AUTO_JSON json_t *unsure = decision_of("winner", "k=1");
    study_add_requirements(unsure, &nothing, trials, 2);
    assert_string_equal(
        json_get_text(json_array_get(json_object_get(unsure, "requirements"), 0), "answer"),
        "undecided");
    AUTO_JSON json_t *none = decision_of("infeasible", NULL);
    study_add_requirements(none, &nothing, trials, 1);
    assert_int_equal(json_array_size(json_object_get(none, "requirements")), 0);
}

/* None over and still undecided: why; and what was left out of the windows. */
static void test_alike_and_cut_are_said(void **state)
{
    (void)state;
    static const struct store_requirement alike[] = {
        {"a", "a.latency.p95 < 1s", 0.05, 60, 0, 9.6, "undecided"},
    };
    static const struct store_evidence cut[] = {
        {"a", "warm-up", "the first 12 s of the window (60 requests) count as warm-up"},
    };
    struct store_trial trials[] = {
        trial_of("final", "ok", "k=1", alike, 1), trial_of("final", "ok", "k=1", alike, 1),
        trial_of("final", "ok", "k=1", alike, 1), trial_of("final", "ok", "k=0", alike, 1)};
    for (size_t i = 0; i < 4; i++) {
        trials[i].evidence = cut;
        trials[i].evidence_count = i > 0;
    }
    AUTO_JSON json_t *decision = decision_of("winner", "k=1");
    study_add_requirements(decision, &nothing, trials, 4);
    assert_string_equal(json_get_text(decision, "winner"), "k=1");
    assert_string_equal(
        json_get_text(decision, "statement"),
        "better than the baseline at 95 %. Not certain at 95 %, all runs of the final together: "
        "a.latency.p95 < 1s (undecided: 0 of 180 requests over, alike beside each other and worth "
        "29, 5 % may be). In 2 of 3 runs the beginning of the window was slower or faster than "
        "its rest (warm-up in their evidence).");
    trials[1].evidence_count = 0; /* one of three is chance */
    AUTO_JSON json_t *rarely = decision_of("winner", "k=1");
    study_add_requirements(rarely, &nothing, trials, 4);
    assert_null(strstr(json_get_text(rarely, "statement"), "warm-up"));
}

static const struct metric_ref refs[] = {
    {0, METRIC_LATENCY, STAT_P95},  {0, METRIC_ITL, STAT_P95},      {0, METRIC_LATENCY, STAT_MEAN},
    {0, METRIC_ERRORS, STAT_VALUE}, {0, METRIC_MEMORY, STAT_VALUE}, {0, METRIC_LATENCY, STAT_MAX},
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

/* Expected: said of each that has no count. Before: not a word, which reads as certain. */
static void test_what_has_no_count(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "a.latency.p95 < 1s", "a.itl.p95 < 20ms", "a.errors == 0",
        "a.latency.max < 2s", "a.memory < 1GiB",  "a.latency.p95 < 1s and a.itl.p95 < 1s"};
    static const struct store_requirement met[] = {
        {"a", "a.latency.p95 < 1s", 0.05, 100, 0, 100, "met", "requests"},
    };
    static struct spec_service services[] = {{.name = "a"}};
    AUTO(arena_free) struct arena *arena = arena_new();
    struct metric_ref own[ARRAY_LEN(refs)];
    struct spec_requirement requirements[ARRAY_LEN(texts)] = {0};
    memcpy(own, refs, sizeof own);
    struct spec_study study = {.arena = arena,
                               .services = services,
                               .service_count = 1,
                               .metric_refs = own,
                               .metric_ref_count = ARRAY_LEN(refs),
                               .requirements = requirements,
                               .requirement_count = ARRAY_LEN(texts)};
    for (size_t k = 0; k < ARRAY_LEN(texts); k++) {
        const struct expr_names names = {.context = &study, .resolve = resolve};
        struct expr *expr = NULL;
        struct err err = ERR_INIT;
        if (!expr_parse(arena, texts[k], &names, &expr, &err))
            fail_msg("%s: %s", texts[k], err.text);
        requirements[k].expr = expr;
    }
    const struct store_trial trials[] = {trial_of("final", "ok", "k=1", met, 1)};
    AUTO_JSON json_t *decision = decision_of("winner", "k=1");
    study_add_requirements(decision, &study, trials, 1);
    assert_string_equal(json_get_text(decision, "statement"),
                        "better than the baseline at 95 %. Not asked how sure: a.itl.p95 < 20ms; "
                        "a.memory < 1GiB; a.latency.p95 < 1s and a.itl.p95 < 1s.");
    AUTO_JSON json_t *none = decision_of("winner", "k=1");
    study_add_requirements(none, &study, trials, 0); /* no run of it counts */
    assert_string_equal(json_get_text(none, "statement"), "better than the baseline at 95 %.");
    study.requirement_count = 1;
    AUTO_JSON json_t *all = decision_of("winner", "k=1");
    study_add_requirements(all, &study, trials, 1);
    assert_string_equal(json_get_text(all, "statement"), "better than the baseline at 95 %.");
    /* A final resumed by a version that counts it; before: met, by one run of two. */
    const struct store_trial resumed[] = {trial_of("final", "ok", "k=1", NULL, 0), trials[0]};
    AUTO_JSON json_t *some = decision_of("winner", "k=1");
    study_add_requirements(some, &study, resumed, 2);
    assert_int_equal(json_array_size(json_object_get(some, "requirements")), 0);
    assert_string_equal(
        json_get_text(some, "statement"),
        "better than the baseline at 95 %. Not asked how sure: a.latency.p95 < 1s.");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_runs_are_added_up),
        cmocka_unit_test(test_nothing_to_say),
        cmocka_unit_test(test_alike_and_cut_are_said),
        cmocka_unit_test(test_what_has_no_count),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
