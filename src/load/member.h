/* Inside load/: the parent's end of one worker process. Several make a load_worker. */
#pragma once

#include "load/plan.h"
#include "load/wire.h"

#include <sys/types.h>

struct load_member {
    int fd;    /* -1 once it has ended */
    pid_t pid; /* 0 once reaped */
    struct buf in;
    size_t in_at; /* of it, handed out already */
};

/* What is told to a worker: 8 bytes, the run's zero (monotonic ns), or this. */
enum { LOAD_WORD_STOP = 0 };

/* Forks number `index` of the plan's workers. */
NODISCARD bool load_member_start(const struct load_plan *plan, int index,
                                 struct load_member *ret_member, struct err *err);

enum load_member_news {
    LOAD_MEMBER_NONE,   /* nothing more now */
    LOAD_MEMBER_FRAME,  /* *ret_frame, valid until the next call */
    LOAD_MEMBER_CLOSED, /* its end of the channel is closed */
    LOAD_MEMBER_BROKEN, /* what it says can't be read */
};
enum load_member_news load_member_next(struct load_member *member,
                                       struct load_wire_frame *ret_frame);
/* Kills it if it hangs and so does not listen. */
void load_member_tell(struct load_member *member, int64_t word);
/* Waits for its end (`kill_it`: makes it); `ret_why` says in words how it ended. */
void load_member_reap(struct load_member *member, bool kill_it, char *ret_why, size_t size);
void load_member_done(struct load_member *member);            /* kills it if it still runs */
int64_t load_member_cpu_ns(const struct load_member *member); /* of one that runs; else 0 */
