/* The worker against the fake service: the plan comes out as planned, and the service's bad moments
 * come out as latency. Only relations and generous bounds: the machine may be busy. */
#include "load/worker.h"

#include "fake.h"
#include "plan_of.h"
#include "worker_run.h"

#include <math.h>

static const struct corpus prompts =
    PROMPTS({.prompt = "one"}, {.prompt = "two"}, {.prompt = "three"});
static struct corpus_clip clip = {.name = "a.wav", .data = "RIFF", .len = 4, .duration_s = 2};
static const struct corpus clips = {.clips = &clip, .clip_count = 1};

/* Every planned send has one record with its time and item, whatever order they ended in. */
static void check_plan(const struct load_plan *plan, size_t stream, const struct run *run)
{
    const struct load_stream *s = &plan->streams[stream];
    struct load_arrivals arrivals = load_arrivals_init(plan, stream);
    int64_t start_ns = run->report.start_ns + s->start_after_ns;
    for (uint32_t n = 0;; n++) {
        int64_t intended_ns = start_ns + load_arrivals_next(&arrivals);
        const struct load_record *found = NULL;
        for (size_t i = 0; i < run->count; i++) {
            const struct load_record *r = &run->kept[i].record;
            if (r->stream == stream && r->sequence == n) {
                assert_null(found);
                found = r;
            }
        }
        if (intended_ns >= run->report.window_end_ns) {
            assert_null(found);
            break;
        }
        assert_non_null(found);
        assert_int_equal(found->intended_ns, intended_ns);
        assert_true(found->sent_ns >= intended_ns);
        assert_int_equal(found->item, load_item(plan, stream, n, load_stream_items(s)));
        assert_int_equal(found->part,
                         intended_ns < run->report.window_start_ns ? LOAD_WARMUP : LOAD_WINDOW);
    }
}

static void test_plan_is_reproduced(void **state)
{
    (void)state;
    struct fake fake = fake_start((const char *const[]){"--latency", "3ms", "--tokens", "4", NULL});
    char chat_url[128], speech_url[128];
    struct load_plan plan =
        plan_of("openai-chat", &prompts, fake_url(&fake, "/v1/chat/completions", chat_url, 128));
    plan.streams[0].arrivals = ARRIVALS_POISSON;
    plan.streams[1] = plan.streams[0];
    plan.streams[1].name = "two";
    plan.streams[1].protocol = load_protocol_find("openai-transcriptions");
    plan.streams[1].corpus = &clips;
    plan.streams[1].arrivals = ARRIVALS_CONSTANT;
    plan.streams[1].url = fake_url(&fake, "/v1/audio/transcriptions", speech_url, 128);
    plan.streams[1].start_after_ns = 100 * NS_PER_MS;
    plan.stream_count = 2;
    plan.warmup_ns = 300 * NS_PER_MS;
    struct run run = worker_run(&plan);
    assert_true(run.report.complete);
    assert_string_equal(run.report.failure, "");
    assert_int_equal(run.report.requests, run.count);
    assert_int_equal(run.report.window_start_ns - run.report.start_ns, plan.warmup_ns);
    assert_int_equal(run.report.window_end_ns - run.report.window_start_ns, plan.window_ns);
    assert_true(run.report.lateness_p50_s > 0);
    assert_true(run.report.lateness_p50_s <= run.report.lateness_p99_s);
    assert_true(run.report.lateness_p99_s <= run.report.lateness_max_s);
    assert_true(run.report.cpu_ns > 0);
    assert_int_equal(run.by_error[LOAD_OK], run.count);
    check_plan(&plan, 0, &run);
    check_plan(&plan, 1, &run);
    for (size_t i = 0; i < run.count; i++) {
        const struct load_record *r = &run.kept[i].record;
        assert_true(load_latency_s(r) >= 0.003 && load_service_s(r) <= load_latency_s(r));
        assert_int_equal(r->tokens, r->stream == 0 ? 4 : -1);
        assert_int_equal(r->gap_count, r->stream == 0 ? 3 : 0);
        assert_true(r->stream == 0 ? isnan(r->audio_s) : r->audio_s == 2);
        assert_true(r->stream == 1 || load_ttft_s(r) >= 0.003);
    }
    free(run.kept);
    fake_stop(&fake);
}

