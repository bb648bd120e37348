/* The OOM killer's line is "Out of memory: Killed process 4711 (name)" or, for a memory cgroup,
 * "Memory cgroup out of memory: Killed process 4711 (name)"; both kept their form since Linux 4.19.
 * A recycled pid could match an old line; the caller asks only about a process that has just died
 * of SIGKILL which nobody of ours sent, which makes that a coincidence of three.
 *
 * The NVIDIA driver's line is "NVRM: Xid (PCI:0000:44:00): 79, ...": an old one could be of another
 * day, so it explains a card that is known to be lost, and is asked for only then. */
#include "device/kernel_log.h"

#include "base/auto.h"
#include "base/text.h"

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

bool device_kernel_log_xid(const char *log, size_t len, const char *pci, char *ret_text,
                           size_t size)
{
    /* NVML writes the domain with eight digits and a function, the kernel with four and none. */
    unsigned domain = 0, bus = 0, slot = 0;
    char needle[64];
    if (sscanf(pci, "%x:%x:%x", &domain, &bus, &slot) != 3)
        return false;
    int n = snprintf(needle, sizeof needle, "NVRM: Xid (PCI:%04x:%02x:%02x): ", domain, bus, slot);
    const char *newest = NULL, *end = log + len;
    for (const char *at = log; at && n > 0;) {
        at = text_find_nocase(at, (size_t)(end - at), needle);
        if (at)
            newest = at += n;
    }
    if (!newest)
        return false;
    const char *line_end = memchr(newest, '\n', (size_t)(end - newest));
    AUTO(buf_done) struct buf text = BUF_INIT(512);
    buf_add(&text, "Xid ");
    text_add_escaped(&text, TEXT_TERMINAL, newest, (size_t)((line_end ? line_end : end) - newest),
                     100);
    snprintf(ret_text, size, "%s", buf_text(&text));
    return true;
}

/* The ring buffer; NULL when it may not be read. The caller frees it. */
static char *read_log(size_t *ret_len)
{
    int size = klogctl(SYSLOG_ACTION_SIZE_BUFFER, NULL, 0);
    if (size <= 0 || size > LOG_MAX_BYTES)
        return NULL;
    char *log = malloc((size_t)size);
    if (!log)
        return NULL;
    int len = klogctl(SYSLOG_ACTION_READ_ALL, log, size);
    *ret_len = len > 0 ? (size_t)len : 0;
    return log;
}

bool device_kernel_killed(pid_t pid)
{
    size_t len = 0;
    AUTO(free) char *log = read_log(&len);
    return log && device_kernel_log_names(log, len, pid);
}

bool device_kernel_xid(const char *pci, char *ret_text, size_t size)
{
    size_t len = 0;
    AUTO(free) char *log = read_log(&len);
    return log && device_kernel_log_xid(log, len, pci, ret_text, size);
}
