/*
 * Answers of a speech-to-text server.
 *
 * The idea: no sound is ever heard; a manifest tells what each file says, found by the uploaded
 * file's name or else by its size, so that answers are right by default and wrong by exactly the
 * share of words that --wer asks for.
 *
 * Errors are placed by a running sum with a phase that depends on the text: each clip has within
 * one word of its share, the whole corpus has the share itself, and the same clip always gets the
 * same errors. Drawing each word was rejected: 200 words would miss a rate of 10 % by 2 points.
 */
#include "speech.h"

#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

struct speech_clip {
    char *name, *text;    /* owned */
    double duration_s;    /* NaN when not given */
    long long file_bytes; /* -1 when the file is not there */
};

static const char *base_name(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash != NULL ? slash + 1 : path;
}

static long long size_of(const char *manifest, const char *path)
{
    char full[4096];
    struct stat info;
    const int dir_len = path[0] == '/' ? 0 : (int)(base_name(manifest) - manifest);
    snprintf(full, sizeof(full), "%.*s%s", dir_len, manifest, path);
    return stat(full, &info) == 0 ? (long long)info.st_size : -1;
}

static bool add_clip(struct speech *speech, const char *manifest, const char *line)
{
    json_t *root = json_loads(line, 0, NULL);
    const char *path = json_string_value(json_object_get(root, "audio_filepath"));
    const char *text = json_string_value(json_object_get(root, "text"));
    const json_t *duration = json_object_get(root, "duration");
    const bool good = path != NULL && text != NULL;
    if (good) {
        struct speech_clip *clips = realloc(speech->clips, (speech->count + 1) * sizeof(*clips));
        if (clips == NULL)
            abort();
        speech->clips = clips;
        clips[speech->count++] = (struct speech_clip){
            .name = strdup(base_name(path)),
            .text = strdup(text),
            .duration_s = json_is_number(duration) ? json_number_value(duration) : NAN,
            .file_bytes = size_of(manifest, path),
        };
    }
    json_decref(root);
    return good;
}

static int by_name(const void *a, const void *b)
{
    return strcmp(((const struct speech_clip *)a)->name, ((const struct speech_clip *)b)->name);
}

bool speech_load(struct speech *speech, const char *manifest)
{
    *speech = (struct speech){0};
    if (manifest == NULL)
        return true;
    FILE *file = fopen(manifest, "re");
    if (file == NULL) {
        fprintf(stderr, "fake-service: --transcripts: can't read %s\n", manifest);
        return false;
    }
    char *line = NULL;
    size_t size = 0;
    bool good = true;
    for (int number = 1; good && getline(&line, &size, file) >= 0; number++) {
        if (line[strspn(line, " \t\r\n")] == '\0')
            continue;
        good = add_clip(speech, manifest, line);
        if (!good)
            fprintf(stderr, "fake-service: %s:%d: wants audio_filepath and text\n", manifest,
                    number);
    }
    free(line);
    fclose(file);
    if (speech->count > 0)
        qsort(speech->clips, speech->count, sizeof(*speech->clips), by_name);
    return good;
}

static const struct speech_clip *find_clip(const struct speech *speech,
                                           const struct speech_ask *ask)
{
    const struct speech_clip key = {.name = (char *)(uintptr_t)base_name(ask->file_name)};
    const struct speech_clip *found =
        speech->count > 0 ? bsearch(&key, speech->clips, speech->count, sizeof(key), by_name)
                          : NULL;
    for (size_t i = 0; found == NULL && i < speech->count; i++)
        if (speech->clips[i].file_bytes == (long long)ask->file_bytes)
            found = &speech->clips[i];
    return found;
}

double speech_duration_s(const struct speech *speech, const struct speech_ask *ask)
{
    const struct speech_clip *clip = find_clip(speech, ask);
    if (clip != NULL && !isnan(clip->duration_s))
        return clip->duration_s;
    return ask->file_bytes > 44 ? (double)(ask->file_bytes - 44) / 32000 : 0;
}

/* name="value" inside a part's head; empty when it is not there. */
static void take_attribute(const char *head, size_t len, const char *name, char *to, size_t size)
{
    const char *from = memmem(head, len, name, strlen(name));
    to[0] = '\0';
    if (from == NULL)
        return;
    from += strlen(name);
    const size_t left = len - (size_t)(from - head);
    const char *end = memchr(from, '"', left);
    if (end != NULL)
        snprintf(to, size, "%.*s", (int)(end - from), from);
}

static bool equals(const char *value, size_t len, const char *text)
{
    return len == strlen(text) && memcmp(value, text, len) == 0;
}

static void take_part(struct speech_ask *ask, const char *part, size_t len)
{
    char name[64];
    const char *blank = memmem(part, len, "\r\n\r\n", 4);
    if (blank == NULL)
        return;
    const size_t head_len = (size_t)(blank - part);
    const char *value = blank + 4;
    const size_t value_len = len - head_len - 4;
    take_attribute(part, head_len, " name=\"", name, sizeof(name));
    if (ask->required != NULL && strcmp(name, ask->required) == 0)
        ask->required_given = true;
    if (strcmp(name, "file") == 0) {
        take_attribute(part, head_len, " filename=\"", ask->file_name, sizeof(ask->file_name));
        ask->file_bytes = value_len;
        ask->file_given = true;
    } else if (strcmp(name, "stream") == 0) {
        ask->stream = equals(value, value_len, "true");
    } else if (strcmp(name, "response_format") == 0) {
        ask->format = equals(value, value_len, "verbose_json") ? FORMAT_VERBOSE_JSON
                      : equals(value, value_len, "text")       ? FORMAT_TEXT
                                                               : FORMAT_JSON;
    }
}

