/* The load worker measured as an instrument, against the fake service, one scene at a time:
 *
 *   send     1,000 requests a second, each on a new connection
 *   json     5,000 requests a second of 1 KiB JSON each way, connections kept
 *   streams  2,000 streams at once, 10 tokens a second each
 *
 * Printed beside it is the machine's floor: a process that does nothing but sleep until the same
 * moments with clock_nanosleep and look at the clock, in the same seconds and at the same priority.
 * A machine that wakes a bare sleeper late cannot send in time either. Where others use the machine
 * as well, CPU time per request is the number that says something.
 *
 *   bench-load FAKE_SERVICE [SECONDS [SCENE [WORKERS]]]
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

enum { SECONDS_MAX = 600, TEXT_BYTES = 900, POLL_MS = 200 };

struct scene {
    const char *name, *prefix; /* prefix: of its numbers */
    double rate_rps, warmup_s;
    double cpu_bar_us; /* of a request; of a token where tokens are many */
    bool reuse, whole; /* whole: not streamed */
    const char *latency, *tokens, *per_token;
};

static const struct scene scenes[] = {
    {"send", "load", 1000, 0, 1000, false, false, "20ms", "4", "0ms"},
    {"json", "load.json", 5000, 1, 120, true, true, "20ms", "150", "0ms"},
    /* 200 begin each second and last 10 s. */
    {"streams", "load.streams", 200, 10.5, 50 * 100, false, false, "100ms", "100", "100ms"},
};

static const double bar_ms = 1, bar_cores = 1, bar_mb = 100;

struct seen {
    uint64_t answered, in_window;
    double peak_mb;
    double *gap_off_s; /* how far each gap between tokens is from the planned one */
    size_t gap_count, gap_cap;
};

struct fake {
    pid_t pid;
    int port;
};

static bool start_fake(const char *program, const struct scene *scene, struct fake *ret_fake)
{
    int fds[2];
    if (pipe(fds) != 0)
        return false;
    pid_t pid = fork();
    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        dup2(fds[1], 2);
        execl(program, program, "--port", "0", "--latency", scene->latency, "--tokens",
              scene->tokens, "--latency-per-token", scene->per_token, (char *)NULL);
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
static int start_floor(int seconds, double rate_rps)
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
    size_t count = (size_t)(seconds * rate_rps);
    double *late_s = calloc(count, sizeof *late_s);
    if (!late_s)
        _exit(1);
    int64_t start_ns = clock_now_ns() + 20 * NS_PER_MS;
    for (size_t i = 0; i < count; i++) {
        int64_t at_ns = start_ns + (int64_t)((double)i * (double)NS_PER_S / rate_rps);
        struct timespec at = {.tv_sec = at_ns / NS_PER_S, .tv_nsec = at_ns % NS_PER_S};
        clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &at, NULL);
        late_s[i] = (double)(clock_now_ns() - at_ns) / (double)NS_PER_S;
    }
    double result_s = p99(late_s, count);
    _exit(write(fds[1], &result_s, sizeof result_s) == sizeof result_s ? 0 : 1);
}

/* Peak of the worker's memory so far, MB. */
static double peak_mb(pid_t pid)
{
    char path[64], line[256];
    snprintf(path, sizeof path, "/proc/%d/status", (int)pid);
    FILE *file = fopen(path, "r");
    double kb = NAN;
    while (file && fgets(line, sizeof line, file))
        if (strncmp(line, "VmHWM:", 6) == 0)
            kb = strtod(line + 6, NULL);
    if (file)
        fclose(file);
    return kb / 1024;
}

static void note(struct seen *seen, const struct load_result *result, double gap_s)
{
    const struct load_record *r = &result->record;
    seen->answered += r->error == LOAD_OK;
    seen->in_window += r->error == LOAD_OK && r->part == LOAD_WINDOW;
    if (seen->gap_count + r->gap_count > seen->gap_cap) {
        seen->gap_cap = 2 * (seen->gap_cap + r->gap_count);
        seen->gap_off_s = realloc(seen->gap_off_s, seen->gap_cap * sizeof *seen->gap_off_s);
        if (!seen->gap_off_s)
            abort();
    }
    for (uint32_t g = 0; g < r->gap_count && r->part == LOAD_WINDOW; g++)
        seen->gap_off_s[seen->gap_count++] =
            fabs((double)result->gaps_ns[g] / (double)NS_PER_S - gap_s);
}

static bool run(const struct load_plan *plan, double gap_s, struct load_report *ret_report,
                struct seen *ret_seen)
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
        if (news == LOAD_NEWS_NONE) {
            ret_seen->peak_mb = fmax(ret_seen->peak_mb, peak_mb(load_worker_pid(worker)));
            poll(&fd, 1, -1);
            /* One look for many records: the parent must not take the core that is measured. */
            usleep(POLL_MS * 1000);
        }
        news = load_worker_next(worker, &result);
        if (news == LOAD_NEWS_RESULT)
            note(ret_seen, &result, gap_s);
    }
    *ret_report = *load_worker_report(worker);
    load_worker_free(worker);
    if (!ret_report->complete)
        fprintf(stderr, "bench-load: %s\n", ret_report->failure);
    return ret_report->complete;
}

