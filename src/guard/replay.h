/* A recording judged again, as fast as it can be read. */
#pragma once

#include "guard/judge.h"
#include "guard/policy_record.h"

#include <stdio.h>

struct guard_replay_options {
    const struct spec_study *study; /* borrowed; with its guard */
    const char *path;               /* of the recording; "-": standard input */
    bool json;                      /* one object a line, else a line of text for each */
    /* Decisions beside being printed; NULL: not. For tests. */
    void (*tell)(void *context, const struct guard_decision *decision);
    /* Each step of a front's tiers, likewise: as it is chosen now, and as it was then. */
    void (*tell_tier)(void *context, const struct policy_record *then,
                      const struct policy_choice *now);
    void *context;
};

struct guard_replay_result {
    uint64_t ticks, decisions, alarms;
    uint64_t tier_steps, tier_choices; /* of fronts; a switch, start or stop is a choice */
    uint64_t tier_others;              /* steps in which something else is chosen than was then */
    int64_t span_ns; /* from the first tick to the last, what lies between two guards left out */
};

/* ERR_INPUT with "path:line: column N: ...". A last line without its end is what a kill left, and
 * is passed over. `out` may be NULL. */
NODISCARD bool guard_replay(const struct guard_replay_options *options, FILE *out,
                            struct guard_replay_result *ret_result, struct err *err);
/* A decision as it is printed: a line of text, or JSON, with its line end. */
void guard_decision_print(const struct spec_study *study, const struct guard_decision *decision,
                          bool json, FILE *out);
