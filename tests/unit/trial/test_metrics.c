/* Answers to rows, by hand: what belongs to the window, from where a latency counts, what a
 * straddling answer adds to a rate, and that what is unknown has no row. */
#include "check.h"

#include "base/clock.h"
#include "trial/attempt.h"
#include "trial/finding.h"
#include "trial/ratio.h"

#include <math.h>

enum { S = 1000000000, MS = 1000000 };
static const int64_t ZERO = 1000 * (int64_t)S; /* the window's start: times below are relative */

struct fixture {
    struct arena *arena;
    struct attempt attempt;
    struct answer_list answers;
    struct judge_service facts;
    struct metrics_input input;
};

static void init(struct fixture *f, unsigned sources)
{
    *f = (struct fixture){.arena = arena_new()};
    f->attempt.arena = f->arena;
    f->answers.items = arena_array(f->arena, 64, sizeof *f->answers.items);
    f->facts.wer = NAN;
    f->input = (struct metrics_input){
        .service = "x",
        .mode = "shared",
        .answers = &f->answers,
        .window_start_ns = ZERO,
        .window_end_ns = ZERO + 10 * (int64_t)S,
        .sources = sources,
        .seed = 1,
    };
}

/* An answer that left on time; done < 0 with an error: noticed at -done. */
static struct trial_answer *add(struct fixture *f, int64_t intended_ns, int64_t done_ns,
                                enum load_error error)
{
    struct trial_answer *answer = &f->answers.items[f->answers.count];
    const int64_t end_ns = f->input.window_end_ns - ZERO;
    *answer = (struct trial_answer){
        .text = "",
        .record = {.sequence = (uint32_t)f->answers.count++,
                   .part = intended_ns < 0 || intended_ns >= end_ns ? LOAD_WARMUP : LOAD_WINDOW,
                   .error = error,
                   .http_status = 200,
                   .intended_ns = ZERO + intended_ns,
                   .sent_ns = ZERO + intended_ns,
                   .first_byte_ns = ZERO + done_ns,
                   .first_token_ns = -1,
                   .first_content_ns = -1,
                   .last_token_ns = -1,
                   .done_ns = ZERO + done_ns,
                   .tokens = -1,
                   .audio_s = NAN}};
    return answer;
}

/* Text events at these times, relative to the window's start. */
static void events(struct fixture *f, struct trial_answer *answer, size_t count,
                   const int64_t *at_ns)
{
    int64_t *gaps = arena_array(f->arena, count, sizeof *gaps);
    for (size_t i = 1; i < count; i++)
        gaps[i - 1] = at_ns[i] - at_ns[i - 1];
    answer->gaps_ns = gaps;
    answer->record.gap_count = (uint32_t)(count - 1);
    answer->record.first_token_ns = ZERO + at_ns[0];
    answer->record.last_token_ns = ZERO + at_ns[count - 1];
    answer->record.tokens = (int32_t)count;
}

static void run(struct fixture *f)
{
    attempt_add_metrics(&f->attempt, &f->input, &f->facts);
}

static const struct store_metric *row(const struct fixture *f, const char *metric, const char *stat)
{
    const struct store_metric *found = NULL;
    for (size_t i = 0; i < f->attempt.metric_count; i++) {
        const struct store_metric *m = &f->attempt.metrics[i];
        if (strcmp(m->metric, metric) != 0 || strcmp(m->stat, stat) != 0)
            continue;
        assert_null(found); /* never twice */
        assert_string_equal(m->service, "x");
        assert_string_equal(m->mode, "shared");
        found = m;
    }
    return found;
}

static double value(const struct fixture *f, const char *metric, const char *stat)
{
    const struct store_metric *m = row(f, metric, stat);
    return m ? m->value : NAN;
}

static void assert_near(double is, double expected)
{
    if (!(fabs(is - expected) <= 1e-9 * fmax(1, fabs(expected))))
        fail_msg("is %.12g, expected %.12g", is, expected);
}

