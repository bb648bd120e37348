/* Who used the CPU between two listings of all processes.
 *
 * Sampling (top's way, a listing each second) was rejected: two listings at a window's ends are
 * exact for every process that lives at the second one, and disturb nothing in between.
 *
 * The dead: a process that was alive at the first listing and died handed its whole CPU time to
 * whoever waited for it. So a process used
 *     its own increase + (its increase of reaped time - what the dead below it had used before),
 * which counts a build's short-lived compilers with the make that waited for them. Invisible are
 * only those whose parent ignores SIGCHLD or died as well without an heir in the list. A process
 * that started after the first listing counts in full. (pid, start) names a process: a pid that was
 * used again is another one.
 *
 * Invariant: no process counts twice, no figure is negative. */
#include "device/proc_file.h"

#include "base/clock.h"
#include "device/machine.h"
#include "device/neighbour.h"

#include <string.h>

struct device_activity {
    char *root;
    int64_t at_ns;
    struct proc_stat *list; /* sorted by pid */
    size_t count;
};

struct device_activity *device_activity_take(const char *proc_root)
{
    struct device_activity *activity = calloc(1, sizeof *activity);
    char *root = strdup(proc_root);
    if (!activity || !root)
        abort();
    activity->root = root;
    activity->at_ns = clock_now_ns();
    struct err ignored = ERR_INIT; /* a /proc that can't be read is an empty listing */
    if (!proc_all(proc_root, &activity->list, &activity->count, &ignored))
        activity->count = 0;
    return activity;
}

struct device_activity *device_activity_free(struct device_activity *activity)
{
    if (activity) {
        free(activity->root);
        free(activity->list);
        free(activity);
    }
    return NULL;
}

static const struct proc_stat *find(const struct device_activity *activity, pid_t pid)
{
    return proc_find(activity->list, activity->count, pid);
}

/* The same process in another listing, NULL if it does not live there. */
static const struct proc_stat *find_same(const struct device_activity *activity,
                                         const struct proc_stat *process)
{
    const struct proc_stat *other = find(activity, process->pid);
    return other && other->start_ticks == process->start_ticks ? other : NULL;
}

/* Who got the CPU time of a process that died: the nearest ancestor that still lives. */
static const struct proc_stat *find_heir(const struct device_activity *before,
                                         const struct device_activity *after,
                                         const struct proc_stat *dead)
{
    const struct proc_stat *ancestor = find(before, dead->ppid);
    for (size_t steps = 0; ancestor && steps < before->count; steps++) {
        const struct proc_stat *alive = find_same(after, ancestor);
        if (alive)
            return alive;
        ancestor = find(before, ancestor->ppid);
    }
    return NULL;
}

static void *zeroed(size_t count, size_t size)
{
    void *memory = calloc(count + 1, size);
    if (!memory)
        abort();
    return memory;
}

/* ns per process of `after`; the caller frees. */
static int64_t *used_ns(const struct device_activity *before, const struct device_activity *after)
{
    int64_t *used = zeroed(after->count, sizeof *used);
    AUTO(free) int64_t *reaped = zeroed(after->count, sizeof *reaped);
    for (size_t i = 0; i < after->count; i++) {
        const struct proc_stat *now = &after->list[i], *then = find_same(before, now);
        used[i] = now->cpu_ns - (then ? then->cpu_ns : 0);
        reaped[i] = now->reaped_cpu_ns - (then ? then->reaped_cpu_ns : 0);
        if (used[i] < 0)
            used[i] = 0; /* the kernel's split into user and system may step back by a tick */
    }
    for (size_t i = 0; i < before->count; i++) {
        const struct proc_stat *then = &before->list[i];
        const struct proc_stat *heir = NULL;
        if (!find_same(after, then))
            heir = find_heir(before, after, then);
        if (heir)
            reaped[heir - after->list] = proc_add_ns(
                reaped[heir - after->list], -proc_add_ns(then->cpu_ns, then->reaped_cpu_ns));
    }
    for (size_t i = 0; i < after->count; i++)
        used[i] = proc_add_ns(used[i], reaped[i] > 0 ? reaped[i] : 0);
    return used;
}

/* Marks in `after` the trees below the roots: those of now, and members of then that have a new
 * parent since. */
