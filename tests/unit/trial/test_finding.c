/* Goodput, requirements as counts, worst utterances; and what of a window is cut or called
 * unsteady. */
#include "check.h"

#include "base/clock.h"
#include "base/rng.h"
#include "trial/attempt.h"
#include "trial/finding.h"
#include "trial/ratio.h"
#include "trial/window.h"

#include <math.h>

enum { ANSWERS_MAX = 4096 };
static const int64_t ZERO = 1000 * (int64_t)NS_PER_S, MS = NS_PER_MS;

static const struct metric_ref refs[] = {
    {0, METRIC_LATENCY, STAT_P95}, {0, METRIC_LATENCY, STAT_P50},
    {0, METRIC_TTFT, STAT_P99},    {0, METRIC_ITL, STAT_P95},
    {0, METRIC_RTF, STAT_MAX},     {0, METRIC_ERROR_RATIO, STAT_VALUE},
    {1, METRIC_LATENCY, STAT_P95}, {0, METRIC_LATENCY, STAT_MEAN},
    {0, METRIC_WER, STAT_VALUE},   {0, METRIC_GOODPUT_RATIO, STAT_VALUE},
    {0, METRIC_CONTENT, STAT_P95}, {0, METRIC_TURN, STAT_P95},
};

struct fixture {
    struct arena *arena;
    struct spec_study study;
    struct spec_requirement requirements[8];
    struct attempt attempt;
    struct answer_list answers;
    struct judge_service facts;
    struct metrics_input input;
};

static enum expr_name resolve(void *context, const char *name, size_t *ret_id, struct err *err)
{
    struct fixture *f = context;
    for (size_t id = 0; id < ARRAY_LEN(refs); id++)
        if (strcmp(spec_metric_ref_name(&f->study, refs[id]), name) == 0) {
            *ret_id = id;
            return EXPR_NAME_VARIABLE;
        }
    err_set(err, ERR_INPUT, "no %s", name);
    return EXPR_NAME_BAD;
}

