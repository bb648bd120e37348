/*
 * Answers of an LLM server in OpenAI's form.
 *
 * The idea: an answer is a number of tokens, token i is a pure function of the prompt and i, and
 * the whole text and the stream are two renderings of it. So a test can say beforehand what must
 * come out, whatever the stream's dress. The words never repeat within 64 tokens, for whoever looks
 * for loops.
 *
 * Invariant: usage counts what was promised (total), also in streams that break off.
 */
#include "llm.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "dialect.h"
#include "sse.h"

#define DEFAULT_TOKENS 16
#define HUGE_BYTES (1u << 20)

static const char *const vocabulary[64] = {
    "light",  "morning", "river",  "answer", "window", "garden",  "silver", "number",
    "paper",  "summer",  "letter", "market", "island", "bridge",  "winter", "doctor",
    "forest", "yellow",  "bottle", "corner", "engine", "father",  "golden", "harbor",
    "mirror", "needle",  "orange", "pepper", "rabbit", "school",  "ticket", "valley",
    "wagon",  "anchor",  "basket", "candle", "desert", "finger",  "guitar", "hammer",
    "jacket", "kitchen", "ladder", "meadow", "napkin", "office",  "pillow", "quarter",
    "ribbon", "saddle",  "temple", "uncle",  "velvet", "whistle", "yard",   "zebra",
    "apple",  "button",  "cotton", "dragon", "eagle",  "feather", "glove",  "honey",
};

static bool has(const struct llm_stream *stream, enum sse_variant variant)
{
    return (stream->ask.sse & SSE_BIT(variant)) != 0;
}

/* `walk` may be NULL. */
static long count_words(const char *text, struct prefixes_walk *walk)
{
    long count = 0;
    for (; text != NULL && *text != '\0'; count++) {
        text += strspn(text, " \t\r\n");
        if (*text == '\0')
            break;
        const size_t len = strcspn(text, " \t\r\n");
        if (walk != NULL)
            prefixes_add(walk, text, len);
        text += len;
    }
    return count;
}

static void take_prompt(struct llm_ask *ask, const json_t *value, struct prefixes_walk *walk)
{
    const char *text = json_string_value(value);
    ask->prompt_tokens += count_words(text, walk);
    for (; text != NULL && *text != '\0'; text++)
        ask->prompt_hash = (ask->prompt_hash ^ (unsigned char)*text) * UINT64_C(1099511628211);
}

static bool take_messages(struct llm_ask *ask, const json_t *messages, struct prefixes_walk *walk)
{
    size_t i, k;
    json_t *message, *part;
    if (!json_is_array(messages) || json_array_size(messages) == 0)
        return false;
    json_array_foreach(messages, i, message)
    {
        const json_t *content = json_object_get(message, "content");
        take_prompt(ask, content, walk);
        json_array_foreach(content, k, part) take_prompt(ask, json_object_get(part, "text"), walk);
    }
    return true;
}

static long take_max_tokens(const json_t *root, bool ollama)
{
    const json_t *most = json_object_get(json_object_get(root, "options"), "num_predict");
    if (ollama)
        return json_integer_value(most) > 0 ? (long)json_integer_value(most) : 0;
    static const char *const names[] = {"max_tokens", "max_completion_tokens", "n_predict"};
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        const json_t *value = json_object_get(root, names[i]);
        if (json_is_integer(value) && json_integer_value(value) > 0)
            return (long)json_integer_value(value);
    }
    return 0;
}

