/* Time. Durations come from the monotonic clock only; wall time is shown and stored, never
 * subtracted, so that a clock set back or forward in the middle of a study changes no number. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#define NS_PER_S INT64_C(1000000000)
#define NS_PER_MS INT64_C(1000000)
#define NS_PER_US INT64_C(1000)
#define CLOCK_NEVER INT64_MAX /* a deadline that never comes */

int64_t clock_now_ns(void);      /* CLOCK_MONOTONIC */
int64_t clock_now_wall_us(void); /* CLOCK_REALTIME, microseconds since 1970 */
int64_t clock_cpu_ns(void);      /* CPU time of this process so far */

/* Local wall time as "2026-11-25 16:41:07"; `buf` holds at least 20 bytes. Returns buf. */
char *clock_format_wall(int64_t wall_us, char *buf, size_t size);
