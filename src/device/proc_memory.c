/* Memory of processes and of the machine.
 *
 * A process's share is its PSS (proportional set size): pages that n processes map count 1/n to
 * each, so the sum over a tree counts the weights that its workers share once. RSS would count them
 * once per worker. The price: for smaps_rollup the kernel walks the process's page tables, 14 ms of
 * CPU time per resident GiB of 4 KiB pages where it was measured, while the process's page faults
 * wait; and it asks for ptrace rights: other users' processes are unknown to all but root. So PSS
 * of a big tree is for every few seconds, RSS (12 us) for every sample. Swapped-out pages are not
 * in it: it says what is in RAM.
 *
 * "kB" in these files is KiB. A file that is cut, or a number that no machine has, is unknown. */
#include "base/buf.h"
#include "device/proc_file.h"

#include <string.h>

/* smaps_rollup has some 25 short lines. In status the line of groups comes before the memory lines
 * and may hold 65,536 numbers; its holder then reads as unknown. */
enum { ROLLUP_SIZE = 4096, STATUS_SIZE = 16384, MEMINFO_MAX = 64 * 1024 };

static struct reading read_line(const char *root, pid_t pid, const char *file, const char *key,
                                char *text, size_t size)
{
    double bytes = 0;
    AUTO(fd) int root_fd = proc_file_open_root(root);
    if (root_fd < 0 || proc_file_read(root_fd, pid, file, text, size) < 0 ||
        !proc_file_kib(text, key, &bytes))
        return READING_NONE;
    return reading_known(READING_FROM_PROC, bytes);
}

struct reading proc_pss(const char *root, pid_t pid)
{
    char text[ROLLUP_SIZE];
    return read_line(root, pid, "smaps_rollup", "Pss:", text, sizeof text);
}

struct reading proc_peak_rss(const char *root, pid_t pid)
{
    char text[STATUS_SIZE];
    return read_line(root, pid, "status", "VmHWM:", text, sizeof text);
}

struct reading proc_rss(const char *root, pid_t pid)
{
    char text[STATUS_SIZE];
    return read_line(root, pid, "status", "VmRSS:", text, sizeof text);
}

static struct reading meminfo_line(const char *text, const char *key)
{
    double bytes = 0;
    return proc_file_kib(text, key, &bytes) ? reading_known(READING_FROM_PROC, bytes)
                                            : READING_NONE;
}

bool proc_read_memory(const char *root, struct proc_memory *ret_memory, struct err *err)
{
    char path[4096];
    snprintf(path, sizeof path, "%s/meminfo", root);
    AUTO(buf_done) struct buf text = BUF_INIT(MEMINFO_MAX);
    if (!buf_read_file(&text, path, err))
        return false;
    struct proc_memory memory = {
        .total_bytes = meminfo_line(buf_text(&text), "MemTotal:"),
        .available_bytes = meminfo_line(buf_text(&text), "MemAvailable:"),
        .swap_used_bytes = READING_NONE,
    };
    /* No machine that runs us has none: some sandboxes write 0 for "not told". */
    if (memory.total_bytes.value == 0)
        memory.total_bytes = READING_NONE;
    double total = reading_value(meminfo_line(buf_text(&text), "SwapTotal:"));
    double used = total - reading_value(meminfo_line(buf_text(&text), "SwapFree:"));
    if (used >= 0)
        memory.swap_used_bytes = reading_known(READING_FROM_PROC, used);
    *ret_memory = memory;
    return true;
}
