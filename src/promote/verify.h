/* Is production what was promised? The same probe, proof and requirements that crowned the winner,
 * on the live services: unit active and staying so, ready, one real request each, computed where it
 * should (device/), then one window of gentle load against the goal's requirements. */
#pragma once

#include "promote/plan.h"

enum promote_check_kind { CHECK_ACTIVE, CHECK_READY, CHECK_PROBE, CHECK_PLACEMENT, CHECK_LOAD };
enum promote_answer { PROMOTE_PASSED, PROMOTE_FAILED, PROMOTE_UNKNOWN };

struct promote_check {
    enum promote_check_kind kind;
    int service; /* or -1 */
    enum promote_answer answer;
    char text[512]; /* evidence in words */
};

enum { PROMOTE_CHECKS_MAX = 160 };
struct promote_checks {
    struct promote_check items[PROMOTE_CHECKS_MAX];
    size_t count;
    bool passed; /* nothing failed, and nothing that must be known is unknown */
};

/* `load` false (after an undo): active, ready, probe and placement only. Ends early at the first
 * failure. False only for our own failures. */
NODISCARD bool promote_verify(const struct promote_plan *plan, bool load,
                              void (*tell)(void *context, const struct promote_check *check),
                              void *context, struct promote_checks *ret_checks, struct err *err);
