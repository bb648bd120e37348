/* Ollama's answers: one JSON object a line, the last one with "done": true and the server's own
 * figures. A line counts from the stamp of its last byte.
 *
 * Errors come as a line {"error": ...} under status 200, whatever text was before it; an answer
 * without "done": true is truncated, however much text it holds (cases O-NDJSON-ERR, S-NO-DONE).
 *
 * A model may be thrown out between two requests (its time is over, another one was asked for), and
 * the next request then pays for the load: seconds that are not its latency. load_duration tells,
 * but it is never zero: a resident model was seen to show 0.02 to 0.17 s, the smallest real load
 * 0.35 s. So from `reload_s` on a request is LOAD_RELOAD, answered but no sample; below a share of
 * it none is. Between them the answer's own tokens decide: what makes a resident model hard to find
 * (a busy machine) makes its tokens slow as well, and in tokens' time a resident model took 1.1 to
 * 1.6, the load 17. Without enough tokens to tell it stays a sample with its whole latency: a slow
 * request must not be dropped for being slow. The probe is exempt, since a server that loads when
 * asked is meant to pay there. Rejected: a share of total_duration, which a short answer beside a
 * warm model exceeds and a long one behind a load does not; the least load_duration seen so far,
 * of which a busy machine shows eight times as much, as a small load does. */
#include "load/protocols/ollama.h"

#include "base/json.h"
#include "base/text.h"
#include "load/protocols/counts.h"
#include "load/protocols/json_answer.h"
#include "load/protocols/json_request.h"

#include <math.h>
#include <string.h>

enum {
    LOAD_TOKENS_TIME = 8, /* a load takes at least the time of so many tokens of its own answer */
    TIMED_TOKENS_MIN = 4, /* the first comes with the prompt: fewer say little of its time */
};
static const double BAND_FROM = 0.4; /* of reload_s: below it a model is resident */

struct reader {
    const struct load_answer *answer;
    const struct load_ollama_shape *shape;
    struct load_record *record;
    struct buf *text, *gaps;
    struct buf thinking; /* stands in for the text when no content comes */
    size_t text_bytes;   /* of both, all that came */
    int64_t told;        /* tokens; -1 */
    int32_t text_events;
    int64_t line_ns; /* when the line was whole */
    int64_t done_ns; /* of the last line; -1 */
    double load_s;
    double token_s; /* what one token took; NAN: unknown */
    bool streamed, unchecked, error, object_seen, broken_last, broken_before;
};

/* A number of seconds must be a number, a duration ("10m") a text: "-1" as a text is refused. */
static void set_keep_alive(const struct load_stream *stream, json_t *body)
{
    const char *text = load_stream_setting(stream, "keep_alive");
    int64_t seconds;
    if (text && text_to_i64(text, &seconds))
        json_object_set_new(body, "keep_alive", json_integer(seconds));
    else
        load_json_set_text(body, stream, "keep_alive");
}

bool load_ollama_build(const struct load_stream *stream, const struct load_input *input,
                       json_t *body, struct load_request *ret_request, struct err *err)
{
    const struct corpus_prompt *prompt = input->prompt;
    int max_tokens = stream->max_tokens > 0 ? stream->max_tokens : prompt->max_tokens;
    const char *model = load_stream_model(stream);
    if (!model) {
        json_decref(body);
        return err_set(err, ERR_INPUT, "%s needs a model: set \"model\" under load",
                       stream->protocol->spec->name);
    }
    bool streamed = load_setting_is_true(stream, "stream");
    json_t *options = json_object();
    json_object_set_new(body, "model", json_text_or_null(model));
    json_object_set_new(body, "stream", json_boolean(streamed));
    set_keep_alive(stream, body);
    load_json_set_bool(body, stream, "think");
    if (max_tokens > 0)
        json_object_set_new(options, "num_predict", json_integer(max_tokens));
    load_json_set_number(options, stream, "temperature");
    load_json_set_number(options, stream, "seed");
    load_json_set_number(options, stream, "num_ctx");
    load_json_set_number(options, stream, "num_thread");
    json_object_set_new(body, "options", options);
    return load_json_request(body, input, streamed, ret_request, err);
}

/* Within a JSON string the quotes would be escaped, so text that speaks of being done is no match.
 */
bool load_ollama_complete(const struct load_answer *answer)
{
    static const char *const marks[] = {"\"done\":true", "\"done\": true"};
    size_t len = 0;
    const char *bytes = load_answer_newest(answer, &len);
    for (size_t i = 0; i < ARRAY_LEN(marks); i++)
        if (memmem(bytes, len, marks[i], strlen(marks[i])))
            return true;
    return false;
}

static bool add_text(struct reader *r, struct buf *buf, const json_t *value)
{
    if (!json_is_string(value) || json_string_length(value) == 0)
        return false;
    r->text_bytes += json_string_length(value);
    load_text_add(buf, json_string_value(value), json_string_length(value));
    return true;
}

static void note_token(struct reader *r, bool content)
{
    struct load_record *record = r->record;
    r->text_events++;
    if (!r->streamed)
        return; /* a whole answer has no token times */
    if (record->last_token_ns >= 0)
        load_gap_add(record, r->gaps, r->line_ns - record->last_token_ns);
    record->last_token_ns = r->line_ns;
    if (record->first_token_ns < 0)
        record->first_token_ns = r->line_ns;
    if (content && record->first_content_ns < 0)
        record->first_content_ns = r->line_ns;
}

