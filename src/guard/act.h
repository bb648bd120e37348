/* Doing what the judge decided: told, restarted, rolled back, measured again. The one part of guard
 * that changes the machine.
 *
 * Nothing here makes the caller wait: each action runs in a child of its own (act_child.h), and
 * what became of it comes back from the event loop as an EVENT_ACTED. What the study file does not
 * allow the judge has withheld already; the actor looks again (limits are kept on disk here, so
 * that guard being restarted gives nobody more restarts) and refuses rather than guess. */
#pragma once

#include "guard/judge.h"

struct sd_event;

struct guard_act_setup {
    const struct spec_study *study; /* borrowed, has a guard */
    const char *folder;      /* the study's results, absolute; what is kept stands beside it */
    struct sd_event *event;  /* the daemon's loop; a reference is taken */
    const char *program;     /* what measures again: NULL: this very program; for tests */
    bool dry_run;            /* say what would be done, and do nothing */
    int64_t notify_again_ns; /* a notice that failed is told again so much later, doubling; 0: 10 s;
                              * for tests */
    /* What became of an action, or why it was not done: one event for each, always of EVENT_ACTED.
     * Called from guard_actor_do() or _close() itself or from the loop; must not call back. */
    void (*acted)(void *context, const struct guard_event *event);
    /* tier-down and tier-up of a service (guard_tiers_wish), at once. False: not done, `text` says
     * why. NULL: there are no tiers. */
    bool (*tier)(void *context, size_t service, enum spec_action action, char *text, size_t size);
    /* The judge's last such action was refused and does not count; from the loop or from
     * guard_actor_see(). NULL: nobody. */
    void (*refused)(void *context, enum spec_action action, int service);
    void *context;
};

struct guard_actor; /* opaque */
/* Reads what an earlier guard left (FOLDER.guard-acts.json): a restart that was under way counts
 * and is not begun again, a rollback that was cut off is finished, a queued study stays queued.
 * Such a file that is damaged is put aside as FILE.bad and told with the first tick; what it would
 * have limited is withheld for an hour. */
NODISCARD bool guard_actor_open(const struct guard_act_setup *setup, struct guard_actor **ret_actor,
                                struct err *err);
/* Returns NULL. Children under way go on by themselves: half of a restart helps nobody. */
struct guard_actor *guard_actor_close(struct guard_actor *actor);
AUTO_FN(struct guard_actor, guard_actor_close)

/* To be told each tick before its decisions, and before its refusals are taken: a service is not
 * restarted while its device's driver is lost or mismatched, since it would not come back. */
void guard_actor_see(struct guard_actor *actor, const struct guard_tick *tick);
/* Logs the decision, whatever it asks for, and begins its actions. Where our output goes to the
 * journal it is an entry there with its fields, else a line on stderr. */
void guard_actor_do(struct guard_actor *actor, const struct guard_decision *decision);
/* Our output goes to the journal: EVENT_ACTED has an entry there too and need not be printed. */
bool guard_actor_has_journal(const struct guard_actor *actor);
/* How many actions are under way or wait for their turn; for tests and for a clean end. */
size_t guard_actor_busy(const struct guard_actor *actor);
