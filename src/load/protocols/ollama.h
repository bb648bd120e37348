/* What Ollama's two protocols share: JSON lines, a count of tokens in the last one, and models that
 * come and go by themselves. */
#pragma once

#include "load/protocols/tokens.h"

#include <jansson.h>

/* Where a line keeps its text. */
struct load_ollama_shape {
    const char *holder;  /* object within the line: "message"; NULL: the line itself */
    const char *content; /* the text: "content" */
};

/* Completes a request that holds what is asked: model, options, keep_alive. `body` is taken over.
 */
bool load_ollama_build(const struct load_stream *stream, const struct load_input *input,
                       json_t *body, struct load_request *ret_request, struct err *err);
bool load_ollama_complete(const struct load_answer *answer);
void load_ollama_read(const struct load_stream *stream, const struct load_answer *answer,
                      const struct load_ollama_shape *shape, struct load_record *record,
                      struct buf *ret_text, struct buf *ret_gaps);

/* Options of both protocols, to be listed in their tables. */
#define LOAD_OLLAMA_OPTIONS                                                                        \
    LOAD_MODEL_OPTION,                                                                             \
        {.name = "stream",                                                                         \
         .type = OPTION_BOOL,                                                                      \
         .value = "true",                                                                          \
         .help = "the answer comes token by token; without it there is no time to first token"},   \
        {.name = "keep_alive",                                                                     \
         .type = OPTION_TEXT,                                                                      \
         .value = "-1",                                                                            \
         .help = "how long the model stays after a request (10m, or seconds); -1: for good, so "   \
                 "that no request pays for a load"},                                               \
        {.name = "reload_s",                                                                       \
         .type = OPTION_REAL,                                                                      \
         .min = 0.01,                                                                              \
         .max = 3600,                                                                              \
         .value = "0.5",                                                                           \
         .help = "seconds of load_duration from which a request had the model loaded anew and is " \
                 "no sample; from 0.4 of them on where it is 8 times what a token of the same "    \
                 "answer took, since a resident model shows some load_duration too"},              \
        LOAD_SAMPLING_OPTIONS,                                                                     \
        {.name = "num_ctx",                                                                        \
         .type = OPTION_INT,                                                                       \
         .min = 1,                                                                                 \
         .max = 16777216,                                                                          \
         .help = "tokens of context; another one than the loaded model's makes it load anew"},     \
        {.name = "num_thread",                                                                     \
         .type = OPTION_INT,                                                                       \
         .min = 1,                                                                                 \
         .max = 1024,                                                                              \
         .help = "threads on the CPU; as num_ctx, another number makes it load anew"},             \
        {.name = "think",                                                                          \
         .type = OPTION_BOOL,                                                                      \
         .help = "thinks first, or not, where the model can"},                                     \
    {                                                                                              \
        .name = "system", .type = OPTION_TEXT, .help = "system message put before every prompt"    \
    }
