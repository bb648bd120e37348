/* Wyoming's events: a line of JSON with type, data_length and payload_length, then that many bytes
 * of JSON, then that many of payload. Older peers put `data` into the line itself: both are read,
 * and when both are there the bytes after the line win, as in the library that all peers use. */
#pragma once

#include "base/buf.h"

#include <jansson.h>

enum {
    LOAD_WYOMING_HEADER_MAX = 64 << 10, /* the library's own limit on a line */
    LOAD_WYOMING_DATA_MAX = 1 << 20,
    LOAD_WYOMING_PAYLOAD_MAX = 4 << 20,
};

struct load_wyoming_event {
    char type[64];
    json_t *data; /* an object or NULL; owned: load_wyoming_event_done() */
    const char *payload;
    size_t payload_len;
    size_t size; /* of the whole event */
};

enum load_wyoming_news {
    LOAD_WYOMING_EVENT,
    LOAD_WYOMING_MORE,      /* not whole yet: *ret_need bytes at least */
    LOAD_WYOMING_MALFORMED, /* not an event */
    LOAD_WYOMING_LIMIT,     /* longer than our bounds */
};

/* The event at the start of the bytes, which may be hostile. *ret_event only when there is one. */
enum load_wyoming_news load_wyoming_next(const char *bytes, size_t len,
                                         struct load_wyoming_event *ret_event, size_t *ret_need);
void load_wyoming_event_done(struct load_wyoming_event *event);

/* Appends an event as the library writes it; data (NULL: none) is borrowed. */
void load_wyoming_add(struct buf *out, const char *type, const json_t *data, const void *payload,
                      size_t payload_len);
