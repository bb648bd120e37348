/* Inside device/ only: whose every entry of a driver's process list is, remembered from one reading
 * to the next, and what that makes of the card's memory. */
#pragma once

#include "device/gpu_tree.h"
#include "device/nvml.h"
#include "device/sample.h"

enum gpu_owner {
    GPU_OWNER_STRANGER = 0,
    GPU_OWNER_TREE,      /* of one of our services */
    GPU_OWNER_NEIGHBOUR, /* declared */
    GPU_OWNER_HIDDEN,    /* can't be seen from this container: anybody's, ours too */
    GPU_OWNER_NOBODY,    /* the driver's own: the MPS server works for its clients */
};

struct gpu_claim {
    pid_t pid;           /* as the driver counts */
    int64_t start_ticks; /* -1: it is dead, or can't be seen in /proc */
    enum gpu_owner owner;
    pid_t root; /* GPU_OWNER_TREE: whose */
};

/* Zeroed at first. */
struct gpu_owners {
    struct gpu_claim *claims; /* owned; of the pids listed last */
    size_t count;
    pid_t roots[SPEC_SERVICES_MAX]; /* those the claims were made for */
    int living[SPEC_SERVICES_MAX];  /* processes below each; -1: there is no such root */
    size_t root_count;
    const struct spec_neighbour *neighbours; /* borrowed; only compared */
    int64_t at_ns;                           /* when /proc was read; 0: never */
};

/* Claims for every entry of the list. /proc is read when a pid is new, when `ours` is another than
 * before, or when `again` says so. Once ours, a process stays ours while it lives, and while the
 * driver still lists it after it died. */
void gpu_owners_update(struct gpu_owners *owners, struct gpu_join *join,
                       const struct device_ours *ours, const struct nvml_process *list,
                       size_t count, bool again);
/* NULL when the pid was not listed. */
const struct gpu_claim *gpu_owners_find(const struct gpu_owners *owners, pid_t pid);
void gpu_owners_done(struct gpu_owners *owners);

struct gpu_split {
    struct reading tree_bytes[SPEC_SERVICES_MAX];
    struct reading neighbour_bytes;
    struct reading stranger_bytes; /* listed ones, and hidden ones that can't be ours */
    struct reading unlisted_bytes; /* in use, listed to nobody, and not the neighbours' */
    double
        own_bytes; /* listed to processes of ours, of services that were let go too; NaN unknown */
    bool blind; /* a service of ours may be among what can't be seen: then strangers are unknown */
};
/* Everything unknown: the driver told no list. */
void gpu_owners_split_nothing(struct gpu_split *ret_split);
/* What is in use by these and those, pure. */
void gpu_owners_split(const struct gpu_owners *owners, const struct device_ours *ours,
                      const struct nvml_process *list, size_t count,
                      const struct nvml_memory *memory, struct gpu_split *ret_split);
/* What is in use on the card, by whomever. The driver's own share is in it where it can't be told
 * apart: good for growth, not as an amount. */
struct reading gpu_owners_used(const struct nvml_memory *memory);
