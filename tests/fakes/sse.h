/* The ways in which a stream of server-sent events may look or break, as a set of bits. */
#ifndef FAKES_SSE_H
#define FAKES_SSE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "buf.h"

enum sse_variant {
    SSE_CRLF,
    SSE_CR,
    SSE_BOM,
    SSE_NO_SPACE,
    SSE_PING,
    SSE_EVENT_PING,
    SSE_EMPTY_DATA,
    SSE_MULTI_DATA,
    SSE_HUGE,
    SSE_ERR_FIELD,
    SSE_DATA_ERROR,
    SSE_REASONING,
    SSE_REASONING_CONTENT,
    SSE_REASONING_ONLY,
    SSE_NO_USAGE,
    SSE_USAGE_EMPTY_CHOICES,
    SSE_USAGE_BESIDE_CHOICES,
    SSE_USAGE_NULL,
    SSE_NO_DONE,
    SSE_NO_DONE_OPEN,
    SSE_TRUNCATED,
    SSE_HALF_JSON,
    SSE_TAIL_NO_BLANK,
    SSE_CHUNKS,
    SSE_VARIANT_COUNT_
};

#define SSE_BIT(variant) (UINT32_C(1) << (variant))

/* Parses "crlf,ping"; adds the bits to *io_set. On failure *ret_bad names the unknown word. */
bool sse_set_parse(const char *text, uint32_t *io_set, const char **ret_bad, size_t *ret_bad_len);
void sse_help(FILE *out);

/* One event whose data is `json`, in the form that the set asks for. */
void sse_add_data(struct buf *out, uint32_t set, const char *json, size_t len);
/* A field that is not data, as `error: {...}`. */
void sse_add_field(struct buf *out, uint32_t set, const char *name, const char *value);
/* What the set wants between real events (pings, empty data); nothing for most sets. */
void sse_add_noise(struct buf *out, uint32_t set, unsigned round);
/* "[DONE]". */
void sse_add_done(struct buf *out, uint32_t set);

#endif
