/* Inside guard/, and for `spica split`: what the arms of a split make of the same recordings. Pure.
 */
#pragma once

#include "guard/split_kept.h"

double guard_split_wer(const struct guard_split_arm *arm); /* of all clips heard; NaN: none */
/* By resampling clips: some milliseconds. NaN for fewer than two. */
struct stats_interval guard_split_wer_interval(const struct guard_split_arm *arm);
/* WER of the second arm less the first's, over the clips that both have heard, 95 %; NaN. */
struct stats_interval guard_split_wer_difference(const struct guard_split_kept *kept);
/* The same as an alarm needs it, which looks again and again: 99 %, and NaN for fewer than five
 * clips. */
struct stats_interval guard_split_wer_certain(const struct guard_split_kept *kept);
/* Is it certain that the second arm makes more word errors than the file's `harm` allows? By the
 * test that may be looked at any time, and seen over five clips at least. What follows stops the
 * arm. */
bool guard_split_words_harm(const struct guard_split_kept *kept);
void guard_split_add_words_harm(const struct guard_split_kept *kept, const struct spec_split *split,
                                struct buf *buf);
/* How near the test is: "; evidence for harm 3.1 of 100 needed, 12 pairs". Nothing without pairs.
 */
void guard_split_add_words_evidence(const struct guard_split_kept *kept,
                                    const struct spec_split *split, struct buf *buf);
/* What the difference says, or why there is none: never nothing. */
void guard_split_add_words(const struct guard_split_kept *kept,
                           const struct stats_interval *difference, struct buf *buf);
