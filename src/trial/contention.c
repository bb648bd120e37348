/* How much of the machine somebody else used while a window ran. Two sets of readings, of the whole
 * machine and of everything that is ours or declared; what is left of the first is a stranger's, or
 * a hypervisor's. Trials and the levels of a capacity search ask the same question with it.
 *
 * Rejected: the load average, which counts our own services too. */
#include "trial/contention.h"

#include "base/clock.h"

#include <string.h>
#include <unistd.h>

static int64_t process_cpu_ns(pid_t pid)
{
    struct proc_stat stat;
    return proc_read_stat("/proc", pid, &stat) ? stat.cpu_ns : 0;
}

void contention_take(struct attempt *attempt, struct contention_readings *r)
{
    struct trial_runner *runner = attempt->runner;
    r->keepers_cpu_ns = 0;
    for (size_t i = 0; i < attempt->study->service_count; i++) {
        pid_t root = runner->services[i].root;
        if (root == 0)
            continue;
        struct device_usage usage;
        device_usage(attempt_device(attempt, i), root, &usage);
        r->tree_cpu_ns[i] = usage.cpu_ns;
        if (!runner->services[i].by_request) /* else it is the load worker */
            r->keepers_cpu_ns += process_cpu_ns(root);
    }
    r->worker_cpu_ns = load_worker_cpu_ns(attempt->worker);
    r->own_cpu_ns = clock_cpu_ns();
    for (size_t d = 0; d < attempt->study->device_count; d++)
        r->own_cpu_ns += device_own_cpu_ns(runner->options.devices[d]);
    r->activity = device_activity_take("/proc");
    device_machine_snapshot("/proc", &r->machine);
}

const char *contention_names(struct attempt *attempt, const struct contention_readings *before,
                             const struct contention_readings *after)
{
    pid_t roots[SPEC_SERVICES_MAX + 1];
    size_t root_count = 0;
    roots[root_count++] = attempt->runner->options.root ? attempt->runner->options.root : getpid();
    struct device_holder top[3];
    const struct spec_study *study = attempt->study;
    size_t count = device_activity_strangers(before->activity, after->activity, roots, root_count,
                                             attempt->runner->neighbours, study->neighbour_count,
                                             top, ARRAY_LEN(top));
    AUTO(buf_done) struct buf text = BUF_INIT(512);
    for (size_t k = 0; k < count; k++)
        buf_addf(&text, "%s%s (pid %d, %.2f cores)", text.len ? ", " : "", top[k].comm,
                 (int)top[k].pid, top[k].cpu_ratio);
    return text.len ? arena_strdup(attempt->arena, buf_text(&text)) : NULL;
}

/* Everything of ours that is counted by itself. A keeper may have left our tree. */
static size_t own_roots(const struct attempt *attempt, pid_t *ret_roots)
{
    const struct trial_runner *runner = attempt->runner;
    size_t count = 0;
    ret_roots[count++] = getpid();
    count += load_worker_pids(attempt->worker, ret_roots + count);
    for (size_t i = 0; i < attempt->study->service_count; i++)
        if (runner->services[i].root)
            ret_roots[count++] = runner->services[i].root;
    return count;
}

/* CPU time of the declared neighbours without what is ours by the same name (both may be
 * "python3"). With several lanes: of all that is below their parent as well, this lane's own
 * included; the sum is over processes, none of which counts twice. */
static int64_t others_ns(const struct attempt *attempt, const struct contention_readings *before,
                         const struct contention_readings *after)
{
    const struct spec_study *study = attempt->study;
    pid_t root = attempt->runner->options.root;
    size_t count = study->neighbour_count;
    struct spec_neighbour *list = arena_array(attempt->arena, count + 1, sizeof *list);
    if (count)
        memcpy(list, attempt->runner->neighbours, count * sizeof *list);
    if (root)
        list[count++] = (struct spec_neighbour){.pid = root};
    pid_t own[SPEC_SERVICES_MAX + LOAD_WORKERS_MAX + 1];
    size_t own_count = root ? 0 : own_roots(attempt, own);
    return device_activity_neighbours_ns(before->activity, after->activity, list, count, own,
                                         own_count);
}

struct contention contention_between(const struct attempt *attempt,
                                     const struct contention_readings *before,
                                     const struct contention_readings *after)
{
    int64_t own_ns = after->keepers_cpu_ns - before->keepers_cpu_ns + after->worker_cpu_ns -
                     before->worker_cpu_ns + after->own_cpu_ns - before->own_cpu_ns;
    for (size_t i = 0; i < attempt->study->service_count; i++)
        own_ns += after->tree_cpu_ns[i] - before->tree_cpu_ns[i];
    int64_t others = others_ns(attempt, before, after);
    own_ns = attempt->runner->options.root ? others : own_ns + others;
    int cores = device_machine_cores();
    double steal_ns =
        reading_value(after->machine.steal_ns) - reading_value(before->machine.steal_ns);
    double span_ns = (double)(after->machine.at_ns - before->machine.at_ns) * cores;
    return (struct contention){
        .ratio = device_contention_ratio(&before->machine, &after->machine, own_ns, cores),
        .steal_ratio = steal_ns / span_ns,
    };
}

void contention_done(struct contention_readings *readings)
{
    readings->activity = device_activity_free(readings->activity);
}
