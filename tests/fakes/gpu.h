/* A card of the fake NVML world, as the fake service uses it: memory, work, no memory left. */
#ifndef FAKES_GPU_H
#define FAKES_GPU_H

#include <stdint.h>
#include <sys/types.h>

#include "loop.h"
#include "options.h"

struct gpu {
    const struct options *options; /* borrowed */
    struct loop *loop;             /* borrowed */
    char uuid[96];                 /* of its card; "" when it computes on the CPU */
    char path[4096];               /* of its file in the world folder */
    pid_t owner;                   /* who holds the memory: itself, or its engine process */
    uint64_t bytes;
    long busy;      /* requests being worked on, and work of its own */
    bool asked;     /* its first request came */
    int64_t end_us; /* wall clock, when its last work ended; 0: none yet */
    uint64_t free_before_bytes;
    struct gpu_change {
        struct loop_timer timer;
        struct gpu *gpu;
        const struct options_change *what;
    } changes[OPTIONS_CHANGES_MAX];
    struct loop_timer when;
};

enum gpu_end {
    GPU_GOES_ON,
    GPU_ANSWERS_500, /* with the text */
    GPU_DIES,        /* the process does, with the code */
};

/* Maps the driver's library, as whatever uses CUDA does: by that such a process is known from
 * inside a container. Before the process forks. */
void gpu_load_driver(const struct options *options);
/* Chooses the card as CUDA does, and says what the server says about it. False with its exit code
 * when it does not start without one. `engine`: its engine process, 0: none. */
bool gpu_open(struct gpu *gpu, struct loop *loop, const struct options *options, pid_t engine,
              int *ret_code);
/* Takes the memory that it needs to serve; false with its exit code, having said the real words. */
bool gpu_start(struct gpu *gpu, int *ret_code);
/* For a program that serves nothing: holds and works by its timers. */
void gpu_start_timers(struct gpu *gpu);
/* A request came: memory grows. */
enum gpu_end gpu_request(struct gpu *gpu, const char **ret_text, int *ret_code);
void gpu_begin(struct gpu *gpu); /* work that the card does */
void gpu_end(struct gpu *gpu);
/* CPU time per request where the card should have worked, 0 on the card. */
int64_t gpu_cpu_ns(const struct gpu *gpu);
/* In good order: the memory is given back, but for what lingers or leaks. */
void gpu_close(struct gpu *gpu);

#endif
