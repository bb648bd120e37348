/* Private to the exec transport: the command line of one request, and the file it names. */
#pragma once

#include "load/protocol.h"

#include <stdbool.h>

struct load_exec_line {
    char **argv; /* owned, NULL-terminated */
    char *path;  /* owned: of the body's file; NULL: it needs none */
    int sys;     /* errno of what could not be written; 0: all well */
};

/* Splits a command line into words as people write it: blanks between them, '...' and "..." keep
 * them, \ keeps the next character. Nothing is expanded: no shell is involved. Each word is
 * appended with its NUL. ERR_INPUT: a quote without its end, or no word. */
NODISCARD bool load_exec_words(const char *command, struct buf *ret_words, struct err *err);
/* The same of words that are words already. ERR_LIMIT. */
NODISCARD bool load_exec_take(const char *const *argv, struct buf *ret_words, struct err *err);
/* Does a word hold this placeholder, e.g. "{audio}"? */
bool load_exec_names(const struct buf *words, const char *placeholder);

/* The words of a request with the body in place of {prompt}, and a file's path in place of {audio}
 * and {text_file}, which is written into `folder` when one of them is there. */
struct load_exec_line *load_exec_line_new(const char *folder, const struct load_request *request);
struct load_exec_line *load_exec_line_free(struct load_exec_line *line);
