/* Made-up text for prompts of a wanted length. */
#pragma once

#include "base/buf.h"
#include "base/rng.h"

/* Sentences of common English words, about `tokens` tokens long: the same draws, the same text.
 * What a server counts differs with its vocabulary; see docs/METHOD.md. */
void load_words_add(struct buf *ret_text, struct rng *rng, int tokens);
