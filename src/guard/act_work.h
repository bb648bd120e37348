/* What the actor's children do, each a straight line that may wait. Nothing here knows of the
 * daemon. Private to the actor; run by act_child.h. */
#pragma once

#include "guard/act_child.h"

#include <stdbool.h>

/* A unit is restarted only when it is up or has failed, nobody else is at it, and no promotion or
 * paused study says that it is to be as it is. */
struct guard_restart_work {
    const char *unit;
    bool user;
    const char *folder; /* the study's results: whose promotion, whose pause */
};
void guard_work_restart(void *restart, struct guard_said *said);

/* The last promotion is undone, whole or begun (promote_undo). */
struct guard_rollback_work {
    const char *folder;
    const char *rule; /* whose decision it is: stands in the record */
    bool resumed;     /* one that an earlier guard began: only what is left of it */
};
void guard_work_rollback(void *rollback, struct guard_said *said);

/* The `notify:` command, word by word, no shell. */
struct guard_notify_work {
    const char *const *argv; /* NULL at the end */
    const char *folder;      /* it runs there */
    int64_t within_ns;
};
void guard_work_notify(void *notify, struct guard_said *said);
