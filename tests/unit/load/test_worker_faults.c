/* Every way in which a request, the worker or its parent can fail. */
#include "load/worker.h"

#include "fake.h"
#include "plan_of.h"
#include "worker_run.h"

#include <errno.h>
#include <math.h>
#include <sys/resource.h>

static const struct corpus prompts = PROMPTS({.prompt = "one"}, {.prompt = "two"});

static struct load_plan probe_of(const struct fake *fake, char *url, size_t size)
{
    struct load_plan plan =
        plan_of("openai-chat", &prompts, fake_url(fake, "/v1/chat/completions", url, size));
    plan.probe = true;
    plan.streams[0].arrivals = ARRIVALS_CLOSED;
    plan.streams[0].request_limit = 1;
    plan.streams[0].timeout_ns = 300 * NS_PER_MS;
    return plan;
}

static const struct {
    const char *option, *value;
    enum load_error error;
    int http_status;
    const char *says; /* somewhere in the text */
} rows[] = {
    {"--at", "1:http:503:busy", LOAD_HTTP_STATUS, 503, "busy"},
    {"--at", "1:close", LOAD_CLOSED, 0, "Empty reply"},
    {"--at", "1:reset", LOAD_CLOSED, 0, "reset"},
    {"--at", "1:close-mid", LOAD_CLOSED, 200, ""},
    {"--at", "1:stall", LOAD_TIMEOUT, 0, "no byte"},
    {"--at", "1:stall-headers", LOAD_TIMEOUT, 200, "no body"},
    {"--at", "1:stall-mid", LOAD_TIMEOUT, 200, ""},
    {"--at", "1:garbage", LOAD_MALFORMED, 200, "It works"},
    {"--at", "1:empty-body", LOAD_TRUNCATED, 200, "without its end mark"},
    {"--at", "1:not-http", LOAD_MALFORMED, 0, "HTTP/0.9"},
    {"--at", "1:empty", LOAD_EMPTY, 200, ""},
    {"--at", "1:die", LOAD_CLOSED, 0, ""},
    {"--sse", "err-field", LOAD_SERVER_ERROR, 200, "context size"},
    {"--sse", "data-error", LOAD_SERVER_ERROR, 200, ""},
    {"--sse", "truncated", LOAD_TRUNCATED, 200, ""},
    {"--sse", "half-json", LOAD_TRUNCATED, 200, ""},
    {"--sse", "no-done-open", LOAD_OK, 200, ""},
    {"--sse", "tail-no-blank", LOAD_OK, 200, ""},
    {"--sse", "cr,ping,multi-data,no-usage", LOAD_OK, 200, ""},
    {"--sse-split", "1", LOAD_OK, 200, ""},
};

static void test_answers(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct fake fake = fake_start((const char *const[]){rows[i].option, rows[i].value, NULL});
        char url[128];
        struct load_plan plan = probe_of(&fake, url, sizeof url);
        if (rows[i].error != LOAD_TIMEOUT)
            plan.streams[0].timeout_ns = 20 * NS_PER_S;
        struct run run = worker_run(&plan);
        CHECK_ROW(i, rows[i].value, run.count == 1 && run.report.complete);
        const struct load_record *r = &run.kept[0].record;
        CHECK_ROW_TEXT(i, rows[i].value, load_error_name(r->error), load_error_name(rows[i].error));
        CHECK_ROW(i, rows[i].value, r->http_status == rows[i].http_status);
        if (!strstr(run.kept[0].text, rows[i].says))
            fail_msg("row %zu (%s): text is \"%s\"", i, rows[i].value, run.kept[0].text);
        CHECK_ROW(i, rows[i].value, isnan(load_latency_s(r)) == (r->error != LOAD_OK));
        CHECK_ROW(i, rows[i].value, r->done_ns >= r->sent_ns);
        free(run.kept);
        fake_stop(&fake);
    }
}

