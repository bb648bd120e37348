/* OpenAI's POST /v1/chat/completions, streamed: the protocol of llama-server, vLLM, Ollama's /v1
 * and most others. A corpus item is a conversation, or a prompt sent as the user's message. */
#include "load/protocols/tokens.h"

#include "base/json.h"

static const struct spec_option options[] = {
    LOAD_TOKEN_OPTIONS,
    {.name = "system", .type = OPTION_TEXT, .help = "system message put before every prompt"},
};

static const struct spec_protocol spec = {
    .name = "openai-chat",
    .help = "OpenAI's /v1/chat/completions, streamed by default",
    .sources = SOURCE_ANY | SOURCE_TEXT,
    .path = "/v1/chat/completions",
    .options = options,
    .option_count = ARRAY_LEN(options),
};

static const struct load_token_shape shape = {
    .streamed = "delta", .whole = "message", .content = "content"};

static json_t *message(const char *role, const char *content)
{
    return json_pack("{s:s, s:o}", "role", role, "content", json_text_or_null(content));
}

static bool build(const struct load_stream *stream, const struct load_input *input,
                  struct load_request *ret_request, struct err *err)
{
    const struct corpus_prompt *prompt = input->prompt;
    json_t *messages = prompt->messages ? json_loads(prompt->messages, 0, NULL) : json_array();
    if (!messages)
        return err_set(err, ERR_INPUT, "prompt %zu: its messages are not JSON", input->item + 1);
    if (!prompt->messages)
        json_array_append_new(messages, message("user", prompt->prompt));
    const char *system = load_stream_setting(stream, "system");
    if (system)
        json_array_insert_new(messages, 0, message("system", system));
    return load_tokens_build(stream, input, json_pack("{s:o}", "messages", messages), ret_request,
                             err);
}

static void read_answer(const struct load_stream *stream, const struct load_answer *answer,
                        struct load_record *record, struct buf *ret_text, struct buf *ret_gaps)
{
    load_tokens_read(stream, answer, &shape, record, ret_text, ret_gaps);
}

extern const struct load_protocol load_protocol_openai_chat;
const struct load_protocol load_protocol_openai_chat = {
    .spec = &spec,
    .build = build,
    .complete = load_tokens_complete,
    .read = read_answer,
};