/* A request that made the server load its model is no sample, and no failure either. */
static void test_reloads(void **state)
{
    (void)state;
    struct fixture f;
    init(&f, SOURCE_ANY | SOURCE_TEXT);
    for (int i = 0; i < 4; i++)
        add(&f, i * (int64_t)S, i * (int64_t)S + 100 * (int64_t)MS, LOAD_OK)
            ->record.first_token_ns = ZERO + i * (int64_t)S + 50 * (int64_t)MS;
    add(&f, 5 * (int64_t)S, 8 * (int64_t)S, LOAD_RELOAD)->record.first_token_ns =
        ZERO + 7 * (int64_t)S;
    run(&f);
    assert_near(value(&f, "latency", "max"), 0.1);
    assert_near(value(&f, "ttft", "max"), 0.05);
    assert_int_equal(row(&f, "latency", "p50")->count, 4);
    assert_near(value(&f, "errors", ""), 0);
    assert_near(value(&f, "error_ratio", ""), 0);
    assert_int_equal(row(&f, "error_ratio", "")->count, 4);
    assert_int_equal(f.facts.requests, 5);
    assert_int_equal(f.facts.ok, 4);
    assert_int_equal(f.facts.errors[LOAD_RELOAD], 1);
    assert_null(f.facts.first_error);
    arena_free(f.arena);
}

/* A window that was left with half of it on its way. Expected: what it was left for, rates and
 * errors, and no time; before: latency.p95 0.2 s of the quick half, beside "certainly missed". */
static void test_left_early(void **state)
{
    (void)state;
    static const char *const times[] = {"latency", "ttft", "content", "itl", "rtf"};
    static const char *const stats[] = {"p50", "p90", "p95", "p99", "mean", "min", "max"};
    static const struct level_bound bound = {
        .text = "x.latency.p95 < 300 ms", .metric = METRIC_LATENCY, .limit = 0.3, .allowed = 0.05};
    const struct store_requirement missed = {"x", bound.text, 0.05,     40,
                                             20,  40,         "missed", "requests"};
    static const struct ratio_bound good = {
        .text = "x.goodput_ratio > 50 %", .metric = METRIC_GOODPUT_RATIO, .allowed = 0.5};
    struct finding_limits limits = finding_limits_none();
    limits.latency_s = 0.3;
    limits.any = true;
    for (int left = 0; left <= 1; left++) {
        struct fixture f;
        init(&f, SOURCE_ANY | SOURCE_TEXT | SOURCE_SPEECH);
        for (int i = 0; i < 20; i++) {
            const int64_t at = i * (int64_t)S / 4;
            struct trial_answer *answer = add(&f, at, at + 200 * (int64_t)MS, LOAD_OK);
            answer->record.audio_s = 1;
            events(&f, answer, 3,
                   (const int64_t[]){at + 100 * (int64_t)MS, at + 150 * (int64_t)MS,
                                     at + 200 * (int64_t)MS});
            answer->record.first_content_ns = answer->record.first_token_ns;
        }
        for (int i = 0; i < 20; i++) /* as early_settle() leaves what was on its way */
            add(&f, i * (int64_t)S / 4, 6 * (int64_t)S, LOAD_UNFINISHED)->record.part = LOAD_WARMUP;
        f.input.left = left != 0;
        f.input.bounds = &bound;
        f.input.bound_count = 1;
        f.input.ratios = &good;
        f.input.ratio_count = 1;
        f.input.limits = &limits;
        f.input.missed = left ? &missed : NULL;
        run(&f);
        for (size_t m = 0; m < ARRAY_LEN(times); m++)
            for (size_t s = 0; s < ARRAY_LEN(stats); s++)
                if ((row(&f, times[m], stats[s]) == NULL) != (left != 0))
                    fail_msg("%s.%s, left %d", times[m], stats[s], left);
        assert_true((row(&f, "goodput_ratio", "") == NULL) == (left != 0));
        assert_near(value(&f, "requests_per_s", ""), 2);
        assert_near(value(&f, "errors", ""), 0);
        assert_near(f.facts.median_s, 0.2); /* for the bound on our own lateness */
        assert_int_equal(f.attempt.requirement_count, left ? 1 : 2);
        assert_int_equal(f.attempt.requirements[0].over, left ? 20 : 0);
        assert_int_equal(f.attempt.requirements[0].requests, left ? 40 : 20);
        assert_string_equal(f.attempt.requirements[0].answer, left ? "missed" : "undecided");
        arena_free(f.arena);
    }
}

