/* Inside study/: is each card as it was before the study's first trial? */
#pragma once

#include "study/loop.h"

/* The first stored reading of a card without anything of ours; NaN: none. `trials` in order. */
double study_clean_stored(const struct store_trial *trials, size_t count, const char *device);

/* Compares every card of the study that the store has a first reading of, and waits up to 5 s for
 * memory that is on its way back. Appends what is still missing; nothing: all is as it was. Nothing
 * of ours may be running. */
NODISCARD bool study_clean_compare(const struct study_loop *loop, struct buf *ret_words,
                                   struct err *err);
