/*
 * Answers in numbers: embeddings in OpenAI's form, and KServe's v2 inference.
 *
 * The idea: the numbers are a function of the request, eight of them per vector; whoever reads them
 * can check their form only, so the ways to be wrong are the ways of the form.
 */
#include "tensor.h"

#include <jansson.h>
#include <string.h>

#define NUMBERS 8

static uint64_t hash_of(const char *bytes, size_t len)
{
    uint64_t hash = UINT64_C(14695981039346656037);
    for (size_t i = 0; i < len; i++)
        hash = (hash ^ (unsigned char)bytes[i]) * UINT64_C(1099511628211);
    return hash;
}

bool tensor_parse_embeddings(struct tensor_ask *ask, const char *body, size_t len,
                             const char **ret_why)
{
    json_t *root = json_loadb(body, len, 0, NULL);
    const json_t *input = json_object_get(root, "input");
    ask->count = json_is_string(input) ? 1 : (long)json_array_size(input);
    ask->hash = hash_of(body, len);
    json_decref(root);
    *ret_why = "'input' is required";
    return ask->count > 0;
}

bool tensor_parse_infer(struct tensor_ask *ask, const char *body, size_t len, const char **ret_why)
{
    json_t *root = json_loadb(body, len, 0, NULL);
    const json_t *first = json_array_get(json_object_get(root, "inputs"), 0);
    const bool good = json_is_string(json_object_get(first, "name")) &&
                      json_is_array(json_object_get(first, "shape")) &&
                      json_is_string(json_object_get(first, "datatype")) &&
                      json_is_array(json_object_get(first, "data"));
    ask->count = (long)json_array_size(json_object_get(root, "inputs"));
    ask->hash = hash_of(body, len);
    json_decref(root);
    *ret_why = "an input lacks name, shape, datatype or data";
    return good;
}

static void add_numbers(const struct tensor_ask *ask, enum script_words words, long which,
                        struct buf *out)
{
    for (unsigned i = 0; i < NUMBERS && words != WORDS_EMPTY; i++) {
        const uint64_t hash = script_hash(ask->hash + (uint64_t)which, i);
        buf_add_text(out, i > 0 ? "," : "");
        if (words == WORDS_NONSENSE && i == 3)
            buf_add_text(out, "null");
        else
            buf_printf(out, "%.6f", words == WORDS_BANG ? 0 : (double)(hash >> 11) * 0x1p-52 - 1);
    }
}

void tensor_add_embeddings(const struct tensor_ask *ask, enum script_words words, const char *model,
                           struct buf *out)
{
    buf_add_text(out, "{\"object\":\"list\",\"data\":[");
    for (long i = 0; i < ask->count; i++) {
        buf_printf(out, "%s{\"object\":\"embedding\",\"index\":%ld,\"embedding\":[",
                   i > 0 ? "," : "", i);
        add_numbers(ask, words, i, out);
        buf_add_text(out, "]}");
    }
    buf_add_text(out, "],\"model\":\"");
    buf_add_json(out, model, strlen(model));
    buf_printf(out, "\",\"usage\":{\"prompt_tokens\":%ld,\"total_tokens\":%ld}}", 4 * ask->count,
               4 * ask->count);
}

void tensor_add_infer(const struct tensor_ask *ask, enum script_words words, const char *model,
                      struct buf *out)
{
    buf_add_text(out, "{\"model_name\":\"");
    buf_add_json(out, model, strlen(model));
    buf_printf(out,
               "\",\"model_version\":\"1\",\"outputs\":[{\"name\":\"scores\",\"datatype\":\"FP32\","
               "\"shape\":[1,%d],\"data\":[",
               words == WORDS_EMPTY ? 0 : NUMBERS);
    add_numbers(ask, words, 0, out);
    buf_add_text(out, "]}]}");
}
