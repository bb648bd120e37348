/* Inside guard/: what happened since the last tick, as it is put together by everybody who looks.
 */
#pragma once

#include "guard/tick.h"

struct guard_events { /* zeroed at first */
    struct guard_event items[GUARD_EVENTS_MAX];
    size_t count;
    uint32_t lost;
};

/* `service`: its index, or -1. The text may hold any bytes: it is made one line of valid UTF-8 and
 * cut. The same event of the same service twice within one tick counts once. */
void guard_events_add(struct guard_events *events, enum guard_event_kind kind, int service,
                      const char *format, ...) PRINTF_LIKE(4, 5);
/* Into the tick, and empty again. */
void guard_events_take(struct guard_events *events, struct guard_tick *tick);
