/* One request from its send to its record.
 *
 * While it flies, only two things are looked at: the bytes' arrival (stamped by the transport) and
 * whether the newest ones hold the protocol's end mark, after which a server gets LOAD_GRACE_NS to
 * end the transfer as well. Everything else waits until the answer is finished and the loop has
 * time, since parsing a long answer takes longer than a send may be late.
 *
 * Invariant: every request that was taken from a schedule gives exactly one record, whatever
 * happens to it. */
#include "load/child.h"

#include "base/clock.h"
#include "load/upstream.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

/* After the end mark of an answer that another request waits for: a server's last bytes (the token
 * counts) may come, a socket that stays open is not waited for. */
enum { FOLLOWED_GRACE_NS = 20000000 };

/* The hooks carry a call only, and it its flight; the run knows which one it is in the child. */
static struct load_child *child_of(struct load_flight *flight)
{
    struct load_run *runs = flight->run - flight->run->index;
    return (struct load_child *)(void *)((char *)runs - offsetof(struct load_child, runs));
}

static struct load_record new_record(const struct load_child *child, const struct load_run *run,
                                     const struct load_turn *turn)
{
    /* A turn belongs to the part in which it began, all steps of it. */
    int64_t turn_start_ns = load_steps_start_ns(run, turn);
    int64_t began_ns = turn_start_ns >= 0 ? turn_start_ns : turn->intended_ns;
    enum load_part part = began_ns < child->report.window_start_ns ? LOAD_WARMUP : LOAD_WINDOW;
    return (struct load_record){
        .stream = (uint32_t)run->index,
        .sequence = (uint32_t)turn->sequence,
        .session = (uint32_t)turn->session,
        .turn = turn->turn,
        .part = child->plan->probe ? LOAD_PROBE : part,
        .intended_ns = turn->intended_ns,
        .held_back = turn->held_back,
        .sent_ns = -1,
        .first_byte_ns = -1,
        .first_token_ns = -1,
        .first_content_ns = -1,
        .last_token_ns = -1,
        .done_ns = -1,
        .turn_start_ns = turn_start_ns,
        .tokens = -1,
        .prompt_tokens = -1,
        .audio_s = __builtin_nan(""),
    };
}

/* Of the window alone (or of a probe): a cold start's first sends are the warm-up's. */
static void note_lateness(struct load_child *child, const struct load_record *record,
                          int64_t due_ns)
{
    int64_t late_ns = record->sent_ns - due_ns;
    if (record->part != LOAD_WARMUP)
        load_delays_add(&child->lateness, &late_ns, 1);
}

static struct load_flight *get_flight(struct load_run *run)
{
    struct load_flight *flight = TAILQ_FIRST(&run->unused);
    if (flight) {
        TAILQ_REMOVE(&run->unused, flight, link);
        return flight;
    }
    flight = calloc(1, sizeof *flight);
    if (!flight)
        abort();
    flight->run = run;
    flight->call = run->transport->call_new(run->client);
    flight->call->owner = flight;
    return flight;
}

static void take_item(struct load_run *run, const struct load_turn *turn,
                      struct load_record *record)
{
    if (load_stream_follows(run->stream))
        return;
    const struct load_ask ask = load_ask_draw(&run->picker, turn->session, turn->turn);
    record->item = (uint32_t)ask.item;
    record->made = ask.made;
    if (run->stream->protocol->sends_audio)
        record->audio_s = run->stream->corpus->clips[ask.item].duration_s;
}

/* The next request's body is built now, so that it is not built when it is due. */
static void prepare_next(struct load_child *child, struct load_run *run)
{
    struct err err = ERR_INIT;
    if (!load_run_prepare_next(run, &err))
        load_child_fail(child, err.text);
}

struct load_flight *load_flight_make(struct load_child *child, struct load_run *run,
                                     const struct load_turn *turn)
{
    struct load_flight *flight = get_flight(run);
    flight->record = new_record(child, run, turn);
    flight->grace_end_ns = CLOCK_NEVER;
    flight->complete = flight->cut = flight->held = false;
    flight->turn = *turn;
    take_item(run, turn, &flight->record);
    struct err err = ERR_INIT;
    flight->prepared = load_run_prepare(run, turn, &err);
    if (!flight->prepared)
        load_child_fail(child, err.text);
    return flight;
}

void load_flight_left(struct load_child *child, struct load_flight *flight, int64_t sent_ns)
{
    struct load_run *run = flight->run;
    TAILQ_INSERT_TAIL(&run->flights, flight, link);
    if (!flight->prepared)
        return;
    flight->record.sent_ns = sent_ns;
    note_lateness(child, &flight->record, flight->turn.due_ns);
    load_child_keep_by(child, flight->turn.intended_ns + run->stream->timeout_ns);
    prepare_next(child, run);
}

