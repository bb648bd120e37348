/*
 * fake-service: a scriptable stand-in for speech-to-text and LLM servers.
 *
 * The idea: a real process that speaks the real protocols and misbehaves on demand, so that
 * everything that was ever reported about such servers can be replayed without a model or a GPU. It
 * knows nothing about the program that it helps to test, and shares no code with it: a mistake made
 * on one side can't hide on the other.
 *
 * This file is the life of the process: options, start (port closed, then loading, then ready),
 * signals, end. What is served stands in service.c, what the process does beside it in process.c.
 *
 * Rejected: a script interpreter, recorded answers, threads. Invariant: it never dies with its
 * parent; whoever starts it must end it.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "service.h"

struct life {
    struct options options;
    struct loop loop;
    struct process process;
    struct gpu gpu;
    struct service service;
    struct loop_fd signals;
    struct loop_timer listen, ready, die, end, progress;
    int64_t start_ns;
    int exit_code;
};

static void say_ready(const struct life *life, long port)
{
    const bool card = life->gpu.uuid[0] != '\0';
    const char *host = life->options.host;
    switch (life->options.disguise) {
    case DISGUISE_LLAMA:
        fprintf(stderr, "main: server is listening on http://%s:%ld - starting the main loop\n",
                host, port);
        break;
    case DISGUISE_WHISPER:
        fprintf(stderr, "\nwhisper server listening at http://%s:%ld\n\n", host, port);
        break;
    case DISGUISE_FASTER_WHISPER:
    case DISGUISE_VLLM:
        fprintf(stderr,
                "INFO:     Application startup complete.\n"
                "INFO:     Uvicorn running on http://%s:%ld (Press CTRL+C to quit)\n",
                host, port);
        break;
    case DISGUISE_OLLAMA:
        fprintf(stderr,
                "time=2026-11-25T23:20:00.000Z level=INFO source=routes.go:1663 msg=\"Listening on "
                "%s:%ld (version 0.0.0-fake)\"\n"
                "time=2026-11-25T23:20:00.010Z level=INFO source=types.go:60 msg=\"inference "
                "compute\" id=%s library=%s\n",
                host, port, card ? "GPU-0" : "cpu", card ? "CUDA" : "cpu");
        break;
    case DISGUISE_NONE:
        fprintf(stderr, "fake-service: listening on http://%s:%ld\n", host, port);
        break;
    }
}

static void say_port_taken(const struct options *options)
{
    if (options->bind_text != NULL)
        fprintf(stderr, "%s\n", options->bind_text);
    else if (options->disguise == DISGUISE_VLLM || options->disguise == DISGUISE_FASTER_WHISPER)
        fprintf(stderr,
                "INFO:     Application startup complete.\n"
                "ERROR:    [Errno 98] error while attempting to bind on address ('%s', %ld): "
                "address already in use\n",
                options->host, options->port);
    else if (options->disguise == DISGUISE_WHISPER)
        fprintf(stderr, "couldn't bind to server socket: hostname=%s port=%ld\n", options->host,
                options->port);
    else
        fprintf(stderr, "start: couldn't bind HTTP server socket, hostname: %s, port: %ld\n",
                options->host, options->port);
}

static void finish(struct life *life, int code)
{
    life->exit_code = code;
    life->loop.stop = true;
}

static void on_die(void *ctx, int64_t now_ns)
{
    struct life *life = ctx;
    (void)now_ns;
    service_flush(&life->service);
    process_die(1);
}

static void on_progress(void *ctx, int64_t now_ns)
{
    struct life *life = ctx;
    if (life->service.state != SERVICE_LOADING)
        return;
    const int64_t all_ns = life->options.start_delay_ns + life->options.loading_ns;
    double done = all_ns > 0 ? (double)(now_ns - life->start_ns) / (double)all_ns : 0;
    /* What never gets ready creeps towards the end, as a stuck download does. */
    done = life->options.never_ready ? 0.99 : done > 1 ? 1 : done;
    fprintf(stderr, "load_tensors: loading model, progress %.2f\n", done);
    loop_timer_set(&life->loop, &life->progress, now_ns + life->options.progress_ns);
}

static void on_ready(void *ctx, int64_t now_ns)
{
    struct life *life = ctx;
    service_ready(&life->service);
    process_ready(&life->process);
    say_ready(life, life->options.port);
    if (life->options.ready_then_die_ns > 0)
        loop_timer_set(&life->loop, &life->die, now_ns + life->options.ready_then_die_ns);
}

