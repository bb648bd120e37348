/* A stand-in for the driver's libnvidia-ml.so.1: the functions that spica may call, over the world
 * of a script (world.h). Its declarations are its own, so that a wrong layout can't hide on both
 * sides.
 *
 * FAKE_GENERATION is which driver it is: 4 today's, 3 those of 535.43 to 535.86 (32-byte entries),
 * 2 R470 (v2 lists, memory v1), 1 R418 (v1 lists, no shares of processes), 0 the toolkit's stub. A
 * symbol that a generation lacks is not there. */
#include "world.h"

#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#define MIB (1024ULL * 1024)
#define EXPORT __attribute__((visibility("default")))
enum { INVALID = 2, NOT_SUPPORTED = 3, NOT_FOUND = 6, SMALL = 7, BAD_VERSION = 25 };

/* The function's own failure, told by the script, comes first. */
#define BEGIN(function)                                                                            \
    const struct world *w = world_now();                                                           \
    const int told = world_fail(w, function);                                                      \
    if (told)                                                                                      \
    return told

EXPORT int nvmlInit_v2(void);
EXPORT int nvmlShutdown(void);
int nvmlInit_v2(void)
{
    BEGIN("nvmlInit");
    return 0;
}
int nvmlShutdown(void)
{
    return 0;
}

#if FAKE_GENERATION > 0
static int copy(char *to, unsigned size, const char *text)
{
    if (strlen(text) + 1 > size)
        return SMALL;
    memcpy(to, text, strlen(text) + 1);
    return 0;
}

EXPORT int nvmlSystemGetDriverVersion(char *text, unsigned size);
EXPORT int nvmlSystemGetNVMLVersion(char *text, unsigned size);
EXPORT int nvmlSystemGetCudaDriverVersion(int *version);
EXPORT int nvmlDeviceGetCount_v2(unsigned *count);
EXPORT int nvmlDeviceGetHandleByIndex_v2(unsigned index, void **device);
EXPORT int nvmlDeviceGetHandleByUUID(const char *uuid, void **device);
EXPORT int nvmlDeviceGetUUID(void *device, char *text, unsigned size);
EXPORT int nvmlDeviceGetName(void *device, char *text, unsigned size);

int nvmlSystemGetDriverVersion(char *text, unsigned size)
{
    BEGIN("nvmlSystemGetDriverVersion");
    return copy(text, size, w->driver);
}
int nvmlSystemGetNVMLVersion(char *text, unsigned size)
{
    const struct world *w = world_now();
    return copy(text, size, w->library);
}
int nvmlSystemGetCudaDriverVersion(int *version)
{
    BEGIN("nvmlSystemGetCudaDriverVersion");
    *version = w->cuda;
    return 0;
}
int nvmlDeviceGetCount_v2(unsigned *count)
{
    BEGIN("nvmlDeviceGetCount");
    *count = 0;
    for (int i = 0; i < w->card_count; i++)
        *count += w->cards[i].parent < 0;
    return 0;
}

/* A handle is the card's place in the script, from 1. */
static void *handle_of(int i)
{
    return (void *)(uintptr_t)(i + 1);
}
static const struct card *card_of(const struct world *w, void *device)
{
    const uintptr_t i = (uintptr_t)device;
    return i >= 1 && i <= (uintptr_t)w->card_count ? &w->cards[i - 1] : NULL;
}

#define CARD(function)                                                                             \
    BEGIN(function);                                                                               \
    const struct card *card = card_of(w, device);                                                  \
    if (!card || card->lost)                                                                       \
    return card ? card->lost : INVALID

int nvmlDeviceGetHandleByIndex_v2(unsigned index, void **device)
{
    BEGIN("nvmlDeviceGetHandleByIndex");
    unsigned seen = 0;
    for (int i = 0; i < w->card_count; i++) {
        if (w->cards[i].parent < 0 && seen++ == index) {
            *device = handle_of(i);
            return w->cards[i].lost;
        }
    }
    return INVALID;
}
int nvmlDeviceGetHandleByUUID(const char *uuid, void **device)
{
    BEGIN("nvmlDeviceGetHandleByUUID");
    for (int i = 0; i < w->card_count; i++) {
        if (strcmp(w->cards[i].uuid, uuid) == 0) {
            *device = handle_of(i);
            return w->cards[i].lost;
        }
    }
    return NOT_FOUND;
}
int nvmlDeviceGetUUID(void *device, char *text, unsigned size)
{
    CARD("nvmlDeviceGetUUID");
    return copy(text, size, card->uuid);
}
int nvmlDeviceGetName(void *device, char *text, unsigned size)
{
    CARD("nvmlDeviceGetName");
    return copy(text, size, card->name);
}

