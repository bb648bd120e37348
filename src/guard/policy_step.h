/* Inside guard/: one step of the policy while it is made. policy.c chooses who answers,
 * policy_power.c what is started and stopped. Pure. */
#pragma once

#include "guard/policy_fit.h"

enum policy_held { HELD_NOT, HELD_BOUND, HELD_SMALLEST, HELD_NONE_USABLE };

struct policy_step {
    struct policy_state *state;
    const struct policy_front *front;
    const struct policy_input *input;
    struct policy_fit fits[SPEC_TIERS_MAX];
    int victim;            /* whose memory is needed; -1 */
    bool up;               /* the target is a better one */
    enum policy_held held; /* why nothing is done */
    struct policy_choice choice;
    struct buf reason;
};

static inline int policy_count(const struct policy_step *step)
{
    return (int)step->front->count;
}

/* ---- policy_power.c ---- */
bool policy_is_usable(const struct policy_step *step, int t); /* it runs, and HAProxy uses it */
int policy_usable_count(const struct policy_step *step);
/* A better tier has kept the limit with margin for long enough, and surely does now. */
bool policy_is_calm(const struct policy_step *step, int t);
/* Whose memory is needed by others: the largest that need not be resident. -1: none. */
int policy_find_victim(const struct policy_step *step);
void policy_add_memory(struct policy_step *step);
/* Fill step->choice.stop and .start, once the tier is chosen. */
void policy_choose_stop(struct policy_step *step);
void policy_choose_start(struct policy_step *step);