/* Sound that comes: its first byte, and how fast it was spoken. No gaps, no words. */
static void test_spoken(void **state)
{
    (void)state;
    struct fixture f;
    init(&f, SOURCE_ANY | SOURCE_SPEECH);
    struct load_record *r = &add(&f, 0, 500 * (int64_t)MS, LOAD_OK)->record;
    r->first_token_ns = ZERO + 120 * (int64_t)MS;
    r->audio_s = 2;
    run(&f);
    assert_near(value(&f, "ttft", "max"), 0.12);
    assert_near(value(&f, "rtf", "max"), 0.25);
    assert_null(row(&f, "itl", "max"));
    assert_null(row(&f, "wer", ""));
    assert_null(row(&f, "tokens_per_s", ""));
    arena_free(f.arena);
}

static void test_latency(void **state)
{
    (void)state;
    struct fixture f;
    init(&f, SOURCE_ANY);
    add(&f, -1 * (int64_t)S, 1 * (int64_t)S, LOAD_OK); /* warm-up, though answered in the window */
    for (int i = 0; i < 5; i++)                        /* 100, 200, ... 500 ms */
        add(&f, i * (int64_t)S, i * (int64_t)S + (i + 1) * 100 * (int64_t)MS, LOAD_OK);
    /* Meant to leave at 6 s, held up by us until 8 s, answered at 9 s: 3 s. */
    add(&f, 6 * (int64_t)S, 9 * (int64_t)S, LOAD_OK)->record.sent_ns = ZERO + 8 * (int64_t)S;
    /* Leaves in the window, answered after its end: still the window's. */
    add(&f, 9 * (int64_t)S, 13 * (int64_t)S, LOAD_OK);
    add(&f, 5 * (int64_t)S, 7 * (int64_t)S, LOAD_CLOSED); /* a failure has no latency */
    add(&f, 11 * (int64_t)S, 12 * (int64_t)S, LOAD_OK);   /* after the window */
    run(&f);
    /* 0.1 0.2 0.3 0.4 0.5 3 4 */
    assert_int_equal(row(&f, "latency", "p50")->count, 7);
    assert_near(value(&f, "latency", "p50"), 0.4);
    assert_near(value(&f, "latency", "min"), 0.1);
    assert_near(value(&f, "latency", "max"), 4);
    assert_near(value(&f, "latency", "mean"), 8.5 / 7);
    assert_near(value(&f, "latency", "p95"), 3 + 0.7); /* type 7: rank 5.7 of 0..6 */
    /* Completed within the window: warm-up's one, five, the held one. */
    assert_near(value(&f, "requests_per_s", ""), 0.7);
    assert_near(value(&f, "errors", ""), 1);
    assert_near(value(&f, "error_ratio", ""), 1.0 / 8);
    assert_int_equal(row(&f, "error_ratio", "")->count, 8);
    assert_true(row(&f, "error_ratio", "")->low < 0.125 &&
                row(&f, "error_ratio", "")->high > 0.125);
    /* Seven values carry no 95 % interval of p95, but one of p50. */
    assert_true(isnan(row(&f, "latency", "p95")->high));
    assert_true(row(&f, "latency", "p50")->low < 0.4 && row(&f, "latency", "p50")->high > 0.4);
    /* Nothing that this protocol can't know. */
    static const char *const absent[] = {"ttft", "itl", "rtf", "wer", "tokens_per_s"};
    for (size_t i = 0; i < ARRAY_LEN(absent); i++)
        for (size_t k = 0; k < f.attempt.metric_count; k++)
            assert_string_not_equal(f.attempt.metrics[k].metric, absent[i]);
    assert_int_equal(f.facts.requests, 8);
    assert_int_equal(f.facts.ok, 7);
    assert_int_equal(f.facts.errors[LOAD_CLOSED], 1);
    arena_free(f.arena);
}

