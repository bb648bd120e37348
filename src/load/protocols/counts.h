/* What the readers of token streams count alike. */
#pragma once

#include "base/buf.h"
#include "load/record.h"

#include <stddef.h>

/* The time since the text event before; what is over LOAD_GAPS_MAX is only counted. */
void load_gap_add(struct load_record *record, struct buf *gaps, int64_t gap_ns);

/* What a service told of its output last, and what came of it. */
struct load_told {
    int64_t tokens; /* of all its output; -1: it told none */
    int64_t hidden; /* of them, thought without being sent; 0: none that is known */
    size_t most;    /* so many may be believed: see load_told_most() */
};

/* For an answer with so many bytes of text on all its channels. */
size_t load_told_most(size_t text_bytes);

/* Sets the record's tokens where what was told can be. */
void load_tokens_take(struct load_record *record, const struct load_told *told);
