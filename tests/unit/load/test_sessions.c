/* Sessions, made-up prompts and traces over the worker and the fake server, which counts the words
 * of all messages as prompt tokens: so what was sent can be told from what was answered. */
#include "load/ask.h"

#include "check.h"
#include "fake.h"
#include "plan_of.h"
#include "worker_run.h"

#include <math.h>

static struct spec_spread fixed(double value)
{
    return (struct spec_spread){.kind = SPREAD_FIXED, .low = value, .high = value, .max = value};
}

static int by_sequence(const void *a, const void *b)
{
    const struct kept *x = a, *y = b;
    return (x->record.sequence > y->record.sequence) - (x->record.sequence < y->record.sequence);
}

static const struct corpus nothing = {0};

struct row {
    const char *protocol, *path;
    enum arrivals arrivals;
};

/* Each turn says all before it: 10 words of ours and 4 of each answer. */
static void test_conversation_grows(void **state)
{
    (void)state;
    static const struct row rows[] = {
        {"openai-chat", "/v1/chat/completions", ARRIVALS_CLOSED},
        {"openai-completions", "/v1/completions", ARRIVALS_CLOSED},
    };
    struct fake fake = fake_start((const char *const[]){"--latency", "5ms", NULL});
    for (size_t r = 0; r < ARRAY_LEN(rows); r++) {
        char url[128];
        struct load_plan plan =
            plan_of(rows[r].protocol, &nothing, fake_url(&fake, rows[r].path, url, 128));
        struct load_stream *s = &plan.streams[0];
        s->arrivals = ARRIVALS_CLOSED;
        s->concurrency = 1;
        s->shape.turns = fixed(3);
        s->shape.think_ns = fixed(2e6);
        s->shape.prompt_tokens = fixed(11);
        s->shape.output_tokens = fixed(4);
        s->shape.prefix_count = 2;
        s->shape.prefix_tokens = 22;
        struct run run = worker_run(&plan);
        CHECK_ROW(r, "complete", run.report.complete);
        CHECK_ROW(r, "all answered", run.by_error[LOAD_OK] == run.count && run.count > 20);
        qsort(run.kept, run.count, sizeof *run.kept, by_sequence);
        for (size_t i = 0; i < run.count; i++) {
            const struct load_record *record = &run.kept[i].record;
            int turn = (int)(i % 3);
            CHECK_ROW(r, "sequence", record->sequence == i);
            CHECK_ROW(r, "session", record->session == i / 3 && record->turn == i % 3);
            CHECK_ROW(r, "answer", record->tokens == 4);
            CHECK_ROW(r, "conversation", record->prompt_tokens == 20 + 10 * (turn + 1) + 4 * turn);
            /* From an answer's end to the next send's intended time: what the client thought. */
            if (i > 0)
                CHECK_ROW(r, "think",
                          record->intended_ns - run.kept[i - 1].record.done_ns == 2000000);
        }
        free(run.kept);
    }
    fake_stop(&fake);
}

/* New sessions leave at the plan's times although others are being answered. */
static void test_open_sessions(void **state)
{
    (void)state;
    struct fake fake = fake_start((const char *const[]){"--latency", "30ms", NULL});
    char url[128];
    struct load_plan plan =
        plan_of("openai-chat", &nothing, fake_url(&fake, "/v1/chat/completions", url, 128));
    struct load_stream *s = &plan.streams[0];
    s->arrivals = ARRIVALS_POISSON;
    s->rate_rps = 40;
    s->shape.turns = fixed(2);
    s->shape.think_ns = fixed(20e6);
    s->shape.prompt_tokens = fixed(11);
    s->max_tokens = 3;
    struct run run = worker_run(&plan);
    assert_true(run.report.complete);
    assert_int_equal(run.by_error[LOAD_OK], run.count);
    struct load_arrivals arrivals = load_arrivals_init(&plan, 0);
    qsort(run.kept, run.count, sizeof *run.kept, by_sequence);
    size_t firsts = 0, seconds = 0;
    for (size_t i = 0; i < run.count; i++) {
        const struct load_record *record = &run.kept[i].record;
        assert_int_equal(record->turn, record->prompt_tokens == 10 ? 0 : 1);
        if (record->turn == 0) {
            assert_int_equal(record->session, firsts);
            assert_int_equal(record->intended_ns - run.report.start_ns,
                             load_arrivals_next(&arrivals));
            firsts++;
        } else {
            assert_int_equal(record->prompt_tokens, 23);
            seconds++;
        }
    }
    assert_true(load_arrivals_next(&arrivals) >= plan.window_ns);
    assert_true(firsts > 15 && seconds <= firsts && seconds + 12 > firsts);
    free(run.kept);
    fake_stop(&fake);
}

