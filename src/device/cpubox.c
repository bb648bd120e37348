/* The CPU box: the whole machine as a device. Its memory is RAM, its work is core time.
 *
 * What a service takes is the PSS of its process tree and the CPU time of the tree. CPU time of the
 * dead is not lost: the kernel adds it to whoever waited for them, so the sum over the living
 * members of (own + reaped), with the keeper's reaped but without the keeper's own, counts each
 * member once, dead or alive. What it can't see is a child whose parent ignores SIGCHLD: the kernel
 * then adds its time to nobody. Counting by cgroup would see it, but may not be had everywhere, and
 * is for the keeper to add.
 *
 * Placement: a process of this machine runs on its CPU, so with nothing else to run on the question
 * is only whether the tree lives and works. Both observations are kept all the same, because the
 * report shows them beside those of a GPU. */
#include "base/buf.h"
#include "base/clock.h"
#include "base/digest.h"
#include "base/text.h"
#include "device/kind.h"
#include "device/machine.h"
#include "device/proc_file.h"

#include <string.h>
#include <sys/utsname.h>

enum { CPUINFO_MAX = 8 * 1024 * 1024, ID_DIGITS = 16 };

struct cpubox {
    struct device device; /* first: a struct device * is one of these */
    char *root;           /* "/proc"; owned */
};

static struct cpubox *cpubox_of(struct device *device)
{
    return (struct cpubox *)device;
}

static bool cpubox_claims(const char *name)
{
    return strcmp(name, "cpu") == 0;
}

/* First line of a small file, or false when it is missing or empty. */
static bool read_line(const char *path, char *ret_line, size_t size)
{
    AUTO(buf_done) struct buf text = BUF_INIT(4096);
    struct err ignored = ERR_INIT;
    if (!buf_read_file(&text, path, &ignored))
        return false;
    size_t len = strcspn(buf_text(&text), "\n");
    if (len == 0 || len >= size)
        return false;
    memcpy(ret_line, buf_text(&text), len);
    ret_line[len] = '\0';
    return true;
}

/* The machine id survives reboots; a machine without one (some containers) has its boot id. Only a
 * digest is shown and stored: machine-id(5) asks not to hand the id itself around. */
static bool fill_id(const char *root, struct device_facts *facts, struct err *err)
{
    char id[128], boot_path[4096], hex[DIGEST_HEX_SIZE];
    snprintf(boot_path, sizeof boot_path, "%s/sys/kernel/random/boot_id", root);
    if (!read_line("/etc/machine-id", id, sizeof id) && !read_line(boot_path, id, sizeof id))
        return err_set(err, ERR_INTERNAL, "this machine has neither /etc/machine-id nor %s",
                       boot_path);
    digest_bytes(id, strlen(id), hex);
    snprintf(facts->id, sizeof facts->id, "cpu-%.*s", ID_DIGITS, hex);
    return true;
}

/* ARM kernels give no model name: the machine's architecture has to do. */
static void fill_name(const char *root, const char *machine, struct device_facts *facts)
{
    char path[4096];
    snprintf(path, sizeof path, "%s/cpuinfo", root);
    AUTO(buf_done) struct buf text = BUF_INIT(CPUINFO_MAX), name = BUF_INIT(512);
    struct err ignored = ERR_INIT;
    const char *model = NULL;
    if (buf_read_file(&text, path, &ignored))
        model = strstr(buf_text(&text), "model name");
    if (model)
        model += strcspn(model, ":\n");
    if (model && *model == ':')
        model += 1 + strspn(model + 1, " \t");
    if (!model || *model == '\n' || !*model)
        model = machine;
    text_add_escaped(&name, TEXT_TERMINAL, model, strcspn(model, "\n"), 80);
    snprintf(facts->name, sizeof facts->name, "%.96s, %d core%s", buf_text(&name), facts->cores,
             facts->cores == 1 ? "" : "s");
}

static bool cpubox_open(const char *name, const char *proc_root, struct device **ret_device,
                        struct err *err)
{
    (void)name;
    struct proc_cpu cpu;
    struct proc_memory memory;
    struct device_facts facts = {.memory_bytes = NAN};
    if (!proc_read_cpu(proc_root, &cpu, err) || !proc_read_memory(proc_root, &memory, err) ||
        !fill_id(proc_root, &facts, err))
        return false;
    struct utsname system;
    if (uname(&system) != 0)
        return err_sys(err, "asking for the kernel's version");
    facts.cores = cpu.cores;
    facts.memory_bytes = reading_value(memory.total_bytes);
    fill_name(proc_root, system.machine, &facts);
    snprintf(facts.versions, sizeof facts.versions, "%.32s %.128s %.32s", system.sysname,
             system.release, system.machine);
    struct cpubox *box = calloc(1, sizeof *box);
    char *root = strdup(proc_root);
    if (!box || !root)
        abort();
    *box = (struct cpubox){.device = {.ops = &device_cpubox_ops, .facts = facts}, .root = root};
    *ret_device = &box->device;
    return true;
}

static void cpubox_close(struct device *device)
{
    struct cpubox *box = cpubox_of(device);
    free(box->root);
    free(box);
}

