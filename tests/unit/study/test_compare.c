/* Comparisons without processes: what sides mean, what comes next, and what the stored trials say.
 */
#include "study/compare_inside.h"

#include "check.h"

#include <math.h>
#include <string.h>

#include "search/space.h"

static const struct space_knob knobs[] = {{0, 3}, {1, 2}};

struct bed {
    struct arena *arena;
    struct spec_study *study;
    struct study_comparison comparison;
    struct history history;
    struct store_trial trials[200];
    size_t count;
    int64_t lost; /* this number is never stored: a kill */
    /* The made-up machine. */
    spec_code bad;                /* fails from block `bad_from` on; SPACE: nobody */
    int bad_from, contended_once; /* block whose first try of it is contended */
    double slower;                /* side 1's p95 over side 0's, and its token rate */
    struct {
        const char *service; /* whose tokens are counted by events; NULL: nobody's */
        int from;            /* block */
    } by_events[2];          /* of each side */
};

static void bed_side(struct bed *bed, const char *winner, const char *given)
{
    struct err err = ERR_INIT;
    struct study_comparison *c = &bed->comparison;
    if (!study_compare_read_side(bed->study, winner, given, bed->arena, &c->sides[c->side_count++],
                                 &err))
        fail_msg("%s", err.text);
}

static void bed_init(struct bed *bed)
{
    struct arena *arena = arena_new();
    *bed = (struct bed){.arena = arena, .bad = UINT64_MAX, .slower = 1.2};
    bed->study = space_study(arena, 2, knobs, ARRAY_LEN(knobs));
    struct spec_objective *objective = arena_alloc(arena, sizeof *objective);
    *objective = (struct spec_objective){.metric = {0, METRIC_LATENCY, STAT_P95}};
    bed->study->objectives = objective;
    bed->study->objective_count = 1;
    bed->comparison =
        (struct study_comparison){.number = 2, .blocks_most = 6, .error = 0.05, .tolerance = 0.03};
    bed_side(bed, NULL, "s0.k0=v0 s1.k1=v0");
    bed_side(bed, NULL, "s0.k0=v1 s1.k1=v0");
    study_compare_plan_rows(bed->study, &bed->comparison, arena);
}

static void bed_done(struct bed *bed)
{
    arena_free(bed->arena);
}

static enum verdict measure(const struct bed *bed, const struct compare_step *step)
{
    if (step->block == (size_t)bed->contended_once && step->side == 1 && !step->request.retry_of)
        return VERDICT_CONTENDED;
    if (bed->comparison.sides[step->side].code == bed->bad && (int)step->block >= bed->bad_from)
        return VERDICT_OOM_LOAD;
    return VERDICT_OK;
}

enum { METRICS = 3 };

static const char *method_of(const struct bed *bed, const struct compare_step *step,
                             const char *service)
{
    const char *whose = bed->by_events[step->side].service;
    bool is =
        whose && strcmp(whose, service) == 0 && (int)step->block >= bed->by_events[step->side].from;
    return is ? METRIC_BY_EVENTS : NULL;
}

/* Runs one trial; false when nothing is left. */
static bool bed_step(struct bed *bed)
{
    struct compare_step step = study_compare_next(bed->study, &bed->comparison, &bed->history);
    if (step.block == 0)
        return false;
    enum verdict verdict = measure(bed, &step);
    double level = (step.side == 1 ? bed->slower : 1) * (1 + 0.5 * (double)step.block) *
                   (1 + 0.001 * (double)(step.request.number % 3));
    struct store_metric *metrics = arena_array(bed->arena, METRICS, sizeof *metrics);
    metrics[0] =
        (struct store_metric){"s0", "shared", "latency", "p95", 0.1 * level, NAN, NAN, 50, NULL};
    for (size_t s = 0; s < 2; s++)
        metrics[1 + s] = (struct store_metric){s ? "s1" : "s0",
                                               "shared",
                                               "tokens_per_s",
                                               "",
                                               30 * level,
                                               NAN,
                                               NAN,
                                               50,
                                               method_of(bed, &step, s ? "s1" : "s0")};
    bed->trials[bed->count] = (struct store_trial){
        .number = step.request.number,
        .candidate = bed->comparison.sides[step.side].text,
        .purpose = step.request.purpose,
        .round = step.request.round,
        .repeat = step.request.repeat,
        .retry_of = step.request.retry_of,
        .verdict = verdict_facts(verdict)->name,
        .service = verdict == VERDICT_OOM_LOAD ? "s0" : NULL,
        .summary = "in words",
        .cold = step.request.cold,
        .duration_s = 10,
        .metrics = metrics,
        .metric_count = verdict_facts(verdict)->has_fitness ? METRICS : 0,
    };
    struct err err = ERR_INIT;
    if (!history_append(&bed->history, bed->study, &bed->trials[bed->count++], bed->arena, &err))
        fail_msg("%s", err.text);
    return true;
}

static void bed_look(struct bed *bed, size_t blocks)
{
    struct err err = ERR_INIT;
    if (!study_compare_fill(bed->study, NULL, bed->trials, bed->count, blocks, &bed->comparison,
                            bed->arena, &err))
        fail_msg("%s", err.text);
}

