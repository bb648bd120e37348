/* Sound in answers: which format it is, where it begins, how long it lasts. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

enum audio_state {
    AUDIO_GOOD,
    AUDIO_NONE,    /* no sound at all: no bytes, a header alone, or nothing but digital silence */
    AUDIO_CUT,     /* less than its own header says */
    AUDIO_UNKNOWN, /* not that format */
};

struct load_audio {
    size_t start;      /* offset of the first byte of sound, behind any header */
    double duration_s; /* NaN where the format does not tell it without decoding */
};

/* `format` as OpenAI names them: wav, pcm (16 bit mono of `pcm_rate_hz`), mp3, flac, opus, aac.
 * Hostile bytes. *ret_audio is written for AUDIO_GOOD and AUDIO_CUT. */
enum audio_state load_audio_read(const char *format, double pcm_rate_hz, const char *bytes,
                                 size_t len, struct load_audio *ret_audio);
