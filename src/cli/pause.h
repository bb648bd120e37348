/* `spica run --pause`: the plan on the screen, the approval, and the two ends of the pause. */
#pragma once

#include "host/pause.h"
#include "spec/study.h"

struct cli_pause {
    const struct spec_study *study; /* borrowed, as all texts here */
    const char *folder;             /* of the study's results */
    const char *names;              /* of --pause; NULL: nothing is paused */
    enum host_scope scope;
    bool approved;   /* on the command line */
    int64_t time_ns; /* of --time, 0: not given */
    char *journal;   /* path; owned */
    struct host_plan plan;
    bool begun; /* something may be down: cli_pause_end() is due */
};

void cli_pause_done(struct cli_pause *pause);
AUTO_FN(struct cli_pause, cli_pause_done)

/* Before anything else of a run: what an earlier one left paused is started again, unless that one
 * still runs. */
NODISCARD bool cli_pause_recover(struct cli_pause *pause, struct err *err);
/* Shows what --pause would do and asks. ERR_DECLINED: no, or nobody to ask. Changes nothing. */
NODISCARD bool cli_pause_ask(struct cli_pause *pause, struct err *err);
/* Journal, restorer, stop. Fails with everything up again. */
NODISCARD bool cli_pause_begin(struct cli_pause *pause, struct err *err);
/* Starts them again. `err` may be set already: the study's own failure stays the first cause, what
 * did not start is said before it. */
bool cli_pause_end(struct cli_pause *pause, bool ok, struct err *err);

/* Starts again what a journal names, says so on stdout, notes it in the study's store and marks the
 * journal. ERR_INTERNAL names what did not start; the journal stays open then. */
NODISCARD bool cli_restore_journal(const char *path, struct host_journal *journal, struct err *err);
