/* Inside guard/: what the study says of production: which candidate runs, how much it can take. */
#pragma once

#include "base/digest.h"
#include "device/device.h"
#include "guard/watch_events.h"
#include "spec/space.h"

#include <sys/stat.h>

struct guard_capacity { /* that the study measured */
    double top;         /* the most that met its requirements; NaN: not measured */
    bool rate;          /* requests/s; else clients */
};
struct guard_capacities {
    struct guard_capacity services[SPEC_SERVICES_MAX]; /* of what runs in production */
    struct guard_capacity tiers[SPEC_FRONTS_MAX][SPEC_TIERS_MAX];
};

struct guard_candidate { /* what runs in production, as far as is known */
    struct spec_candidate candidate;
    const char *from;                  /* why it is taken for it, in words; static */
    bool promoted;                     /* a promotion, or its undoing, says so */
    bool under_way;                    /* a promotion or its undoing is: it may be half of each */
    bool journal_unread, store_unread; /* damaged, not for us, or somebody else's turn at it */
    char decision[DIGEST_HEX_SIZE];    /* of the study; "": there is none */
};
/* What was promoted last; what it was undone to; else the study's winner, its baseline, its first.
 * `folder` NULL: there are no results. */
void guard_candidate_find(const struct spec_study *study, const char *folder,
                          struct guard_candidate *ret_found);
bool guard_candidate_is(const struct spec_study *study, const struct spec_candidate *a,
                        const struct spec_candidate *b);

enum { /* flags */
       CANDIDATE_IS_ANOTHER = 1,
       DECISION_IS_ANOTHER = 2,
};
struct guard_candidate_look { /* zeroed at first */
    int64_t next_ns;
    bool began;
    struct stat journal, store, log; /* as they were read; the log is the store's own */
    int64_t again_ns, wait_ns;       /* when what could not be read is tried again; 0: it could */
};
/* Is it still that? Three calls of stat(2) every 2 s; what has changed is read. Flags, and *found
 * is another then; 0: nothing to follow. The first look always takes what there is. */
unsigned guard_candidate_step(struct guard_candidate_look *look, const struct spec_study *study,
                              const char *folder, int64_t now_ns, struct guard_candidate *found);

/* Reads the study's file, so it is asked once. `candidate`: what runs. False: somebody holds that
 * file just now, and all are unknown; to be asked again. */
NODISCARD bool guard_capacities_find(const struct spec_study *study, const char *folder,
                                     const struct spec_candidate *candidate,
                                     struct guard_capacities *ret_found);
/* The least of what trials that were measured to the end found for a service with these settings;
 * `others_too`: and with these of all others. Pure. */
struct store_trial;
struct guard_capacity guard_capacity_least(const struct spec_study *study, size_t service,
                                           const struct spec_candidate *wanted, bool others_too,
                                           const struct store_trial *trials, size_t count);
