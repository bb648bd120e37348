/* A device: what a study shares out. The CPU box (device/cpubox.c) and GPUs are kinds of one
 * interface; nothing above asks which it is.
 *
 * To add a kind: one file with a `const struct device_ops` (device/kind.h), one line in
 * device/device.c. */
#pragma once

#include "base/buf.h"
#include "base/err.h"
#include "device/owner.h"
#include "device/proc.h"
#include "device/reading.h"
#include "spec/study.h"

struct device; /* opaque; owned by whoever opened it */

struct device_facts {
    char id[128]; /* names the hardware for good, key of the lock: "cpu-<machine id>", GPU UUID */
    char parent_id[128]; /* a MIG instance: its card's id, whose lock it shares; else "" */
    char name[128];      /* for people: "AMD EPYC 7B13, 2 cores" */
    char versions[256];  /* driver or kernel versions that results depend on */
    int cores;           /* CPU box: online cores; 0 for a GPU */
    double memory_bytes; /* total; NaN if unknown */
    char number[12];     /* GPU: its number in PCI order, for engines that read no UUID; else "" */
    char pci[32];    /* GPU: its address as the driver writes it ("00000000:44:00.0"); else "" */
    char notes[256]; /* what a study had better know ("compute mode exclusive"), or "" */
    /* GPU: we are in a container, where the driver may list no other container's processes. */
    bool hides_processes;
};

struct device_snapshot {
    int64_t at_ns;
    struct reading total_bytes, free_bytes;    /* CPU box: MemAvailable is "free" */
    struct reading busy_ns, steal_ns;          /* CPU box: core time since boot */
    struct reading used_bytes, reserved_bytes; /* GPU: by processes; by the driver for itself */
    struct reading busy_ratio;                 /* GPU: over the driver's last sample period */
    char fault[160]; /* why the device can't be used any more ("the driver lost it"), or "" */
};

enum device_listed { DEVICE_LISTED_UNKNOWN = 0, DEVICE_LISTED_NO, DEVICE_LISTED_YES };

/* One process tree at one moment. */
struct device_usage {
    int64_t at_ns;
    struct reading memory_bytes; /* on this device: PSS of the tree on a CPU box */
    int64_t cpu_ns;              /* CPU time of the tree since its start, dead members included */
    int processes;               /* alive (no zombies), without the root itself */
    /* A GPU's alone; unknown on a CPU box. */
    pid_t root;                /* whose tree this is */
    pid_t holder_pid;          /* its member with the most memory here, by our numbers; 0 none */
    int64_t at_wall_us;        /* drivers stamp their samples by wall clock */
    enum device_listed listed; /* does the driver list a process of the tree on this card? */
    struct reading device_used_bytes; /* by everybody on this card */
    struct reading busy_ratio;        /* of this card */
};

enum placement {
    PLACEMENT_UNPROVEN = 0,
    PLACEMENT_CPU,
    PLACEMENT_PARTIAL,
    PLACEMENT_GPU,
    PLACEMENT_COUNT_
};
extern const char *const device_placement_names[PLACEMENT_COUNT_];

struct device_proof {
    enum placement placement;
    char evidence[2][160]; /* two independent observations, as sentences; "" when missing */
    bool contradicted;     /* unproven: CPU time speaks against work that was seen; ask again */
};

/* Who else is there: for `device busy` messages and the doctor. */
struct device_holder {
    pid_t pid;
    char comm[PROC_COMM_SIZE];
    struct reading memory_bytes;
    double cpu_ratio; /* cores used over the observation; NaN if not observed */
    double sm_ratio;  /* GPU: the largest share of its SMs that the driver saw; NaN if not told */
    struct device_owner owner;
};

NODISCARD bool device_open(const char *name, const char *proc_root, struct device **ret_device,
                           struct err *err);
/* How long a device that is opened from now on may take for its start and for each answer, after
 * which it is lost: for who may not wait as long as a study (60 s, 30 s). Of the whole process. */
void device_answer_within(int64_t start_ns, int64_t call_ns);
struct device *device_close(struct device *device); /* NULL is fine; returns NULL */
AUTO_FN(struct device, device_close)

const struct device_facts *device_facts(const struct device *device); /* borrowed */
void device_snapshot(struct device *device, struct device_snapshot *ret_snapshot);
void device_usage(struct device *device, pid_t root, struct device_usage *ret_usage);
/* CPU time that reading it has taken so far outside of this process: a GPU's driver is asked by
 * another one. */
int64_t device_own_cpu_ns(const struct device *device);
/* Waits for samples of a driver that averages, at most this long beside the driver's own calls. */
enum { DEVICE_PROVE_WITHIN_MS = 1200 };
void device_prove(struct device *device, const struct device_usage *before,
                  const struct device_usage *after, enum spec_on on,
                  struct device_proof *ret_proof);

/* Who is on the device beside the trees of `own_roots`, most memory first, at most `max`: pids as
 * the driver counts them, comm "" when such a process can't be seen from here. SM use is that since
 * `since_wall_us`: samples outlive the work by seconds, and one proves nothing. 0 on a CPU box. */
size_t device_holders(struct device *device, const pid_t *own_roots, size_t own_count,
                      int64_t since_wall_us, struct device_holder *ret_holders, size_t max);
