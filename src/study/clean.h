/* Inside study/: is each card as it was before the study's first trial? */
#pragma once

#include "device/sample.h"
#include "study/loop.h"

enum study_clean_when {
    CLEAN_RESUMED, /* after hours or days, in which others may have come */
    CLEAN_STOPPED, /* at the end of a run */
};

/* The first stored reading of a card without anything of ours; NaN: none. `trials` in order. */
double study_clean_stored(const struct store_trial *trials, size_t count, const char *device);

/* How much more than that is called a leak, and whether memory that is listed to nobody counts
 * where a container hides processes. */
struct study_clean_rule {
    double bound_bytes;
    bool unlisted_counts;
};
struct study_clean_rule study_clean_rule(const struct store_trial *trials, size_t count,
                                         enum study_clean_when when, bool hides_processes);
/* In use with nobody's name on it, beside the neighbours; NaN: unknown. `strangers` as
 * device_strangers(). */
double study_clean_unexplained(const struct device_sample *sample,
                               const struct device_holder *strangers, size_t count,
                               bool unlisted_counts);

/* Compares every card of the study that the store has a first reading of, and waits up to 5 s for
 * memory that is on its way back. Appends what is still missing; nothing: all is as it was. Nothing
 * of ours may be running. */
NODISCARD bool study_clean_compare(const struct study_loop *loop, enum study_clean_when when,
                                   struct buf *ret_words, struct err *err);
