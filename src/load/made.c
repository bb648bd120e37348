/* First turns are built ahead in the order in which they will be sent, follow-up turns as soon as
 * the answer before them was read: never when due. What is sent once is freed once it was sent, so
 * that a long run holds no more than what is in flight and a little ahead.
 *
 * The drawn max_tokens reaches the protocol as the stream's own, so that each protocol obeys it
 * without knowing of it. */
#include "load/made.h"

#include "load/child.h"

#include <stdlib.h>

void load_made_init(struct load_made *made)
{
    *made = (struct load_made){0};
}

static void free_prepared(const struct load_run *run, struct load_prepared *prepared)
{
    if (!prepared)
        return;
    load_prepared_clear(run, prepared);
    free(prepared);
}

void load_made_done(struct load_run *run)
{
    struct load_made *made = &run->made;
    for (size_t i = 0; i < made->count; i++) {
        struct load_fresh *fresh = &made->fresh[(made->head + i) % made->cap];
        free_prepared(run, fresh->prepared);
        load_talk_clear(&fresh->talk);
    }
    for (size_t i = 0; i < made->client_cap; i++) {
        free_prepared(run, made->clients[i].next);
        load_talk_clear(&made->clients[i].talk);
    }
    free(made->fresh);
    free(made->clients);
    *made = (struct load_made){0};
}

static struct load_prepared *build(const struct load_run *run, const struct load_ask *ask,
                                   const struct corpus_prompt *prompt, struct err *err)
{
    struct load_stream stream = *run->stream;
    if (ask->output_tokens > 0)
        stream.max_tokens = ask->output_tokens;
    const struct load_input input = {.item = ask->item, .prompt = prompt};
    struct load_prepared *prepared = calloc(1, sizeof *prepared);
    if (!prepared)
        abort();
    prepared->once = true;
    if (load_prepared_build(run, &stream, &input, prepared, err))
        return prepared;
    free_prepared(run, prepared);
    return NULL;
}

/* All that was said so far, and the user's next words. */
static struct load_prepared *build_talk(const struct load_run *run, const struct load_ask *ask,
                                        const char *prefix, const struct corpus_prompt *own,
                                        struct load_talk *talk, struct err *err)
{
    load_talk_add_prompt(talk, prefix, own);
    if (talk->text.over) {
        err_set(err, ERR_LIMIT, "a conversation of more than %d MiB", LOAD_TALK_MAX >> 20);
        return NULL;
    }
    AUTO(free) char *json = NULL;
    struct corpus_prompt whole = load_talk_prompt(talk, &json);
    whole.max_tokens = own->max_tokens;
    return build(run, ask, &whole, err);
}

/* One more turn of the user's. What is no conversation is sent as the plain text that it is. */
static struct load_prepared *build_turn(struct load_run *run, uint64_t session, unsigned turn,
                                        struct load_talk *talk, struct err *err)
{
    AUTO(buf_done) struct buf prefix = BUF_INIT(LOAD_TALK_MAX), text = BUF_INIT(LOAD_TALK_MAX);
    const struct load_ask ask = load_ask_draw(&run->picker, session, turn);
    struct corpus_prompt own = {0};
    if (!ask.made)
        own = run->stream->corpus->prompts[ask.item];
    if (ask.prefix >= 0)
        load_ask_add_prefix(&run->picker, &ask, &prefix);
    bool talks = load_stream_has_sessions(run->stream) || own.messages;
    if (!talks && ask.prefix >= 0)
        buf_addf(&text, "%s\n\n", buf_text(&prefix));
    if (ask.made)
        load_ask_add_text(&run->picker, &ask, session, turn, &text);
    else if (!talks && own.prompt)
        buf_add(&text, own.prompt);
    if (ask.made || (!talks && own.prompt))
        own.prompt = buf_text(&text);
    if (talks)
        return build_talk(run, &ask, ask.prefix >= 0 ? buf_text(&prefix) : NULL, &own, talk, err);
    return build(run, &ask, &own, err);
}

/* ---- first turns ---- */

