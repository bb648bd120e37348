/* Sound in answers, looked at as far as it takes to know that it is sound: magic bytes of the
 * compressed formats, the chunks of a WAV file. Decoding was rejected: it would cost the load
 * worker more than all the rest, and a latency needs none of it.
 *
 * A streaming server writes a WAV header before it knows the length, with all-ones or zero for it,
 * and often sends it long before any sound; so the sound begins behind the header, and its length
 * is what came. A length that is meant (below 2 GiB) and was not reached is a cut answer. */
#include "load/protocols/audio.h"

#include "base/auto.h"

#include <math.h>
#include <stdint.h>
#include <string.h>

enum { UNSTATED_BYTES = 0x7fff0000 }; /* from here on a length is "unknown" to whoever wrote it */

static uint32_t le32(const unsigned char *p)
{
    return p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

static bool all_zero(const char *bytes, size_t len)
{
    return len == 0 || (bytes[0] == 0 && memcmp(bytes, bytes + 1, len - 1) == 0);
}

struct wav {
    uint32_t bytes_per_s;
    unsigned bits;
    size_t start;
    uint32_t stated;
};

/* Walks the chunks to "data". */
static bool find_data(const unsigned char *bytes, size_t len, struct wav *wav)
{
    size_t at = 12;
    while (len - at >= 8) {
        uint32_t size = le32(bytes + at + 4);
        if (memcmp(bytes + at, "data", 4) == 0) {
            wav->start = at + 8;
            wav->stated = size;
            return wav->bytes_per_s > 0;
        }
        if (size > len - at - 8)
            return false;
        if (memcmp(bytes + at, "fmt ", 4) == 0 && size >= 16) {
            wav->bytes_per_s = le32(bytes + at + 16);
            wav->bits = bytes[at + 22];
        }
        at += 8 + size + (size & 1);
        if (at > len)
            return false;
    }
    return false;
}

static enum audio_state read_wav(const char *bytes, size_t len, struct load_audio *ret)
{
    struct wav wav = {0};
    if (len < 12 || memcmp(bytes, "RIFF", 4) != 0 || memcmp(bytes + 8, "WAVE", 4) != 0)
        return AUDIO_UNKNOWN;
    if (!find_data((const unsigned char *)bytes, len, &wav))
        return len < 4096 ? AUDIO_NONE : AUDIO_UNKNOWN; /* the header never came to the sound */
    size_t came = len - wav.start;
    bool stated = wav.stated > 0 && wav.stated < UNSTATED_BYTES;
    size_t sound = stated && wav.stated < came ? wav.stated : came;
    if (all_zero(bytes + wav.start, sound) && wav.bits != 8) /* 8 bit: silence is 0x80 */
        return AUDIO_NONE;
    *ret = (struct load_audio){wav.start, (double)sound / wav.bytes_per_s};
    return stated && wav.stated > came ? AUDIO_CUT : AUDIO_GOOD;
}

static enum audio_state read_pcm(const char *bytes, size_t len, double rate_hz,
                                 struct load_audio *ret)
{
    if (all_zero(bytes, len))
        return AUDIO_NONE;
    size_t samples = len / 2;
    *ret = (struct load_audio){0, (double)samples / rate_hz};
    return len % 2 ? AUDIO_CUT : AUDIO_GOOD;
}

/* The first two bytes of an MPEG audio frame: 11 bits set, then version and layer. AAC's frames
 * (ADTS) have 12 bits set and layer 0. */
static bool is_frame(const char *bytes, size_t len, bool aac)
{
    if (len < 2 || (unsigned char)bytes[0] != 0xff)
        return false;
    unsigned second = (unsigned char)bytes[1];
    return aac ? (second & 0xf6) == 0xf0 : (second & 0xe0) == 0xe0 && (second & 0x06) != 0;
}

static bool has_magic(const char *bytes, size_t len, const char *magic)
{
    return len >= strlen(magic) && memcmp(bytes, magic, strlen(magic)) == 0;
}

enum audio_state load_audio_read(const char *format, double pcm_rate_hz, const char *bytes,
                                 size_t len, struct load_audio *ret_audio)
{
    if (len == 0)
        return AUDIO_NONE;
    if (strcmp(format, "wav") == 0)
        return read_wav(bytes, len, ret_audio);
    if (strcmp(format, "pcm") == 0)
        return read_pcm(bytes, len, pcm_rate_hz, ret_audio);
    static const struct {
        const char *format, *magic;
        bool frames, aac;
    } kinds[] = {
        {"mp3", "ID3", true, false},
        {"flac", "fLaC", false, false},
        {"opus", "OggS", false, false},
        {"aac", "ADIF", true, true},
    };
    for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
        if (strcmp(format, kinds[i].format) != 0)
            continue;
        if (!has_magic(bytes, len, kinds[i].magic) &&
            !(kinds[i].frames && is_frame(bytes, len, kinds[i].aac)))
            return AUDIO_UNKNOWN;
        *ret_audio = (struct load_audio){0, NAN};
        return AUDIO_GOOD;
    }
    return AUDIO_UNKNOWN;
}
