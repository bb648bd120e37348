/* What the kernel says about processes it killed for memory. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

/* Does the kernel's ring buffer say that it killed `pid` for memory? False as well when the buffer
 * may not be read (no CAP_SYSLOG): it is evidence for, never against. */
bool device_kernel_killed(pid_t pid);
/* The same over a given text; for tests. */
bool device_kernel_log_names(const char *log, size_t len, pid_t pid);
