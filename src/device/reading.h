/* A number from outside, with where it came from and whether it can be believed. Arithmetic on an
 * unknown is unknown; sentinels of drivers and files become unknown where they are read. */
#pragma once

#include <math.h>
#include <stdbool.h>

enum reading_state { READING_UNKNOWN = 0, READING_STALE, READING_KNOWN };
enum reading_source {
    READING_FROM_NOTHING = 0,
    READING_FROM_PROC, /* /proc files */
    READING_FROM_CGROUP,
    READING_FROM_NVML,
    READING_FROM_ENGINE, /* the service's own words */
    READING_FROM_FAKE,
    READING_SOURCE_COUNT_
};

struct reading {
    enum reading_state state;
    enum reading_source source;
    double value; /* base units; NaN unless known or stale */
};

#define READING_NONE ((struct reading){.value = NAN})

static inline struct reading reading_known(enum reading_source source, double value)
{
    return (struct reading){READING_KNOWN, source, value};
}
static inline double reading_value(struct reading r)
{
    return r.state == READING_KNOWN ? r.value : NAN;
}
const char *reading_source_name(enum reading_source source);