bool llm_parse(struct llm_ask *ask, const char *body, size_t len, const char **ret_why)
{
    json_error_t error;
    json_t *root = json_loadb(body, len, 0, &error);
    if (!json_is_object(root)) {
        json_decref(root);
        *ret_why = "the body is not a JSON object";
        return false;
    }
    bool good = true;
    struct prefixes_walk walk = prefixes_begin(ask->prefixes);
    const json_t *prompt = json_object_get(root, "prompt");
    if (ask->chat)
        good = take_messages(ask, json_object_get(root, "messages"), &walk);
    else if (prompt == NULL)
        good = false;
    else
        take_prompt(ask, prompt, &walk);
    ask->cached_tokens = walk.cached;
    const bool ollama =
        ask->dialect == DIALECT_OLLAMA_CHAT || ask->dialect == DIALECT_OLLAMA_GENERATE;
    ask->max_tokens = take_max_tokens(root, ollama);
    const json_t *stream = json_object_get(root, "stream");
    ask->stream = ollama ? !json_is_false(stream) : json_is_true(stream);
    ask->include_usage =
        json_is_true(json_object_get(json_object_get(root, "stream_options"), "include_usage"));
    const char *model = json_string_value(json_object_get(root, "model"));
    const bool another = ask->only_model && (model == NULL || strcmp(model, ask->model) != 0);
    json_decref(root);
    if (another) {
        *ret_why = "there is no such model here";
        return false;
    }
    if (!good)
        *ret_why = ask->chat ? "'messages' is required" : "'prompt' is required";
    return good;
}

static long limit(long tokens, long max_tokens)
{
    return max_tokens > 0 && tokens > max_tokens ? max_tokens : tokens;
}

static long count_tokens(const struct llm_ask *ask)
{
    switch (ask->words) {
    case WORDS_EMPTY:
        return 0;
    case WORDS_SAY:
        return limit(count_words(ask->text, NULL), ask->max_tokens);
    case WORDS_REPEAT:
        return limit(2 * ask->count, ask->max_tokens);
    case WORDS_RIGHT:
    case WORDS_NONSENSE:
    case WORDS_BANG:
        break;
    }
    if (ask->tokens > 0)
        return limit(ask->tokens, ask->max_tokens);
    return ask->max_tokens > 0 ? ask->max_tokens : DEFAULT_TOKENS;
}

void llm_stream_init(struct llm_stream *stream, const struct llm_ask *ask, long id)
{
    *stream = (struct llm_stream){
        .ask = *ask,
        .total = count_tokens(ask),
        .id = id,
        .created_s = (long)time(NULL),
    };
}

static void add_said_word(struct buf *out, const char *text, long i)
{
    for (;; i--) {
        text += strspn(text, " \t\r\n");
        const size_t len = strcspn(text, " \t\r\n");
        if (i == 0) {
            buf_add_json(out, text, len);
            return;
        }
        text += len;
    }
}

void llm_add_token(const struct llm_stream *stream, struct buf *out, long i)
{
    const struct llm_ask *ask = &stream->ask;
    const uint64_t hash = script_hash(ask->prompt_hash, (uint64_t)i);
    if (i > 0 && ask->words != WORDS_BANG)
        buf_add_text(out, " ");
    switch (ask->words) {
    case WORDS_RIGHT:
        /* 19 is odd: 64 steps before a word comes again. */
        buf_add_text(out, vocabulary[(ask->prompt_hash + (uint64_t)i * 19) % 64]);
        break;
    case WORDS_NONSENSE:
        for (unsigned k = 0; k < 5; k++)
            buf_printf(out, "%c", "qxzjvkwpgf"[(hash >> (8 * k)) % 10]);
        break;
    case WORDS_SAY:
        add_said_word(out, ask->text, i);
        break;
    case WORDS_REPEAT:
        buf_add_text(out, i % 2 == 0 ? "Thank" : "you.");
        break;
    case WORDS_BANG:
        buf_add_text(out, i == 0 ? "!!!!!!" : "!");
        break;
    case WORDS_EMPTY:
        break;
    }
}

static const char *finish_reason(const struct llm_stream *stream)
{
    const bool cut = stream->ask.max_tokens > 0 && stream->total >= stream->ask.max_tokens;
    return cut || has(stream, SSE_REASONING_ONLY) ? "length" : "stop";
}

static void add_usage(const struct llm_stream *stream, struct buf *out)
{
    buf_printf(out,
               "\"usage\":{\"completion_tokens\":%ld,\"prompt_tokens\":%ld,\"total_tokens\":%ld}",
               stream->total, stream->ask.prompt_tokens, stream->total + stream->ask.prompt_tokens);
}