static void test_sides(void **state)
{
    (void)state;
    static const struct {
        const char *winner, *given, *text, *completed, *error;
        bool baseline;
    } rows[] = {
        {NULL, "baseline", "s0.k0=v2 s1.k1=v1", NULL, NULL, true},
        {NULL, "s0.k0=v0", "s0.k0=v0 s1.k1=v1", "baseline", NULL, true},
        {"s0.k0=v1 s1.k1=v0", "s0.k0=v0", "s0.k0=v0 s1.k1=v1", "baseline", NULL, true},
        {"s0.k0=v1 s1.k1=v0", "s0.k0=v0", "s0.k0=v0 s1.k1=v0", "winner", NULL, false},
        {"s0.k0=v1 s1.k1=v0", "winner", "s0.k0=v1 s1.k1=v0", NULL, NULL, false},
        {"s0.k0=v1 s1.k1=v0", " ", "s0.k0=v1 s1.k1=v0", "winner", NULL, false},
        {NULL, " s1.k1=v0  s0.k0=v1 ", "s0.k0=v1 s1.k1=v0", NULL, NULL, false},
        {NULL, "s0.k0=v0", NULL, NULL, "no baseline or winner to complete it from", false},
        {NULL, "winner", NULL, NULL, "no winner yet", false},
        {NULL, "baseline", NULL, NULL, "names no baseline", false},
        {NULL, "s0.k0=v9", NULL, NULL, "has no value \"v9\"", true},
        {NULL, "s0.k0=", NULL, NULL, "has no value", true},
        {NULL, "s9.k0=v0", NULL, NULL, "there is no knob \"s9.k0\"", true},
        {NULL, "tiny", NULL, NULL, "neither winner, baseline nor KNOB=VALUE", true},
        {NULL, "s0.k0=v0 s0.k0=v1", NULL, NULL, "given twice", true},
    };
    static int baseline[] = {2, 1};
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        AUTO(arena_free) struct arena *arena = arena_new();
        struct spec_study *study = space_study(arena, 2, knobs, ARRAY_LEN(knobs));
        study->baseline = rows[i].baseline ? baseline : NULL;
        struct compare_side side;
        struct err err = ERR_INIT;
        bool ok = study_compare_read_side(study, rows[i].winner, rows[i].given, arena, &side, &err);
        CHECK_ROW(i, "accepted", ok == (rows[i].text != NULL));
        if (!ok) {
            CHECK_ROW(i, err.text, strstr(err.text, rows[i].error));
            CHECK_ROW(i, "code", err.code == ERR_INPUT);
            continue;
        }
        CHECK_ROW(i, side.text, strcmp(side.text, rows[i].text) == 0);
        CHECK_ROW(i, "completed", (side.completed == NULL) == (rows[i].completed == NULL));
        if (side.completed)
            CHECK_ROW(i, side.completed, strcmp(side.completed, rows[i].completed) == 0);
    }
}

static void test_blocks_in_drawn_order(void **state)
{
    (void)state;
    struct bed bed;
    bed_init(&bed);
    bed.history.last_number = 41; /* trials of the study itself */
    int first_first = 0;
    while (bed_step(&bed)) {
    }
    assert_int_equal(bed.count, 12);
    for (size_t i = 0; i < bed.count; i++) {
        const struct store_trial *t = &bed.trials[i];
        assert_int_equal(t->number, 42 + (int64_t)i);
        assert_int_equal(t->repeat, 1 + (int)i / 2);
        assert_int_equal(t->round, 2);
        assert_true(t->cold && strcmp(t->purpose, "compare") == 0);
        if (i % 2 == 0) {
            assert_string_not_equal(t->candidate, bed.trials[i + 1].candidate);
            first_first += strcmp(t->candidate, bed.comparison.sides[0].text) == 0;
        }
    }
    assert_true(first_first > 0 && first_first < 6);
    bed_done(&bed);
}

static void test_a_disturbed_trial_is_tried_again_at_once(void **state)
{
    (void)state;
    struct bed bed;
    bed_init(&bed);
    bed.contended_once = 2;
    while (bed_step(&bed)) {
    }
    assert_int_equal(bed.count, 13);
    size_t at = 0;
    while (strcmp(bed.trials[at].verdict, "contended") != 0)
        at++;
    assert_int_equal(bed.trials[at + 1].retry_of, bed.trials[at].number);
    assert_string_equal(bed.trials[at + 1].candidate, bed.trials[at].candidate);
    bed_look(&bed, 6);
    assert_int_equal(bed.comparison.sides[1].runs, 6);
    assert_int_equal(bed.comparison.sides[1].disturbed, 0);
    bed_done(&bed);
}

