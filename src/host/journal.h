/* What was stopped, on disk before it is stopped: whoever comes after us can undo it. One file
 * beside the study's folder ("NAME.spica.paused.json"): inside, `--fresh` would move it away. */
#pragma once

#include "host/unit.h"

enum { HOST_UNITS_MAX = 16 };

struct host_process { /* names a process for good */
    pid_t pid;
    int64_t start_ticks; /* since boot */
    char boot_id[40];
};

/* False when it is gone or its facts can't be read. */
bool host_process_read(pid_t pid, struct host_process *ret_process);
bool host_process_same(const struct host_process *a, const struct host_process *b);
bool host_process_alive(const struct host_process *process); /* a zombie is not */

struct host_journal_unit {
    char name[HOST_NAME_SIZE];
    bool was_up; /* to be started again; the others stay as they are */
    int64_t start_within_ns;
};

struct host_journal {
    bool done; /* nothing is left to be started */
    enum host_scope scope;
    char study[128];
    char folder[4096]; /* the study's; absolute */
    struct host_process owner;
    int64_t since_wall_us;
    struct host_journal_unit units[HOST_UNITS_MAX];
    size_t count;
};

/* "FOLDER.paused.json", absolute; the caller owns it. */
char *host_journal_path(const char *folder);
/* Whole or not at all, and on the disk when it returns. */
NODISCARD bool host_journal_write(const char *path, const struct host_journal *journal,
                                  struct err *err);
/* ret_found false when there is none. ERR_INPUT: not such a file; says to remove it. */
NODISCARD bool host_journal_read(const char *path, bool *ret_found,
                                 struct host_journal *ret_journal, struct err *err);