static void test_tokens(void **state)
{
    (void)state;
    struct fixture f;
    init(&f, SOURCE_ANY | SOURCE_TEXT);
    /* Warm-up answer with 4 events, 1 of which falls into the window. */
    const int64_t a[] = {-3 * (int64_t)S, -2 * (int64_t)S, -1 * (int64_t)S, 0};
    events(&f, add(&f, -4 * (int64_t)S, 0, LOAD_OK), 4, a);
    /* All of 5 within; TTFT 0.5 s, gaps 0.1 s. */
    int64_t b[5];
    for (int i = 0; i < 5; i++)
        b[i] = 1500 * (int64_t)MS + i * 100 * (int64_t)MS;
    events(&f, add(&f, 1 * (int64_t)S, 2 * (int64_t)S, LOAD_OK), 5, b);
    /* 4 events, the last 2 after the end: exactly at the end is outside. */
    const int64_t c[] = {8 * (int64_t)S, 9 * (int64_t)S, 10 * (int64_t)S, 11 * (int64_t)S};
    struct trial_answer *straddles = add(&f, 7 * (int64_t)S, 12 * (int64_t)S, LOAD_OK);
    events(&f, straddles, 4, c);
    straddles->record.tokens = 8; /* the server's count: two tokens an event */
    /* A failure's tokens count nowhere, nor does its first token. */
    const int64_t d[] = {3 * (int64_t)S, 4 * (int64_t)S};
    events(&f, add(&f, 2 * (int64_t)S, 5 * (int64_t)S, LOAD_TRUNCATED), 2, d);
    run(&f);
    assert_near(value(&f, "tokens_per_s", ""), (1 + 5 + 4) / 10.0);
    assert_int_equal(row(&f, "tokens_per_s", "")->count, 3);
    assert_int_equal(row(&f, "ttft", "p50")->count, 2); /* 0.5 s and 1 s */
    assert_near(value(&f, "ttft", "p50"), 0.75);
    assert_near(value(&f, "ttft", "max"), 1);
    assert_int_equal(row(&f, "itl", "p50")->count, 4 + 3);
    assert_near(value(&f, "itl", "min"), 0.1);
    assert_near(value(&f, "itl", "max"), 1);
    arena_free(f.arena);
}

/* One answer whose tokens nobody counted makes the rate unknown, not smaller. */
static void test_unknown_tokens(void **state)
{
    (void)state;
    struct fixture f;
    init(&f, SOURCE_ANY | SOURCE_TEXT);
    const int64_t a[] = {1 * (int64_t)S, 2 * (int64_t)S};
    events(&f, add(&f, 0, 3 * (int64_t)S, LOAD_OK), 2, a);
    struct trial_answer *unknown = add(&f, 0, 3 * (int64_t)S, LOAD_OK);
    events(&f, unknown, 2, a);
    unknown->record.tokens = -1;
    run(&f);
    assert_null(row(&f, "tokens_per_s", ""));
    assert_non_null(row(&f, "ttft", "p50"));
    arena_free(f.arena);
}

/* Events whose gaps were not kept lie evenly up to the last. Expected: two, and six of the ten left
 * out; before: all twelve, since both that are known came in time. */
static void test_left_out_gaps(void **state)
{
    (void)state;
    struct fixture f;
    init(&f, SOURCE_ANY | SOURCE_TEXT);
    const int64_t a[] = {8 * (int64_t)S, 8500 * (int64_t)MS};
    struct trial_answer *answer = add(&f, 7 * (int64_t)S, 11 * (int64_t)S, LOAD_OK);
    events(&f, answer, 2, a);
    answer->record.gaps_left_out = 10;
    answer->record.last_token_ns = ZERO + 11 * (int64_t)S;
    answer->record.tokens = 12;
    run(&f);
    assert_near(value(&f, "tokens_per_s", ""), (2 + 6) / 10.0);
    assert_int_equal(f.facts.gaps_left_out, 10);
    arena_free(f.arena);
}

