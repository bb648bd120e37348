/* A clip is sent as it lies in memory; what differs between servers is what the fields are called.
 * The answer's text is judged here only for being there: an answer without the text member is
 * malformed, an empty text is an error unless the clip is known to hold silence. Whether the words
 * are right is for whoever compares transcripts. */
#include "load/protocols/form.h"

#include "load/multipart.h"
#include "load/protocols/json_answer.h"

#include <ctype.h>
#include <string.h>

enum { PARTS_MAX = 16, FORM_SLACK = 65536 };

bool load_form_build(const struct load_stream *stream, const struct load_input *input,
                     const char *file_field, const char *model_field,
                     struct load_request *ret_request, struct err *err)
{
    const struct corpus_clip *clip = input->clip;
    struct load_part_of_form parts[PARTS_MAX] = {
        {.name = file_field,
         .file_name = clip->name,
         .type = "audio/wav",
         .data = clip->data,
         .len = clip->len},
    };
    size_t count = 1;
    if (stream->model && model_field)
        parts[count++] = (struct load_part_of_form){
            .name = model_field, .data = stream->model, .len = strlen(stream->model)};
    const struct spec_protocol *spec = stream->protocol->spec;
    for (size_t i = 0; i < spec->option_count && count < PARTS_MAX; i++) {
        const struct spec_option *option = &spec->options[i];
        /* Options that name fields are about the form, not in it: their flag says so. */
        const char *text = option->flag ? load_stream_setting(stream, option->name) : NULL;
        if (text)
            parts[count++] =
                (struct load_part_of_form){.name = option->flag, .data = text, .len = strlen(text)};
    }
    struct load_request request = {
        .body = BUF_INIT(clip->len + FORM_SLACK),
        .content_type = BUF_INIT(256),
    };
    if (!load_multipart_write(parts, count, &request.body, &request.content_type, err)) {
        buf_done(&request.body);
        buf_done(&request.content_type);
        return err_wrap(err, "clip %s", clip->name);
    }
    *ret_request = request;
    return true;
}

static void trim(const char **io_text, size_t *io_len)
{
    while (*io_len > 0 && isspace((unsigned char)(*io_text)[*io_len - 1]))
        (*io_len)--;
    while (*io_len > 0 && isspace((unsigned char)**io_text)) {
        (*io_text)++;
        (*io_len)--;
    }
}

/* Is nothing to be heard in this clip, as far as its transcript says? */
static bool is_silence(const struct load_stream *stream, uint32_t item)
{
    const char *transcript =
        item < stream->corpus->clip_count ? stream->corpus->clips[item].transcript : NULL;
    return transcript && transcript[strspn(transcript, " \t")] == '\0';
}

void load_form_take(const struct load_stream *stream, struct load_record *record, const char *text,
                    size_t len, struct buf *ret_text)
{
    trim(&text, &len);
    load_text_add(ret_text, text, len);
    record->error =
        len > 0 || stream->unchecked || is_silence(stream, record->item) ? LOAD_OK : LOAD_EMPTY;
}

/* Of segments only their texts are looked at, and only where no whole text is given. */
static bool take_segments(const struct load_stream *stream, struct load_record *record,
                          const json_t *segments, struct buf *ret_text)
{
    AUTO(buf_done) struct buf whole = BUF_INIT(LOAD_TEXT_MAX);
    size_t i = 0;
    const json_t *segment = NULL;
    if (!json_is_array(segments))
        return false;
    json_array_foreach(segments, i, segment)
    {
        const json_t *text = json_object_get(segment, "text");
        if (!json_is_string(text))
            return false;
        load_text_add(&whole, json_string_value(text), json_string_length(text));
    }
    load_form_take(stream, record, buf_text(&whole), whole.len, ret_text);
    return true;
}

void load_form_read(const struct load_stream *stream, const struct load_answer *answer,
                    struct load_record *record, struct buf *ret_text, struct buf *ret_gaps)
{
    (void)ret_gaps;
    const char *format = load_stream_setting(stream, "response_format");
    json_t *root = load_json_parse(answer->body, answer->len);
    const json_t *text = json_object_get(root, "text");
    if (load_json_error(root, ret_text))
        record->error = LOAD_SERVER_ERROR;
    else if (format && strcmp(format, "text") == 0)
        load_form_take(stream, record, answer->body, answer->len, ret_text);
    else if (json_is_string(text))
        load_form_take(stream, record, json_string_value(text), json_string_length(text), ret_text);
    else if (text || !take_segments(stream, record, json_object_get(root, "segments"), ret_text))
        record->error = LOAD_MALFORMED;
    if (record->error == LOAD_MALFORMED)
        load_text_add(ret_text, answer->body, answer->len > 200 ? 200 : answer->len);
    json_decref(root);
}