static void init(struct fixture *f)
{
    static struct spec_service services[] = {{.name = "llm"}, {.name = "stt"}};
    *f = (struct fixture){.arena = arena_new()};
    f->attempt.arena = f->study.arena = f->arena;
    f->study.services = services;
    f->study.service_count = ARRAY_LEN(services);
    f->study.metric_refs = arena_array(f->arena, ARRAY_LEN(refs), sizeof *f->study.metric_refs);
    memcpy(f->study.metric_refs, refs, sizeof refs);
    f->study.metric_ref_count = ARRAY_LEN(refs);
    f->study.requirements = f->requirements;
    f->answers.items = arena_array(f->arena, ANSWERS_MAX, sizeof *f->answers.items);
    f->facts.wer = NAN;
    f->input = (struct metrics_input){
        .service = "llm",
        .mode = "shared",
        .answers = &f->answers,
        .window_start_ns = ZERO,
        .window_end_ns = ZERO + 60 * (int64_t)NS_PER_S,
        .sources = SOURCE_ANY,
        .seed = 1,
    };
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

static struct trial_answer *add(struct fixture *f, int64_t intended_ns, int64_t took_ns)
{
    struct trial_answer *answer = &f->answers.items[f->answers.count];
    assert_true(f->answers.count < ANSWERS_MAX);
    *answer = (struct trial_answer){.text = "",
                                    .record = {.sequence = (uint32_t)f->answers.count++,
                                               .part = LOAD_WINDOW,
                                               .intended_ns = ZERO + intended_ns,
                                               .sent_ns = ZERO + intended_ns,
                                               .first_token_ns = -1,
                                               .last_token_ns = -1,
                                               .done_ns = ZERO + intended_ns + took_ns,
                                               .tokens = -1,
                                               .audio_s = NAN}};
    return answer;
}

static void test_limits(void **state)
{
    (void)state;
    struct fixture f;
    init(&f);
    assert_false(finding_limits_of(&f.study, 0).any);
    require(&f, "llm.latency.p95 < 500ms");
    require(&f, "llm.latency.p50 < 200ms"); /* of a single request p95's limit is asked */
    require(&f, "llm.ttft.p99 <= 100ms");
    require(&f, "llm.itl.p95 < 20ms");
    require(&f, "llm.content.p95 < 150ms");
    require(&f, "llm.latency.mean < 1ms"); /* of no request in particular */
    require(&f, "llm.error_ratio < 1%");
    struct finding_limits limits = finding_limits_of(&f.study, 0);
    assert_true(limits.any && limits.latency_s == 0.5 && limits.ttft_s == 0.1 &&
                limits.itl_s == 0.02 && isnan(limits.rtf));
    assert_false(finding_limits_of(&f.study, 1).any);
    size_t count = 0;
    const struct level_bound *bounds = finding_bounds(&f.study, 0, f.arena, &count);
    assert_int_equal(count, 5); /* p95, p50, p99, p95 and the errors: shares of requests */
    assert_true(fabs(bounds[0].allowed - 0.05) < 1e-12 && fabs(bounds[4].allowed - 0.01) < 1e-12);
    assert_true(bounds[3].metric == METRIC_CONTENT && limits.content_s == 0.15);
    arena_free(f.arena);
}

static void test_goodput(void **state)
{
    (void)state;
    static const struct {
        int64_t took_ms, first_ms, last_ms;
        uint32_t gaps;
        enum load_error error;
        bool good;
        uint64_t left_out;
    } rows[] = {
        {400, 90, 390, 10, LOAD_OK, true, 10}, /* gaps that are not kept are gaps */
        {400, 90, 390, 20, LOAD_OK, true},     {600, 90, 390, 20, LOAD_OK, false},
        {400, 110, 390, 20, LOAD_OK, false},   {400, 90, 390, 10, LOAD_OK, false}, /* 30 ms gaps */
        {400, 90, 90, 0, LOAD_OK, true},       {400, 90, 390, 20, LOAD_TIMEOUT, false},
        {400, -1, -1, 0, LOAD_OK, false},
    };
    struct fixture f;
    init(&f);
    require(&f, "llm.latency.p95 < 500ms");
    require(&f, "llm.ttft.p99 <= 100ms");
    require(&f, "llm.itl.p95 < 20ms");
    struct finding_limits limits = finding_limits_of(&f.study, 0);
    size_t good = 0;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct load_record *r = &add(&f, (int64_t)i * NS_PER_S, rows[i].took_ms * MS)->record;
        r->error = rows[i].error;
        r->gap_count = rows[i].gaps;
        r->gaps_left_out = rows[i].left_out;
        f.answers.items[i].gaps_ns = arena_array(f.arena, 32, sizeof(int64_t));
        if (rows[i].first_ms >= 0) {
            r->first_token_ns = r->intended_ns + rows[i].first_ms * MS;
            r->last_token_ns = r->intended_ns + rows[i].last_ms * MS;
        }
        CHECK_ROW(i, "good", finding_is_good(&limits, r) == rows[i].good);
        good += rows[i].good;
    }
    f.input.limits = &limits;
    attempt_add_metrics(&f.attempt, &f.input, &f.facts);
    size_t seen = 0;
    for (size_t k = 0; k < f.attempt.metric_count; k++) {
        const struct store_metric *m = &f.attempt.metrics[k];
        if (strcmp(m->metric, "goodput") == 0 && ++seen)
            assert_true(fabs(m->value - (double)good / 60) < 1e-12);
        if (strcmp(m->metric, "goodput_ratio") == 0 && ++seen)
            assert_true(m->value == (double)good / ARRAY_LEN(rows) && m->low < m->value &&
                        m->count == ARRAY_LEN(rows));
    }
    assert_int_equal(seen, 2);
    arena_free(f.arena);
}

static void test_requirements_are_counted(void **state)
{
    (void)state;
    struct fixture f;
    init(&f);
    require(&f, "llm.latency.p95 < 500ms");
    struct rng rng = rng_init(3, "latency");
    f.input.bounds = finding_bounds(&f.study, 0, f.arena, &f.input.bound_count);
    for (int i = 0; i < 59; i++)
        add(&f, i * NS_PER_S, 100 * MS + (int64_t)(rng_unit(&rng) * 1e8));
    struct store_requirement r = finding_requirement(&f.input, &f.input.bounds[0], f.arena);
    assert_int_equal(r.requests, 59);
    assert_int_equal(r.over, 0);
    assert_string_equal(r.answer, "met");
    assert_string_equal(r.text, "llm.latency.p95 < 500ms");
    /* One that failed kept nothing, and 59 are then too few. */
    f.answers.items[20].record.error = LOAD_CLOSED;
    r = finding_requirement(&f.input, &f.input.bounds[0], f.arena);
    assert_int_equal(r.over, 1);
    assert_string_equal(r.answer, "undecided");
    /* "<": the limit itself is over. */
    for (int i = 0; i < 30; i++)
        add(&f, (60 + 2 * i) * NS_PER_S / 4, i % 3 ? 500 * MS : 100 * MS);
    r = finding_requirement(&f.input, &f.input.bounds[0], f.arena);
    assert_int_equal(r.over, 21);
    assert_string_equal(r.answer, "missed");
    /* Runs together: each alone is undecided. */
    assert_string_equal(finding_answer(0.05, 40, 0, 40), "undecided");
    assert_string_equal(finding_answer(0.05, 120, 1, 120), "met");
    arena_free(f.arena);
}