struct pci {
    char legacy[16];
    unsigned domain, bus, device, id, subsystem;
    char bus_id[32];
};
EXPORT int nvmlDeviceGetPciInfo_v3(void *device, struct pci *pci);
int nvmlDeviceGetPciInfo_v3(void *device, struct pci *pci)
{
    CARD("nvmlDeviceGetPciInfo");
    *pci = (struct pci){.domain = card->domain, .bus = card->bus, .device = card->slot};
    snprintf(pci->bus_id, sizeof pci->bus_id, "%08X:%02X:%02X.0", card->domain, card->bus & 0xff,
             card->slot & 0xff);
    return 0;
}

struct memory {
    unsigned long long total, free, used;
};
struct memory_v2 {
    unsigned version;
    unsigned long long total, reserved, free, used;
};
static struct memory_v2 memory_of(const struct card *card)
{
    return (struct memory_v2){.total = (unsigned long long)card->total_mib * MIB,
                              .reserved = (unsigned long long)card->reserved_mib * MIB,
                              .used = world_used_bytes(card),
                              .free = world_free_bytes(card)};
}
EXPORT int nvmlDeviceGetMemoryInfo(void *device, struct memory *memory);
int nvmlDeviceGetMemoryInfo(void *device, struct memory *memory)
{
    CARD("nvmlDeviceGetMemoryInfo");
    const struct memory_v2 m = memory_of(card);
    *memory = (struct memory){m.total, m.free, m.used + m.reserved};
    return 0;
}
#if FAKE_GENERATION >= 3
EXPORT int nvmlDeviceGetMemoryInfo_v2(void *device, struct memory_v2 *memory);
int nvmlDeviceGetMemoryInfo_v2(void *device, struct memory_v2 *memory)
{
    CARD("nvmlDeviceGetMemoryInfo_v2");
    if (memory->version != (sizeof(struct memory_v2) | 2U << 24))
        return BAD_VERSION;
    const struct memory_v2 m = memory_of(card);
    memory->total = m.total;
    memory->reserved = m.reserved;
    memory->free = m.free;
    memory->used = m.used;
    return 0;
}
#endif

struct process {
    unsigned pid;
    unsigned long long bytes;
#if FAKE_GENERATION >= 2
    unsigned gpu_instance, compute_instance;
#endif
#if FAKE_GENERATION == 3
    unsigned long long protected_bytes;
#endif
};
static int list_of(const struct card *card, unsigned kind, unsigned *count,
                   struct process *processes)
{
    const unsigned room = *count;
    if (card->no_list)
        return NOT_SUPPORTED;
    *count = 0;
    for (unsigned i = 0; i < card->entry_count; i++)
        *count += (card->entries[i].kinds & kind) != 0;
    if (*count > room)
        return SMALL;
    for (unsigned i = 0; i < card->entry_count; i++) {
        const struct entry *entry = &card->entries[i];
        if (!(entry->kinds & kind))
            continue;
        memset(processes, 0, sizeof *processes);
        processes->pid = entry->pid;
        processes->bytes = entry->bytes;
#if FAKE_GENERATION >= 2
        processes->gpu_instance = entry->gpu_instance;
        processes->compute_instance = entry->compute_instance;
#endif
        processes++;
    }
    return 0;
}

#if FAKE_GENERATION >= 3
#define LIST(name) name##_v3
#elif FAKE_GENERATION == 2
#define LIST(name) name##_v2
#else
#define LIST(name) name
#endif
EXPORT int LIST(nvmlDeviceGetComputeRunningProcesses)(void *device, unsigned *count,
                                                      struct process *processes);
