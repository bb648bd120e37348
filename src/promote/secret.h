/* What must not be shown or stored: values marked `secret:`, and those whose name or shape says so
 * (KEY, TOKEN, SECRET, PASSWORD; "sk-...", long random words). Shown as "<secret 1a2b3c4d>", the
 * beginning of a digest, so that one can see whether two are the same. */
#pragma once

#include "base/buf.h"

#include <stdbool.h>

bool promote_is_secret(const char *name, const char *value);
/* The text of a file (unit, env file, YAML, arguments) with the values of secrets hidden. What is
 * hidden already stays as it is. */
void promote_hide_secrets(const char *text, const char *const *marked_names, struct buf *buf);
/* One word of a command, after the one before it (NULL: the first): "--api-key" hides the next. */
void promote_hide_word(const char *before, const char *word, const char *const *marked_names,
                       struct buf *buf);
void promote_hide_value(const char *value, struct buf *buf);

/* The values that would be hidden, as they are. */
void promote_secrets_each(const char *text, const char *const *marked_names,
                          void (*found)(void *context, const char *value), void *context);
void promote_secrets_each_word(const char *const *words, const char *const *marked_names,
                               void (*found)(void *context, const char *value), void *context);
