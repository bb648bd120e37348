/* A line of a recording back into a tick, by one pass over its bytes.
 *
 * A day is 86,400 lines with up to ten million numbers, and whoever tries a rule replays it again
 * and again; jansson, which builds and frees a tree of some hundred nodes for each line, takes more
 * than ten times as long (docs/METHOD.md). What is read here is what tick.c writes, and all other
 * JSON is skipped over, so that a recording of a later version is read as far as it goes.
 *
 * Names are expected in the order of the refs: the search for each goes on where the last one was
 * found, and round once.
 *
 * Invariant: whatever the bytes, values are finite or unknown, texts are words of their set, and an
 * event's text is one line of valid UTF-8. */
#include "guard/tick.h"

#include "base/text.h"
#include "guard/policy_record.h"
#include "guard/tick_scan.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- values ---- */

/* The very name that is expected, and its colon: nearly always. */
static bool take_next(struct guard_scan *s, size_t *ret)
{
    if (s->next >= s->count || s->at >= s->end || *s->at != '"')
        return false;
    const char *at = s->at + 1, *name = s->refs[s->next].name;
    for (; at < s->end && *at == *name; at++)
        name++;
    if (*name || s->end - at < 2 || at[0] != '"' || at[1] != ':')
        return false;
    s->at = at + 2;
    *ret = s->next++;
    return true;
}

static bool find_ref(struct guard_scan *s, struct guard_span name, size_t *ret)
{
    for (size_t n = 0, i = s->next; n < s->count; n++, i++) {
        i = i < s->count ? i : 0;
        if (guard_span_is(name, s->refs[i].name)) {
            *ret = i;
            s->next = i + 1;
            return true;
        }
    }
    return false;
}

/* [number, count, "source"], the last two as far as they are there. */
static bool read_list(struct guard_scan *s, struct guard_value *value)
{
    double count = 0;
    struct guard_span source;
    s->at++;
    if (!guard_scan_known(s, &value->number))
        return false;
    if (guard_scan_take(s, ',')) {
        if (!guard_scan_number(s, &count))
            return false;
        value->count = count >= 1 && count < 1e18 ? (uint64_t)count : 0;
    }
    if (guard_scan_take(s, ',')) {
        if (!guard_scan_text(s, &source))
            return false;
        for (int i = SOURCE_NONE + 1; i < SOURCE_COUNT_; i++)
            if (source.len && *source.at == *guard_source_names[i] &&
                guard_span_is(source, guard_source_names[i]))
                value->source = (enum guard_source)i;
    }
    return guard_scan_take(s, ']') || guard_scan_fail(s, "\"]\" is expected");
}

static bool read_word(struct guard_scan *s, const struct guard_metric_ref *ref,
                      struct guard_value *value)
{
    struct guard_span word;
    if (!guard_scan_text(s, &word))
        return false;
    for (size_t i = 0; ref->words[i]; i++)
        if (guard_span_is(word, ref->words[i]))
            value->text = ref->words[i];
    return true;
}

static bool read_values(struct guard_scan *s, struct guard_value *values)
{
    struct guard_span name;
    size_t i = 0;
    if (!guard_scan_take(s, '{'))
        return guard_scan_fail(s, "\"{\" is expected");
    if (guard_scan_take(s, '}'))
        return true;
    do {
        bool found = take_next(s, &i);
        if (!found) {
            if (!guard_scan_key(s, &name))
                return false;
            found = find_ref(s, name, &i);
        }
        const char c = guard_scan_peek(s);
        const bool is_text = c == '"';
        bool ok = true;
        if (!found || is_text != (s->refs[i].words != NULL))
            ok = guard_scan_skip(s);
        else if (is_text)
            ok = read_word(s, &s->refs[i], &values[i]);
        else if (c == '[')
            ok = read_list(s, &values[i]);
        else
            ok = guard_scan_known(s, &values[i].number);
        if (!ok)
            return false;
    } while (guard_scan_take(s, ','));
    return guard_scan_take(s, '}') || guard_scan_fail(s, "\"}\" is expected");
}

/* ---- events ---- */

/* One character of a JSON text; what has no place in one line of text is a blank. */
static char plain_byte(const char **at, const char *end)
{
    char c = *(*at)++;
    if (c != '\\' || *at >= end)
        return (unsigned char)c < 0x20 || c == 0x7F ? ' ' : c;
    c = *(*at)++;
    if (c == 'u') {
        int code = 0;
        for (int i = 0; i < 4 && *at < end; i++, (*at)++)
            code = code * 16 + (text_hex_digit(**at) >= 0 ? text_hex_digit(**at) : 0);
        return code >= 0x20 && code < 0x7F ? (char)code : ' ';
    }
    return strchr("\"\\/", c) ? c : ' ';
}