/* A socket that stays open after the finish costs the request nothing. */
static void test_grace_does_not_count(void **state)
{
    (void)state;
    struct fake fake = fake_start((const char *const[]){"--sse", "no-done-open", NULL});
    char url[128];
    struct load_plan plan = probe_of(&fake, url, sizeof url);
    plan.streams[0].timeout_ns = 20 * NS_PER_S;
    struct run run = worker_run(&plan);
    const struct load_record *r = &run.kept[0].record;
    assert_int_equal(r->error, LOAD_OK);
    assert_true(r->done_ns >= r->last_token_ns);
    assert_true(load_latency_s(r) < (double)LOAD_GRACE_NS / 1e9);
    free(run.kept);
    fake_stop(&fake);
}

static void test_nobody_there(void **state)
{
    (void)state;
    struct fake fake = fake_start(NULL);
    char url[128];
    struct load_plan plan = probe_of(&fake, url, sizeof url);
    fake_stop(&fake);
    plan.probe = false;
    plan.streams[0].request_limit = 0;
    plan.streams[0].concurrency = 1;
    plan.window_ns = 500 * NS_PER_MS;
    struct run run = worker_run(&plan);
    assert_true(run.report.complete);
    /* A closed loop rests after a failure instead of failing ten thousand times. */
    assert_in_range(run.count, 1, 6);
    assert_int_equal(run.by_error[LOAD_CONNECT], run.count);
    assert_non_null(strstr(run.kept[0].text, "connect"));
    free(run.kept);
}

/* Kept-alive connections which the server drops are no errors. */
static void test_dropped_connections(void **state)
{
    (void)state;
    static const char *const options[] = {"--drop-idle", "--drop-reused"};
    for (size_t i = 0; i < ARRAY_LEN(options); i++) {
        struct fake fake = fake_start((const char *const[]){options[i], NULL});
        char url[128];
        struct load_plan plan = probe_of(&fake, url, sizeof url);
        plan.streams[0].reuse_connection = true;
        plan.streams[0].timeout_ns = 20 * NS_PER_S;
        plan.streams[0].request_limit = 40;
        struct run run = worker_run(&plan);
        CHECK_ROW(i, options[i], run.count == 40 && run.by_error[LOAD_OK] == 40);
        free(run.kept);
        fake_stop(&fake);
    }
}

/* What is in flight when the drain is over, or waits behind the limit, is recorded as such. */
static void test_drain(void **state)
{
    (void)state;
    struct fake fake = fake_start((const char *const[]){"--from", "1:stall", NULL});
    char url[128];
    struct load_plan plan = probe_of(&fake, url, sizeof url);
    plan.probe = false;
    plan.streams[0].request_limit = 0;
    plan.streams[0].arrivals = ARRIVALS_CONSTANT;
    plan.streams[0].concurrency = 3;
    plan.streams[0].timeout_ns = 60 * NS_PER_S;
    plan.window_ns = 200 * NS_PER_MS;
    plan.drain_ns = 100 * NS_PER_MS;
    struct run run = worker_run(&plan);
    assert_true(run.report.complete);
    assert_int_equal(run.count, 20);
    assert_int_equal(run.by_error[LOAD_UNFINISHED], 20);
    size_t unsent = 0;
    for (size_t i = 0; i < run.count; i++)
        unsent += run.kept[i].record.sent_ns < 0;
    assert_int_equal(unsent, 17);
    /* The same with a time-out that ends before the drain does: those which waited time out too. */
    free(run.kept);
    plan.streams[0].timeout_ns = 150 * NS_PER_MS;
    plan.drain_ns = 10 * NS_PER_S;
    run = worker_run(&plan);
    assert_int_equal(run.count, 20);
    assert_int_equal(run.by_error[LOAD_TIMEOUT], 20);
    free(run.kept);
    fake_stop(&fake);
}

static struct load_plan long_plan(const struct fake *fake, char *url, size_t size)
{
    struct load_plan plan = probe_of(fake, url, size);
    plan.probe = false;
    plan.streams[0].request_limit = 0;
    plan.streams[0].arrivals = ARRIVALS_CONSTANT;
    plan.streams[0].timeout_ns = 60 * NS_PER_S;
    plan.window_ns = 600 * NS_PER_S;
    return plan;
}

