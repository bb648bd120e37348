/* A protocol: how a request is written and how its answer is read.
 *
 * To add one: protocols/NAME.c with a `const struct load_protocol`, one line in load/protocol.c. */
#pragma once

#include "base/buf.h"
#include "load/corpus.h"
#include "load/record.h"
#include "spec/catalog.h"

struct load_stream;
struct load_transport;

enum { LOAD_GRACE_NS = 500000000, LOAD_ANSWER_MAX = 8 << 20 };

/* What one request carries: an item of the stream's corpus, or something made up for this request
 * alone (a prompt of a drawn length, the next turn of a conversation, a transcript that has just
 * come). All borrowed. */
struct load_input {
    size_t item;                        /* of the corpus, for messages */
    const struct corpus_clip *clip;     /* protocols that send audio */
    const struct corpus_prompt *prompt; /* all others */
};

/* A request ready to be sent. Built before its intended time; owned by the worker's slot. */
struct load_request {
    struct buf body;
    struct buf content_type; /* value of the header */
    const char *size_header; /* one more header, a constant, and its number; NULL: none */
    size_t size_value;
    bool expects_stream; /* answer is text/event-stream */
    /* A program's (load/exec_file.h): words with placeholders, each with its NUL; how the name of
     * the body's file ends; whether the body comes on standard input. */
    struct buf words;
    const char *file_end;
    bool to_stdin;
};

/* How far complete() has looked, from one piece to the next; all 0 at first. */
struct load_scan {
    size_t at;   /* whole events end here */
    size_t need; /* nothing is to be seen in shorter answers */
    size_t seen; /* so many of them */
};

/* Bytes of the answer as they arrived: chunk i ends at offset end[i] and came at at_ns[i]. */
struct load_answer {
    int http_status;
    const char *body;
    size_t len;
    const struct load_chunk {
        size_t end;
        int64_t at_ns;
    } * chunks;
    size_t chunk_count;
    struct load_scan *scan; /* of the protocol's complete(); NULL: this transport keeps none */
};

struct load_protocol {
    const struct spec_protocol *spec;
    const struct load_transport *transport; /* load/transport.h; NULL: HTTP */
    bool sends_audio;                       /* items are the corpus's clips; else its prompts */
    bool (*build)(const struct load_stream *stream, const struct load_input *input,
                  struct load_request *ret_request, struct err *err);
    /* Optional: is this (partial) body already complete although the socket is open? Called with
     * every chunk, so it looks at the newest one only (and a little before it). Once true the
     * transfer may go on for LOAD_GRACE_NS, which the latency does not count. NULL: complete when
     * HTTP says so. */
    bool (*complete)(const struct load_answer *answer);
    /* Reads a whole answer of status 200 after its end: fills error, token times and counts, may
     * move done_ns to the end mark's stamp, and appends the text and the gaps (int64_t ns). Called
     * once, with what came of an answer that was cut too (error is then set by the caller);
     * hostile input. record->item says which item was sent. */
    void (*read)(const struct load_stream *stream, const struct load_answer *answer,
                 struct load_record *record, struct buf *ret_text, struct buf *ret_gaps);
};

extern const struct load_protocol *const load_protocol_table[];
extern const size_t load_protocol_count;
const struct load_protocol *load_protocol_find(const char *name);
/* Of the URLs that it is spoken at: "http"; NULL: at none. */
const char *load_protocol_scheme(const struct load_protocol *protocol);
const struct spec_protocol *const *load_protocol_specs(size_t *ret_count);
/* Item `item` of the stream's corpus. */
struct load_input load_input_of(const struct load_stream *stream, size_t item);
/* When byte `offset` - 1 of the answer had come. */
/* For protocols whose requests name a model, to be listed among their options. */
#define LOAD_MODEL_OPTION                                                                          \
    {                                                                                              \
        .name = "model", .type = OPTION_TEXT,                                                      \
        .help = "name of the model to ask for; left out: the service's"                            \
    }

int64_t load_answer_at_ns(const struct load_answer *answer, size_t offset);
/* The model to ask for: the protocol's option "model" if it has one that is set, else the
 * service's; NULL: none. Borrowed. */
const char *load_stream_model(const struct load_stream *stream);
/* Appends the path with "{model}" as that model, escaped; without a model the mark stays. */
void load_stream_add_path(const struct load_stream *stream, const char *path, struct buf *ret_path);
/* The newest chunk, and a little before it for a mark that was cut. */
const char *load_answer_newest(const struct load_answer *answer, size_t *ret_len);
