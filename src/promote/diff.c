/* Unified diffs by Myers' greedy algorithm ("An O(ND) Difference Algorithm and Its Variations",
 * 1986): the furthest reaching path for each number of changes d, kept for every d so that the way
 * back can be walked.
 *
 * What is equal at both ends is cut off first; files of configuration mostly differ in one place,
 * and the search then has almost nothing to do. Over CHANGES_MAX changes (memory grows with their
 * square) the middle is shown as removed and added: right, only longer.
 *
 * Rejected: running diff(1). It is not everywhere, and a plan's id depends on these bytes. */
#include "promote/diff.h"

#include <string.h>

enum { CHANGES_MAX = 1000, CONTEXT = 3 };

struct lines {
    const char **at;
    size_t *len;
    size_t count;
    bool ended; /* the last one by a newline */
};

struct edit {
    char sign; /* ' ', '-', '+' */
    size_t line;
};

struct script {
    struct edit *edits;
    size_t count;
};

static void *grown(size_t count, size_t size)
{
    void *memory = calloc(count ? count : 1, size);
    if (!memory)
        abort();
    return memory;
}

static struct lines split(const char *text)
{
    struct lines lines = {.ended = true};
    size_t most = 1;
    for (const char *c = text ? text : ""; *c; c++)
        most += *c == '\n';
    lines.at = grown(most, sizeof *lines.at);
    lines.len = grown(most, sizeof *lines.len);
    while (text && *text) {
        size_t len = strcspn(text, "\n");
        lines.at[lines.count] = text;
        lines.len[lines.count++] = len;
        lines.ended = text[len] == '\n';
        text += len + (lines.ended ? 1 : 0);
    }
    return lines;
}

static void lines_done(struct lines *lines)
{
    free(lines->at);
    free(lines->len);
}

static bool same(const struct lines *a, size_t i, const struct lines *b, size_t k)
{
    bool last_a = i + 1 == a->count && !a->ended, last_b = k + 1 == b->count && !b->ended;
    return a->len[i] == b->len[k] && last_a == last_b && memcmp(a->at[i], b->at[k], a->len[i]) == 0;
}

static void add(struct script *script, char sign, size_t line)
{
    script->edits[script->count++] = (struct edit){sign, line};
}

/* ---- the search, in the middle that differs ---- */

struct search {
    const struct lines *a, *b;
    size_t start; /* of the middle, in both */
    long n, m;    /* lines of it */
    long *
        rows[CHANGES_MAX + 1]; /* per d: furthest x of diagonal k at [k + d], k = -d, -d + 2, ... */
};

static long furthest(const struct search *s, long d, long k)
{
    const long *v = d > 0 ? s->rows[d - 1] : NULL;
    if (!v)
        return 0;
    /* Row d - 1 holds diagonals -(d - 1) .. d - 1, at [k + d - 1]. */
    bool down = k == -d || (k != d && v[k - 1 + d - 1] < v[k + 1 + d - 1]);
    return down ? v[k + 1 + d - 1] : v[k - 1 + d - 1] + 1;
}

/* The number of changes; -1: too many. */
static long search_run(struct search *s)
{
    for (long d = 0; d <= CHANGES_MAX && d <= s->n + s->m; d++) {
        s->rows[d] = grown((size_t)(2 * d + 1), sizeof **s->rows);
        for (long k = -d; k <= d; k += 2) {
            long x = furthest(s, d, k), y = x - k;
            while (x < s->n && y < s->m && y >= 0 &&
                   same(s->a, s->start + (size_t)x, s->b, s->start + (size_t)y)) {
                x++;
                y++;
            }
            s->rows[d][k + d] = x;
            if (x >= s->n && y >= s->m)
                return d;
        }
    }
    return -1;
}

/* From the end back to the start; the edits come out in reverse. */
static void walk_back(const struct search *s, long changes, struct script *script)
{
    long x = s->n, y = s->m;
    for (long d = changes; d >= 0; d--) {
        const long k = x - y, from = furthest(s, d, k);
        while (x > from && y > from - k) {
            add(script, ' ', s->start + (size_t)--x);
            y--;
        }
        if (d == 0)
            break;
        const long *v = s->rows[d - 1];
        if (k == -d || (k != d && v[k - 1 + d - 1] < v[k + 1 + d - 1]))
            add(script, '+', s->start + (size_t)--y);
        else
            add(script, '-', s->start + (size_t)--x);
    }
}

