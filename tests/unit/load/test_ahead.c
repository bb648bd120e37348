/* Requests that are made ready before they are due: what the server sees of it. It keeps each
 * connection open for some answers, or for a while after one, and then closes it, so that requests
 * lose theirs between being made ready and being sent. Every one must arrive once, not before its
 * time, and in the plan's order. */
#include "base/clock.h"
#include "load/transport.h"
#include "raw_server.h"
#include "worker_run.h"

#include <math.h>
#include <stdlib.h>
#include <sys/mman.h>

enum { ARRIVED_MAX = 4096, REQUEST_MAX = 4096 };

struct seen { /* shared with the server's processes */
    int count, connections;
    int64_t at_ns[ARRIVED_MAX];
};

/* `closes_after_us` after each answer; 0: it stays open. */
static void serve_one(int fd, struct seen *seen, int closes_after_us)
{
    static const char answer[] = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
                                 "Content-Length: 46\r\n\r\n"
                                 "{\"choices\":[{\"message\":{\"content\":\"a word\"}}]}";
    char request[REQUEST_MAX];
    while (recv(fd, request, sizeof request, 0) > 0) {
        int at = __atomic_fetch_add(&seen->count, 1, __ATOMIC_SEQ_CST);
        if (at < ARRIVED_MAX)
            seen->at_ns[at] = clock_now_ns();
        if (send(fd, answer, sizeof answer - 1, 0) < 0)
            break;
        if (closes_after_us > 0) {
            usleep((useconds_t)closes_after_us);
            break;
        }
    }
    close(fd);
}

static pid_t serve(struct seen *seen, int closes_after_us, int *ret_port)
{
    *ret_port = 0;
    int fd = check_listen(ret_port, 64);
    pid_t pid = fork();
    while (pid == 0) {
        signal(SIGPIPE, SIG_IGN);
        signal(SIGCHLD, SIG_IGN);
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        int one = accept(fd, NULL, NULL);
        __atomic_fetch_add(&seen->connections, 1, __ATOMIC_SEQ_CST);
        if (one >= 0 && fork() == 0) {
            serve_one(one, seen, closes_after_us);
            _exit(0);
        }
        close(one);
    }
    close(fd);
    return pid;
}

