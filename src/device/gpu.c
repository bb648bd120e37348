/* An NVIDIA GPU, or one of its MIG instances, as a device.
 *
 * Its id is the driver's UUID, so the lock holds whatever name a study uses; "gpu0" is a number in
 * the order of PCI addresses (device/nvml_card.c). Memory is the driver's own account of the card;
 * a service's share of it is the sum over those of its processes that the driver lists
 * (device/gpu_tree.c). CPU time is counted as on a CPU box, as the counter-evidence of placement
 * (device/gpu_placement.c). Core time of the machine is left unknown: this device is the card.
 *
 * The card is asked once while being opened and the answer thrown away: an idle card's use shows up
 * to 90 % in the first moment that anybody asks.
 *
 * Invariant: a card that the driver lost says so in every snapshot from then on, and no reading of
 * it is a number. */
#include "device/gpu.h"

#include "base/buf.h"
#include "base/clock.h"
#include "base/text.h"
#include "device/gpu_placement.h"
#include "device/kernel_log.h"

#include <math.h>
#include <string.h>
#include <time.h>

enum { MODE_PROHIBITED = 2, MODE_EXCLUSIVE = 3, INSTANCES_SHOWN = 4 };

/* The driver averages over up to a second before it has a sample of short work. */
static const int64_t samples_pause_ns = 100 * NS_PER_MS;

static bool gpu_claims(const char *name)
{
    size_t digits = text_starts_with(name, "gpu") ? strspn(name + 3, "0123456789") : 0;
    return (digits > 0 && digits <= 3 && !name[3 + digits]) || text_starts_with(name, "GPU-") ||
           text_starts_with(name, "MIG-");
}

/* A card that is cut into instances runs nothing as a whole. */
static bool refuse_whole(const struct nvml_card *card, struct err *err)
{
    struct nvml_card instances[INSTANCES_SHOWN];
    size_t count = nvml_instances(card, instances, ARRAY_LEN(instances));
    AUTO(buf_done) struct buf names = BUF_INIT(512);
    for (size_t i = 0; i < count; i++) {
        struct nvml_identity identity;
        nvml_read_identity(&instances[i], &identity);
        buf_addf(&names, "%s%s", i ? ", " : "", identity.uuid);
    }
    return err_set(err, ERR_INPUT, "it is cut into MIG instances: name one of them%s%s",
                   count ? ": " : " (it has none yet: nvidia-smi mig -cgi)", buf_text(&names));
}

static bool has_mps(struct nvml_card *card, struct gpu_join *join)
{
    AUTO(free) struct nvml_process *list = NULL;
    size_t count = 0;
    bool found = false;
    if (!nvml_read_processes(card, &list, &count))
        return false;
    for (size_t i = 0; i < count; i++) {
        struct proc_stat stat;
        found |= (list[i].kinds & NVML_MPS) || (gpu_tree_find(join, list[i].pid, &stat) &&
                                                text_starts_with(stat.comm, "nvidia-cuda-mps"));
    }
    return found;
}

static bool tells_no_use(struct nvml_card *card)
{
    AUTO(free) struct nvml_activity *samples = NULL;
    size_t count = 0;
    return nvml_read_activity(card, clock_now_wall_us(), &samples, &count) ==
               NVML_SAMPLES_REFUSED &&
           nvml_read_busy(card).state != READING_KNOWN;
}

static void fill_notes(struct gpu *gpu, bool exclusive, bool instance)
{
    const struct {
        bool holds;
        const char *words;
    } notes[] = {
        {exclusive, "compute mode Exclusive: only one process at a time can use it"},
        {has_mps(&gpu->card, &gpu->join), "MPS is on: one client's fatal fault ends every client"},
        {instance && tells_no_use(&gpu->card),
         "this driver tells no SM use of a MIG instance: where a service computes may stay "
         "unproven"},
    };
    AUTO(buf_done) struct buf text = BUF_INIT(sizeof gpu->device.facts.notes - 1);
    for (size_t i = 0; i < ARRAY_LEN(notes); i++)
        if (notes[i].holds)
            buf_addf(&text, "%s%s", text.len ? "; " : "", notes[i].words);
    memcpy(gpu->device.facts.notes, buf_text(&text), text.len + 1);
}

