/* What the LLM protocols share: text that comes token by token as server-sent events, or whole. */
#pragma once

#include "load/plan.h"

#include <jansson.h>

/* Where a choice keeps its text. Members may be NULL: not there in this protocol. */
struct load_token_shape {
    const char *streamed; /* object within a streamed choice: "delta"; NULL: the choice itself */
    const char *whole;    /* object within a whole answer's choice: "message" */
    const char *content;  /* the text: "content" */
};

/* The request's members that both protocols have: model, max_tokens, temperature, stream and the
 * like. `body` is taken over: it is dumped and dropped. */
bool load_tokens_build(const struct load_stream *stream, const struct load_input *input,
                       json_t *body, struct load_request *ret_request, struct err *err);
bool load_tokens_complete(const struct load_answer *answer);
void load_tokens_read(const struct load_stream *stream, const struct load_answer *answer,
                      const struct load_token_shape *shape, struct load_record *record,
                      struct buf *ret_text, struct buf *ret_gaps);

/* Of every protocol that samples text. */
#define LOAD_SAMPLING_OPTIONS                                                                      \
    {.name = "temperature",                                                                        \
     .type = OPTION_REAL,                                                                          \
     .min = 0,                                                                                     \
     .max = 2,                                                                                     \
     .value = "0",                                                                                 \
     .help = "sampling temperature; 0: the same answer every time"},                               \
    {                                                                                              \
        .name = "seed", .type = OPTION_INT, .min = 0, .max = 2147483647,                           \
        .help = "of the server's sampling"                                                         \
    }

/* Options of both protocols, to be listed in their tables. */
#define LOAD_TOKEN_OPTIONS                                                                         \
    {.name = "stream",                                                                             \
     .type = OPTION_BOOL,                                                                          \
     .value = "true",                                                                              \
     .help = "the answer comes token by token; without it there is no time to first token"},       \
        {.name = "include_usage",                                                                  \
         .type = OPTION_BOOL,                                                                      \
         .value = "true",                                                                          \
         .help = "asks for exact token counts at a stream's end"},                                 \
        LOAD_SAMPLING_OPTIONS,                                                                     \
    {                                                                                              \
        .name = "ignore_eos", .type = OPTION_BOOL,                                                 \
        .help = "every answer has max_tokens tokens (llama-server, vLLM)"                          \
    }
