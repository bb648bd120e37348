/* Two runs against each other, as far as two runs can tell. */
#pragma once

#include "base/arena.h"
#include "base/json.h"
#include "spec/metric.h"

struct bench_change {
    enum metric metric;
    enum metric_stat stat;
    double before, after;    /* NaN unknown */
    bool is_ratio;           /* after / before; else after - before (shares) */
    double value, low, high; /* of the change; low and high NaN: nothing can be excluded there */
    bool exact;              /* rates: no interval, so nothing is certain */
    int certain;             /* 1 better, -1 worse, 0 can't be told */
    bool over;               /* certainly worse by more than the tolerance */
    bool untold;             /* worse by more than it as seen, and nothing says how sure that is */
    const char *unknown;     /* why there is no value: "nothing answered now"; NULL: there is one */
};

enum { BENCH_CHANGES_MAX = 24, BENCH_WARNINGS_MAX = 12 };
struct bench_comparison { /* in the arena */
    const char *path;     /* of the old run */
    double tolerance;     /* ratio; NaN: none was asked for */
    struct bench_change changes[BENCH_CHANGES_MAX];
    size_t change_count;
    const char *warnings[BENCH_WARNINGS_MAX]; /* what was not the same in both runs */
    size_t warning_count;
    bool over, untold; /* any of the changes */
};

#define BENCH_NORMALISE "normalise" /* member of "load" where audio is sent; none: "english" */

/* An earlier run's --json. ERR_INPUT when the file holds none. */
NODISCARD bool bench_compare_load(const char *path, json_t **ret_old, struct err *err);
/* Both as bench_json() makes them. ERR_INPUT: another protocol, so nothing can be compared. */
NODISCARD bool bench_compare(const char *path, const json_t *before, const json_t *after,
                             double tolerance, struct arena *arena,
                             struct bench_comparison **ret_comparison, struct err *err);
json_t *bench_compare_json(const struct bench_comparison *comparison);
/* "37 % faster [32, 41]", "can't tell: from 9 % faster to 12 % slower". */
void bench_compare_add_words(struct buf *buf, const struct bench_change *change);