static bool fill_facts(struct gpu *gpu, struct err *err)
{
    struct device_facts *facts = &gpu->device.facts;
    struct nvml_identity identity;
    struct nvml_state state;
    struct nvml_memory memory;
    nvml_read_identity(&gpu->card, &identity);
    memcpy(gpu->pci, identity.pci, sizeof gpu->pci);
    memcpy(facts->pci, identity.pci, sizeof facts->pci);
    nvml_read_state(&gpu->card, &state);
    nvml_read_memory(&gpu->card, gpu->root, &memory);
    char fault[sizeof((struct device_snapshot){0}).fault];
    nvml_fault_text(&gpu->card, fault, sizeof fault);
    if (fault[0] || !identity.uuid[0])
        return err_set(err, ERR_STOPPED, "%s", fault[0] ? fault : "the driver tells no UUID of it");
    if (!identity.instance && reading_value(state.mig_enabled) == 1)
        return refuse_whole(&gpu->card, err);
    if (reading_value(state.compute_mode) == MODE_PROHIBITED)
        return err_set(err, ERR_BUSY,
                       "its compute mode is Prohibited: nothing may use it. Allow "
                       "with: nvidia-smi -c DEFAULT");
    AUTO(buf_done) struct buf name = BUF_INIT(sizeof facts->name - 1);
    text_add_escaped(&name, TEXT_TERMINAL, identity.name, strlen(identity.name), 80);
    buf_addf(&name, "%s%s", name.len ? "" : "NVIDIA GPU", memory.unified ? ", unified memory" : "");
    snprintf(facts->name, sizeof facts->name, "%s", buf_text(&name));
    snprintf(facts->id, sizeof facts->id, "%s", identity.uuid);
    snprintf(facts->parent_id, sizeof facts->parent_id, "%s", identity.parent_uuid);
    nvml_versions(gpu->nvml, facts->versions, sizeof facts->versions);
    facts->memory_bytes = reading_value(memory.total_bytes);
    if (!identity.instance && identity.index >= 0)
        snprintf(facts->number, sizeof facts->number, "%d", identity.index);
    fill_notes(gpu, reading_value(state.compute_mode) == MODE_EXCLUSIVE, identity.instance);
    return true;
}

static void gpu_close(struct device *device)
{
    struct gpu *gpu = gpu_of(device);
    gpu_sampler_done(&gpu->sampler);
    gpu_owners_done(&gpu->owners);
    nvml_close(gpu->nvml);
    free(gpu->root);
    free(gpu);
}

static bool gpu_open(const char *name, const char *proc_root, struct device **ret_device,
                     struct err *err)
{
    struct gpu *gpu = calloc(1, sizeof *gpu);
    char *root = strdup(proc_root);
    if (!gpu || !root)
        abort();
    *gpu = (struct gpu){.device = {.ops = &device_gpu_ops}, .root = root};
    snprintf(gpu->name, sizeof gpu->name, "%s", name);
    gpu_tree_join(&gpu->join, root);
    if (!nvml_open(NULL, &gpu->nvml, err) || !nvml_find(gpu->nvml, name, &gpu->card, err) ||
        !fill_facts(gpu, err)) {
        gpu_close(&gpu->device);
        return false;
    }
    gpu->device.facts.hides_processes = gpu->join.inner;
    *ret_device = &gpu->device;
    return true;
}

/* What the driver said, and what it logged about this card: Xid 79 is another story than 48. Put
 * together once: the kernel's log is long. */
const char *gpu_fault(struct gpu *gpu)
{
    char words[128], logged[128];
    if (gpu->fault[0] || !gpu->card.fault)
        return gpu->fault;
    AUTO(buf_done) struct buf text = BUF_INIT(sizeof gpu->fault - 1);
    nvml_fault_text(&gpu->card, words, sizeof words);
    buf_add(&text, words);
    if (device_kernel_xid(gpu->pci, logged, sizeof logged))
        buf_addf(&text, "; kernel: %s", logged);
    memcpy(gpu->fault, buf_text(&text), text.len + 1);
    return gpu->fault;
}

