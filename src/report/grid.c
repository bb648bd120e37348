/* Columns are as wide as their widest cell, as a terminal counts (wide characters take two).
 * Cutting is by whole characters, and says that it cut. Cells arrive escaped: what a service
 * printed can move no cursor. */
#include "report/grid.h"

#include "base/text.h"

#include <string.h>

enum { GAP = 2, WIDTH_DEFAULT = 80, WIDTH_MIN = 40 };

static const char *const paints[PAINT_COUNT_] = {
    [PAINT_NONE] = "",         [PAINT_BOLD] = "\033[1m", [PAINT_DIM] = "\033[2m",
    [PAINT_GOOD] = "\033[32m", [PAINT_BAD] = "\033[31m",
};

size_t report_terminal_width(struct report_terminal terminal)
{
    if (terminal.width <= 0)
        return WIDTH_DEFAULT;
    return terminal.width < WIDTH_MIN ? WIDTH_MIN : (size_t)terminal.width;
}

static void begin_paint(FILE *out, struct report_terminal terminal, enum grid_paint paint)
{
    if (terminal.color && paint != PAINT_NONE)
        fputs(paints[paint], out);
}

static void end_paint(FILE *out, struct report_terminal terminal, enum grid_paint paint)
{
    if (terminal.color && paint != PAINT_NONE)
        fputs("\033[0m", out);
}

void report_print_painted(FILE *out, struct report_terminal terminal, enum grid_paint paint,
                          const char *text)
{
    begin_paint(out, terminal, paint);
    fputs(text, out);
    end_paint(out, terminal, paint);
}

struct grid_row *report_grid_add(struct report_grid *grid)
{
    if (grid->row_count == grid->capacity) {
        size_t capacity = grid->capacity ? 2 * grid->capacity : 32;
        struct grid_row *rows = arena_array(grid->arena, capacity, sizeof *rows);
        if (grid->row_count)
            memcpy(rows, grid->rows, grid->row_count * sizeof *rows);
        grid->rows = rows;
        grid->capacity = capacity;
    }
    return &grid->rows[grid->row_count++];
}

static void print_blanks(FILE *out, size_t count)
{
    for (size_t i = 0; i < count; i++)
        fputc(' ', out);
}

/* At most `room` columns of a text. */
static void print_cut(FILE *out, const char *text, size_t room)
{
    static const char dots[] = "...";
    if (text_columns(text) <= room) {
        fputs(text, out);
        return;
    }
    size_t kept = room > sizeof dots - 1 ? room - (sizeof dots - 1) : 0, columns = 0;
    for (const char *at = text; *at;) {
        uint32_t code = 0;
        size_t size = text_utf8_next(at, strlen(at), &code);
        char one[5] = {0};
        memcpy(one, at, size ? size : 1);
        columns += size > 1 ? text_columns(one) : 1;
        if (columns > kept)
            break;
        fputs(one, out);
        at += size ? size : 1;
    }
    fputs(dots, out);
}

static void print_row(const struct report_grid *grid, const struct grid_row *row,
                      const size_t *widths, FILE *out, size_t indent, size_t total)
{
    size_t used = indent;
    print_blanks(out, indent);
    size_t last = grid->column_count;
    while (last > 0 && (!row->cells[last - 1] || !*row->cells[last - 1]))
        last--;
    for (size_t c = 0; c < last; c++) {
        const char *cell = row->cells[c] ? row->cells[c] : "";
        size_t width = text_columns(cell);
        size_t pad = widths[c] > width ? widths[c] - width : 0;
        if (c + 1 == grid->column_count) {
            print_cut(out, cell, total > used ? total - used : 0);
            return;
        }
        if (grid->right[c])
            print_blanks(out, pad);
        fputs(cell, out);
        if (c + 1 < last)
            print_blanks(out, (grid->right[c] ? 0 : pad) + GAP);
        used += widths[c] + GAP;
    }
}

static void widths_of(const struct report_grid *grid, size_t ret_widths[GRID_COLUMNS_MAX])
{
    memset(ret_widths, 0, GRID_COLUMNS_MAX * sizeof *ret_widths);
    for (size_t r = 0; r < grid->row_count; r++)
        for (size_t c = 0; c < grid->column_count; c++) {
            const char *cell = grid->rows[r].cells[c];
            size_t width = cell ? text_columns(cell) : 0;
            ret_widths[c] = width > ret_widths[c] ? width : ret_widths[c];
        }
}

size_t report_grid_width(const struct report_grid *grid)
{
    size_t widths[GRID_COLUMNS_MAX], total = 0;
    widths_of(grid, widths);
    for (size_t c = 0; c < grid->column_count; c++)
        total += widths[c] + (c > 0 ? GAP : 0);
    return total;
}

void report_grid_print(const struct report_grid *grid, FILE *out, struct report_terminal terminal,
                       size_t indent)
{
    size_t widths[GRID_COLUMNS_MAX], total = report_terminal_width(terminal);
    widths_of(grid, widths);
    for (size_t r = 0; r < grid->row_count; r++) {
        const struct grid_row *row = &grid->rows[r];
        begin_paint(out, terminal, row->paint);
        print_row(grid, row, widths, out, indent, total);
        end_paint(out, terminal, row->paint);
        fputc('\n', out);
        size_t shift = indent + widths[0] + GAP;
        for (size_t i = 0; i < ARRAY_LEN(row->below); i++) {
            if (!row->below[i])
                continue;
            print_blanks(out, shift);
            report_print_wrapped(out, terminal, row->below[i], shift, shift + GAP);
        }
    }
}

/* Length of the word at `text`, with the unit after a number: "253 ms" stays on one line. */
static size_t word_length(const char *text)
{
    static const char *const units[] = {"us", "ms", "s", "%", "/s", "KiB", "MiB", "GiB"};
    size_t len = strcspn(text, " ");
    if (len == 0 || text[len] != ' ' || text[len - 1] < '0' || text[len - 1] > '9')
        return len;
    size_t next = strcspn(text + len + 1, " ,;.)");
    for (size_t i = 0; i < ARRAY_LEN(units); i++)
        if (strlen(units[i]) == next && memcmp(text + len + 1, units[i], next) == 0)
            return len + 1 + strcspn(text + len + 1, " ");
    return len;
}

void report_print_wrapped(FILE *out, struct report_terminal terminal, const char *text,
                          size_t first, size_t indent)
{
    size_t width = report_terminal_width(terminal), used = first;
    bool fresh = true;
    for (const char *at = text; *at;) {
        at += strspn(at, " ");
        size_t len = word_length(at);
        if (len == 0)
            break;
        AUTO(buf_done) struct buf word = BUF_INIT(1 << 20);
        if (!buf_append(&word, at, len))
            break;
        size_t columns = text_columns(buf_text(&word));
        if (!fresh && used + 1 + columns > width) {
            fputc('\n', out);
            print_blanks(out, indent);
            used = indent;
            fresh = true;
        }
        fprintf(out, "%s%s", fresh ? "" : " ", buf_text(&word));
        used += columns + !fresh;
        fresh = false;
        at += len;
    }
    fputc('\n', out);
}
