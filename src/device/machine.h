/* The machine around any device: core time, who used it, memory of process trees. */
#pragma once

#include "device/device.h"

/* The machine around any device: core time and available memory, as a CPU box's snapshot. */
void device_machine_snapshot(const char *proc_root, struct device_snapshot *ret_snapshot);
int device_machine_cores(void); /* online */
/* Peak candidates for host memory: PSS of the tree below `root`; some 14 ms of CPU per GiB. */
struct reading device_host_memory(const char *proc_root, pid_t root);

/* Contention over a window, pure: steal plus CPU time outside `own_ns` (our trees and the declared
 * neighbours), as a share of the window's core time. NaN when a reading is unknown. Readings lag by
 * a clock tick per process, so small negative results are returned as 0. */
double device_contention_ratio(const struct device_snapshot *before,
                               const struct device_snapshot *after, int64_t own_ns, int cores);

struct device_activity; /* opaque: one listing of all processes */
struct device_activity *device_activity_take(const char *proc_root);
struct device_activity *device_activity_free(struct device_activity *activity);
AUTO_FN(struct device_activity, device_activity_free)
/* The processes outside our trees and the declared neighbours' which used the most CPU between two
 * listings, most first; at most `max`. For evidence: a contended verdict names them. */
size_t device_activity_strangers(const struct device_activity *before,
                                 const struct device_activity *after, const pid_t *own_roots,
                                 size_t own_count, const struct spec_neighbour *neighbours,
                                 size_t neighbour_count, struct device_holder *ret_holders,
                                 size_t max);
/* CPU time between two listings of the declared neighbours' trees (by pid, program name or systemd
 * unit's cgroup). What is in a tree of `own_roots` is no neighbour's, whatever its name. */
int64_t device_activity_neighbours_ns(const struct device_activity *before,
                                      const struct device_activity *after,
                                      const struct spec_neighbour *neighbours, size_t count,
                                      const pid_t *own_roots, size_t own_count);
