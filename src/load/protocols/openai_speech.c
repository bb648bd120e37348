/* OpenAI's POST /v1/audio/speech: a text in, its sound out.
 *
 * The first token of such an answer is its first byte of sound, behind any header: a WAV header
 * that is sent at once says nothing about when somebody will hear something. audio_s is the sound
 * produced, so that RTF is the time to speak over the time spoken. Sound is judged for being there
 * and whole; whether it says the text is for whoever listens. An answer in JSON or HTML is none,
 * whatever its status said. */
#include "load/protocols/audio.h"
#include "load/protocols/json_answer.h"
#include "load/protocols/json_request.h"

#include "base/json.h"
#include "base/text.h"

#include <math.h>
#include <string.h>

static const char *const formats[] = {"wav", "pcm", "mp3", "flac", "opus", "aac", NULL};
static const char *const stream_formats[] = {"audio", NULL}; /* not "sse": sound in JSON */

static const struct spec_option options[] = {
    LOAD_MODEL_OPTION,
    {.name = "voice", .type = OPTION_TEXT, .value = "alloy", .help = "name of the voice"},
    {.name = "response_format",
     .type = OPTION_CHOICE,
     .choices = formats,
     .value = "wav",
     .help = "form of the sound; only of wav and pcm its length is known, and so the RTF"},
    {.name = "pcm_rate",
     .type = OPTION_INT,
     .min = 4000,
     .max = 192000,
     .value = "24000",
     .help = "samples per second of pcm, which is 16 bit mono"},
    {.name = "stream_format",
     .type = OPTION_CHOICE,
     .choices = stream_formats,
     .help = "audio: asks for the sound as it is made, of servers that else send it when it is "
             "whole"},
    {.name = "speed", .type = OPTION_REAL, .min = 0.25, .max = 4, .help = "of the speech"},
    {.name = "instructions", .type = OPTION_TEXT, .help = "how it is to be said"},
};

static const struct spec_protocol spec = {
    .name = "openai-speech",
    .help = "OpenAI's /v1/audio/speech: a text in, its sound out",
    .sources = SOURCE_ANY | SOURCE_SPEECH,
    .needs_text = true,
    .path = "/v1/audio/speech",
    .options = options,
    .option_count = ARRAY_LEN(options),
};

static bool build(const struct load_stream *stream, const struct load_input *input,
                  struct load_request *ret_request, struct err *err)
{
    const char *model = load_stream_model(stream);
    if (!input->prompt->prompt)
        return err_set(err, ERR_INPUT, "prompt %zu has messages only, and no text to be spoken",
                       input->item + 1);
    json_t *body = json_pack("{s:o}", "input", json_text_or_null(input->prompt->prompt));
    if (model)
        json_object_set_new(body, "model", json_text_or_null(model));
    load_json_set_text(body, stream, "voice");
    load_json_set_text(body, stream, "response_format");
    load_json_set_text(body, stream, "stream_format");
    load_json_set_number(body, stream, "speed");
    load_json_set_text(body, stream, "instructions");
    return load_json_request(body, input, false, ret_request, err);
}

/* Words where sound should be: JSON, or a page. True when the answer is such, with its error. */
static bool read_words(const struct load_answer *answer, struct load_record *record,
                       struct buf *ret_text)
{
    size_t at = 0;
    while (at < answer->len && strchr(" \t\r\n", answer->body[at]) && answer->body[at])
        at++;
    bool page = answer->len - at >= 5 && (text_starts_with(answer->body + at, "<html") ||
                                          text_starts_with(answer->body + at, "<!DOC"));
    bool json = at < answer->len && (answer->body[at] == '{' || answer->body[at] == '[');
    AUTO_JSON json_t *root = json ? load_json_parse(answer->body + at, answer->len - at) : NULL;
    if (!page && !root)
        return false;
    record->error = load_json_error(root, ret_text) ? LOAD_SERVER_ERROR : LOAD_MALFORMED;
    return true;
}

static double pcm_rate_hz(const struct load_stream *stream)
{
    const char *text = load_stream_setting(stream, "pcm_rate");
    double rate_hz = 0;
    return text && text_to_double(text, &rate_hz) && rate_hz > 0 ? rate_hz : NAN;
}

static void read_answer(const struct load_stream *stream, const struct load_answer *answer,
                        struct load_record *record, struct buf *ret_text, struct buf *ret_gaps)
{
    static const enum load_error errors[] = {
        [AUDIO_GOOD] = LOAD_OK,
        [AUDIO_NONE] = LOAD_EMPTY,
        [AUDIO_CUT] = LOAD_TRUNCATED,
        [AUDIO_UNKNOWN] = LOAD_MALFORMED,
    };
    (void)ret_gaps;
    const char *format = load_stream_setting(stream, "response_format");
    struct load_audio audio = {0, NAN};
    if (!read_words(answer, record, ret_text)) {
        enum audio_state state = load_audio_read(format ? format : "mp3", pcm_rate_hz(stream),
                                                 answer->body, answer->len, &audio);
        record->error = errors[state];
        if (state == AUDIO_GOOD || state == AUDIO_CUT) {
            record->first_token_ns = load_answer_at_ns(answer, audio.start + 1);
            record->last_token_ns = load_answer_at_ns(answer, answer->len);
            record->audio_s = audio.duration_s;
        }
    }
    if (record->error == LOAD_MALFORMED && ret_text->len == 0)
        load_text_add(ret_text, answer->body, answer->len > 200 ? 200 : answer->len);
}

extern const struct load_protocol load_protocol_openai_speech;
const struct load_protocol load_protocol_openai_speech = {
    .spec = &spec,
    .build = build,
    .read = read_answer,
};
