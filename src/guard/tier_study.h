/* Inside guard/: what the study measured of each tier: its curve, its peak of memory. */
#pragma once

#include "base/buf.h"
#include "guard/policy.h"
#include "spec/space.h"
#include "spec/study.h"

struct tier_study {
    struct policy_curve curve;
    double peak_bytes; /* NaN: not measured */
    size_t trials;     /* that ran this tier's settings beside the neighbours as they are now */
    size_t elsewhere;  /* that ran them beside others: their curves are not counted */
    double elsewhere_peak_bytes; /* the most that those held; NaN: not measured */
    /* The values that its requests are made from, and by which trials are its own: those of what
     * runs in production, with the tier's own in their place. */
    struct spec_candidate candidate;
};
/* One for each tier of each front. Nothing there, or a store that can't be read: no curves, and
 * `note` says so. False: since somebody holds it just now. `running`: what runs in production
 * (guard_candidate_find()). */
NODISCARD bool tier_study_read(const struct spec_study *study, const char *folder,
                               const struct spec_candidate *running,
                               struct tier_study ret_tiers[SPEC_FRONTS_MAX][SPEC_TIERS_MAX],
                               char *ret_note, size_t size);

/* ---- pure ---- */
struct store_trial;
struct tier_study tier_study_new(void); /* nothing is known of it */
/* The most that it held: beside what runs now, else as the file says (NaN: it does not), else
 * beside others. NaN: unknown. */
double tier_study_peak_bytes(const struct tier_study *tier, double file_bytes);
/* Adds what a trial says of a service at that quantile. */
void tier_study_add(struct tier_study *tier, const struct spec_study *study,
                    const struct store_trial *trial, size_t service, double quantile);
/* Adds all trials that are of tier->candidate, with the neighbours' settings too. */
void tier_study_take(struct tier_study *tier, const struct spec_study *study, size_t service,
                     const struct store_trial *trials, size_t count, double quantile);
/* What is known of it, in one line. `policy`: as it is chosen by; `note` of tier_study_read(). */
void tier_study_add_words(const struct tier_study *tier, const struct policy_tier *policy,
                          double quantile, const char *note, struct buf *buf);
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
