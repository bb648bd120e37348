/* Private to the exec transport: what all runs of one service's program have in common. */
#pragma once

#include "load/plan.h"

struct load_exec_side {
    const struct load_program *program; /* borrowed; NULL: of a stream without a service */
    char **env;                         /* owned: all of its environment */
    int log_fd;                         /* -1: its words are not kept */
    int64_t logged_bytes;
};

/* `folder`: the transport's own, whose name marks what was started for it (load/minder.h). */
void load_exec_side_init(struct load_exec_side *side, const struct load_program *program,
                         const char *folder);
void load_exec_side_done(struct load_exec_side *side);
/* Adds what a run said, as far as the log has room. */
void load_exec_side_log(struct load_exec_side *side, const char *bytes, size_t len);
