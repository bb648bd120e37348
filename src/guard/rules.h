/* The five states of a rule, and every way from one to another. Pure: what holds and the time are
 * given. The file's rules and the built-in alarms go through the same machine. */
#pragma once

#include "guard/judge.h"

struct guard_rule_times {
    int64_t for_ns, clear_ns; /* so long `when`, and then `until`, must hold without a break */
    int64_t unknown_ns;       /* an alarm of which so long nothing is known is no alarm any more */
};

struct guard_rule_state { /* zeroed: no data, nothing told */
    enum guard_state state;
    int64_t since_ns;         /* of the state */
    int64_t since_wall_us;    /* likewise; shown, never subtracted */
    int64_t unknown_since_ns; /* in an alarm; 0: it is known */
    bool begun;
};

/* One step; returns the state before. `sudden`: `when` is a fact that needs no time to be sure. */
enum guard_state guard_rule_step(struct guard_rule_state *rule,
                                 const struct guard_rule_times *times, enum expr_truth when,
                                 enum expr_truth until, bool sudden, int64_t now_ns,
                                 int64_t now_wall_us);
/* May a rule go from one state to the other in one step? */
bool guard_rule_may(enum guard_state from, enum guard_state to);
