/* Loading the driver's library, in the process that asks it (device/nvml_ask.c), and making its
 * errors into words.
 *
 * The library is opened while running, because a program linked with it would not start where there
 * is no driver, and its symbols come from a table: drivers of ten years name the same thing
 * differently, so a slot has its names newest first and the first one found fills it. Which layout
 * a versioned function speaks is not taken from its name alone (device/nvml_process.c), since
 * drivers were shipped where the two disagree.
 *
 * Invariant: a slot that is not required may be NULL, and is then read as "not supported". */
#include "device/nvml_driver.h"

#include "base/clock.h"
#include "base/text.h"
#include "device/nvml_abi.h"

#include <dlfcn.h>
#include <stddef.h>
#include <string.h>

struct symbol {
    const char *name;
    size_t slot; /* offset in struct nvml_api */
    bool required;
};
#define SLOT(member) offsetof(struct nvml_api, member)

/* Names of one slot stand together, newest first; `required` stands at the last of them. */
static const struct symbol symbols[] = {
    {"nvmlInit_v2", SLOT(init), false},
    {"nvmlInit", SLOT(init), true},
    {"nvmlShutdown", SLOT(shutdown), true},
    {"nvmlSystemGetDriverVersion", SLOT(driver_version), false},
    {"nvmlSystemGetNVMLVersion", SLOT(library_version), false},
    {"nvmlSystemGetCudaDriverVersion_v2", SLOT(cuda_version), false},
    {"nvmlSystemGetCudaDriverVersion", SLOT(cuda_version), false},
    {"nvmlDeviceGetCount_v2", SLOT(count), false},
    {"nvmlDeviceGetCount", SLOT(count), true},
    {"nvmlDeviceGetHandleByIndex_v2", SLOT(by_index), false},
    {"nvmlDeviceGetHandleByIndex", SLOT(by_index), true},
    {"nvmlDeviceGetHandleByUUID", SLOT(by_uuid), false},
    {"nvmlDeviceGetUUID", SLOT(uuid), true},
    {"nvmlDeviceGetName", SLOT(name), false},
    {"nvmlDeviceGetPciInfo_v3", SLOT(pci), false},
    {"nvmlDeviceGetPciInfo_v2", SLOT(pci), false},
    {"nvmlDeviceGetPciInfo", SLOT(pci), false},
    {"nvmlDeviceGetMemoryInfo_v2", SLOT(memory_v2), false},
    {"nvmlDeviceGetMemoryInfo", SLOT(memory), false},
    {"nvmlDeviceGetComputeRunningProcesses_v3", SLOT(compute), false},
    {"nvmlDeviceGetComputeRunningProcesses_v2", SLOT(compute), false},
    {"nvmlDeviceGetComputeRunningProcesses", SLOT(compute), false},
    {"nvmlDeviceGetGraphicsRunningProcesses_v3", SLOT(graphics), false},
    {"nvmlDeviceGetGraphicsRunningProcesses_v2", SLOT(graphics), false},
    {"nvmlDeviceGetGraphicsRunningProcesses", SLOT(graphics), false},
    {"nvmlDeviceGetMPSComputeRunningProcesses_v3", SLOT(mps), false},
    {"nvmlDeviceGetMPSComputeRunningProcesses_v2", SLOT(mps), false},
    {"nvmlDeviceGetMPSComputeRunningProcesses", SLOT(mps), false},
    {"nvmlDeviceGetProcessUtilization", SLOT(process_use), false},
    {"nvmlDeviceGetUtilizationRates", SLOT(use), false},
    {"nvmlDeviceGetClockInfo", SLOT(clock), false},
    {"nvmlDeviceGetCurrentClocksEventReasons", SLOT(throttle), false},
    {"nvmlDeviceGetCurrentClocksThrottleReasons", SLOT(throttle), false},
    {"nvmlDeviceGetTemperature", SLOT(temperature), false},
    {"nvmlDeviceGetPowerUsage", SLOT(power), false},
    {"nvmlDeviceGetEnforcedPowerLimit", SLOT(power_limit), false},
    {"nvmlDeviceGetTotalEccErrors", SLOT(ecc), false},
    {"nvmlDeviceGetComputeMode", SLOT(compute_mode), false},
    {"nvmlDeviceGetAccountingMode", SLOT(accounting), false},
    {"nvmlDeviceGetMigMode", SLOT(mig_mode), false},
    {"nvmlDeviceGetMaxMigDeviceCount", SLOT(mig_room), false},
    {"nvmlDeviceGetMigDeviceHandleByIndex", SLOT(mig_by_index), false},
    {"nvmlDeviceGetDeviceHandleFromMigDeviceHandle", SLOT(mig_parent), false},
    {"nvmlDeviceGetGpuInstanceId", SLOT(gpu_instance), false},
    {"nvmlDeviceGetComputeInstanceId", SLOT(compute_instance), false},
    {"nvmlDeviceGetAddressingMode", SLOT(addressing), false},
};

