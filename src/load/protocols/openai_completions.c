/* OpenAI's POST /v1/completions: plain text continued. Its stream is the chat's, but each choice
 * holds its text itself instead of in a delta. */
#include "load/protocols/tokens.h"

#include "base/json.h"

static const struct spec_option options[] = {LOAD_TOKEN_OPTIONS};

static const struct spec_protocol spec = {
    .name = "openai-completions",
    .help = "OpenAI's /v1/completions, streamed by default",
    .sources = SOURCE_ANY | SOURCE_TEXT,
    .path = "/v1/completions",
    .options = options,
    .option_count = ARRAY_LEN(options),
};

static const struct load_token_shape shape = {.content = "text"};

static bool build(const struct load_stream *stream, const struct load_input *input,
                  struct load_request *ret_request, struct err *err)
{
    const struct corpus_prompt *prompt = input->prompt;
    if (!prompt->prompt)
        return err_set(err, ERR_INPUT,
                       "prompt %zu has messages only, which openai-completions cannot send; "
                       "use openai-chat",
                       input->item + 1);
    json_t *body = json_pack("{s:o}", "prompt", json_text_or_null(prompt->prompt));
    return load_tokens_build(stream, input, body, ret_request, err);
}

static void read_answer(const struct load_stream *stream, const struct load_answer *answer,
                        struct load_record *record, struct buf *ret_text, struct buf *ret_gaps)
{
    load_tokens_read(stream, answer, &shape, record, ret_text, ret_gaps);
}

extern const struct load_protocol load_protocol_openai_completions;
const struct load_protocol load_protocol_openai_completions = {
    .spec = &spec,
    .build = build,
    .complete = load_tokens_complete,
    .read = read_answer,
};
