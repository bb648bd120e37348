/* The keeper: a fork of us (no exec) between us and one server. What it is told and what it tells
 * are fixed records over one SOCK_SEQPACKET pair. */
#pragma once

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct service_container;

enum { KEEPER_HEAD_BYTES = 256 * 1024, KEEPER_TAIL_BYTES = 256 * 1024 };

enum keeper_order_kind { ORDER_STOP, ORDER_FLUSH };
struct keeper_order {
    enum keeper_order_kind kind;
    int64_t grace_ns; /* ORDER_STOP: from TERM to KILL */
};

/* What failed between the fork and the exec of the server. */
enum keeper_step { STEP_NONE, STEP_FORK, STEP_SETUP, STEP_LIMIT, STEP_FOLDER, STEP_EXEC };

enum keeper_report_kind {
    REPORT_STARTED, /* exec worked: pid, at_ns */
    REPORT_FAILED,  /* it did not: step, sys; the keeper ends */
    REPORT_EXITED,  /* the main process ended */
    REPORT_FLUSHED, /* the log file is complete up to now */
    REPORT_EMPTY,   /* the last child is reaped, the log is complete; the keeper ends */
};
struct keeper_report {
    enum keeper_report_kind kind;
    pid_t pid, keeper; /* keeper: of REPORT_STARTED, who tells this */
    enum keeper_step step;
    int sys;
    int status; /* as wait(2) */
    bool was_ours;
    int oom_kills;   /* -1 unknown */
    int runtime_oom; /* of REPORT_EXITED, a container's: as service_container_oom() */
    int64_t at_ns;
};

/* Shared memory, so that a look at the log's size costs no message. */
struct keeper_shared {
    _Atomic int64_t log_bytes, log_dropped_bytes;
    atomic_bool container_seen; /* a process of the container was seen from here */
};

/* Everything that the keeper needs, made before the fork: it allocates nothing. */
struct keeper_plan {
    int control_fd;
    int parent_fd; /* pidfd of us: says that we are gone even when another holds our end; -1 none */
    int null_fd, output_read_fd, output_write_fd, log_fd;
    int limit_join_fd;        /* cgroup.procs of the memory limit, or -1 */
    int limit_events_fd;      /* where its OOM kills are counted, or -1 */
    const char *limit_folder; /* removed at the end, or NULL */
    const char *program, *folder;
    char *const *argv;
    char *const *env;
    struct keeper_shared *shared;
    const struct service_container *container; /* also to be removed at the end, or NULL */
};

/* What we fork: the keeper's parent, which outlives it only to kill what was left to it. */
_Noreturn void service_guard_run(const struct keeper_plan *plan);
_Noreturn void service_keeper_run(const struct keeper_plan *plan);
void service_keeper_close_from(unsigned first);

/* The server's side of the second fork: session, limits, descriptors, environment, exec. A failure
 * is written to `status_fd` as {step, errno}. */
struct keeper_failure {
    enum keeper_step step;
    int sys;
};
_Noreturn void service_keeper_exec(const struct keeper_plan *plan, pid_t keeper, int status_fd);

/* The server's output: its first bytes go to the file at once, the last ones are kept in a ring. */
struct keeper_log {
    int fd;
    char *ring;           /* mapped, KEEPER_TAIL_BYTES */
    int64_t head_bytes;   /* in the file, in front */
    int64_t tail_bytes;   /* all that came after the head, kept or not */
    int64_t failed_bytes; /* of the head: could not be written (disk full) */
};
bool service_keeper_log_init(struct keeper_log *log, int fd);
void service_keeper_log_add(struct keeper_log *log, const char *data, size_t len);
void service_keeper_log_flush(struct keeper_log *log);
int64_t service_keeper_log_dropped(const struct keeper_log *log);
