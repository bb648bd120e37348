/* Work that may wait (systemd, a command, a promotion's way back), done in a child of its own; what
 * it says comes back through the daemon's loop. Private to the actor. */
#pragma once

#include "base/err.h"

#include <stdint.h>

struct sd_event;

struct guard_said {
    bool done;
    bool refused;   /* nothing was begun, and nothing is changed: it does not count */
    char text[240]; /* what was done, or why it was not; one line */
};

struct guard_child_job {
    /* In the child: with a copy of everything that the parent had, without its descriptors. */
    void (*work)(void *context, struct guard_said *said);
    void *context;
    int64_t within_ns; /* killed after that; 0: it takes as long as it takes */
    /* In the parent, once, from the loop. `said` NULL: it ended without a word, or was killed. */
    void (*ended)(void *owner, const struct guard_said *said);
    void *owner;
};

struct guard_child; /* opaque */
NODISCARD bool guard_child_start(struct sd_event *event, const struct guard_child_job *job,
                                 struct guard_child **ret_child, struct err *err);
/* Returns NULL. One that has not ended goes on by itself, and nothing is called any more. To be
 * freed from `ended` on. */
struct guard_child *guard_child_free(struct guard_child *child);
AUTO_FN(struct guard_child, guard_child_free)
/* The same of one whose work only reads: it is ended with all that it has started. NULL: nothing.
 */
struct guard_child *guard_child_kill(struct guard_child *child);
