/* OpenAI's POST /v1/embeddings: texts in, a vector for each out. Whether a vector means anything is
 * not to be seen here, but much that goes wrong is: vectors of no length or of different lengths,
 * numbers that are none (llama.cpp writes NaN as null), a vector of zeros, which has no direction,
 * fewer vectors than texts, the same one numbered twice. All of it is `malformed`, under status 200
 * too, so that a broken model is not called a fast one. */
#include "load/protocols/json_answer.h"
#include "load/protocols/json_request.h"

#include "base/json.h"
#include "base/text.h"

#include <math.h>
#include <string.h>

enum { BATCH_MAX = 2048 };

static const struct spec_option options[] = {
    LOAD_MODEL_OPTION,
    {.name = "batch",
     .type = OPTION_INT,
     .min = 1,
     .max = BATCH_MAX,
     .value = "1",
     .help = "texts of one request: a prompt and those that follow it"},
    {.name = "dimensions",
     .type = OPTION_INT,
     .min = 1,
     .max = 1048576,
     .help = "length asked for; answers of another one are malformed"},
};

static const struct spec_protocol spec = {
    .name = "openai-embeddings",
    .help = "OpenAI's /v1/embeddings: texts in, vectors out",
    .sources = SOURCE_ANY,
    .needs_text = true,
    .path = "/v1/embeddings",
    .options = options,
    .option_count = ARRAY_LEN(options),
};

static int64_t whole_setting(const struct load_stream *stream, const char *name, int64_t otherwise)
{
    int64_t value;
    const char *text = load_stream_setting(stream, name);
    return text && text_to_i64(text, &value) ? value : otherwise;
}

static size_t batch_of(const struct load_stream *stream)
{
    int64_t batch = whole_setting(stream, "batch", 1);
    return batch < 1 ? 1 : batch > BATCH_MAX ? BATCH_MAX : (size_t)batch;
}

/* The request's own text first, then those behind it in the corpus, around its end. */
static const char *text_of(const struct load_stream *stream, const struct load_input *input,
                           size_t k)
{
    const struct corpus *corpus = stream->corpus;
    if (k == 0 || !corpus || corpus->prompt_count == 0)
        return input->prompt->prompt;
    return corpus->prompts[(input->item + k) % corpus->prompt_count].prompt;
}

static bool build(const struct load_stream *stream, const struct load_input *input,
                  struct load_request *ret_request, struct err *err)
{
    AUTO_JSON json_t *texts = json_array();
    for (size_t k = 0; k < batch_of(stream); k++) {
        const char *text = text_of(stream, input, k);
        if (!text)
            return err_set(err, ERR_INPUT,
                           "prompt %zu, or one of its batch, has messages only, which "
                           "openai-embeddings cannot send",
                           input->item + 1);
        json_array_append_new(texts, json_text_or_null(text));
    }
    json_t *body = json_pack("{s:O, s:s}", "input", texts, "encoding_format", "float");
    const char *model = load_stream_model(stream);
    if (model)
        json_object_set_new(body, "model", json_text_or_null(model));
    load_json_set_number(body, stream, "dimensions");
    return load_json_request(body, input, false, ret_request, err);
}

/* Length of a vector of finite numbers, not all zero; else 0 and why. */
static size_t check_vector(const json_t *vector, struct buf *why)
{
    bool zero = true;
    size_t length = json_array_size(vector), i = 0;
    const json_t *number = NULL;
    json_array_foreach(vector, i, number)
    {
        /* jansson reads no NaN and refuses what overflows; isfinite is for whoever changes that. */
        if (!json_is_number(number) || !isfinite(json_number_value(number))) {
            buf_addf(why, "number %zu of a vector is none", i + 1);
            return 0;
        }
        zero = zero && json_number_value(number) == 0;
    }
    if (length == 0)
        buf_add(why, "a vector has no numbers");
    else if (zero)
        buf_addf(why, "a vector has %zu zeros and nothing else", length);
    return zero ? 0 : length;
}

/* One entry of the list, numbered once. Returns its length; 0: bad. */
static size_t check_entry(const json_t *entry, size_t place, size_t count, bool *seen,
                          struct buf *why)
{
    int64_t index = json_get_int(entry, "index", (int64_t)place);
    if (index < 0 || (size_t)index >= count || seen[index]) {
        buf_addf(why, "the vectors are not numbered 0 to %zu", count - 1);
        return 0;
    }
    seen[index] = true;
    return check_vector(json_object_get(entry, "embedding"), why);
}

static bool check(const struct load_stream *stream, const json_t *root, struct buf *why)
{
    bool seen[BATCH_MAX] = {false};
    const json_t *data = json_object_get(root, "data");
    size_t count = batch_of(stream);
    size_t wanted = (size_t)whole_setting(stream, "dimensions", 0);
    if (json_array_size(data) != count) {
        buf_addf(why, "%zu vectors for %zu texts", json_array_size(data), count);
        return false;
    }
    for (size_t i = 0; i < count; i++) {
        size_t length = check_entry(json_array_get(data, i), i, count, seen, why);
        if (length == 0)
            return false;
        if (wanted > 0 && length != wanted) {
            buf_addf(why, "a vector has %zu numbers instead of %zu", length, wanted);
            return false;
        }
        wanted = length;
    }
    return true;
}

static void read_answer(const struct load_stream *stream, const struct load_answer *answer,
                        struct load_record *record, struct buf *ret_text, struct buf *ret_gaps)
{
    (void)ret_gaps;
    AUTO_JSON json_t *root = load_json_parse(answer->body, answer->len);
    if (load_json_error(root, ret_text)) {
        record->error = LOAD_SERVER_ERROR;
        return;
    }
    if (!root || !json_is_array(json_object_get(root, "data"))) {
        record->error = LOAD_MALFORMED;
        load_text_add(ret_text, answer->body, answer->len > 200 ? 200 : answer->len);
        return;
    }
    int64_t prompt = json_get_int(json_object_get(root, "usage"), "prompt_tokens", -1);
    if (prompt >= 0 && prompt <= INT32_MAX)
        record->prompt_tokens = (int32_t)prompt;
    record->error = check(stream, root, ret_text) ? LOAD_OK : LOAD_MALFORMED;
}

extern const struct load_protocol load_protocol_openai_embeddings;
const struct load_protocol load_protocol_openai_embeddings = {
    .spec = &spec,
    .build = build,
    .read = read_answer,
};