/* A failed turn ends its session: nobody goes on from an answer that did not come. */
static void test_failure_ends_a_session(void **state)
{
    (void)state;
    struct fake fake = fake_start((const char *const[]){"--at", "2:http:500", NULL});
    char url[128];
    struct load_plan plan =
        plan_of("openai-chat", &nothing, fake_url(&fake, "/v1/chat/completions", url, 128));
    struct load_stream *s = &plan.streams[0];
    s->arrivals = ARRIVALS_CLOSED;
    s->concurrency = 1;
    s->request_limit = 5;
    s->shape.turns = fixed(3);
    s->shape.prompt_tokens = fixed(11);
    s->max_tokens = 4;
    struct run run = worker_run(&plan);
    static const int wanted[] = {10, -1, 10, 24, 38};
    assert_int_equal(run.count, 5);
    qsort(run.kept, run.count, sizeof *run.kept, by_sequence);
    for (size_t i = 0; i < run.count; i++)
        assert_int_equal(run.kept[i].record.prompt_tokens, wanted[i]);
    assert_int_equal(run.by_error[LOAD_HTTP_STATUS], 1);
    free(run.kept);
    fake_stop(&fake);
}

static void test_trace(void **state)
{
    (void)state;
    static struct corpus_request entries[] = {
        {.at_ns = 0, .prompt_tokens = 22, .output_tokens = 5, .prompt = CORPUS_NO_ITEM},
        {.at_ns = 40000000, .output_tokens = 2, .prompt = 0},
        {.at_ns = 50000000, .prompt_tokens = 110, .prompt = CORPUS_NO_ITEM},
    };
    static const int prompts[] = {20, 3, 100}, outputs[] = {5, 2, 9};
    struct corpus corpus = PROMPTS({.prompt = "one two three"});
    corpus.trace = entries;
    corpus.trace_count = 3;
    struct fake fake = fake_start(NULL);
    char url[128];
    struct load_plan plan =
        plan_of("openai-chat", &corpus, fake_url(&fake, "/v1/chat/completions", url, 128));
    plan.streams[0].arrivals = ARRIVALS_TRACE;
    plan.streams[0].rate_rps = 0;
    plan.streams[0].max_tokens = 9;
    plan.streams[0].start_after_ns = 100 * NS_PER_MS;
    struct run run = worker_run(&plan);
    assert_true(run.report.complete);
    assert_int_equal(run.by_error[LOAD_OK], run.count);
    assert_in_range(run.count, 36, 36); /* 0.9 s of three requests in 75 ms */
    qsort(run.kept, run.count, sizeof *run.kept, by_sequence);
    for (size_t i = 0; i < run.count; i++) {
        const struct load_record *record = &run.kept[i].record;
        assert_int_equal(record->intended_ns - run.report.start_ns,
                         100000000 + 75000000 * (int64_t)(i / 3) + entries[i % 3].at_ns);
        assert_int_equal(record->prompt_tokens, prompts[i % 3]);
        assert_int_equal(record->tokens, outputs[i % 3]);
    }
    free(run.kept);
    fake_stop(&fake);
}

