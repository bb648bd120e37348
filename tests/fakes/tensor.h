/* Answers in numbers: embeddings, and KServe's inference. */
#ifndef FAKES_TENSOR_H
#define FAKES_TENSOR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "buf.h"
#include "script.h"

struct tensor_ask {
    long count;    /* vectors, or input tensors */
    uint64_t hash; /* of the request */
    bool binary;   /* the outputs are wanted as bytes */
};

/* Both read the request's body; false with a reason. */
bool tensor_parse_embeddings(struct tensor_ask *ask, const char *body, size_t len,
                             const char **ret_why);
/* head_len: of the JSON where bytes follow it; 0: JSON alone. */
bool tensor_parse_infer(struct tensor_ask *ask, const char *body, size_t len, size_t head_len,
                        const char **ret_why);
/* WORDS_EMPTY: no numbers; WORDS_BANG: zeros; WORDS_NONSENSE: null, as NaN is written. */
void tensor_add_embeddings(const struct tensor_ask *ask, enum script_words words, const char *model,
                           struct buf *out);
void tensor_add_infer(const struct tensor_ask *ask, enum script_words words, const char *model,
                      struct buf *out);
/* The same in the binary form; returns how much of it is JSON. WORDS_NONSENSE: NaN. */
size_t tensor_add_binary(const struct tensor_ask *ask, enum script_words words, const char *model,
                         struct buf *out);

#endif
