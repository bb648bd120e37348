/*
 * One epoll loop: descriptors and timers.
 *
 * The idea: one thread, one epoll, and one timerfd that is armed for the earliest timer of a binary
 * heap, so that answers leave on the microsecond (epoll's own timeout counts in milliseconds). A
 * thread per connection was rejected: a thousand sleeping threads make arrival times depend on the
 * scheduler.
 *
 * Invariant: a timer knows its place in the heap, so that stopping it costs log n; a descriptor
 * that was closed in this batch has fd -1 and is passed over.
 */
#include "loop.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#define BATCH 256

int64_t loop_now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * NS_PER_S + now.tv_nsec;
}

bool loop_open(struct loop *loop)
{
    *loop = (struct loop){.epoll_fd = -1, .timer_fd = -1};
    loop->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    loop->timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = NULL};
    if (loop->epoll_fd >= 0 && loop->timer_fd >= 0 &&
        epoll_ctl(loop->epoll_fd, EPOLL_CTL_ADD, loop->timer_fd, &event) == 0)
        return true;
    fprintf(stderr, "fake-service: no event loop: %s\n", strerror(errno));
    return false;
}

bool loop_watch(struct loop *loop, struct loop_fd *watch, uint32_t events)
{
    struct epoll_event event = {.events = events, .data.ptr = watch};
    if (epoll_ctl(loop->epoll_fd, EPOLL_CTL_ADD, watch->fd, &event) == 0)
        return true;
    fprintf(stderr, "fake-service: can't watch a descriptor: %s\n", strerror(errno));
    return false;
}

void loop_change(struct loop *loop, struct loop_fd *watch, uint32_t events)
{
    struct epoll_event event = {.events = events, .data.ptr = watch};
    if (watch->fd >= 0)
        epoll_ctl(loop->epoll_fd, EPOLL_CTL_MOD, watch->fd, &event);
}

void loop_close_fd(struct loop *loop, struct loop_fd *watch)
{
    if (watch->fd < 0)
        return;
    epoll_ctl(loop->epoll_fd, EPOLL_CTL_DEL, watch->fd, NULL);
    close(watch->fd);
    watch->fd = -1;
}

static void heap_put(struct loop *loop, size_t at, struct loop_timer *timer)
{
    loop->heap[at] = timer;
    timer->place = at + 1;
}

static void heap_up(struct loop *loop, size_t at)
{
    struct loop_timer *timer = loop->heap[at];
    while (at > 0 && loop->heap[(at - 1) / 2]->at_ns > timer->at_ns) {
        heap_put(loop, at, loop->heap[(at - 1) / 2]);
        at = (at - 1) / 2;
    }
    heap_put(loop, at, timer);
}

static void heap_down(struct loop *loop, size_t at)
{
    struct loop_timer *timer = loop->heap[at];
    for (;;) {
        size_t child = 2 * at + 1;
        if (child >= loop->heap_len)
            break;
        if (child + 1 < loop->heap_len && loop->heap[child + 1]->at_ns < loop->heap[child]->at_ns)
            child++;
        if (loop->heap[child]->at_ns >= timer->at_ns)
            break;
        heap_put(loop, at, loop->heap[child]);
        at = child;
    }
    heap_put(loop, at, timer);
}

void loop_timer_stop(struct loop *loop, struct loop_timer *timer)
{
    if (timer->place == 0)
        return;
    const size_t at = timer->place - 1;
    timer->place = 0;
    loop->heap_len--;
    if (at == loop->heap_len)
        return;
    heap_put(loop, at, loop->heap[loop->heap_len]);
    heap_up(loop, at);
    heap_down(loop, loop->heap[at]->place - 1);
}

void loop_timer_set(struct loop *loop, struct loop_timer *timer, int64_t at_ns)
{
    loop_timer_stop(loop, timer);
    if (loop->heap_len == loop->heap_cap) {
        loop->heap_cap = loop->heap_cap != 0 ? loop->heap_cap * 2 : 64;
        loop->heap = realloc(loop->heap, loop->heap_cap * sizeof(*loop->heap));
        if (loop->heap == NULL)
            abort();
    }
    timer->at_ns = at_ns;
    heap_put(loop, loop->heap_len, timer);
    loop->heap_len++;
    heap_up(loop, loop->heap_len - 1);
}

/* Fires what is due at one reading of the clock. A stream that is behind may arm itself for the
 * past and catches up here; what repeats for ever arms itself for the future. */
static void fire_due(struct loop *loop)
{
    const int64_t now_ns = loop_now_ns();
    while (loop->heap_len > 0 && loop->heap[0]->at_ns <= now_ns && !loop->stop) {
        struct loop_timer *timer = loop->heap[0];
        loop_timer_stop(loop, timer);
        timer->fire(timer->ctx, now_ns);
    }
}

static void arm(struct loop *loop)
{
    const int64_t want_ns = loop->heap_len > 0 ? loop->heap[0]->at_ns : 0;
    if (want_ns == loop->armed_ns)
        return;
    const int64_t set_ns = want_ns != 0 && want_ns < 1 ? 1 : want_ns;
    const struct itimerspec spec = {
        .it_value = {.tv_sec = set_ns / NS_PER_S, .tv_nsec = set_ns % NS_PER_S},
    };
    timerfd_settime(loop->timer_fd, TFD_TIMER_ABSTIME, &spec, NULL);
    loop->armed_ns = want_ns;
}

void loop_run(struct loop *loop)
{
    struct epoll_event events[BATCH];
    while (!loop->stop) {
        arm(loop);
        const int count = epoll_wait(loop->epoll_fd, events, BATCH, -1);
        for (int i = 0; i < count && !loop->stop; i++) {
            struct loop_fd *watch = events[i].data.ptr;
            if (watch == NULL) {
                uint64_t ticks;
                const ssize_t got = read(loop->timer_fd, &ticks, sizeof(ticks));
                if (got > 0)
                    loop->armed_ns = 0;
            } else if (watch->fd >= 0) {
                watch->ready(watch->ctx, events[i].events);
            }
        }
        fire_due(loop);
        if (loop->after_batch != NULL)
            loop->after_batch(loop->after_ctx);
    }
}

void loop_close(struct loop *loop)
{
    if (loop == NULL)
        return;
    if (loop->epoll_fd >= 0)
        close(loop->epoll_fd);
    if (loop->timer_fd >= 0)
        close(loop->timer_fd);
    free(loop->heap);
    *loop = (struct loop){.epoll_fd = -1, .timer_fd = -1};
}
