/* Who wins: never a lucky run, never without certainty, and what is said when nobody does. */
#include "study/simulate.h"

#include "base/rng.h"

static const struct space_knob knobs[] = {{0, 3}, {1, 4}};
enum { CODES = 12, BASELINE = 5 };

/* Mean fitness per code and purpose, normal noise, and who fails where. */
struct bench {
    uint64_t seed;
    double mean[CODES], sd;
    spec_code lucky;                   /* this one explores at 0.95; CODES: nobody */
    enum verdict final_verdict[CODES]; /* VERDICT_OK: as measured */
    enum verdict explore_verdict[CODES];
    int bad_repeat; /* only this repeat ends so; 0: all */
    const char *ruled_out;
};

static struct sim_answer measure(void *context, const struct trial_request *request, spec_code code,
                                 int tries)
{
    const struct bench *b = context;
    (void)tries;
    bool final = strcmp(request->purpose, "final") == 0;
    enum verdict verdict = final ? b->final_verdict[code] : b->explore_verdict[code];
    if (verdict != VERDICT_OK && (!final || !b->bad_repeat || request->repeat == b->bad_repeat))
        return (struct sim_answer){verdict, verdict == VERDICT_SLOW ? 0 : NAN,
                                   verdict == VERDICT_ENV_FAULT ? b->ruled_out : NULL};
    char stream[64];
    snprintf(stream, sizeof stream, "trial %lld", (long long)request->number);
    struct rng rng = rng_init(b->seed, stream);
    double noise = sqrt(2 * rng_exponential(&rng, 1)) * cos(2 * M_PI * rng_unit(&rng));
    double fitness = b->mean[code] + b->sd * noise;
    if (!final && code == b->lucky)
        fitness = 0.95;
    return (struct sim_answer){VERDICT_OK, fmin(fmax(fitness, 0), 1), NULL};
}

static struct bench bench_of(double mean, double sd)
{
    struct bench b = {.seed = 1, .sd = sd, .lucky = CODES};
    for (size_t i = 0; i < CODES; i++)
        b.mean[i] = mean;
    return b;
}

/* Runs a study on the bench; the caller owns the decision. */
static json_t *run(struct bench *bench, bool baseline, enum study_outcome *ret_outcome)
{
    struct sim sim;
    sim_init(&sim, 2, knobs, ARRAY_LEN(knobs), measure, bench);
    sim.study->search.strategy = "grid";
    sim.study->seed = bench->seed;
    if (baseline)
        sim_baseline(&sim, BASELINE);
    sim_run(&sim);
    json_t *decision = sim_decide(&sim, ret_outcome);
    assert_string_equal(json_get_text(decision, "outcome"), study_outcome_name(*ret_outcome));
    sim_done(&sim);
    return decision;
}

static double effect_of(const json_t *decision, const char *key)
{
    return json_get_real(
        json_object_get(json_object_get(decision, "comparison"), "fitness_difference"), key);
}

static void test_clear_winner(void **state)
{
    (void)state;
    struct bench b = bench_of(0.4, 0.01);
    b.mean[7] = 0.8;
    enum study_outcome outcome;
    AUTO_JSON json_t *d = run(&b, true, &outcome);
    assert_int_equal(outcome, OUTCOME_WINNER);
    assert_string_equal(json_get_text(d, "winner"), "s0.k0=v1 s1.k1=v3");
    assert_string_equal(json_get_text(d, "baseline"), "s0.k0=v1 s1.k1=v1");
    assert_true(fabs(effect_of(d, "value") - 0.4) < 0.05);
    assert_true(effect_of(d, "low") > 0.3 && effect_of(d, "high") < 0.5);
    assert_int_equal(json_get_int(d, "explored", -1), 12);
    assert_int_equal(json_get_int(d, "feasible", -1), 12);
    const json_t *finalists = json_object_get(d, "finalists");
    assert_int_equal(json_array_size(finalists), 4); /* the baseline stands last */
    const json_t *last = json_array_get(finalists, 3);
    assert_string_equal(json_get_text(last, "candidate"), "s0.k0=v1 s1.k1=v1");
    assert_int_equal(json_get_int(last, "ok", -1), 4);
    assert_int_equal(json_array_size(json_object_get(last, "trials")), 4);
    assert_string_equal(json_get_text(d, "statement"),
                        "better than the baseline at 95 %, compared with it and 2 other finalists "
                        "only. 8 of 12 candidates never reached the final, 0 of them were never "
                        "tried.");
}

