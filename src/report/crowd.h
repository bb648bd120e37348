/* One candidate alone and beside copies of itself: why trials on a device run one at a time. Part
 * of the view; NaN is unknown. */
#pragma once

#include "spec/metric.h"

#include <stdint.h>

struct report_crowd_value {
    double value, low, high; /* mean of the windows; over each one's interval */
};
struct report_crowd {
    const char *candidate, *device;
    int64_t copies; /* asked for */
    double window_s;
    struct report_crowd_row {
        const char *name; /* "stt latency p50" */
        enum metric_unit unit;
        struct report_crowd_value alone, crowded, ratio;
    } * rows;
    size_t row_count;
    struct report_crowd_service {
        const char *name;
        int64_t copies;  /* that ran */
        const char *why; /* why no more did; NULL: all of them ran */
    } * services;
    size_t service_count;
};
