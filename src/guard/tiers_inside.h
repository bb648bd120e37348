/* Inside guard/: the runtime of choosing tiers, for the two files that make it: tiers_open.c what
 * it begins with and what production's changes mean for it, tiers.c its steps. */
#pragma once

#include "guard/policy_record.h"
#include "guard/policy_share.h"
#include "guard/tier_doubt.h"
#include "guard/tier_hold.h"
#include "guard/tier_load.h"
#include "guard/tier_memory.h"
#include "guard/tier_study.h"
#include "guard/tier_unit.h"
#include "guard/tiers.h"

struct front {
    const struct spec_front *spec; /* borrowed */
    size_t index;
    struct policy_front policy;
    struct policy_state state;
    struct policy_input input; /* of the last step */
    struct policy_choice choice;
    struct tier_load *load;                  /* owned */
    struct tier_unit *units[SPEC_TIERS_MAX]; /* owned */
    struct tier_study studied[SPEC_TIERS_MAX];
    struct tier_doubt doubt;
    bool missed[SPEC_TIERS_MAX];  /* resident, and no `watch:` names it: guard says that it died */
    bool by_hand[SPEC_TIERS_MAX]; /* drained by a person: neither used nor started */
    int64_t ready_ns[SPEC_TIERS_MAX];     /* when HAProxy was last told that it may be used */
    int64_t stop_said_ns[SPEC_TIERS_MAX]; /* dry run */
    int wish;
    const char *frozen; /* what is wrong with its driver; NULL: nothing. Static */
    char held[160];     /* who has spoken for its units; "" */
    char barred[160];   /* which of both was told last; "" */
    char reason[POLICY_REASON_SIZE];
    char said[POLICY_REASON_SIZE]; /* last */
    int64_t said_ns;
    int held_said; /* policy_state.held as it was told last, and when */
    int64_t held_said_ns;
};

struct guard_tiers {
    struct guard_tiers_options options;
    struct front *fronts; /* owned; those with a policy */
    size_t count;
    struct policy_seat seats[SPEC_FRONTS_MAX]; /* of the fronts */
    struct policy_records records;             /* of the last step */
    struct guard_managers *managers;           /* owned; NULL: systemd is not asked */
    struct arena *arena;                       /* owned */
    const struct corpus *corpora;              /* in the arena; NULL: none could be read */
    struct tier_memory memories[SPEC_DEVICES_MAX];
    struct tier_hold hold;
    bool began;     /* it was looked for */
    bool read;      /* what the study has measured; false: somebody holds it */
    char note[200]; /* of the study, told by the first step; "" */
    bool told;
    /* of the step under way */
    void (*tell)(void *context, const struct guard_event *event);
    void *context;
};
