/* Inside guard/: are a split's arms where they must compute? Asked for as long as the split is
 * open, whether or not an arm gets requests. */
#pragma once

#include "guard/split.h"
#include "guard/tier_place.h"
#include "promote/alive.h"

struct split_place { /* of one arm; zeroed at first */
    struct promote_alive alive;
    struct tier_place place;
    int64_t looked_ns;
    bool wrong; /* until it is seen where it must be, or is down */
};

void split_place_done(struct split_place *place);
/* It may have to be on another device from here on; that it is where it must be is still owed. */
void split_place_follow(struct split_place *place);
/* A look every two seconds: who listens on the arm's port, and does the driver list it? An arm that
 * the service's `watch:` names is not looked at, that is done already (watch_place.h). */
void split_place_look(struct split_place *place, const struct guard_split_setup *setup, size_t arm,
                      int64_t now_ns);