static bool take_boundary(const char *content_type, char *to, size_t size)
{
    const char *from = strcasestr(content_type, "boundary=");
    if (strncasecmp(content_type, "multipart/form-data", 19) != 0 || from == NULL)
        return false;
    from += strlen("boundary=");
    const bool quoted = *from == '"';
    from += quoted;
    const size_t len = strcspn(from, quoted ? "\"" : "; \t");
    snprintf(to, size, "\r\n--%.*s", (int)len, from);
    return len > 0 && len + 5 < size;
}

bool speech_parse(struct speech_ask *ask, const char *content_type, const char *body, size_t len,
                  const char **ret_why)
{
    char mark[256];
    if (!take_boundary(content_type, mark, sizeof(mark))) {
        *ret_why = "the body is not multipart/form-data";
        return false;
    }
    const size_t mark_len = strlen(mark);
    /* The first mark has no line end before it. */
    const char *at = len >= mark_len - 2 && memcmp(body, mark + 2, mark_len - 2) == 0
                         ? body + mark_len - 2
                         : NULL;
    const char *end = body + len;
    bool closed = false;
    while (at != NULL && !closed) {
        const char *next = memmem(at, (size_t)(end - at), mark, mark_len);
        if (next != NULL)
            take_part(ask, at, (size_t)(next - at));
        at = next != NULL ? next + mark_len : NULL;
        closed = at != NULL && end - at >= 2 && memcmp(at, "--", 2) == 0;
    }
    if (!closed || !ask->file_given) {
        *ret_why = closed ? "field 'file' is required" : "the form is broken";
        return false;
    }
    *ret_why = "a required field is missing";
    return ask->required == NULL || ask->required_given;
}

static void add_with_errors(struct buf *out, const char *text, double wer, uint64_t seed)
{
    uint64_t hash = seed;
    for (const char *c = text; *c != '\0'; c++)
        hash = script_hash(hash, (unsigned char)*c);
    double sum = (double)(hash >> 11) * 0x1p-53;
    bool first = true;
    while (*text != '\0') {
        const size_t gap = strspn(text, " \t\r\n");
        const size_t len = strcspn(text + gap, " \t\r\n");
        const bool wrong = len > 0 && floor(sum + wer) > floor(sum);
        const bool drop = wrong && (script_hash(hash, (uint64_t)(sum * 1e6)) & 1) != 0;
        sum += len > 0 ? wer : 0;
        if (len > 0 && !drop) {
            buf_add_text(out, first ? "" : " ");
            buf_add(out, wrong ? "xylophones" : text + gap, wrong ? 10 : len);
            first = false;
        }
        text += gap + len;
    }
}

static void make_text(const struct speech *speech, const struct speech_ask *ask,
                      const struct speech_words *words, struct buf *out)
{
    const struct speech_clip *clip = find_clip(speech, ask);
    const char *right = clip != NULL ? clip->text : "hello world";
    buf_add_text(out, "");
    switch (words->words) {
    case WORDS_RIGHT:
        add_with_errors(out, right, words->wer, words->seed);
        break;
    case WORDS_SAY:
        buf_add_text(out, words->text != NULL ? words->text : "");
        break;
    case WORDS_NONSENSE:
        buf_add_text(out, "qzxv jkwpg fxqzj vkkwp gfqxz");
        break;
    case WORDS_BANG:
        buf_add_text(out, "!!!!!!");
        break;
    case WORDS_REPEAT:
        for (long i = 0; i < words->count; i++)
            buf_add_text(out, i > 0 ? " Thank you." : "Thank you.");
        break;
    case WORDS_EMPTY:
        break;
    }
}

void speech_add_text(const struct speech *speech, const struct speech_ask *ask, double wer,
                     uint64_t seed, struct buf *out)
{
    const struct speech_words words = {.wer = wer, .seed = seed};
    make_text(speech, ask, &words, out);
}

const char *speech_add_answer(const struct speech *speech, const struct speech_ask *ask,
                              const struct speech_words *words, bool whisper_cpp, struct buf *out)
{
    struct buf text = {0};
    if (whisper_cpp)
        buf_add_text(&text, " ");
    make_text(speech, ask, words, &text);
    if (whisper_cpp)
        buf_add_text(&text, "\n");
    const double duration_s = speech_duration_s(speech, ask);
    const char *type = "application/json";
    if (ask->format == FORMAT_TEXT) {
        buf_add(out, text.data, text.len);
        type = "text/plain; charset=utf-8";
    } else if (ask->format == FORMAT_JSON) {
        buf_add_text(out, "{\"text\":\"");
        buf_add_json(out, text.data, text.len);
        buf_add_text(out, "\"}");
    } else {
        buf_printf(
            out, "{\"task\":\"transcribe\",\"language\":\"english\",\"duration\":%.3f,\"text\":\"",
            duration_s);
        buf_add_json(out, text.data, text.len);
        buf_printf(out, "\",\"segments\":[{\"id\":0,\"start\":0.0,\"end\":%.3f,\"text\":\"",
                   duration_s);
        buf_add_json(out, text.data, text.len);
        buf_add_text(out, "\",\"avg_logprob\":-0.2,\"no_speech_prob\":0.01}]}");
    }
    buf_done(&text);
    return type;
}

void speech_done(struct speech *speech)
{
    if (speech == NULL)
        return;
    for (size_t i = 0; i < speech->count; i++) {
        free(speech->clips[i].name);
        free(speech->clips[i].text);
    }
    free(speech->clips);
    *speech = (struct speech){0};
}