/* Where drivers put it beside the linker's own places: WSL, NixOS, containers of GKE. */
static const char *const places[] = {
    "libnvidia-ml.so.1",
    "/usr/lib/wsl/lib/libnvidia-ml.so.1",
    "/run/opengl-driver/lib/libnvidia-ml.so.1",
    "/usr/local/nvidia/lib64/libnvidia-ml.so.1",
};

static const struct {
    int code;
    const char *words;
} codes[] = {
    {0, "no error"},
    {1, "not initialised"},
    {2, "invalid argument"},
    {NVML_NOT_SUPPORTED, "not supported"},
    {4, "no permission"},
    {NVML_NOT_FOUND, "not found"},
    {NVML_INSUFFICIENT_SIZE, "insufficient size"},
    {8, "external power cables are not attached"},
    {NVML_DRIVER_NOT_LOADED, "the NVIDIA driver is not loaded"},
    {10, "timeout"},
    {11, "the kernel has trouble with the card's interrupts"},
    {12, "a library of the driver is missing"},
    {NVML_FUNCTION_NOT_FOUND, "this driver has no such function"},
    {14, "the card's infoROM is corrupted"},
    {NVML_GPU_IS_LOST, "GPU is lost: it fell off the bus or can't be reached"},
    {16, "the card needs a reset"},
    {17, "the operating system has blocked the request"},
    {NVML_LIB_RM_VERSION_MISMATCH, "Driver/library version mismatch"},
    {19, "in use"},
    {20, "out of memory"},
    {21, "no data"},
    {23, "the driver is out of resources"},
    {25, "the driver does not know this version of a structure"},
    {27, "not ready"},
    {28, "GPU not found"},
    {29, "invalid state"},
    {NVML_UNKNOWN, "unknown error of the driver"},
};

const char *nvml_words(int code)
{
    for (size_t i = 0; i < ARRAY_LEN(codes); i++) {
        if (codes[i].code == code)
            return codes[i].words;
    }
    return "an error without a name";
}

void nvml_fault_text(const struct nvml_card *card, char *ret_text, size_t size)
{
    if (card->fault == NVML_NO_ANSWER)
        snprintf(ret_text, size, "the driver does not answer: a call did not come back within %g s",
                 (double)card->nvml->within_ns / NS_PER_S);
    else if (card->fault == NVML_ASKER_ENDED)
        snprintf(ret_text, size, "the driver's library ended the process that asks it: %s",
                 card->nvml->end);
    else if (card->fault)
        snprintf(ret_text, size, "the driver lost the card: %s (NVML code %d)",
                 nvml_words(card->fault), card->fault);
    else
        snprintf(ret_text, size, "%s", "");
}

