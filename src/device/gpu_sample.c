/* Samples of a GPU, ten times a second for under 1 % of a core.
 *
 * A sample is some calls of the driver, and a look into /proc only when the driver's list has a new
 * process. What calls cost is not known before: on an H100 SM use takes 1.5 ms, the rest together
 * 0.2 ms, and another driver may differ. So each kind of call has an account of the time it took
 * (device/gpu_pace.h) whose shares add up to less than 1 % of a core; a call that can't be paid is
 * left out, and what it told last is given as stale. A thread that samples by itself was rejected:
 * it would cost the same, and a reading could not be put into its phase of the trial.
 *
 * Memory in use that is listed to nobody needs two samples that agree: a process that is just
 * ending leaves the list before its memory is given back, and list and memory are two calls. One of
 * ours that ended needs longer for tens of GiB: what is unlisted is no stranger's as far as ours
 * held it a moment ago. */
#include "device/gpu.h"

#include "base/clock.h"

#include <math.h>
#include <string.h>

/* Together 0.95 % of a core. What is given again after `most_ns` at the latest is cheap anywhere.
 */
static const struct gpu_pace_rule rules[GPU_CALL_COUNT_] = {
    [GPU_CALL_MEMORY] = {.share = 0.0020, .most_ns = NS_PER_S},
    [GPU_CALL_COMPUTE] = {.share = 0.0030, .most_ns = NS_PER_S},
    [GPU_CALL_OTHERS] = {.share = 0.0010, .most_ns = 2 * NS_PER_S},
    [GPU_CALL_BUSY] = {.share = 0.0010},
    [GPU_CALL_SHARES] = {.share = 0.0015, .least_ns = NS_PER_S},
    [GPU_CALL_OWNERS] = {.share = 0.0010, .least_ns = 2 * NS_PER_S, .most_ns = 20 * NS_PER_S},
};

/* As long as a leak is waited for (trial/watch.c): what is not back by then is not just ending. */
static const int64_t ENDING_WITHIN_NS = 5 * NS_PER_S;

static bool is_due(struct gpu_sampler *sampler, enum gpu_call call, int64_t now_ns)
{
    return gpu_pace_due(&sampler->pace[call], &rules[call], now_ns);
}

struct moment {
    int64_t cpu_ns, driver_ns, now_ns;
};

/* The driver's calls cost another process (device/nvml_ask.c); the way there costs us. Until that
 * one answers is how long the call took, not how long this machine lets either of us wait. */
static struct moment moment(const struct gpu *gpu)
{
    const struct nvml_cost cost = nvml_cost(gpu->nvml);
    return (struct moment){clock_cpu_ns() + cost.cpu_ns, cost.wall_ns, clock_now_ns()};
}

static void pay(struct gpu *gpu, enum gpu_call call, int64_t now_ns, const struct moment *begin)
{
    const struct moment end = moment(gpu);
    const int64_t wall_ns =
        call == GPU_CALL_OWNERS ? end.now_ns - begin->now_ns : end.driver_ns - begin->driver_ns;
    gpu_pace_paid(&gpu->sampler.pace[call], &rules[call], now_ns, end.cpu_ns - begin->cpu_ns,
                  wall_ns);
}

void gpu_sampler_done(struct gpu_sampler *sampler)
{
    free(sampler->compute.items);
    free(sampler->others.items);
    *sampler = (struct gpu_sampler){0};
}

/* True when it was asked now. */
static bool read_listing(struct gpu *gpu, enum gpu_call call, unsigned kinds, int64_t now_ns,
                         struct gpu_listing *listing)
{
    if (!is_due(&gpu->sampler, call, now_ns))
        return false;
    const struct moment begin = moment(gpu);
    free(listing->items);
    *listing = (struct gpu_listing){0};
    listing->told = nvml_read_lists(&gpu->card, kinds, &listing->items, &listing->count);
    pay(gpu, call, now_ns, &begin);
    return true;
}

static bool read_memory(struct gpu *gpu, int64_t now_ns)
{
    struct gpu_sampler *sampler = &gpu->sampler;
    if (!is_due(sampler, GPU_CALL_MEMORY, now_ns))
        return false;
    const struct moment begin = moment(gpu);
    nvml_read_memory(&gpu->card, gpu->root, &sampler->memory);
    pay(gpu, GPU_CALL_MEMORY, now_ns, &begin);
    return true;
}

static struct reading aged(struct reading reading, bool fresh)
{
    if (!fresh && reading.state == READING_KNOWN)
        reading.state = READING_STALE;
    return reading;
}

static struct reading read_busy(struct gpu *gpu, int64_t now_ns)
{
    struct gpu_sampler *sampler = &gpu->sampler;
    if (!is_due(sampler, GPU_CALL_BUSY, now_ns))
        return aged(sampler->busy_ratio, false);
    const struct moment begin = moment(gpu);
    sampler->busy_ratio = nvml_read_busy(&gpu->card);
    pay(gpu, GPU_CALL_BUSY, now_ns, &begin);
    return sampler->busy_ratio;
}

static void find_owners(struct gpu *gpu, const struct device_ours *ours,
                        const struct nvml_process *list, size_t count, int64_t now_ns)
{
    bool again = is_due(&gpu->sampler, GPU_CALL_OWNERS, now_ns);
    const struct moment begin = moment(gpu);
    const int64_t before_ns = gpu->owners.at_ns;
    gpu_owners_update(&gpu->owners, &gpu->join, ours, list, count, again);
    if (gpu->owners.at_ns != before_ns)
        pay(gpu, GPU_CALL_OWNERS, now_ns, &begin);
}