void load_flight_launch(struct load_child *child, struct load_run *run)
{
    struct load_turn turn = load_schedule_take(&run->schedule);
    struct load_flight *flight = load_flight_make(child, run, &turn);
    const struct load_prepared *prepared = flight->prepared;
    if (!prepared) {
        load_flight_left(child, flight, -1);
        return;
    }
    const struct load_parcel parcel = {
        .stream = run->stream,
        .target = run->target,
        .request = &prepared->request,
        .ready = prepared->ready,
    };
    run->transport->send(flight->call, &parcel);
    /* After the call, which has connected and perhaps written: our own work counts as lateness. */
    load_flight_left(child, flight, clock_now_ns());
}

static void emit_unsent(struct load_child *child, struct load_record *record, enum load_error error)
{
    record->error = error;
    record->done_ns = clock_now_ns();
    buf_clear(&child->text);
    buf_clear(&child->gaps);
    load_child_emit(child, record, &child->text, &child->gaps);
}

/* A request that was never sent: held back until its time was over. */
void load_flight_drop(struct load_child *child, struct load_run *run, enum load_error error)
{
    struct load_turn turn = load_schedule_drop(&run->schedule);
    struct load_record record = new_record(child, run, &turn);
    take_item(run, &turn, &record);
    record.held_back = true;
    emit_unsent(child, &record, error);
}

/* It was due, and the loop had no turn to send it before the end came. */
void load_flight_unsent(struct load_child *child, struct load_flight *flight)
{
    flight->record.held_back = true;
    emit_unsent(child, &flight->record, LOAD_UNFINISHED);
}

static void read_flight(struct load_child *child, struct load_flight *flight);

/* From the run's list to the finished ones; the client, or the place, is free again. An answer from
 * which another request is made is read at once: somebody waits for it. So is one that keeps nobody
 * waiting, which spares the loop a turn. */
static void move_to_finished(struct load_child *child, struct load_flight *flight, int64_t now_ns)
{
    struct load_run *run = flight->run;
    TAILQ_REMOVE(&run->flights, flight, link);
    flight->finished_ns = now_ns;
    load_schedule_ended(&run->schedule, &flight->turn, now_ns, flight->record.error != LOAD_OK);
    const struct load_call *call = flight->call;
    bool at_once = run->followed && flight->record.error == LOAD_OK;
    if (at_once || (call->last && child->finished_count == 0 &&
                    load_child_can_read(child, call->answer->len, now_ns))) {
        read_flight(child, flight);
    } else {
        TAILQ_INSERT_TAIL(&child->finished, flight, link);
        child->finished_count++;
    }
    load_child_plan_next(child);
}

static void note_answer(struct load_flight *flight)
{
    const struct load_answer *answer = flight->call->answer;
    flight->record.http_status = answer->http_status;
    flight->record.bytes = (int64_t)answer->len + flight->call->dropped_bytes;
    if (answer->chunk_count > 0)
        flight->record.first_byte_ns = answer->chunks[0].at_ns;
}

void load_flight_end(struct load_child *child, struct load_flight *flight, enum load_error error)
{
    int64_t now_ns = clock_now_ns();
    flight->run->transport->cancel(flight->call);
    note_answer(flight);
    flight->cut = true;
    /* An answer that is complete by its own mark is one, although the socket stayed open. */
    flight->record.error = flight->complete ? LOAD_OK : error;
    flight->record.done_ns = now_ns;
    move_to_finished(child, flight, now_ns);
}

/* Is there an answer to be read, rather than a failure by its status? */
static bool is_accepted(const struct load_flight *flight)
{
    return !flight->run->transport->has_status || flight->call->answer->http_status == 200;
}

static bool on_chunk(struct load_call *call)
{
    struct load_flight *flight = call->owner;
    const struct load_protocol *protocol = flight->run->stream->protocol;
    if (!protocol->complete || !is_accepted(flight))
        return false;
    /* Bytes after the mark renew the grace only while a line is under way: a slow server may take
     * its time over the last event, but pings do not keep a finished answer open. */
    const struct load_answer *answer = call->answer;
    bool in_line = answer->len > 0 && !strchr("\r\n", answer->body[answer->len - 1]);
    if (flight->complete ? !in_line : !protocol->complete(answer))
        return false;
    flight->complete = true;
    if (flight->run->transport->mark_ends)
        return true;
    flight->grace_end_ns =
        clock_now_ns() + (flight->run->followed ? FOLLOWED_GRACE_NS : LOAD_GRACE_NS);
    load_child_keep_by(child_of(flight), flight->grace_end_ns);
    return true;
}

static enum load_error error_of(enum load_transport_end end)
{
    static const enum load_error errors[] = {
        [LOAD_END_COMPLETE] = LOAD_OK,         [LOAD_END_CONNECT] = LOAD_CONNECT,
        [LOAD_END_CLOSED] = LOAD_CLOSED,       [LOAD_END_NONSENSE] = LOAD_MALFORMED,
        [LOAD_END_LIMIT] = LOAD_LIMIT,         [LOAD_END_INTERNAL] = LOAD_CONNECT,
        [LOAD_END_FAILED] = LOAD_SERVER_ERROR, [LOAD_END_TLS] = LOAD_TLS,
    };
    static_assert(ARRAY_LEN(errors) == LOAD_END_COUNT_, "an error for each end");
    return errors[end];
}

