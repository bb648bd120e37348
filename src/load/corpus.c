/* What both kinds of corpus share: transcripts and prompts as people's files hold them. Everything
 * is checked once, before any trial, and kept in memory, so that neither a disk nor a typing error
 * can surface in the middle of a study. The first problem stops the loading: a corpus that silently
 * lacks its bad files would give another word error rate than the one asked for. */
#include "load/corpus_file.h"

#include "base/text.h"

#include <string.h>

bool corpus_text_check(const char *text, size_t len, struct err *err)
{
    for (size_t at = 0; at < len;) {
        uint32_t code = 0;
        size_t size = text_utf8_next(text + at, len - at, &code);
        if (size == 0)
            return err_set(err, ERR_INPUT, "not UTF-8 at byte %zu", at + 1);
        if (code == 0)
            return err_set(err, ERR_INPUT, "a NUL at byte %zu", at + 1);
        at += size;
    }
    return true;
}

const char *corpus_text_keep(struct arena *arena, const char *text, size_t len)
{
    static const char blanks[] = " \t\r\n\f\v";
    while (len > 0 && strchr(blanks, text[len - 1]))
        len--;
    while (len > 0 && strchr(blanks, *text)) {
        text++;
        len--;
    }
    char *kept = arena_strndup(arena, text, len);
    for (char *p = kept; *p; p++)
        if (strchr(blanks, *p))
            *p = ' ';
    return kept;
}

bool corpus_lines(const char *path, corpus_line_fn fn, void *ctx, struct err *err)
{
    struct buf text = BUF_INIT(CORPUS_MAX_BYTES);
    bool good = buf_read_file(&text, path, err);
    const char *at = buf_text(&text), *end = at + text.len;
    for (int line = 1; good && at < end; line++) {
        const char *stop = memchr(at, '\n', (size_t)(end - at));
        size_t len = (size_t)((stop ? stop : end) - at);
        const char *next = stop ? stop + 1 : end;
        if (len > 0 && at[len - 1] == '\r')
            len--;
        bool blank = true;
        for (size_t i = 0; i < len; i++)
            blank &= at[i] == ' ' || at[i] == '\t';
        good = blank || fn(ctx, at, len, err) || err_wrap(err, "%s:%d", path, line);
        at = next;
    }
    if (!good && err && err->code == ERR_LIMIT)
        err->code = ERR_INPUT;
    buf_done(&text);
    return good;
}
