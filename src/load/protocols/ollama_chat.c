/* Ollama's own POST /api/chat. Beside /v1/chat/completions, which it serves as well, this one tells
 * how long the model took to load and lets a request say how long it stays. */
#include "load/protocols/ollama.h"

#include "base/json.h"

static const struct spec_option options[] = {LOAD_OLLAMA_OPTIONS};

static const struct spec_protocol spec = {
    .name = "ollama-chat",
    .help = "Ollama's /api/chat, streamed by default",
    .sources = SOURCE_ANY | SOURCE_TEXT,
    .needs_model = true,
    .path = "/api/chat",
    .options = options,
    .option_count = ARRAY_LEN(options),
};

static const struct load_ollama_shape shape = {.holder = "message", .content = "content"};

static json_t *message(const char *role, const char *content)
{
    return json_pack("{s:s, s:o}", "role", role, "content", json_text_or_null(content));
}

/* Its messages' content is a text, never OpenAI's list of parts. */
static bool all_texts(const json_t *messages)
{
    for (size_t i = 0; i < json_array_size(messages); i++)
        if (!json_get_text(json_array_get(messages, i), "content"))
            return false;
    return json_is_array(messages);
}

static bool build(const struct load_stream *stream, const struct load_input *input,
                  struct load_request *ret_request, struct err *err)
{
    const struct corpus_prompt *prompt = input->prompt;
    json_t *messages = prompt->messages ? json_loads(prompt->messages, 0, NULL) : json_array();
    if (!prompt->messages)
        json_array_append_new(messages, message("user", prompt->prompt));
    if (!all_texts(messages)) {
        json_decref(messages);
        return err_set(err, ERR_INPUT,
                       "prompt %zu: ollama-chat wants messages whose \"content\" is a text",
                       input->item + 1);
    }
    const char *system = load_stream_setting(stream, "system");
    if (system)
        json_array_insert_new(messages, 0, message("system", system));
    return load_ollama_build(stream, input, json_pack("{s:o}", "messages", messages), ret_request,
                             err);
}

static void read_answer(const struct load_stream *stream, const struct load_answer *answer,
                        struct load_record *record, struct buf *ret_text, struct buf *ret_gaps)
{
    load_ollama_read(stream, answer, &shape, record, ret_text, ret_gaps);
}

extern const struct load_protocol load_protocol_ollama_chat;
const struct load_protocol load_protocol_ollama_chat = {
    .spec = &spec,
    .build = build,
    .complete = load_ollama_complete,
    .read = read_answer,
};
