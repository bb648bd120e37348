/* Inside guard/: the process behind a tier: what it holds on its device, and where it works. */
#pragma once

#include "guard/tier_place.h"
#include "promote/alive.h"

struct tier_process { /* as tier_process_new() gives it */
    struct promote_alive alive;
    double held_bytes; /* NaN: not known */
    int64_t held_at_ns;
    pid_t weighed_pid;       /* whose that is */
    int64_t changed_ns;      /* when that was last found to be another, or dead; 0 never */
    struct tier_place place; /* outlives the process: one after it may have to be told of */
};

struct tier_process tier_process_new(void);
void tier_process_forget(struct tier_process *process); /* its place is kept */
/* True once its tree (below `alive.anchor`) can be asked about. */
bool tier_process_follow(struct tier_process *process, pid_t pid);

struct tier_process_look { /* borrowed */
    struct device *device;
    const char *device_name;
    pid_t (*find)(void *owner); /* asked only when it is time; 0: none */
    void *owner;
    bool place; /* is it to be asked for its place, too? */
};
/* A look is dear and taken every few seconds, however often this is called. */
void tier_process_weigh(struct tier_process *process, const struct tier_process_look *look,
                        int64_t now_ns);
