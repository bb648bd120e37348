/* KServe's v2 inference protocol as Triton and others speak it over HTTP: named tensors in and out,
 * the model in the path. What a model wants is known to its owner alone, so a corpus item is the
 * list of inputs itself, in the protocol's own JSON; a plain prompt becomes one tensor of text.
 *
 * An answer's tensors must hold as many values as their shapes say, each of the kind that the
 * datatype says: NaN is no JSON, and servers write it as null. JSON tensors only. The binary
 * extension needs a header that says where the JSON ends; a model that is asked in JSON answers in
 * JSON, at a price in parsing that is the server's and so in the latency. */
#include "load/protocols/json_answer.h"
#include "load/protocols/json_request.h"

#include "base/json.h"

#include <math.h>
#include <string.h>

enum { DIMENSIONS_MAX = 16, NESTING_MAX = 16 };

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
};

static const struct spec_protocol spec = {
    .name = "kserve",
    .help = "KServe v2 (Triton): tensors in and out, in JSON; items {\"inputs\": [...]} or prompts",
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
    return load_json_request(body, input, false, ret_request, err);
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
                             struct buf *why, struct buf *text)
{
    const char *wanted = load_stream_setting(stream, "output");
    bool found = !wanted;
    size_t values = 0, i = 0;
    const json_t *tensor = NULL;
    json_array_foreach(outputs, i, tensor)
    {
        const char *name = json_get_text(tensor, "name");
        if (!check_tensor(tensor, &values, why, text))
            return LOAD_MALFORMED;
        found = found || (name && strcmp(name, wanted) == 0);
    }
    if (!found)
        buf_addf(why, "no output \"%.60s\"", wanted);
    return !found ? LOAD_MALFORMED : values > 0 ? LOAD_OK : LOAD_EMPTY;
}

static void read_answer(const struct load_stream *stream, const struct load_answer *answer,
                        struct load_record *record, struct buf *ret_text, struct buf *ret_gaps)
{
    (void)ret_gaps;
    AUTO_JSON json_t *root = load_json_parse(answer->body, answer->len);
    const json_t *outputs = json_object_get(root, "outputs");
    AUTO(buf_done) struct buf why = BUF_INIT(256);
    if (load_json_error(root, ret_text)) {
        record->error = LOAD_SERVER_ERROR;
        return;
    }
    record->error =
        json_is_array(outputs) ? check(stream, outputs, &why, ret_text) : LOAD_MALFORMED;
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
