/* A voice turn: speech is transcribed, the transcript asked, the answer spoken. Each step is a
 * stream of its own with records of its own; a step's request is intended for the moment at which
 * the last byte of the answer before it came, so what this process takes to read the one and send
 * the other is its own lateness and counts in the latency, as everywhere.
 *
 * Only a good answer with a text is followed. A step whose turn has broken has nothing to send, and
 * a made-up request in its place would measure a turn that nobody had; what is missing is counted
 * against the first step's requests.
 *
 * A request keeps the number of the one it follows, so that the records of one turn can be found
 * together whichever worker sent them. Rejected: one record for the whole turn, which would need
 * every judge and every table to know a second kind of record. */
#include "load/follow.h"

#include "load/child.h"

#include <stdlib.h>

bool load_stream_follows(const struct load_stream *stream)
{
    return stream->arrivals == ARRIVALS_AFTER;
}

static void free_step(const struct load_run *run, struct load_step *step)
{
    if (step->next) {
        load_prepared_clear(run, step->next);
        free(step->next);
    }
    *step = (struct load_step){.turn_start_ns = -1};
}

void load_steps_done(struct load_run *run)
{
    for (size_t i = 0; i < run->steps.cap; i++)
        free_step(run, &run->steps.at[i]);
    free(run->steps.at);
    run->steps = (struct load_steps){0};
}

static struct load_step *step_of(struct load_run *run, uint32_t client)
{
    struct load_steps *steps = &run->steps;
    if (client >= steps->cap) {
        size_t cap = client < 32 ? 64 : 2 * ((size_t)client + 1);
        struct load_step *grown = realloc(steps->at, cap * sizeof *grown);
        if (!grown)
            abort();
        for (size_t i = steps->cap; i < cap; i++)
            grown[i] = (struct load_step){.turn_start_ns = -1};
        steps->at = grown;
        steps->cap = cap;
    }
    return &steps->at[client];
}

struct load_prepared *load_steps_take(struct load_run *run, const struct load_turn *turn,
                                      struct err *err)
{
    struct load_prepared *next = TAKE(step_of(run, turn->client)->next);
    if (!next)
        err_set(err, ERR_INTERNAL, "a request that follows nothing");
    return next;
}

int64_t load_steps_start_ns(const struct load_run *run, const struct load_turn *turn)
{
    bool known = load_stream_follows(run->stream) && turn->client < run->steps.cap;
    return known ? run->steps.at[turn->client].turn_start_ns : -1;
}

static struct load_prepared *build(struct load_run *run, const struct buf *text, struct err *err)
{
    const struct corpus_prompt prompt = {.prompt = (char *)buf_text(text)};
    const struct load_input input = {.prompt = &prompt};
    struct load_prepared *prepared = calloc(1, sizeof *prepared);
    if (!prepared)
        abort();
    prepared->once = true;
    if (load_prepared_build(run, run->stream, &input, prepared, err))
        return prepared;
    load_prepared_clear(run, prepared);
    free(prepared);
    return NULL;
}

static void begin(struct load_child *child, struct load_run *run, const struct load_flight *flight,
                  const struct buf *text)
{
    const struct load_record *record = &flight->record;
    struct err err = ERR_INIT;
    uint32_t client = 0;
    struct load_prepared *next = build(run, text, &err);
    if (!next) {
        load_child_fail(child, err.text);
        return;
    }
    /* Where the server left its socket open after the end mark, the wait was not ours. */
    int64_t due_ns = flight->cut ? flight->finished_ns : record->done_ns;
    load_schedule_follow(&run->schedule, record->sequence, record->done_ns, due_ns, &client);
    struct load_step *step = step_of(run, client);
    free_step(run, step); /* of a turn that was dropped unsent */
    step->next = next;
    step->turn_start_ns = record->turn_start_ns >= 0 ? record->turn_start_ns : record->intended_ns;
}

void load_steps_begin(struct load_child *child, const struct load_flight *flight,
                      const struct buf *text)
{
    if (!flight->run->followed || flight->record.error != LOAD_OK || text->len == 0 ||
        child->plan->probe)
        return;
    for (size_t i = 0; i < child->plan->stream_count; i++) {
        struct load_run *run = &child->runs[i];
        if (load_stream_follows(run->stream) && run->stream->after == flight->run->index)
            begin(child, run, flight, text);
    }
    load_child_plan_next(child);
}
