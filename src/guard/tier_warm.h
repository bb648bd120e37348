/* Inside guard/: the first request to a tier that has come up, sent by a load worker so that nobody
 * here waits for its answer. */
#pragma once

#include "load/corpus.h"
#include "spec/space.h"

struct tier_warm; /* opaque: of one tier */

/* All borrowed. NULL: there is nothing to ask (no load in the study, or nothing of its corpus). */
struct tier_warm *tier_warm_new(const struct spec_study *study, size_t service, int port,
                                const struct spec_candidate *candidate,
                                const struct corpus *corpora);
struct tier_warm *tier_warm_free(struct tier_warm *warm); /* returns NULL; ends one under way */

bool tier_warm_is_asking(const struct tier_warm *warm);
int64_t tier_warm_within_ns(const struct tier_warm *warm); /* an answer may take so long */
void tier_warm_ask(struct tier_warm *warm, int64_t now_ns);
void tier_warm_forget(struct tier_warm *warm);

enum tier_warmth { WARMTH_WAITING, WARMTH_ANSWERED, WARMTH_FAILED };
/* `words`: what came in place of an answer, borrowed until the next call; "" nothing yet. */
enum tier_warmth tier_warm_look(struct tier_warm *warm, int64_t now_ns, double *ret_latency_s);
const char *tier_warm_words(const struct tier_warm *warm);

/* One clip or prompt of each service that has a front, in the arena; NULL: the corpora can't be
 * read. */
const struct corpus *tier_warm_corpora(const struct spec_study *study, struct arena *arena);
