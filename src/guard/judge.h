/* Ticks in, decisions out; pure: no clock, no file, nobody is asked. The same ticks give the same
 * decisions, live and replayed.
 *
 * A rule is in one of five states. No data is its own: never fine, never an alarm by itself unless
 * the rule asks for it. Beside the file's rules stand the built-in ones (guard/alarms.c), which
 * only notify, and ask for a new study. */
#pragma once

#include "guard/tick.h"

enum guard_state {
    STATE_NO_DATA, /* what it needs is unknown, or stands on too few values */
    STATE_FINE,
    STATE_PENDING, /* it holds, not yet for as long as it must */
    STATE_ALARM,
    STATE_CLEARING, /* it is over, not yet for as long as it must be */
    STATE_COUNT_
};
extern const char *const guard_state_names[STATE_COUNT_];

struct guard_decision {
    int64_t wall_us;
    const char *rule; /* its name; borrowed from the study or static */
    int service;      /* or -1 */
    enum guard_state from, to;
    /* What is to be done now, a bit per spec_action; and what would be, but may not: not allowed in
     * the file, over its limit per hour, in its back-off or cool-down. `text` says which and why.
     */
    uint32_t actions, withheld;
    unsigned severity; /* who is told first when much happens at once; more is graver */
    char text[512];    /* the numbers, the rule, and what happens next, in one line */
};

struct guard_judge;                                                  /* opaque */
struct guard_judge *guard_judge_new(const struct spec_study *study); /* borrowed */
struct guard_judge *guard_judge_free(struct guard_judge *judge);     /* returns NULL */

/* Tells each decision at once, the gravest first; `tell` must not call back. */
void guard_judge_step(struct guard_judge *judge, const struct guard_tick *tick,
                      void (*tell)(void *context, const struct guard_decision *decision),
                      void *context);
/* An action of the last decisions was not begun, since its unit is not to be touched (stopped by
 * somebody's hand, under a promotion), another promotion is under way, or what an earlier guard did
 * counts too: the last one does not count, stays owed, and is asked for again only after its first
 * back-off, a minute at least. Not from `tell`. */
void guard_judge_refused(struct guard_judge *judge, enum spec_action action, int service);

/* What is wrong with the driver of this service's device, so that nothing which is stopped would
 * come back: an alarm's name; NULL: nothing is known to be. */
const char *guard_judge_driver(const struct guard_judge *judge, int service);

struct guard_standing {           /* of one rule, for /status and the terminal */
    const char *rule;             /* built-in ones: the same name for each service and device */
    const char *service, *device; /* whom it concerns; NULL: none, or several. Borrowed */
    enum guard_state state;
    bool minor; /* it can wait: nobody is called for it at night */
    int64_t since_wall_us;
    char text[240];
};
size_t guard_judge_rules(const struct guard_judge *judge); /* built-in ones too */
void guard_judge_standing(const struct guard_judge *judge, size_t i,
                          struct guard_standing *ret_standing);
