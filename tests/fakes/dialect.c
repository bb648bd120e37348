/*
 * Streams that are not OpenAI's chat.
 *
 * The idea: a word is a token is a piece of sound. What leaves when, breaks off where and says
 * which words is decided once (llm.c, answer.c); here it only gets another dress. Speech is a tone
 * of 0.1 s per word, 24 kHz, 16 bit, mono.
 *
 * Invariant: a stream of any dialect has the same number of pieces, at the same times.
 */
#include "dialect.h"

#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "sse.h"

#define RATE_HZ 24000
#define PIECE_SAMPLES (RATE_HZ / 10)

static bool has(const struct llm_stream *stream, enum sse_variant variant)
{
    return (stream->ask.sse & SSE_BIT(variant)) != 0;
}

const char *dialect_type(const struct llm_ask *ask)
{
    switch (ask->dialect) {
    case DIALECT_OLLAMA_CHAT:
    case DIALECT_OLLAMA_GENERATE:
        return ask->stream ? "application/x-ndjson" : "application/json; charset=utf-8";
    case DIALECT_SPOKEN:
        return strcmp(ask->format, "mp3") == 0 ? "audio/mpeg" : "audio/wav";
    case DIALECT_TRANSCRIPT:
        return "text/event-stream";
    case DIALECT_OPENAI:
        break;
    }
    return ask->stream ? "text/event-stream" : "application/json; charset=utf-8";
}

/* ---- Ollama ---- */

static void add_line(const struct llm_stream *stream, struct buf *out, long from, long to)
{
    const bool chat = stream->ask.dialect == DIALECT_OLLAMA_CHAT;
    const bool thinks = has(stream, SSE_REASONING) && to <= stream->total / 2;
    buf_add_text(out, "{\"model\":\"");
    buf_add_json(out, stream->ask.model, strlen(stream->ask.model));
    buf_add_text(out, "\",\"created_at\":\"2026-11-25T23:20:02.238415782Z\",");
    buf_add_text(out, chat ? "\"message\":{\"role\":\"assistant\"," : "");
    if (thinks)
        buf_printf(out, "\"%s\":\"\",\"thinking\":\"", chat ? "content" : "response");
    else
        buf_printf(out, "\"%s\":\"", chat ? "content" : "response");
    for (long i = from; i < to; i++)
        llm_add_token(stream, out, i);
    buf_add_text(out, chat ? "\"}," : "\",");
}

static void add_end(const struct llm_stream *stream, struct buf *out)
{
    buf_printf(
        out,
        "\"done\":true,\"done_reason\":\"%s\",\"total_duration\":893211199,"
        "\"load_duration\":%lld,\"prompt_eval_count\":%ld,\"prompt_eval_duration\":243111177,"
        "\"eval_count\":%ld,\"eval_duration\":270593345}\n",
        stream->ask.max_tokens > 0 && stream->total >= stream->ask.max_tokens ? "length" : "stop",
        (long long)stream->ask.load_ns, stream->ask.prompt_tokens, stream->total);
}

static enum llm_state add_ollama_next(struct llm_stream *stream, struct buf *out)
{
    static const char error[] =
        "{\"error\":\"an error was encountered while running the model: unexpected EOF\"}\n";
    const bool half = stream->next >= stream->total / 2;
    if (has(stream, SSE_ERR_FIELD) || (half && has(stream, SSE_DATA_ERROR))) {
        buf_add_text(out, error);
        return LLM_ENDED;
    }
    if (half && has(stream, SSE_HALF_JSON))
        buf_add_text(out, "{\"model\":\"fake\",\"mess");
    if (half && (has(stream, SSE_HALF_JSON) || has(stream, SSE_TRUNCATED)))
        return LLM_ENDED;
    if (stream->next < stream->total) {
        add_line(stream, out, stream->next, stream->next + 1);
        buf_add_text(out, "\"done\":false}\n");
        stream->next++;
    }
    if (stream->next < stream->total)
        return LLM_MORE;
    if (has(stream, SSE_NO_DONE))
        return LLM_ENDED;
    add_line(stream, out, 0, 0);
    add_end(stream, out);
    return has(stream, SSE_NO_DONE_OPEN) ? LLM_SILENT : LLM_ENDED;
}

void dialect_add_whole(const struct llm_stream *stream, struct buf *out)
{
    add_line(stream, out, 0, stream->total);
    add_end(stream, out);
}

/* ---- transcripts in pieces ---- */

static void add_event(const struct llm_stream *stream, struct buf *out, const char *type,
                      const char *member, long from, long to)
{
    struct buf json = {0};
    buf_printf(&json, "{\"type\":\"%s\",\"%s\":\"", type, member);
    for (long i = from; i < to; i++)
        llm_add_token(stream, &json, i);
    buf_add_text(&json, "\"");
    if (strcmp(member, "text") == 0 && !has(stream, SSE_NO_USAGE))
        buf_printf(&json,
                   ",\"usage\":{\"type\":\"tokens\",\"input_tokens\":14,\"output_tokens\":%ld,"
                   "\"total_tokens\":%ld}",
                   stream->total, stream->total + 14);
    buf_add_text(&json, "}");
    sse_add_data(out, stream->ask.sse, json.data, json.len);
    buf_done(&json);
}

