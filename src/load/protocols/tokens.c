/* Reading a streamed answer after its end. The bytes were stamped as they came; here each event's
 * last byte is looked up among the stamps, so that parsing costs the measurement nothing.
 *
 * What counts as a token's arrival: an event with non-empty text on any channel (content,
 * reasoning, reasoning_content), never the role chunk, a ping or an empty delta. What counts as the
 * end:
 * `[DONE]`, or a finish_reason when [DONE] never comes. What counts as failure under status 200: an
 * error in a data line, in a field `error:`, in an event of that type, or as the finish reason,
 * whatever follows it. A stream with neither end mark is truncated, and so is one whose last event
 * is half a JSON text; a broken event in the middle is malformed. Rejected: treating an answer with
 * some text as success, which is how cut streams come to look fast. */
#include "load/protocols/tokens.h"

#include "base/json.h"
#include "base/text.h"
#include "load/protocols/counts.h"
#include "load/protocols/json_answer.h"
#include "load/protocols/json_request.h"
#include "load/sse.h"

#include <string.h>

/* All that is looked at below, and by load_json_error(). */
static const char *const looked_at[] = {
    "choices",
    "delta",
    "message",
    "text",
    "content",
    "reasoning",
    "finish_reason",
    "usage",
    "reasoning_content",
    "error",
    "object",
    "completion_tokens",
    "prompt_tokens",
    "reasoning_tokens",
    "completion_tokens_details",
    NULL,
};

struct reader {
    const struct load_answer *answer;
    const struct load_token_shape *shape;
    struct load_record *record;
    struct buf *text, *gaps;
    struct buf reasoning; /* stands in for the text when no content comes */
    size_t text_bytes;    /* of both, all that came */
    int64_t told, hidden; /* tokens, as the last usage has them; -1: it has none */
    int32_t text_events;
    int64_t finish_ns, done_ns; /* stamps of the end marks; -1 */
    int64_t event_ns;
    bool error, broken_last, broken_before, unchecked, no_end;
};

static void set_common(const struct load_stream *stream, const struct load_input *input,
                       json_t *body)
{
    const struct corpus_prompt *prompt = input->prompt;
    int max_tokens = stream->max_tokens > 0 ? stream->max_tokens : prompt->max_tokens;
    if (stream->model)
        json_object_set_new(body, "model", json_text_or_null(stream->model));
    if (max_tokens > 0)
        json_object_set_new(body, "max_tokens", json_integer(max_tokens));
    load_json_set_number(body, stream, "temperature");
    load_json_set_number(body, stream, "seed");
    if (load_setting_is_true(stream, "ignore_eos"))
        json_object_set_new(body, "ignore_eos", json_true());
    bool streamed = load_setting_is_true(stream, "stream");
    json_object_set_new(body, "stream", json_boolean(streamed));
    if (streamed && load_setting_is_true(stream, "include_usage"))
        json_object_set_new(body, "stream_options", json_pack("{s:b}", "include_usage", 1));
}

bool load_tokens_build(const struct load_stream *stream, const struct load_input *input,
                       json_t *body, struct load_request *ret_request, struct err *err)
{
    set_common(stream, input, body);
    return load_json_request(body, input, load_setting_is_true(stream, "stream"), ret_request, err);
}

/* `"finish_reason": "stop"`: a value other than null. Within a JSON string the quotes would be
 * escaped, so text that speaks of finish reasons is no match. */
static bool has_finish(const char *bytes, size_t len)
{
    static const char key[] = "\"finish_reason\"";
    const char *end = bytes + len;
    const char *at = memmem(bytes, len, key, sizeof key - 1);
    while (at) {
        at += sizeof key - 1;
        while (at < end && (*at == ' ' || *at == ':'))
            at++;
        if (at < end && *at == '"')
            return true;
        at = memmem(at, (size_t)(end - at), key, sizeof key - 1);
    }
    return false;
}

/* `data: [DONE]` at the start of a line: JSON strings hold no raw line ends, so it is no text. */
static bool has_done(const char *bytes, size_t len, bool at_start)
{
    static const char *const marks[] = {"\ndata: [DONE]", "\ndata:[DONE]", "\rdata: [DONE]",
                                        "\rdata:[DONE]"};
    for (size_t i = 0; i < ARRAY_LEN(marks); i++)
        if (at_start && len >= strlen(marks[i]) - 1 &&
            memcmp(bytes, marks[i] + 1, strlen(marks[i]) - 1) == 0)
            return true;
    for (size_t i = 0; i < ARRAY_LEN(marks); i++)
        if (memmem(bytes, len, marks[i], strlen(marks[i])))
            return true;
    return false;
}

bool load_tokens_complete(const struct load_answer *answer)
{
    size_t len = 0;
    const char *bytes = load_answer_newest(answer, &len);
    return has_finish(bytes, len) || has_done(bytes, len, bytes == answer->body);
}

