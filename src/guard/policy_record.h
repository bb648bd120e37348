/* Inside guard/: what choosing tiers was decided on, as a recording keeps it: each step's input and
 * choice in the tick, what the study told of the tiers in a line of its own. With both a replay
 * makes the same choices. */
#pragma once

#include "base/buf.h"
#include "guard/policy.h"
#include "guard/tick_scan.h"
#include "spec/study.h"

struct policy_record {         /* of a front, in one step */
    size_t front;              /* index into the study's */
    struct policy_input input; /* of which tiers as many as the front has; now_ns is the tick's */
    enum policy_sight sight;
    bool undone;                 /* HAProxy was busy: as if nothing had been chosen */
    struct policy_choice choice; /* read: tier, start and stop alone */
};
struct policy_records {
    const struct spec_study *study; /* borrowed; with its `guard:` */
    struct policy_record items[SPEC_FRONTS_MAX];
    size_t count;
};

/* What does not change, from the study file: nothing is known of how fast or large any tier is. */
struct policy_front policy_front_of(const struct spec_front *spec);
/* Has it several tiers and a requirement to choose by? */
bool policy_front_chooses(const struct spec_front *spec);

/* To the digits that are recorded: what is decided on is what a replay reads. */
void policy_input_round(struct policy_input *input, size_t tier_count);

/* {"stt":{...},...}, and back. Fronts and tiers that the study does not have are skipped. */
void policy_records_write(const struct policy_records *records, struct buf *buf);
NODISCARD bool policy_records_read(struct guard_scan *s, struct policy_records *records);

/* {"fronts":{"stt":{"reserve":...,"tiers":{"base":{"peak":...,"most":...,"curve":[[rate,latency],
 * ...]}}}}}: what was known of each tier. `fronts`: one for each front of the study. */
bool policy_head_is(const char *line, size_t len);
void policy_head_write(const struct spec_study *study, const struct policy_front *const *fronts,
                       struct buf *buf);
NODISCARD bool policy_head_read(const char *line, size_t len, const struct spec_study *study,
                                struct policy_front *fronts, struct err *err);
