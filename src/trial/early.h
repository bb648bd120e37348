/* Leaving a window early: an exploring candidate that certainly misses a requirement gets no better
 * by being measured to the end. Only "missed" ends a window; what is met goes on, since its
 * objectives still want their precision. Requirements that say how many requests may be over are
 * looked at (trial/level.h), each at an error of 1 %, and only when clearly too many are: a service
 * that misses a p95 by a hair keeps its whole window. */
#pragma once

#include "trial/level.h"
#include "trial/run.h"

struct early; /* opaque */

/* NULL: this window is never left early (it is not an exploring one, or nothing is asked of single
 * requests, or the load moves). Borrows the attempt and the run. */
struct early *early_new(struct attempt *attempt, struct run *run);
struct early *early_free(struct early *early);
AUTO_FN(struct early, early_free)

/* After the end: what a worker that was told to stop says of itself holds for the part that was
 * measured. */
void early_settle(struct run *run);

/* Waits as attempt_wait() does, looking at what came in meanwhile. *ret_left_ns: when the window
 * was left (the worker is told to stop sending), 0 otherwise. `early` may be NULL. */
enum wait_end early_wait(struct early *early, struct attempt *attempt, int64_t until_ns,
                         size_t *ret_service, int64_t *ret_left_ns);
