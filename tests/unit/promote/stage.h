/* A small production for tests of applying and undoing: two units, one with an environment file and
 * one with a drop-in, and a command's effect; all of it in files of one folder, so that a process
 * that is killed leaves what a real one would leave. A model of systemd stands in the hands' table:
 * it reads drop-ins at a reload and environment files at a start.
 *
 * `die_at`: the process ends, as by SIGKILL, at that operation; each operation can be cut before
 * it, in its middle and after it. */
#pragma once

#include "check.h"

#include "promote/hands.h"

#include "base/file.h"

enum { STAGE_A, STAGE_B, STAGE_COUNT };

struct stage {
    char *folder;  /* owned; of everything */
    char *results; /* owned; the study's folder */
    char *paths[STAGE_COUNT];
    int die_at; /* counts down; 0: never */
    /* What is to go wrong in this process. */
    bool verify_fails, verify_fails_after_undo, verify_blind, check_fails, reload_fails, puts_fail;
    int restart_fails;            /* index of the unit + 1 */
    bool may_not;                 /* restart anything */
    bool unit_is_edited;          /* of each unit, by hand, since its start */
    bool hook_starts, hook_edits; /* the hook before all starts unit a; edits a.env */
    int cancel_at;                /* a wish to stop at that operation; 0: never */
    int operations;               /* so far */
    int unseen;                   /* of those: nobody could see that somebody is at it */
    char trace[2048];             /* what was done: "put a, reload, restart a, ..." */
};

enum { STAGE_KILLED = 99 };

void stage_open(struct stage *stage);
void stage_close(struct stage *stage);
struct promote_hands stage_hands(struct stage *stage);
/* A plan from what is there now to `text`, for both units and the command; in its own arena. */
struct promote_plan *stage_plan(const struct stage *stage, const char *text);

/* The content of a file of the stage ("running.a", "command", ...); owned, NULL: not there. */
char *stage_read(const struct stage *stage, const char *name);
void stage_write(const struct stage *stage, const char *name, const char *text);
/* systemd starts a unit again by itself. */
void stage_crash(const struct stage *stage, int unit);
/* Somebody stops it. */
void stage_stop(const struct stage *stage, int unit);
/* Somewhere below the folder is a file that holds exactly this text. */
bool stage_holds(const struct stage *stage, const char *text);
/* Half-written files that are still there. */
int stage_litter(const struct stage *stage);
