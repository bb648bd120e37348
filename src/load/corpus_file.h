/* Private to the corpus: reading line by line, and checked text. */
#pragma once

#include "base/buf.h"
#include "load/corpus.h"
#include "spec/shape.h"

enum { CORPUS_MAX_BYTES = 512 << 20, CORPUS_MAX_ITEMS = 100000 };

/* Valid UTF-8 without NULs; err says where it is not. */
NODISCARD bool corpus_text_check(const char *text, size_t len, struct err *err);
/* Without blanks at its ends, line ends as blanks; in the arena. */
const char *corpus_text_keep(struct arena *arena, const char *text, size_t len);

typedef bool (*corpus_line_fn)(void *ctx, const char *line, size_t len, struct err *err);
/* Calls fn for each line that is not blank; an error is given the file and line. */
NODISCARD bool corpus_lines(const char *path, corpus_line_fn fn, void *ctx, struct err *err);

/* The file as 16 bit PCM WAV: its own bytes when it is that already, else converted. `max` bounds
 * the bytes. Takes name, data, len and duration. */
NODISCARD bool corpus_read_clip(struct arena *arena, const char *path, size_t max,
                                struct corpus_clip *ret_clip, struct err *err);

/* The trace, its own prompts behind those of the corpus, its sizes as the corpus's clips. */
NODISCARD bool corpus_load_trace(struct arena *arena, const char *path, struct corpus *corpus,
                                 struct err *err);