/* vLLM's form of the same: a piece, or (`last`) the end with its reason. */
static void add_chunk(const struct llm_stream *stream, struct buf *out, bool last)
{
    struct buf json = {0};
    buf_printf(&json,
               "{\"id\":\"trsc-%ld\",\"object\":\"transcription.chunk\",\"created\":%ld,"
               "\"model\":\"",
               stream->id, stream->created_s);
    buf_add_json(&json, stream->ask.model, strlen(stream->ask.model));
    buf_add_text(&json, "\",\"choices\":[{\"delta\":{\"content\":\"");
    if (!last)
        llm_add_token(stream, &json, stream->next);
    buf_printf(&json, "\"}%s}]}", last ? ",\"finish_reason\":\"stop\",\"stop_reason\":null" : "");
    sse_add_data(out, stream->ask.sse, json.data, json.len);
    buf_done(&json);
}

static enum llm_state add_transcript_next(struct llm_stream *stream, struct buf *out)
{
    const bool chunks = has(stream, SSE_CHUNKS);
    static const char error[] = "{\"error\":{\"message\":\"Compute error.\"}}";
    const bool half = stream->next >= stream->total / 2;
    if (half && has(stream, SSE_DATA_ERROR))
        sse_add_data(out, stream->ask.sse, error, sizeof(error) - 1);
    if (half && (has(stream, SSE_DATA_ERROR) || has(stream, SSE_TRUNCATED)))
        return LLM_ENDED;
    if (stream->next < stream->total) {
        if (chunks)
            add_chunk(stream, out, false);
        else
            add_event(stream, out, "transcript.text.delta", "delta", stream->next,
                      stream->next + 1);
        stream->next++;
    }
    if (stream->next < stream->total)
        return LLM_MORE;
    if (chunks) {
        add_chunk(stream, out, true);
        sse_add_done(out, stream->ask.sse);
        return LLM_ENDED;
    }
    add_event(stream, out, "transcript.text.done", "text", 0, stream->total);
    return LLM_ENDED;
}

/* ---- sound ---- */

static void add_le(struct buf *out, uint32_t value, int bytes)
{
    for (int i = 0; i < bytes; i++) {
        const char byte = (char)(value >> (8 * i));
        buf_add(out, &byte, 1);
    }
}

/* Lengths are unknown when the header leaves, and said so by all-ones, as streaming servers do. */
static void add_wav_header(struct buf *out)
{
    buf_add_text(out, "RIFF");
    add_le(out, UINT32_MAX, 4);
    buf_add_text(out, "WAVEfmt ");
    add_le(out, 16, 4);
    add_le(out, 1, 2);
    add_le(out, 1, 2);
    add_le(out, RATE_HZ, 4);
    add_le(out, RATE_HZ * 2, 4);
    add_le(out, 2, 2);
    add_le(out, 16, 2);
    buf_add_text(out, "data");
    add_le(out, UINT32_MAX, 4);
}

static void add_sound(struct buf *out, bool silent)
{
    for (int i = 0; i < PIECE_SAMPLES; i++) /* a saw, 240 Hz */
        add_le(out, silent ? 0 : (uint32_t)(1000 + (i % 100) * 20), 2);
}

static enum llm_state add_spoken_next(struct llm_stream *stream, struct buf *out)
{
    static const char error[] = "{\"error\":{\"message\":\"no voice of that name\"}}";
    if (has(stream, SSE_ERR_FIELD)) {
        buf_add_text(out, error);
        return LLM_ENDED;
    }
    dialect_add_opening(stream, out);
    if (stream->next < stream->total) {
        if (strcmp(stream->ask.format, "mp3") == 0)
            buf_add(out, "\xff\xfb\x90\x64", 4);
        add_sound(out, stream->ask.words == WORDS_NONSENSE);
        stream->next++;
    }
    return stream->next < stream->total ? LLM_MORE : LLM_ENDED;
}

static bool take_spoken(struct llm_ask *ask, const json_t *root)
{
    const char *input = json_string_value(json_object_get(root, "input"));
    const char *format = json_string_value(json_object_get(root, "response_format"));
    if (input == NULL || *input == '\0')
        return false;
    for (const char *c = input; *c != '\0'; c++)
        ask->tokens += c == input || (c[-1] == ' ' && *c != ' ');
    snprintf(ask->format, sizeof(ask->format), "%s", format != NULL ? format : "mp3");
    ask->stream = true;
    return true;
}

bool dialect_parse_spoken(struct llm_ask *ask, const char *body, size_t len, const char **ret_why)
{
    json_t *root = json_loadb(body, len, 0, NULL);
    ask->tokens = 0;
    const bool good = take_spoken(ask, root);
    json_decref(root);
    *ret_why = "'input' is required";
    return good;
}

void dialect_add_opening(struct llm_stream *stream, struct buf *out)
{
    if (stream->opened)
        return;
    stream->opened = true;
    if (stream->ask.dialect == DIALECT_SPOKEN && strcmp(stream->ask.format, "wav") == 0)
        add_wav_header(out);
}

enum llm_state dialect_add_next(struct llm_stream *stream, struct buf *out)
{
    switch (stream->ask.dialect) {
    case DIALECT_SPOKEN:
        return add_spoken_next(stream, out);
    case DIALECT_TRANSCRIPT:
        return add_transcript_next(stream, out);
    case DIALECT_OLLAMA_CHAT:
    case DIALECT_OLLAMA_GENERATE:
    case DIALECT_OPENAI:
        break;
    }
    return add_ollama_next(stream, out);
}
