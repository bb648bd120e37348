/* jansson with manners: typed getters which name the path in the error, and owned values that end
 * themselves. Only what several folders need stands here. */
#pragma once

#include "base/buf.h"
#include "base/err.h"

#include <jansson.h>
#include <stdint.h>

static inline void json_decref_(json_t *value)
{
    json_decref(value);
}
AUTO_FN(json_t, json_decref_)
#define AUTO_JSON AUTO(json_decref_)

/* A finite real, or JSON null for NaN and infinities: unknown is never 0. New reference. */
json_t *json_real_or_null(double value);
/* A string made valid UTF-8 (broken bytes as \xNN), or null for NULL. New reference. */
json_t *json_text_or_null(const char *text);

/* Borrowed text of a string member, or NULL when absent or of another type. */
const char *json_get_text(const json_t *object, const char *key);
/* Number member (integer or real) as double; NaN when absent or of another type. */
double json_get_real(const json_t *object, const char *key);
int64_t json_get_int(const json_t *object, const char *key, int64_t otherwise);

/* Compact text of a value, owned by the caller; never NULL. */
char *json_dump_text(const json_t *value);
/* Writes pretty JSON and a newline to `path` through a temporary file and rename. */
NODISCARD bool json_write_file(const json_t *value, const char *path, struct err *err);
