/* Inside guard/: the same few clips of a study's corpus, sent to both arms of a split in turn, one
 * at a time and seldom, by the load worker. What comes back is compared with their transcripts. */
#pragma once

#include "guard/split.h"
#include "guard/split_kept.h"

struct guard_reference; /* opaque */
/* Why no word errors can be known, as far as the study file says; NULL: it says nothing against it.
 */
const char *guard_reference_missing(const struct spec_study *study, size_t front,
                                    double reference_rps);
/* NULL: there is nothing to compare: no clips with transcripts, no rate, or a service that is not
 * asked over HTTP. Borrows the setup's study and corpus. */
struct guard_reference *guard_reference_new(const struct guard_split_setup *setup);
struct guard_reference *guard_reference_free(struct guard_reference *reference); /* returns NULL */
/* Takes in an answer, sends the next clip when one is due. Never waits. NULL is fine. */
void guard_reference_step(struct guard_reference *reference, struct guard_split_kept *kept,
                          int64_t now_ns);