static const json_t *member(const json_t *choice, const char *holder, const char *name)
{
    return json_object_get(holder ? json_object_get(choice, holder) : choice, name);
}

/* Appends a non-empty string and says so. */
static bool add_text(struct reader *r, struct buf *buf, const json_t *value)
{
    if (!json_is_string(value) || json_string_length(value) == 0)
        return false;
    load_text_add(buf, json_string_value(value), json_string_length(value));
    r->text_bytes += json_string_length(value);
    return true;
}

static bool add_channels(struct reader *r, const json_t *choice, const char *holder,
                         bool *ret_content)
{
    *ret_content = add_text(r, r->text, member(choice, holder, r->shape->content));
    bool thought = add_text(r, &r->reasoning, member(choice, holder, "reasoning"));
    /* Servers that send both channels send the same text twice. */
    if (!thought)
        thought = add_text(r, &r->reasoning, member(choice, holder, "reasoning_content"));
    return *ret_content || thought;
}

static void take_gap(struct reader *r)
{
    struct load_record *record = r->record;
    if (record->last_token_ns >= 0)
        load_gap_add(record, r->gaps, r->event_ns - record->last_token_ns);
    record->last_token_ns = r->event_ns;
}

static void take_usage(struct reader *r, const json_t *root)
{
    const json_t *usage = json_object_get(root, "usage");
    int64_t tokens = json_get_int(usage, "completion_tokens", -1);
    int64_t prompt = json_get_int(usage, "prompt_tokens", -1);
    if (tokens >= 0) {
        const json_t *details = json_object_get(usage, "completion_tokens_details");
        r->told = tokens;
        r->hidden = json_get_int(details, "reasoning_tokens", -1);
    }
    if (prompt >= 0 && prompt <= INT32_MAX)
        r->record->prompt_tokens = (int32_t)prompt;
}

/* Thinking that came counts as output, on a channel of its own or within the text. */
static bool is_thought_seen(const struct reader *r)
{
    static const char mark[] = "</think>";
    return r->reasoning.len > 0 || memmem(buf_text(r->text), r->text->len, mark, sizeof mark - 1);
}

/* Once all the text is here, which is what a count is held against. Tokens may show as nothing
 * where texts mean nothing; behind an end that is ignored they do, each in an event of its own. */
static void count_tokens(struct reader *r)
{
    size_t shown = load_told_most(r->text_bytes);
    if (r->no_end && r->answer->len > shown)
        shown = r->answer->len;
    const struct load_told told = {
        .tokens = r->told,
        .hidden = is_thought_seen(r) ? 0 : r->hidden,
        .most = r->unchecked ? INT32_MAX : shown,
    };
    load_tokens_take(r->record, &told);
}

/* Notes the finish reason, if any; "error" is how some proxies report a failure. */
static bool take_finish(struct reader *r, const json_t *choice)
{
    const char *reason = json_get_text(choice, "finish_reason");
    if (reason && strcmp(reason, "error") == 0)
        r->error = true;
    return reason != NULL;
}

static void take_chunk(struct reader *r, const json_t *root)
{
    struct load_record *record = r->record;
    const json_t *choice = json_array_get(json_object_get(root, "choices"), 0);
    bool content = false;
    if (add_channels(r, choice, r->shape->streamed, &content)) {
        r->text_events++;
        take_gap(r);
        if (record->first_token_ns < 0)
            record->first_token_ns = r->event_ns;
    }
    if (content && record->first_content_ns < 0)
        record->first_content_ns = r->event_ns;
    if (take_finish(r, choice) && r->finish_ns < 0)
        r->finish_ns = r->event_ns;
    take_usage(r, root);
}

static void fail(struct reader *r, const char *why)
{
    if (!r->error) {
        buf_clear(r->text);
        load_text_add(r->text, why, strlen(why));
    }
    r->error = true;
}

/* An error in JSON replaces the text: what failed is not graded, why it failed is kept. */
static bool take_error(struct reader *r, const json_t *root, bool type_is_error)
{
    struct buf why = BUF_INIT(LOAD_TEXT_MAX);
    bool found = load_json_error(root, &why);
    if (!found && type_is_error) {
        AUTO(free) char *whole = json_dump_text(root);
        load_text_add(&why, whole, strlen(whole));
        found = true;
    }
    if (found)
        fail(r, buf_text(&why));
    buf_done(&why);
    return found;
}

static void take_event(void *ctx, const struct load_sse_event *event)
{
    struct reader *r = ctx;
    r->event_ns = load_answer_at_ns(r->answer, event->offset);
    if (event->error)
        fail(r, event->error);
    if (event->len == 0)
        return;
    if (strcmp(event->data, "[DONE]") == 0) {
        if (r->done_ns < 0)
            r->done_ns = r->event_ns;
        return;
    }
    if (r->error)
        return;
    r->broken_before |= r->broken_last;
    bool failed = strcmp(event->type, "error") == 0; /* then all of it is shown */
    AUTO_JSON json_t *root =
        load_json_parse_named(event->data, event->len, failed ? NULL : looked_at);
    r->broken_last = !json_is_object(root);
    if (!r->broken_last && !take_error(r, root, failed))
        take_chunk(r, root);
}

