/* What is sent: clips with transcripts, and prompts. Loaded and checked before any trial, all of it
 * in memory, so that no disk read can delay a send.
 *
 * Audio: a folder with manifest.jsonl (NeMo's keys: audio_filepath, duration, text), or without one
 * .wav, .flac or .ogg files each with a .txt beside it. Prompts: JSONL with {"prompt": "..."} or
 * {"messages": [...]}, optional "max_tokens"; for kserve also {"inputs": [...]}; or a .txt file,
 * one prompt a line. */
#pragma once

#include "base/arena.h"
#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct corpus_clip {
    const char *name; /* file name, for messages and form-data */
    const void *data; /* WAV bytes, as they are sent */
    size_t len;
    double duration_s;
    const char *transcript; /* NULL when there is none */
};

struct corpus_prompt {
    const char *prompt;   /* plain text, or NULL when messages is given */
    const char *messages; /* JSON text of an array of chat messages, or NULL */
    const char *inputs;   /* JSON text of a KServe request's input tensors, or NULL */
    int max_tokens;       /* 0: not stated */
};

/* One request of a recorded trace. */
#define CORPUS_NO_ITEM UINT32_MAX
struct corpus_request {
    int64_t at_ns;                        /* since the first */
    int32_t prompt_tokens, output_tokens; /* 0: not stated */
    uint32_t clip, prompt;                /* items of the corpus, or CORPUS_NO_ITEM */
};

struct corpus_class {    /* one file of a mix */
    size_t first, count; /* of the prompts */
    double weight;
};

struct corpus_numbers {
    double *values;
    size_t count;
};

struct corpus { /* borrowed from its arena */
    struct corpus_clip *clips;
    size_t clip_count;
    struct corpus_prompt *prompts;
    size_t prompt_count;
    bool all_transcribed;
    struct corpus_class *classes; /* none: the prompts are one file's */
    size_t class_count;
    struct corpus_request *trace; /* by time */
    size_t trace_count;
    struct corpus_numbers prompt_lengths, output_lengths, turn_counts; /* where read from files */
};

struct spec_load;
/* All that a load names: clips, prompts or a mix of them, a trace, files of numbers. A trace that
 * says too little to send anything is refused. `where` stands before the key in errors:
 * "load.stt." */
NODISCARD bool corpus_load(struct arena *arena, const char *where, const struct spec_load *load,
                           struct corpus *ret_corpus, struct err *err);

/* Files that are not 16 bit PCM WAV are converted (libsndfile) to it once. At most 512 MiB and
 * 100,000 items. Every problem is one line with the file (and line) it is in. */
NODISCARD bool corpus_load_audio(struct arena *arena, const char *folder, struct corpus *ret_corpus,
                                 struct err *err);
NODISCARD bool corpus_load_prompts(struct arena *arena, const char *path, struct corpus *ret_corpus,
                                   struct err *err);
