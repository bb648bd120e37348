/* Services that stay up from trial to trial, and the starts that this saves. */
#pragma once

#include "spec/space.h"
#include "store/store.h"
#include "trial/trial.h"

struct display_kept {
    struct spec_candidate candidate; /* of the last finished trial */
    bool known;                      /* there was one */
    struct kept_service {
        bool up; /* nothing speaks against it */
        int64_t since;
        double ready_s; /* start to ready; NaN unknown */
    } services[SPEC_SERVICES_MAX];
    int64_t seen_trial; /* the trial under way, and which services were seen starting in it */
    uint32_t seen_starting;
};

void display_kept_note_trial(struct display_kept *kept, const struct spec_study *study,
                             const struct store_trial *trial);
void display_kept_note_progress(struct display_kept *kept, const struct spec_study *study,
                                const struct trial_progress *progress);
/* "llm stays up since #5 (saved 68 s)" of the trial under way; nothing when it can't be told. */
void display_kept_add_live(struct buf *buf, const struct display_kept *kept,
                           const struct spec_study *study, const struct trial_request *request,
                           const struct trial_progress *progress);
/* "llm stayed up since #5 (saved 68 s)" of a finished one, which display_kept_note_trial() knows.
 */
void display_kept_add_finished(struct buf *buf, const struct display_kept *kept,
                               const struct store_trial *trial);
