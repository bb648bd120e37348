/* A memory limit on a process tree: a control group of its own, version 2 or 1. */
#pragma once

#include "base/err.h"

#include <stdint.h>

struct service_limit {
    char *folder;  /* owned; the control group */
    int join_fd;   /* cgroup.procs: writing "0" moves the writer in */
    int events_fd; /* counts the kernel's kills */
};
#define SERVICE_LIMIT_NONE ((struct service_limit){.join_fd = -1, .events_fd = -1})

/* Makes the group "spica-<our pid>-<name>" where we may. ERR_INPUT when no place allows it: a limit
 * that does not hold is worse than none. */
NODISCARD bool service_limit_make(const char *name, int64_t bytes, struct service_limit *ret_limit,
                                  struct err *err);
/* Removes the (empty) group and closes. */
void service_limit_done(struct service_limit *limit);

/* Kills counted in an events file, -1 unknown. No heap. */
int service_limit_oom_kills(int events_fd);
/* rmdir, tried for a moment: the kernel forgets dead members a little late. No heap. */
void service_limit_remove_folder(const char *folder);
