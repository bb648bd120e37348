/* whisper.cpp's own POST /inference: the same form, but the model is the server's and the decoder's
 * settings may come with each request. It answers some failures with {"error": ...} under status
 * 200, which the shared reader knows. */
#include "load/protocols/form.h"

static const char *const formats[] = {"json", "verbose_json", "text", NULL};

static const struct spec_option options[] = {
    {.name = "response_format",
     .type = OPTION_CHOICE,
     .choices = formats,
     .flag = "response_format",
     .value = "json",
     .help = "form of the answer"},
    {.name = "language",
     .type = OPTION_TEXT,
     .flag = "language",
     .help = "language spoken, e.g. en; left out: as the server was started"},
    {.name = "temperature",
     .type = OPTION_REAL,
     .min = 0,
     .max = 2,
     .flag = "temperature",
     .help = "decoding temperature"},
    {.name = "temperature_inc",
     .type = OPTION_REAL,
     .min = 0,
     .max = 2,
     .flag = "temperature_inc",
     .help = "step of the temperature when decoding fails; 0: no second attempt"},
    {.name = "beam_size",
     .type = OPTION_INT,
     .min = 1,
     .max = 16,
     .flag = "beam_size",
     .help = "beams of the search"},
    {.name = "prompt", .type = OPTION_TEXT, .flag = "prompt", .help = "text that leads the model"},
};

static const struct spec_protocol spec = {
    .name = "whisper-inference",
    .help = "whisper.cpp's /inference: a clip in, its text out",
    .sources = SOURCE_ANY | SOURCE_AUDIO,
    .path = "/inference",
    .options = options,
    .option_count = ARRAY_LEN(options),
};

static bool build(const struct load_stream *stream, const struct load_input *input,
                  struct load_request *ret_request, struct err *err)
{
    return load_form_build(stream, input, "file", NULL, ret_request, err);
}

extern const struct load_protocol load_protocol_whisper_inference;
const struct load_protocol load_protocol_whisper_inference = {
    .spec = &spec,
    .sends_audio = true,
    .build = build,
    .read = load_form_read,
};