static int by_time(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

static void check_run(const struct run *run, const struct seen *seen, size_t wanted)
{
    int64_t intended_ns[ARRIVED_MAX];
    assert_int_equal(run->count, wanted);
    assert_int_equal(run->by_error[LOAD_OK], wanted);
    assert_int_equal(seen->count, wanted); /* each arrived once */
    for (size_t i = 0; i < run->count; i++) {
        const struct load_record *r = &run->kept[i].record;
        assert_true(r->sequence < wanted);
        intended_ns[r->sequence] = r->intended_ns;
        assert_true(r->sent_ns >= r->intended_ns);
        assert_false(r->held_back);
    }
    for (size_t i = 1; i < wanted; i++)
        assert_true(intended_ns[i] >= intended_ns[i - 1]);
    /* By rank: had one left early, the k-th arrival would lie before the k-th planned moment. */
    int64_t arrived_ns[ARRIVED_MAX];
    memcpy(arrived_ns, seen->at_ns, wanted * sizeof *arrived_ns);
    qsort(arrived_ns, wanted, sizeof *arrived_ns, by_time);
    for (size_t i = 0; i < wanted; i++)
        assert_true(arrived_ns[i] >= intended_ns[i]);
}

static void run_against(int closes_after_us, enum arrivals arrivals,
                        const struct load_protocol *protocol)
{
    static const struct spec_setting whole[] = {{.name = "stream", .text = "false"}};
    struct corpus_prompt prompt = {.prompt = "Say something.", .max_tokens = 4};
    const struct corpus corpus = {.prompts = &prompt, .prompt_count = 1};
    struct seen *seen =
        mmap(NULL, sizeof *seen, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    assert_ptr_not_equal(seen, MAP_FAILED);
    int port = 0;
    pid_t pid = serve(seen, closes_after_us, &port);
    char url[64];
    snprintf(url, sizeof url, "http://127.0.0.1:%d/v1/chat/completions", port);
    const struct load_plan plan = {
        .stream_count = 1,
        .seed = 1,
        .salt = "ahead",
        .window_ns = NS_PER_S,
        .drain_ns = 5 * NS_PER_S,
        .streams = {{.name = "server",
                     .protocol = protocol ? protocol : load_protocol_find("openai-chat"),
                     .url = url,
                     .settings = whole,
                     .setting_count = 1,
                     .corpus = &corpus,
                     .arrivals = arrivals,
                     .rate_rps = 100,
                     .reuse_connection = true,
                     .timeout_ns = 10 * NS_PER_S}},
    };
    struct load_arrivals planned = load_arrivals_init(&plan, 0);
    size_t wanted = 0;
    while (load_arrivals_next(&planned) < plan.window_ns)
        wanted++;
    struct run run = worker_run(&plan);
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
    check_run(&run, seen, wanted);
    /* The case that is meant did come about: connections kept, or lost again and again. */
    assert_true(closes_after_us > 0 ? seen->connections > (int)wanted / 2
                                    : seen->connections < (int)wanted / 2);
    free(run.kept);
    munmap(seen, sizeof *seen);
}

static void test_kept(void **state)
{
    (void)state;
    run_against(0, ARRIVALS_CONSTANT, NULL);
    run_against(0, ARRIVALS_POISSON, NULL);
}

/* A request is 10 ms after the one before, and made ready at most 4 ms before its time. */
static void test_lost_while_held(void **state)
{
    (void)state;
    run_against(9000, ARRIVALS_CONSTANT, NULL);
    run_against(7500, ARRIVALS_CONSTANT, NULL);
    run_against(8000, ARRIVALS_POISSON, NULL);
}

/* HTTP whose making ready sets something for the loop: that comes before the send. */
static struct {
    int before, after; /* such turns, before the release and after it */
} * turns;             /* shared with the worker */
static sd_event *turn_event;
static sd_event_source *turn_source;
static bool turn_held;

static int on_turn(sd_event_source *source, void *ctx)
{
    (void)source;
    (void)ctx;
    if (turn_held)
        turns->before++;
    else
        turns->after++;
    return 0;
}

static bool turn_open(sd_event *event, const struct load_transport_hooks *hooks, void **ret_client,
                      struct err *err)
{
    turn_event = event;
    return load_transport_http.open(event, hooks, ret_client, err);
}

static bool turn_hold(struct load_call *call, const struct load_parcel *parcel)
{
    if (!load_transport_http.hold(call, parcel))
        return false;
    turn_held = true;
    if (!turn_source && sd_event_add_defer(turn_event, &turn_source, on_turn, NULL) < 0)
        abort();
    sd_event_source_set_enabled(turn_source, SD_EVENT_ONESHOT);
    return true;
}

static void turn_release(struct load_call *call)
{
    turn_held = false;
    load_transport_http.release(call);
}

static void test_set_while_made_ready(void **state)
{
    (void)state;
    turns = mmap(NULL, sizeof *turns, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    assert_ptr_not_equal(turns, MAP_FAILED);
    struct load_transport transport = load_transport_http;
    transport.open = turn_open;
    transport.hold = turn_hold;
    transport.release = turn_release;
    struct load_protocol protocol = *load_protocol_find("openai-chat");
    protocol.transport = &transport;
    run_against(0, ARRIVALS_CONSTANT, &protocol);
    /* One that a stalled machine held up until the send is due may come after it. */
    assert_true(turns->before > 4 * turns->after);
    munmap(turns, sizeof *turns);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_kept),
        cmocka_unit_test(test_lost_while_held),
        cmocka_unit_test(test_set_while_made_ready),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
