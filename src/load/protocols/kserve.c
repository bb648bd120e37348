/* KServe's v2 inference protocol as Triton and others speak it over HTTP: named tensors in and out,
 * the model in the path. What a model wants is known to its owner alone, so a corpus item is the
 * list of inputs itself, in the protocol's own JSON; a plain prompt becomes one tensor of text.
 *
 * An answer's tensors must hold as many values as their shapes say, each of the kind that the
 * datatype says: NaN is no JSON, and servers write it as null. A model that is asked in JSON
 * answers in JSON, at a price in parsing that is the server's and so in the latency; with `binary`
 * tensors travel as bytes (kserve_binary.c), which is what a client in earnest sends. A server that
 * answers in JSON all the same is read too. */
#include "load/protocols/json_answer.h"
#include "load/protocols/json_request.h"
#include "load/protocols/kserve_binary.h"

#include "base/json.h"

#include <math.h>
#include <string.h>

enum { DIMENSIONS_MAX = 16, NESTING_MAX = 16, REQUEST_MAX = 64 << 20 };

static const struct spec_option options[] = {
    LOAD_MODEL_OPTION,
    {.name = "input",
     .type = OPTION_TEXT,
     .value = "text_input",
     .help = "name of the tensor that holds the text, for corpus items that are plain prompts"},
    {.name = "batched",
     .type = OPTION_BOOL,
     .value = "true",
     .help = "shape [1, 1] of that tensor, as for models with a batch dimension; else [1]"},
    {.name = "output",
     .type = OPTION_TEXT,
     .help = "name of an output that has to be there; left out: any"},
    {.name = "binary",
     .type = OPTION_BOOL,
     .value = "false",
     .help = "tensors as bytes behind the JSON, both ways (the binary tensor extension)"},
};

static const struct spec_protocol spec = {
    .name = "kserve",
    .help = "KServe v2 (Triton): tensors in and out, in JSON or binary; items {\"inputs\": [...]} "
            "or prompts",
    .sources = SOURCE_ANY,
    .needs_text = true,
    .needs_model = true,
    .path = "/v2/models/{model}/infer",
    .options = options,
    .option_count = ARRAY_LEN(options),
};

static json_t *inputs_of(const struct load_stream *stream, const struct corpus_prompt *prompt)
{
    if (prompt->inputs)
        return json_loads(prompt->inputs, 0, NULL);
    if (!prompt->prompt)
        return NULL;
    const char *name = load_stream_setting(stream, "input");
    json_t *shape = json_pack("[i]", 1);
    if (load_setting_is_true(stream, "batched"))
        json_array_append_new(shape, json_integer(1));
    return json_pack("[{s:o, s:o, s:s, s:[o]}]", "name",
                     json_text_or_null(name ? name : "text_input"), "shape", shape, "datatype",
                     "BYTES", "data", json_text_or_null(prompt->prompt));
}

/* JSON, its length in a header, and behind it what was data in it. */
static bool build_binary(json_t *body, const struct load_input *input,
                         struct load_request *ret_request, struct err *err)
{
    AUTO(buf_done) struct buf bytes = BUF_INIT(REQUEST_MAX), why = BUF_INIT(256);
    struct load_request request;
    if (!load_kserve_pack(json_object_get(body, "inputs"), &bytes, &why)) {
        json_decref(body);
        return err_set(err, ERR_INPUT, "prompt %zu: kserve, binary: %s", input->item + 1,
                       bytes.over ? "its tensors are too large" : buf_text(&why));
    }
    json_object_set_new(body, "parameters", json_pack("{s:b}", "binary_data_output", 1));
    if (!load_json_request(body, input, false, &request, err))
        return false;
    request.size_header = "Inference-Header-Content-Length";
    request.size_value = request.body.len;
    request.body.max = REQUEST_MAX + request.body.len;
    buf_clear(&request.content_type);
    buf_add(&request.content_type, "application/octet-stream");
    if (bytes.len > 0 && !buf_append(&request.body, bytes.data, bytes.len)) {
        buf_done(&request.body);
        buf_done(&request.content_type);
        return err_set(err, ERR_LIMIT, "prompt %zu is too long", input->item + 1);
    }
    *ret_request = request;
    return true;
}

