/* A table of phrases, each with what it says; the whole log is read, then the sum is drawn.
 *
 * Taking the first or the worst phrase was rejected: whisper.cpp prints "no GPU found" for the
 * small context that finds speech while its model is on the GPU, and llama.cpp's fitting loads more
 * than once. So phrases for and against are both noted, and layers, which are a count, beat both.
 *
 * The signatures of signature_common.c hold some of these texts too: there they explain why a
 * service ended, here they answer another question, with its own rules of what beats what. */
#include "service/engine_placement.h"

#include "base/json.h"
#include "base/text.h"

#include <ctype.h>
#include <math.h>
#include <string.h>

enum says { SAYS_LAYERS, SAYS_OLLAMA_LAYERS, SAYS_CPU, SAYS_CPU_CACHE, SAYS_GPU };

/* Order: within one line the first that holds counts. */
static const struct phrase {
    const char *engine; /* NULL: any */
    const char *text, *also;
    enum says says;
    const char *words; /* SAYS_CPU: for people */
} phrases[] = {
    {NULL, "offloaded ", "layers to GPU", SAYS_LAYERS, NULL},
    {"ollama", "layers.model=", "layers.offload=", SAYS_OLLAMA_LAYERS, NULL},
    {NULL, "ggml_cuda_init: failed to initialize", NULL, SAYS_CPU, "it found no GPU it could use"},
    {NULL, "no usable GPU found", NULL, SAYS_CPU, "it found no GPU it could use"},
    {NULL, "whisper_backend_init_gpu: no GPU found", NULL, SAYS_CPU, "it found no GPU"},
    {NULL, "CPU KV buffer size", NULL, SAYS_CPU_CACHE, NULL},
    {NULL, "CUDA", "buffer size", SAYS_GPU, NULL}, /* "CUDA0 model buffer size =    92.17 MiB" */
    {NULL, "CUDA", "total size", SAYS_GPU, NULL},  /* whisper.cpp */
    {"ollama", "inference compute", "library=cpu", SAYS_CPU, "it computes with library=cpu"},
    {"ollama", "inference compute", "library=", SAYS_GPU, NULL},
    {NULL, "Failed to create CUDAExecutionProvider", NULL, SAYS_CPU,
     "it could not create its CUDAExecutionProvider"},
    {NULL, "'CUDAExecutionProvider' is not in available provider names", NULL, SAYS_CPU,
     "its build has no CUDAExecutionProvider"},
    {NULL, "Device=cpu load_s=", NULL, SAYS_CPU, "it loaded its model on the CPU"},
    {NULL, "Device=cuda", "load_s=", SAYS_GPU, NULL},
};

struct said {
    long on, of; /* layers; of 0: not said */
    bool gpu, cpu_cache;
    const char *cpu; /* its words, NULL: not said */
};

static bool read_count(const char **at, const char *end, long *ret_count)
{
    const char *start = *at;
    long count = 0;
    while (*at < end && isdigit((unsigned char)**at) && count < 1000000)
        count = count * 10 + (*(*at)++ - '0');
    *ret_count = count;
    return *at > start;
}

/* "10/31 layers to GPU" */
static void note_layers(const char *at, const char *end, struct said *said)
{
    long on = 0, of = 0;
    if (!read_count(&at, end, &on) || at == end || *at != '/')
        return;
    at++;
    if (read_count(&at, end, &of) && of > 0) {
        said->on = on;
        said->of = of;
    }
}

/* "63 layers.offload=49 layers.split=" */
static void note_ollama_layers(const char *at, const char *end, struct said *said)
{
    static const char word[] = "layers.offload=";
    long on = 0, of = 0;
    bool counted = read_count(&at, end, &of) && of > 0;
    const char *offload = text_find_nocase(at, (size_t)(end - at), word);
    if (!counted || !offload)
        return;
    offload += sizeof word - 1;
    if (read_count(&offload, end, &on)) {
        said->on = on;
        said->of = of;
    }
}

static void note_phrase(const struct phrase *phrase, const char *after, const char *end,
                        struct said *said)
{
    switch (phrase->says) {
    case SAYS_LAYERS:
        note_layers(after, end, said);
        break;
    case SAYS_OLLAMA_LAYERS:
        note_ollama_layers(after, end, said);
        break;
    case SAYS_CPU:
        said->cpu = phrase->words;
        break;
    case SAYS_CPU_CACHE:
        said->cpu_cache = true;
        break;
    case SAYS_GPU:
        said->gpu = true;
        break;
    }
}

