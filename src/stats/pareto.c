/* Front membership by comparing every pair.
 *
 * Faster methods (sorting by one column, divide and conquer) were rejected: a study has at most
 * some thousand measured candidates, a pair costs a few nanoseconds, and the plain double loop is
 * the definition itself. Domination is decided on the raw values, without tolerance: noise belongs
 * to the comparison of finalists, not to the geometry. */
#include "stats/pareto.h"

#include <math.h>

static bool is_known(const double *row, size_t columns)
{
    for (size_t c = 0; c < columns; c++) {
        if (isnan(row[c]))
            return false;
    }
    return columns > 0;
}

static bool beats(const double *a, const double *b, size_t columns,
                  const enum stats_direction *directions)
{
    bool better = false;
    for (size_t c = 0; c < columns; c++) {
        double x = directions[c] == DIRECTION_LOWER ? a[c] : b[c];
        double y = directions[c] == DIRECTION_LOWER ? b[c] : a[c];
        if (x > y)
            return false;
        better |= x < y;
    }
    return better;
}

void stats_pareto_front(const double *values, size_t rows, size_t columns,
                        const enum stats_direction *directions, bool *ret_front)
{
    for (size_t r = 0; r < rows; r++)
        ret_front[r] = is_known(values + r * columns, columns);
    /* A beaten row may still be used to beat others: whatever it beats, its beater beats too, so
     * rows already off the front (or unknown) can be skipped. */
    for (size_t r = 0; r < rows; r++) {
        for (size_t other = 0; other < rows && ret_front[r]; other++) {
            if (ret_front[other] &&
                beats(values + other * columns, values + r * columns, columns, directions))
                ret_front[r] = false;
        }
    }
}
