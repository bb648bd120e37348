/* OpenAI's POST /v1/audio/transcriptions, as faster-whisper servers, vLLM and many others speak it.
 * They agree on the shape and differ in names (faster-whisper-server calls the model `model_name`),
 * so the names of the two fields which differ are options. Invariant: an option whose `flag` is set
 * is a field of the form under that name. */
#include "load/protocols/form.h"

#include "load/protocols/json_answer.h"
#include "load/protocols/json_request.h"
#include "load/protocols/transcript_stream.h"

static const char *const formats[] = {"json", "verbose_json", "text", NULL};

static const struct spec_option options[] = {
    {.name = "file_field",
     .type = OPTION_TEXT,
     .value = "file",
     .help = "form field that holds the audio"},
    {.name = "model_field",
     .type = OPTION_TEXT,
     .value = "model",
     .help = "form field that holds the model's name"},
    {.name = "response_format",
     .type = OPTION_CHOICE,
     .choices = formats,
     .flag = "response_format",
     .value = "json",
     .help = "form of the answer"},
    {.name = "language",
     .type = OPTION_TEXT,
     .flag = "language",
     .help = "language spoken, e.g. en; left out: the server decides"},
    {.name = "prompt", .type = OPTION_TEXT, .flag = "prompt", .help = "text that leads the model"},
    {.name = "temperature",
     .type = OPTION_REAL,
     .min = 0,
     .max = 2,
     .flag = "temperature",
     .help = "sampling temperature"},
    {.name = "stream",
     .type = OPTION_BOOL,
     .flag = "stream",
     .help = "the text comes piece by piece, so that there is a time to first text"},
};

static const struct spec_protocol spec = {
    .name = "openai-transcriptions",
    .help = "OpenAI's /v1/audio/transcriptions: a clip in, its text out",
    .sources = SOURCE_ANY | SOURCE_AUDIO,
    .streamed_sources = SOURCE_TEXT,
    .path = "/v1/audio/transcriptions",
    .options = options,
    .option_count = ARRAY_LEN(options),
};

static bool build(const struct load_stream *stream, const struct load_input *input,
                  struct load_request *ret_request, struct err *err)
{
    const char *file_field = load_stream_setting(stream, "file_field");
    if (!load_form_build(stream, input, file_field ? file_field : "file",
                         load_stream_setting(stream, "model_field"), ret_request, err))
        return false;
    ret_request->expects_stream = load_setting_is_true(stream, "stream");
    return true;
}

static void read_answer(const struct load_stream *stream, const struct load_answer *answer,
                        struct load_record *record, struct buf *ret_text, struct buf *ret_gaps)
{
    if (!load_setting_is_true(stream, "stream")) {
        load_form_read(stream, answer, record, ret_text, ret_gaps);
        return;
    }
    AUTO(buf_done) struct buf text = BUF_INIT(LOAD_TEXT_MAX);
    load_transcript_read(answer, record, &text, ret_gaps);
    if (record->error == LOAD_OK || record->error == LOAD_EMPTY)
        load_form_take(stream, record, buf_text(&text), text.len, ret_text);
    else
        load_text_add(ret_text, buf_text(&text), text.len);
}

extern const struct load_protocol load_protocol_openai_transcriptions;
const struct load_protocol load_protocol_openai_transcriptions = {
    .spec = &spec,
    .sends_audio = true,
    .build = build,
    .complete = load_transcript_complete,
    .read = read_answer,
};
