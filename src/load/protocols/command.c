/* Any program, run once for each request: what it writes to its standard output is the answer, and
 * exit status 0 says that it is one. Two protocols, since a stream sends clips or prompts: what
 * differs is the placeholder for the input, and that transcripts are compared.
 *
 * The latency ends with the exit and so holds the program's start, its loading of a model and its
 * end: a tool that serves one request a run has all of that with every one. */
#include "load/exec_file.h"
#include "load/protocols/form.h"
#include "load/protocols/json_answer.h"
#include "load/transport.h"

#include <string.h>

#define COMMAND_OPTION(placeholders)                                                               \
    {                                                                                              \
        .name = "command", .type = OPTION_TEXT,                                                    \
        .help = "the program and its arguments, in which " placeholders                            \
                " (in a study file {{ for the brace) is filled in; quotes as in a shell, but no "  \
                "shell is run"                                                                     \
    }
#define STDIN_OPTION(input)                                                                        \
    {                                                                                              \
        .name = "stdin", .type = OPTION_BOOL, .value = "false",                                    \
        .help = "the " input " comes on standard input"                                            \
    }
#define STREAM_OPTION                                                                              \
    {                                                                                              \
        .name = "stream", .type = OPTION_BOOL, .value = "false",                                   \
        .help = "the output comes bit by bit: its first byte is the first token"                   \
    }

static const struct spec_option text_options[] = {
    COMMAND_OPTION("{prompt} or {text_file}"),
    STDIN_OPTION("prompt"),
    STREAM_OPTION,
};
static const struct spec_option audio_options[] = {
    COMMAND_OPTION("{audio}"),
    STDIN_OPTION("clip, a WAV file,"),
    STREAM_OPTION,
};

static const struct spec_protocol text_spec = {
    .name = "command",
    .help = "a program run for each request: a prompt in, its output out",
    .sources = SOURCE_ANY | SOURCE_TEXT,
    .runs_program = true,
    .path = "",
    .options = text_options,
    .option_count = ARRAY_LEN(text_options),
};
static const struct spec_protocol audio_spec = {
    .name = "command-audio",
    .help = "a program run for each request: a clip in, its text out",
    .sources = SOURCE_ANY | SOURCE_AUDIO,
    .runs_program = true,
    .path = "",
    .options = audio_options,
    .option_count = ARRAY_LEN(audio_options),
};

static bool is_true(const struct load_stream *stream, const char *name)
{
    const char *text = load_stream_setting(stream, name);
    return text && strcmp(text, "true") == 0;
}

/* The input as it is given to the program: a clip, a prompt, or a conversation as JSON. */
static bool take_input(const struct load_input *input, struct buf *ret_body)
{
    if (input->clip)
        return buf_append(ret_body, input->clip->data, input->clip->len);
    const char *text = input->prompt->prompt ? input->prompt->prompt : input->prompt->messages;
    buf_add(ret_body, text ? text : "");
    return !ret_body->over;
}

static bool build(const struct load_stream *stream, const struct load_input *input,
                  struct load_request *ret_request, struct err *err)
{
    const char *command = load_stream_setting(stream, "command");
    struct load_request request = {
        .body = BUF_INIT(512 << 20),
        .content_type = BUF_INIT(1),
        .words = BUF_INIT(65536),
        .file_end = input->clip ? ".wav" : ".txt",
        .to_stdin = is_true(stream, "stdin"),
    };
    bool worded = stream->program ? load_exec_take(stream->program->argv, &request.words, err)
                                  : load_exec_words(command ? command : "", &request.words, err);
    if (!worded ||
        !(take_input(input, &request.body) || err_set(err, ERR_LIMIT, "an input too long"))) {
        buf_done(&request.words);
        buf_done(&request.body);
        return false;
    }
    *ret_request = request;
    return true;
}

static void read_output(const struct load_stream *stream, const struct load_answer *answer,
                        struct load_record *record, struct buf *ret_text, struct buf *ret_gaps)
{
    (void)ret_gaps;
    load_form_take(stream, record, answer->body, answer->len, ret_text);
    if (!is_true(stream, "stream") || answer->chunk_count == 0)
        return;
    record->first_token_ns = record->first_content_ns = answer->chunks[0].at_ns;
    record->last_token_ns = answer->chunks[answer->chunk_count - 1].at_ns;
}

extern const struct load_protocol load_protocol_command, load_protocol_command_audio;
const struct load_protocol load_protocol_command = {
    .spec = &text_spec,
    .transport = &load_transport_exec,
    .build = build,
    .read = read_output,
};
const struct load_protocol load_protocol_command_audio = {
    .spec = &audio_spec,
    .transport = &load_transport_exec,
    .sends_audio = true,
    .build = build,
    .read = read_output,
};
