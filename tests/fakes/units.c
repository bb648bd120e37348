/*
 * Numbers as a person writes them: times, sizes, signals.
 *
 * The idea: a unit is a row. A number without a unit is refused as a time (was it seconds or
 * milliseconds?), as in the study files that drive these services.
 */
#include "units.h"

#include <errno.h>
#include <math.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

struct unit {
    const char *name;
    double factor;
};

static const struct unit times[] = {
    {"us", 1e3}, {"ms", 1e6}, {"s", 1e9}, {"m", 60e9}, {"h", 3600e9}, {NULL, 0},
};
static const struct unit sizes[] = {
    {"", 1}, {"K", 1024.0}, {"M", 1048576.0}, {"G", 1073741824.0}, {NULL, 0},
};
static const struct unit signals[] = {
    {"SEGV", SIGSEGV}, {"KILL", SIGKILL}, {"ABRT", SIGABRT}, {"TERM", SIGTERM},
    {"BUS", SIGBUS},   {"ILL", SIGILL},   {"FPE", SIGFPE},   {"INT", SIGINT},
    {"HUP", SIGHUP},   {"STOP", SIGSTOP}, {NULL, 0},
};

static const struct unit *find(const struct unit *units, const char *name)
{
    for (; units->name != NULL; units++)
        if (strcmp(units->name, name) == 0)
            return units;
    return NULL;
}

bool units_parse_real(const char *text, double *ret_value)
{
    char *end = NULL;
    const double value = strtod(text, &end);
    if (end == text || *end != '\0' || !isfinite(value))
        return false;
    *ret_value = value;
    return true;
}

bool units_parse_count(const char *text, long *ret_value)
{
    char *end = NULL;
    errno = 0;
    const long value = strtol(text, &end, 10);
    if (end == text || *end != '\0' || errno != 0 || value < 0)
        return false;
    *ret_value = value;
    return true;
}

static bool parse_scaled(const char *text, const struct unit *units, double *ret_value)
{
    char *end = NULL;
    const double value = strtod(text, &end);
    const struct unit *unit = end != text ? find(units, end) : NULL;
    if (unit == NULL || !isfinite(value) || value < 0 || value * unit->factor > 4e18)
        return false;
    *ret_value = value * unit->factor;
    return true;
}

bool units_parse_time(const char *text, int64_t *ret_ns)
{
    double value = 0;
    if (strcmp(text, "0") != 0 && !parse_scaled(text, times, &value))
        return false;
    *ret_ns = (int64_t)value;
    return true;
}

bool units_parse_bytes(const char *text, uint64_t *ret_bytes)
{
    double value;
    if (!parse_scaled(text, sizes, &value))
        return false;
    *ret_bytes = (uint64_t)value;
    return true;
}

bool units_parse_signal(const char *text, int *ret_signal)
{
    const struct unit *row = find(signals, strncmp(text, "SIG", 3) == 0 ? text + 3 : text);
    long number = 0;
    if (row == NULL && (!units_parse_count(text, &number) || number < 1 || number > 64))
        return false;
    *ret_signal = row != NULL ? (int)row->factor : (int)number;
    return true;
}
