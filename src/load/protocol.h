/* A protocol: how a request is written and how its answer is read.
 *
 * To add one: protocols/NAME.c with a `const struct load_protocol`, one line in load/protocol.c. */
#pragma once

#include "base/buf.h"
#include "load/corpus.h"
#include "load/record.h"
#include "spec/catalog.h"

struct load_stream;

/* A request ready to be sent. Built before its intended time; owned by the worker's slot. */
struct load_request {
    struct buf body;
    struct buf content_type; /* value of the header */
    bool expects_stream;     /* answer is text/event-stream */
};

/* Bytes of the answer as they arrived: chunk i ends at offset end[i] and came at at_ns[i]. */
struct load_answer {
    int http_status;
    const char *body;
    size_t len;
    const struct load_chunk { size_t end; int64_t at_ns; } *chunks;
    size_t chunk_count;
};

struct load_protocol {
    const struct spec_protocol *spec;
    /* Item `item` of the stream's corpus as a request. */
    bool (*build)(const struct load_stream *stream, size_t item, struct load_request *ret_request,
                  struct err *err);
    /* Optional: is this (partial) body already complete although the socket is open? Called with
     * every chunk; cheap. NULL: complete when HTTP says so. */
    bool (*complete)(const struct load_answer *answer);
    /* Reads a whole answer after its end: fills error, token times and counts, and appends the text
     * and the gaps. Called once; hostile input. */
    void (*read)(const struct load_stream *stream, const struct load_answer *answer,
                 struct load_record *record, struct buf *ret_text, struct buf *ret_gaps);
};

extern const struct load_protocol *const load_protocol_table[];
extern const size_t load_protocol_count;
const struct load_protocol *load_protocol_find(const char *name);
const struct spec_protocol *const *load_protocol_specs(size_t *ret_count);
