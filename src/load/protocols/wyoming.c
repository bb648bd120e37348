/* Wyoming's speech-to-text, as voice assistants speak it over TCP: transcribe, audio-start, the
 * clip in chunks, audio-stop; back comes a transcript.
 *
 * The whole clip is sent as fast as the peer takes it, rather than at the pace of speech: so what
 * is measured is what the server does, and every server the same. One that listens while somebody
 * speaks is faster for people than these numbers, which docs/METHOD.md says.
 *
 * A transcript in pieces (transcript-start, -chunk, -stop) ends with a whole `transcript` as well,
 * which is the answer; the first piece is its first token. */
#include "load/protocols/form.h"
#include "load/protocols/json_answer.h"
#include "load/protocols/wyoming_event.h"
#include "load/transport.h"

#include "base/json.h"

#include <string.h>

/* Bytes of sound in a chunk: 1024 samples, as the library's own tools cut a file. */
enum { CHUNK_BYTES = 2048, EVENT_SLACK_BYTES = 128, REQUEST_SLACK_BYTES = 65536 };
/* Of events before the transcript: a peer must not keep us busy with others for ever. Each costs a
 * few microseconds however small it is, during which nothing is sent; a transcript in pieces has
 * one for each word at most. */
enum { ANSWER_MAX_BYTES = 1 << 20, EVENTS_MAX = 4096 };

static const struct spec_option options[] = {
    {.name = "language",
     .type = OPTION_TEXT,
     .help = "language spoken, e.g. en; left out: the server decides"},
    {.name = "model",
     .type = OPTION_TEXT,
     .help = "which of the server's models; left out: the server decides"},
};

static const struct spec_protocol spec = {
    .name = "wyoming",
    .never_tls = true,
    .help = "Wyoming over TCP (Home Assistant's): a clip in, its text out",
    .sources = SOURCE_ANY | SOURCE_AUDIO,
    .path = "",
    .options = options,
    .option_count = ARRAY_LEN(options),
};

struct sound {
    unsigned rate, channels, width;
    const unsigned char *pcm;
    size_t len;
};

static unsigned le(const unsigned char *at, unsigned bytes)
{
    unsigned value = 0;
    for (unsigned i = 0; i < bytes; i++)
        value |= (unsigned)at[i] << (8 * i);
    return value;
}

/* The sound in a WAV file; a data chunk longer than the file is cut. */
static bool find_sound(const void *wav, size_t len, struct sound *ret_sound)
{
    const unsigned char *bytes = wav;
    struct sound sound = {0};
    if (len < 12 || memcmp(bytes, "RIFF", 4) != 0 || memcmp(bytes + 8, "WAVE", 4) != 0)
        return false;
    for (size_t at = 12; len - at >= 8;) {
        const unsigned char *body = bytes + at + 8;
        size_t size = le(bytes + at + 4, 4), left = len - at - 8;
        if (memcmp(bytes + at, "fmt ", 4) == 0 && size >= 16 && left >= 16) {
            sound.channels = le(body + 2, 2);
            sound.rate = le(body + 4, 4);
            sound.width = le(body + 14, 2) / 8;
        } else if (memcmp(bytes + at, "data", 4) == 0) {
            sound.pcm = body;
            sound.len = size < left ? size : left;
            break;
        }
        if (size >= left)
            break;
        at += 8 + size + (size & 1);
        if (at > len)
            break;
    }
    if (!sound.pcm || sound.rate == 0 || sound.width == 0 || sound.channels == 0)
        return false;
    *ret_sound = sound;
    return true;
}

static void add_transcribe(const struct load_stream *stream, struct buf *out)
{
    AUTO_JSON json_t *data = json_object();
    const char *language = load_stream_setting(stream, "language");
    const char *name = load_stream_setting(stream, "model");
    if (!name)
        name = stream->model;
    if (name)
        json_object_set_new(data, "name", json_text_or_null(name));
    if (language)
        json_object_set_new(data, "language", json_text_or_null(language));
    load_wyoming_add(out, "transcribe", data, NULL, 0);
}

static void add_sound(const struct sound *sound, struct buf *out)
{
    AUTO_JSON json_t *format = json_pack("{s:i, s:i, s:i}", "rate", (int)sound->rate, "width",
                                         (int)sound->width, "channels", (int)sound->channels);
    size_t frame = (size_t)sound->width * sound->channels;
    size_t step = CHUNK_BYTES - CHUNK_BYTES % frame;
    load_wyoming_add(out, "audio-start", format, NULL, 0);
    for (size_t at = 0; at < sound->len; at += step) {
        size_t len = sound->len - at < step ? sound->len - at : step;
        load_wyoming_add(out, "audio-chunk", format, sound->pcm + at, len);
    }
    load_wyoming_add(out, "audio-stop", NULL, NULL, 0);
}

