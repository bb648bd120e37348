/* Prints everything that spica reads of the cards here, in a stable text form: to be kept beside
 * measurements, and compared with what the fake library pretends.
 *
 *     nvml-probe [SECONDS [PID]]
 *     nvml-probe cost [SECONDS [PID...]]
 *
 * With SECONDS it samples for so long at 5 Hz (a line each, in the form of the recordings), and
 * asks for samples of processes in three ways: since ever, since the call before, and since one
 * second ago. With PID as well it takes the tree below that process before and after these seconds
 * and proves where it computed.
 *
 * `cost` tells what each function of the driver costs (CPU and wall time a call, here and now), and
 * then samples gpu0 at 10 Hz for so long (30) as a trial does, with the trees below the PIDs as its
 * services: the share of a core that this took, here and in the process that asks the driver, and
 * how many readings were fresh. */
#include "base/clock.h"
#include "device/device.h"
#include "device/nvml.h"
#include "device/sample.h"

#include <dirent.h>
#include <inttypes.h>
#include <string.h>
#include <time.h>

static void print_value(const char *name, struct reading reading, double unit)
{
    if (reading.state == READING_KNOWN)
        printf("  %-20s %.10g (%s)\n", name, reading.value / unit,
               reading_source_name(reading.source));
    else
        printf("  %-20s unknown\n", name);
}

static void print_links(pid_t pid)
{
    char path[64], target[256];
    snprintf(path, sizeof path, "/proc/%d/fd", (int)pid);
    DIR *dir = opendir(path);
    if (!dir) {
        printf("      %s can't be read\n", path);
        return;
    }
    int shown = 0, all = 0;
    for (const struct dirent *entry = readdir(dir); entry; entry = readdir(dir)) {
        ssize_t len = readlinkat(dirfd(dir), entry->d_name, target, sizeof target - 1);
        all++;
        if (len <= 0)
            continue;
        target[len] = '\0';
        if (strstr(target, "nvidia") && shown++ < 4)
            printf("      fd %s -> %s\n", entry->d_name, target);
    }
    printf("      %d of %d descriptors are the driver's\n", shown, all);
    closedir(dir);
}

static void print_processes(struct nvml_card *card)
{
    AUTO(free) struct nvml_process *list = NULL;
    size_t count = 0;
    if (!nvml_read_processes(card, &list, &count)) {
        printf("  processes            unknown\n");
        return;
    }
    printf("  processes            %zu\n", count);
    for (size_t i = 0; i < count; i++) {
        struct proc_stat stat = {.comm = "(not in this /proc)"};
        proc_read_stat("/proc", list[i].pid, &stat);
        printf("    %d %s kinds %u gi %u ci %u MiB %.1f\n", (int)list[i].pid, stat.comm,
               list[i].kinds, list[i].gpu_instance, list[i].compute_instance,
               reading_value(list[i].memory_bytes) / 1048576);
        print_links(list[i].pid);
    }
}

static void print_samples(struct nvml_card *card, const char *how, int64_t since_us)
{
    static const char *const words[] = {"refused", "none", "some"};
    AUTO(free) struct nvml_activity *list = NULL;
    size_t count = 0;
    enum nvml_samples answer = nvml_read_activity(card, since_us, &list, &count);
    printf(" %s=%s[", how, words[answer]);
    for (size_t i = 0; i < count; i++)
        printf("%s(%d, %.0f, -%" PRId64 "ms)", i ? ", " : "", (int)list[i].pid,
               100 * list[i].sm_ratio, (clock_now_wall_us() - list[i].at_wall_us) / 1000);
    printf("]");
}

