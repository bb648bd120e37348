/* Inside guard/: what the daemon and one look share. */
#pragma once

#include "guard/guard.h"
#include "guard/watch.h"

/* A loop with what is watched in it. */
struct guard_lookout {
    sd_event *event;                 /* owned */
    struct spec_candidate candidate; /* that runs */
    const char *candidate_from;      /* why it is taken for it; static */
    struct guard_candidate found;    /* of which these two are */
    struct guard_candidate_look look;
    struct guard_watch *watch; /* owned */
};
enum guard_lookout_for { GUARD_LOOKOUT_RUNS, GUARD_LOOKOUT_ONCE };
NODISCARD bool guard_lookout_open(
    const struct guard_options *options, enum guard_lookout_for purpose,
    void (*request)(void *context, const struct proxy_request *request, int64_t now_ns),
    void *context, struct guard_lookout *ret_lookout, struct err *err);
/* What runs is looked for again, and what is watched follows it. Flags of guard_candidate_step():
 * what is not the watch's and was made from it is the caller's to make anew. */
unsigned guard_lookout_step(struct guard_lookout *lookout, const struct guard_options *options,
                            int64_t now_ns);
void guard_lookout_close(struct guard_lookout *lookout);
