/* Whose tokens were counted by their server, and whose by events: the two are not ranked against
 * each other. Pure. Sets of services are bits, by index. */
#pragma once

#include "spec/study.h"
#include "store/store.h"

#include <assert.h>
#include <stdint.h>

/* Why such a trial has no rank. */
#define STUDY_COUNTED_OTHERWISE                                                                    \
    "its tokens per second were counted by events, those of others by their servers: not ranked"

static_assert(SPEC_SERVICES_MAX <= 32, "a bit for each service");

/* Services whose tokens per second the goal ranks by. */
uint32_t study_counted_asked(const struct spec_study *study);
/* Services of which that trial has a rate that was counted by events. */
uint32_t study_counted_by_events(const struct spec_study *study, const struct store_trial *trial);
/* The same from names with a blank between them; NULL: none. */
uint32_t study_counted_names(const struct spec_study *study, const char *names);

/* One trial, as far as ranking goes. */
struct study_counted {
    bool ranked; /* ok, and with a fitness */
    uint32_t by_events;
};
/* Services in which trials differ so that those by events have no fitness. */
uint32_t study_counted_mixed(const struct spec_study *study, const struct study_counted *trials,
                             size_t count);