static void take_figures(struct reader *r, const json_t *root)
{
    struct load_record *record = r->record;
    int64_t tokens = json_get_int(root, "eval_count", -1);
    int64_t prompt = json_get_int(root, "prompt_eval_count", -1);
    if (tokens >= 0)
        r->told = tokens;
    if (prompt >= 0 && prompt <= INT32_MAX)
        record->prompt_tokens = (int32_t)prompt;
    r->load_s = (double)json_get_int(root, "load_duration", 0) / 1e9;
    int64_t eval_ns = json_get_int(root, "eval_duration", -1);
    bool timed = tokens >= TIMED_TOKENS_MIN && eval_ns > 0;
    r->token_s = timed ? (double)eval_ns / (double)tokens / 1e9 : NAN;
    r->done_ns = r->line_ns;
}

static void take_object(struct reader *r, const json_t *root)
{
    struct buf why = BUF_INIT(LOAD_TEXT_MAX);
    r->object_seen = true;
    if (load_json_error(root, &why)) {
        buf_clear(r->text);
        load_text_add(r->text, buf_text(&why), why.len);
        r->error = true;
    }
    buf_done(&why);
    if (r->error)
        return;
    const json_t *holder =
        r->shape->holder ? json_object_get(root, r->shape->holder) : (const json_t *)root;
    bool content = add_text(r, r->text, json_object_get(holder, r->shape->content));
    bool thought = add_text(r, &r->thinking, json_object_get(holder, "thinking"));
    if (content || thought)
        note_token(r, content);
    if (json_is_true(json_object_get(root, "done")))
        take_figures(r, root);
}

static void take_line(struct reader *r, const char *line, size_t len)
{
    r->line_ns = load_answer_at_ns(r->answer, (size_t)(line - r->answer->body) + len);
    while (len > 0 && strchr(" \t\r", line[len - 1]) && line[len - 1])
        len--;
    if (len == 0 || r->error)
        return;
    r->broken_before |= r->broken_last;
    AUTO_JSON json_t *root = load_json_parse(line, len);
    r->broken_last = !json_is_object(root);
    if (!r->broken_last)
        take_object(r, root);
}

static bool is_reload(const struct reader *r, const struct load_stream *stream)
{
    double reload_s = 0;
    const char *text = load_stream_setting(stream, "reload_s");
    if (!text || !text_to_double(text, &reload_s) || r->load_s < BAND_FROM * reload_s)
        return false;
    return r->load_s >= reload_s || r->load_s >= LOAD_TOKENS_TIME * r->token_s; /* NAN: no */
}

static enum load_error judge(const struct reader *r, const struct load_stream *stream)
{
    if (r->error)
        return LOAD_SERVER_ERROR;
    if (r->broken_before || (r->broken_last && !r->object_seen))
        return LOAD_MALFORMED;
    if (r->done_ns < 0)
        return LOAD_TRUNCATED;
    if (r->broken_last)
        return LOAD_MALFORMED;
    bool unseen = stream->unchecked && r->record->tokens_exact && r->record->tokens > 0;
    if (r->text_events == 0 && !unseen)
        return LOAD_EMPTY;
    bool exempt = r->record->part == LOAD_PROBE;
    return !exempt && is_reload(r, stream) ? LOAD_RELOAD : LOAD_OK;
}

void load_ollama_read(const struct load_stream *stream, const struct load_answer *answer,
                      const struct load_ollama_shape *shape, struct load_record *record,
                      struct buf *ret_text, struct buf *ret_gaps)
{
    struct reader r = {
        .answer = answer,
        .shape = shape,
        .record = record,
        .text = ret_text,
        .gaps = ret_gaps,
        .thinking = BUF_INIT(LOAD_TEXT_MAX),
        .told = -1,
        .done_ns = -1,
        .token_s = NAN,
        .streamed = load_setting_is_true(stream, "stream"),
        .unchecked = stream->unchecked,
    };
    for (size_t at = 0; at < answer->len;) {
        const char *line = answer->body + at;
        const char *end = memchr(line, '\n', answer->len - at);
        size_t len = end ? (size_t)(end - line) : answer->len - at;
        take_line(&r, line, len);
        at += len + 1;
    }
    /* Tokens may show as nothing where texts mean nothing. */
    load_tokens_take(record, &(struct load_told){
                                 .tokens = r.told,
                                 .most = r.unchecked ? INT32_MAX : load_told_most(r.text_bytes)});
    record->error = judge(&r, stream);
    if (!record->tokens_exact && r.streamed)
        record->tokens = r.text_events;
    if (r.done_ns >= 0)
        record->done_ns = r.done_ns;
    if (ret_text->len == 0)
        load_text_add(ret_text, buf_text(&r.thinking), r.thinking.len);
    if (record->error == LOAD_MALFORMED && ret_text->len == 0)
        load_text_add(ret_text, answer->body, answer->len > 200 ? 200 : answer->len);
    buf_done(&r.thinking);
}