static void copy_text(struct guard_span span, char *text, size_t size)
{
    const char *at = span.at, *end = span.at + span.len;
    size_t len = 0, good = 0;
    uint32_t code = 0;
    while (at < end && len + 1 < size)
        text[len++] = plain_byte(&at, end);
    text[len] = '\0';
    while (good < len) {
        size_t step = text_utf8_next(text + good, len - good, &code);
        if (step == 0 && len - good < 4 && at < end) {
            text[good] = '\0'; /* cut in the middle of a character */
            return;
        }
        if (step == 0)
            text[good] = '?';
        good += step ? step : 1;
    }
}

static int find_service(const struct guard_scan *s, struct guard_span name)
{
    for (size_t i = 0; i < s->count; i++) {
        const char *ref = s->refs[i].name;
        if (guard_metric_infos[s->refs[i].metric].scope == SCOPE_SERVICE &&
            strncmp(ref, name.at, name.len) == 0 && ref[name.len] == '.')
            return (int)s->refs[i].index;
    }
    return -1;
}

/* A mapping whose members with a letter of `keys` are texts, each given to `take`; others are
 * skipped over. */
static bool read_texts(struct guard_scan *s, const char *keys,
                       void (*take)(const struct guard_scan *s, char key, struct guard_span text,
                                    void *item),
                       void *item)
{
    struct guard_span key, text;
    if (!guard_scan_take(s, '{'))
        return guard_scan_fail(s, "\"{\" is expected");
    do {
        if (!guard_scan_key(s, &key))
            return false;
        const bool known = key.len == 1 && !key.escaped && strchr(keys, *key.at);
        if (!known) {
            if (!guard_scan_skip(s))
                return false;
            continue;
        }
        if (!guard_scan_text(s, &text))
            return false;
        take(s, *key.at, text, item);
    } while (guard_scan_take(s, ','));
    return guard_scan_take(s, '}') || guard_scan_fail(s, "\"}\" is expected");
}

struct read_event {
    struct guard_event event;
    bool gone; /* of a service that is none here */
};

static void take_of_event(const struct guard_scan *s, char key, struct guard_span text, void *item)
{
    struct read_event *read = item;
    struct guard_event *event = &read->event;
    for (int i = 0; i < EVENT_COUNT_ && key == 'k'; i++)
        if (guard_span_is(text, guard_event_names[i]))
            event->kind = (enum guard_event_kind)i;
    if (key == 's')
        event->service = find_service(s, text);
    read->gone |= key == 's' && event->service < 0;
    if (key == 'x')
        copy_text(text, event->text, sizeof event->text);
}

/* An event of a kind that is not known here, or of a service that is gone, is left out. */
static bool read_event(struct guard_scan *s, struct guard_tick *tick)
{
    struct read_event read = {.event = {.kind = EVENT_COUNT_, .service = -1}};
    if (!read_texts(s, "ksx", take_of_event, &read))
        return false;
    if (read.event.kind == EVENT_COUNT_ || read.gone)
        return true;
    if (tick->event_count < GUARD_EVENTS_MAX)
        tick->events[tick->event_count++] = read.event;
    else
        tick->events_lost++;
    return true;
}

/* A list, each by `read`. */
static bool read_each(struct guard_scan *s,
                      bool (*read)(struct guard_scan *s, struct guard_tick *tick),
                      struct guard_tick *tick)
{
    if (!guard_scan_take(s, '['))
        return guard_scan_fail(s, "\"[\" is expected");
    if (guard_scan_take(s, ']'))
        return true;
    do {
        if (!read(s, tick))
            return false;
    } while (guard_scan_take(s, ','));
    return guard_scan_take(s, ']') || guard_scan_fail(s, "\"]\" is expected");
}

/* ---- what was refused ---- */

struct read_refusal {
    struct guard_refusal refusal;
    bool gone;
};

static void take_of_refusal(const struct guard_scan *s, char key, struct guard_span text,
                            void *item)
{
    struct read_refusal *read = item;
    for (int i = 0; i < ACTION_COUNT_ && key == 'a'; i++)
        if (guard_span_is(text, spec_action_names[i]))
            read->refusal.action = (enum spec_action)i;
    if (key == 's')
        read->refusal.service = find_service(s, text);
    read->gone |= key == 's' && read->refusal.service < 0;
}

