/* The Pareto front: the rows that no other row beats. Row a beats b when it is at least as good in
 * every column and better in one. Equal rows stand on the front together. A row with an unknown
 * (NaN) value is never on the front and beats nobody. O(rows^2 columns). */
#pragma once

#include <stdbool.h>
#include <stddef.h>

enum stats_direction { DIRECTION_LOWER, DIRECTION_HIGHER }; /* what is better */

/* `values` is row-major, rows x columns; ret_front has `rows` entries. Without columns nobody is on
 * the front. */
void stats_pareto_front(const double *values, size_t rows, size_t columns,
                        const enum stats_direction *directions, bool *ret_front);