/* The candidate with the best exploring run of all, and an ordinary final. */
static void test_lucky_run_does_not_win(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 50; seed++) {
        struct bench b = bench_of(0.5, 0.03);
        b.seed = seed;
        b.lucky = 2;
        b.mean[2] = 0.35;
        b.mean[9] = 0.75;
        enum study_outcome outcome;
        AUTO_JSON json_t *d = run(&b, true, &outcome);
        assert_int_equal(outcome, OUTCOME_WINNER);
        assert_string_equal(json_get_text(d, "winner"), "s0.k0=v2 s1.k1=v1"); /* 9 */
        const json_t *first = json_array_get(json_object_get(d, "finalists"), 0);
        assert_string_equal(json_get_text(first, "candidate"), "s0.k0=v0 s1.k1=v2"); /* 2 led */
    }
}

static void test_lucky_alone_leaves_the_baseline(void **state)
{
    (void)state;
    struct bench b = bench_of(0.4, 0.02);
    b.mean[BASELINE] = 0.5;
    b.lucky = 2;
    enum study_outcome outcome;
    AUTO_JSON json_t *d = run(&b, true, &outcome);
    assert_int_equal(outcome, OUTCOME_BASELINE_BEST);
    assert_true(json_is_null(json_object_get(d, "winner")));
    assert_string_equal(json_get_text(d, "reason"),
                        "no finalist is certainly better than the baseline");
}

static const struct outcome_row {
    const char *name;
    bool baseline;
    enum verdict others_explore, others_final, baseline_explore, baseline_final;
    int bad_repeat;
    const char *ruled_out;
    double gain; /* of the others over the baseline */
    enum study_outcome outcome;
    const char *reason;
} outcome_rows[] = {
    {"all ok, all better", true, VERDICT_OK, VERDICT_OK, VERDICT_OK, VERDICT_OK, 0, NULL, 0.3,
     OUTCOME_WINNER, "certainly better"},
    {"all ok, no better", true, VERDICT_OK, VERDICT_OK, VERDICT_OK, VERDICT_OK, 0, NULL, 0,
     OUTCOME_BASELINE_BEST, "no finalist is certainly better"},
    {"all ok, worse", true, VERDICT_OK, VERDICT_OK, VERDICT_OK, VERDICT_OK, 0, NULL, -0.2,
     OUTCOME_BASELINE_BEST, "no finalist is certainly better"},
    {"others fail while exploring", true, VERDICT_OOM_LOAD, VERDICT_OK, VERDICT_OK, VERDICT_OK, 0,
     NULL, 0, OUTCOME_BASELINE_BEST, "while exploring"},
    {"others are slow while exploring", true, VERDICT_SLOW, VERDICT_OK, VERDICT_OK, VERDICT_OK, 0,
     NULL, 0, OUTCOME_BASELINE_BEST, "while exploring"},
    {"others fail in the final", true, VERDICT_OK, VERDICT_HUNG, VERDICT_OK, VERDICT_OK, 0, NULL,
     0.3, OUTCOME_BASELINE_BEST, "in the final"},
    {"others fail once in the final", true, VERDICT_OK, VERDICT_HUNG, VERDICT_OK, VERDICT_OK, 3,
     NULL, 0.3, OUTCOME_BASELINE_BEST, "in the final"},
    {"nobody is feasible", true, VERDICT_SLOW, VERDICT_SLOW, VERDICT_SLOW, VERDICT_SLOW, 0, NULL, 0,
     OUTCOME_INFEASIBLE, "no candidate met"},
    {"all fail in the final", true, VERDICT_OK, VERDICT_ERRORS, VERDICT_OK, VERDICT_ERRORS, 0, NULL,
     0, OUTCOME_INFEASIBLE, "no candidate met every requirement in the final"},
    {"the baseline fails", true, VERDICT_OK, VERDICT_OK, VERDICT_SLOW, VERDICT_SLOW, 0, NULL, -0.2,
     OUTCOME_WINNER, "the baseline itself failed: slow"},
    {"the baseline fails once", true, VERDICT_OK, VERDICT_OK, VERDICT_OK, VERDICT_CRASHED_START, 2,
     NULL, -0.2, OUTCOME_WINNER, "the baseline itself failed: crashed_start"},
    {"the baseline's library is missing", true, VERDICT_OK, VERDICT_OK, VERDICT_ENV_FAULT,
     VERDICT_ENV_FAULT, 0, "s0.k0=v1 s1.k1=v1", 0, OUTCOME_WINNER,
     "the baseline itself failed: env_fault in trial 3"},
    {"the baseline is disturbed once", true, VERDICT_OK, VERDICT_OK, VERDICT_OK, VERDICT_CONTENDED,
     2, NULL, 0.3, OUTCOME_WINNER, "certainly better"},
    {"the baseline is disturbed always, the others look better", true, VERDICT_OK, VERDICT_OK,
     VERDICT_OK, VERDICT_CONTENDED, 0, NULL, 0.3, OUTCOME_BASELINE_BEST,
     "of which there are only 0 undisturbed trials"},
    {"no baseline", false, VERDICT_OK, VERDICT_OK, VERDICT_OK, VERDICT_OK, 0, NULL, 0,
     OUTCOME_WINNER, "no baseline was given"},
    {"no baseline, nobody feasible", false, VERDICT_ERRORS, VERDICT_OK, VERDICT_ERRORS, VERDICT_OK,
     0, NULL, 0, OUTCOME_INFEASIBLE, "no candidate met"},
};

