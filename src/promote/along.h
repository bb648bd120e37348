/* Units that are not ours and hang on ours: systemd stops or restarts them with it (Requires=,
 * BindsTo=, PartOf=), and does not always start them again. They were up when the plan was made,
 * and are to be up at its end and after an undo. Private to promote/. */
#pragma once

#include "promote/plan.h"

enum { PROMOTE_ALONG_MAX = 128 };

struct promote_along {
    struct promote_step units[PROMOTE_ALONG_MAX]; /* as a restart of each would be */
    size_t count;
    bool over; /* there are more */
};

/* Of every unit that is restarted, each once and none that has a restart of its own. Texts are in
 * the arena. */
void promote_along_list(const struct promote_plan *plan, struct arena *arena,
                        struct promote_along *ret_along);
