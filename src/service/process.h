/* One foreign server as a child, and everything it starts.
 *
 * Between us and the server stands a keeper: a small process of our own, made by fork, in its own
 * session, that is the subreaper of whatever the server forks (setsid and double forks included),
 * drains its output into a bounded log, and holds a pipe to us: when we are gone, whatever killed
 * us, the keeper kills the whole tree and ends. "Stopped" means that the keeper has reaped its last
 * child (waitpid says ECHILD), not that a signal was sent. A guard, the keeper's parent, does the
 * same for what a killed keeper leaves.
 *
 * Non-blocking: service_process_fd() becomes readable when service_process_poll() has news. */
#pragma once

#include "service/launch.h"

#include <sys/types.h>

struct service_process; /* opaque */

enum process_state {
    PROCESS_RUNNING, /* the main process is alive */
    PROCESS_EXITED,  /* the main process has ended; its children may live */
    PROCESS_EMPTY,   /* nothing of the tree is left */
    PROCESS_LOST,    /* the keeper itself died: the tree was killed by us instead, then EMPTY */
};

struct process_status {
    enum process_state state;
    pid_t keeper, pid;    /* root of the tree (for device_usage), and the server's main process */
    int exit_code;        /* -1 unless it exited by itself */
    int signal;           /* 0 unless a signal ended it */
    bool signal_was_ours; /* we (or our keeper) sent TERM or KILL before it ended */
    int oom_kills;        /* kills by a memory limit seen in its cgroup; -1 unknown */
    int runtime_oom;      /* a container that has ended: 1 its runtime says that memory ended it, 0
                             that it did not; -1 unknown, or none */
    bool keeper_lost;     /* the keeper was killed; the tree's end says nothing about the server */
    int64_t started_ns, exited_ns; /* monotonic; exited_ns 0 while running */
    int64_t log_bytes;             /* written by the server so far */
    int64_t log_dropped_bytes;     /* of those, not kept */
    /* A container's: its id, "" until known; and the root of what of it is not below the keeper (a
     * daemon started it), 0 none. That one counts as the keeper's child in proc_tree() and all that
     * stands on it, so that nobody else has to look at it. */
    char container_id[65];
    pid_t extra_root;
};

/* Makes the scratch folder and config file, sets the environment before exec, PR_SET_PDEATHSIG on
 * the server, closes every inherited descriptor. exec failures come back as an err (ERR_MISSING or
 * ERR_INTERNAL with the program's name), not as a crash of the server. The server's environment
 * holds SPICA_SERVICE=<study>/<service>. */
NODISCARD bool service_process_start(const struct service_launch *launch, const char *study,
                                     struct service_process **ret_process, struct err *err);

int service_process_fd(const struct service_process *process);
void service_process_poll(struct service_process *process);
const struct process_status *service_process_status(const struct service_process *process);

/* Begins: TERM to the server's process group, after `grace_ns` KILL to every process of the tree,
 * repeated until it is empty. Call poll until PROCESS_EMPTY. A second call with less grace
 * shortens. */
void service_process_stop(struct service_process *process, int64_t grace_ns);
/* Stops and waits, at most grace_ns + 5 s; false when something survived (named in err). */
NODISCARD bool service_process_stop_wait(struct service_process *process, int64_t grace_ns,
                                         struct err *err);

/* What the server has written: at most the first 256 KiB and the last 256 KiB (with a line that
 * says how much is missing between). Asks the keeper to flush. The caller owns the text. */
char *service_process_log(struct service_process *process, size_t *ret_len);

/* Kills the tree if it still lives (no grace) and frees. NULL is fine. Returns NULL. */
struct service_process *service_process_free(struct service_process *process);
AUTO_FN(struct service_process, service_process_free)