static enum load_error judge(const struct reader *r, bool over)
{
    if (r->error)
        return LOAD_SERVER_ERROR;
    if (over)
        return LOAD_LIMIT;
    if (r->broken_before)
        return LOAD_MALFORMED;
    if (r->broken_last)
        return r->done_ns < 0 ? LOAD_TRUNCATED : LOAD_MALFORMED;
    if (r->finish_ns < 0 && r->done_ns < 0)
        return LOAD_TRUNCATED;
    return r->text_events > 0 ? LOAD_OK : LOAD_EMPTY;
}

static void read_stream(struct reader *r)
{
    struct load_sse sse = load_sse_init(LOAD_ANSWER_MAX);
    load_sse_feed(&sse, r->answer->body, r->answer->len, take_event, r);
    load_sse_end(&sse, take_event, r);
    struct load_record *record = r->record;
    record->error = judge(r, sse.over);
    count_tokens(r);
    if (!record->tokens_exact)
        record->tokens = r->text_events;
    if (record->error == LOAD_OK || record->error == LOAD_EMPTY)
        record->done_ns = r->done_ns >= 0 ? r->done_ns : r->finish_ns;
    load_sse_done(&sse);
}

/* A whole answer has no token times; its count of tokens is the server's or unknown. */
static void read_whole(struct reader *r, const json_t *root)
{
    struct load_record *record = r->record;
    const json_t *choice = json_array_get(json_object_get(root, "choices"), 0);
    bool content = false;
    bool found = add_channels(r, choice, r->shape->whole, &content);
    take_finish(r, choice);
    take_usage(r, root);
    count_tokens(r);
    if (r->error)
        record->error = LOAD_SERVER_ERROR;
    else if (!json_is_object(choice))
        record->error = LOAD_MALFORMED;
    else
        record->error = found ? LOAD_OK : LOAD_EMPTY;
}

static void read_json(struct reader *r, bool wanted_stream)
{
    AUTO_JSON json_t *root = load_json_parse_named(r->answer->body, r->answer->len, looked_at);
    if (take_error(r, root, false))
        r->record->error = LOAD_SERVER_ERROR;
    else if (wanted_stream || !root)
        r->record->error = LOAD_MALFORMED;
    else
        read_whole(r, root);
}

/* First byte that is no blank: an answer that starts with a brace is no event stream. */
static bool starts_like_json(const struct load_answer *answer)
{
    for (size_t i = 0; i < answer->len; i++)
        if (!strchr(" \t\r\n", answer->body[i]) || !answer->body[i])
            return answer->body[i] == '{' || answer->body[i] == '[';
    return false;
}

/* A body in which no line is a field that we know is no stream at all, rather than a cut one. */
static bool is_no_stream(const struct reader *r)
{
    const char *body = r->answer->body;
    return r->record->error == LOAD_TRUNCATED && r->text_events == 0 && r->answer->len > 0 &&
           !memmem(body, r->answer->len, "data:", 5) && body[0] != ':' &&
           !memmem(body, r->answer->len, "event:", 6);
}

void load_tokens_read(const struct load_stream *stream, const struct load_answer *answer,
                      const struct load_token_shape *shape, struct load_record *record,
                      struct buf *ret_text, struct buf *ret_gaps)
{
    struct reader r = {
        .answer = answer,
        .shape = shape,
        .record = record,
        .text = ret_text,
        .gaps = ret_gaps,
        .reasoning = BUF_INIT(LOAD_TEXT_MAX),
        .told = -1,
        .finish_ns = -1,
        .done_ns = -1,
        .unchecked = stream->unchecked,
        .no_end = load_setting_is_true(stream, "ignore_eos"),
    };
    bool streamed = load_setting_is_true(stream, "stream");
    if (!streamed || starts_like_json(answer))
        read_json(&r, streamed);
    else
        read_stream(&r);
    if (streamed && is_no_stream(&r))
        record->error = LOAD_MALFORMED;
    if (record->error == LOAD_EMPTY && stream->unchecked && record->tokens_exact &&
        record->tokens > 0)
        record->error = LOAD_OK; /* all of them were marks that show as nothing */
    if (ret_text->len == 0)
        load_text_add(ret_text, buf_text(&r.reasoning), r.reasoning.len);
    if (record->error == LOAD_MALFORMED && ret_text->len == 0)
        load_text_add(ret_text, answer->body, answer->len > 200 ? 200 : answer->len);
    buf_done(&r.reasoning);
}
