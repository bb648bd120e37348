/* Inside device/ only: from what was seen during a probe to a placement, pure. */
#pragma once

#include "device/device.h"

struct gpu_sight {
    const char *card;      /* "gpu0", as the study names it; borrowed */
    const char *elsewhere; /* another card that lists the tree, as a sentence's end; "" */
    int processes;         /* of the tree, alive */
    enum device_listed listed;
    size_t listed_count;
    struct reading memory_bytes;
    size_t others, hidden;        /* entries that are not the tree's; that can't be told */
    struct reading hidden_growth; /* bytes that the card's use grew by, whoever it was */
    bool instance;                /* a MIG instance, of which drivers may tell no SM use at all */
    struct reading growth_bytes;  /* of the tree's memory here; unknown unless listed before */
    bool sampled;                 /* the driver tells each process's share of the SMs */
    double sm_ratio;              /* the largest sample of each process, summed; 0: none */
    struct reading busy_before, busy_after; /* of the whole card, for drivers that don't tell */
    int64_t cpu_ns, span_ns;                /* the tree's CPU time, and the probe's length */
};

void gpu_placement_judge(const struct gpu_sight *sight, struct device_proof *ret_proof);
