/* Two forms are spoken under one path. OpenAI's: events of the types transcript.text.delta and
 * transcript.text.done, the last one with the whole text and the usage; vLLM's: chunks with
 * choices, as in its chat, ended by [DONE]. An event's own members tell which one it is.
 *
 * The whole text of the last event beats the pieces, which a server may have corrected meanwhile.
 * A stream without its end mark is truncated, whatever it holds; an error in any event is the
 * answer, whatever follows it (case S-ERR-FIELD). Unknown types are passed over: OpenAI adds some
 * (segments, for one), and they are no text. */
#include "load/protocols/transcript_stream.h"

#include "base/json.h"
#include "load/protocols/counts.h"
#include "load/protocols/json_answer.h"
#include "load/sse.h"

#include <string.h>

static const char type_delta[] = "transcript.text.delta", type_done[] = "transcript.text.done";

struct reader {
    const struct load_answer *answer;
    struct load_record *record;
    struct buf *text, *gaps;
    size_t text_bytes; /* of the pieces */
    int64_t told;      /* tokens; -1 */
    int32_t text_events;
    int64_t event_ns, done_ns; /* done: of the first end mark; -1 */
    bool error, event_seen, broken_last, broken_before;
};

/* The end marks stand at an event's beginning or in its JSON, where a text's quotes are escaped. */
bool load_transcript_complete(const struct load_answer *answer)
{
    static const char last[] = "\"transcript.text.done\"";
    size_t len = 0;
    const char *bytes = load_answer_newest(answer, &len);
    const char *at = memmem(bytes, len, last, sizeof last - 1);
    /* That event is long: it is complete with its line. */
    if (at && memchr(at, '\n', len - (size_t)(at - bytes)))
        return true;
    return memmem(bytes, len, "\ndata: [DONE]", 13) || memmem(bytes, len, "\ndata:[DONE]", 12);
}

static void fail(struct reader *r, const char *why)
{
    if (!r->error) {
        buf_clear(r->text);
        load_text_add(r->text, why, strlen(why));
    }
    r->error = true;
}

static void take_piece(struct reader *r, const json_t *piece)
{
    struct load_record *record = r->record;
    if (!json_is_string(piece) || json_string_length(piece) == 0)
        return;
    load_text_add(r->text, json_string_value(piece), json_string_length(piece));
    r->text_bytes += json_string_length(piece);
    r->text_events++;
    if (record->last_token_ns >= 0)
        load_gap_add(record, r->gaps, r->event_ns - record->last_token_ns);
    record->last_token_ns = r->event_ns;
    if (record->first_token_ns < 0)
        record->first_token_ns = record->first_content_ns = r->event_ns;
}

static void take_usage(struct reader *r, const json_t *usage)
{
    struct load_record *record = r->record;
    int64_t tokens = json_get_int(usage, "output_tokens", -1);
    int64_t prompt = json_get_int(usage, "input_tokens", -1);
    if (tokens < 0)
        tokens = json_get_int(usage, "completion_tokens", -1);
    if (tokens >= 0)
        r->told = tokens;
    if (prompt >= 0 && prompt <= INT32_MAX)
        record->prompt_tokens = (int32_t)prompt;
}

static void note_end(struct reader *r)
{
    if (r->done_ns < 0)
        r->done_ns = r->event_ns;
}

static void take_done(struct reader *r, const json_t *root)
{
    const json_t *whole = json_object_get(root, "text");
    if (json_is_string(whole) && r->text_events > 0) {
        buf_clear(r->text);
        load_text_add(r->text, json_string_value(whole), json_string_length(whole));
    } else {
        take_piece(r, whole); /* no pieces came: all of it came now */
    }
    note_end(r);
}

static void take_object(struct reader *r, const json_t *root, const char *event_type)
{
    const char *type = json_get_text(root, "type");
    struct buf why = BUF_INIT(LOAD_TEXT_MAX);
    bool failed = load_json_error(root, &why);
    if (failed || strcmp(event_type, "error") == 0 || (type && strcmp(type, "error") == 0))
        fail(r, failed ? buf_text(&why) : "an event of type error");
    buf_done(&why);
    if (r->error)
        return;
    if (!type)
        type = event_type;
    const json_t *choice = json_array_get(json_object_get(root, "choices"), 0);
    if (strcmp(type, type_delta) == 0)
        take_piece(r, json_object_get(root, "delta"));
    else if (strcmp(type, type_done) == 0)
        take_done(r, root);
    else if (choice)
        take_piece(r, json_object_get(json_object_get(choice, "delta"), "content"));
    if (json_is_string(json_object_get(choice, "finish_reason")))
        note_end(r);
    take_usage(r, json_object_get(root, "usage"));
}

static void take_event(void *ctx, const struct load_sse_event *event)
{
    struct reader *r = ctx;
    r->event_ns = load_answer_at_ns(r->answer, event->offset);
    if (event->error)
        fail(r, event->error);
    if (event->len == 0 || r->error)
        return;
    if (strcmp(event->data, "[DONE]") == 0) {
        note_end(r);
        return;
    }
    r->broken_before |= r->broken_last;
    AUTO_JSON json_t *root = load_json_parse(event->data, event->len);
    r->broken_last = !json_is_object(root);
    r->event_seen |= !r->broken_last;
    if (!r->broken_last)
        take_object(r, root, event->type);
}

static enum load_error judge(const struct reader *r, bool over)
{
    if (r->error)
        return LOAD_SERVER_ERROR;
    if (over)
        return LOAD_LIMIT;
    if (r->broken_before || (r->broken_last && (r->done_ns >= 0 || !r->event_seen)))
        return LOAD_MALFORMED;
    if (r->done_ns < 0)
        return LOAD_TRUNCATED;
    return r->text_events > 0 ? LOAD_OK : LOAD_EMPTY;
}

/* Servers that do not know `stream` answer in one piece. Their error is an error; their text is
 * not what was asked for, and has no token times. */
static bool read_whole(struct reader *r)
{
    AUTO_JSON json_t *root = load_json_parse(r->answer->body, r->answer->len);
    if (!root)
        return false;
    r->record->error = load_json_error(root, r->text) ? LOAD_SERVER_ERROR : LOAD_MALFORMED;
    return true;
}

void load_transcript_read(const struct load_answer *answer, struct load_record *record,
                          struct buf *ret_text, struct buf *ret_gaps)
{
    struct reader r = {
        .answer = answer,
        .record = record,
        .text = ret_text,
        .gaps = ret_gaps,
        .told = -1,
        .done_ns = -1,
    };
    if (!read_whole(&r)) {
        struct load_sse sse = load_sse_init(LOAD_ANSWER_MAX);
        load_sse_feed(&sse, answer->body, answer->len, take_event, &r);
        load_sse_end(&sse, take_event, &r);
        record->error = judge(&r, sse.over);
        load_sse_done(&sse);
        load_tokens_take(
            record, &(struct load_told){.tokens = r.told, .most = load_told_most(r.text_bytes)});
        if (!record->tokens_exact)
            record->tokens = r.text_events;
        if (r.done_ns >= 0)
            record->done_ns = r.done_ns;
    }
    if (record->error == LOAD_TRUNCATED && !r.event_seen && answer->len > 0 && !r.broken_last)
        record->error = LOAD_MALFORMED; /* no line of it was an event */
    if (record->error == LOAD_MALFORMED && ret_text->len == 0)
        load_text_add(ret_text, answer->body, answer->len > 200 ? 200 : answer->len);
}