static void gpu_snapshot(struct device *device, struct device_snapshot *ret_snapshot)
{
    struct gpu *gpu = gpu_of(device);
    struct nvml_memory memory;
    nvml_read_memory(&gpu->card, gpu->root, &memory);
    struct device_snapshot snapshot = {
        .at_ns = clock_now_ns(),
        .total_bytes = memory.total_bytes,
        .free_bytes = memory.free_bytes,
        .busy_ns = READING_NONE,
        .steal_ns = READING_NONE,
        .used_bytes = memory.used_bytes,
        .reserved_bytes = memory.reserved_bytes,
        .busy_ratio = nvml_read_busy(&gpu->card),
    };
    snprintf(snapshot.fault, sizeof snapshot.fault, "%s", gpu_fault(gpu));
    *ret_snapshot = snapshot;
}

static void gpu_usage(struct device *device, pid_t root, struct device_usage *ret_usage)
{
    struct gpu *gpu = gpu_of(device);
    struct gpu_tree tree;
    struct nvml_memory memory;
    struct device_usage usage = {
        .at_ns = clock_now_ns(),
        .root = root,
        .at_wall_us = clock_now_wall_us(),
    };
    gpu_tree_read(&gpu->join, &gpu->card, root, &tree);
    nvml_read_memory(&gpu->card, gpu->root, &memory);
    usage.memory_bytes = tree.memory_bytes;
    usage.cpu_ns = tree.cpu_ns;
    usage.processes = tree.processes;
    usage.listed = tree.listed;
    usage.holder_pid = tree.holder;
    usage.device_used_bytes = gpu_owners_used(&memory);
    usage.busy_ratio = nvml_read_busy(&gpu->card);
    *ret_usage = usage;
}

static double largest_share(const struct nvml_activity *list, size_t count, pid_t pid)
{
    double largest = 0;
    for (size_t i = 0; i < count; i++)
        if (list[i].pid == pid && list[i].sm_ratio > largest)
            largest = list[i].sm_ratio;
    return largest;
}

/* The largest share of each tree member since a moment, summed as their CPU time is; false when
 * the driver tells none at all. */
static bool tree_share(struct gpu *gpu, const struct gpu_tree *tree, int64_t since_wall_us,
                       double *ret_ratio)
{
    AUTO(free) struct nvml_activity *list = NULL;
    size_t count = 0;
    double sum = 0;
    if (nvml_read_activity(&gpu->card, since_wall_us, &list, &count) == NVML_SAMPLES_REFUSED)
        return false;
    for (size_t p = 0; p < tree->pid_count; p++)
        sum += largest_share(list, count, tree->pids[p]);
    *ret_ratio = fmin(sum, 1); /* they may be of different moments */
    return true;
}

/* Waits for a sample of work that has just ended; only what is on the card can have any. */
static void look_for_work(struct gpu *gpu, const struct gpu_tree *tree, int64_t since_wall_us,
                          struct gpu_sight *sight)
{
    int64_t deadline_ns = clock_now_ns() + DEVICE_PROVE_WITHIN_MS * NS_PER_MS;
    for (;;) {
        sight->sampled = tree_share(gpu, tree, since_wall_us, &sight->sm_ratio);
        if (!sight->sampled || sight->sm_ratio > 0 || tree->pid_count == 0 ||
            clock_now_ns() >= deadline_ns)
            return;
        const struct timespec pause = {.tv_nsec = samples_pause_ns};
        nanosleep(&pause, NULL);
    }
}

/* A service that took another card (it overrode CUDA_VISIBLE_DEVICES, or counts otherwise). */
static void look_elsewhere(struct gpu *gpu, pid_t root, char *ret_text, size_t size)
{
    struct nvml_card cards[NVML_CARDS_MAX];
    size_t count = nvml_cards(gpu->nvml, cards, ARRAY_LEN(cards));
    for (size_t i = 0; i < count; i++) {
        struct gpu_tree tree;
        if (cards[i].handle == gpu->card.handle)
            continue;
        gpu_tree_read(&gpu->join, &cards[i], root, &tree);
        if (tree.listed != DEVICE_LISTED_YES)
            continue;
        struct nvml_identity identity;
        nvml_read_identity(&cards[i], &identity);
        snprintf(ret_text, size, "gpu%zu (%s)", i, identity.uuid);
        return;
    }
}

