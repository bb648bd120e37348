/* How often each prompt of a list was sent: what a server has seen before it may answer from its
 * prefix cache, and then its first token comes sooner than anybody's with a prompt of his own. */
#pragma once

#include "base/arena.h"
#include "load/plan.h"
#include "load/record.h"

struct bench_sent {  /* in the arena */
    uint32_t *times; /* of each prompt of the corpus */
    size_t count;
};

/* NULL: the stream sends no prompts of a list (made-up text, audio), so none is sent again. */
struct bench_sent *bench_sent_new(const struct load_stream *stream, struct arena *arena);
/* One more request, whatever came of it. `sent` may be NULL. */
void bench_sent_add(struct bench_sent *sent, const struct load_record *record);

struct bench_repeats {
    size_t prompts;       /* that were sent */
    uint32_t least, most; /* times, of one of them */
};
/* All 0: nothing was sent, or `sent` is NULL. */
struct bench_repeats bench_sent_repeats(const struct bench_sent *sent);