static void widen(struct load_made *made)
{
    size_t cap = made->cap ? 2 * made->cap : 16;
    struct load_fresh *fresh = calloc(cap, sizeof *fresh);
    if (!fresh)
        abort();
    for (size_t i = 0; i < made->count; i++)
        fresh[i] = made->fresh[(made->head + i) % made->cap];
    free(made->fresh);
    made->fresh = fresh;
    made->head = 0;
    made->cap = cap;
}

size_t load_made_ahead(struct load_run *run, uint64_t session, int step, size_t wanted,
                       struct err *err)
{
    struct load_made *made = &run->made;
    size_t used = 1;
    while (made->count < wanted) {
        struct load_fresh fresh = {.session = session + made->count * (uint64_t)step};
        fresh.prepared = build_turn(run, fresh.session, 0, &fresh.talk, err);
        if (!fresh.prepared) {
            load_talk_clear(&fresh.talk);
            return 0;
        }
        used = fresh.prepared->request.body.len + 1;
        if (!load_stream_has_sessions(run->stream))
            load_talk_clear(&fresh.talk); /* nothing follows */
        if (made->count == made->cap)
            widen(made);
        made->fresh[(made->head + made->count++) % made->cap] = fresh;
    }
    return used;
}

/* ---- turns ---- */

static struct load_turns *client_of(struct load_made *made, uint32_t client)
{
    if (client >= made->client_cap) {
        size_t cap = made->client_cap ? 2 * made->client_cap : 64;
        cap = cap > client ? cap : (size_t)client + 1;
        struct load_turns *grown = realloc(made->clients, cap * sizeof *grown);
        if (!grown)
            abort();
        for (size_t i = made->client_cap; i < cap; i++)
            grown[i] = (struct load_turns){0};
        made->clients = grown;
        made->client_cap = cap;
    }
    return &made->clients[client];
}

static struct load_prepared *take_fresh(struct load_run *run, const struct load_turn *turn,
                                        struct err *err)
{
    struct load_made *made = &run->made;
    /* What was dropped unsent is passed over. */
    while (made->count > 0 && made->fresh[made->head].session < turn->session) {
        free_prepared(run, made->fresh[made->head].prepared);
        load_talk_clear(&made->fresh[made->head].talk);
        made->head = (made->head + 1) % made->cap;
        made->count--;
    }
    if (made->count == 0 && load_made_ahead(run, turn->session, 1, 1, err) == 0)
        return NULL;
    struct load_fresh fresh = made->fresh[made->head];
    made->head = (made->head + 1) % made->cap;
    made->count--;
    if (load_stream_has_sessions(run->stream)) {
        struct load_turns *turns = client_of(made, turn->client);
        load_talk_clear(&turns->talk);
        turns->talk = fresh.talk;
    }
    return fresh.prepared;
}

struct load_prepared *load_made_take(struct load_run *run, const struct load_turn *turn,
                                     struct err *err)
{
    if (turn->turn == 0)
        return take_fresh(run, turn, err);
    struct load_turns *turns = client_of(&run->made, turn->client);
    return TAKE(turns->next);
}

bool load_made_go_on(struct load_run *run, const struct load_flight *flight, const struct buf *text,
                     struct err *err)
{
    const struct load_turn *turn = &flight->turn;
    if (!load_stream_has_sessions(run->stream))
        return true;
    struct load_turns *turns = client_of(&run->made, turn->client);
    free_prepared(run, TAKE(turns->next)); /* a turn that was dropped unsent */
    if (!load_schedule_go_on(&run->schedule, turn, flight->record.done_ns,
                             flight->record.error != LOAD_OK)) {
        load_talk_clear(&turns->talk);
        return true;
    }
    load_talk_add_answer(&turns->talk, buf_text(text), text->len);
    turns->next = build_turn(run, turn->session, turn->turn + 1, &turns->talk, err);
    return turns->next != NULL;
}

void load_run_answered(struct load_child *child, struct load_flight *flight, const struct buf *text)
{
    struct load_run *run = flight->run;
    struct err err = ERR_INIT;
    if (flight->prepared && flight->prepared->once)
        free_prepared(run, flight->prepared);
    flight->prepared = NULL;
    if (!load_made_go_on(run, flight, text, &err))
        load_child_fail(child, err.text);
}
