/* Ollama's own POST /api/generate: plain text continued, or with `raw` without the model's template
 * around it. */
#include "load/protocols/ollama.h"

#include "base/json.h"
#include "load/protocols/json_request.h"

static const struct spec_option options[] = {
    LOAD_OLLAMA_OPTIONS,
    {.name = "raw", .type = OPTION_BOOL, .help = "the prompt as it is, without the template"},
};

static const struct spec_protocol spec = {
    .name = "ollama-generate",
    .help = "Ollama's /api/generate, streamed by default",
    .sources = SOURCE_ANY | SOURCE_TEXT,
    .needs_model = true,
    .path = "/api/generate",
    .options = options,
    .option_count = ARRAY_LEN(options),
};

static const struct load_ollama_shape shape = {.content = "response"};

static bool build(const struct load_stream *stream, const struct load_input *input,
                  struct load_request *ret_request, struct err *err)
{
    const struct corpus_prompt *prompt = input->prompt;
    if (!prompt->prompt)
        return err_set(err, ERR_INPUT,
                       "prompt %zu has messages only, which ollama-generate cannot send; use "
                       "ollama-chat",
                       input->item + 1);
    json_t *body = json_pack("{s:o}", "prompt", json_text_or_null(prompt->prompt));
    load_json_set_text(body, stream, "system");
    load_json_set_bool(body, stream, "raw");
    return load_ollama_build(stream, input, body, ret_request, err);
}

static void read_answer(const struct load_stream *stream, const struct load_answer *answer,
                        struct load_record *record, struct buf *ret_text, struct buf *ret_gaps)
{
    load_ollama_read(stream, answer, &shape, record, ret_text, ret_gaps);
}

extern const struct load_protocol load_protocol_ollama_generate;
const struct load_protocol load_protocol_ollama_generate = {
    .spec = &spec,
    .build = build,
    .complete = load_ollama_complete,
    .read = read_answer,
};
