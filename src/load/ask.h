/* What one request carries: pure functions of (seed, salt, stream name, session, turn), so that a
 * plan can be written down before anything is sent (the words of made-up text: of its text salt
 * too). Requests without sessions are sessions of one turn, numbered like the requests. */
#pragma once

#include "base/buf.h"
#include "load/plan.h"

struct load_ask {
    size_t item;       /* of the corpus: its clip, its prompt */
    bool made;         /* the text is made up, `prompt_tokens` long; item is 0 */
    int prompt_tokens; /* of made-up text */
    int output_tokens; /* max_tokens; 0: as the stream or the prompt says */
    int prefix;        /* which shared beginning; -1: none */
};

/* One shuffled pass over some items, kept until another is asked for. */
struct load_pass {
    uint64_t number;
    size_t count;
    size_t *items; /* owned */
};

/* Draws items; keeps the passes it is in, since a pass over a large corpus takes a while. */
struct load_picker {
    const struct load_plan *plan; /* borrowed, as all below it */
    size_t stream;
    struct load_pass whole;                 /* of the corpus, or of a mix: indices of its classes */
    struct load_pass classes[SPEC_MIX_MAX]; /* of a mix: of each of its files */
    int shares[SPEC_MIX_MAX];               /* of a mix: requests of each in one pass */
};
struct load_picker load_picker_init(const struct load_plan *plan, size_t stream);
void load_picker_done(struct load_picker *picker);

struct load_ask load_ask_draw(struct load_picker *picker, uint64_t session, unsigned turn);
/* Made-up texts, appended: the shared beginning that the ask names, and the turn's own words. */
void load_ask_add_prefix(const struct load_picker *picker, const struct load_ask *ask,
                         struct buf *ret_text);
void load_ask_add_text(const struct load_picker *picker, const struct load_ask *ask,
                       uint64_t session, unsigned turn, struct buf *ret_text);

/* Does the stream send texts that no corpus holds as they are, so that each request is built by
 * itself? */
bool load_stream_makes(const struct load_stream *stream);
bool load_stream_has_sessions(const struct load_stream *stream);
/* From 1 on. */
unsigned load_session_turns(const struct load_plan *plan, size_t stream, uint64_t session);
/* What passes between the end of this turn and the client's next request. */
int64_t load_think_ns(const struct load_plan *plan, size_t stream, uint64_t session, unsigned turn);
/* Clients of a closed loop do not begin in step: how long this one waits before it asks first. They
 * join over the first half of what is left of the warm-up when the stream starts, one in each of
 * equal parts at a drawn moment, the first at once; after that each waits a drawn part of its first
 * think time. Without a warm-up they would join within the window, and so begin together. */
int64_t load_first_wait_ns(const struct load_plan *plan, size_t stream, uint64_t client);