/* Coordinated omission: while the server is frozen, requests go on leaving, and their waiting is
 * counted from the time they were meant to leave. */
static void test_freeze_is_seen(void **state)
{
    (void)state;
    struct fake fake = fake_start((const char *const[]){"--at", "20:freeze:700ms", NULL});
    char url[128];
    struct load_plan plan = plan_of("openai-transcriptions", &clips,
                                    fake_url(&fake, "/v1/audio/transcriptions", url, 128));
    struct run run = worker_run(&plan);
    assert_true(run.report.complete);
    assert_int_equal(run.by_error[LOAD_OK], run.count);
    check_plan(&plan, 0, &run);
    size_t slow = 0;
    double worst_s = 0;
    for (size_t i = 0; i < run.count; i++) {
        double latency_s = load_latency_s(&run.kept[i].record);
        slow += latency_s > 0.1;
        worst_s = fmax(worst_s, latency_s);
    }
    /* 100/s for 0.7 s: some 60 of them waited longer than 0.1 s, the first for all of it. */
    assert_true(slow >= 45);
    assert_true(worst_s >= 0.65);
    free(run.kept);
    fake_stop(&fake);
}

static void test_in_flight_limit(void **state)
{
    (void)state;
    struct fake fake = fake_start((const char *const[]){"--latency", "50ms", NULL});
    char url[128];
    struct load_plan plan = plan_of("openai-transcriptions", &clips,
                                    fake_url(&fake, "/v1/audio/transcriptions", url, 128));
    plan.streams[0].concurrency = 2; /* 40/s at most, 100/s wanted */
    plan.window_ns = 500 * NS_PER_MS;
    struct run run = worker_run(&plan);
    check_plan(&plan, 0, &run);
    size_t held = 0;
    for (size_t i = 0; i < run.count; i++) {
        const struct load_record *r = &run.kept[i].record;
        held += r->held_back;
        assert_true(r->held_back == isnan(load_lateness_s(r)));
        assert_true(!r->held_back || load_latency_s(r) > load_service_s(r));
    }
    assert_true(held >= run.count / 2);
    /* What waited for the limit is not our lateness. */
    assert_true(run.report.lateness_p50_s < 0.05);
    free(run.kept);
    fake_stop(&fake);
}

static void test_closed_loop(void **state)
{
    (void)state;
    struct fake fake = fake_start((const char *const[]){"--latency", "10ms", NULL});
    char url[128];
    struct load_plan plan =
        plan_of("openai-chat", &prompts, fake_url(&fake, "/v1/chat/completions", url, 128));
    plan.streams[0].arrivals = ARRIVALS_CLOSED;
    plan.streams[0].concurrency = 2;
    plan.streams[0].reuse_connection = true;
    struct run run = worker_run(&plan);
    assert_true(run.report.complete);
    assert_int_equal(run.by_error[LOAD_OK], run.count);
    assert_true(run.count >= 10 && run.count <= 200);
    /* Never more than two at once. */
    for (size_t i = 0; i < run.count; i++) {
        size_t beside = 0;
        for (size_t k = 0; k < run.count; k++)
            beside += run.kept[k].record.sent_ns <= run.kept[i].record.sent_ns &&
                      run.kept[k].record.done_ns > run.kept[i].record.sent_ns;
        assert_true(beside <= 2);
    }
    free(run.kept);
    fake_stop(&fake);
}

static void test_probe(void **state)
{
    (void)state;
    struct fake fake = fake_start(NULL);
    char url[128];
    struct load_plan plan =
        plan_of("openai-chat", &prompts, fake_url(&fake, "/v1/chat/completions", url, 128));
    plan.probe = true;
    plan.window_ns = 0;
    plan.streams[0].arrivals = ARRIVALS_CLOSED;
    plan.streams[0].request_limit = 1;
    struct run run = worker_run(&plan);
    assert_true(run.report.complete);
    assert_int_equal(run.count, 1);
    assert_int_equal(run.kept[0].record.part, LOAD_PROBE);
    assert_int_equal(run.kept[0].record.error, LOAD_OK);
    free(run.kept);
    fake_stop(&fake);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_plan_is_reproduced),
        cmocka_unit_test(test_freeze_is_seen),
        cmocka_unit_test(test_in_flight_limit),
        cmocka_unit_test(test_closed_loop),
        cmocka_unit_test(test_probe),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