static bool build(const struct load_stream *stream, const struct load_input *input,
                  struct load_request *ret_request, struct err *err)
{
    const struct corpus_clip *clip = input->clip;
    struct sound sound;
    if (!find_sound(clip->data, clip->len, &sound) ||
        (size_t)sound.width * sound.channels > CHUNK_BYTES)
        return err_set(err, ERR_INPUT, "clip %s is no PCM WAV", clip->name);
    size_t events = sound.len / (CHUNK_BYTES / 2) + 1;
    struct load_request request = {
        .body = BUF_INIT(sound.len + events * EVENT_SLACK_BYTES + REQUEST_SLACK_BYTES),
        .content_type = BUF_INIT(1),
    };
    add_transcribe(stream, &request.body);
    add_sound(&sound, &request.body);
    if (request.body.over) {
        buf_done(&request.body);
        return err_set(err, ERR_LIMIT, "clip %s: a request longer than expected", clip->name);
    }
    *ret_request = request;
    return true;
}

static bool is_last(const struct load_wyoming_event *event)
{
    return strcmp(event->type, "transcript") == 0 || strcmp(event->type, "error") == 0;
}

/* Goes on where it stopped, so that an answer in single bytes is not parsed anew with each. What is
 * no event ends the answer too: nothing sensible can follow. */
static bool complete(const struct load_answer *answer)
{
    struct load_scan fresh = {0}, *scan = answer->scan ? answer->scan : &fresh;
    bool last = false;
    while (!last && answer->len >= scan->need && answer->len > scan->at) {
        struct load_wyoming_event event;
        size_t need = 0;
        enum load_wyoming_news news =
            load_wyoming_next(answer->body + scan->at, answer->len - scan->at, &event, &need);
        if (news == LOAD_WYOMING_MORE) {
            scan->need = scan->at + need;
            return false;
        }
        if (news != LOAD_WYOMING_EVENT)
            return true;
        scan->at += event.size;
        last = is_last(&event) || scan->at > ANSWER_MAX_BYTES || ++scan->seen > EVENTS_MAX;
        load_wyoming_event_done(&event);
    }
    return last;
}

static const json_t *text_of(const struct load_wyoming_event *event)
{
    const json_t *text = json_object_get(event->data, "text");
    return json_is_string(text) ? text : NULL;
}

static void take_piece(const json_t *text, int64_t at_ns, struct load_record *record)
{
    if (!text || json_string_length(text) == 0)
        return;
    if (record->first_token_ns < 0)
        record->first_token_ns = record->first_content_ns = at_ns;
    record->last_token_ns = at_ns;
}

/* The last event, by which the record is judged. */
static void take_last(const struct load_stream *stream, const struct load_wyoming_event *event,
                      int64_t at_ns, struct load_record *record, struct buf *ret_text)
{
    const json_t *text = text_of(event);
    record->done_ns = at_ns;
    if (strcmp(event->type, "error") == 0) {
        const char *said = text ? json_string_value(text) : "an error without words";
        load_text_add(ret_text, said, strlen(said));
        record->error = LOAD_SERVER_ERROR;
    } else if (text) {
        load_form_take(stream, record, json_string_value(text), json_string_length(text), ret_text);
    } else {
        load_text_add(ret_text, "a transcript without text", 25);
        record->error = LOAD_MALFORMED;
    }
}

static void read_answer(const struct load_stream *stream, const struct load_answer *answer,
                        struct load_record *record, struct buf *ret_text, struct buf *ret_gaps)
{
    (void)ret_gaps;
    size_t at = 0, seen = 0;
    enum load_wyoming_news news = LOAD_WYOMING_MORE;
    bool last = false;
    while (!last && at < answer->len) {
        struct load_wyoming_event event;
        size_t need = 0;
        news = load_wyoming_next(answer->body + at, answer->len - at, &event, &need);
        if (news != LOAD_WYOMING_EVENT)
            break;
        at += event.size;
        int64_t at_ns = load_answer_at_ns(answer, at);
        last = is_last(&event);
        if (last)
            take_last(stream, &event, at_ns, record, ret_text);
        else if (strcmp(event.type, "transcript-chunk") == 0)
            take_piece(text_of(&event), at_ns, record);
        load_wyoming_event_done(&event);
        if (!last && (at > ANSWER_MAX_BYTES || ++seen > EVENTS_MAX)) {
            news = LOAD_WYOMING_LIMIT;
            break;
        }
    }
    if (last)
        return;
    record->error = news == LOAD_WYOMING_LIMIT       ? LOAD_LIMIT
                    : news == LOAD_WYOMING_MALFORMED ? LOAD_MALFORMED
                                                     : LOAD_TRUNCATED;
    if (news == LOAD_WYOMING_LIMIT)
        load_text_add(ret_text, "events over our size limits", 27);
    else if (news == LOAD_WYOMING_MALFORMED)
        load_text_add(ret_text, answer->body + at, answer->len - at > 200 ? 200 : answer->len - at);
}

extern const struct load_protocol load_protocol_wyoming;
const struct load_protocol load_protocol_wyoming = {
    .spec = &spec,
    .transport = &load_transport_tcp,
    .sends_audio = true,
    .build = build,
    .complete = complete,
    .read = read_answer,
};
