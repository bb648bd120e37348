/* Passes over a text, shared by the files of the normaliser. Each appends to `out`. */
#pragma once

#include "base/buf.h"

#include <stdbool.h>
#include <stddef.h>

/* Is there a literal at this place? */
static inline bool pass_has(const char *text, size_t len, size_t at, const char *literal)
{
    for (size_t i = 0; literal[i]; i++) {
        if (at + i >= len || text[at + i] != literal[i])
            return false;
    }
    return true;
}

static inline bool pass_is_digit(char c)
{
    return c >= '0' && c <= '9';
}

/* Appends bytes; the buffers of the normaliser are sized so that a bounded input always fits, and
 * what would not is dropped as a whole. */
static inline void pass_copy(struct buf *out, const char *text, size_t len)
{
    if (len > 0 && !buf_append(out, text, len))
        out->over = true;
}
