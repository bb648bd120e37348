/* Inside device/gpu*.c only: an open GPU. */
#pragma once

#include "device/gpu_owners.h"
#include "device/gpu_pace.h"
#include "device/gpu_tree.h"
#include "device/kind.h"
#include "device/nvml.h"

/* The kinds of call that a sample is made of. */
enum gpu_call {
    GPU_CALL_MEMORY,
    GPU_CALL_COMPUTE, /* the list of computing processes */
    GPU_CALL_OTHERS,  /* the lists of graphics processes and MPS clients */
    GPU_CALL_BUSY,
    GPU_CALL_SHARES, /* each process's use of the SMs: by far the dearest on an H100, 1.5 ms */
    GPU_CALL_OWNERS, /* /proc: whose the processes are */
    GPU_CALL_COUNT_,
};

struct gpu_listing {
    struct nvml_process *items; /* owned */
    size_t count;
    bool told; /* the driver said so; else it told nothing */
};

/* What one sample leaves for the next. Zeroed at first. */
struct gpu_sampler {
    struct gpu_pace pace[GPU_CALL_COUNT_];
    struct gpu_listing compute, others;
    struct nvml_memory memory;
    struct reading busy_ratio;
    double unlisted_bytes; /* the last one's: one reading of it proves nothing */
    bool has_unlisted;
    double own_bytes, beyond_bytes; /* listed to ours; unlisted, whosever: the last ones */
    double ending_bytes;            /* of ours that left the list, and may not be given back yet */
    int64_t ending_ns;              /* since when; both 0 at first */
    int64_t shares_wall_us;         /* up to when SM use was told; 0: never asked */
};

struct gpu {
    struct device device; /* first: a struct device * is one of these */
    struct nvml *nvml;
    struct nvml_card card;
    struct gpu_join join;
    char *root;                                          /* "/proc"; owned */
    char name[96];                                       /* as the study names it */
    char pci[32];                                        /* "" when the driver does not say */
    char fault[sizeof((struct device_sample){0}.fault)]; /* once it is lost: why */
    struct gpu_owners owners;
    struct gpu_sampler sampler;
};

static inline struct gpu *gpu_of(struct device *device)
{
    return (struct gpu *)device;
}

/* Why the card can't be used any more, with the kernel's word; "" while it answers. */
const char *gpu_fault(struct gpu *gpu);

void gpu_sample(struct device *device, const struct device_ours *ours,
                struct device_sample *ret_sample);
void gpu_sampler_done(struct gpu_sampler *sampler);

size_t gpu_holders(struct device *device, const pid_t *own_roots, size_t own_count,
                   int64_t since_wall_us, struct device_holder *ret_holders, size_t max);
size_t gpu_strangers(struct device *device, const struct device_ours *ours, int64_t since_wall_us,
                     struct device_holder *ret_holders, size_t max);
size_t gpu_neighbours(struct device *device, const struct device_ours *ours,
                      struct device_holder *ret_holders, size_t max);
bool gpu_stranger_work(struct device *device, const struct device_ours *ours, int64_t since_wall_us,
                       double *ret_sm_ratio);
/* Samples' mean of the process that samples[i] is of, where that is its first one; else 0. So a sum
 * over all i counts each process once. */
double gpu_share_at(const struct nvml_activity *samples, size_t count, size_t i);
size_t gpu_state(struct device *device, struct device_state_reading *ret_readings, size_t max);