/* Turns are counted by what began them: one that broke before this service was asked is over. */
static void test_turns_are_counted(void **state)
{
    (void)state;
    static const struct {
        int turns, broken, slow; /* before this step; here, over the limit */
        const char *answer;
    } rows[] = {
        {59, 0, 0, "met"},       {58, 0, 0, "undecided"}, {14, 0, 0, "undecided"},
        {59, 1, 0, "undecided"}, {100, 30, 0, "missed"},  {100, 0, 30, "missed"},
        {100, 15, 15, "missed"}, {0, 0, 0, "undecided"},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct fixture f;
        int most = rows[i].broken > rows[i].slow ? rows[i].broken : rows[i].slow;
        int apart = most ? rows[i].turns / most : 2; /* those in a row would be alike */
        init(&f);
        require(&f, "llm.turn.p95 < 1s");
        struct rng rng = rng_init(i, "turns");
        struct answer_list begun = {.items =
                                        arena_array(f.arena, ANSWERS_MAX, sizeof *begun.items)};
        f.input.begun = &begun;
        f.input.settled_ns = ZERO;
        f.input.bounds = finding_bounds(&f.study, 0, f.arena, &f.input.bound_count);
        assert_int_equal(f.input.bound_count, 1);
        for (int k = -3; k < rows[i].turns; k++) { /* three of the warm-up, broken */
            struct trial_answer *first = &begun.items[begun.count];
            *first = (struct trial_answer){.text = "",
                                           .record = {.sequence = (uint32_t)begun.count++,
                                                      .part = k < 0 ? LOAD_WARMUP : LOAD_WINDOW,
                                                      .intended_ns = ZERO + k * (NS_PER_S / 2),
                                                      .turn_start_ns = -1,
                                                      .first_token_ns = -1}};
            if (k < 0 || (k % apart == 0 && k / apart < rows[i].broken))
                continue;
            bool slow = k % apart == 1 && k / apart < rows[i].slow;
            struct load_record *r = &add(&f, k * (NS_PER_S / 2) + 300 * MS, 900 * MS)->record;
            r->sequence = first->record.sequence;
            r->turn_start_ns = first->record.intended_ns;
            r->first_token_ns =
                r->intended_ns + (slow ? 800 : 100 + (int64_t)(100 * rng_unit(&rng))) * MS;
        }
        struct store_requirement r = finding_requirement(&f.input, &f.input.bounds[0], f.arena);
        CHECK_ROW(i, "turns", r.requests == rows[i].turns);
        CHECK_ROW(i, "over", r.over == rows[i].broken + rows[i].slow);
        CHECK_ROW_TEXT(i, "answer", r.answer, rows[i].answer);
        CHECK_ROW_TEXT(i, "of", r.of, "turns");
        arena_free(f.arena);
    }
}

/* None is over, and each is like the one before it: 100 of them are worth far fewer. */
static void test_alike_below_the_limit(void **state)
{
    (void)state;
    struct fixture f;
    init(&f);
    require(&f, "llm.latency.p95 < 500ms");
    require(&f, "llm.goodput_ratio >= 95%");
    struct finding_limits limits = finding_limits_of(&f.study, 0);
    struct rng rng = rng_init(3, "alike");
    f.input.limits = &limits;
    f.input.bounds = finding_bounds(&f.study, 0, f.arena, &f.input.bound_count);
    f.input.ratios = ratio_bounds(&f.study, 0, f.arena, &f.input.ratio_count);
    assert_true(f.input.bound_count == 1 && f.input.ratio_count == 1);
    double level = 0.5;
    for (int i = 0; i < 100; i++) {
        level = 0.9 * level + 0.1 * rng_unit(&rng);
        add(&f, i * NS_PER_S / 2, 100 * MS + (int64_t)(level * 3e8));
    }
    const struct store_requirement both[] = {
        finding_requirement(&f.input, &f.input.bounds[0], f.arena),
        ratio_requirement(&f.input, &f.input.ratios[0], f.arena)};
    for (size_t i = 0; i < ARRAY_LEN(both); i++) {
        assert_true(both[i].requests == 100 && both[i].over == 0 && both[i].worth < 40);
        assert_string_equal(both[i].answer, "undecided");
    }
    arena_free(f.arena);
}

