/* A chain of three: what is heard is asked, what is answered is spoken. */
#include "load/worker.h"

#include "fake.h"
#include "plan_of.h"
#include "raw_server.h"
#include "worker_run.h"

enum { STT, LLM, TTS };

static struct corpus_clip clip = {.name = "a.wav", .data = "RIFF", .len = 4, .duration_s = 2};
static const struct corpus clips = {.clips = &clip, .clip_count = 1};
static const struct corpus heard = PROMPTS({.prompt = "hello world"});

/* A tenth of a second at 8 kHz. */
static struct raw_answer speech(void)
{
    static const char head[] = "HTTP/1.1 200 OK\r\nContent-Type: audio/wav\r\n\r\n"
                               "RIFF\x64\x06\0\0WAVEfmt \x10\0\0\0\1\0\1\0\x40\x1f\0\0\x80\x3e\0\0"
                               "\2\0\x10\0data\x40\x06\0\0";
    static char bytes[sizeof head - 1 + 1600];
    memcpy(bytes, head, sizeof head - 1);
    memset(bytes + sizeof head - 1, 17, 1600);
    return (struct raw_answer){.head = bytes, .head_len = sizeof bytes};
}

static struct load_stream stream_of(const char *name, const char *protocol, const char *url)
{
    return (struct load_stream){
        .name = name,
        .protocol = load_protocol_find(protocol),
        .url = url,
        .timeout_ns = 5 * NS_PER_S,
    };
}

struct chain {
    struct fake fake;
    struct raw_server speaker;
    char urls[3][128];
    struct load_plan plan;
};

static void begin(struct chain *chain, const char *const *options)
{
    const struct raw_answer answer = speech();
    chain->fake = fake_start(options);
    chain->speaker = raw_start_answer(&answer);
    fake_url(&chain->fake, "/v1/audio/transcriptions", chain->urls[STT], 128);
    fake_url(&chain->fake, "/v1/chat/completions", chain->urls[LLM], 128);
    snprintf(chain->urls[TTS], 128, "http://127.0.0.1:%d/v1/audio/speech", chain->speaker.port);
    chain->plan = plan_of("openai-transcriptions", &clips, chain->urls[STT]);
    struct load_plan *plan = &chain->plan;
    plan->streams[STT].rate_rps = 40;
    plan->warmup_ns = 250 * NS_PER_MS;
    plan->window_ns = 500 * NS_PER_MS;
    /* The chain may stand in any order. */
    plan->streams[LLM] = stream_of("llm", "openai-chat", chain->urls[LLM]);
    plan->streams[LLM].arrivals = ARRIVALS_AFTER;
    plan->streams[LLM].after = STT;
    plan->streams[TTS] = stream_of("tts", "openai-speech", chain->urls[TTS]);
    plan->streams[TTS].arrivals = ARRIVALS_AFTER;
    plan->streams[TTS].after = LLM;
    plan->stream_count = 3;
}

static void end(struct chain *chain, struct run *run)
{
    free(run->kept);
    fake_stop(&chain->fake);
    raw_stop(&chain->speaker);
}

/* The one with this number; NULL if there is none. */
static const struct kept *find(const struct run *run, uint32_t stream, uint32_t sequence)
{
    const struct kept *found = NULL;
    for (size_t i = 0; i < run->count; i++) {
        const struct load_record *r = &run->kept[i].record;
        if (r->stream != stream || r->sequence != sequence)
            continue;
        assert_null(found);
        found = &run->kept[i];
    }
    return found;
}

static void check_turn(const struct run *run, uint32_t sequence)
{
    const struct kept *steps[3];
    for (uint32_t s = STT; s <= TTS; s++) {
        steps[s] = find(run, s, sequence);
        if (!steps[s])
            fail_msg("turn %u: no step %u", sequence, s);
        if (steps[s]->record.error != LOAD_OK)
            fail_msg("turn %u, step %u: %s: %s", sequence, s,
                     load_error_name(steps[s]->record.error), steps[s]->text);
        assert_int_equal(steps[s]->record.part, steps[STT]->record.part);
    }
    const struct load_record *stt = &steps[STT]->record, *llm = &steps[LLM]->record,
                             *tts = &steps[TTS]->record;
    assert_int_equal(stt->turn_start_ns, -1);
    assert_int_equal(llm->turn_start_ns, stt->intended_ns);
    assert_int_equal(tts->turn_start_ns, stt->intended_ns);
    assert_int_equal(llm->intended_ns, stt->done_ns);
    assert_int_equal(tts->intended_ns, llm->done_ns);
    assert_true(llm->sent_ns >= llm->intended_ns && tts->sent_ns >= tts->intended_ns);
    /* Its parts make the turn. */
    assert_float_equal(load_turn_s(tts),
                       load_latency_s(stt) + load_latency_s(llm) + load_ttft_s(tts), 1e-9);
    assert_true(load_turn_s(stt) != load_turn_s(stt));
}

