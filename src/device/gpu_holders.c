/* Who is on the card: everybody but us, or strangers only, most memory first.
 *
 * These are the words for people and for evidence; samples (device/gpu_sample.c) take the numbers.
 * Both know whose a process is from the same place (device/gpu_owners.h), so that a stranger that
 * was counted is a stranger that is named. */
#include "device/gpu.h"

#include <string.h>

static int compare_holders(const void *a, const void *b)
{
    const struct device_holder *left = a, *right = b;
    double l = reading_value(left->memory_bytes), r = reading_value(right->memory_bytes);
    if (isnan(l) || isnan(r)) /* unknown first: it may be anything */
        return isnan(r) - isnan(l) ? isnan(l) ? -1 : 1 : 0;
    return (r > l) - (r < l);
}

static struct device_holder holder_of(struct gpu *gpu, const struct nvml_process *process)
{
    struct device_holder holder = {.pid = process->pid,
                                   .memory_bytes = process->memory_bytes,
                                   .cpu_ratio = NAN,
                                   .sm_ratio = NAN};
    struct proc_stat stat;
    if (gpu_tree_find(&gpu->join, process->pid, &stat)) {
        memcpy(holder.comm, stat.comm, sizeof holder.comm);
        device_owner_read(gpu->root, process->pid, &holder.owner);
    }
    return holder;
}

/* No sample at all says that all are idle; a driver that refuses says nothing. */
static void fill_shares(struct gpu *gpu, int64_t since_wall_us, struct device_holder *holders,
                        size_t count)
{
    AUTO(free) struct nvml_activity *samples = NULL;
    size_t sample_count = 0;
    if (count == 0 || nvml_read_activity(&gpu->card, since_wall_us, &samples, &sample_count) ==
                          NVML_SAMPLES_REFUSED)
        return;
    for (size_t i = 0; i < count; i++) {
        if (holders[i].pid == 0)
            continue;
        holders[i].sm_ratio = 0;
        for (size_t s = 0; s < sample_count; s++) {
            if (samples[s].pid == holders[i].pid && samples[s].sm_ratio > holders[i].sm_ratio)
                holders[i].sm_ratio = samples[s].sm_ratio;
        }
    }
}

struct listing {
    struct device_holder *items; /* owned */
    size_t count;
};

/* The first `max` of them, most memory first. */
static size_t take_first(struct listing *listing, struct device_holder *ret_holders, size_t max)
{
    size_t count = listing->count < max ? listing->count : max;
    if (listing->count)
        qsort(listing->items, listing->count, sizeof *listing->items, compare_holders);
    if (count)
        memcpy(ret_holders, listing->items, count * sizeof *ret_holders);
    free(listing->items);
    return count;
}

/* With their use of the SMs. */
static size_t hand_out(struct gpu *gpu, struct listing *listing, int64_t since_wall_us,
                       struct device_holder *ret_holders, size_t max)
{
    size_t count = take_first(listing, ret_holders, max);
    fill_shares(gpu, since_wall_us, ret_holders, count);
    return count;
}

/* Those whose owner is one of `owners` (bits of enum gpu_owner). */
static struct listing pick(struct gpu *gpu, const struct nvml_process *list, size_t count,
                           unsigned owners)
{
    struct listing listing = {.items = calloc(count + 1, sizeof *listing.items)};
    if (!listing.items)
        abort();
    for (size_t i = 0; i < count; i++) {
        const struct gpu_claim *claim = gpu_owners_find(&gpu->owners, list[i].pid);
        if (claim && (owners >> claim->owner & 1))
            listing.items[listing.count++] = holder_of(gpu, &list[i]);
    }
    return listing;
}

size_t gpu_holders(struct device *device, const pid_t *own_roots, size_t own_count,
                   int64_t since_wall_us, struct device_holder *ret_holders, size_t max)
{
    struct gpu *gpu = gpu_of(device);
    const struct device_ours ours = {.roots = own_roots, .root_count = own_count};
    AUTO(free) struct nvml_process *list = NULL;
    size_t count = 0;
    if (!nvml_read_processes(&gpu->card, &list, &count))
        return 0;
    gpu_owners_update(&gpu->owners, &gpu->join, &ours, list, count, true);
    struct listing listing = pick(gpu, list, count, ~(1U << GPU_OWNER_TREE));
    return hand_out(gpu, &listing, since_wall_us, ret_holders, max);
}

