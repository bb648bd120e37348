/* What run time has set, and the disk: kept at once, or as soon as the disk takes something again.
 */
#pragma once

#include "proxy/proxy.h"

struct proxy_unsaved {
    struct proxy_state disk;  /* as it was read last */
    bool is[SPEC_FRONTS_MAX]; /* HAProxy was told, the disk took nothing */
    char why[201];            /* "": all is saved */
};

/* What run time had set last, as the disk has it. False: it says nothing of these weights. */
bool proxy_weights(struct proxy *proxy, size_t front, int *ret_weights);
/* Why what HAProxy was told last is not on disk: a restart of HAProxy would forget it. NULL: it is.
 */
const char *proxy_unsaved(const struct proxy *proxy);
/* Tries again to keep it; true where there is nothing to keep. */
NODISCARD bool proxy_keep(struct proxy *proxy, struct err *err);

/* ---- private to proxy/ ---- */
/* Back to what the disk has. */
void proxy_state_return(struct proxy *proxy);

/* Whoever keeps HAProxy running asks these. Do we run it ourselves, so that nobody else starts it
 * again? */
bool proxy_is_ours(const struct proxy *proxy);
/* Has somebody ended it with proxy_stop(), who wants it to stay so until the next proxy_apply()? */
bool proxy_is_stopped(struct proxy *proxy);
