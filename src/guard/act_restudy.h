/* Measuring again, at an hour of the file's own: a request beside the study
 * ("FOLDER.restudy.json"), and a minder that runs `spica run` while the window is open and stops it
 * cleanly at its end, to go on in the next. What it finds is never promoted from here. Private to
 * the actor. */
#pragma once

#include "guard/act_child.h"
#include "host/journal.h"
#include "spec/guard.h"

enum restudy_state {
    RESTUDY_QUEUED,
    RESTUDY_RUNNING, /* its minder is at it, or was killed */
    RESTUDY_DONE,
    RESTUDY_STATE_COUNT_
};

struct guard_restudy {
    enum restudy_state state;
    int64_t folder_inode; /* of the results when it was asked for, 0 none: another one now means
                           * that it has begun anew and goes on from there */
    int attempts;         /* how often it was begun or gone on with */
    char rule[128], why[512];
    int64_t asked_wall_us;
    struct host_process minder; /* while it runs */
    char result[240];           /* once it is done */
};

char *guard_restudy_path(const char *folder); /* of the request; owned by the caller */
/* *ret_found false: none was ever asked for. ERR_INPUT, ERR_LIMIT: not such a file. */
NODISCARD bool guard_restudy_read(const char *folder, bool *ret_found,
                                  struct guard_restudy *ret_restudy, struct err *err);
NODISCARD bool guard_restudy_write(const char *folder, const struct guard_restudy *restudy,
                                   struct err *err);

/* Is the window open at that minute after midnight? `from` after `to`: over midnight; the same, or
 * not given: always. Pure. */
bool guard_restudy_open(const struct spec_restudy_hours *hours, int minute);
int guard_restudy_minute(int64_t wall_us); /* after midnight, local time */
/* How long it stays open from that second after midnight; 0: it is shut; INT64_MAX: it never
 * closes. Pure. */
int64_t guard_restudy_left_ns(const struct spec_restudy_hours *hours, int second);

struct guard_restudy_work {
    const char *folder, *study_path; /* absolute */
    const char *program;             /* spica, absolute */
    struct spec_restudy_hours hours;
    const char *pause; /* units that the study stops meanwhile, "a,b"; NULL: none */
    bool pause_user;   /* of the user's manager */
    struct guard_restudy restudy;
};
/* In a child: one attempt, no longer than the window is open. `said->done`: the study has come to
 * its end. */
void guard_work_restudy(void *restudy, struct guard_said *said);
/* In a child: writes the request. */
void guard_work_queue_restudy(void *restudy, struct guard_said *said);
