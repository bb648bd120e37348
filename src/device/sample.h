/* A device and everybody on it, again and again: what a trial reads while its services live. Part
 * of the interface of device/device.h. */
#pragma once

#include "device/device.h"

enum { DEVICE_STRANGERS_MAX = 8 };

/* Whose a process is, as a trial sees it. */
struct device_ours {
    const pid_t *roots; /* keepers of our services (on whatever device) */
    size_t root_count;
    const struct spec_neighbour *neighbours; /* declared: they may be there and may work */
    size_t neighbour_count;
};

/* All trees and everybody else at one moment, cheap enough for ten times a second (under 1 % of a
 * core; on a CPU box as dear as device_usage() of each tree). */
struct device_sample {
    int64_t at_ns, at_wall_us;
    struct reading tree_bytes[SPEC_SERVICES_MAX]; /* per root, on this device */
    struct reading used_bytes, free_bytes;        /* of the device, by and for everybody */
    struct reading neighbour_bytes;               /* held by declared neighbours */
    struct reading stranger_bytes; /* held by nobody of ours: listed strangers, and what is in use
                                    * but listed to nobody (a container sees no other's) less what
                                    * neighbours may hold unseen */
    double stranger_sm_ratio; /* the share of all strangers together since the last time that this
                               * was told, about a second ago; NaN: not told now */
    struct reading busy_ratio;
    char fault[160]; /* as in struct device_snapshot */
    /* CPU time of ours that this sample took. Where a driver's calls are so dear that ten samples a
     * second would cost over 1 % of a core, dear ones are left out and what they told last time is
     * given again as stale (reading_value(): unknown). */
    double cost_cpu_s;
};
void device_sample(struct device *device, const struct device_ours *ours,
                   struct device_sample *ret_sample);
/* Those strangers by name, most memory first; 0 on a CPU box. SM use since `since_wall_us`. The
 * last entry may be of pid 0: memory in use that is listed to nobody. */
size_t device_strangers(struct device *device, const struct device_ours *ours,
                        int64_t since_wall_us, struct device_holder *ret_holders, size_t max);
/* The declared neighbours' processes that are listed on it, as device_strangers(); SM use unknown.
 */
size_t device_neighbours(struct device *device, const struct device_ours *ours,
                         struct device_holder *ret_holders, size_t max);
/* What the strangers did since a moment, for windows too short for device_sample()'s second: one
 * reading of the driver's samples (some ms of CPU time; it keeps several a second), without any
 * pacing. The sum over strangers of the mean of one's samples since then; idle spans leave no
 * sample, so this is their share while they worked, and some drivers forget work after seconds. 0:
 * no stranger worked. False when that can't be told: a CPU box, a driver that tells no shares, or
 * work of processes that may be ours. */
bool device_stranger_work(struct device *device, const struct device_ours *ours,
                          int64_t since_wall_us, double *ret_sm_ratio);
/* "python3 (pid 4711, vllm.service, user www, 25,694 MiB)": one for people, appended. */
void device_holder_add_text(struct buf *buf, const struct device_holder *holder);

/* What else the device says of itself, for the record of a trial: clocks, temperature, power,
 * throttling, ECC. At most `max`; names are constants ("temperature"), values base units. */
struct device_state_reading {
    const char *name;
    struct reading reading;
    char words[64]; /* throttle reasons; "" */
};
size_t device_state(struct device *device, struct device_state_reading *ret_readings, size_t max);