static void wait_for_records(struct load_worker *worker, struct run *run, size_t count)
{
    while (run->count < count) {
        struct pollfd fd = {.fd = load_worker_fd(worker), .events = POLLIN};
        assert_int_equal(poll(&fd, 1, 60000), 1);
        assert_true(worker_take(worker, run));
    }
}

static void test_stop(void **state)
{
    (void)state;
    struct fake fake = fake_start((const char *const[]){"--every", "10:stall", NULL});
    char url[128];
    struct load_plan plan = long_plan(&fake, url, sizeof url);
    struct run run;
    struct load_worker *worker = worker_begin(&plan, &run);
    wait_for_records(worker, &run, 20);
    load_worker_stop(worker);
    worker_wait(worker, &run);
    assert_false(run.report.complete);
    assert_string_equal(run.report.failure, "stopped");
    /* Of what it ran: before, whoever left a window early knew nothing of its standstills. */
    assert_true(run.report.lateness_p99_s >= 0 && run.report.stall_p99_s >= 0);
    assert_true(run.by_error[LOAD_UNFINISHED] >= 1);
    load_worker_stop(worker); /* harmless */
    load_worker_free(worker);
    free(run.kept);
    fake_stop(&fake);
}

static void test_worker_killed(void **state)
{
    (void)state;
    struct fake fake = fake_start(NULL);
    char url[128];
    struct load_plan plan = long_plan(&fake, url, sizeof url);
    struct run run;
    struct load_worker *worker = worker_begin(&plan, &run);
    wait_for_records(worker, &run, 5);
    pid_t pid = load_worker_pid(worker);
    char comm[32] = "", path[64];
    snprintf(path, sizeof path, "/proc/%d/comm", (int)pid);
    FILE *file = fopen(path, "r");
    assert_non_null(fgets(comm, sizeof comm, file));
    fclose(file);
    assert_string_equal(comm, "spica-load\n");
    kill(pid, SIGKILL);
    worker_wait(worker, &run);
    assert_false(run.report.complete);
    assert_non_null(strstr(run.report.failure, "signal 9"));
    assert_true(run.report.requests >= 5 && isnan(run.report.lateness_p99_s));
    assert_int_equal(kill(pid, 0), -1);
    load_worker_free(worker);
    free(run.kept);
    fake_stop(&fake);
}

static bool is_gone(pid_t pid)
{
    for (int i = 0; i < 5000; i++) {
        char path[64], text[256] = "";
        snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
        FILE *file = fopen(path, "r");
        if (!file)
            return true;
        const char *state = fgets(text, sizeof text, file) ? strrchr(text, ')') : NULL;
        fclose(file);
        if (state && state[2] == 'Z') /* dead; whoever inherited it has not looked yet */
            return true;
        usleep(1000);
    }
    return false;
}

/* A parent that is killed takes its worker along. */
static void test_parent_killed(void **state)
{
    (void)state;
    struct fake fake = fake_start(NULL);
    char url[128];
    struct load_plan plan = long_plan(&fake, url, sizeof url);
    int pipe_fds[2];
    assert_int_equal(pipe2(pipe_fds, O_CLOEXEC), 0);
    pid_t middle = fork();
    if (middle == 0) {
        struct err err = ERR_INIT;
        struct load_worker *worker = NULL;
        if (!load_worker_start(&plan, &worker, &err))
            _exit(1);
        pid_t pid = load_worker_pid(worker);
        if (write(pipe_fds[1], &pid, sizeof pid) != sizeof pid)
            _exit(1);
        pause();
        _exit(0);
    }
    pid_t worker = 0;
    assert_int_equal(read(pipe_fds[0], &worker, sizeof worker), sizeof worker);
    assert_int_equal(kill(worker, 0), 0);
    kill(middle, SIGKILL);
    waitpid(middle, NULL, 0);
    assert_true(is_gone(worker));
    close(pipe_fds[0]);
    close(pipe_fds[1]);
    fake_stop(&fake);
}

