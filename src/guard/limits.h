/* How often an action may be done: per hour, and a restart's back-off. Pure: time is given. The
 * actor keeps a stricter book on disk (guard/act.h), so that a guard which is itself restarted
 * gives nobody more; this one decides, and says why not. */
#pragma once

#include "base/buf.h"
#include "spec/guard.h"
#include "spec/study.h"

struct guard_limits; /* opaque */

struct guard_limits *guard_limits_new(const struct spec_study *study); /* borrowed */
struct guard_limits *guard_limits_free(struct guard_limits *limits);   /* returns NULL */

/* May it be done now? False: `why` has the reason, "3 of 3 in the last hour". `service` may be -1.
 */
bool guard_limits_allow(struct guard_limits *limits, enum spec_action action, int service,
                        int64_t now_ns, struct buf *why);
/* It is done now. */
void guard_limits_take(struct guard_limits *limits, enum spec_action action, int service,
                       int64_t now_ns);
/* How often in the last hour. */
int guard_limits_used(const struct guard_limits *limits, enum spec_action action, int64_t now_ns);
/* The last one was not done after all, it was refused: neither counted nor backed off from; not
 * before a first back-off has passed, a minute at least, is it allowed again. */
void guard_limits_give_back(struct guard_limits *limits, enum spec_action action, int service,
                            int64_t now_ns);
