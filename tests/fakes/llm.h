/* Answers of an LLM server in OpenAI's form: one JSON text, or a stream of events. */
#ifndef FAKES_LLM_H
#define FAKES_LLM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "buf.h"
#include "prefixes.h"
#include "script.h"

/* How the tokens are dressed. */
enum llm_dialect {
    DIALECT_OPENAI,
    DIALECT_OLLAMA_CHAT,
    DIALECT_OLLAMA_GENERATE,
    DIALECT_TRANSCRIPT, /* of speech, in pieces */
    DIALECT_SPOKEN,     /* the request's words as sound */
};

struct llm_ask {
    enum llm_dialect dialect;
    /* from the request */
    bool chat, stream, include_usage;
    char format[16]; /* of sound */
    long max_tokens; /* 0 when not given */
    long prompt_tokens;
    long cached_tokens; /* of them, what the prefix cache had */
    uint64_t prompt_hash;
    /* from the options and the script */
    long tokens; /* 0: the request's max_tokens, else 16 */
    const char *model;
    bool only_model;           /* who asks for another is refused */
    struct prefixes *prefixes; /* borrowed; NULL: no prefix cache */
    uint32_t sse;
    enum script_words words;
    const char *text;
    long count;
    int64_t load_ns; /* what Ollama says of loading its model */
};

enum llm_state {
    LLM_MORE,   /* another token follows */
    LLM_ENDED,  /* the stream is to be ended in good order (whatever was sent) */
    LLM_SILENT, /* nothing follows, the connection stays open */
};

struct llm_stream {
    struct llm_ask ask;
    long total, next; /* tokens */
    long id;
    long created_s; /* wall clock, as the field wants it */
    unsigned noise;
    bool opened;
};

/* Reads the request's body; false with a reason when it is not one that a server would take. */
bool llm_parse(struct llm_ask *ask, const char *body, size_t len, const char **ret_why);
void llm_stream_init(struct llm_stream *stream, const struct llm_ask *ask, long id);
/* Token i, escaped for JSON. */
void llm_add_token(const struct llm_stream *stream, struct buf *out, long i);
/* The whole answer as one JSON text. */
void llm_add_whole(const struct llm_stream *stream, struct buf *out);
/* What comes before the first token; nothing when it was sent already. */
void llm_add_opening(struct llm_stream *stream, struct buf *out);
/* The next token, and the end of the stream behind the last one. */
enum llm_state llm_add_next(struct llm_stream *stream, struct buf *out);

#endif
