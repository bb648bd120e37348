/* Framing first, meaning second: the line says how many bytes follow, and nothing is parsed before
 * all of them are there. So an event is looked at twice at most (once to learn its length), however
 * small the pieces in which it comes.
 *
 * Lengths are checked as JSON integers within our bounds: 1e3, "12", -1 and 2^63 are no lengths.
 * jansson's depth limit bounds nesting. Invariant: *ret_need is more than len. */
#include "load/protocols/wyoming_event.h"

#include "base/json.h"

#include <stdint.h>
#include <string.h>

struct header {
    json_t *root; /* owned */
    size_t line;  /* with its LF */
    size_t data_len, payload_len;
};

/* Null and a missing member are 0. */
static enum load_wyoming_news take_length(const json_t *root, const char *name, size_t max,
                                          size_t *ret_len)
{
    const json_t *member = json_object_get(root, name);
    *ret_len = 0;
    if (!member || json_is_null(member))
        return LOAD_WYOMING_EVENT;
    if (!json_is_integer(member) || json_integer_value(member) < 0)
        return LOAD_WYOMING_MALFORMED;
    json_int_t value = json_integer_value(member);
    if (value > (json_int_t)max)
        return LOAD_WYOMING_LIMIT;
    *ret_len = (size_t)value;
    return LOAD_WYOMING_EVENT;
}

static bool is_type(const json_t *type)
{
    return json_is_string(type) && json_string_length(type) > 0 &&
           json_string_length(type) < sizeof((struct load_wyoming_event *)0)->type &&
           strlen(json_string_value(type)) == json_string_length(type);
}

static enum load_wyoming_news read_header(const char *bytes, size_t len, struct header *ret_header,
                                          size_t *ret_need)
{
    const char *end =
        memchr(bytes, '\n', len < LOAD_WYOMING_HEADER_MAX ? len : LOAD_WYOMING_HEADER_MAX);
    *ret_need = len + 1;
    if (!end)
        return len < LOAD_WYOMING_HEADER_MAX ? LOAD_WYOMING_MORE : LOAD_WYOMING_LIMIT;
    struct header header = {.line = (size_t)(end - bytes) + 1};
    header.root = json_loadb(bytes, header.line, 0, NULL);
    const json_t *data = json_object_get(header.root, "data");
    enum load_wyoming_news news = LOAD_WYOMING_MALFORMED;
    if (is_type(json_object_get(header.root, "type")) &&
        (!data || json_is_null(data) || json_is_object(data)))
        news = take_length(header.root, "data_length", LOAD_WYOMING_DATA_MAX, &header.data_len);
    if (news == LOAD_WYOMING_EVENT)
        news = take_length(header.root, "payload_length", LOAD_WYOMING_PAYLOAD_MAX,
                           &header.payload_len);
    if (news == LOAD_WYOMING_EVENT)
        *ret_header = header;
    else
        json_decref(header.root);
    return news;
}

/* The line's own data with that behind the line on top; NULL when the latter is no object. */
static json_t *merge(const json_t *root, const char *bytes, size_t len)
{
    json_t *inline_data = json_object_get(root, "data");
    json_t *merged = json_is_object(inline_data) ? json_incref(inline_data) : json_object();
    if (len == 0)
        return merged;
    AUTO_JSON json_t *blob = json_loadb(bytes, len, 0, NULL);
    if (json_is_object(blob) && json_object_update(merged, blob) == 0)
        return merged;
    json_decref(merged);
    return NULL;
}

enum load_wyoming_news load_wyoming_next(const char *bytes, size_t len,
                                         struct load_wyoming_event *ret_event, size_t *ret_need)
{
    struct header header;
    enum load_wyoming_news news = read_header(bytes, len, &header, ret_need);
    if (news != LOAD_WYOMING_EVENT)
        return news;
    AUTO_JSON json_t *root = header.root;
    size_t size = header.line + header.data_len + header.payload_len;
    if (len < size) {
        *ret_need = size;
        return LOAD_WYOMING_MORE;
    }
    struct load_wyoming_event event = {
        .data = merge(root, bytes + header.line, header.data_len),
        .payload = bytes + header.line + header.data_len,
        .payload_len = header.payload_len,
        .size = size,
    };
    if (!event.data)
        return LOAD_WYOMING_MALFORMED;
    const json_t *type = json_object_get(root, "type");
    memcpy(event.type, json_string_value(type), json_string_length(type) + 1);
    *ret_event = event;
    return LOAD_WYOMING_EVENT;
}

void load_wyoming_event_done(struct load_wyoming_event *event)
{
    json_decref(event->data);
    *event = (struct load_wyoming_event){0};
}

void load_wyoming_add(struct buf *out, const char *type, const json_t *data, const void *payload,
                      size_t payload_len)
{
    AUTO(free) char *text = data && json_object_size(data) > 0 ? json_dump_text(data) : NULL;
    size_t data_len = text ? strlen(text) : 0;
    buf_addf(out, "{\"type\": \"%s\", \"version\": \"1.10.2\"", type);
    if (data_len > 0)
        buf_addf(out, ", \"data_length\": %zu", data_len);
    if (payload_len > 0)
        buf_addf(out, ", \"payload_length\": %zu", payload_len);
    buf_add(out, "}\n");
    if (text)
        buf_add(out, text);
    if (payload_len > 0 && !buf_append(out, payload, payload_len))
        out->over = true;
}
