/* A command of the study file, or one that we know by name (docker compose), run as it is: a list
 * of words, no shell. Its output is kept for messages; it reads nothing. */
#pragma once

#include "base/buf.h"
#include "base/err.h"

#include <stdint.h>

enum promote_heed { PROMOTE_HEED_CANCEL, PROMOTE_IGNORE_CANCEL };

struct promote_ran {
    int status;   /* its exit status; -1: it was ended by a signal */
    int signal;   /* that signal, 0 none */
    bool late;    /* not done within its time: killed with all that it had started */
    bool stopped; /* a wish to stop (base/cancel.h): likewise */
    double seconds;
    char last[256]; /* the last line of its output that says something; outside text */
};

/* The program is looked for as execvp does, from `folder`, where it runs. Its standard output, as
 * far as it has room, is added to `ret_output` (NULL: not kept). What it leaves running when it
 * ends by itself goes on. ERR_MISSING: there is no such program. */
NODISCARD bool promote_run_read(const char *const *argv, const char *folder, int64_t within_ns,
                                enum promote_heed heed, struct buf *ret_output,
                                struct promote_ran *ret_ran, struct err *err);
bool promote_ran_well(const struct promote_ran *ran);
/* "exit status 3: no such model"; escaped, one line. */
void promote_ran_add_words(struct buf *buf, const struct promote_ran *ran);