static void check_all(int workers)
{
    struct chain chain;
    begin(&chain, (const char *const[]){"--latency", "5ms", "--tokens", "4", NULL});
    chain.plan.workers = workers;
    struct run run = worker_run(&chain.plan);
    assert_string_equal(run.report.failure, "");
    assert_int_equal(run.count, 3 * 30);
    for (uint32_t n = 0; n < 30; n++)
        check_turn(&run, n);
    /* What was asked is what was heard. */
    struct load_plan direct = plan_of_one("openai-chat", &heard, chain.urls[LLM]);
    struct run asked = worker_run(&direct);
    assert_string_equal(find(&run, STT, 0)->text, "hello world");
    assert_string_equal(find(&run, LLM, 0)->text, asked.kept[0].text);
    free(asked.kept);
    end(&chain, &run);
}

static void test_chain(void **state)
{
    (void)state;
    check_all(0);
}

static void test_chain_of_workers(void **state)
{
    (void)state;
    check_all(3);
}

/* Every third transcription fails: nothing follows it, and nothing else is missing. */
static void test_broken(void **state)
{
    (void)state;
    struct chain chain;
    begin(&chain, (const char *const[]){"--tokens", "4", "--every", "7:http:500", NULL});
    struct run run = worker_run(&chain.plan);
    assert_string_equal(run.report.failure, "");
    size_t broken = 0, whole = 0;
    for (uint32_t n = 0; n < 30; n++) {
        const struct kept *stt = find(&run, STT, n), *llm = find(&run, LLM, n),
                          *tts = find(&run, TTS, n);
        assert_non_null(stt);
        assert_true((stt->record.error == LOAD_OK) == (llm != NULL));
        assert_true((llm && llm->record.error == LOAD_OK) == (tts != NULL));
        broken += !tts;
        whole += tts != NULL;
    }
    assert_true(broken > 0 && whole > 0);
    end(&chain, &run);
}

/* Answers that come in the drain are followed, and what the drain cuts is named. */
static void test_drain(void **state)
{
    (void)state;
    struct chain chain;
    begin(&chain, (const char *const[]){"--latency", "400ms", "--tokens", "4", NULL});
    chain.plan.drain_ns = 600 * NS_PER_MS;
    chain.plan.streams[STT].rate_rps = 20;
    struct run run = worker_run(&chain.plan);
    assert_string_equal(run.report.failure, "");
    assert_int_equal(run.by_error[LOAD_OK] + run.by_error[LOAD_UNFINISHED], run.count);
    assert_true(run.by_error[LOAD_UNFINISHED] > 0);
    const struct kept *last = find(&run, LLM, 14);
    assert_non_null(last);
    assert_true(last->record.intended_ns > run.report.window_end_ns);
    assert_int_equal(last->record.part, LOAD_WINDOW);
    end(&chain, &run);
}

static void test_refused(void **state)
{
    (void)state;
    struct chain chain;
    begin(&chain, NULL);
    struct load_plan bad[3] = {chain.plan, chain.plan, chain.plan};
    bad[0].streams[LLM].after = TTS; /* a circle */
    bad[1].streams[LLM].after = 7;
    bad[2].streams[STT].arrivals = ARRIVALS_AFTER; /* audio from a text, and a circle */
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        struct err err = ERR_INIT;
        struct load_worker *worker = NULL;
        assert_false(load_worker_start(&bad[i], &worker, &err));
        assert_int_equal(err.code, ERR_INPUT);
    }
    fake_stop(&chain.fake);
    raw_stop(&chain.speaker);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_chain),   cmocka_unit_test(test_chain_of_workers),
        cmocka_unit_test(test_broken),  cmocka_unit_test(test_drain),
        cmocka_unit_test(test_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