/* A protocol with text whose answers came whole: no first token, no gaps, and no rows of them. */
static void test_without_stream(void **state)
{
    (void)state;
    struct fixture f;
    init(&f, SOURCE_ANY | SOURCE_TEXT);
    add(&f, 0, 3 * (int64_t)S, LOAD_OK)->record.tokens = 20;
    add(&f, 9 * (int64_t)S, 11 * (int64_t)S, LOAD_OK)->record.tokens = 20; /* done after the end */
    run(&f);
    assert_null(row(&f, "ttft", "p50"));
    assert_null(row(&f, "itl", "p50"));
    assert_near(value(&f, "tokens_per_s", ""), 2);
    arena_free(f.arena);
}

static void test_nothing_answered(void **state)
{
    (void)state;
    struct fixture f;
    init(&f, SOURCE_ANY | SOURCE_TEXT | SOURCE_AUDIO);
    for (int i = 0; i < 4; i++)
        add(&f, i * (int64_t)S, 12 * (int64_t)S, LOAD_UNFINISHED);
    run(&f);
    static const char *const absent[] = {"latency", "ttft", "itl", "rtf", "wer", "tokens_per_s"};
    for (size_t i = 0; i < ARRAY_LEN(absent); i++)
        for (size_t k = 0; k < f.attempt.metric_count; k++)
            assert_string_not_equal(f.attempt.metrics[k].metric, absent[i]);
    assert_near(value(&f, "errors", ""), 4);
    assert_near(value(&f, "error_ratio", ""), 1);
    assert_near(value(&f, "requests_per_s", ""), 0);
    assert_true(isnan(f.facts.silent_s));
    assert_int_equal(f.facts.ok, 0);
    for (size_t k = 0; k < f.attempt.metric_count; k++)
        assert_false(isnan(f.attempt.metrics[k].value));
    arena_free(f.arena);
}

static void test_no_requests(void **state)
{
    (void)state;
    struct fixture f;
    init(&f, SOURCE_ANY);
    run(&f);
    assert_null(row(&f, "error_ratio", "")); /* 0 of 0 is unknown */
    assert_near(value(&f, "errors", ""), 0);
    arena_free(f.arena);
}

static struct corpus_clip clips[] = {
    {.name = "a", .duration_s = 2, .transcript = "the quick brown fox jumps"},
    {.name = "b", .duration_s = 4, .transcript = "over the lazy dog"},
    {.name = "c", .duration_s = 1, .transcript = NULL},
};
static const struct corpus corpus = {.clips = clips, .clip_count = 3};

static void say(struct trial_answer *answer, uint32_t item, const char *text)
{
    answer->text = text;
    answer->record.item = item;
    answer->record.audio_s = clips[item].duration_s;
}

static void test_speech(void **state)
{
    (void)state;
    struct fixture f;
    init(&f, SOURCE_ANY | SOURCE_AUDIO);
    f.input.corpus = &corpus;
    say(add(&f, -1 * (int64_t)S, -500 * (int64_t)MS, LOAD_OK), 0, "warm-up is not graded");
    say(add(&f, 0, 1 * (int64_t)S, LOAD_OK), 0, "The quick, brown fox jumps.");      /* 0 of 5 */
    say(add(&f, 1 * (int64_t)S, 2 * (int64_t)S, LOAD_OK), 1, "over a lazy dog now"); /* 2 of 4 */
    say(add(&f, 2 * (int64_t)S, 3 * (int64_t)S, LOAD_OK), 2, "nobody knows"); /* no transcript */
    say(add(&f, 3 * (int64_t)S, 4 * (int64_t)S, LOAD_CLOSED), 0, "connection reset");
    run(&f);
    assert_near(value(&f, "wer", ""), 2.0 / 9);
    assert_int_equal(row(&f, "wer", "")->count, 2);
    assert_near(f.facts.wer, 2.0 / 9);
    assert_int_equal(f.facts.wer_words, 9);
    assert_near(value(&f, "rtf", "min"), 0.25);
    assert_near(value(&f, "rtf", "max"), 1);
    assert_null(row(&f, "tokens_per_s", ""));
    /* The rows of the requests, in order; graded where that is possible. */
    assert_int_equal(f.attempt.request_count, 5);
    const struct store_request *r = f.attempt.requests;
    assert_int_equal(r[0].words, -1);
    assert_int_equal(r[1].word_errors, 0);
    assert_int_equal(r[1].words, 5);
    assert_int_equal(r[2].word_errors, 2);
    assert_int_equal(r[2].words, 4);
    assert_int_equal(r[3].words, -1);
    assert_null(r[3].text);
    assert_int_equal(r[4].words, -1);
    assert_string_equal(r[4].error, "closed");
    assert_string_equal(r[4].text, "connection reset");
    assert_string_equal(f.facts.first_error, "connection reset");
    arena_free(f.arena);
}

