/*
 * What the fake does as a process: memory, children, logs, CPU, death.
 *
 * The idea: whoever watches a service sees real memory, real process trees, real signals and real
 * pipes, because nothing here pretends: memory is touched page by page, a daemon really forks
 * twice, a flood really fills the pipe and blocks when nobody reads. Only one thing is softened:
 * every child carries an alarm, so that a failing test leaves nothing behind for longer than
 * --child-life.
 *
 * Invariant: children are forked before the port is opened, so they never keep it open.
 */
#include "process.h"

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define FLOOD_TICK_NS (10 * NS_PER_MS)
#define PAGE 4096

static void write_all(int fd, const char *bytes, size_t len)
{
    while (len > 0) {
        const ssize_t put = write(fd, bytes, len);
        if (put <= 0)
            return;
        bytes += put;
        len -= (size_t)put;
    }
}

void process_hold(uint64_t bytes)
{
    if (bytes == 0)
        return;
    char *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) {
        fprintf(stderr, "llama_init_from_model: failed to initialize the context: failed to "
                        "allocate buffer for kv cache\n");
        exit(1);
    }
    /* Different in every page, so that no kernel merges them. */
    for (uint64_t at = 0; at < bytes; at += PAGE)
        memcpy(memory + at, &at, sizeof(at));
}

void process_burn(int64_t ns)
{
    struct timespec now;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    const int64_t end_ns = (int64_t)now.tv_sec * NS_PER_S + now.tv_nsec + ns;
    volatile double sink = 1;
    while ((int64_t)now.tv_sec * NS_PER_S + now.tv_nsec < end_ns) {
        for (int i = 0; i < 200; i++)
            sink = sink * 1.0000001 + 0.1;
        clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    }
}

void process_freeze(int64_t ns)
{
    const int64_t from_ns = loop_now_ns();
    const int64_t to_ns = from_ns + ns;
    fprintf(stderr, "fake-service: freeze begins at %lld\n", (long long)from_ns);
    const struct timespec until = {.tv_sec = to_ns / NS_PER_S, .tv_nsec = to_ns % NS_PER_S};
    clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, NULL);
    fprintf(stderr, "fake-service: freeze ended at %lld\n", (long long)loop_now_ns());
}

_Noreturn void process_die(int code)
{
    fflush(NULL);
    _exit(code);
}

_Noreturn void process_die_by_signal(int number)
{
    fflush(NULL);
    const struct rlimit no_core = {0, 0};
    setrlimit(RLIMIT_CORE, &no_core);
    signal(number, SIG_DFL);
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, number);
    sigprocmask(SIG_UNBLOCK, &set, NULL);
    kill(getpid(), number);
    /* STOP comes back when the process is continued; the others don't. */
    _exit(128 + number);
}

/* `title` replaces the command line that /proc shows; the kernel cuts comm to 15 bytes. */
static void retitle(struct process *process, const char *title)
{
    char *from = process->argv[0];
    const char *last = process->argv[process->argc - 1];
    const size_t len = (size_t)(last - from) + strlen(last) + 1;
    memset(from, 0, len);
    snprintf(from, len, "%s", title);
    prctl(PR_SET_NAME, title);
}

static void let_signals_through(void)
{
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
}

_Noreturn static void live_as_child(struct process *process, bool deaf)
{
    const int64_t life_s = process->options->child_life_ns / NS_PER_S;
    let_signals_through();
    signal(SIGTERM, deaf ? SIG_IGN : SIG_DFL);
    signal(SIGINT, deaf ? SIG_IGN : SIG_DFL);
    signal(SIGHUP, deaf ? SIG_IGN : SIG_DFL);
    alarm(life_s > 0 ? (unsigned)life_s : 1);
    process_hold(process->options->child_bytes);
    for (;;)
        pause();
}

static void keep_child(struct process *process, pid_t pid)
{
    if (pid > 0 && process->child_count < PROCESS_CHILDREN_MAX)
        process->children[process->child_count++] = pid;
}

static void fork_ordinary(struct process *process)
{
    const pid_t pid = fork();
    if (pid == 0)
        live_as_child(process, false);
    keep_child(process, pid);
}

/* As vLLM's engine core and its worker: deaf, in their own session, alive when the front is gone.
 */
static void fork_engine(struct process *process)
{
    const pid_t pid = fork();
    if (pid == 0) {
        setsid();
        const pid_t worker = fork();
        retitle(process, worker == 0 ? "VLLM::Worker_TP0" : "VLLM::EngineCore");
        live_as_child(process, true);
    }
    keep_child(process, pid);
}

static void fork_daemon(struct process *process)
{
    const pid_t pid = fork();
    if (pid == 0) {
        setsid();
        if (fork() != 0)
            _exit(0);
        const int null_fd = open("/dev/null", O_RDWR);
        for (int fd = 0; null_fd >= 0 && fd < 3; fd++)
            dup2(null_fd, fd);
        live_as_child(process, false);
    }
    if (pid > 0)
        waitpid(pid, NULL, 0);
}

void process_signal_children(struct process *process, int number)
{
    for (int i = 0; i < process->child_count; i++)
        kill(process->children[i], number);
}

void process_reap(struct process *process)
{
    for (;;) {
        int status = 0;
        const pid_t pid = waitpid(-1, &status, WNOHANG);
        if (pid <= 0)
            return;
        for (int i = 0; i < process->child_count; i++)
            if (process->children[i] == pid)
                process->children[i] = process->children[--process->child_count];
    }
}

void process_end(struct process *process)
{
    if (process->options->orphan_lives)
        return;
    for (int i = 0; i < process->child_count; i++) {
        const pid_t pid = process->children[i];
        /* A session leader's group holds its worker, too. */
        if (getpgid(pid) == pid)
            kill(-pid, SIGKILL);
        kill(pid, SIGKILL);
        waitpid(pid, NULL, 0);
    }
}

