/* Inside guard/: are a split's arms where they must compute, and what do they hold? Asked for as
 * long as the split is open, whether or not an arm gets requests. */
#pragma once

#include "guard/split.h"
#include "guard/tier_process.h"

struct split_place { /* of one arm; as split_place_new() gives it */
    struct tier_process process;
    struct proc_listening listening; /* who has its port */
    int port;
    int64_t looked_ns;
    bool wrong; /* until it is seen where it must be, or is down */
};

struct split_place split_place_new(void);

void split_place_done(struct split_place *place);
/* It may have to be on another device from here on; that it is where it must be is still owed. */
void split_place_follow(struct split_place *place);
/* A look every two seconds: who listens on the arm's port, what does it hold, and, where it must be
 * on the GPU, does the driver list it? An arm that the service's `watch:` names is not looked at,
 * that is done already (watch_place.h). */
void split_place_look(struct split_place *place, const struct guard_split_setup *setup, size_t arm,
                      int64_t now_ns);