/* Two clips heard twenty times each, one with errors and one without: what varies is two clips, so
 * that the interval reaches from one's ratio to the other's. */
static void test_word_errors_are_of_clips(void **state)
{
    (void)state;
    struct fixture f;
    init(&f, SOURCE_ANY | SOURCE_AUDIO);
    f.input.corpus = &corpus;
    for (int i = 0; i < 40; i++)
        say(add(&f, i * 100 * (int64_t)MS, (i * 100 + 50) * (int64_t)MS, LOAD_OK), (uint32_t)i % 2,
            i % 2 ? "over a lazy dog now" : "The quick, brown fox jumps.");
    run(&f);
    const struct store_metric *wer = row(&f, "wer", "");
    assert_near(wer->value, 2.0 / 9);
    assert_near(wer->low, 0);
    assert_near(wer->high, 0.5);
    assert_int_equal(wer->count, 40);
    arena_free(f.arena);
}

static void test_request_rows(void **state)
{
    (void)state;
    struct fixture f;
    init(&f, SOURCE_ANY);
    struct trial_answer *never = add(&f, -2 * (int64_t)S, 0, LOAD_CONNECT);
    never->record.sent_ns = never->record.first_byte_ns = never->record.done_ns = -1;
    never->record.http_status = 0;
    add(&f, 1 * (int64_t)S, 2 * (int64_t)S, LOAD_OK);
    run(&f);
    const struct store_request *r = f.attempt.requests;
    assert_int_equal(r[0].intended_ns, -2 * (int64_t)S);
    assert_true(r[0].sent_ns == STORE_NEVER && r[0].first_byte_ns == STORE_NEVER &&
                r[0].done_ns == STORE_NEVER && r[0].last_token_ns == STORE_NEVER);
    assert_int_equal(r[0].part, LOAD_WARMUP);
    assert_string_equal(r[0].error, "connect");
    assert_null(r[1].error);
    assert_int_equal(r[1].intended_ns, 1 * (int64_t)S);
    assert_int_equal(r[1].done_ns, 2 * (int64_t)S);
    assert_int_equal(r[1].tokens, -1);
    assert_int_equal(f.facts.requests, 1); /* warm-up is not counted */
    arena_free(f.arena);
}

static void test_shapes(void **state)
{
    (void)state;
    struct fixture f;
    init(&f, SOURCE_ANY | SOURCE_AUDIO);
    f.input.corpus = &corpus;
    say(add(&f, 0, 1 * (int64_t)S, LOAD_OK), 2, "!!!!!!!!!!!!");
    say(add(&f, 1 * (int64_t)S, 2 * (int64_t)S, LOAD_OK), 1,
        "thank you thank you thank you thank you thank you thank you");
    say(add(&f, 2 * (int64_t)S, 3 * (int64_t)S, LOAD_OK), 1, "over the lazy dog");
    run(&f);
    assert_int_equal(f.facts.degenerate, 1);
    assert_int_equal(f.facts.repeating, 1);
    assert_string_equal(f.facts.bad_example, "!!!!!!!!!!!!");
    arena_free(f.arena);
}

