/* Answers of a speech-to-text server: what was said in the uploaded file. */
#ifndef FAKES_SPEECH_H
#define FAKES_SPEECH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "buf.h"
#include "script.h"

struct speech_clip;

struct speech {
    struct speech_clip *clips; /* owned, sorted by name */
    size_t count;
};

enum speech_format { FORMAT_JSON, FORMAT_VERBOSE_JSON, FORMAT_TEXT };

struct speech_ask {
    char file_name[256];
    size_t file_bytes;
    bool file_given;
    const char *required; /* one more field that must be there; NULL: none */
    bool required_given;
    enum speech_format format;
    bool stream; /* the transcript is wanted in pieces */
};

struct speech_words {
    enum script_words words;
    const char *text; /* for WORDS_SAY; may be NULL */
    long count;       /* for WORDS_REPEAT */
    double wer;
    uint64_t seed;
};

/* JSON lines with audio_filepath, text and duration; NULL: none. Prints the reason on failure. */
bool speech_load(struct speech *speech, const char *manifest);
/* Reads a multipart form; false with a reason. */
bool speech_parse(struct speech_ask *ask, const char *content_type, const char *body, size_t len,
                  const char **ret_why);
/* Seconds of audio: the manifest's, else those of 16-bit mono at 16 kHz of that size. */
double speech_duration_s(const struct speech *speech, const struct speech_ask *ask);
/* The answer's body; returns its content type. `whisper_cpp`: the text begins with a space. */
const char *speech_add_answer(const struct speech *speech, const struct speech_ask *ask,
                              const struct speech_words *words, bool whisper_cpp, struct buf *out);
/* The words alone, as they are right but for `wer`. */
void speech_add_text(const struct speech *speech, const struct speech_ask *ask, double wer,
                     uint64_t seed, struct buf *out);
void speech_done(struct speech *speech);

#endif
