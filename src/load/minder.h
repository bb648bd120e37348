/* A process that outlives the load worker by a moment: it kills what the worker's programs left and
 * removes its folder, however the worker ended. It knows process groups by number; each is told by
 * the program itself, before its first instruction. */
#pragma once

#include "base/err.h"

#include <sys/types.h>

/* Who is started for a worker has this in its environment, its value the worker's folder: what left
 * its group, and its parents, is found by it. */
#define LOAD_MINDER_MARK "SPICA_RUN"

struct load_minder {
    int fd; /* owned: what it is told; write(2) of a struct load_minded */
    pid_t pid;
};

struct load_minded {
    pid_t group;
    int alive; /* 1: began; 0: ended, and nothing of it is left */
};

/* Its files lie directly in `folder`, which goes with it. */
NODISCARD bool load_minder_start(const char *folder, struct load_minder *ret_minder,
                                 struct err *err);
/* Tells it; from a vforked child too: only a system call. */
void load_minder_tell(const struct load_minder *minder, pid_t group, int alive);
/* Waits until it has killed and removed all. */
void load_minder_stop(struct load_minder *minder);
