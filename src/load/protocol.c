/* The protocols we speak, in the order in which help shows them: the most common first. One line
 * here and one file under protocols/ add another. Beside the table stands what all of them need:
 * their options as set in the study, and which stamp belongs to a byte. */
#include "load/protocol.h"

#include "load/plan.h"

#include <string.h>

extern const struct load_protocol load_protocol_openai_transcriptions;
extern const struct load_protocol load_protocol_whisper_inference;
extern const struct load_protocol load_protocol_openai_chat;
extern const struct load_protocol load_protocol_openai_completions;
extern const struct load_protocol load_protocol_wyoming;
extern const struct load_protocol load_protocol_command, load_protocol_command_audio;
extern const struct load_protocol load_protocol_ollama_chat;
extern const struct load_protocol load_protocol_ollama_generate;
extern const struct load_protocol load_protocol_openai_speech;
extern const struct load_protocol load_protocol_openai_embeddings;
extern const struct load_protocol load_protocol_kserve;

const struct load_protocol *const load_protocol_table[] = {
    &load_protocol_openai_transcriptions,
    &load_protocol_whisper_inference,
    &load_protocol_openai_chat,
    &load_protocol_openai_completions,
    &load_protocol_wyoming,
    &load_protocol_command,
    &load_protocol_command_audio,
    &load_protocol_ollama_chat,
    &load_protocol_ollama_generate,
    &load_protocol_openai_speech,
    &load_protocol_openai_embeddings,
    &load_protocol_kserve,
};
const size_t load_protocol_count = ARRAY_LEN(load_protocol_table);

const struct load_protocol *load_protocol_find(const char *name)
{
    for (size_t i = 0; name && i < load_protocol_count; i++)
        if (strcmp(load_protocol_table[i]->spec->name, name) == 0)
            return load_protocol_table[i];
    return NULL;
}

const struct spec_protocol *const *load_protocol_specs(size_t *ret_count)
{
    /* Filled once from the table above: the same for every caller, so sharing it is harmless. */
    static const struct spec_protocol *specs[ARRAY_LEN(load_protocol_table)];
    for (size_t i = 0; i < load_protocol_count; i++)
        specs[i] = load_protocol_table[i]->spec;
    *ret_count = load_protocol_count;
    return specs;
}

const char *load_stream_setting(const struct load_stream *stream, const char *name)
{
    for (size_t i = 0; i < stream->setting_count; i++)
        if (stream->settings[i].name && strcmp(stream->settings[i].name, name) == 0)
            return stream->settings[i].text;
    const struct spec_protocol *spec = stream->protocol->spec;
    for (size_t i = 0; i < spec->option_count; i++)
        if (strcmp(spec->options[i].name, name) == 0)
            return spec->options[i].value;
    return NULL;
}

struct load_input load_input_of(const struct load_stream *stream, size_t item)
{
    bool audio = stream->protocol->sends_audio;
    return (struct load_input){
        .item = item,
        .clip = audio ? &stream->corpus->clips[item] : NULL,
        .prompt = audio ? NULL : &stream->corpus->prompts[item],
    };
}

const char *load_stream_model(const struct load_stream *stream)
{
    const char *model = load_stream_setting(stream, "model");
    return model ? model : stream->model;
}

void load_stream_add_path(const struct load_stream *stream, const char *path, struct buf *ret_path)
{
    static const char mark[] = "{model}";
    static const char plain[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~";
    const char *at = strstr(path, mark), *model = load_stream_model(stream);
    if (!at || !model) {
        buf_add(ret_path, path);
        return;
    }
    if (!buf_append(ret_path, path, (size_t)(at - path)))
        ret_path->over = true;
    for (const char *p = model; *p; p++) {
        if (strchr(plain, *p))
            buf_addc(ret_path, *p);
        else
            buf_addf(ret_path, "%%%02X", (unsigned char)*p);
    }
    buf_add(ret_path, at + sizeof mark - 1);
}

const char *load_answer_newest(const struct load_answer *answer, size_t *ret_len)
{
    enum { LOOK_BACK = 64 };
    size_t start = answer->chunk_count > 1 ? answer->chunks[answer->chunk_count - 2].end : 0;
    start = start > LOOK_BACK ? start - LOOK_BACK : 0;
    *ret_len = answer->len - start;
    return answer->body + start;
}

/* First chunk that ends at or after the offset: chunks lie in order, so halve. */
int64_t load_answer_at_ns(const struct load_answer *answer, size_t offset)
{
    if (answer->chunk_count == 0)
        return -1;
    size_t low = 0, high = answer->chunk_count - 1;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (answer->chunks[middle].end >= offset)
            high = middle;
        else
            low = middle + 1;
    }
    return answer->chunks[low].at_ns;
}
