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

static json_int_t binary_size(const json_t *input)
{
    const json_t *size = json_object_get(json_object_get(input, "parameters"), "binary_data_size");
    return json_is_integer(size) ? json_integer_value(size) : -1;
}

bool tensor_parse_infer(struct tensor_ask *ask, const char *body, size_t len, size_t head_len,
                        const char **ret_why)
{
    json_t *root = head_len <= len ? json_loadb(body, head_len ? head_len : len, 0, NULL) : NULL;
    json_int_t announced = 0;
    size_t i;
    json_t *input;
    bool good = json_array_size(json_object_get(root, "inputs")) > 0;
    json_array_foreach(json_object_get(root, "inputs"), i, input)
    {
        const json_int_t size = binary_size(input);
        good = good && json_is_string(json_object_get(input, "name")) &&
               json_is_array(json_object_get(input, "shape")) &&
               json_is_string(json_object_get(input, "datatype")) &&
               (json_is_array(json_object_get(input, "data")) ? size < 0 : size >= 0);
        announced += size > 0 ? size : 0;
    }
    good = good && announced == (json_int_t)(head_len ? len - head_len : 0);
    ask->binary =
        json_is_true(json_object_get(json_object_get(root, "parameters"), "binary_data_output"));
    ask->count = (long)json_array_size(json_object_get(root, "inputs"));
    ask->hash = hash_of(body, len);
    json_decref(root);
    *ret_why = "an input lacks name, shape, datatype or data, or bytes and their sizes differ";
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

size_t tensor_add_binary(const struct tensor_ask *ask, enum script_words words, const char *model,
                         struct buf *out)
{
    const unsigned count = words == WORDS_EMPTY ? 0 : NUMBERS;
    buf_add_text(out, "{\"model_name\":\"");
    buf_add_json(out, model, strlen(model));
    buf_printf(out,
               "\",\"model_version\":\"1\",\"outputs\":[{\"name\":\"scores\",\"datatype\":\"FP32\","
               "\"shape\":[1,%u],\"parameters\":{\"binary_data_size\":%u}}]}",
               count, 4 * count);
    const size_t head_len = out->len;
    for (unsigned i = 0; i < count; i++) {
        const uint64_t hash = script_hash(ask->hash, i);
        float value = words == WORDS_BANG ? 0 : (float)((double)(hash >> 11) * 0x1p-52 - 1);
        if (words == WORDS_NONSENSE && i == 3)
            value = __builtin_nanf("");
        buf_add(out, (const char *)&value, sizeof value); /* little-endian, as this machine is */
    }
    return head_len;
}