/* Copies found symbols into the slots. False, with the name, when a required one is missing. */
static bool fill(struct nvml *nvml, const char **ret_missing)
{
    for (size_t i = 0; i < ARRAY_LEN(symbols); i++) {
        char *slot = (char *)&nvml->api + symbols[i].slot;
        void *found = NULL;
        memcpy(&found, slot, sizeof found);
        if (!found) {
            found = dlsym(nvml->library, symbols[i].name);
            memcpy(slot, &found, sizeof found);
        }
        if (!found && symbols[i].required) {
            *ret_missing = symbols[i].name;
            return false;
        }
    }
    return true;
}

static void *load(const char *library, char *ret_place, size_t size, struct err *err)
{
    const char *given = library ? library : getenv("SPICA_NVML_LIBRARY");
    bool chosen = given && given[0];
    for (size_t i = 0; i < (chosen ? 1 : ARRAY_LEN(places)); i++) {
        const char *place = chosen ? given : places[i];
        void *handle = dlopen(place, RTLD_NOW | RTLD_LOCAL);
        if (handle) {
            snprintf(ret_place, size, "%s", place);
            return handle;
        }
        if (i == 0) {
            const char *why = dlerror();
            err_set(err, ERR_MISSING, "no NVIDIA driver on this machine (%s); device: cpu works",
                    why ? why : place);
        }
    }
    return NULL;
}

static void library_version(const struct nvml *nvml, char *ret_text, size_t size)
{
    char text[80] = "";
    if (!nvml->api.library_version || nvml->api.library_version(text, sizeof text) != NVML_OK)
        text[0] = '\0';
    text[sizeof text - 1] = '\0';
    snprintf(ret_text, size, "%s", text);
}

/* A failure to start is the surroundings', not the user's: the study stops and can be resumed. */
static bool explain_start(const struct nvml *nvml, int code, struct err *err)
{
    char version[80];
    library_version(nvml, version, sizeof version);
    if (code == NVML_DRIVER_NOT_LOADED)
        return err_set(err, ERR_MISSING,
                       "the NVIDIA driver's library is here, its kernel module is not loaded "
                       "(NVML code %d); device: cpu works",
                       code);
    if (code == NVML_LIB_RM_VERSION_MISMATCH)
        return err_set(err, ERR_STOPPED,
                       "%s%s%s: the driver was upgraded while the machine ran. What runs on the "
                       "GPU goes on, nothing new can start: reboot",
                       nvml_words(code), version[0] ? "; NVML library version " : "", version);
    return err_set(err, ERR_STOPPED, "the NVIDIA driver does not start: %s (NVML code %d)",
                   nvml_words(code), code);
}

bool nvml_driver_open(struct nvml *nvml, const char *library, struct err *err)
{
    const char *missing = NULL;
    nvml->library = load(library, nvml->place, sizeof nvml->place, err);
    if (!nvml->library)
        return false;
    if (!fill(nvml, &missing))
        return err_set(err, ERR_MISSING,
                       "%s is no whole NVIDIA driver (it has no %s); device: cpu works",
                       nvml->place, missing);
    int code = nvml->api.init();
    return code == NVML_OK || explain_start(nvml, code, err);
}

void nvml_driver_versions(const struct nvml *nvml, char *ret_text, size_t size)
{
    char driver[80] = "", library[80];
    int cuda = 0;
    library_version(nvml, library, sizeof library);
    if (!nvml->api.driver_version || nvml->api.driver_version(driver, sizeof driver) != NVML_OK)
        driver[0] = '\0';
    driver[sizeof driver - 1] = '\0';
    if (!nvml->api.cuda_version || nvml->api.cuda_version(&cuda) != NVML_OK)
        cuda = 0;
    AUTO(buf_done) struct buf text = BUF_INIT(256);
    buf_addf(&text, "driver %s", driver[0] ? driver : "unknown");
    if (cuda > 0) /* 1000 major + 10 minor */
        buf_addf(&text, ", CUDA %d.%d", cuda / 1000, cuda % 1000 / 10);
    if (library[0])
        buf_addf(&text, ", NVML %s", library);
    snprintf(ret_text, size, "%s", buf_text(&text));
}
