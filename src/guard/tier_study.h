/* Inside guard/: what the study measured of each tier: its curve, its peak of memory. */
#pragma once

#include "guard/policy.h"
#include "spec/space.h"
#include "spec/study.h"

struct tier_study {
    struct policy_curve curve;
    double peak_bytes; /* NaN: not measured */
    size_t trials;     /* that ran this tier's settings */
    /* The values that its requests are made from: the tier's own, all others as in the last of
     * those trials, else the baseline's, else the first of each knob. */
    struct spec_candidate candidate;
};
/* One for each tier of each front. Nothing there, or a store that can't be read: no curves, and
 * `note` says so. What is measured for a candidate counts for a tier when the service's own knobs
 * agree: those that the tier names by its values, the others by the winner's or baseline's. */
void tier_study_read(const struct spec_study *study, const char *folder,
                     struct tier_study ret_tiers[SPEC_FRONTS_MAX][SPEC_TIERS_MAX], char *ret_note,
                     size_t size);

/* ---- pure ---- */
struct store_trial;
/* Adds what a trial says of a service at that quantile. */
void tier_study_add(struct tier_study *tier, const struct spec_study *study,
                    const struct store_trial *trial, size_t service, double quantile);
/* Its verdict says that it was measured to the end, fast or slow. */
bool tier_study_is_measured(const struct store_trial *trial);
/* `reference` with the tier's own values. */
struct spec_candidate tier_study_candidate(const struct spec_study *study,
                                           const struct spec_tier *tier, size_t service,
                                           const struct spec_candidate *reference);
/* Are the service's own knobs the same; with `others_too` those of all? */
bool tier_study_agrees(const struct spec_study *study, size_t service,
                       const struct spec_candidate *wanted, const struct spec_candidate *found,
                       bool others_too);
/* The rate of an open loop that is beyond what `clients` of a closed loop do to a server which
 * answers at most most_rps in no more than (1 - quantile) of the time. */
double tier_study_open_rps(double clients, double most_rps, double quantile);
