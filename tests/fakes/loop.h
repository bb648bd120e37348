/* One epoll loop: descriptors and timers. Times are CLOCK_MONOTONIC nanoseconds. */
#ifndef FAKES_LOOP_H
#define FAKES_LOOP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define NS_PER_S INT64_C(1000000000)
#define NS_PER_MS INT64_C(1000000)
#define NS_PER_US INT64_C(1000)

/* Embedded in its owner. Closing it inside a callback is allowed, also that of another one; its
 * memory must live until the loop calls `after_batch`. */
struct loop_fd {
    int fd; /* -1 when not watched */
    void (*ready)(void *ctx, uint32_t events);
    void *ctx; /* borrowed */
};

/* Embedded in its owner, which stops it before it goes away. */
struct loop_timer {
    int64_t at_ns;
    size_t place; /* place in the heap plus one; 0 when not armed */
    void (*fire)(void *ctx, int64_t now_ns);
    void *ctx; /* borrowed */
};

struct loop {
    int epoll_fd;
    int timer_fd;
    int64_t armed_ns; /* what timer_fd is set to; 0 when disarmed */
    struct loop_timer **heap;
    size_t heap_len, heap_cap;
    bool stop;
    void (*after_batch)(void *ctx); /* the place to free what was closed; may be NULL */
    void *after_ctx;
};

int64_t loop_now_ns(void);
/* Both print the reason and return false when the kernel refuses. */
bool loop_open(struct loop *loop);
bool loop_watch(struct loop *loop, struct loop_fd *watch, uint32_t events);
void loop_change(struct loop *loop, struct loop_fd *watch, uint32_t events);
/* Stops watching and closes the descriptor. */
void loop_close_fd(struct loop *loop, struct loop_fd *watch);
void loop_timer_set(struct loop *loop, struct loop_timer *timer, int64_t at_ns);
void loop_timer_stop(struct loop *loop, struct loop_timer *timer);
/* Runs until loop->stop. */
void loop_run(struct loop *loop);
void loop_close(struct loop *loop);

#endif