static void print_card(struct nvml_card *card)
{
    struct nvml_identity id;
    struct nvml_memory memory;
    struct nvml_state state;
    char text[256];
    nvml_read_identity(card, &id);
    nvml_read_memory(card, "/proc", &memory);
    nvml_read_state(card, &state);
    printf("card gpu%d %s\n  uuid %s\n  pci %s\n  instance %d unified %d\n", id.index, id.name,
           id.uuid, id.pci, id.instance, memory.unified);
    print_value("total MiB", memory.total_bytes, 1048576);
    print_value("free MiB", memory.free_bytes, 1048576);
    print_value("used MiB", memory.used_bytes, 1048576);
    print_value("reserved MiB", memory.reserved_bytes, 1048576);
    print_value("busy %", state.busy_ratio, 0.01);
    print_value("memory busy %", state.memory_busy_ratio, 0.01);
    print_value("SM clock MHz", state.sm_clock_hz, 1e6);
    print_value("memory clock MHz", state.memory_clock_hz, 1e6);
    print_value("throttle bits", state.throttle_reasons, 1);
    nvml_throttle_words(&state.throttle_reasons, text, sizeof text);
    printf("  throttle             \"%s\"\n", text);
    print_value("temperature C", state.temperature_celsius, 1);
    print_value("power W", state.power_watt, 1);
    print_value("power limit W", state.power_limit_watt, 1);
    print_value("ECC corrected", state.ecc_corrected, 1);
    print_value("ECC uncorrected", state.ecc_uncorrected, 1);
    print_value("compute mode", state.compute_mode, 1);
    print_value("MIG enabled", state.mig_enabled, 1);
    print_value("accounting", state.accounting_enabled, 1);
    print_processes(card);
    nvml_fault_text(card, text, sizeof text);
    printf("  fault                \"%s\"\n", text);
}

static void sample(struct nvml_card *card, int64_t started_ns, int64_t *before_us)
{
    int64_t begin_ns = clock_now_ns(), begin_cpu_ns = clock_cpu_ns(), wall_us = clock_now_wall_us();
    struct nvml_memory memory;
    AUTO(free) struct nvml_process *list = NULL;
    size_t count = 0;
    nvml_read_memory(card, "/proc", &memory);
    double busy = reading_value(nvml_read_busy(card));
    bool told = nvml_read_processes(card, &list, &count);
    printf("%.2f used=%.0f free=%.0f gpu=%.0f procs=%s[", (double)(begin_ns - started_ns) / 1e9,
           reading_value(memory.used_bytes) / 1048576, reading_value(memory.free_bytes) / 1048576,
           100 * busy, told ? "" : "?");
    for (size_t i = 0; i < count; i++)
        printf("%s(%d, %.0f)", i ? ", " : "", (int)list[i].pid,
               reading_value(list[i].memory_bytes) / 1048576);
    printf("]");
    print_samples(card, "sm", 0);
    print_samples(card, "since-call", *before_us);
    print_samples(card, "since-1s", wall_us - 1000000);
    printf(" cost=%.0fus cpu=%.0fus\n", (double)(clock_now_ns() - begin_ns) / 1e3,
           (double)(clock_cpu_ns() - begin_cpu_ns) / 1e3);
    *before_us = wall_us;
}

static void prove(struct device *device, const struct device_usage *before, pid_t pid)
{
    struct device_usage after;
    struct device_proof proof;
    device_usage(device, pid, &after);
    int64_t begin_ns = clock_now_ns();
    device_prove(device, before, &after, ON_GPU, &proof);
    printf("proof %s after %.0f ms: \"%s\"; \"%s\"\n", device_placement_names[proof.placement],
           (double)(clock_now_ns() - begin_ns) / 1e6, proof.evidence[0], proof.evidence[1]);
    printf("tree memory MiB %.1f listed %d processes %d cpu_ms %" PRId64 "\n",
           reading_value(after.memory_bytes) / 1048576, after.listed, after.processes,
           after.cpu_ns / 1000000);
}