size_t gpu_strangers(struct device *device, const struct device_ours *ours, int64_t since_wall_us,
                     struct device_holder *ret_holders, size_t max)
{
    struct gpu *gpu = gpu_of(device);
    AUTO(free) struct nvml_process *list = NULL;
    struct nvml_memory memory;
    struct gpu_split split;
    size_t count = 0;
    nvml_read_memory(&gpu->card, gpu->root, &memory);
    if (max == 0 || !nvml_read_processes(&gpu->card, &list, &count))
        return 0;
    gpu_owners_update(&gpu->owners, &gpu->join, ours, list, count, true);
    gpu_owners_split(&gpu->owners, ours, list, count, &memory, &split);
    unsigned foreign = 1U << GPU_OWNER_STRANGER | (split.blind ? 0 : 1U << GPU_OWNER_HIDDEN);
    struct listing listing = pick(gpu, list, count, foreign);
    /* Kept for the end: nobody can act on it by name, and those who can be named come first. */
    bool unlisted = reading_value(split.unlisted_bytes) > 0;
    size_t named = hand_out(gpu, &listing, since_wall_us, ret_holders, max - unlisted);
    if (unlisted)
        ret_holders[named++] = (struct device_holder){
            .memory_bytes = split.unlisted_bytes, .cpu_ratio = NAN, .sm_ratio = NAN};
    return named;
}

size_t gpu_neighbours(struct device *device, const struct device_ours *ours,
                      struct device_holder *ret_holders, size_t max)
{
    struct gpu *gpu = gpu_of(device);
    AUTO(free) struct nvml_process *list = NULL;
    size_t count = 0;
    if (ours->neighbour_count == 0 || !nvml_read_processes(&gpu->card, &list, &count))
        return 0;
    gpu_owners_update(&gpu->owners, &gpu->join, ours, list, count, true);
    struct listing listing = pick(gpu, list, count, 1U << GPU_OWNER_NEIGHBOUR);
    return take_first(&listing, ret_holders, max);
}

/* Of the process that a sample names, when it was listed just now or at the reading before: who
 * ended since has left the list, and its samples outlive it. */
struct sighting {
    enum gpu_owner owner;
    bool known;
};

static void recall(const struct gpu_owners *owners, const struct nvml_activity *samples,
                   size_t count, struct sighting *sightings)
{
    for (size_t i = 0; i < count; i++) {
        const struct gpu_claim *claim = gpu_owners_find(owners, samples[i].pid);
        if (claim)
            sightings[i] = (struct sighting){claim->owner, true};
    }
}

double gpu_share_at(const struct nvml_activity *samples, size_t count, size_t i)
{
    double sum = 0;
    size_t found = 0;
    for (size_t s = 0; s < count; s++) {
        if (samples[s].pid != samples[i].pid)
            continue;
        if (s < i)
            return 0;
        sum += samples[s].sm_ratio;
        found++;
    }
    return sum / (double)found;
}

/* Of all together: four that take a quarter each leave ours nothing. False when some of it may be
 * our own work, which this container can't tell from others'. */
static bool add_strangers(const struct nvml_activity *samples, size_t count,
                          const struct sighting *sightings, bool blind, double *ret_ratio)
{
    double sum = 0;
    for (size_t i = 0; i < count; i++) {
        const bool hidden = sightings[i].known && sightings[i].owner == GPU_OWNER_HIDDEN;
        const bool foreign = sightings[i].known && sightings[i].owner == GPU_OWNER_STRANGER;
        if (hidden && blind && samples[i].sm_ratio > 0)
            return false;
        if (hidden || foreign)
            sum += gpu_share_at(samples, count, i);
    }
    *ret_ratio = fmin(sum, 1); /* means of different spans may add up to more */
    return true;
}

bool gpu_stranger_work(struct device *device, const struct device_ours *ours, int64_t since_wall_us,
                       double *ret_sm_ratio)
{
    struct gpu *gpu = gpu_of(device);
    AUTO(free) struct nvml_process *list = NULL;
    AUTO(free) struct nvml_activity *samples = NULL;
    struct nvml_memory memory;
    struct gpu_split split;
    size_t count = 0, sample_count = 0;
    if (nvml_read_activity(&gpu->card, since_wall_us, &samples, &sample_count) ==
            NVML_SAMPLES_REFUSED ||
        !nvml_read_processes(&gpu->card, &list, &count))
        return false;
    AUTO(free) struct sighting *sightings = calloc(sample_count + 1, sizeof *sightings);
    if (!sightings)
        abort();
    recall(&gpu->owners, samples, sample_count, sightings);
    nvml_read_memory(&gpu->card, gpu->root, &memory);
    gpu_owners_update(&gpu->owners, &gpu->join, ours, list, count, true);
    gpu_owners_split(&gpu->owners, ours, list, count, &memory, &split);
    recall(&gpu->owners, samples, sample_count, sightings);
    return add_strangers(samples, sample_count, sightings, split.blind, ret_sm_ratio);
}