static void test_outcomes(void **state)
{
    (void)state;
    for (size_t r = 0; r < ARRAY_LEN(outcome_rows); r++) {
        const struct outcome_row *row = &outcome_rows[r];
        struct bench b = bench_of(0.5, 0.01);
        for (size_t i = 0; i < CODES; i++) {
            b.mean[i] = i == BASELINE ? 0.5 : 0.5 + row->gain;
            b.explore_verdict[i] = i == BASELINE ? row->baseline_explore : row->others_explore;
            b.final_verdict[i] = i == BASELINE ? row->baseline_final : row->others_final;
        }
        b.bad_repeat = row->bad_repeat;
        b.ruled_out = row->ruled_out;
        enum study_outcome outcome;
        AUTO_JSON json_t *d = run(&b, row->baseline, &outcome);
        const char *reason = json_get_text(d, "reason");
        CHECK_ROW_TEXT(r, row->name, study_outcome_name(outcome), study_outcome_name(row->outcome));
        CHECK_ROW(r, row->name, reason && strstr(reason, row->reason));
        CHECK_ROW(r, row->name, json_get_text(d, "statement"));
        CHECK_ROW(r, row->name,
                  (outcome == OUTCOME_WINNER) == (json_get_text(d, "winner") != NULL));
        /* "better at 95 %" is said when it was shown, a slow baseline's 0 included, and only then.
         */
        bool shown = outcome == OUTCOME_WINNER && effect_of(d, "low") > 0;
        CHECK_ROW(r, row->name,
                  (strncmp(json_get_text(d, "statement"), "better than", 11) == 0) == shown);
    }
}

/* One by one the finalists fall, and whoever met the requirements while exploring takes their
 * place: that nothing is feasible is said only after all have been asked. */
static void test_replacements(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        size_t falling; /* the best of the exploration */
        enum study_outcome outcome;
        const char *statement; /* its begin */
    } rows[] = {
        {"one falls", 1, OUTCOME_WINNER, "the best of the final, compared with"},
        {"many fall", 9, OUTCOME_WINNER, "the best of the final, compared with"},
        {"all fall", CODES, OUTCOME_INFEASIBLE,
         "12 of 12 candidates were tried; 12 met every requirement while exploring, 12 of them ran "
         "in the final and none came through it."},
    };
    for (size_t r = 0; r < ARRAY_LEN(rows); r++) {
        struct bench b = bench_of(0, 0);
        struct sim sim;
        for (size_t i = 0; i < CODES; i++) {
            b.mean[i] = 0.9 - 0.05 * (double)i;
            b.final_verdict[i] = i < rows[r].falling ? VERDICT_OOM_START : VERDICT_OK;
        }
        sim_init(&sim, 2, knobs, ARRAY_LEN(knobs), measure, &b);
        sim.study->search.strategy = "grid";
        sim.study->search.finalists = 1;
        sim_run(&sim);
        enum study_outcome outcome;
        AUTO_JSON json_t *d = sim_decide(&sim, &outcome);
        const char *said = json_get_text(d, "statement");
        CHECK_ROW_TEXT(r, rows[r].name, study_outcome_name(outcome),
                       study_outcome_name(rows[r].outcome));
        if (outcome == rows[r].outcome)
            CHECK_ROW(r, rows[r].name,
                      strncmp(said, rows[r].statement, strlen(rows[r].statement)) == 0);
        sim_done(&sim);
    }
}