static void watch(struct nvml_card *card, double seconds, pid_t pid)
{
    struct err err = ERR_INIT;
    struct device *device = NULL;
    struct device_usage before;
    if (!device_open("gpu0", "/proc", &device, &err)) {
        printf("device: %s\n", err.text);
        return;
    }
    const struct device_facts *facts = device_facts(device);
    printf("device id \"%s\" name \"%s\" versions \"%s\" number \"%s\" notes \"%s\"\n", facts->id,
           facts->name, facts->versions, facts->number, facts->notes);
    int64_t started_ns = clock_now_ns(), before_us = clock_now_wall_us();
    device_usage(device, pid, &before);
    while ((double)(clock_now_ns() - started_ns) < seconds * 1e9) {
        sample(card, started_ns, &before_us);
        fflush(stdout);
        const struct timespec pause = {.tv_nsec = 200000000};
        nanosleep(&pause, NULL);
    }
    if (pid > 0)
        prove(device, &before, pid);
    device_close(device);
}

/* One call of each function that samples, states and proofs are made of. */
enum function {
    CALL_MEMORY_V2,
    CALL_COMPUTE,
    CALL_GRAPHICS,
    CALL_MPS,
    CALL_PROCESS_USE,
    CALL_USE,
    CALL_STATE,
    CALL_COUNT_
};
static const char *const function_names[CALL_COUNT_] = {
    [CALL_MEMORY_V2] = "MemoryInfo_v2",
    [CALL_COMPUTE] = "ComputeRunningProcesses",
    [CALL_GRAPHICS] = "GraphicsRunningProcesses",
    [CALL_MPS] = "MPSComputeRunningProcesses",
    [CALL_PROCESS_USE] = "ProcessUtilization (1 s)",
    [CALL_USE] = "UtilizationRates",
    [CALL_STATE] = "(all of the state)",
};

static void call(struct nvml_card *card, enum function function)
{
    AUTO(free) struct nvml_process *list = NULL;
    AUTO(free) struct nvml_activity *samples = NULL;
    struct nvml_memory memory;
    struct nvml_state state;
    size_t count = 0;
    switch (function) {
    case CALL_MEMORY_V2:
        nvml_read_memory(card, "/proc", &memory);
        break;
    case CALL_COMPUTE:
    case CALL_GRAPHICS:
    case CALL_MPS:
        nvml_read_lists(card, 1U << (function - CALL_COMPUTE), &list, &count);
        break;
    case CALL_PROCESS_USE:
        nvml_read_activity(card, clock_now_wall_us() - 1000000, &samples, &count);
        break;
    case CALL_USE:
        nvml_read_busy(card);
        break;
    case CALL_STATE:
    case CALL_COUNT_:
        nvml_read_state(card, &state);
        break;
    }
}

/* Of spica and of the process that asks the driver for it. */
static int64_t both_cpu_ns(const struct nvml_card *card)
{
    return clock_cpu_ns() + nvml_cost(card->nvml).cpu_ns;
}

static void print_costs(struct nvml_card *card)
{
    enum { CALLS = 40 };
    printf("%-28s %10s %10s\n", "function, a call", "CPU us", "wall us");
    for (int f = 0; f < CALL_COUNT_; f++) {
        int64_t cpu_ns = 0, wall_ns = 0;
        for (int i = 0; i <= CALLS; i++) {
            int64_t begin_cpu_ns = both_cpu_ns(card), begin_ns = clock_now_ns();
            call(card, (enum function)f);
            if (i == 0)
                continue; /* the first one may set something up */
            cpu_ns += both_cpu_ns(card) - begin_cpu_ns;
            wall_ns += clock_now_ns() - begin_ns;
            const struct timespec pause = {.tv_nsec = 10000000};
            nanosleep(&pause, NULL); /* as far apart as real ones: caches are cold */
        }
        printf("%-28s %10.1f %10.1f\n", function_names[f], (double)cpu_ns / CALLS / 1e3,
               (double)wall_ns / CALLS / 1e3);
    }
}

struct tally {
    int samples, memory, strangers, shares;
    double cost_s, dearest_s;
};