static void test_worst_utterances(void **state)
{
    (void)state;
    static struct corpus_clip clips[] = {
        {.name = "a", .duration_s = 2, .transcript = "the quick brown fox jumps"},
        {.name = "b", .duration_s = 4, .transcript = "over the lazy dog"},
        {.name = "c", .duration_s = 1, .transcript = NULL},
        {.name = "d", .duration_s = 1, .transcript = "good morning"},
    };
    static const struct corpus corpus = {.clips = clips, .clip_count = ARRAY_LEN(clips)};
    static const struct {
        uint32_t item;
        const char *text;
    } heard[] = {{0, "the quick brown box jumps"},
                 {1, "a dog"},
                 {1, "over the lazy dog now"},
                 {3, "good morning"},
                 {2, "whatever"},
                 {0, "the quick brown fox"}};
    struct fixture f;
    init(&f);
    f.input.corpus = &corpus;
    for (size_t i = 0; i < ARRAY_LEN(heard); i++) {
        struct trial_answer *answer = add(&f, (int64_t)i * NS_PER_S, 100 * MS);
        answer->record.item = heard[i].item;
        answer->text = heard[i].text;
    }
    struct store_utterance *list = NULL;
    assert_int_equal(finding_worst(&f.input, f.arena, 5, &list), 2); /* d was heard right */
    assert_int_equal(list[0].item, 1);
    assert_int_equal(list[0].heard, 2);
    assert_int_equal(list[0].words, 8);
    assert_int_equal(list[0].substitutions + list[0].deletions, 3);
    assert_int_equal(list[0].insertions, 1);
    assert_string_equal(list[0].hypothesis, "a dog");
    assert_string_equal(list[0].reference, "over the lazy dog");
    assert_int_equal(list[1].item, 0);
    assert_int_equal(finding_worst(&f.input, f.arena, 1, &list), 1);
    /* A clip that is heard more often is not worse for it. Expected: still b before a, 4 errors in
     * 2 times to 5 in 5; before: a first. */
    for (size_t i = 0; i < 3; i++) {
        struct trial_answer *answer = add(&f, (int64_t)(10 + i) * NS_PER_S, 100 * MS);
        answer->record.item = 0;
        answer->text = "the quick brown box jumps";
    }
    assert_int_equal(finding_worst(&f.input, f.arena, 5, &list), 2);
    assert_int_equal(list[0].item, 1);
    assert_int_equal(list[1].heard, 5);
    f.input.corpus = NULL;
    assert_int_equal(finding_worst(&f.input, f.arena, 5, &list), 0);
    arena_free(f.arena);
}

/* 600 requests, ten a second; the first `cold` take three times as long, and latency grows by
 * `rise` over the window. */
static void fill(struct fixture *f, size_t cold, double rise)
{
    struct rng rng = rng_init(5, "window");
    for (size_t i = 0; i < 600; i++) {
        double took_ms =
            100 * (1 + rng_unit(&rng)) * (i < cold ? 3 : 1) * (1 + rise * (double)i / 600);
        add(f, (int64_t)i * 100 * MS, (int64_t)(took_ms * 1e6));
    }
}