static void reverse(struct edit *edits, size_t count)
{
    for (size_t i = 0; i < count / 2; i++) {
        struct edit kept = edits[i];
        edits[i] = edits[count - 1 - i];
        edits[count - 1 - i] = kept;
    }
}

static void find_middle(struct search *s, struct script *script)
{
    const size_t first = script->count;
    long changes = search_run(s);
    if (changes >= 0) {
        walk_back(s, changes, script);
        reverse(script->edits + first, script->count - first);
    } else {
        for (long i = 0; i < s->n; i++)
            add(script, '-', s->start + (size_t)i);
        for (long i = 0; i < s->m; i++)
            add(script, '+', s->start + (size_t)i);
    }
    for (size_t d = 0; d <= CHANGES_MAX; d++)
        free(s->rows[d]);
}

static struct script compare(const struct lines *a, const struct lines *b)
{
    struct script script = {.edits = grown(a->count + b->count, sizeof *script.edits)};
    struct search *s = grown(1, sizeof *s);
    const size_t least = a->count < b->count ? a->count : b->count;
    size_t head = 0, tail = 0;
    while (head < least && same(a, head, b, head))
        head++;
    while (tail < least - head && same(a, a->count - 1 - tail, b, b->count - 1 - tail))
        tail++;
    for (size_t i = 0; i < head; i++)
        add(&script, ' ', i);
    s->a = a;
    s->b = b;
    s->start = head;
    s->n = (long)(a->count - head - tail);
    s->m = (long)(b->count - head - tail);
    find_middle(s, &script);
    free(s);
    for (size_t i = a->count - tail; i < a->count; i++)
        add(&script, ' ', i);
    return script;
}

/* ---- hunks ---- */

static void add_line(struct buf *buf, char sign, const struct lines *lines, size_t i)
{
    buf_addf(buf, "%c%.*s\n", sign, (int)lines->len[i], lines->at[i]);
    if (i + 1 == lines->count && !lines->ended)
        buf_add(buf, "\\ No newline at end of file\n");
}

static void add_range(struct buf *buf, char sign, size_t first, size_t count)
{
    buf_addf(buf, "%c%zu", sign, count ? first + 1 : first);
    if (count != 1)
        buf_addf(buf, ",%zu", count);
}

/* The edits [from, to); `old` and `new` lines come before them. */
static void add_hunk(struct buf *buf, const struct script *script, size_t from, size_t to,
                     const size_t before[2], const struct lines *a, const struct lines *b)
{
    size_t count[2] = {0, 0}, at_new = before[1];
    for (size_t i = from; i < to; i++) {
        count[0] += script->edits[i].sign != '+';
        count[1] += script->edits[i].sign != '-';
    }
    buf_add(buf, "@@ ");
    add_range(buf, '-', before[0], count[0]);
    buf_addc(buf, ' ');
    add_range(buf, '+', at_new, count[1]);
    buf_add(buf, " @@\n");
    for (size_t i = from; i < to; i++)
        add_line(buf, script->edits[i].sign, script->edits[i].sign == '+' ? b : a,
                 script->edits[i].line);
}

static void add_hunks(struct buf *buf, const struct script *script, const struct lines *a,
                      const struct lines *b)
{
    size_t at[2] = {0, 0}, i = 0; /* lines before edit i */
    while (i < script->count) {
        size_t next = i;
        while (next < script->count && script->edits[next].sign == ' ')
            next++;
        if (next == script->count)
            return;
        size_t from = next - i > CONTEXT ? next - CONTEXT : i, last = next, to = next;
        while (to < script->count && to - last <= 2 * CONTEXT + 1) {
            if (script->edits[to].sign != ' ')
                last = to;
            to++;
        }
        to = last + 1 + CONTEXT < script->count ? last + 1 + CONTEXT : script->count;
        at[0] += from - i;
        at[1] += from - i;
        add_hunk(buf, script, from, to, at, a, b);
        for (size_t k = from; k < to; k++) {
            at[0] += script->edits[k].sign != '+';
            at[1] += script->edits[k].sign != '-';
        }
        i = to;
    }
}

void promote_diff_add(struct buf *buf, const char *path, const char *before, const char *after)
{
    if (before == after || (before && after && strcmp(before, after) == 0))
        return;
    struct lines a = split(before), b = split(after);
    struct script script = compare(&a, &b);
    buf_addf(buf, "--- %s\n+++ %s\n", before ? path : "/dev/null", after ? path : "/dev/null");
    add_hunks(buf, &script, &a, &b);
    free(script.edits);
    lines_done(&a);
    lines_done(&b);
}
