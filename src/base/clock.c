/* Readings of the system's clocks, and the one place that names them. */
#include "base/clock.h"

#include <time.h>

static int64_t read_ns(clockid_t id)
{
    struct timespec ts = {0};
    clock_gettime(id, &ts);
    return (int64_t)ts.tv_sec * NS_PER_S + ts.tv_nsec;
}

int64_t clock_now_ns(void)
{
    return read_ns(CLOCK_MONOTONIC);
}

int64_t clock_now_wall_us(void)
{
    return read_ns(CLOCK_REALTIME) / NS_PER_US;
}

int64_t clock_cpu_ns(void)
{
    return read_ns(CLOCK_PROCESS_CPUTIME_ID);
}

char *clock_format_wall(int64_t wall_us, char *buf, size_t size)
{
    time_t seconds = (time_t)(wall_us / 1000000);
    struct tm tm;
    if (!localtime_r(&seconds, &tm) || strftime(buf, size, "%Y-%m-%d %H:%M:%S", &tm) == 0)
        buf[0] = '\0';
    return buf;
}
