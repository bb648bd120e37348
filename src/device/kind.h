/* Inside device/ only: what every kind of device has, and the kinds there are. A kind puts a struct
 * device first in its own struct; device.c opens, asks and closes through the ops alone. */
#pragma once

#include "device/sample.h"

struct device_ops {
    const char *kind; /* "cpu", "gpu" */
    const char *help;
    bool (*claims)(const char *name); /* is this device name of my kind ("cpu", "gpu0")? */
    bool (*open)(const char *name, const char *proc_root, struct device **ret_device,
                 struct err *err);
    void (*close)(struct device *device);
    void (*snapshot)(struct device *device, struct device_snapshot *ret_snapshot);
    /* The tree below (and without) `root`, a keeper (service/process.h). */
    void (*usage)(struct device *device, pid_t root, struct device_usage *ret_usage);
    /* Proof of placement between two usages taken around a probe request. */
    void (*prove)(struct device *device, const struct device_usage *before,
                  const struct device_usage *after, enum spec_on on,
                  struct device_proof *ret_proof);
    /* Who holds memory on the device, most first; NULL where that is not told (CPU box). */
    size_t (*holders)(struct device *device, const pid_t *own_roots, size_t own_count,
                      int64_t since_wall_us, struct device_holder *ret_holders, size_t max);
    /* Optional, as device_sample() and device_state(); without them the trees are read one by one
     * and the device has no state of its own. */
    void (*sample)(struct device *device, const struct device_ours *ours,
                   struct device_sample *ret_sample);
    size_t (*state)(struct device *device, struct device_state_reading *ret_readings, size_t max);
    /* Optional, as device_strangers(). */
    size_t (*strangers)(struct device *device, const struct device_ours *ours,
                        int64_t since_wall_us, struct device_holder *ret_holders, size_t max);
    /* Optional, as device_neighbours(). */
    size_t (*neighbours)(struct device *device, const struct device_ours *ours,
                         struct device_holder *ret_holders, size_t max);
    /* Optional, as device_stranger_work(). */
    bool (*stranger_work)(struct device *device, const struct device_ours *ours,
                          int64_t since_wall_us, double *ret_sm_ratio);
    /* Optional, as device_own_cpu_ns(). */
    int64_t (*own_cpu_ns)(const struct device *device);
};

struct device {
    const struct device_ops *ops;
    struct device_facts facts;
};

extern const struct device_ops device_cpubox_ops;
extern const struct device_ops device_gpu_ops;