static void sample_once(struct device *device, const struct device_ours *ours, struct tally *tally)
{
    struct device_sample sample;
    int64_t driver_ns = device_own_cpu_ns(device);
    device_sample(device, ours, &sample);
    double cost_s = sample.cost_cpu_s + (double)(device_own_cpu_ns(device) - driver_ns) / 1e9;
    tally->samples++;
    tally->memory += sample.free_bytes.state == READING_KNOWN;
    tally->strangers += sample.stranger_bytes.state == READING_KNOWN;
    tally->shares += sample.stranger_sm_ratio >= 0;
    tally->cost_s += cost_s;
    if (cost_s > tally->dearest_s)
        tally->dearest_s = cost_s;
    if (tally->samples == 1)
        printf("ours %.0f MiB, strangers %.0f MiB, used %.0f MiB\n",
               reading_value(sample.tree_bytes[0]) / 1048576,
               reading_value(sample.stranger_bytes) / 1048576,
               reading_value(sample.used_bytes) / 1048576);
}

static void cost(struct nvml_card *card, double seconds, const pid_t *roots, size_t root_count)
{
    const struct timespec tenth = {.tv_nsec = 100000000};
    const struct device_ours ours = {.roots = roots, .root_count = root_count};
    struct tally tally = {0};
    struct err err = ERR_INIT;
    AUTO(device_close) struct device *device = NULL;
    print_costs(card);
    if (!device_open("gpu0", "/proc", &device, &err)) {
        printf("device: %s\n", err.text);
        return;
    }
    int64_t started_ns = clock_now_ns(), cpu_ns = clock_cpu_ns();
    int64_t driver_ns = device_own_cpu_ns(device);
    while ((double)(clock_now_ns() - started_ns) < seconds * 1e9) {
        sample_once(device, &ours, &tally);
        nanosleep(&tenth, NULL);
    }
    double span_s = (double)(clock_now_ns() - started_ns) / 1e9;
    printf("%d samples in %.1f s: %.3f %% of a core in samples, the driver's process included; of "
           "both processes as a whole %.3f %%; a sample %.0f us, the dearest %.0f us\n"
           "fresh: memory %d, strangers %d, SM use %d\n",
           tally.samples, span_s, 100 * tally.cost_s / span_s,
           100 * (double)(clock_cpu_ns() - cpu_ns + device_own_cpu_ns(device) - driver_ns) / 1e9 /
               span_s,
           1e6 * tally.cost_s / tally.samples, 1e6 * tally.dearest_s, tally.memory, tally.strangers,
           tally.shares);
}

static int run_cost(struct nvml *nvml, int argc, char **argv)
{
    struct nvml_card card;
    struct err err = ERR_INIT;
    pid_t roots[SPEC_SERVICES_MAX];
    size_t count = 0;
    for (int i = 3; i < argc && count < SPEC_SERVICES_MAX; i++)
        roots[count++] = (pid_t)strtol(argv[i], NULL, 10);
    if (!nvml_find(nvml, "gpu0", &card, &err)) {
        printf("nvml: %s\n", err.text);
        return 1;
    }
    cost(&card, argc > 2 ? strtod(argv[2], NULL) : 30, roots, count);
    return 0;
}

int main(int argc, char **argv)
{
    struct err err = ERR_INIT;
    AUTO(nvml_close) struct nvml *nvml = NULL;
    struct nvml_card cards[NVML_CARDS_MAX];
    char text[256], target[64] = "";
    ssize_t len = readlink("/proc/self/ns/pid", target, sizeof target - 1);
    printf("pid namespace %s, self %d\n", len > 0 ? target : "unknown", (int)getpid());
    if (!nvml_open(NULL, &nvml, &err)) {
        printf("nvml: %s\n", err.text);
        return 1;
    }
    nvml_versions(nvml, text, sizeof text);
    printf("%s\ncount %d\n", text, nvml_count(nvml));
    if (argc > 1 && strcmp(argv[1], "cost") == 0)
        return run_cost(nvml, argc, argv);
    size_t count = nvml_cards(nvml, cards, NVML_CARDS_MAX);
    for (size_t i = 0; i < count; i++)
        print_card(&cards[i]);
    if (argc > 1 && count)
        watch(&cards[0], strtod(argv[1], NULL), argc > 2 ? (pid_t)strtol(argv[2], NULL, 10) : 0);
    return 0;
}
