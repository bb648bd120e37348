/* How systemd would run a service now, and how it runs: what it has read of the unit's files, with
 * quotes, specifiers and line continuations resolved. In the arena given. */
#pragma once

#include "base/arena.h"
#include "host/manager.h"

#include <sys/types.h>

struct host_command {
    const char *program;     /* absolute */
    const char *const *argv; /* NULL at the end; argv[0] as given, mostly the program */
};

struct host_env_file {
    const char *path;
    bool optional; /* "-PATH" */
};

struct host_config {
    bool found;
    const char *name;                      /* the unit's own, not an alias */
    const char *load_state;                /* "loaded", "bad-setting", "masked", ... */
    const char *fragment;                  /* its file; "" none */
    const char *source;                    /* what a generator made that of; "" none */
    const char *const *drop_ins;           /* in systemd's order; NULL at the end */
    const char *const *after;              /* units that it is started after; NULL at the end */
    const char *const *environment;        /* "NAME=value"; NULL at the end */
    const char *const *unset;              /* UnsetEnvironment=; NULL at the end */
    const struct host_env_file *env_files; /* read at every start, after `environment` */
    size_t env_file_count;
    const struct host_command *commands; /* ExecStart= */
    size_t command_count;
    const char *folder, *user; /* WorkingDirectory=, User=; "" not given */

    const char *active, *sub, *result; /* "active", "running"; "success", "exit-code", ... */
    bool need_reload; /* systemd says that its files are not as it has read them; false may be wrong
                       */
    pid_t main_pid;   /* 0: none */
    uint32_t restarts;       /* by systemd itself since it was last started by hand */
    int64_t started_wall_us; /* its main process, by the clock of now (below); 0: never, unknown */
};

struct host_clocks {
    int64_t wall_us, monotonic_us, boot_us; /* at one moment; the last goes on in sleep */
};

/* When that was which systemd has stamped so, by the wall clock as it is set now: a clock that was
 * set meanwhile (no battery, no network yet) would make every file younger than every process. The
 * stamp itself unless it can't be, else not later than the truth. 0: unknown. */
int64_t host_stamp_wall_us(int64_t stamp_wall_us, int64_t stamp_monotonic_us,
                           const struct host_clocks *now);

/* A unit that does not exist is not an error: `found` is false then, and nothing else is set. A
 * name without a suffix is a service's. */
NODISCARD bool host_config_read(struct host_manager *manager, struct arena *arena, const char *name,
                                struct host_config *ret_config, struct err *err);

/* What `result` means where its word alone does not say it, ", the kernel ..."; "" otherwise. */
const char *host_result_words(const char *result);

/* Has systemd read what was meant? `environment`: "NAME=value", or "NAME" for one that must not be
 * set; `argv` the only command's words. NULL: not compared. ERR_PROBLEM says what differs, and
 * never a variable's value. */
NODISCARD bool host_config_check(const struct host_config *config, const char *const *environment,
                                 const char *const *argv, struct err *err);
