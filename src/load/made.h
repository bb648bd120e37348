/* Private to the worker's child process: requests that are built for one send, because their text
 * is made up, or because it is a conversation that goes on. */
#pragma once

#include "load/schedule.h"
#include "load/talk.h"

struct load_run;
struct load_flight;
struct load_prepared;

struct load_fresh { /* a first turn, built ahead */
    uint64_t session;
    struct load_prepared *prepared; /* owned */
    struct load_talk talk;
};

struct load_turns { /* one client's session */
    struct load_talk talk;
    struct load_prepared *next; /* owned; its next turn */
};

struct load_made {
    struct load_fresh *fresh; /* owned ring, by session */
    size_t head, count, cap;
    struct load_turns *clients; /* owned, by number of the client */
    size_t client_cap;
};

void load_made_init(struct load_made *made);
void load_made_done(struct load_run *run);
/* First turns built ahead until there are `wanted`: of `session` and every step-th after it.
 * Returns the bytes of the last one's body and one more; 0: err says why not. */
size_t load_made_ahead(struct load_run *run, uint64_t session, int step, size_t wanted,
                       struct err *err);
/* The request of a turn, from now on the caller's; NULL: err says why not. */
struct load_prepared *load_made_take(struct load_run *run, const struct load_turn *turn,
                                     struct err *err);
/* After an answer was read: its text is part of the conversation, whose next turn is built now; or
 * the session is over. */
bool load_made_go_on(struct load_run *run, const struct load_flight *flight, const struct buf *text,
                     struct err *err);
