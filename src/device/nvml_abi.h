/* Inside device/nvml*.c only: NVML's binary interface, as far as it is used. Layouts and numbers
 * are facts of the public ABI (nvidia-ml-py 13 lists them); Debian has no nvml.h to include. Every
 * function returns a code of enum nvml_code. */
#pragma once

enum nvml_code {
    NVML_OK = 0,
    NVML_NOT_SUPPORTED = 3,
    NVML_NOT_FOUND = 6,
    NVML_INSUFFICIENT_SIZE = 7,
    NVML_DRIVER_NOT_LOADED = 9,
    NVML_FUNCTION_NOT_FOUND = 13,
    NVML_GPU_IS_LOST = 15,
    NVML_LIB_RM_VERSION_MISMATCH = 18,
    NVML_UNKNOWN = 999,
    /* Ours: of a driver that can't be asked any more. */
    NVML_NO_ANSWER = 10001,
    NVML_ASKER_ENDED,
};

struct nvml_abi_pci { /* v3; v1 and v2 share all up to `subsystem` */
    char bus_id_legacy[16];
    unsigned domain, bus, device, id, subsystem;
    char bus_id[32];
};
struct nvml_abi_memory {
    unsigned long long total, free, used;
};
struct nvml_abi_memory_v2 {
    unsigned version; /* NVML_ABI_MEMORY_V2 */
    unsigned long long total, reserved, free, used;
};
enum { NVML_ABI_MEMORY_V2 = 0x02000028, NVML_ABI_ADDRESSING_V1 = 0x01000008 };

/* How a running process is told: 16 bytes (v1), 24 (v2 and v3), and 32 in the v3 of drivers 535.43
 * to 535.86. The beginning is the same in all. */
struct nvml_abi_process {
    unsigned pid;
    unsigned long long used;
    unsigned gpu_instance, compute_instance; /* all-ones without MIG; not in v1 */
    unsigned long long protected_used;       /* in the 32 bytes only */
};
struct nvml_abi_sample {
    unsigned pid;
    unsigned long long at_us;              /* wall time */
    unsigned sm, memory, encoder, decoder; /* percent */
};
struct nvml_abi_use {
    unsigned gpu, memory; /* percent */
};
struct nvml_abi_addressing {
    unsigned version, mode; /* 0 none, 1 HMM, 2 ATS */
};

struct nvml_api {
    int (*init)(void);
    int (*shutdown)(void);
    int (*driver_version)(char *text, unsigned size);
    int (*library_version)(char *text, unsigned size);
    int (*cuda_version)(int *version);
    int (*count)(unsigned *count);
    int (*by_index)(unsigned index, void **device);
    int (*by_uuid)(const char *uuid, void **device);
    int (*uuid)(void *device, char *text, unsigned size);
    int (*name)(void *device, char *text, unsigned size);
    int (*pci)(void *device, struct nvml_abi_pci *pci);
    int (*memory_v2)(void *device, struct nvml_abi_memory_v2 *memory);
    int (*memory)(void *device, struct nvml_abi_memory *memory);
    int (*compute)(void *device, unsigned *count, void *processes);
    int (*graphics)(void *device, unsigned *count, void *processes);
    int (*mps)(void *device, unsigned *count, void *processes);
    int (*process_use)(void *device, struct nvml_abi_sample *samples, unsigned *count,
                       unsigned long long since_us);
    int (*use)(void *device, struct nvml_abi_use *use);
    int (*clock)(void *device, unsigned kind, unsigned *mhz);
    int (*throttle)(void *device, unsigned long long *reasons);
    int (*temperature)(void *device, unsigned sensor, unsigned *celsius);
    int (*power)(void *device, unsigned *milliwatt);
    int (*power_limit)(void *device, unsigned *milliwatt);
    int (*ecc)(void *device, unsigned kind, unsigned counter, unsigned long long *count);
    int (*compute_mode)(void *device, unsigned *mode);
    int (*accounting)(void *device, unsigned *mode);
    int (*mig_mode)(void *device, unsigned *current, unsigned *pending);
    int (*mig_room)(void *device, unsigned *count);
    int (*mig_by_index)(void *device, unsigned index, void **instance);
    int (*mig_parent)(void *instance, void **device);
    int (*gpu_instance)(void *instance, unsigned *id);
    int (*compute_instance)(void *instance, unsigned *id);
    int (*addressing)(void *device, struct nvml_abi_addressing *addressing);
};