static void on_done(struct load_call *call, enum load_transport_end end)
{
    int64_t now_ns = clock_now_ns();
    struct load_flight *flight = call->owner;
    struct load_child *child = child_of(flight);
    struct load_record *record = &flight->record;
    const struct load_answer *answer = call->answer;
    note_answer(flight);
    if (end == LOAD_END_INTERNAL) {
        char why[sizeof child->report.failure];
        snprintf(why, sizeof why, "no descriptor or local port left: %s", call->why);
        load_child_fail(child, why);
    }
    /* Over a limit: nothing of it is worth the time to read it, nor the memory until then. */
    if (end == LOAD_END_LIMIT)
        flight->run->transport->trim(call);
    record->error = error_of(end);
    if (end == LOAD_END_CLOSED && flight->complete)
        record->error = LOAD_OK;
    if (record->error == LOAD_OK && !is_accepted(flight))
        record->error = LOAD_HTTP_STATUS;
    /* The last byte's own stamp, not the moment at which it was found out to be the last. */
    bool stamped =
        record->error == LOAD_OK && answer->chunk_count > 0 && !flight->run->transport->ends_apart;
    record->done_ns = stamped ? answer->chunks[answer->chunk_count - 1].at_ns : now_ns;
    move_to_finished(child, flight, now_ns);
}

const struct load_transport_hooks load_flight_hooks = {
    .chunk = on_chunk, .done = on_done, .lost = load_ahead_lost};

/* What is known of a failure about which nobody said a word. */
static const char *guess(enum load_error error, const struct load_answer *answer)
{
    if (error == LOAD_EMPTY)
        return "";
    if (error == LOAD_TRUNCATED)
        return "the stream ended without its end mark";
    if (answer->len > 0)
        return "the answer stopped in the middle";
    return answer->http_status != 0 ? "no body came after the status line"
                                    : "no byte of an answer came";
}

/* Text of a failure: the answer's beginning if it has one, else what the transfer ended with, else
 * how far it had come. */
static void explain(struct load_flight *flight, struct buf *text)
{
    enum { SHOWN = 200 };
    const struct load_answer *answer = flight->call->answer;
    const char *said = flight->call->why;
    if (!said[0])
        said = guess(flight->record.error, answer);
    size_t len = strlen(said);
    if (flight->record.error == LOAD_HTTP_STATUS && answer->len > 0) {
        said = answer->body;
        len = answer->len < SHOWN ? answer->len : SHOWN;
    }
    if (!buf_append(text, said, len))
        text->over = true;
    for (size_t i = 0; i < text->len; i++)
        if (text->data[i] == '\0')
            text->data[i] = ' ';
}

/* A cut answer is read too, for the times of the tokens that did come; but it stays what it is,
 * unless the server itself had said that it failed. */
static void read_answer(struct load_child *child, struct load_flight *flight)
{
    struct load_record *record = &flight->record;
    const struct load_answer *answer = flight->call->answer;
    bool said = record->error == LOAD_SERVER_ERROR; /* by the transport: `why` has the words */
    if (is_accepted(flight) && !said && (record->error == LOAD_OK || answer->len > 0)) {
        struct load_record read = *record;
        flight->run->stream->protocol->read(flight->run->stream, answer, &read, &child->text,
                                            &child->gaps);
        if (record->error != LOAD_OK && read.error != LOAD_SERVER_ERROR) {
            read.error = record->error;
            read.done_ns = record->done_ns;
        }
        *record = read;
    }
    if (record->error != LOAD_OK && child->text.len == 0)
        explain(flight, &child->text);
}

static void read_flight(struct load_child *child, struct load_flight *flight)
{
    buf_clear(&child->text);
    buf_clear(&child->gaps);
    read_answer(child, flight);
    load_upstream_redact(flight->run->stream->api_key, &child->text);
    load_child_emit(child, &flight->record, &child->text, &child->gaps);
    load_run_answered(child, flight, &child->text);
    load_steps_begin(child, flight, &child->text);
    /* One huge answer must not hold its memory for the rest of the run. */
    flight->run->transport->trim(flight->call);
    TAILQ_INSERT_HEAD(&flight->run->unused, flight, link);
}

void load_flight_read_one(struct load_child *child)
{
    struct load_flight *flight = TAILQ_FIRST(&child->finished);
    if (!flight)
        return;
    TAILQ_REMOVE(&child->finished, flight, link);
    child->finished_count--;
    read_flight(child, flight);
}

void load_flight_quit(struct load_child *child)
{
    for (size_t i = 0; i < child->plan->stream_count; i++) {
        struct load_run *run = &child->runs[i];
        if (run->client && run->transport->quit)
            run->transport->quit(run->client);
    }
}
