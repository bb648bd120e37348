/* What the actor did of late, on disk before it is done: "FOLDER.guard-acts.json", mode 0600. A
 * guard that was restarted knows from it how often it restarted what, and what it was in the middle
 * of. Private to the actor. */
#pragma once

#include "base/err.h"
#include "spec/guard.h"

#include <stddef.h>
#include <stdint.h>

enum { GUARD_KEPT_MAX = 256, GUARD_KEPT_BOOT = 40 };

struct guard_act {
    enum spec_action action;
    char service[64]; /* its name, "" none: the file may have changed since */
    bool ended;
    bool unknown; /* stands for what a damaged file held: uses up all of the action's hour */
    char boot[GUARD_KEPT_BOOT]; /* mono_ns counts in this one */
    int64_t mono_ns, wall_us;   /* when it was begun */
};

struct guard_kept {
    char *path; /* owned */
    char boot[GUARD_KEPT_BOOT];
    struct guard_act acts[GUARD_KEPT_MAX]; /* oldest first */
    size_t count;
};

/* None is an empty one. Such a file as we do not write is put aside (guard_kept_put_aside), the
 * hour of every action that is kept counts as used up, and `said` (at least 240 bytes) has a line
 * about it; else it is "". */
NODISCARD bool guard_kept_open(const char *folder, struct guard_kept *ret_kept, char *said,
                               size_t size, struct err *err);
void guard_kept_done(struct guard_kept *kept);
NODISCARD bool guard_kept_write(const struct guard_kept *kept, struct err *err);

/* Adds one that begins now; what is older than an hour goes, and the oldest when it is full.
 * Its place until the next one is added. */
struct guard_act *guard_kept_add(struct guard_kept *kept, enum spec_action action,
                                 const char *service, int64_t now_ns, int64_t wall_us);
/* This one was not done after all. */
void guard_kept_remove(struct guard_kept *kept, struct guard_act *act);
/* What was done in the last hour is not known: none of it is allowed before that hour is over. */
void guard_kept_add_unknown(struct guard_kept *kept, enum spec_action action, int64_t now_ns,
                            int64_t wall_us);
/* Renames a damaged file to PATH.bad, over an older one; `said`: a line about it. */
void guard_kept_put_aside(const char *path, char *said, size_t size);
/* How long ago, by the steady clock within one boot; before that by the wall clock, not under 0. */
int64_t guard_act_age_ns(const struct guard_kept *kept, const struct guard_act *act, int64_t now_ns,
                         int64_t wall_us);

/* May it be done once more? Within the limit of an hour, and for a restart of that service after
 * its back-off, which doubles with each of them up to an hour. False: `why` says which. Pure. */
bool guard_kept_may(const struct guard_kept *kept, const struct spec_guard_limit *limit,
                    enum spec_action action, const char *service, int64_t now_ns, int64_t wall_us,
                    char *why, size_t size);