static void test_a_failure_is_no_number(void **state)
{
    (void)state;
    struct bed bed;
    bed_init(&bed);
    bed.bad = bed.comparison.sides[1].code;
    bed.bad_from = 4;
    for (int i = 0; i < 8; i++)
        assert_true(bed_step(&bed));
    bed_look(&bed, 4);
    const struct compare_side *side = &bed.comparison.sides[1];
    assert_string_equal(side->failed, "oom_load");
    assert_string_equal(side->failed_why, "s0: in words");
    assert_int_equal(side->runs, 3);
    assert_int_equal(bed.comparison.pairs[0].rows[0].effect.blocks, 3);
    assert_int_equal(study_compare_is_over(&bed.comparison), COMPARE_FAILED);
    assert_true(bed.comparison.over);
    /* It is not started again. */
    while (bed_step(&bed))
        assert_string_equal(bed.trials[bed.count - 1].candidate, bed.comparison.sides[0].text);
    bed_done(&bed);
}

static const struct compare_row *find_row(const struct bed *bed, const char *name)
{
    const struct compare_pair *pair = &bed->comparison.pairs[0];
    for (size_t i = 0; i < pair->row_count; i++)
        if (strcmp(pair->rows[i].name, name) == 0)
            return &pair->rows[i];
    fail_msg("no row %s", name);
    return NULL;
}

static void test_answers(void **state)
{
    (void)state;
    static const struct {
        double slower;
        enum compare_answer want;
        bool over;
    } rows[] = {{1.2, COMPARE_WORSE, true}, {0.8, COMPARE_BETTER, false}, {1, COMPARE_SAME, false}};
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct bed bed;
        bed_init(&bed);
        bed.slower = rows[i].slower;
        while (bed_step(&bed)) {
        }
        bed_look(&bed, 2);
        CHECK_ROW(i, "no look yet", study_compare_is_over(&bed.comparison) == COMPARE_GOES_ON);
        bed_look(&bed, 6);
        const struct compare_row *row = find_row(&bed, "s0.latency.p95");
        CHECK_ROW(i, "judged", row->judged && bed.comparison.judged == 1);
        CHECK_ROW(i, "answer", row->answer == rows[i].want);
        CHECK_ROW(i, "over", bed.comparison.over == rows[i].over);
        CHECK_ROW(i, "end", study_compare_is_over(&bed.comparison) == COMPARE_DECIDED);
        CHECK_ROW(i, "ratio", fabs(row->effect.estimate - rows[i].slower) < 0.01);
        /* The drift of the blocks, 50 % each, is in none of it. */
        CHECK_ROW(i, "narrow", row->effect.interval.high - row->effect.interval.low < 0.02);
        CHECK_ROW(i, "unit", fabs(row->low - row->first * (row->effect.interval.low - 1)) < 1e-12);
        CHECK_ROW(i, "unmeasured", find_row(&bed, "s1.ttft.p50")->answer == COMPARE_UNKNOWN);
        bed_done(&bed);
    }
}

/* A rate of tokens counted by events says nothing against one counted by the server, whatever the
 * two numbers are; two of a kind are compared. */
static void test_counted_otherwise(void **state)
{
    (void)state;
    static const struct {
        const char *name, *first, *other; /* whose tokens are counted by events */
        int from;                         /* block, of the other side */
        size_t blocks;                    /* that say something of s0's rate */
        enum compare_answer want;
        bool otherwise;
    } rows[] = {
        {"all by servers", NULL, NULL, 0, 6, COMPARE_BETTER, false},
        {"all by events", "s0", "s0", 0, 6, COMPARE_BETTER, false},
        {"one side by events", NULL, "s0", 0, 0, COMPARE_UNKNOWN, true},
        {"the other one", "s0", NULL, 0, 0, COMPARE_UNKNOWN, true},
        {"from the last block on", NULL, "s0", 6, 5, COMPARE_BETTER, true},
        {"another service's", NULL, "s1", 0, 6, COMPARE_BETTER, false},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct bed bed;
        bed_init(&bed);
        bed.by_events[0].service = rows[i].first;
        bed.by_events[1].service = rows[i].other;
        bed.by_events[1].from = rows[i].from;
        while (bed_step(&bed)) {
        }
        bed_look(&bed, 6);
        const struct compare_row *row = find_row(&bed, "s0.tokens_per_s");
        CHECK_ROW(i, rows[i].name, row->answer == rows[i].want);
        CHECK_ROW(i, rows[i].name, row->effect.blocks == rows[i].blocks);
        CHECK_ROW(i, rows[i].name, row->counted_otherwise == rows[i].otherwise);
        CHECK_ROW(i, rows[i].name, !row->unknown == (rows[i].want != COMPARE_UNKNOWN));
        CHECK_ROW(i, rows[i].name, !row->unknown || strstr(row->unknown, "by events on the other"));
        /* What is no rate of tokens is compared whoever counted them. */
        CHECK_ROW(i, rows[i].name, find_row(&bed, "s0.latency.p95")->answer == COMPARE_WORSE);
        bed_done(&bed);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sides),
        cmocka_unit_test(test_blocks_in_drawn_order),
        cmocka_unit_test(test_a_disturbed_trial_is_tried_again_at_once),
        cmocka_unit_test(test_a_failure_is_no_number),
        cmocka_unit_test(test_answers),
        cmocka_unit_test(test_counted_otherwise),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
