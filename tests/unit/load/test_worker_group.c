/* Several workers that share one plan, and workers that stand still. Only relations and generous
 * bounds: the machine may be busy. */
#include "load/worker.h"

#include "fake.h"
#include "plan_of.h"
#include "worker_run.h"

#include <errno.h>
#include <math.h>

static const struct corpus prompts =
    PROMPTS({.prompt = "one"}, {.prompt = "two"}, {.prompt = "three"});

static struct load_plan chat_plan(const struct fake *fake, char *url, size_t size)
{
    return plan_of("openai-chat", &prompts, fake_url(fake, "/v1/chat/completions", url, size));
}

/* One worker or three: the same requests, each once, at the same times of the run. */
static void test_same_plan(void **state)
{
    (void)state;
    struct fake fake = fake_start((const char *const[]){"--latency", "3ms", "--tokens", "4", NULL});
    char url[128];
    struct load_plan plan = chat_plan(&fake, url, sizeof url);
    plan.streams[0].arrivals = ARRIVALS_POISSON;
    plan.warmup_ns = 300 * NS_PER_MS;
    plan.workers = 3;
    struct run run = worker_run(&plan);
    assert_string_equal(run.report.failure, "");
    assert_true(run.report.complete);
    assert_int_equal(run.report.workers, 3);
    assert_int_equal(run.report.requests, run.count);
    assert_int_equal(run.by_error[LOAD_OK], run.count);
    assert_true(run.report.lateness_p50_s <= run.report.lateness_p99_s);
    assert_true(run.report.stall_p99_s <= run.report.stall_max_s);
    uint64_t ticks = 0;
    for (size_t b = 0; b < LOAD_DELAY_BANDS; b++)
        ticks += run.report.stalls[b];
    assert_true(ticks >= 3 * 49); /* 20 ms apart over a window of 1 s, in each worker */
    struct load_arrivals arrivals = load_arrivals_init(&plan, 0);
    for (uint32_t n = 0;; n++) {
        int64_t at_ns = run.report.start_ns + load_arrivals_next(&arrivals);
        size_t found = 0;
        for (size_t i = 0; i < run.count; i++) {
            const struct load_record *r = &run.kept[i].record;
            if (r->sequence != n)
                continue;
            found++;
            assert_int_equal(r->intended_ns, at_ns);
            assert_int_equal(r->item, load_item(&plan, 0, n, 3));
        }
        assert_int_equal(found, at_ns < run.report.window_end_ns);
        if (!found)
            break;
    }
    free(run.kept);
    fake_stop(&fake);
}

static void test_clients_are_divided(void **state)
{
    (void)state;
    struct fake fake = fake_start((const char *const[]){"--latency", "50ms", NULL});
    char url[128];
    struct load_plan plan = chat_plan(&fake, url, sizeof url);
    plan.streams[0].arrivals = ARRIVALS_CLOSED;
    plan.streams[0].concurrency = 3;
    plan.workers = 2;
    struct run run = worker_run(&plan);
    assert_true(run.report.complete);
    /* Three clients for 1 s at 50 ms each: 60 at most, and no number twice. */
    assert_true(run.count >= 10 && run.count <= 63);
    for (size_t i = 0; i < run.count; i++)
        for (size_t k = 0; k < i; k++)
            assert_int_not_equal(run.kept[i].record.sequence, run.kept[k].record.sequence);
    free(run.kept);
    fake_stop(&fake);
}

static void wait_for_records(struct load_worker *worker, struct run *run, size_t count)
{
    while (run->count < count) {
        assert_true(worker_take(worker, run));
        struct pollfd fd = {.fd = load_worker_fd(worker), .events = POLLIN};
        assert_true(poll(&fd, 1, 60000) >= 0);
    }
}

/* Half a load is none. */
static void test_one_is_killed(void **state)
{
    (void)state;
    struct fake fake = fake_start(NULL);
    char url[128];
    struct load_plan plan = chat_plan(&fake, url, sizeof url);
    plan.window_ns = 60 * NS_PER_S;
    plan.workers = 3;
    struct run run;
    struct load_worker *worker = worker_begin(&plan, &run);
    wait_for_records(worker, &run, 6);
    pid_t pids[LOAD_WORKERS_MAX];
    assert_int_equal(load_worker_pids(worker, pids), 3);
    assert_true(load_worker_cpu_ns(worker) > 0);
    kill(pids[1], SIGKILL);
    worker_wait(worker, &run);
    assert_false(run.report.complete);
    assert_non_null(strstr(run.report.failure, "signal 9"));
    assert_true(isnan(run.report.lateness_p99_s) && isnan(run.report.stall_p99_s));
    assert_int_equal(load_worker_pid(worker), 0);
    for (int i = 0; i < 3; i++)
        assert_true(kill(pids[i], 0) != 0 && errno == ESRCH);
    load_worker_free(worker);
    free(run.kept);
    fake_stop(&fake);
}

static void test_stop(void **state)
{
    (void)state;
    struct fake fake = fake_start(NULL);
    char url[128];
    struct load_plan plan = chat_plan(&fake, url, sizeof url);
    plan.window_ns = 60 * NS_PER_S;
    plan.workers = 2;
    for (int row = 0; row < 2; row++) { /* in the middle, and before it has begun */
        struct run run;
        struct load_worker *worker = worker_begin(&plan, &run);
        wait_for_records(worker, &run, row == 0 ? 4 : 0);
        load_worker_stop(worker);
        worker_wait(worker, &run);
        CHECK_ROW(row, "complete", !run.report.complete);
        CHECK_ROW_TEXT(row, "failure", run.report.failure, "stopped");
        load_worker_free(worker);
        free(run.kept);
    }
    fake_stop(&fake);
}

/* A client of a closed loop is free when the loop noticed its answer: a worker that stands still
 * sends nothing late. What it says of the server is wrong all the same, and it says so. */
static void test_standstill_is_seen(void **state)
{
    (void)state;
    struct fake fake = fake_start((const char *const[]){"--latency", "5ms", NULL});
    char url[128];
    struct load_plan plan = chat_plan(&fake, url, sizeof url);
    plan.streams[0].arrivals = ARRIVALS_CLOSED;
    plan.streams[0].concurrency = 2;
    plan.window_ns = 2 * NS_PER_S;
    struct run run;
    struct load_worker *worker = worker_begin(&plan, &run);
    wait_for_records(worker, &run, 10);
    kill(load_worker_pid(worker), SIGSTOP);
    usleep(300000);
    kill(load_worker_pid(worker), SIGCONT);
    worker_wait(worker, &run);
    assert_true(run.report.complete);
    double worst_s = 0;
    size_t late = 0;
    for (size_t i = 0; i < run.count; i++) {
        worst_s = fmax(worst_s, load_latency_s(&run.kept[i].record));
        late += load_lateness_s(&run.kept[i].record) > 0.2;
    }
    assert_true(worst_s >= 0.25); /* charged to the server */
    assert_true(late <= 2);       /* and hardly any send was late */
    /* 15 ticks of 100 were late, by 0.3 s down to 0.02 s. */
    assert_true(run.report.stall_max_s >= 0.25);
    assert_true(run.report.stall_p99_s >= 0.2);
    load_worker_free(worker);
    free(run.kept);
    fake_stop(&fake);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_same_plan),          cmocka_unit_test(test_clients_are_divided),
        cmocka_unit_test(test_one_is_killed),      cmocka_unit_test(test_stop),
        cmocka_unit_test(test_standstill_is_seen),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