/* Of an action or a service that is not known here: left out. */
static bool read_refusal(struct guard_scan *s, struct guard_tick *tick)
{
    struct read_refusal read = {.refusal = {.action = ACTION_COUNT_, .service = -1}};
    if (!read_texts(s, "as", take_of_refusal, &read))
        return false;
    if (read.refusal.action != ACTION_COUNT_ && !read.gone &&
        tick->refusal_count < GUARD_REFUSALS_MAX)
        tick->refusals[tick->refusal_count++] = read.refusal;
    return true;
}

/* ---- what is not seen ---- */

struct read_unseen {
    bool kernel, log, kills;
    int service;
};

static void take_of_unseen(const struct guard_scan *s, char key, struct guard_span text, void *item)
{
    struct read_unseen *read = item;
    read->kernel |= key == 'a' && guard_span_is(text, "kernel");
    read->log |= key == 'a' && guard_span_is(text, "log");
    read->kills |= key == 'a' && guard_span_is(text, "kills");
    if (key == 's')
        read->service = find_service(s, text);
}

/* Of a service that is not known here: left out. */
static bool read_unseen(struct guard_scan *s, struct guard_tick *tick)
{
    struct read_unseen read = {.service = -1};
    if (!read_texts(s, "as", take_of_unseen, &read))
        return false;
    const bool known = read.service >= 0 && read.service < SPEC_SERVICES_MAX;
    const uint32_t bit = known ? UINT32_C(1) << read.service : 0;
    tick->no_kernel_log |= read.kernel;
    tick->no_log |= read.log ? bit : 0;
    tick->no_kills |= read.kills ? bit : 0;
    return true;
}

/* ---- the line ---- */

static bool read_member(struct guard_scan *s, struct guard_value *values, struct guard_tick *tick,
                        unsigned *seen)
{
    struct guard_span key;
    double number = 0;
    if (!guard_scan_key(s, &key))
        return false;
    if (guard_span_is(key, "t")) {
        if (!guard_scan_number(s, &number) || !(number >= 0 && number < 1e11))
            return guard_scan_fail(s, "a time since 1970 is expected");
        tick->wall_us = llround(number * 1e6);
        *seen |= 1;
        return true;
    }
    if (guard_span_is(key, "m")) {
        *seen |= 2;
        return guard_scan_whole(s, &tick->mono_ns);
    }
    if (guard_span_is(key, "v"))
        return read_values(s, values);
    if (guard_span_is(key, "e"))
        return read_each(s, read_event, tick);
    if (guard_span_is(key, "r"))
        return read_each(s, read_refusal, tick);
    if (guard_span_is(key, "u"))
        return read_each(s, read_unseen, tick);
    if (guard_span_is(key, "p") && tick->tiers)
        return policy_records_read(s, tick->tiers);
    if (!guard_span_is(key, "l"))
        return guard_scan_skip(s);
    if (!guard_scan_number(s, &number))
        return false;
    tick->events_lost = number >= 0 && number < 4e9 ? (uint32_t)number : 0;
    return true;
}

bool guard_tick_read(const char *line, size_t len, const struct guard_metric_ref *refs,
                     size_t count, struct guard_value *values, struct guard_tick *ret_tick,
                     struct err *err)
{
    struct guard_scan s = {
        .start = line, .at = line, .end = line + len, .err = err, .refs = refs, .count = count};
    unsigned seen = 0;
    ret_tick->values = values;
    ret_tick->event_count = 0;
    ret_tick->events_lost = 0;
    ret_tick->refusal_count = 0;
    ret_tick->no_log = ret_tick->no_kills = 0;
    ret_tick->no_kernel_log = false;
    if (ret_tick->tiers)
        ret_tick->tiers->count = 0;
    for (size_t i = 0; i < count; i++)
        values[i] = (struct guard_value){.number = NAN};
    if (memchr(line, '\0', len))
        return guard_scan_fail(&s, "a zero byte in it"); /* so texts can be compared as strings */
    if (!guard_scan_take(&s, '{'))
        return guard_scan_fail(&s, "a tick begins with \"{\"");
    do {
        if (!read_member(&s, values, ret_tick, &seen))
            return false;
    } while (guard_scan_take(&s, ','));
    if (!guard_scan_take(&s, '}') || guard_scan_peek(&s) != '\0' || s.at != s.end)
        return guard_scan_fail(&s, "the end of the tick is expected");
    return seen == 3 || guard_scan_fail(&s, "a tick needs \"t\" and \"m\"");
}