static void *spin(void *ignored)
{
    for (;;)
        process_burn(NS_PER_S);
    return ignored;
}

static void flood(void *ctx, int64_t now_ns)
{
    struct process *process = ctx;
    static const char line[] =
        "slot update_slots: id  0 | task 17 | prompt processing progress, n_tokens = 512\n";
    const double due = (double)process->options->flood_bytes_per_s *
                       (double)(now_ns - process->flood_from_ns) / (double)NS_PER_S;
    for (int i = 0; (double)process->flood_sent_bytes < due; i++) {
        write_all(i % 2 == 0 ? STDERR_FILENO : STDOUT_FILENO, line, sizeof(line) - 1);
        process->flood_sent_bytes += (int64_t)sizeof(line) - 1;
    }
    loop_timer_set(process->loop, &process->flood, loop_now_ns() + FLOOD_TICK_NS);
}

static void log_binary(void *ctx, int64_t now_ns)
{
    struct process *process = ctx;
    static const char bytes[] =
        "\x1b]0;owned\a\x1b[2J\x1b[31mred\x1b[0m \0nul \xff\xfe\xc3( bad utf-8\r"
        "overwritten \x9b"
        "31m\x1bP$q\x1b\\ <script>alert(1)</script> | a | b |\n";
    write_all(STDERR_FILENO, bytes, sizeof(bytes) - 1);
    write_all(STDOUT_FILENO, bytes, sizeof(bytes) - 1);
    loop_timer_set(process->loop, &process->binary, now_ns + 100 * NS_PER_MS);
}

static void ramp(void *ctx, int64_t now_ns)
{
    struct process *process = ctx;
    const struct options *options = process->options;
    double share = options->ramp_ns > 0
                       ? (double)(now_ns - process->ramp_from_ns) / (double)options->ramp_ns
                       : 1;
    share = share > 1 ? 1 : share;
    const uint64_t want = (uint64_t)((double)options->ramp_bytes * share);
    process_hold(want - process->ramped_bytes);
    process->ramped_bytes = want;
    if (share < 1)
        loop_timer_set(process->loop, &process->ramp, now_ns + 20 * NS_PER_MS);
}

static void thaw(void *ctx, int64_t now_ns)
{
    const struct options_freeze *freeze = ctx;
    (void)now_ns;
    process_freeze(freeze->for_ns);
}

static void print_file(const char *path)
{
    char chunk[8192];
    const int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        fprintf(stderr, "fake-service: can't read %s\n", path);
        exit(2);
    }
    for (;;) {
        const ssize_t got = read(fd, chunk, sizeof(chunk));
        if (got <= 0)
            break;
        write_all(STDERR_FILENO, chunk, (size_t)got);
    }
    close(fd);
}

static void print_all(const struct options *options)
{
    for (int i = 0; i < options->print_count; i++) {
        if (options->prints[i].is_file)
            print_file(options->prints[i].text);
        else
            fprintf(stderr, "%s\n", options->prints[i].text);
    }
    char chunk[PAGE];
    memset(chunk, 'x', sizeof(chunk));
    for (uint64_t left = options->long_line_bytes; left > 0;) {
        const size_t len = left < sizeof(chunk) ? (size_t)left : sizeof(chunk);
        write_all(STDERR_FILENO, chunk, len);
        left -= len;
    }
    if (options->long_line_bytes > 0)
        write_all(STDERR_FILENO, "\n", 1);
}

void process_start_timers(struct process *process)
{
    process->flood = (struct loop_timer){.fire = flood, .ctx = process};
    process->binary = (struct loop_timer){.fire = log_binary, .ctx = process};
    process->ramp = (struct loop_timer){.fire = ramp, .ctx = process};
    process->flood_from_ns = loop_now_ns();
    if (process->options->flood_bytes_per_s > 0)
        loop_timer_set(process->loop, &process->flood, process->flood_from_ns);
    if (process->options->log_binary)
        loop_timer_set(process->loop, &process->binary, process->flood_from_ns);
}

void process_begin(struct process *process, struct loop *loop, const struct options *options,
                   int argc, char **argv)
{
    *process = (struct process){.options = options, .loop = loop, .argc = argc, .argv = argv};
    print_all(options);
    if (options->background && fork() > 0)
        _exit(0);
    /* After the last fork that the process itself survives: an alarm is not inherited. */
    if (options->life_ns > 0)
        alarm(options->life_ns >= NS_PER_S ? (unsigned)(options->life_ns / NS_PER_S) : 1);
    if (options->fork_child)
        fork_ordinary(process);
    if (options->fork_setsid)
        fork_engine(process);
    if (options->double_fork)
        fork_daemon(process);
    process_hold(options->rss_bytes);
    for (long i = 0; i < options->spin_threads; i++) {
        pthread_t thread;
        if (pthread_create(&thread, NULL, spin, NULL) == 0)
            pthread_detach(thread);
    }
}

void process_ready(struct process *process)
{
    const int64_t now_ns = loop_now_ns();
    for (int i = 0; i < process->options->freeze_count; i++) {
        const struct options_freeze *freeze = &process->options->freezes[i];
        process->freezes[i] = (struct loop_timer){.fire = thaw, .ctx = (void *)(uintptr_t)freeze};
        loop_timer_set(process->loop, &process->freezes[i], now_ns + freeze->at_ns);
    }
    process->ramp_from_ns = now_ns;
    if (process->options->ramp_bytes > 0)
        loop_timer_set(process->loop, &process->ramp, now_ns);
}