EXPORT int LIST(nvmlDeviceGetGraphicsRunningProcesses)(void *device, unsigned *count,
                                                       struct process *processes);
int LIST(nvmlDeviceGetComputeRunningProcesses)(void *device, unsigned *count,
                                               struct process *processes)
{
    CARD("nvmlDeviceGetComputeRunningProcesses");
    return list_of(card, 1, count, processes);
}
int LIST(nvmlDeviceGetGraphicsRunningProcesses)(void *device, unsigned *count,
                                                struct process *processes)
{
    CARD("nvmlDeviceGetGraphicsRunningProcesses");
    return list_of(card, 2, count, processes);
}
#if FAKE_GENERATION >= 3
EXPORT int nvmlDeviceGetMPSComputeRunningProcesses_v3(void *device, unsigned *count,
                                                      struct process *processes);
int nvmlDeviceGetMPSComputeRunningProcesses_v3(void *device, unsigned *count,
                                               struct process *processes)
{
    CARD("nvmlDeviceGetMPSComputeRunningProcesses");
    return list_of(card, 4, count, processes);
}
#endif

struct use {
    unsigned gpu, memory;
};
EXPORT int nvmlDeviceGetUtilizationRates(void *device, struct use *use);
int nvmlDeviceGetUtilizationRates(void *device, struct use *use)
{
    CARD("nvmlDeviceGetUtilizationRates");
    *use = (struct use){card->busy, card->busy / 2};
    return 0;
}

EXPORT int nvmlDeviceGetComputeMode(void *device, unsigned *mode);
EXPORT int nvmlDeviceGetClockInfo(void *device, unsigned kind, unsigned *mhz);
EXPORT int nvmlDeviceGetTemperature(void *device, unsigned sensor, unsigned *celsius);
EXPORT int nvmlDeviceGetPowerUsage(void *device, unsigned *milliwatt);
EXPORT int nvmlDeviceGetEnforcedPowerLimit(void *device, unsigned *milliwatt);
EXPORT int nvmlDeviceGetAccountingMode(void *device, unsigned *mode);
EXPORT int nvmlDeviceGetCurrentClocksThrottleReasons(void *device, unsigned long long *reasons);
EXPORT int nvmlDeviceGetTotalEccErrors(void *device, unsigned kind, unsigned counter,
                                       unsigned long long *count);
int nvmlDeviceGetComputeMode(void *device, unsigned *mode)
{
    CARD("nvmlDeviceGetComputeMode");
    *mode = card->mode;
    return 0;
}
int nvmlDeviceGetClockInfo(void *device, unsigned kind, unsigned *mhz)
{
    CARD("nvmlDeviceGetClockInfo");
    *mhz = kind == 2 ? card->memory_mhz : card->sm_mhz;
    return 0;
}
int nvmlDeviceGetTemperature(void *device, unsigned sensor, unsigned *celsius)
{
    CARD("nvmlDeviceGetTemperature");
    *celsius = card->celsius;
    return sensor == 0 ? 0 : INVALID;
}
int nvmlDeviceGetPowerUsage(void *device, unsigned *milliwatt)
{
    CARD("nvmlDeviceGetPowerUsage");
    *milliwatt = card->milliwatt;
    return 0;
}
int nvmlDeviceGetEnforcedPowerLimit(void *device, unsigned *milliwatt)
{
    CARD("nvmlDeviceGetEnforcedPowerLimit");
    *milliwatt = card->limit_milliwatt;
    return 0;
}
int nvmlDeviceGetAccountingMode(void *device, unsigned *mode)
{
    CARD("nvmlDeviceGetAccountingMode");
    *mode = card->accounting;
    return 0;
}
int nvmlDeviceGetCurrentClocksThrottleReasons(void *device, unsigned long long *reasons)
{
    CARD("nvmlDeviceGetCurrentClocksThrottleReasons");
    *reasons = card->throttle;
    return 0;
}
int nvmlDeviceGetTotalEccErrors(void *device, unsigned kind, unsigned counter,
                                unsigned long long *count)
{
    CARD("nvmlDeviceGetTotalEccErrors");
    *count = kind == 1 ? card->ecc_uncorrected : card->ecc_corrected;
    return counter == 0 ? 0 : NOT_SUPPORTED;
}

