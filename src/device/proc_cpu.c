/* CPU time of the machine since boot, from the first line of /proc/stat.
 *
 * Guest time is inside user time and is not added again. Idle and iowait are left out: a core that
 * waits for the disk is free to run. Steal is kept apart, since it is nobody's here: the hypervisor
 * gave our time to another machine.
 *
 * The file counts whole clock ticks per core, so a difference of two readings is off by up to one
 * tick (10 ms) per core and kind: windows of seconds carry it, single requests do not. */
#include "base/buf.h"
#include "base/clock.h"
#include "device/proc.h"

#include <errno.h>
#include <string.h>

/* The interrupt line alone takes some KiB per hundred lines; big machines reach 100 KiB. */
enum { STAT_MAX = 4 * 1024 * 1024 };

enum {
    CPU_USER,
    CPU_NICE,
    CPU_SYSTEM,
    CPU_IDLE,
    CPU_IOWAIT,
    CPU_IRQ,
    CPU_SOFTIRQ,
    CPU_STEAL,
    CPU_COUNT_
};

static bool read_fields(const char *line, int64_t *ret_ticks)
{
    const int64_t max = INT64_MAX / NS_PER_S; /* so that sums in ns fit */
    const char *at = line;
    for (int i = 0; i < CPU_COUNT_; i++) {
        at += strspn(at, " ");
        if (*at < '0' || *at > '9')
            return false;
        char *end = NULL;
        errno = 0;
        long long ticks = strtoll(at, &end, 10);
        if (errno || ticks > max || (*end != ' ' && *end != '\n'))
            return false;
        ret_ticks[i] = ticks;
        at = end;
    }
    return true;
}

static int count_cores(const char *text)
{
    int cores = 0;
    for (const char *line = text; line; line = strchr(line, '\n')) {
        line += *line == '\n';
        if (strncmp(line, "cpu", 3) == 0 && line[3] >= '0' && line[3] <= '9')
            cores++;
    }
    return cores;
}

bool proc_read_cpu(const char *root, struct proc_cpu *ret_cpu, struct err *err)
{
    char path[4096];
    snprintf(path, sizeof path, "%s/stat", root);
    AUTO(buf_done) struct buf text = BUF_INIT(STAT_MAX);
    struct proc_cpu cpu = {.at_ns = clock_now_ns()};
    if (!buf_read_file(&text, path, err))
        return false;
    int64_t ticks[CPU_COUNT_];
    const char *start = buf_text(&text);
    cpu.cores = count_cores(start);
    if (strncmp(start, "cpu ", 4) != 0 || !read_fields(start + 4, ticks) || cpu.cores == 0)
        return err_set(err, ERR_INTERNAL, "%s: not as the kernel writes it", path);
    const int64_t ns_per_tick = NS_PER_S / sysconf(_SC_CLK_TCK);
    cpu.busy_ns = (ticks[CPU_USER] + ticks[CPU_NICE] + ticks[CPU_SYSTEM] + ticks[CPU_IRQ] +
                   ticks[CPU_SOFTIRQ]) *
                  ns_per_tick;
    cpu.steal_ns = ticks[CPU_STEAL] * ns_per_tick;
    *ret_cpu = cpu;
    return true;
}