static void mark_trees(const struct device_activity *before, const struct device_activity *after,
                       const pid_t *roots, size_t root_count, bool *mark)
{
    proc_mark_trees(after->list, after->count, roots, root_count, mark);
    AUTO(free) bool *then = zeroed(before->count, sizeof *then);
    proc_mark_trees(before->list, before->count, roots, root_count, then);
    for (size_t i = 0; i < before->count; i++) {
        const struct proc_stat *now = then[i] ? find_same(after, &before->list[i]) : NULL;
        if (now)
            mark[now - after->list] = true;
    }
}

/* The largest users of what is not marked. */
static size_t pick_top(const struct device_activity *before, const struct device_activity *after,
                       const int64_t *used, bool *mark, struct device_holder *ret_holders,
                       size_t max)
{
    double window_ns = (double)(after->at_ns - before->at_ns);
    size_t found = 0;
    for (; found < max; found++) {
        size_t most = after->count;
        for (size_t i = 0; i < after->count; i++) {
            if (!mark[i] && used[i] > 0 && (most == after->count || used[i] > used[most]))
                most = i;
        }
        if (most == after->count)
            break;
        const struct proc_stat *process = &after->list[most];
        mark[most] = true; /* not again */
        ret_holders[found] = (struct device_holder){
            .pid = process->pid,
            .memory_bytes = proc_pss(after->root, process->pid),
            .cpu_ratio = window_ns > 0 ? (double)used[most] / window_ns : NAN,
            .sm_ratio = NAN,
        };
        memcpy(ret_holders[found].comm, process->comm, sizeof process->comm);
    }
    return found;
}

/* The roots that neighbours name by pid or by program, in either listing. */
static size_t find_roots(const struct device_activity *activity,
                         const struct spec_neighbour *neighbours, size_t count, pid_t *ret_roots)
{
    size_t found = 0;
    for (size_t i = 0; i < activity->count; i++) {
        const struct proc_stat *process = &activity->list[i];
        bool named = false;
        for (size_t n = 0; n < count; n++)
            named = named || device_neighbour_is(process, &neighbours[n]);
        if (named)
            ret_roots[found++] = process->pid;
    }
    return found;
}

static void mark_neighbours(const struct device_activity *before,
                            const struct device_activity *after, const int64_t *used,
                            const struct spec_neighbour *neighbours, size_t count, bool *mark)
{
    bool units = false;
    for (size_t n = 0; n < count; n++)
        units = units || neighbours[n].unit;
    AUTO(free) pid_t *roots = zeroed(before->count + after->count, sizeof *roots);
    size_t root_count = find_roots(after, neighbours, count, roots);
    mark_trees(before, after, roots, root_count, mark);
    AUTO(fd) int root_fd = proc_file_open_root(after->root);
    /* Most processes sleep all the time: only the others' cgroups are worth three system calls. (A
     * process's cgroup is asked for at most once, whatever the number of units.) */
    for (size_t i = 0; i < after->count && units; i++)
        if (used[i] > 0 && !mark[i])
            mark[i] = device_neighbour_in_unit(root_fd, after->list[i].pid, neighbours, count);
}

int64_t device_activity_neighbours_ns(const struct device_activity *before,
                                      const struct device_activity *after,
                                      const struct spec_neighbour *neighbours, size_t count,
                                      const pid_t *own_roots, size_t own_count)
{
    if (count == 0)
        return 0;
    AUTO(free) int64_t *used = used_ns(before, after);
    AUTO(free) bool *mark = zeroed(after->count, sizeof *mark);
    AUTO(free) bool *own = zeroed(after->count, sizeof *own);
    mark_neighbours(before, after, used, neighbours, count, mark);
    mark_trees(before, after, own_roots, own_count, own);
    int64_t sum = 0;
    for (size_t i = 0; i < after->count; i++)
        sum = proc_add_ns(sum, mark[i] && !own[i] ? used[i] : 0);
    return sum;
}

size_t device_activity_strangers(const struct device_activity *before,
                                 const struct device_activity *after, const pid_t *own_roots,
                                 size_t own_count, const struct spec_neighbour *neighbours,
                                 size_t neighbour_count, struct device_holder *ret_holders,
                                 size_t max)
{
    AUTO(free) int64_t *used = used_ns(before, after);
    AUTO(free) bool *known = zeroed(after->count, sizeof *known);
    if (neighbour_count)
        mark_neighbours(before, after, used, neighbours, neighbour_count, known);
    AUTO(free) bool *own = zeroed(after->count, sizeof *own);
    mark_trees(before, after, own_roots, own_count, own);
    for (size_t i = 0; i < after->count; i++)
        known[i] = known[i] || own[i];
    return pick_top(before, after, used, known, ret_holders, max);
}
