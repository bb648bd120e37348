/* How much a service can take: which level of load (clients, or requests per second) to try next,
 * and what the outcomes so far say. Pure: levels are numbers, and who loads the service tells how
 * each window came out.
 *
 * The level doubles from a start (or halves, when that is too much) until one met and one missed
 * level enclose the answer, which is then cut down to the stated resolution. Noise may spoil any
 * window, so both ends of the answer must be seen twice, and where two windows contradict, a third
 * one decides. The answer is the largest level that met, with the smallest that did not. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

/* How a window at one level came out. The two LEANS could not be decided from so few requests: the
 * window is repeated twice as long, and at its longest its own value decides, marked as unsure; at
 * once where a longer one could decide no more. */
enum stats_level {
    LEVEL_MET,
    LEVEL_LEANS_MET,
    LEVEL_LEANS_MISSED,
    LEVEL_MISSED,
    LEVEL_DISTURBED, /* says nothing of the service: the same once more */
    LEVEL_OWN_LIMIT, /* the load generator could not offer it */
    LEVEL_ENDED,     /* the service did not survive it */
    LEVEL_COUNT_
};

enum {
    STATS_CAPACITY_LEVELS = 64, /* different ones */
    STATS_CAPACITY_DISTURBED_MAX = 3,
};

struct stats_capacity_limits {
    bool whole;              /* levels are whole numbers (clients) */
    double start;            /* the first one, within [least, most] */
    double least, most;      /* none below or above is tried; least > 0 */
    double resolution_ratio; /* of the level, how near its ends are in the end; whole: at least 1 */
    int stretch;             /* the longest window, in base windows: 1, 2, 4 */
    int windows;             /* at most, all told */
};

struct stats_capacity_probe {
    double level;
    int stretch; /* its window's length in base windows */
};

enum stats_capacity_end {
    CAPACITY_OPEN,      /* not over, or given up by the caller: the bracket is as wide as it is */
    CAPACITY_FOUND,     /* low met, high missed, both twice, as near as asked */
    CAPACITY_MOST,      /* even the largest allowed level was met: the answer is "at least low" */
    CAPACITY_LEAST,     /* even the smallest allowed level was missed */
    CAPACITY_OWN_LIMIT, /* beyond low the load generator could not follow: "at least low" */
    CAPACITY_ENDED,     /* the service did not survive `high` */
    CAPACITY_DISTURBED, /* one level could not be measured */
    CAPACITY_BUDGET,    /* the windows were used up */
    CAPACITY_END_COUNT_
};

struct stats_capacity_answer {
    enum stats_capacity_end end;
    double low;  /* the largest level that met; NaN: none did */
    double high; /* the smallest that did not; NaN: none */
    bool unsure; /* one of the two leans on its value, and is not certain */
};

struct stats_capacity {
    struct stats_capacity_limits limits;
    struct stats_capacity_level {
        double level;
        int met, missed; /* windows that count */
        int sure;        /* of these, decided ones */
        int beyond_us;   /* times the load generator failed */
    } levels[STATS_CAPACITY_LEVELS];
    size_t level_count;
    struct stats_capacity_probe last, again; /* again.stretch 0: nothing to repeat */
    enum stats_capacity_end end;
    int windows, disturbed;
};

struct stats_capacity stats_capacity_init(const struct stats_capacity_limits *limits);
/* False: over, see the answer. Asked twice without an outcome, it says the same. */
bool stats_capacity_next(struct stats_capacity *capacity, struct stats_capacity_probe *ret_probe);
/* The outcome of what stats_capacity_next() said last. `longer_helps`: could one that leans be
 * decided by a longer window? A mean, which has no interval of any length, never is. */
void stats_capacity_tell(struct stats_capacity *capacity, enum stats_level outcome,
                         bool longer_helps);
struct stats_capacity_answer stats_capacity_answer(const struct stats_capacity *capacity);

/* "met", "leans met", ...; "found", "most", ... for the store. */
const char *stats_level_name(enum stats_level level);
const char *stats_capacity_end_name(enum stats_capacity_end end);
int stats_capacity_end_from_name(const char *name); /* or -1 */
