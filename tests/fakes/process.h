/* What the fake does as a process: memory, children, logs, CPU, death. */
#ifndef FAKES_PROCESS_H
#define FAKES_PROCESS_H

#include <stdint.h>
#include <sys/types.h>

#include "loop.h"
#include "options.h"

#define PROCESS_CHILDREN_MAX 8

struct process {
    const struct options *options; /* borrowed */
    struct loop *loop;             /* borrowed */
    int argc;
    char **argv; /* borrowed; its memory is overwritten in retitled children */
    pid_t children[PROCESS_CHILDREN_MAX];
    int child_count;
    struct loop_timer flood, binary, ramp, freezes[OPTIONS_LIST_MAX];
    int64_t flood_sent_bytes, flood_from_ns;
    uint64_t ramped_bytes;
    int64_t ramp_from_ns;
};

/* Before the loop runs: prints, memory, forks; may not return. */
void process_begin(struct process *process, struct loop *loop, const struct options *options,
                   int argc, char **argv);
/* Once the loop is open: the logs that never end. */
void process_start_timers(struct process *process);
/* From ready on: freezes and the memory ramp. */
void process_ready(struct process *process);
/* Burns that much CPU time of this thread. */
void process_burn(int64_t ns);
/* Answers nothing for that long, and logs when it began and ended (monotonic ns). */
void process_freeze(int64_t ns);
/* Memory that is touched and never given back; ends the process with 1 when there is none. */
void process_hold(uint64_t bytes);
_Noreturn void process_die(int code);
_Noreturn void process_die_by_signal(int number);
void process_signal_children(struct process *process, int number);
/* Takes the exit status of children that ended. */
void process_reap(struct process *process);
/* In good order: children are killed unless they shall live on. */
void process_end(struct process *process);

#endif
