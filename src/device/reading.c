/* Names of the places a number may come from.
 *
 * The words are what the store and the report show beside a number; they never change meaning, only
 * grow. A table by index was preferred to strings inside each reading: a sample is copied thousands
 * of times, and a pointer would outlive nothing but could not be compared or stored as a number. */
#include "device/reading.h"

#include <assert.h>
#include <stddef.h>

static const char *const names[] = {
    [READING_FROM_NOTHING] = "nothing", [READING_FROM_PROC] = "/proc",
    [READING_FROM_CGROUP] = "cgroup",   [READING_FROM_NVML] = "NVML",
    [READING_FROM_ENGINE] = "engine",   [READING_FROM_FAKE] = "fake",
};
static_assert(sizeof names / sizeof names[0] == READING_SOURCE_COUNT_, "a name per source");

const char *reading_source_name(enum reading_source source)
{
    return (size_t)source < READING_SOURCE_COUNT_ ? names[source] : names[READING_FROM_NOTHING];
}
