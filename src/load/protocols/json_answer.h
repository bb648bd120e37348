/* JSON in answers: errors that hide under status 200, and text of unknown content. */
#pragma once

#include "base/buf.h"

#include <jansson.h>
#include <stdbool.h>

/* Appends at most what `text` has room for, cut between characters; NULs become blanks, since the
 * text is handed on as a string. */
void load_text_add(struct buf *text, const char *bytes, size_t len);

/* Is this the body of an error? Members `error` (not null or false) or object == "error". Its
 * message, if any, is appended. */
bool load_json_error(const json_t *root, struct buf *ret_text);

/* JSON of a server, a list or a mapping: NULL when it is none, or when it would take far more
 * memory and time than its bytes say. New reference. */
json_t *load_json_parse(const char *bytes, size_t len);
/* The same of a reader that looks at few members: of mappings at any depth those are there whose
 * names are in `names` (NULL after the last), and all that is within a wanted `error`. It refuses
 * what load_json_parse() refuses. */
json_t *load_json_parse_named(const char *bytes, size_t len, const char *const *names);
