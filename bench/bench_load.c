/* The load worker measured as an instrument: 1,000 requests a second, each on a new connection,
 * against the fake service. Printed beside it is the machine's floor: a process that does nothing
 * but sleep until the same moments with clock_nanosleep and look at the clock, in the same seconds
 * and at the same priority. A machine that wakes a bare sleeper late cannot send in time either.
 *
 *   bench-load FAKE_SERVICE [SECONDS]
 *
 * One line per number: name value unit bar ok|short. */
#include "base/clock.h"
#include "load/worker.h"

#include <math.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>

enum { RATE_RPS = 1000, SECONDS_MAX = 600 };

static const double bar_ms = 1, bar_cores = 1;

struct fake {
    pid_t pid;
    int port;
};

static bool start_fake(const char *program, struct fake *ret_fake)
{
    int fds[2];
    if (pipe(fds) != 0)
        return false;
    pid_t pid = fork();
    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        dup2(fds[1], 2);
        execl(program, program, "--port", "0", "--latency", "20ms", "--tokens", "4", (char *)NULL);
        _exit(127);
    }
    close(fds[1]);
    FILE *log = fdopen(fds[0], "r");
    char line[256] = "";
    const char *at = log && fgets(line, sizeof line, log) ? strstr(line, "127.0.0.1:") : NULL;
    /* The pipe stays open: the fake writes nothing more that matters. */
    *ret_fake = (struct fake){.pid = pid};
    if (at)
        ret_fake->port = (int)strtol(at + strlen("127.0.0.1:"), NULL, 10);
    return at != NULL;
}

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double p99(double *values, size_t count)
{
    qsort(values, count, sizeof *values, compare);
    return count ? values[(size_t)ceil(0.99 * (double)count) - 1] : NAN;
}

/* The bare sleeper, in a process of its own; writes its p99 into the pipe. */
static int start_floor(int seconds)
{
    int fds[2];
    if (pipe(fds) != 0)
        return -1;
    if (fork() != 0) {
        close(fds[1]);
        return fds[0];
    }
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    prctl(PR_SET_TIMERSLACK, 1L);
    setpriority(PRIO_PROCESS, 0, -10);
    size_t count = (size_t)seconds * RATE_RPS;
    double *late_s = calloc(count, sizeof *late_s);
    if (!late_s)
        _exit(1);
    int64_t start_ns = clock_now_ns() + 20 * NS_PER_MS;
    for (size_t i = 0; i < count; i++) {
        int64_t at_ns = start_ns + (int64_t)i * (NS_PER_S / RATE_RPS);
        struct timespec at = {.tv_sec = at_ns / NS_PER_S, .tv_nsec = at_ns % NS_PER_S};
        clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &at, NULL);
        late_s[i] = (double)(clock_now_ns() - at_ns) / (double)NS_PER_S;
    }
    double result_s = p99(late_s, count);
    _exit(write(fds[1], &result_s, sizeof result_s) == sizeof result_s ? 0 : 1);
}

static bool run(const struct load_plan *plan, struct load_report *ret_report,
                uint64_t *ret_answered)
{
    struct err err = ERR_INIT;
    struct load_worker *worker = NULL;
    if (!load_worker_start(plan, &worker, &err)) {
        fprintf(stderr, "bench-load: %s\n", err.text);
        return false;
    }
    struct load_result result;
    enum load_news news = LOAD_NEWS_NONE;
    while (news != LOAD_NEWS_END) {
        struct pollfd fd = {.fd = load_worker_fd(worker), .events = POLLIN};
        if (news == LOAD_NEWS_NONE)
            poll(&fd, 1, -1);
        news = load_worker_next(worker, &result);
    }
    *ret_report = *load_worker_report(worker);
    *ret_answered = load_worker_progress(worker, 0).answered;
    load_worker_free(worker);
    if (!ret_report->complete)
        fprintf(stderr, "bench-load: %s\n", ret_report->failure);
    return ret_report->complete;
}

static bool print(const char *name, double value, const char *unit, double bar, bool ok)
{
    printf("%s %.3f %s %.3g %s\n", name, value, unit, bar, ok ? "ok" : "short");
    return ok;
}

static bool print_all(const struct load_report *report, double floor_s, uint64_t answered,
                      int seconds)
{
    double late_ms = report->lateness_p99_s * 1e3, floor_ms = floor_s * 1e3;
    double cores = (double)report->cpu_ns / (double)NS_PER_S / seconds;
    double wanted = (double)seconds * RATE_RPS;
    bool ok = print("load.lateness.p99", late_ms, "ms", bar_ms,
                    late_ms < bar_ms || late_ms < 1.5 * floor_ms);
    /* The floor has no bar of its own: it is the measure of the machine. */
    print("load.lateness.p99.floor", floor_ms, "ms", bar_ms, true);
    ok &= print("load.cpu", cores, "cores", bar_cores, cores < bar_cores);
    ok &= print("load.answered", (double)answered, "requests", wanted, (double)answered == wanted);
    return ok;
}

int main(int argc, char **argv)
{
    int seconds = argc > 2 ? (int)strtol(argv[2], NULL, 10) : 20;
    struct fake fake = {0};
    if (argc < 2 || seconds < 1 || seconds > SECONDS_MAX) {
        fprintf(stderr, "usage: bench-load FAKE_SERVICE [SECONDS]\n");
        return 2;
    }
    if (!start_fake(argv[1], &fake)) {
        fprintf(stderr, "bench-load: %s did not start\n", argv[1]);
        return 1;
    }
    char url[128];
    snprintf(url, sizeof url, "http://127.0.0.1:%d/v1/chat/completions", fake.port);
    struct corpus_prompt prompt = {.prompt = "hello", .max_tokens = 4};
    const struct corpus corpus = {.prompts = &prompt, .prompt_count = 1};
    struct load_plan plan = {
        .stream_count = 1,
        .seed = 1,
        .salt = "bench",
        .window_ns = seconds * NS_PER_S,
        .drain_ns = 5 * NS_PER_S,
        .streams = {{.name = "fake",
                     .protocol = load_protocol_find("openai-chat"),
                     .url = url,
                     .corpus = &corpus,
                     .arrivals = ARRIVALS_CONSTANT,
                     .rate_rps = RATE_RPS,
                     .timeout_ns = 5 * NS_PER_S}},
    };
    struct load_report report = {0};
    uint64_t answered = 0;
    double floor_s = NAN;
    int floor_fd = start_floor(seconds);
    bool done = run(&plan, &report, &answered);
    if (read(floor_fd, &floor_s, sizeof floor_s) != sizeof floor_s)
        floor_s = NAN;
    kill(fake.pid, SIGKILL);
    while (wait(NULL) > 0)
        continue;
    return done && print_all(&report, floor_s, answered, seconds) ? 0 : 1;
}
