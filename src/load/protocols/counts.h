/* What the readers of token streams count alike. */
#pragma once

#include "base/buf.h"
#include "load/record.h"

#include <stddef.h>

/* The time since the text event before; what is over LOAD_GAPS_MAX is only counted. */
void load_gap_add(struct load_record *record, struct buf *gaps, int64_t gap_ns);

/* The service's own count of output tokens, -1: it told none. More than `most`, the bytes of the
 * body, is no count, and one before it in the same answer is none either. */
void load_tokens_take(struct load_record *record, int64_t tokens, size_t most);