void device_machine_snapshot(const char *proc_root, struct device_snapshot *ret_snapshot)
{
    struct device_snapshot snapshot = {
        .total_bytes = READING_NONE,
        .free_bytes = READING_NONE,
        .busy_ns = READING_NONE,
        .steal_ns = READING_NONE,
        .used_bytes = READING_NONE,
        .reserved_bytes = READING_NONE,
        .busy_ratio = READING_NONE,
    };
    struct proc_cpu cpu;
    struct proc_memory memory;
    struct err ignored = ERR_INIT; /* a file that can't be read leaves its readings unknown */
    if (proc_read_memory(proc_root, &memory, &ignored)) {
        snapshot.total_bytes = memory.total_bytes;
        snapshot.free_bytes = memory.available_bytes;
    }
    snapshot.at_ns = clock_now_ns();
    if (proc_read_cpu(proc_root, &cpu, &ignored)) {
        snapshot.at_ns = cpu.at_ns;
        snapshot.busy_ns = reading_known(READING_FROM_PROC, (double)cpu.busy_ns);
        snapshot.steal_ns = reading_known(READING_FROM_PROC, (double)cpu.steal_ns);
    }
    *ret_snapshot = snapshot;
}

int device_machine_cores(void)
{
    return (int)sysconf(_SC_NPROCESSORS_ONLN);
}

static void cpubox_snapshot(struct device *device, struct device_snapshot *ret_snapshot)
{
    device_machine_snapshot(cpubox_of(device)->root, ret_snapshot);
}

/* Adds one living member's memory. A member that died since the walk has none; one that lives and
 * can't be read makes the sum unknown. */
static void add_memory(const char *root, const struct proc_stat *member, struct reading *sum)
{
    struct reading pss = proc_pss(root, member->pid);
    struct proc_stat now;
    if (pss.state == READING_KNOWN)
        sum->value += pss.value; /* NaN stays NaN */
    else if (proc_read_stat(root, member->pid, &now) && !proc_is_dead(&now) &&
             now.start_ticks == member->start_ticks)
        *sum = READING_NONE;
}

static struct reading tree_memory(const char *root, const struct proc_stat *list, size_t count,
                                  pid_t keeper)
{
    /* Without its keeper the tree can't be told from others: memory stays unknown. */
    struct reading sum = count > 0 ? reading_known(READING_FROM_PROC, 0) : READING_NONE;
    for (size_t i = 0; i < count; i++)
        if (list[i].pid != keeper && !proc_is_dead(&list[i]))
            add_memory(root, &list[i], &sum);
    return sum;
}

struct reading device_host_memory(const char *proc_root, pid_t root)
{
    AUTO(free) struct proc_stat *list = NULL;
    size_t count = 0;
    struct err ignored = ERR_INIT;
    return proc_tree(proc_root, root, &list, &count, &ignored)
               ? tree_memory(proc_root, list, count, root)
               : READING_NONE;
}

static void cpubox_usage(struct device *device, pid_t root, struct device_usage *ret_usage)
{
    const struct cpubox *box = cpubox_of(device);
    struct device_usage usage = {
        .at_ns = clock_now_ns(),
        .memory_bytes = READING_NONE,
        .device_used_bytes = READING_NONE,
        .busy_ratio = READING_NONE,
    };
    AUTO(free) struct proc_stat *list = NULL;
    size_t count = 0;
    struct err ignored = ERR_INIT;
    if (proc_tree(box->root, root, &list, &count, &ignored))
        usage.memory_bytes = tree_memory(box->root, list, count, root);
    for (size_t i = 0; i < count; i++) {
        usage.cpu_ns = proc_add_ns(usage.cpu_ns, list[i].reaped_cpu_ns);
        if (list[i].pid == root)
            continue;
        usage.cpu_ns = proc_add_ns(usage.cpu_ns, list[i].cpu_ns);
        usage.processes += !proc_is_dead(&list[i]);
    }
    *ret_usage = usage;
}

/* Less than a tick shows as nothing; a sum that fell means that members died unseen. */
static void say_time(int64_t used_ns, char *ret_text, size_t size)
{
    if (used_ns > 0)
        snprintf(ret_text, size, "its processes used %lld ms of CPU time during the probe request",
                 (long long)(used_ns / NS_PER_MS));
    else if (used_ns == 0)
        snprintf(ret_text, size,
                 "its processes used less CPU time than a clock tick (%ld ms) during the probe "
                 "request",
                 1000 / sysconf(_SC_CLK_TCK));
}

static void say_memory(const struct device_usage *usage, char *ret_text, size_t size)
{
    AUTO(buf_done) struct buf bytes = BUF_INIT(64);
    const char *plural = usage->processes == 1 ? "" : "es";
    const char *singular = usage->processes == 1 ? "s" : "";
    if (usage->processes == 0)
        return;
    text_add_bytes(&bytes, reading_value(usage->memory_bytes));
    if (usage->memory_bytes.state == READING_KNOWN)
        snprintf(ret_text, size, "its %d process%s hold%s %s of this machine's RAM (PSS)",
                 usage->processes, plural, singular, buf_text(&bytes));
    else
        snprintf(ret_text, size, "%d process%s of it live%s on this machine (memory can't be read)",
                 usage->processes, plural, singular);
}

static void cpubox_prove(struct device *device, const struct device_usage *before,
                         const struct device_usage *after, enum spec_on on,
                         struct device_proof *ret_proof)
{
    (void)device;
    (void)on; /* what was asked is judged by the caller: here is where it ran */
    struct device_proof proof = {.placement = PLACEMENT_UNPROVEN};
    say_time(after->cpu_ns - before->cpu_ns, proof.evidence[0], sizeof proof.evidence[0]);
    say_memory(after, proof.evidence[1], sizeof proof.evidence[1]);
    if (proof.evidence[0][0] && proof.evidence[1][0])
        proof.placement = PLACEMENT_CPU;
    *ret_proof = proof;
}

const struct device_ops device_cpubox_ops = {
    .kind = "cpu",
    .help = "this machine: memory is RAM (PSS), work is core time",
    .claims = cpubox_claims,
    .open = cpubox_open,
    .close = cpubox_close,
    .snapshot = cpubox_snapshot,
    .usage = cpubox_usage,
    .prove = cpubox_prove,
};
