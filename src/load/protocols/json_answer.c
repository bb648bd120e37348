/* A status of 200 is a promise that servers break: llama.cpp, whisper.cpp and proxies in front of
 * them answer {"error": ...} under it. So every reader asks here before it looks for what it wants.
 * Shapes seen: {"error": "text"}, {"error": {"message": "text", "code": 400}}, and the older
 * {"object": "error", "message": "text"}. */
#include "load/protocols/json_answer.h"

#include "base/json.h"
#include "base/text.h"

#include <string.h>

/* The longest prefix of at most `max` bytes that does not end within a character. */
static size_t cut(const char *bytes, size_t len, size_t max)
{
    if (len <= max)
        return len;
    size_t at = max;
    while (at > 0 && ((unsigned char)bytes[at] & 0xc0) == 0x80)
        at--;
    return at;
}

void load_text_add(struct buf *text, const char *bytes, size_t len)
{
    if (text->over)
        return;
    size_t room = text->max - text->len;
    size_t take = cut(bytes, len, room);
    size_t start = text->len;
    if (!buf_append(text, bytes, take) || take < len)
        text->over = true;
    for (size_t i = start; i < text->len; i++)
        if (text->data[i] == '\0')
            text->data[i] = ' ';
}

static void add_string(struct buf *text, const json_t *value)
{
    load_text_add(text, json_string_value(value), json_string_length(value));
}

bool load_json_error(const json_t *root, struct buf *ret_text)
{
    const json_t *error = json_object_get(root, "error");
    const json_t *said = NULL;
    if (error && !json_is_null(error) && !json_is_false(error)) {
        said = json_is_string(error) ? error : json_object_get(error, "message");
    } else {
        const char *object = json_get_text(root, "object");
        if (!object || strcmp(object, "error") != 0)
            return false;
        said = json_object_get(root, "message");
    }
    if (json_is_string(said)) {
        add_string(ret_text, said);
    } else if (error) {
        AUTO(free) char *whole = json_dump_text(error);
        load_text_add(ret_text, whole, strlen(whole));
    }
    return true;
}