/* The strangers' share together since the last time; NaN when not asked, or the driver does not
 * tell. The first time only says from when on. */
static double read_shares(struct gpu *gpu, bool blind, int64_t now_ns)
{
    struct gpu_sampler *sampler = &gpu->sampler;
    if (!is_due(sampler, GPU_CALL_SHARES, now_ns))
        return NAN;
    AUTO(free) struct nvml_activity *samples = NULL;
    size_t count = 0;
    double sum = 0;
    const struct moment begin = moment(gpu);
    const int64_t since_us = sampler->shares_wall_us;
    sampler->shares_wall_us = clock_now_wall_us();
    enum nvml_samples answer = NVML_SAMPLES_REFUSED;
    if (since_us > 0)
        answer = nvml_read_activity(&gpu->card, since_us, &samples, &count);
    pay(gpu, GPU_CALL_SHARES, now_ns, &begin);
    for (size_t i = 0; i < count; i++) {
        const struct gpu_claim *claim = gpu_owners_find(&gpu->owners, samples[i].pid);
        bool foreign = claim && (claim->owner == GPU_OWNER_STRANGER ||
                                 (claim->owner == GPU_OWNER_HIDDEN && !blind));
        sum += foreign ? gpu_share_at(samples, count, i) : 0;
    }
    return answer == NVML_SAMPLES_REFUSED ? NAN : fmin(sum, 1);
}

/* How much of the unlisted memory ours held until they ended: at most what it rose by when they
 * left the list (unknown: all that they held), and never more than there still is. */
static double ending_of(struct gpu_sampler *sampler, const struct gpu_split *split, int64_t now_ns)
{
    const double unlisted = reading_value(split->unlisted_bytes);
    const double fallen = sampler->own_bytes - split->own_bytes;
    const double risen = unlisted - sampler->beyond_bytes;
    sampler->own_bytes = split->own_bytes;
    sampler->beyond_bytes = unlisted;
    if (now_ns - sampler->ending_ns > ENDING_WITHIN_NS)
        sampler->ending_bytes = 0;
    if (fallen > 0 && !(risen <= 0)) {
        sampler->ending_bytes += fmin(fallen, risen); /* of NaN the other one */
        sampler->ending_ns = now_ns;
    }
    return fmin(sampler->ending_bytes, unlisted);
}

/* What is unlisted now and was so before. */
static struct reading strangers_of(struct gpu_sampler *sampler, const struct gpu_split *split,
                                   bool fresh, int64_t now_ns)
{
    if (fresh)
        sampler->ending_bytes = ending_of(sampler, split, now_ns);
    double unlisted = fmax(0, reading_value(split->unlisted_bytes) - sampler->ending_bytes);
    if (isnan(reading_value(split->unlisted_bytes)))
        unlisted = NAN;
    double steady = unlisted;
    if (sampler->has_unlisted && !(steady < sampler->unlisted_bytes))
        steady = sampler->unlisted_bytes;
    if (fresh) {
        sampler->unlisted_bytes = unlisted;
        sampler->has_unlisted = !isnan(unlisted); /* unknown before is no evidence against */
    }
    double bytes = reading_value(split->stranger_bytes) + (isnan(unlisted) ? NAN : steady);
    return isnan(bytes) ? READING_NONE : reading_known(READING_FROM_NVML, bytes);
}

void gpu_sample(struct device *device, const struct device_ours *ours,
                struct device_sample *ret_sample)
{
    struct gpu *gpu = gpu_of(device);
    struct gpu_sampler *sampler = &gpu->sampler;
    struct gpu_split split;
    const int64_t now_ns = clock_now_ns();
    struct device_sample sample = {.at_ns = now_ns, .at_wall_us = clock_now_wall_us()};
    size_t count = 0;
    bool listed = read_listing(gpu, GPU_CALL_COMPUTE, NVML_COMPUTE, now_ns, &sampler->compute);
    bool measured = read_memory(gpu, now_ns);
    read_listing(gpu, GPU_CALL_OTHERS, NVML_GRAPHICS | NVML_MPS, now_ns, &sampler->others);
    AUTO(free)
    struct nvml_process *list =
        nvml_join_lists(sampler->compute.items, sampler->compute.count, sampler->others.items,
                        sampler->others.count, &count);
    gpu_owners_split_nothing(&split);
    if (sampler->compute.told) {
        find_owners(gpu, ours, list, count, now_ns);
        gpu_owners_split(&gpu->owners, ours, list, count, &sampler->memory, &split);
    }
    for (size_t r = 0; r < SPEC_SERVICES_MAX; r++)
        sample.tree_bytes[r] = aged(split.tree_bytes[r], listed);
    sample.used_bytes = aged(gpu_owners_used(&sampler->memory), measured);
    sample.free_bytes = aged(sampler->memory.free_bytes, measured);
    sample.neighbour_bytes = aged(split.neighbour_bytes, listed && measured);
    const bool fresh = listed && measured;
    sample.stranger_bytes = aged(strangers_of(sampler, &split, fresh, now_ns), fresh);
    sample.busy_ratio = read_busy(gpu, now_ns);
    sample.stranger_sm_ratio = read_shares(gpu, split.blind, now_ns);
    snprintf(sample.fault, sizeof sample.fault, "%s", gpu_fault(gpu));
    *ret_sample = sample;
}
