/* Whose is a process that a study declared as a neighbour?
 *
 * A declaration names a unit, a pid or a program. A unit is found by the cgroup's path, which stays
 * with a process whatever it forks; a pid or a program means that process and what descends from
 * it, by parent links: from one process upwards is a few files, where listing all processes to find
 * the trees downwards is hundreds (device/activity.c does that, having the listings anyway).
 *
 * Invariant: a process that can't be read is nobody's neighbour. */
#include "device/neighbour.h"

#include "device/proc_file.h"

#include <string.h>

/* The kernel keeps 15 bytes of a program's name. */
enum { KERNEL_COMM_LEN = 15, CGROUP_SIZE = 8192, ANCESTORS_MAX = 64 };

bool device_neighbour_is(const struct proc_stat *process, const struct spec_neighbour *neighbour)
{
    if (neighbour->command)
        return strncmp(process->comm, neighbour->command, KERNEL_COMM_LEN) == 0 &&
               (neighbour->by_ticks == 0 || process->start_ticks <= neighbour->by_ticks);
    return neighbour->pid > 0 && neighbour->pid == process->pid;
}

/* Is one of the folders on a line "4:memory:/system.slice/x.service/..." the unit's? A whole
 * component: "x.service" is not in "box.service". A name without a type means a service. */
static bool path_has_unit(const char *line, size_t len, const char *unit)
{
    size_t unit_len = strlen(unit);
    bool typed = strchr(unit, '.') != NULL;
    for (size_t at = 0; at < len;) {
        size_t part = strcspn(line + at, "/\n");
        if (typed ? part == unit_len && memcmp(line + at, unit, part) == 0
                  : part == unit_len + 8 && memcmp(line + at, unit, unit_len) == 0 &&
                        memcmp(line + at + unit_len, ".service", 8) == 0)
            return true;
        at += part + 1;
    }
    return false;
}

bool device_neighbour_in_unit(int root_fd, pid_t pid, const struct spec_neighbour *neighbours,
                              size_t count)
{
    char text[CGROUP_SIZE];
    ssize_t len = proc_file_read(root_fd, pid, "cgroup", text, sizeof text);
    for (size_t n = 0; n < count && len > 0; n++) {
        if (neighbours[n].unit && path_has_unit(text, (size_t)len, neighbours[n].unit))
            return true;
    }
    return false;
}

bool device_neighbour_owns(const char *proc_root, const struct proc_stat *process,
                           const struct spec_neighbour *neighbours, size_t count)
{
    if (count == 0)
        return false;
    AUTO(fd) int root_fd = proc_file_open_root(proc_root);
    struct proc_stat at = *process;
    if (root_fd < 0)
        return false;
    if (device_neighbour_in_unit(root_fd, process->pid, neighbours, count))
        return true;
    for (int steps = 0; steps < ANCESTORS_MAX; steps++) {
        for (size_t n = 0; n < count; n++) {
            if (device_neighbour_is(&at, &neighbours[n]))
                return true;
        }
        if (at.ppid <= 0 || !proc_file_stat(root_fd, at.ppid, &at))
            return false;
    }
    return false;
}

static bool is_named(int root_fd, const struct proc_stat *process,
                     const struct spec_neighbour *neighbour)
{
    if (process->state == 'Z')
        return false;
    return device_neighbour_is(process, neighbour) ||
           device_neighbour_in_unit(root_fd, process->pid, neighbour, 1);
}

bool device_neighbour_main(const char *proc_root, const struct spec_neighbour *neighbour,
                           struct proc_stat *ret_main)
{
    AUTO(free) struct proc_stat *list = NULL;
    size_t count = 0;
    if (!proc_all(proc_root, &list, &count, NULL))
        return false;
    AUTO(fd) int root_fd = proc_file_open_root(proc_root);
    const struct proc_stat *oldest = NULL;
    for (size_t i = 0; i < count; i++)
        if ((!oldest || list[i].start_ticks < oldest->start_ticks) &&
            is_named(root_fd, &list[i], neighbour))
            oldest = &list[i];
    if (oldest)
        *ret_main = *oldest;
    return oldest != NULL;
}

bool device_neighbour_lives(const char *proc_root, const struct proc_stat *main_process)
{
    struct proc_stat now;
    return proc_read_stat(proc_root, main_process->pid, &now) && now.state != 'Z' &&
           now.start_ticks == main_process->start_ticks;
}