/* CUDA_Host is memory of the host; "CUDA" alone stands in many lines. */
static bool is_card(const struct phrase *phrase, const char *after, const char *end)
{
    return strcmp(phrase->text, "CUDA") != 0 || (after < end && isdigit((unsigned char)*after));
}

static void read_line(const char *engine, const char *line, const char *end, struct said *said)
{
    size_t len = (size_t)(end - line);
    for (size_t i = 0; i < ARRAY_LEN(phrases); i++) {
        const struct phrase *phrase = &phrases[i];
        if (phrase->engine && engine && strcmp(phrase->engine, engine) != 0)
            continue;
        const char *at = text_find_nocase(line, len, phrase->text);
        if (!at || (phrase->also && !text_find_nocase(line, len, phrase->also)))
            continue;
        at += strlen(phrase->text);
        if (!is_card(phrase, at, end))
            continue;
        note_phrase(phrase, at, end, said);
        return;
    }
}

static enum placement say(enum placement placement, char *ret_words, size_t size, const char *text)
{
    snprintf(ret_words, size, "%s", text);
    return placement;
}

static enum placement sum_up(const struct said *said, char *ret_words, size_t size)
{
    char text[80];
    if (said->of > 0 && said->on < said->of) {
        snprintf(text, sizeof text, "%ld of %ld layers on the GPU (%.0f %%)", said->on, said->of,
                 100.0 * (double)said->on / (double)said->of);
        return say(said->on == 0 ? PLACEMENT_CPU : PLACEMENT_PARTIAL, ret_words, size, text);
    }
    if (said->gpu && said->cpu_cache)
        return say(PLACEMENT_PARTIAL, ret_words, size, "its cache lies in memory of the host");
    if (said->cpu && !said->gpu)
        return say(PLACEMENT_CPU, ret_words, size, said->cpu);
    return say(PLACEMENT_UNPROVEN, ret_words, size, "");
}

enum placement engine_placement(const char *engine, const char *log, size_t len, char *ret_words,
                                size_t size)
{
    struct said said = {0};
    const char *end = log + len;
    for (const char *at = log; at < end;) {
        const char *newline = memchr(at, '\n', (size_t)(end - at));
        const char *stop = newline ? newline : end;
        read_line(engine, at, stop, &said);
        at = stop + 1;
    }
    return sum_up(&said, ret_words, size);
}

enum { LOADED_MAX = 64 };

/* The same model with or without the tag that is meant when none is given. */
static bool is_model(const char *name, const char *model)
{
    size_t len = strlen(model);
    return !model[0] ||
           (strncmp(name, model, len) == 0 &&
            (!name[len] || (!strchr(model, ':') && strcmp(name + len, ":latest") == 0)));
}

enum placement engine_placement_loaded(const char *json, size_t len, const char *model,
                                       char *ret_words, size_t size)
{
    AUTO_JSON json_t *root = json_loadb(json, len, 0, NULL);
    const json_t *models = json_object_get(root, "models");
    double least = NAN;
    AUTO(buf_done) struct buf words = BUF_INIT(512);
    for (size_t i = 0; i < json_array_size(models) && i < LOADED_MAX; i++) {
        const json_t *loaded = json_array_get(models, i);
        const char *name = json_get_text(loaded, "name");
        double bytes = json_get_real(loaded, "size");
        /* Left out when it is 0. */
        double there =
            json_object_get(loaded, "size_vram") ? json_get_real(loaded, "size_vram") : 0;
        if (!name || !is_model(name, model ? model : "") || !(bytes > 0) || !(there >= 0) ||
            (!isnan(least) && there / bytes >= least))
            continue;
        least = there / bytes;
        buf_clear(&words);
        text_add_bytes(&words, there);
        buf_add(&words, " of ");
        text_add_bytes(&words, bytes);
        buf_addf(&words, " in device memory (%.0f %%): ", 100 * least);
        text_add_escaped(&words, TEXT_TERMINAL, name, strlen(name), 100);
    }
    if (!(least < 1)) /* unknown too */
        return say(PLACEMENT_UNPROVEN, ret_words, size, "");
    return say(least > 0 ? PLACEMENT_PARTIAL : PLACEMENT_CPU, ret_words, size, buf_text(&words));
}