static void gpu_prove(struct device *device, const struct device_usage *before,
                      const struct device_usage *after, enum spec_on on,
                      struct device_proof *ret_proof)
{
    (void)on; /* what was asked is judged by the caller: here is where it ran */
    struct gpu *gpu = gpu_of(device);
    struct gpu_tree tree;
    char elsewhere[NVML_UUID_SIZE + 32] = "";
    gpu_tree_read(&gpu->join, &gpu->card, after->root, &tree);
    double growth =
        reading_value(after->device_used_bytes) - reading_value(before->device_used_bytes);
    double grown = before->listed == DEVICE_LISTED_YES
                       ? reading_value(after->memory_bytes) - reading_value(before->memory_bytes)
                       : NAN;
    struct gpu_sight sight = {
        .card = gpu->name,
        .elsewhere = elsewhere,
        .processes = tree.processes,
        .listed = tree.listed,
        .listed_count = tree.pid_count,
        .memory_bytes = tree.memory_bytes,
        .others = tree.others,
        .hidden = tree.hidden,
        .hidden_growth = isnan(growth) ? READING_NONE : reading_known(READING_FROM_NVML, growth),
        .instance = text_starts_with(gpu->device.facts.id, "MIG-"),
        .growth_bytes = isnan(grown) ? READING_NONE : reading_known(READING_FROM_NVML, grown),
        .busy_before = before->busy_ratio,
        .busy_after = after->busy_ratio,
        .cpu_ns = after->cpu_ns - before->cpu_ns,
        .span_ns = after->at_ns - before->at_ns,
    };
    if (tree.listed == DEVICE_LISTED_NO)
        look_elsewhere(gpu, after->root, elsewhere, sizeof elsewhere);
    look_for_work(gpu, &tree, before->at_wall_us, &sight);
    gpu_placement_judge(&sight, ret_proof);
}

size_t gpu_state(struct device *device, struct device_state_reading *ret_readings, size_t max)
{
    struct gpu *gpu = gpu_of(device);
    struct nvml_state state;
    nvml_read_state(&gpu->card, &state);
    const struct device_state_reading readings[] = {
        {.name = "temperature", .reading = state.temperature_celsius},
        {.name = "power", .reading = state.power_watt},
        {.name = "power_limit", .reading = state.power_limit_watt},
        {.name = "sm_clock", .reading = state.sm_clock_hz},
        {.name = "memory_clock", .reading = state.memory_clock_hz},
        {.name = "throttle", .reading = state.throttle_reasons},
        {.name = "ecc_uncorrected", .reading = state.ecc_uncorrected},
        {.name = "busy", .reading = state.busy_ratio},
    };
    size_t count = 0;
    for (; count < ARRAY_LEN(readings) && count < max; count++) {
        ret_readings[count] = readings[count];
        if (strcmp(readings[count].name, "throttle") == 0)
            nvml_throttle_words(&readings[count].reading, ret_readings[count].words,
                                sizeof ret_readings[count].words);
    }
    return count;
}

static int64_t gpu_own_cpu_ns(const struct device *device)
{
    return nvml_cost(((const struct gpu *)device)->nvml).cpu_ns;
}

const struct device_ops device_gpu_ops = {
    .kind = "gpu",
    .help = "an NVIDIA GPU or a MIG instance of one: memory and SM use as its driver tells them",
    .claims = gpu_claims,
    .open = gpu_open,
    .close = gpu_close,
    .snapshot = gpu_snapshot,
    .usage = gpu_usage,
    .prove = gpu_prove,
    .holders = gpu_holders,
    .sample = gpu_sample,
    .strangers = gpu_strangers,
    .neighbours = gpu_neighbours,
    .stranger_work = gpu_stranger_work,
    .state = gpu_state,
    .own_cpu_ns = gpu_own_cpu_ns,
};