static void test_cold_beginning_is_cut(void **state)
{
    (void)state;
    struct fixture f;
    init(&f);
    fill(&f, 60, 0);
    f.answers.items[10].record.error = LOAD_CLOSED;
    attempt_add_metrics(&f.attempt, &f.input, &f.facts);
    size_t warmup = 0;
    for (size_t i = 0; i < f.attempt.request_count; i++)
        warmup += f.attempt.requests[i].part == LOAD_WARMUP;
    assert_true(warmup >= 55 && warmup <= 65);
    /* The failure stays in the window, and all that it is a share of. */
    assert_int_equal(f.facts.requests, 600);
    assert_int_equal(f.facts.ok, 599);
    assert_int_equal(f.facts.errors[LOAD_CLOSED], 1);
    assert_non_null(f.facts.warmup);
    assert_non_null(strstr(f.facts.warmup, "count as warm-up"));
    assert_null(f.facts.unsteady);
    for (size_t k = 0; k < f.attempt.metric_count; k++) {
        const struct store_metric *m = &f.attempt.metrics[k];
        if (strcmp(m->metric, "latency") == 0 && strcmp(m->stat, "max") == 0)
            assert_true(m->value < 0.3);
        if (strcmp(m->metric, "error_ratio") == 0)
            assert_true(m->count == 600 && fabs(m->value - 1.0 / 600) < 1e-12);
        if (strcmp(m->metric, "requests_per_s") == 0) /* of what is left, over its time */
            assert_true(fabs(m->value - 10) < 0.2);
        if (strcmp(m->metric, "latency") == 0 && strcmp(m->stat, "p95") == 0)
            assert_string_equal(m->method, "order statistics");
    }
    arena_free(f.arena);
}

/* 40 of the first 60 fail while it warms up: a share of 600, and none of what is asked of times. */
static void test_failures_of_the_cut(void **state)
{
    (void)state;
    struct fixture f;
    init(&f);
    require(&f, "llm.latency.p95 < 500ms");
    f.input.bounds = finding_bounds(&f.study, 0, f.arena, &f.input.bound_count);
    struct finding_limits limits = finding_limits_of(&f.study, 0);
    f.input.limits = &limits;
    fill(&f, 120, 0);
    for (size_t i = 0; i < 60; i++)
        f.answers.items[i].record.error = i % 3 ? LOAD_CLOSED : LOAD_OK;
    attempt_add_metrics(&f.attempt, &f.input, &f.facts);
    assert_non_null(f.facts.warmup);
    assert_int_equal(f.attempt.requirement_count, 1);
    const struct store_requirement *r = &f.attempt.requirements[0];
    assert_true(r->over == 0 && r->requests >= 470 && r->requests <= 490);
    assert_string_equal(r->answer, "met");
    size_t seen = 0;
    for (size_t k = 0; k < f.attempt.metric_count; k++) {
        const struct store_metric *m = &f.attempt.metrics[k];
        if (strcmp(m->metric, "error_ratio") == 0 && ++seen)
            assert_true(m->count == 600 && fabs(m->value - 40.0 / 600) < 1e-12);
        if (strcmp(m->metric, "goodput_ratio") == 0 && ++seen)
            assert_true(m->value == 1 && m->count == r->requests);
    }
    assert_int_equal(seen, 2);
    arena_free(f.arena);
}

static void test_steady_window_is_left_alone(void **state)
{
    (void)state;
    struct fixture f;
    init(&f);
    fill(&f, 0, 0);
    struct window_series series = window_settle(&f.input, f.arena);
    assert_int_equal(series.count, 600);
    assert_true(series.from_ns == ZERO && !series.warmup && !series.unsteady);
    arena_free(f.arena);
}

/* Bursts, ramps, traces: what changes there was asked for. */
static void test_moving_load_is_left_alone(void **state)
{
    (void)state;
    struct fixture f;
    init(&f);
    fill(&f, 60, 0.6);
    f.input.moving = true;
    struct window_series series = window_settle(&f.input, f.arena);
    assert_true(series.count == 600 && !series.warmup && !series.unsteady);
    arena_free(f.arena);
}

static void test_drift_is_named(void **state)
{
    (void)state;
    struct fixture f;
    init(&f);
    fill(&f, 0, 0.6);
    struct window_series series = window_settle(&f.input, f.arena);
    assert_non_null(series.unsteady);
    assert_non_null(strstr(series.unsteady, "latency.p50 rose from "));
    assert_non_null(strstr(series.unsteady, "%/min"));
    arena_free(f.arena);
}

static struct store_requirement ratio_of(struct fixture *f)
{
    size_t count = 0;
    const struct ratio_bound *bounds = ratio_bounds(&f->study, 0, f->arena, &count);
    assert_int_equal(count, 1);
    return ratio_requirement(&f->input, &bounds[0], f->arena);
}