static void add_tail(const struct llm_stream *stream, struct buf *out, const char *object)
{
    buf_printf(out, ",\"created\":%ld,\"id\":\"%s-%ld\",\"model\":\"", stream->created_s,
               stream->ask.chat ? "chatcmpl" : "cmpl", stream->id);
    buf_add_json(out, stream->ask.model, strlen(stream->ask.model));
    buf_printf(out, "\",\"system_fingerprint\":\"fake-1\",\"object\":\"%s\"", object);
}

void llm_add_whole(const struct llm_stream *stream, struct buf *out)
{
    if (stream->ask.dialect != DIALECT_OPENAI) {
        dialect_add_whole(stream, out);
        return;
    }
    buf_printf(out, "{\"choices\":[{\"finish_reason\":\"%s\",\"index\":0,%s", finish_reason(stream),
               stream->ask.chat ? "\"message\":{\"role\":\"assistant\",\"content\":\""
                                : "\"text\":\"");
    for (long i = 0; i < stream->total; i++)
        llm_add_token(stream, out, i);
    buf_add_text(out, stream->ask.chat ? "\"}}]" : "\"}]");
    add_tail(stream, out, stream->ask.chat ? "chat.completion" : "text_completion");
    if (!has(stream, SSE_NO_USAGE)) {
        buf_add_text(out, ",");
        add_usage(stream, out);
    }
    buf_add_text(out, "}");
}

enum chunk { CHUNK_ROLE, CHUNK_TOKEN, CHUNK_FINISH, CHUNK_USAGE };

static const char *channel(const struct llm_stream *stream, long i)
{
    const bool thinks = has(stream, SSE_REASONING_ONLY) || i < stream->total / 2;
    if (thinks && has(stream, SSE_REASONING_CONTENT))
        return "reasoning_content";
    if (thinks && (has(stream, SSE_REASONING) || has(stream, SSE_REASONING_ONLY)))
        return "reasoning";
    return "content";
}

static void add_delta(const struct llm_stream *stream, struct buf *json, enum chunk chunk)
{
    const bool chat = stream->ask.chat;
    if (chunk == CHUNK_ROLE) {
        buf_add_text(json, "\"delta\":{\"role\":\"assistant\",\"content\":null}");
        return;
    }
    if (chunk == CHUNK_FINISH) {
        buf_add_text(json, chat ? "\"delta\":{}" : "\"text\":\"\"");
        return;
    }
    if (chat)
        buf_printf(json, "\"delta\":{\"%s\":\"", channel(stream, stream->next));
    else
        buf_add_text(json, "\"text\":\"");
    llm_add_token(stream, json, stream->next);
    for (unsigned i = 0; has(stream, SSE_HUGE) && stream->next == 0 && i < HUGE_BYTES / 16; i++)
        buf_add_text(json, " aaaaaaaaaaaaaaa");
    buf_add_text(json, chat ? "\"}" : "\"");
}

static void make_chunk(const struct llm_stream *stream, struct buf *json, enum chunk chunk)
{
    if (chunk == CHUNK_USAGE) {
        buf_add_text(json, "{\"choices\":[]");
    } else {
        const char *quote = chunk == CHUNK_FINISH ? "\"" : "";
        buf_printf(json, "{\"choices\":[{\"finish_reason\":%s%s%s,\"index\":0,", quote,
                   chunk == CHUNK_FINISH ? finish_reason(stream) : "null", quote);
        add_delta(stream, json, chunk);
        buf_add_text(json, "}]");
    }
    add_tail(stream, json, stream->ask.chat ? "chat.completion.chunk" : "text_completion");
    if (chunk == CHUNK_USAGE || (chunk == CHUNK_FINISH && has(stream, SSE_USAGE_BESIDE_CHOICES))) {
        buf_add_text(json, ",");
        add_usage(stream, json);
    } else if (has(stream, SSE_USAGE_NULL)) {
        buf_add_text(json, ",\"usage\":null");
    }
    buf_add_text(json, "}");
}

