/* Requirements of the final's runs, added up. */
#include "check.h"

#include "study/certain.h"

#include <math.h>

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
    study_add_requirements(decision, trials, 5);
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
    study_add_requirements(stays, trials, 5);
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
    study_add_requirements(sure, trials, 1);
    assert_string_equal(json_get_text(sure, "statement"), "better than the baseline at 95 %.");
    /* One run of which it is not known what it is worth makes the sum unknown. */
    AUTO_JSON json_t *unsure = decision_of("winner", "k=1");
    study_add_requirements(unsure, trials, 2);
    assert_string_equal(
        json_get_text(json_array_get(json_object_get(unsure, "requirements"), 0), "answer"),
        "undecided");
    AUTO_JSON json_t *none = decision_of("infeasible", NULL);
    study_add_requirements(none, trials, 1);
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
    study_add_requirements(decision, trials, 4);
    assert_string_equal(json_get_text(decision, "winner"), "k=1");
    assert_string_equal(
        json_get_text(decision, "statement"),
        "better than the baseline at 95 %. Not certain at 95 %, all runs of the final together: "
        "a.latency.p95 < 1s (undecided: 0 of 180 requests over, alike beside each other and worth "
        "29, 5 % may be). In 2 of 3 runs the beginning of the window was slower or faster than "
        "its rest (warm-up in their evidence).");
    trials[1].evidence_count = 0; /* one of three is chance */
    AUTO_JSON json_t *rarely = decision_of("winner", "k=1");
    study_add_requirements(rarely, trials, 4);
    assert_null(strstr(json_get_text(rarely, "statement"), "warm-up"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_runs_are_added_up),
        cmocka_unit_test(test_nothing_to_say),
        cmocka_unit_test(test_alike_and_cut_are_said),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