/* A file's prompts behind a shared beginning, with an answer's length drawn for each. */
static void test_prefixes_before_prompts(void **state)
{
    (void)state;
    static const struct {
        const char *protocol, *path;
        struct corpus_prompt prompt;
        int words;
    } rows[] = {
        {"openai-chat", "/v1/chat/completions", {.prompt = "one two three"}, 23},
        {"openai-completions", "/v1/completions", {.prompt = "one two three"}, 23},
        {"openai-chat",
         "/v1/chat/completions",
         {.messages = "[{\"role\": \"user\", \"content\": \"one two\"}]", .max_tokens = 9},
         22},
    };
    struct fake fake = fake_start(NULL);
    for (size_t r = 0; r < ARRAY_LEN(rows); r++) {
        char url[128];
        struct corpus_prompt prompt = rows[r].prompt;
        const struct corpus corpus = {.prompts = &prompt, .prompt_count = 1};
        struct load_plan plan =
            plan_of(rows[r].protocol, &corpus, fake_url(&fake, rows[r].path, url, 128));
        plan.window_ns = 200 * NS_PER_MS;
        plan.streams[0].shape.prefix_count = 1;
        plan.streams[0].shape.prefix_tokens = 22;
        plan.streams[0].shape.output_tokens =
            (struct spec_spread){.kind = SPREAD_UNIFORM, .low = 2, .high = 3, .max = 3};
        struct run run = worker_run(&plan);
        CHECK_ROW(r, "all answered", run.by_error[LOAD_OK] == run.count && run.count == 20);
        int twos = 0;
        for (size_t i = 0; i < run.count; i++) {
            CHECK_ROW(r, "words", run.kept[i].record.prompt_tokens == rows[r].words);
            CHECK_ROW(r, "answer",
                      run.kept[i].record.tokens == 2 || run.kept[i].record.tokens == 3);
            twos += run.kept[i].record.tokens == 2;
        }
        CHECK_ROW(r, "lengths differ", twos > 2 && twos < 18);
        free(run.kept);
    }
    fake_stop(&fake);
}

/* Several workers make the same requests as one: what is sent depends on the number alone. */
static void test_workers_make_the_same(void **state)
{
    (void)state;
    struct fake fake = fake_start(NULL);
    char url[128];
    struct load_plan plan =
        plan_of("openai-chat", &nothing, fake_url(&fake, "/v1/chat/completions", url, 128));
    struct spec_spread lengths = {
        .kind = SPREAD_LOGNORMAL, .low = 30, .high = 100, .max = SPEC_TOKENS_MAX};
    plan.streams[0].shape.prompt_tokens = plan.streams[0].shape.output_tokens = lengths;
    plan.window_ns = 300 * NS_PER_MS;
    struct run one = worker_run(&plan);
    plan.workers = 2;
    struct run two = worker_run(&plan);
    assert_int_equal(one.count, 30);
    assert_int_equal(two.count, 30);
    qsort(one.kept, one.count, sizeof *one.kept, by_sequence);
    qsort(two.kept, two.count, sizeof *two.kept, by_sequence);
    for (size_t i = 0; i < one.count; i++) {
        assert_int_equal(one.kept[i].record.prompt_tokens, two.kept[i].record.prompt_tokens);
        assert_int_equal(one.kept[i].record.tokens, two.kept[i].record.tokens);
        assert_string_equal(one.kept[i].text, two.kept[i].text);
    }
    free(one.kept);
    free(two.kept);
    fake_stop(&fake);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_conversation_grows),
        cmocka_unit_test(test_open_sessions),
        cmocka_unit_test(test_failure_ends_a_session),
        cmocka_unit_test(test_trace),
        cmocka_unit_test(test_prefixes_before_prompts),
        cmocka_unit_test(test_workers_make_the_same),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
