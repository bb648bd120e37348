/* One step of a plan: a file, a reload, a restart, a command. Everything is in the plan's arena. */
#pragma once

#include "host/manager.h"
#include "spec/tls.h"

#include <stddef.h>
#include <sys/types.h>

enum { PROMOTE_STEPS_MAX = 128, PROMOTE_FILE_MAX = 1 << 20 };

enum promote_kind {
    PROMOTE_HOOK,    /* a command before everything, or after it */
    PROMOTE_FILE,    /* a file made, replaced or removed */
    PROMOTE_RELOAD,  /* systemd reads its files again: always, NeedDaemonReload lies */
    PROMOTE_RESTART, /* a unit */
    PROMOTE_COMPOSE, /* docker compose up for one service */
    PROMOTE_COMMAND, /* the user's own */
    PROMOTE_KIND_COUNT_
};
const char *promote_kind_name(enum promote_kind kind);

struct promote_bytes {
    bool there; /* false: no such file */
    const char *data;
    size_t len;
    mode_t mode;
    uid_t uid;
    gid_t gid;
    unsigned links; /* how many names it has; not compared */
};

struct promote_step {
    enum promote_kind kind;
    int service; /* index into the study's services, or -1 */
    /* FILE */
    const char *path;
    struct promote_bytes before, after;
    bool makes_folder; /* its folder is missing and is made (and removed by the undo) */
    /* RELOAD, RESTART */
    enum host_scope scope;
    const char *unit;
    bool was_up;       /* a unit that was down stays down, said in the plan */
    double downtime_s; /* expected: the measured restart; NaN unknown */
    int64_t within_ns; /* of a command too; 0: some minutes */
    /* RESTART (and, for verifying alone, COMPOSE, COMMAND): ready again when this answers 200,
     * without a path when the port accepts; port 0: when systemd says so */
    int port;
    const char *ready_path;
    struct spec_tls tls; /* how it is asked there */
    /* RESTART: what systemd must have read after the reload, else all is undone before anything is
     * restarted. "NAME=value", or "NAME" for one that must not be set; the command's words without
     * systemd's quotes and specifiers. NULL: not compared */
    const char *const *environment, *const *exec;
    /* RESTART: all drop-ins that the unit may have after the reload; NULL: not compared */
    const char *const *drop_ins;
    /* RESTART: the same variables, of its process once it is ready; NULL: not compared */
    const char *const *variables;
    /* RESTART: units that are up and are restarted or stopped along with it, and those along with
     * them; sorted, ", " between; NULL: none. They are to be up again (promote/along.h) */
    const char *dependents;
    const char *const *verify; /* COMMAND: says whether it works; NULL: there is none */
    /* HOOK, COMMAND, COMPOSE: argv, NULL-terminated; `undo` NULL when nothing undoes it */
    const char *const *run, *const *undo;
    const char *why; /* one line: what for, with which privilege */
};
