/* By how much trials on one device would disturb each other: the reason why there is one at a time.
 */
#pragma once

#include "spec/metric.h"
#include "study/study.h"

enum { CONTENTION_COPIES = 10, CONTENTION_WINDOWS = 4 };

struct contention_value { /* mean of the windows; the range covers each one's 95 % interval */
    double value, low, high;
};

struct study_contention { /* texts and lists in the arena that was given */
    const char *candidate, *device;
    size_t copies; /* asked for, of each service */
    double window_s;
    struct contention_window { /* in the order of measuring */
        bool crowded, measured;
        const char *verdict, *summary;
    } windows[CONTENTION_WINDOWS];
    struct contention_service {
        const char *name;
        size_t copies;           /* that ran beside it */
        const char *why_no_more; /* "llm~4: oom_start: ..."; NULL: all of them ran */
    } * services;
    size_t service_count;
    struct contention_row {
        const char *service, *metric, *stat; /* "stt", "latency", "p50" */
        enum metric_unit unit;
        struct contention_value alone, crowded, ratio; /* NaN: not measured */
    } * rows;
    size_t row_count;
};

/* Measures the baseline (without one, the first candidate) alone and with `copies` copies of all
 * its services beside it on the same device, each under the same load: alone, crowded, alone,
 * crowded, all from cold starts. 0: CONTENTION_COPIES, or as many as a study has room for. Stores
 * nothing but an event "contention" with the result as JSON. Of `options` study, folder, wait and
 * the observer's progress and waiting are used. Errors as study_run(). */
NODISCARD bool study_show_contention(const struct study_options *options, size_t copies,
                                     struct arena *arena, struct study_contention *ret,
                                     struct err *err);