static bool build(const struct load_stream *stream, const struct load_input *input,
                  struct load_request *ret_request, struct err *err)
{
    if (!load_stream_model(stream))
        return err_set(err, ERR_INPUT, "kserve needs a model: set \"model\" under load");
    json_t *inputs = inputs_of(stream, input->prompt);
    if (!inputs)
        return err_set(err, ERR_INPUT,
                       "prompt %zu has messages only; kserve sends {\"inputs\": [...]} or a prompt",
                       input->item + 1);
    json_t *body = json_pack("{s:o}", "inputs", inputs);
    const char *output = load_stream_setting(stream, "output");
    if (output)
        json_object_set_new(body, "outputs",
                            json_pack("[{s:o}]", "name", json_text_or_null(output)));
    return load_setting_is_true(stream, "binary")
               ? build_binary(body, input, ret_request, err)
               : load_json_request(body, input, false, ret_request, err);
}

/* What the values of a datatype are in JSON. */
enum value_kind { VALUE_NUMBER, VALUE_WHOLE, VALUE_TRUTH, VALUE_TEXT };

static bool kind_of(const char *datatype, enum value_kind *ret_kind)
{
    static const struct {
        const char *prefix;
        enum value_kind kind;
    } kinds[] = {
        {"FP", VALUE_NUMBER},  {"BF", VALUE_NUMBER},  {"INT", VALUE_WHOLE},
        {"UINT", VALUE_WHOLE}, {"BOOL", VALUE_TRUTH}, {"BYTES", VALUE_TEXT},
    };
    for (size_t i = 0; datatype && i < ARRAY_LEN(kinds); i++) {
        if (strncmp(datatype, kinds[i].prefix, strlen(kinds[i].prefix)) == 0) {
            *ret_kind = kinds[i].kind;
            return true;
        }
    }
    return false;
}

static bool is_value(const json_t *value, enum value_kind kind)
{
    switch (kind) {
    case VALUE_NUMBER:
        return json_is_number(value) && isfinite(json_number_value(value));
    case VALUE_WHOLE:
        return json_is_integer(value);
    case VALUE_TRUTH:
        return json_is_boolean(value);
    case VALUE_TEXT:
        return json_is_string(value);
    }
    return false;
}

/* Counts the values of flat or nested data; texts are appended. False: one is of another kind. */
static bool count_values(const json_t *data, enum value_kind kind, int depth, size_t *io_count,
                         struct buf *text)
{
    size_t i = 0;
    const json_t *value = NULL;
    json_array_foreach(data, i, value)
    {
        if (json_is_array(value)) {
            if (depth >= NESTING_MAX || !count_values(value, kind, depth + 1, io_count, text))
                return false;
            continue;
        }
        if (!is_value(value, kind))
            return false;
        (*io_count)++;
        if (kind == VALUE_TEXT)
            load_text_add(text, json_string_value(value), json_string_length(value));
    }
    return true;
}

/* Values that the shape promises; -1: no shape. Bounded, so that it can't overflow. */
static int64_t shape_size(const json_t *shape)
{
    int64_t size = 1;
    size_t i = 0;
    const json_t *side = NULL;
    if (!json_is_array(shape) || json_array_size(shape) > DIMENSIONS_MAX)
        return -1;
    json_array_foreach(shape, i, side)
    {
        int64_t length = json_is_integer(side) ? json_integer_value(side) : -1;
        if (length < 0 || length > LOAD_ANSWER_MAX)
            return -1;
        size *= length;
        if (size > LOAD_ANSWER_MAX)
            return -1;
    }
    return size;
}

/* What stands behind the JSON. */
struct tail {
    const char *bytes;
    size_t len, at;
};

/* -1: the tensor's data stand in the JSON. */
static int64_t binary_size(const json_t *tensor)
{
    const json_t *size = json_object_get(json_object_get(tensor, "parameters"), "binary_data_size");
    int64_t bytes = json_is_integer(size) ? json_integer_value(size) : -1;
    return bytes > LOAD_ANSWER_MAX ? LOAD_ANSWER_MAX : bytes;
}

