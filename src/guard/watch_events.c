/* Events between two ticks.
 *
 * A list of fixed size: whatever a service writes into its log, a tick stays small. What does not
 * fit is counted and said, never silently dropped. Evidence is outside text (a log's line), so it
 * is escaped here, once, whoever brings it.
 *
 * The same kind twice for one service in one tick is one event: a traceback repeats its reason, and
 * four sources tell of one kernel kill. */
#include "guard/watch_events.h"

#include "base/text.h"

#include <stdarg.h>
#include <string.h>

enum { TEXT_MAX = 2048 };

/* The longest part of valid UTF-8 that has room. */
static void copy_cut(char *to, size_t size, const char *from)
{
    size_t len = 0, left = strlen(from);
    for (;;) {
        uint32_t code = 0;
        size_t step = text_utf8_next(from + len, left - len, &code);
        if (step == 0 || len + step >= size)
            break;
        len += step;
    }
    memcpy(to, from, len);
    to[len] = '\0';
}

static bool is_there(const struct guard_events *events, enum guard_event_kind kind, int service)
{
    if (kind == EVENT_ACTED)
        return false; /* several things may be done in one tick */
    for (size_t i = 0; i < events->count; i++)
        if (events->items[i].kind == kind && events->items[i].service == service && service >= 0)
            return true;
    return false;
}

void guard_events_add(struct guard_events *events, enum guard_event_kind kind, int service,
                      const char *format, ...)
{
    char text[TEXT_MAX];
    AUTO(buf_done) struct buf safe = BUF_INIT(4 * TEXT_MAX);
    va_list args;
    if (is_there(events, kind, service))
        return;
    if (events->count == GUARD_EVENTS_MAX) {
        events->lost++;
        return;
    }
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    text_add_escaped(&safe, TEXT_TERMINAL, text, strlen(text), TEXT_MAX);
    struct guard_event *event = &events->items[events->count++];
    event->kind = kind;
    event->service = service;
    copy_cut(event->text, sizeof event->text, buf_text(&safe));
}

void guard_events_take(struct guard_events *events, struct guard_tick *tick)
{
    memcpy(tick->events, events->items, events->count * sizeof events->items[0]);
    tick->event_count = events->count;
    tick->events_lost = events->lost;
    events->count = 0;
    events->lost = 0;
}
