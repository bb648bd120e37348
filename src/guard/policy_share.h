/* Inside guard/: several fronts on one device. Each front's policy sees itself alone; this says
 * what the others mean for it, and who is asked first. Pure. */
#pragma once

#include "guard/policy.h"

struct policy_seat { /* of a front, in one step */
    const struct policy_front *front;
    struct policy_input *input; /* of this step, filled; power of each tier is that of its begin */
    size_t devices[SPEC_TIERS_MAX]; /* of each tier; free_bytes is that of the first one's */
    enum policy_sight sight;
    int current; /* as decided last; -1 */
    /* What has come of it in this step. */
    bool stepped;
    int started, stopped; /* a tier, really so; -1 */
};

/* The seat that is stepped next: the one that would give up the largest tier. `count`: all are. */
size_t policy_share_next(const struct policy_seat *seats, size_t count);
/* Into seat `i`'s input: what the others' tiers on its device mean for it. */
void policy_share_fill(struct policy_seat *seats, size_t count, size_t i);
/* One device has one reserve, the largest that any front there asks for: else one would start into
 * what another then evicts for. */
double policy_share_reserve(const struct policy_seat *seats, size_t count, size_t device);