static bool check_bytes(const json_t *tensor, struct tail *tail, size_t *io_values, struct buf *why,
                        struct buf *text)
{
    const char *name = json_get_text(tensor, "name");
    const int64_t size = shape_size(json_object_get(tensor, "shape"));
    const size_t len = (size_t)binary_size(tensor);
    if (!name || size < 0) {
        buf_addf(why, "an output without name or shape");
        return false;
    }
    if (len > tail->len - tail->at) {
        buf_addf(why, "%.60s: %zu bytes announced, %zu there", name, len, tail->len - tail->at);
        return false;
    }
    AUTO(buf_done) struct buf what = BUF_INIT(160);
    bool good = load_kserve_check(json_get_text(tensor, "datatype"), size, tail->bytes + tail->at,
                                  len, &what, text);
    if (!good)
        buf_addf(why, "%.60s: %s", name, buf_text(&what));
    tail->at += len;
    *io_values += (size_t)size;
    return good;
}

/* Bad tensors say why; *io_values counts those of good ones. */
static bool check_tensor(const json_t *tensor, size_t *io_values, struct buf *why, struct buf *text)
{
    enum value_kind kind;
    size_t count = 0;
    const char *name = json_get_text(tensor, "name");
    const json_t *data = json_object_get(tensor, "data");
    int64_t size = shape_size(json_object_get(tensor, "shape"));
    if (!name || !json_is_array(data) || size < 0 ||
        !kind_of(json_get_text(tensor, "datatype"), &kind))
        buf_addf(why, "an output without name, shape, datatype or data");
    else if (!count_values(data, kind, 0, &count, text))
        buf_addf(why, "%.60s: a value that is none of its datatype", name);
    else if ((int64_t)count != size)
        buf_addf(why, "%.60s: %zu values in a shape of %lld", name, count, (long long)size);
    *io_values += count;
    return why->len == 0;
}

static enum load_error check(const struct load_stream *stream, const json_t *outputs,
                             struct tail *tail, struct buf *why, struct buf *text)
{
    const char *wanted = load_stream_setting(stream, "output");
    bool found = !wanted;
    size_t values = 0, i = 0;
    const json_t *tensor = NULL;
    json_array_foreach(outputs, i, tensor)
    {
        const char *name = json_get_text(tensor, "name");
        if (!(binary_size(tensor) >= 0 ? check_bytes(tensor, tail, &values, why, text)
                                       : check_tensor(tensor, &values, why, text)))
            return LOAD_MALFORMED;
        found = found || (name && strcmp(name, wanted) == 0);
    }
    if (tail->at < tail->len) {
        buf_addf(why, "%zu bytes behind the last output", tail->len - tail->at);
        return LOAD_MALFORMED;
    }
    if (!found)
        buf_addf(why, "no output \"%.60s\"", wanted);
    return !found ? LOAD_MALFORMED : values > 0 ? LOAD_OK : LOAD_EMPTY;
}

/* Blanks may stand between the JSON and the bytes, and behind a JSON alone. */
static struct tail tail_of(const json_t *outputs, const struct load_answer *answer, size_t head)
{
    size_t i = 0, announced = 0;
    const json_t *tensor = NULL;
    json_array_foreach(outputs, i, tensor) announced +=
        binary_size(tensor) > 0 && announced <= answer->len ? (size_t)binary_size(tensor) : 0;
    while (head < answer->len && answer->len - head > announced &&
           strchr(" \r\n\t", answer->body[head]) && answer->body[head])
        head++;
    return (struct tail){.bytes = answer->body + head, .len = answer->len - head};
}

static void read_answer(const struct load_stream *stream, const struct load_answer *answer,
                        struct load_record *record, struct buf *ret_text, struct buf *ret_gaps)
{
    (void)ret_gaps;
    size_t head = load_kserve_head(answer->body, answer->len);
    AUTO_JSON json_t *root = load_json_parse(answer->body, head);
    const json_t *outputs = json_object_get(root, "outputs");
    AUTO(buf_done) struct buf why = BUF_INIT(256);
    if (load_json_error(root, ret_text)) {
        record->error = LOAD_SERVER_ERROR;
        return;
    }
    struct tail tail = tail_of(outputs, answer, head);
    record->error =
        json_is_array(outputs) ? check(stream, outputs, &tail, &why, ret_text) : LOAD_MALFORMED;
    if (record->error != LOAD_MALFORMED)
        return;
    buf_clear(ret_text);
    if (why.len > 0)
        load_text_add(ret_text, buf_text(&why), why.len);
    else
        load_text_add(ret_text, answer->body, answer->len > 200 ? 200 : answer->len);
}

extern const struct load_protocol load_protocol_kserve;
const struct load_protocol load_protocol_kserve = {
    .spec = &spec,
    .build = build,
    .read = read_answer,
};