static void add_chunk(const struct llm_stream *stream, struct buf *out, enum chunk chunk)
{
    struct buf json = {0};
    make_chunk(stream, &json, chunk);
    sse_add_data(out, stream->ask.sse, json.data, json.len);
    buf_done(&json);
}

static void add_half_chunk(const struct llm_stream *stream, struct buf *out)
{
    struct buf json = {0};
    make_chunk(stream, &json, CHUNK_TOKEN);
    buf_add_text(out, "data: ");
    buf_add(out, json.data, json.len / 2);
    buf_done(&json);
}

void llm_add_opening(struct llm_stream *stream, struct buf *out)
{
    if (stream->ask.dialect != DIALECT_OPENAI) {
        dialect_add_opening(stream, out);
        return;
    }
    if (stream->opened)
        return;
    stream->opened = true;
    if (has(stream, SSE_BOM))
        buf_add_text(out, "\xef\xbb\xbf");
    sse_add_noise(out, stream->ask.sse, stream->noise++);
    if (stream->ask.chat && !has(stream, SSE_ERR_FIELD))
        add_chunk(stream, out, CHUNK_ROLE);
}

static enum llm_state add_closing(struct llm_stream *stream, struct buf *out)
{
    const bool beside = has(stream, SSE_USAGE_BESIDE_CHOICES);
    const bool asked = stream->ask.include_usage || has(stream, SSE_USAGE_EMPTY_CHOICES);
    add_chunk(stream, out, CHUNK_FINISH);
    if (has(stream, SSE_NO_DONE_OPEN))
        return LLM_SILENT;
    if (asked && !beside && !has(stream, SSE_NO_USAGE))
        add_chunk(stream, out, CHUNK_USAGE);
    if (!has(stream, SSE_NO_DONE))
        sse_add_done(out, stream->ask.sse);
    return LLM_ENDED;
}

/* Breaks that happen once half the tokens are out; false when none is asked for. */
static bool break_off(struct llm_stream *stream, struct buf *out)
{
    static const char error[] =
        "{\"error\":{\"code\":500,\"message\":\"Compute error.\",\"type\":\"server_error\"}}";
    if (has(stream, SSE_HALF_JSON))
        add_half_chunk(stream, out);
    if (has(stream, SSE_DATA_ERROR))
        sse_add_data(out, stream->ask.sse, error, sizeof(error) - 1);
    return has(stream, SSE_TRUNCATED) || has(stream, SSE_HALF_JSON) || has(stream, SSE_DATA_ERROR);
}

enum llm_state llm_add_next(struct llm_stream *stream, struct buf *out)
{
    if (stream->ask.dialect != DIALECT_OPENAI)
        return dialect_add_next(stream, out);
    llm_add_opening(stream, out);
    if (has(stream, SSE_ERR_FIELD) && stream->ask.words == WORDS_SAY && stream->ask.text) {
        struct buf error = {0};
        buf_add_text(&error, "{\"code\":401,\"message\":\"");
        buf_add_json(&error, stream->ask.text, strlen(stream->ask.text));
        buf_add_text(&error, "\",\"type\":\"authentication_error\"}");
        sse_add_field(out, stream->ask.sse, "error", error.data);
        buf_done(&error);
        sse_add_done(out, stream->ask.sse);
        return LLM_ENDED;
    }
    if (has(stream, SSE_ERR_FIELD)) {
        sse_add_field(out, stream->ask.sse, "error",
                      "{\"code\":400,\"message\":\"the request exceeds the available context size. "
                      "try increasing the context size or enable context shift\","
                      "\"type\":\"invalid_request_error\"}");
        sse_add_done(out, stream->ask.sse);
        return LLM_ENDED;
    }
    if (stream->next >= stream->total / 2 && break_off(stream, out))
        return LLM_ENDED;
    if (stream->next < stream->total) {
        if (stream->next > 0)
            sse_add_noise(out, stream->ask.sse, stream->noise++);
        add_chunk(stream, out, CHUNK_TOKEN);
        stream->next++;
    }
    return stream->next < stream->total ? LLM_MORE : add_closing(stream, out);
}
