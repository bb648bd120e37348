/* Private to the exec transport: from here to the program's first instruction. */
#pragma once

#include "load/minder.h"

#include <sys/resource.h>

struct load_exec_start {
    const char *program; /* absolute */
    char *const *argv, *const *env;
    const char *folder;        /* working folder; NULL: ours */
    int in_fd, out_fd, err_fd; /* become 0, 1 and 2 */
    const struct load_minder *minder;
    int nice;            /* the program's own, not the worker's */
    struct rlimit files; /* likewise */
};

/* The started program's pid, which is its session's and its group's too; -1 with *ret_sys set. The
 * caller's stack is shared with the child until it has become the program, which takes some tenths
 * of a millisecond: the worker stands still for so long. */
pid_t load_exec_start(const struct load_exec_start *start, int *ret_sys);
