/* Values that cannot be said in JSON become null here and nowhere else: NaN is our "unknown", and a
 * zero in its place would be believed. Text from outside is repaired before jansson sees it, which
 * would refuse a string with a single broken byte and lose the whole report with it. */
#include "base/json.h"

#include "base/file.h"
#include "base/text.h"

#include <math.h>
#include <string.h>

json_t *json_real_or_null(double value)
{
    return isfinite(value) ? json_real(value) : json_null();
}

json_t *json_text_or_null(const char *text)
{
    if (!text)
        return json_null();
    size_t len = strlen(text);
    struct buf whole = BUF_INIT(4 * len);
    for (size_t at = 0; at < len;) {
        uint32_t code = 0;
        size_t size = text_utf8_next(text + at, len - at, &code);
        if (size == 0)
            buf_addf(&whole, "\\x%02x", (unsigned char)text[at]);
        else if (!buf_append(&whole, text + at, size))
            break;
        at += size ? size : 1;
    }
    json_t *value = json_stringn(buf_text(&whole), whole.len);
    buf_done(&whole);
    return value ? value : json_null();
}

const char *json_get_text(const json_t *object, const char *key)
{
    return json_string_value(json_object_get(object, key));
}

double json_get_real(const json_t *object, const char *key)
{
    const json_t *value = json_object_get(object, key);
    return json_is_number(value) ? json_number_value(value) : NAN;
}

int64_t json_get_int(const json_t *object, const char *key, int64_t otherwise)
{
    const json_t *value = json_object_get(object, key);
    return json_is_integer(value) ? json_integer_value(value) : otherwise;
}

/* All 17 digits: what is stored and read back is the same number, bit by bit. */
char *json_dump_text(const json_t *value)
{
    char *text = value ? json_dumps(value, JSON_COMPACT | JSON_ENCODE_ANY) : strdup("null");
    if (!text)
        abort();
    return text;
}

/* 15 digits: what a person wrote as 0.1 is shown as 0.1. */
bool json_write_file(const json_t *value, const char *path, struct err *err)
{
    size_t flags = JSON_INDENT(2) | JSON_ENCODE_ANY | JSON_REAL_PRECISION(15);
    AUTO(free) char *text = json_dumps(value, flags);
    if (!text)
        return err_set(err, ERR_INTERNAL, "%s: value cannot be written as JSON", path);
    /* The NUL gives its place to the newline. */
    size_t len = strlen(text);
    text[len] = '\n';
    return file_write_atomic(path, text, len + 1, err);
}