#if FAKE_GENERATION >= 2
struct sample_out {
    unsigned pid;
    unsigned long long at_us;
    unsigned sm, memory, encoder, decoder;
};
EXPORT int nvmlDeviceGetProcessUtilization(void *device, struct sample_out *samples,
                                           unsigned *count, unsigned long long since_us);
int nvmlDeviceGetProcessUtilization(void *device, struct sample_out *samples, unsigned *count,
                                    unsigned long long since_us)
{
    CARD("nvmlDeviceGetProcessUtilization");
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    const double now_us = (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
    const unsigned room = *count;
    *count = 0;
    if (card->no_samples)
        return NOT_FOUND;
    if (room < card->sample_count) {
        *count = card->sample_count;
        return SMALL;
    }
    for (unsigned i = 0; i < card->sample_count; i++) {
        const struct sample *sample = &card->samples[i];
        const unsigned long long at_us = (unsigned long long)(now_us - sample->age_s * 1e6);
        if (card->forget_s > 0 && sample->age_s > card->forget_s)
            continue;
        if (at_us > since_us || card->any_age)
            samples[(*count)++] = (struct sample_out){sample->pid, at_us, sample->percent, 0, 0, 0};
    }
    return *count ? 0 : NOT_FOUND;
}

EXPORT int nvmlDeviceGetMigMode(void *device, unsigned *current, unsigned *pending);
EXPORT int nvmlDeviceGetMaxMigDeviceCount(void *device, unsigned *count);
EXPORT int nvmlDeviceGetMigDeviceHandleByIndex(void *device, unsigned index, void **instance);
EXPORT int nvmlDeviceGetDeviceHandleFromMigDeviceHandle(void *device, void **parent);
EXPORT int nvmlDeviceGetGpuInstanceId(void *device, unsigned *id);
EXPORT int nvmlDeviceGetComputeInstanceId(void *device, unsigned *id);
EXPORT int nvmlDeviceGetAddressingMode(void *device, unsigned *addressing);
int nvmlDeviceGetMigMode(void *device, unsigned *current, unsigned *pending)
{
    CARD("nvmlDeviceGetMigMode");
    *current = *pending = card->mig;
    return 0;
}
int nvmlDeviceGetMaxMigDeviceCount(void *device, unsigned *count)
{
    CARD("nvmlDeviceGetMaxMigDeviceCount");
    *count = card->mig ? 7 : 0;
    return 0;
}
int nvmlDeviceGetMigDeviceHandleByIndex(void *device, unsigned index, void **instance)
{
    CARD("nvmlDeviceGetMigDeviceHandleByIndex");
    unsigned seen = 0;
    for (int i = 0; i < w->card_count; i++) {
        if (w->cards[i].parent >= 0 && &w->cards[w->cards[i].parent] == card && seen++ == index) {
            *instance = handle_of(i);
            return 0;
        }
    }
    return NOT_FOUND;
}
int nvmlDeviceGetDeviceHandleFromMigDeviceHandle(void *device, void **parent)
{
    CARD("nvmlDeviceGetDeviceHandleFromMigDeviceHandle");
    *parent = handle_of(card->parent);
    return card->parent >= 0 ? 0 : INVALID;
}
/* Instances of a card are numbered from 1 as they stand; each has one compute instance, 0. */
int nvmlDeviceGetGpuInstanceId(void *device, unsigned *id)
{
    CARD("nvmlDeviceGetGpuInstanceId");
    *id = card->parent >= 0 ? (unsigned)(card - w->cards) - (unsigned)card->parent : 0;
    return card->parent >= 0 ? 0 : INVALID;
}
int nvmlDeviceGetComputeInstanceId(void *device, unsigned *id)
{
    CARD("nvmlDeviceGetComputeInstanceId");
    *id = 0;
    return card->parent >= 0 ? 0 : INVALID;
}
int nvmlDeviceGetAddressingMode(void *device, unsigned *addressing)
{
    CARD("nvmlDeviceGetAddressingMode");
    addressing[1] = card->addressing;
    return addressing[0] == 0x01000008 ? 0 : BAD_VERSION;
}
#endif
#endif
