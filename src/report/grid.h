/* Aligned columns for a terminal, and lines broken at its width. */
#pragma once

#include "base/arena.h"
#include "base/buf.h"
#include "report/report.h"

enum { GRID_COLUMNS_MAX = 16 };
enum grid_paint { PAINT_NONE, PAINT_BOLD, PAINT_DIM, PAINT_GOOD, PAINT_BAD, PAINT_COUNT_ };

struct report_grid {
    struct arena *arena; /* borrowed */
    size_t column_count;
    bool right[GRID_COLUMNS_MAX];
    struct grid_row {
        const char *cells[GRID_COLUMNS_MAX]; /* NULL: empty */
        const char *below[2]; /* lines of their own under the row, filled; NULL none */
        enum grid_paint paint;
    } * rows;
    size_t row_count, capacity;
};

struct grid_row *report_grid_add(struct report_grid *grid);
/* Columns that the rows would take if nothing were cut. */
size_t report_grid_width(const struct report_grid *grid);
/* The last column takes what is left of the width and is cut with "..."; lines below are wrapped.
 */
void report_grid_print(const struct report_grid *grid, FILE *out, struct report_terminal terminal,
                       size_t indent);
/* Words of `text` filled into lines; the first begins at column `first`, the others at `indent`. */
void report_print_wrapped(FILE *out, struct report_terminal terminal, const char *text,
                          size_t first, size_t indent);
void report_print_painted(FILE *out, struct report_terminal terminal, enum grid_paint paint,
                          const char *text);
size_t report_terminal_width(struct report_terminal terminal);
