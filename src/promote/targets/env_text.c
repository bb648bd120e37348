/* The states of systemd's parse_env_file_internal() (src/basic/env-file.c), without the values:
 * what counts here is where an entry ends. A quote opens one only where a value may begin, which is
 * behind the "=" and its blanks, and behind a quote that was closed; within a word it is a letter.
 * A newline in quotes, or behind a backslash, goes on.
 *
 * Rejected: lines, and a look for a quote behind "=": one blank between them, and the second line
 * of a value would have been taken for a variable of its own. */
#include "promote/targets/env_text.h"

#include <string.h>

enum state { BEGIN, KEY, BEFORE_VALUE, VALUE, ESCAPE, SINGLE, DOUBLE, DOUBLE_ESCAPE, COMMENT };

static bool is_newline(char c)
{
    return c == '\n' || c == '\r';
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || is_newline(c);
}

static enum state after_begin(char c)
{
    return c == '#' || c == ';' ? COMMENT : is_blank(c) ? BEGIN : KEY;
}

static enum state before_value(char c)
{
    return c == '\''     ? SINGLE
           : c == '"'    ? DOUBLE
           : c == '\\'   ? ESCAPE
           : is_blank(c) ? BEFORE_VALUE
                         : VALUE;
}

static enum state next_state(enum state state, char c)
{
    switch (state) {
    case BEGIN:
        return after_begin(c);
    case KEY:
        return c == '=' ? BEFORE_VALUE : KEY;
    case BEFORE_VALUE:
        return before_value(c);
    case VALUE:
        return c == '\\' ? ESCAPE : VALUE;
    case ESCAPE:
        return VALUE;
    case SINGLE:
        return c == '\'' ? BEFORE_VALUE : SINGLE;
    case DOUBLE:
        return c == '"' ? BEFORE_VALUE : c == '\\' ? DOUBLE_ESCAPE : DOUBLE;
    case DOUBLE_ESCAPE:
        return DOUBLE;
    case COMMENT:
        break;
    }
    return COMMENT;
}

/* Does a newline in this state end the entry? */
static bool ends(enum state state)
{
    return state == BEGIN || state == KEY || state == BEFORE_VALUE || state == VALUE ||
           state == COMMENT;
}

static void set_name(struct promote_env_entry *entry, const char *text, size_t equals)
{
    size_t from = 0, to = equals;
    while (from < to && is_blank(text[from]))
        from++;
    while (to > from && is_blank(text[to - 1]))
        to--;
    entry->name = text + from;
    entry->name_len = to - from;
}

struct promote_env_entry promote_env_next(const char *text)
{
    struct promote_env_entry entry = {0};
    enum state state = BEGIN;
    for (; text[entry.len]; entry.len++) {
        char c = text[entry.len];
        if (is_newline(c) && ends(state)) {
            entry.comment_goes_on =
                state == COMMENT && entry.len > 0 && text[entry.len - 1] == '\\';
            entry.len++;
            return entry;
        }
        enum state next = next_state(state, c);
        if (state == KEY && next == BEFORE_VALUE)
            set_name(&entry, text, entry.len);
        state = next;
    }
    entry.open = !ends(state);
    return entry;
}