/* The same difference that convinces with one rival is not enough when it is the best of many. */
static void test_bonferroni(void **state)
{
    (void)state;
    static const int finalists[] = {1, 3};
    /* Differences 0.1 * {1, 2, 3, 4}: mean 0.25, sd 0.129; t(3) at 95 % is 3.18 (half width 0.205),
     * at 98.3 % 4.86 (0.313). */
    static const double gains[] = {0.1, 0.2, 0.3, 0.4};
    for (size_t f = 0; f < ARRAY_LEN(finalists); f++) {
        struct sim sim;
        sim_init(&sim, 2, knobs, ARRAY_LEN(knobs), measure, NULL);
        sim.study->search.finalists = finalists[f];
        sim_baseline(&sim, BASELINE);
        for (spec_code code = 0; code < 4; code++) {
            const struct trial_request request = {.number = (int64_t)sim.history.count + 1,
                                                  .candidate =
                                                      spec_candidate_decode(sim.study, code),
                                                  .purpose = "explore",
                                                  .round = 1};
            const struct sim_answer answer = {VERDICT_OK, code == 0 ? 0.9 : 0.5, NULL};
            sim_append(&sim, &request, &answer);
        }
        for (int repeat = 1; repeat <= 4; repeat++)
            for (spec_code code = 0; code < 6; code++) {
                const struct trial_request request = {.number = (int64_t)sim.history.count + 1,
                                                      .candidate =
                                                          spec_candidate_decode(sim.study, code),
                                                      .purpose = "final",
                                                      .repeat = repeat};
                const struct sim_answer answer = {VERDICT_OK,
                                                  code == 0 ? 0.3 + gains[repeat - 1] : 0.3, NULL};
                sim_append(&sim, &request, &answer);
            }
        enum study_outcome outcome;
        AUTO_JSON json_t *d = sim_decide(&sim, &outcome);
        assert_int_equal(outcome, f == 0 ? OUTCOME_WINNER : OUTCOME_BASELINE_BEST);
        assert_true(fabs(effect_of(d, "value") - 0.25) < 1e-9);
        assert_true(fabs(effect_of(d, "low") - (f == 0 ? 0.0446 : -0.0635)) < 0.001);
        sim_done(&sim);
    }
}

/* An ok without a fitness (an objective could not be measured) wins nothing and hides nobody. */
static void test_unknown_fitness(void **state)
{
    (void)state;
    struct sim sim;
    sim_init(&sim, 2, knobs, ARRAY_LEN(knobs), measure, NULL);
    sim.study->search.finalists = 2;
    for (spec_code code = 0; code < 2; code++)
        for (int repeat = 0; repeat <= 4; repeat++) {
            const struct trial_request request = {.number = (int64_t)sim.history.count + 1,
                                                  .candidate =
                                                      spec_candidate_decode(sim.study, code),
                                                  .purpose = repeat ? "final" : "explore",
                                                  .repeat = repeat,
                                                  .round = !repeat};
            const struct sim_answer answer = {VERDICT_OK,
                                              code == 0 && repeat ? NAN : 0.9 - code * 0.5, NULL};
            sim_append(&sim, &request, &answer);
        }
    enum study_outcome outcome;
    AUTO_JSON json_t *d = sim_decide(&sim, &outcome);
    assert_int_equal(outcome, OUTCOME_WINNER);
    assert_string_equal(json_get_text(d, "winner"), "s0.k0=v0 s1.k1=v1");
    sim_done(&sim);
}

static void test_empty_history(void **state)
{
    (void)state;
    struct sim sim;
    sim_init(&sim, 2, knobs, ARRAY_LEN(knobs), measure, NULL);
    sim_baseline(&sim, BASELINE);
    enum study_outcome outcome;
    AUTO_JSON json_t *d = sim_decide(&sim, &outcome);
    assert_int_equal(outcome, OUTCOME_INFEASIBLE);
    sim_done(&sim);
}

/* Twelve equal candidates: a winner over the baseline is a mistake, and at most one study in twenty
 * may make it. 500 studies; five standard deviations of slack. */
static void test_equal_candidates(void **state)
{
    (void)state;
    static const double noises[] = {0.02, 0.1};
    for (size_t n = 0; n < ARRAY_LEN(noises); n++) {
        int wrong = 0;
        for (uint64_t seed = 1; seed <= 500; seed++) {
            struct bench b = bench_of(0.5, noises[n]);
            b.seed = seed;
            enum study_outcome outcome;
            AUTO_JSON json_t *d = run(&b, true, &outcome);
            wrong += outcome == OUTCOME_WINNER;
        }
        assert_true(wrong <= 25 + 5 * sqrt(500 * 0.05 * 0.95));
        assert_true(wrong <= 25); /* Bonferroni is on the safe side here */
    }
}

/* And a real advantage of twice the noise is found nearly always. */
static void test_power(void **state)
{
    (void)state;
    int found = 0;
    for (uint64_t seed = 1; seed <= 100; seed++) {
        struct bench b = bench_of(0.4, 0.03);
        b.seed = seed;
        b.mean[8] = 0.65;
        enum study_outcome outcome;
        AUTO_JSON json_t *d = run(&b, true, &outcome);
        found += outcome == OUTCOME_WINNER &&
                 strcmp(json_get_text(d, "winner"), "s0.k0=v2 s1.k1=v0") == 0;
    }
    assert_true(found >= 90);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_clear_winner),
        cmocka_unit_test(test_lucky_run_does_not_win),
        cmocka_unit_test(test_lucky_alone_leaves_the_baseline),
        cmocka_unit_test(test_outcomes),
        cmocka_unit_test(test_replacements),
        cmocka_unit_test(test_bonferroni),
        cmocka_unit_test(test_unknown_fitness),
        cmocka_unit_test(test_empty_history),
        cmocka_unit_test(test_equal_candidates),
        cmocka_unit_test(test_power),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
