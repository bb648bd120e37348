/* The OOM killer's line is "Out of memory: Killed process 4711 (name)" or, for a memory cgroup,
 * "Memory cgroup out of memory: Killed process 4711 (name)"; both kept their form since Linux 4.19.
 * A recycled pid could match an old line; the caller asks only about a process that has just died
 * of SIGKILL which nobody of ours sent, which makes that a coincidence of three.
 *
 * The NVIDIA driver's line is "NVRM: Xid (PCI:0000:44:00): 79, ...": an old one could be of another
 * day, so it explains a card that is known to be lost; or one that still answers, when the line is
 * newer than a mark taken before anything was started and its number means that the card, its link
 * or the driver failed. The mark is the log's own newest time stamp and no clock of ours: the two
 * drift apart by seconds in weeks. */
#include "device/kernel_log.h"

#include "base/auto.h"
#include "base/text.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/klog.h>

enum { SYSLOG_ACTION_READ_ALL = 3, SYSLOG_ACTION_SIZE_BUFFER = 10, LOG_MAX_BYTES = 4 << 20 };
enum { STAMP_WITHIN = 8 }; /* behind the level */
enum { RECOVERY_ACTION = 154 };

bool device_kernel_log_names(const char *log, size_t len, pid_t pid)
{
    char needle[64];
    int n = snprintf(needle, sizeof needle, "Killed process %d ", (int)pid);
    return n > 0 && memmem(log, len, needle, (size_t)n) != NULL;
}

bool device_kernel_xid_is_fatal(int64_t number)
{
    /* By NVIDIA's catalog; 13, 31, 43, 45 and the like are a program's own faults. 74 is not in it:
     * an error of NVLink is often recovered from, and what is not brings 79, 140 or 154 as well. */
    static const int fatal[] = {48, 62, 64, 79, 95, 119, 120, 140, 143, 154};
    for (size_t i = 0; i < ARRAY_LEN(fatal); i++)
        if (fatal[i] == number)
            return true;
    return false;
}

bool device_kernel_xid_demands(int64_t number)
{
    return number == RECOVERY_ACTION;
}

/* "154, GPU recovery action changed from 0x0 (None) to 0x1 (GPU Reset Required)" is logged for any
 * change of that action, the one back to nothing as well. */
bool device_kernel_xid_is_over(int64_t number, const char *words, size_t len)
{
    static const char nothing[] = "(None)";
    const size_t tail = sizeof nothing - 1;
    while (len > 0 && strchr(" \r\n.", words[len - 1]))
        len--;
    return device_kernel_xid_demands(number) && len >= tail &&
           strncasecmp(words + len - tail, nothing, tail) == 0;
}

static bool is_fatal_line(const char *words, const char *end)
{
    const int64_t number = strtol(words, NULL, 10);
    return device_kernel_xid_is_fatal(number) &&
           !device_kernel_xid_is_over(number, words, (size_t)(end - words));
}

/* The line that begins at *next, which goes on to the next one; NULL: none is left. The last one
 * may lack its end. */
static const char *take_line(const char **next, const char *end, size_t *ret_len)
{
    const char *line = *next;
    if (line >= end)
        return NULL;
    const char *line_end = memchr(line, '\n', (size_t)(end - line));
    *next = line_end ? line_end + 1 : end;
    *ret_len = (size_t)((line_end ? line_end : end) - line);
    return line;
}

/* "<4>[   11.000000] NVRM: ..."; NaN: not told. */
static double stamp_of(const char *line, size_t len)
{
    const char *open = memchr(line, '[', len < STAMP_WITHIN ? len : STAMP_WITHIN);
    char text[32] = "";
    if (!open)
        return NAN;
    size_t left = len - (size_t)(open + 1 - line);
    memcpy(text, open + 1, left < sizeof text - 1 ? left : sizeof text - 1);
    char *end = text;
    double stamp_s = strtod(text, &end);
    return end > text && *end == ']' ? stamp_s : NAN;
}

double device_kernel_log_mark(const char *log, size_t len)
{
    double mark_s = -1;
    size_t line_len = 0;
    const char *next = log;
    for (const char *line = take_line(&next, log + len, &line_len); line;
         line = take_line(&next, log + len, &line_len))
        mark_s = fmax(mark_s, stamp_of(line, line_len));
    return mark_s;
}

/* Where the line's words on that card begin; NULL: it is not of it. */
static const char *xid_words(const char *line, size_t len, const char *needle)
{
    const char *at = text_find_nocase(line, len, needle);
    return at ? at + strlen(needle) : NULL;
}

static bool fill_needle(const char *pci, char *ret_needle, size_t size)
{
    /* NVML writes the domain with eight digits and a function, the kernel with four and none. */
    unsigned domain = 0, bus = 0, slot = 0;
    if (sscanf(pci, "%x:%x:%x", &domain, &bus, &slot) != 3)
        return false;
    snprintf(ret_needle, size, "NVRM: Xid (PCI:%04x:%02x:%02x): ", domain, bus, slot);
    return true;
}

static bool find_xid(const char *log, size_t len, const char *pci, const double *after_s,
                     char *ret_text, size_t size)
{
    char needle[64];
    const char *newest = NULL, *newest_end = NULL;
    if (!fill_needle(pci, needle, sizeof needle))
        return false;
    const char *next = log;
    size_t line_len = 0;
    for (const char *line = take_line(&next, log + len, &line_len); line;
         line = take_line(&next, log + len, &line_len)) {
        const char *words = xid_words(line, line_len, needle);
        if (words && (!after_s || (stamp_of(line, line_len) > *after_s &&
                                   is_fatal_line(words, line + line_len)))) {
            newest = words;
            newest_end = line + line_len;
        }
    }
    if (!newest)
        return false;
    AUTO(buf_done) struct buf text = BUF_INIT(512);
    buf_add(&text, "Xid ");
    text_add_escaped(&text, TEXT_TERMINAL, newest, (size_t)(newest_end - newest), 100);
    snprintf(ret_text, size, "%s", buf_text(&text));
    return true;
}

bool device_kernel_log_xid(const char *log, size_t len, const char *pci, char *ret_text,
                           size_t size)
{
    return find_xid(log, len, pci, NULL, ret_text, size);
}

bool device_kernel_log_fatal(const char *log, size_t len, const char *pci, double after_s,
                             char *ret_text, size_t size)
{
    return find_xid(log, len, pci, &after_s, ret_text, size);
}

/* The ring buffer, with a zero behind it; NULL when it may not be read. The caller frees it. */
static char *read_log(size_t *ret_len)
{
    int size = klogctl(SYSLOG_ACTION_SIZE_BUFFER, NULL, 0);
    if (size <= 0 || size > LOG_MAX_BYTES)
        return NULL;
    char *log = malloc((size_t)size + 1);
    if (!log)
        return NULL;
    int len = klogctl(SYSLOG_ACTION_READ_ALL, log, size);
    *ret_len = len > 0 ? (size_t)len : 0;
    log[*ret_len] = '\0';
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

double device_kernel_mark(void)
{
    size_t len = 0;
    AUTO(free) char *log = read_log(&len);
    return log ? device_kernel_log_mark(log, len) : NAN;
}

bool device_kernel_fatal(const char *pci, double after_s, char *ret_text, size_t size)
{
    size_t len = 0;
    AUTO(free) char *log = read_log(&len);
    return log && device_kernel_log_fatal(log, len, pci, after_s, ret_text, size);
}
