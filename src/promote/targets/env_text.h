/* A file of variables (EnvironmentFile=) entry by entry, as systemd reads it. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

struct promote_env_entry {
    size_t len;       /* with its newlines: the next one begins there */
    const char *name; /* borrowed from the text; NULL: a comment, a blank line, or no variable */
    size_t name_len;
    bool open;            /* the text ends within quotes, or behind a backslash */
    bool comment_goes_on; /* a comment that ends in a backslash: until version 253 systemd took the
                           * next line for a part of it, since then it does not */
};

/* `text` must not be empty. */
struct promote_env_entry promote_env_next(const char *text);