static void on_listen(void *ctx, int64_t now_ns)
{
    struct life *life = ctx;
    struct options *options = &life->options;
    if (options->signal_at_start != 0)
        process_die_by_signal(options->signal_at_start);
    if (options->exit_at_start >= 0)
        process_die((int)options->exit_at_start);
    int code = 1;
    if (!gpu_start(&life->gpu, &code)) {
        finish(life, code);
        return;
    }
    if (options->gpu_alone)
        return;
    const bool listens =
        !options->bind_fail &&
        http_listen(&life->service.http, options->host, &options->port, !options->no_reuse_address);
    if (!listens) {
        if (!options->bind_fail && errno != EADDRINUSE)
            fprintf(stderr, "fake-service: %s:%ld: %s\n", options->host, options->port,
                    strerror(errno));
        say_port_taken(options);
        finish(life, 1);
    } else if (options->loading_ns == 0 && !options->never_ready) {
        on_ready(life, now_ns);
    } else {
        fprintf(stderr, "fake-service: port %ld open, loading\n", options->port);
        if (!options->never_ready)
            loop_timer_set(&life->loop, &life->ready, now_ns + options->loading_ns);
    }
}

static void on_end(void *ctx, int64_t now_ns)
{
    struct life *life = ctx;
    (void)now_ns;
    service_touch(life->options.end_file);
    finish(life, (int)life->options.term_exit);
}

static void on_signal(void *ctx, uint32_t events)
{
    struct life *life = ctx;
    struct signalfd_siginfo info;
    (void)events;
    if (read(life->signals.fd, &info, sizeof(info)) != (ssize_t)sizeof(info))
        return;
    if (info.ssi_signo == SIGCHLD) {
        process_reap(&life->process);
        return;
    }
    if (life->options.ignore_term)
        fprintf(stderr, "fake-service: signal %u ignored\n", info.ssi_signo);
    else if (life->end.place == 0)
        loop_timer_set(&life->loop, &life->end, loop_now_ns() + life->options.term_delay_ns);
}

/* Before anything forks or starts a thread, so that all of them agree who takes the signals. */
static void block_signals(sigset_t *ret_set)
{
    sigemptyset(ret_set);
    sigaddset(ret_set, SIGTERM);
    sigaddset(ret_set, SIGINT);
    sigaddset(ret_set, SIGCHLD);
    signal(SIGPIPE, SIG_IGN);
    sigprocmask(SIG_BLOCK, ret_set, NULL);
}

static bool take_signals(struct life *life, const sigset_t *set)
{
    life->signals = (struct loop_fd){
        .fd = signalfd(-1, set, SFD_NONBLOCK | SFD_CLOEXEC),
        .ready = on_signal,
        .ctx = life,
    };
    return life->signals.fd >= 0 && loop_watch(&life->loop, &life->signals, EPOLLIN);
}

static void set_timers(struct life *life)
{
    life->listen = (struct loop_timer){.fire = on_listen, .ctx = life};
    life->ready = (struct loop_timer){.fire = on_ready, .ctx = life};
    life->die = (struct loop_timer){.fire = on_die, .ctx = life};
    life->end = (struct loop_timer){.fire = on_end, .ctx = life};
    life->progress = (struct loop_timer){.fire = on_progress, .ctx = life};
    life->start_ns = loop_now_ns();
    loop_timer_set(&life->loop, &life->listen, life->start_ns + life->options.start_delay_ns);
    if (life->options.progress_ns > 0)
        loop_timer_set(&life->loop, &life->progress, life->start_ns + life->options.progress_ns);
}

static void allow_many_descriptors(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
        limit.rlim_cur = limit.rlim_max;
        setrlimit(RLIMIT_NOFILE, &limit);
    }
}

int main(int argc, char **argv)
{
    static struct life life;
    const enum options_end end = options_read(&life.options, argc, argv);
    if (end != OPTIONS_GO)
        return end == OPTIONS_HELPED ? 0 : 2;
    /* Lines must be whole and at once in the log, also when the process dies the next moment. */
    setvbuf(stderr, NULL, _IOLBF, 0);
    allow_many_descriptors();
    sigset_t signals;
    block_signals(&signals);
    gpu_load_driver(&life.options);
    /* Forks come before the loop: an epoll set must not be shared with a copy. */
    process_begin(&life.process, &life.loop, &life.options, argc, argv);
    const pid_t engine = life.options.gpu_child ? life.process.children[0] : 0;
    int code = 1;
    if (!gpu_open(&life.gpu, &life.loop, &life.options, engine, &code)) {
        process_end(&life.process);
        return code;
    }
    service_touch(life.options.start_file);
    if (!loop_open(&life.loop) || !take_signals(&life, &signals) ||
        !service_open(&life.service, &life.loop, &life.process, &life.gpu, &life.options))
        return 1;
    set_timers(&life);
    process_start_timers(&life.process);
    gpu_start_timers(&life.gpu);
    loop_run(&life.loop);
    process_end(&life.process);
    service_close(&life.service);
    gpu_close(&life.gpu);
    loop_close_fd(&life.loop, &life.signals);
    loop_close(&life.loop);
    options_done(&life.options);
    return life.exit_code;
}
