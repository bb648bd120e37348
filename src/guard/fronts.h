/* What the daemon does for all fronts together, whatever is behind them: the splits of those that
 * have one, and what HAProxy was told and the disk did not take. */
#pragma once

#include "guard/split.h"

struct guard_fronts; /* opaque */
/* `setup`: as for one split, without `front`, `proxy` and `reference_rps`; what it points to is
 * borrowed. */
struct guard_fronts *guard_fronts_new(const struct guard_split_setup *setup);
/* Each split keeps what is not kept yet; returns NULL. Before the proxy is closed. */
struct guard_fronts *guard_fronts_free(struct guard_fronts *fronts);
/* `candidate` of the setup points to another one: each split that is open follows. */
void guard_fronts_follow(struct guard_fronts *fronts);
/* Once a tick. Opens splits that are not open yet (HAProxy came later, a file could not be read),
 * each by itself, again and again. `proxy` NULL: there is none yet; in a dry run none is needed. */
void guard_fronts_step(struct guard_fronts *fronts, struct proxy *proxy,
                       struct guard_status *status, int64_t now_ns, int64_t wall_us);
/* A request of any front. */
void guard_fronts_add(struct guard_fronts *fronts, const struct proxy_request *request);
