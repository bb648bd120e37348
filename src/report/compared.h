/* What `spica compare` found in this study, as its events hold it: part of the view. */
#pragma once

#include "spec/metric.h"

#include <stdint.h>

enum { REPORT_COMPARED_SIDES = 6, REPORT_COMPARED_ROWS = 64 };

struct report_compared {
    int64_t number, blocks;
    double tolerance;
    struct report_compared_side {
        const char *candidate, *failed; /* failed: its verdict; NULL: it did not */
    } sides[REPORT_COMPARED_SIDES];
    size_t side_count;
    struct report_compared_row { /* judged ones */
        size_t other;            /* against sides[0] */
        const char *metric, *answer;
        bool is_ratio;
        double low, high; /* ratios, or differences; NaN: no interval */
    } rows[REPORT_COMPARED_ROWS];
    size_t row_count;
};
