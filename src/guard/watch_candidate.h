/* Inside guard/: what the study says of production: which candidate runs, how much it can take. */
#pragma once

#include "device/device.h"
#include "guard/watch_events.h"
#include "spec/space.h"

struct guard_capacity { /* that the study measured */
    double top;         /* the most that met its requirements; NaN: not measured */
    bool rate;          /* requests/s; else clients */
};
struct guard_capacities {
    struct guard_capacity services[SPEC_SERVICES_MAX]; /* of what runs in production */
    struct guard_capacity tiers[SPEC_FRONTS_MAX][SPEC_TIERS_MAX];
};

/* What runs in production as far as is known: what was promoted last, else the study's winner, else
 * its baseline, else its first. `ret_from`: which of these, in words; static. */
void guard_candidate_find(const struct spec_study *study, const char *folder,
                          struct spec_candidate *ret_candidate, const char **ret_from);
/* Reads the study's file, so it is asked once. `candidate`: what runs. */
void guard_capacities_find(const struct spec_study *study, const char *folder,
                           const struct spec_candidate *candidate,
                           struct guard_capacities *ret_found);
/* The least of what trials that were measured to the end found for a service with these settings;
 * `others_too`: and with these of all others. Pure. */
struct store_trial;
struct guard_capacity guard_capacity_least(const struct spec_study *study, size_t service,
                                           const struct spec_candidate *wanted, bool others_too,
                                           const struct store_trial *trials, size_t count);
