/* What an NVIDIA driver says about its cards, through libnvidia-ml.so.1, loaded while running: the
 * program needs no driver to start. A process of its own asks it, so that a call that never comes
 * back is given up after a while: the card is lost then, like one that fell off the bus. A number
 * that the driver withholds, or answers with one of its sentinels, is an unknown reading; nothing
 * here is an error but a driver that can't be used. */
#pragma once

#include "base/err.h"
#include "device/reading.h"

#include <stdint.h>
#include <sys/types.h>

struct nvml; /* the loaded library; opaque */
enum { NVML_UUID_SIZE = 96, NVML_CARDS_MAX = 64 };

struct nvml_card { /* a GPU or a MIG instance; valid while its nvml is open */
    struct nvml *nvml;
    void *handle;
    int fault; /* the code with which the driver lost this card, 0 while it answers */
    /* Of a MIG instance: its card, and how entries of the card's process list name it. */
    void *parent; /* NULL: a whole card */
    bool has_ids;
    unsigned gpu_instance, compute_instance;
};

/* `library`: a file to load; NULL: $SPICA_NVML_LIBRARY (for tests), else where drivers put it.
 * ERR_MISSING without a driver, ERR_STOPPED when one is there but can't be used. */
NODISCARD bool nvml_open(const char *library, struct nvml **ret_nvml, struct err *err);
struct nvml *nvml_close(struct nvml *nvml);
AUTO_FN(struct nvml, nvml_close)

/* What the driver's calls took so far, in the process that makes them. */
struct nvml_cost {
    int64_t cpu_ns, wall_ns;
};
struct nvml_cost nvml_cost(const struct nvml *nvml);

/* "GPU is lost" and the like, for a code that the driver gave. */
const char *nvml_words(int code);
/* Why the card can't be used any more, "" while it answers. */
void nvml_fault_text(const struct nvml_card *card, char *ret_text, size_t size);
/* "driver 580.159.04, CUDA 13.0, NVML 13.580.159.04". */
void nvml_versions(struct nvml *nvml, char *ret_text, size_t size);

/* The driver's count; -1 when it can't say. */
int nvml_count(struct nvml *nvml);
/* Cards in the order of their PCI addresses, as CUDA counts them with CUDA_DEVICE_ORDER=PCI_BUS_ID:
 * the driver's own order and CUDA's default (fastest first) may differ. At most `max`. */
size_t nvml_cards(struct nvml *nvml, struct nvml_card *ret_cards, size_t max);
/* "gpuN" in that order, "GPU-..." or "MIG-...". ERR_MISSING when there is no such card. */
NODISCARD bool nvml_find(struct nvml *nvml, const char *name, struct nvml_card *ret_card,
                         struct err *err);
/* MIG instances of a card. */
size_t nvml_instances(const struct nvml_card *card, struct nvml_card *ret_cards, size_t max);

struct nvml_identity {
    char uuid[NVML_UUID_SIZE]; /* "" when the driver does not say, as are the others */
    char name[96];
    char pci[32];                     /* "00000000:1B:00.0", of the parent for a MIG instance */
    int index;                        /* N of gpuN; of the parent for a MIG instance; -1 unknown */
    bool instance;                    /* a MIG instance */
    char parent_uuid[NVML_UUID_SIZE]; /* of its card; "" for a whole card */
};
void nvml_read_identity(const struct nvml_card *card, struct nvml_identity *ret_identity);

struct nvml_memory {
    struct reading total_bytes, free_bytes;
    struct reading used_bytes;     /* by processes; unknown where the driver counts its own in */
    struct reading reserved_bytes; /* by the driver itself */
    bool unified; /* no memory of its own: total and free are the machine's (/proc/meminfo) */
};
void nvml_read_memory(struct nvml_card *card, const char *proc_root,
                      struct nvml_memory *ret_memory);

enum { NVML_COMPUTE = 1, NVML_GRAPHICS = 2, NVML_MPS = 4 };
struct nvml_process {
    pid_t pid; /* as the driver's namespace counts: device/gpu_tree.c finds whose it is */
    struct reading memory_bytes;
    unsigned kinds;                          /* NVML_COMPUTE | ... */
    unsigned gpu_instance, compute_instance; /* UINT_MAX without MIG */
};
/* Caller frees *ret_list. False when the driver does not say (then nothing is written); an empty
 * list is an answer, but in a container not a proof that nobody is there. */
bool nvml_read_processes(struct nvml_card *card, struct nvml_process **ret_list, size_t *ret_count);
/* Only the lists of `kinds`: each is a call of its own. True when one of them was told,
 * NVML_COMPUTE if that is among them. */
bool nvml_read_lists(struct nvml_card *card, unsigned kinds, struct nvml_process **ret_list,
                     size_t *ret_count);

/* Two lists, read apart, as one: a process in both is one, with the larger figure. The caller frees
 * it; NULL when both are empty. */
struct nvml_process *nvml_join_lists(const struct nvml_process *first, size_t first_count,
                                     const struct nvml_process *second, size_t second_count,
                                     size_t *ret_count);

enum nvml_samples { NVML_SAMPLES_REFUSED = 0, NVML_SAMPLES_NONE, NVML_SAMPLES_SOME };
struct nvml_activity {
    pid_t pid;
    double sm_ratio; /* of the card's multiprocessors' time, as the driver averaged it */
    int64_t at_wall_us;
};
/* Samples newer than `since_wall_us`; caller frees *ret_list (NULL unless SOME). Idle processes
 * are left out by the driver, and "not found" is its word for no sample. */
enum nvml_samples nvml_read_activity(struct nvml_card *card, int64_t since_wall_us,
                                     struct nvml_activity **ret_list, size_t *ret_count);

struct nvml_state {
    struct reading busy_ratio, memory_busy_ratio; /* over the driver's last sample period */
    struct reading sm_clock_hz, memory_clock_hz;
    struct reading throttle_reasons; /* bits, see nvml_throttle_words */
    struct reading temperature_celsius, power_watt, power_limit_watt;
    struct reading ecc_corrected, ecc_uncorrected; /* since the driver was loaded */
    struct reading compute_mode;                   /* 0 default, 2 prohibited, 3 exclusive */
    struct reading mig_enabled, accounting_enabled;
};
void nvml_read_state(struct nvml_card *card, struct nvml_state *ret_state);
struct reading nvml_read_busy(struct nvml_card *card); /* its busy_ratio alone */
/* "power cap, too hot"; "" for none and for what slows nothing (idle, a clock asked for). */
void nvml_throttle_words(const struct reading *reasons, char *ret_text, size_t size);
