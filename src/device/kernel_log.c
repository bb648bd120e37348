/* The OOM killer's line is "Out of memory: Killed process 4711 (name)" or, for a memory cgroup,
 * "Memory cgroup out of memory: Killed process 4711 (name)"; both kept their form since Linux 4.19.
 * A recycled pid could match an old line; the caller asks only about a process that has just died
 * of SIGKILL which nobody of ours sent, which makes that a coincidence of three. */
#include "device/kernel_log.h"

#include "base/auto.h"

#include <stdio.h>
#include <string.h>
#include <sys/klog.h>

enum { SYSLOG_ACTION_READ_ALL = 3, SYSLOG_ACTION_SIZE_BUFFER = 10, LOG_MAX_BYTES = 4 << 20 };

bool device_kernel_log_names(const char *log, size_t len, pid_t pid)
{
    char needle[64];
    int n = snprintf(needle, sizeof needle, "Killed process %d ", (int)pid);
    return n > 0 && memmem(log, len, needle, (size_t)n) != NULL;
}

bool device_kernel_killed(pid_t pid)
{
    int size = klogctl(SYSLOG_ACTION_SIZE_BUFFER, NULL, 0);
    if (size <= 0 || size > LOG_MAX_BYTES)
        return false;
    AUTO(free) char *log = malloc((size_t)size);
    if (!log)
        return false;
    int len = klogctl(SYSLOG_ACTION_READ_ALL, log, size);
    return len > 0 && device_kernel_log_names(log, (size_t)len, pid);
}