/* expected: decided like a quantile; before: a point value against a number, nothing said */
static void test_goodput_is_a_count(void **state)
{
    (void)state;
    static const struct {
        int requests, slow, reloads;
        const char *answer;
    } rows[] = {
        {59, 0, 5, "met"},        {58, 0, 0, "undecided"}, {200, 4, 0, "met"},
        {200, 8, 0, "undecided"}, {200, 30, 0, "missed"},  {0, 0, 0, "undecided"},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct fixture f;
        init(&f);
        require(&f, "llm.latency.p95 < 500ms");
        require(&f, "llm.goodput_ratio > 95%");
        struct finding_limits limits = finding_limits_of(&f.study, 0);
        f.input.limits = &limits;
        for (int k = 0; k < rows[i].requests + rows[i].reloads; k++) {
            bool slow = rows[i].slow && k % (rows[i].requests / rows[i].slow) == 0 &&
                        k / (rows[i].requests / rows[i].slow) < rows[i].slow;
            struct trial_answer *answer = add(&f, k * NS_PER_S, (slow ? 900 : 100) * MS);
            answer->record.session = answer->record.sequence;
            if (k >= rows[i].requests)
                answer->record.error = LOAD_RELOAD;
        }
        struct store_requirement r = ratio_of(&f);
        CHECK_ROW(i, "requests", r.requests == rows[i].requests && r.over == rows[i].slow);
        CHECK_ROW_TEXT(i, "answer", r.answer, rows[i].answer);
        CHECK_ROW_TEXT(i, "of", r.of, "requests");
        CHECK_ROW(i, "allowed", fabs(r.allowed - 0.05) < 1e-12);
        arena_free(f.arena);
    }
}

/* Forty clips of ten words: errors spread over all of them tell more than the same number in few.
 */
static void test_words_are_counted_by_clips(void **state)
{
    (void)state;
    enum { CLIPS = 40 };
    static const char said[] = "please turn on the light in the kitchen before breakfast";
    static const char wrong_one[] = "please turn on the light in the kitchen before oops";
    static const char wrong_all[] = "nothing of it was heard well by that poor server";
    static const struct {
        const char *name, *limit;
        int one, all; /* clips with one wrong word, with nothing but wrong ones */
        int64_t over;
        const char *answer;
        bool alike;
    } rows[] = {
        {"none", "llm.wer < 10%", 0, 0, 0, "met", true},
        {"one in each of twenty", "llm.wer < 10%", 20, 0, 20, "met", false},
        {"all of two clips", "llm.wer < 10%", 0, 2, 20, "undecided", true},
        {"one in each", "llm.wer < 5%", 40, 0, 40, "missed", false},
    };
    struct corpus_clip clips[CLIPS];
    for (int i = 0; i < CLIPS; i++)
        clips[i] = (struct corpus_clip){.transcript = (char *)(uintptr_t)said};
    const struct corpus corpus = {.clips = clips, .clip_count = CLIPS, .all_transcribed = true};
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct fixture f;
        init(&f);
        require(&f, rows[i].limit);
        f.input.corpus = &corpus;
        for (int k = 0; k < CLIPS; k++) {
            struct trial_answer *answer = add(&f, k * NS_PER_S, 100 * MS);
            answer->record.item = (uint32_t)k;
            answer->text = k < rows[i].all                 ? wrong_all
                           : k < rows[i].all + rows[i].one ? wrong_one
                                                           : said;
        }
        struct store_requirement r = ratio_of(&f);
        CHECK_ROW(i, rows[i].name, r.requests == 10 * CLIPS && r.over == rows[i].over);
        CHECK_ROW_TEXT(i, rows[i].name, r.answer, rows[i].answer);
        CHECK_ROW(i, rows[i].name, (r.worth < 100) == rows[i].alike);
        CHECK_ROW_TEXT(i, rows[i].name, r.of, "words");
        arena_free(f.arena);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_limits),
        cmocka_unit_test(test_goodput),
        cmocka_unit_test(test_requirements_are_counted),
        cmocka_unit_test(test_turns_are_counted),
        cmocka_unit_test(test_worst_utterances),
        cmocka_unit_test(test_cold_beginning_is_cut),
        cmocka_unit_test(test_failures_of_the_cut),
        cmocka_unit_test(test_alike_below_the_limit),
        cmocka_unit_test(test_steady_window_is_left_alone),
        cmocka_unit_test(test_moving_load_is_left_alone),
        cmocka_unit_test(test_drift_is_named),
        cmocka_unit_test(test_goodput_is_a_count),
        cmocka_unit_test(test_words_are_counted_by_clips),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