/* ^C is for the parent to decide about. */
static void test_interrupt_is_ignored(void **state)
{
    (void)state;
    struct fake fake = fake_start(NULL);
    char url[128];
    struct load_plan plan = long_plan(&fake, url, sizeof url);
    struct run run;
    struct load_worker *worker = worker_begin(&plan, &run);
    wait_for_records(worker, &run, 2);
    kill(load_worker_pid(worker), SIGINT);
    wait_for_records(worker, &run, run.count + 5);
    pid_t pid = load_worker_pid(worker);
    load_worker_free(worker);
    assert_int_equal(kill(pid, 0), -1);
    assert_int_equal(errno, ESRCH);
    free(run.kept);
    fake_stop(&fake);
}

/* Woken in time beside services that want every core: a session of its own, and where sessions
 * share the cores before processes do, a priority that counts there. Expected: "nice -10". Before:
 * 0. */
static void test_priority(void **state)
{
    (void)state;
    struct fake fake = fake_start(NULL);
    char url[128], path[64], line[128] = "";
    struct load_plan plan = long_plan(&fake, url, sizeof url);
    struct run run;
    struct load_worker *worker = worker_begin(&plan, &run);
    wait_for_records(worker, &run, 1);
    pid_t pid = load_worker_pid(worker);
    assert_int_equal(getsid(pid), pid);
    snprintf(path, sizeof path, "/proc/%d/autogroup", (int)pid);
    FILE *file = fopen(path, "r");
    /* Empty where a control group shares the cores instead; and not everybody may be -10. */
    if (file && fgets(line, sizeof line, file) && getpriority(PRIO_PROCESS, (id_t)pid) == -10)
        assert_non_null(strstr(line, " nice -10\n"));
    if (file)
        fclose(file);
    load_worker_free(worker);
    free(run.kept);
    fake_stop(&fake);
}

/* A parent that does not read: nothing is lost, and no send is late for it. */
static void test_slow_reader(void **state)
{
    (void)state;
    struct fake fake = fake_start((const char *const[]){"--sse", "huge", NULL});
    char url[128];
    struct load_plan plan = long_plan(&fake, url, sizeof url);
    plan.window_ns = 1500 * NS_PER_MS;
    plan.streams[0].rate_rps = 300;
    struct run run;
    struct load_worker *worker = worker_begin(&plan, &run);
    usleep(2000 * 1000);
    worker_wait(worker, &run);
    assert_string_equal(run.report.failure, "");
    assert_int_equal(run.count, 450);
    load_worker_free(worker);
    free(run.kept);
    fake_stop(&fake);
}

static void test_refused_plans(void **state)
{
    (void)state;
    const struct corpus nothing = {0};
    struct load_plan good = plan_of("openai-chat", &prompts, "http://127.0.0.1:1/");
    struct load_plan bad[6];
    static const char *const says[] = {"load on 0",   "only http://", "nothing to send",
                                       "a rate of 0", "timeout",      "a probe needs"};
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        bad[i] = good;
    bad[0].stream_count = 0;
    bad[1].streams[0].url = "ftp://127.0.0.1/";
    bad[2].streams[0].corpus = &nothing;
    bad[3].streams[0].rate_rps = 0;
    bad[4].streams[0].timeout_ns = 0;
    bad[5].probe = true;
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        struct err err = ERR_INIT;
        struct load_worker *worker = NULL;
        CHECK_ROW(i, says[i], !load_worker_start(&bad[i], &worker, &err) && !worker);
        if (!strstr(err.text, says[i]))
            fail_msg("row %zu: says \"%s\"", i, err.text);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_answers),
        cmocka_unit_test(test_grace_does_not_count),
        cmocka_unit_test(test_nobody_there),
        cmocka_unit_test(test_dropped_connections),
        cmocka_unit_test(test_drain),
        cmocka_unit_test(test_stop),
        cmocka_unit_test(test_worker_killed),
        cmocka_unit_test(test_parent_killed),
        cmocka_unit_test(test_interrupt_is_ignored),
        cmocka_unit_test(test_priority),
        cmocka_unit_test(test_slow_reader),
        cmocka_unit_test(test_refused_plans),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