/* Silent: from the last good answer to the end of the window, or of what came after. */
static void test_silence(void **state)
{
    (void)state;
    static const struct {
        int64_t ok_done_s, last_done_s;
        double silent_s;
    } rows[] = {
        {9, 9, 1},
        {2, 5, 8},
        {2, 30, 28},
        {12, 12, 0},
    };
    for (size_t r = 0; r < ARRAY_LEN(rows); r++) {
        struct fixture f;
        init(&f, SOURCE_ANY);
        add(&f, 0, rows[r].ok_done_s * S, LOAD_OK);
        add(&f, 1 * (int64_t)S, rows[r].last_done_s * S, LOAD_TIMEOUT);
        run(&f);
        assert_near(f.facts.silent_s, rows[r].silent_s);
        arena_free(f.arena);
    }
}

/* Loaded alone: rows, but the shared window's facts stay as they are. */
static void test_alone(void **state)
{
    (void)state;
    struct fixture f;
    init(&f, SOURCE_ANY | SOURCE_AUDIO);
    f.input.corpus = &corpus;
    f.input.mode = "alone";
    say(add(&f, 0, 1 * (int64_t)S, LOAD_OK), 1, "over the lazy dog");
    attempt_add_metrics(&f.attempt, &f.input, NULL);
    assert_int_equal(f.facts.requests, 0);
    assert_true(isnan(f.facts.wer));
    for (size_t i = 0; i < f.attempt.metric_count; i++)
        assert_string_equal(f.attempt.metrics[i].mode, "alone");
    assert_string_equal(f.attempt.requests[0].mode, "alone");
    arena_free(f.arena);
}

/* A turn counts from the chain's first send; a turn that broke before this step is no time, and an
 * error of the turn though none of this service. */
static void test_turns(void **state)
{
    (void)state;
    struct fixture f, first;
    init(&first, SOURCE_ANY | SOURCE_AUDIO);
    init(&f, SOURCE_ANY | SOURCE_TEXT | SOURCE_TURN);
    for (int64_t i = -1; i < 5; i++) {
        add(&first, i * (int64_t)S, i * (int64_t)S + 300 * (int64_t)MS,
            i == 4 ? LOAD_TIMEOUT : LOAD_OK);
        if (i == 4)
            continue;
        struct trial_answer *a =
            add(&f, i * (int64_t)S + 300 * (int64_t)MS, i * (int64_t)S + 900 * (int64_t)MS,
                i == 3 ? LOAD_CLOSED : LOAD_OK);
        events(&f, a, 1, (const int64_t[]){i * (int64_t)S + 500 * (int64_t)MS});
        a->record.part = i < 0 ? LOAD_WARMUP : LOAD_WINDOW;
        a->record.turn_start_ns = ZERO + i * (int64_t)S;
    }
    f.input.begun = &first.answers;
    run(&f);
    assert_near(value(&f, "turn", "p50"), 0.5);
    assert_near(value(&f, "ttft", "p50"), 0.2);
    assert_near(value(&f, "turn_errors", ""), 2);
    assert_near(value(&f, "errors", ""), 1);
    arena_free(f.arena);
    arena_free(first.arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_latency),
        cmocka_unit_test(test_reloads),
        cmocka_unit_test(test_spoken),
        cmocka_unit_test(test_tokens),
        cmocka_unit_test(test_unknown_tokens),
        cmocka_unit_test(test_left_early),
        cmocka_unit_test(test_left_out_gaps),
        cmocka_unit_test(test_without_stream),
        cmocka_unit_test(test_nothing_answered),
        cmocka_unit_test(test_no_requests),
        cmocka_unit_test(test_speech),
        cmocka_unit_test(test_word_errors_are_of_clips),
        cmocka_unit_test(test_request_rows),
        cmocka_unit_test(test_shapes),
        cmocka_unit_test(test_silence),
        cmocka_unit_test(test_alone),
        cmocka_unit_test(test_turns),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