static bool print(const struct scene *scene, const char *name, double value, const char *unit,
                  double bar, bool ok)
{
    printf("%s.%s %.3f %s %.3g %s\n", scene->prefix, name, value, unit, bar, ok ? "ok" : "short");
    return ok;
}

static bool print_all(const struct scene *scene, const struct load_report *report, double floor_s,
                      struct seen *seen, int seconds)
{
    double late_ms = report->lateness_p99_s * 1e3, floor_ms = floor_s * 1e3;
    double stall_ms = report->stall_p99_s * 1e3;
    double cpu_us = (double)report->cpu_ns / 1e3 / (double)report->requests;
    double cores = (double)report->cpu_ns / (double)NS_PER_S / (seconds + scene->warmup_s);
    double wanted = floor(seconds * scene->rate_rps + 0.5);
    bool ok = print(scene, "lateness.p99", late_ms, "ms", bar_ms, late_ms < bar_ms);
    /* The floor has no bar of its own: it is the measure of the machine. */
    print(scene, "lateness.p99.floor", floor_ms, "ms", bar_ms, true);
    ok &= print(scene, "stall.p99", stall_ms, "ms", bar_ms, stall_ms < bar_ms);
    ok &= print(scene, "cpu", cores, "cores", bar_cores, cores < bar_cores);
    ok &= print(scene, "cpu.request", cpu_us, "us", scene->cpu_bar_us, cpu_us < scene->cpu_bar_us);
    ok &= print(scene, "memory", seen->peak_mb, "MB", bar_mb, seen->peak_mb < bar_mb);
    if (seen->gap_count)
        print(scene, "gap.error.p99", 1e3 * p99(seen->gap_off_s, seen->gap_count), "ms", bar_ms,
              true);
    ok &= print(scene, "answered", (double)seen->in_window, "requests", wanted,
                (double)seen->in_window >= wanted - 1);
    return ok;
}

static const struct scene *find_scene(const char *name)
{
    for (size_t i = 0; i < ARRAY_LEN(scenes); i++)
        if (strcmp(scenes[i].name, name) == 0)
            return &scenes[i];
    return NULL;
}

static void fill_plan(const struct scene *scene, const char *url, const struct corpus *corpus,
                      int seconds, struct load_plan *ret_plan)
{
    static const struct spec_setting whole[] = {{.name = "stream", .text = "false"}};
    *ret_plan = (struct load_plan){
        .stream_count = 1,
        .seed = 1,
        .salt = "bench",
        .warmup_ns = (int64_t)(scene->warmup_s * (double)NS_PER_S),
        .window_ns = seconds * NS_PER_S,
        .drain_ns = 15 * NS_PER_S,
        .streams = {{.name = "fake",
                     .protocol = load_protocol_find("openai-chat"),
                     .url = url,
                     .settings = whole,
                     .setting_count = scene->whole ? 1 : 0,
                     .corpus = corpus,
                     .arrivals = ARRIVALS_CONSTANT,
                     .rate_rps = scene->rate_rps,
                     .reuse_connection = scene->reuse,
                     .timeout_ns = 30 * NS_PER_S}},
    };
}

int main(int argc, char **argv)
{
    int seconds = argc > 2 ? (int)strtol(argv[2], NULL, 10) : 20;
    const struct scene *scene = find_scene(argc > 3 ? argv[3] : "send");
    struct fake fake = {0};
    if (argc < 2 || seconds < 1 || seconds > SECONDS_MAX || !scene) {
        fprintf(stderr, "usage: bench-load FAKE_SERVICE [SECONDS [send|json|streams [WORKERS]]]\n");
        return 2;
    }
    if (!start_fake(argv[1], scene, &fake)) {
        fprintf(stderr, "bench-load: %s did not start\n", argv[1]);
        return 1;
    }
    char url[128], text[TEXT_BYTES + 1];
    snprintf(url, sizeof url, "http://127.0.0.1:%d/v1/chat/completions", fake.port);
    memset(text, 'a', TEXT_BYTES);
    text[scene->whole ? TEXT_BYTES : 5] = '\0';
    struct corpus_prompt prompt = {.prompt = text,
                                   .max_tokens = (int)strtol(scene->tokens, NULL, 10)};
    const struct corpus corpus = {.prompts = &prompt, .prompt_count = 1};
    struct load_plan plan;
    fill_plan(scene, url, &corpus, seconds, &plan);
    plan.workers = argc > 4 ? (int)strtol(argv[4], NULL, 10) : 1;
    struct load_report report = {0};
    struct seen seen = {0};
    double floor_s = NAN, gap_s = strtod(scene->per_token, NULL) / 1e3;
    int floor_fd = start_floor(seconds, scene->rate_rps);
    bool done = run(&plan, gap_s, &report, &seen);
    if (read(floor_fd, &floor_s, sizeof floor_s) != sizeof floor_s)
        floor_s = NAN;
    kill(fake.pid, SIGKILL);
    while (wait(NULL) > 0)
        continue;
    bool ok = done && print_all(scene, &report, floor_s, &seen, seconds);
    free(seen.gap_off_s);
    return ok ? 0 : 1;
}
