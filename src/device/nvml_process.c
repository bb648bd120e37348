/* Processes on a card, and how much of its multiprocessors each one used.
 *
 * The list has had three layouts. Drivers 535.43 to 535.86 put the longest behind the name of the
 * middle one, so a name does not say how far apart the entries are: the buffer is filled with a
 * pattern, and how far the driver wrote tells it. A table of driver versions was rejected: it would
 * have to know distributions' rebuilds, and be right about the next mistake.
 *
 * The three lists (compute, graphics, MPS clients) overlap: a process in two of them is one
 * process, and its memory is told in full in each, so the larger figure counts, never the sum.
 * All-ones means that the driver does not know (MIG without rights, vGPU, WDDM): listed, with
 * unknown memory. */
#include "device/nvml_driver.h"

#include "device/nvml_abi.h"

#include <limits.h>
#include <stddef.h>
#include <string.h>

enum { FIRST_ROOM = 64, ROOM_MAX = 16384, PATTERN = 0xa5, TODAY = 24 };

struct raw {
    unsigned char *bytes; /* owned */
    unsigned count;
    size_t stride;
};

/* The layouts' sizes, shortest first. */
static const size_t strides[] = {16, 24, sizeof(struct nvml_abi_process)};

static size_t find_stride(const unsigned char *bytes, size_t size, unsigned count)
{
    size_t written = size;
    while (written > 0 && bytes[written - 1] == PATTERN)
        written--;
    for (size_t i = 0; i < ARRAY_LEN(strides); i++) {
        if (written <= strides[i] * count)
            return strides[i];
    }
    return TODAY; /* it wrote behind its list: that tells nothing */
}

/* Asks with more and more room: the list may grow between two calls. */
static int ask(int (*function)(void *, unsigned *, void *), void *handle, struct raw *ret_raw)
{
    if (!function)
        return NVML_FUNCTION_NOT_FOUND;
    for (unsigned room = FIRST_ROOM; room <= ROOM_MAX; room *= 4) {
        /* Twice the room for entries that are as long as we expect. */
        size_t size = (size_t)room * sizeof(struct nvml_abi_process) * 2;
        unsigned char *bytes = malloc(size);
        if (!bytes)
            abort();
        memset(bytes, PATTERN, size);
        unsigned count = room;
        int code = function(handle, &count, bytes);
        if (code == NVML_OK && count <= room) {
            *ret_raw = (struct raw){bytes, count, find_stride(bytes, size, count)};
            return code;
        }
        free(bytes);
        if (code != NVML_INSUFFICIENT_SIZE)
            return code == NVML_OK ? NVML_UNKNOWN : code;
    }
    return NVML_INSUFFICIENT_SIZE;
}

static struct nvml_process parse(const struct raw *raw, unsigned i, unsigned kind)
{
    const unsigned char *at = raw->bytes + raw->stride * i;
    struct nvml_abi_process abi = {.gpu_instance = UINT_MAX, .compute_instance = UINT_MAX};
    memcpy(&abi, at, raw->stride < sizeof abi ? raw->stride : sizeof abi);
    bool withheld = abi.used == ULLONG_MAX || abi.used >= 1ULL << 52;
    return (struct nvml_process){
        .pid = abi.pid <= INT_MAX ? (pid_t)abi.pid : 0,
        .memory_bytes =
            withheld ? READING_NONE : reading_known(READING_FROM_NVML, (double)abi.used),
        .kinds = kind,
        .gpu_instance = abi.gpu_instance,
        .compute_instance = abi.compute_instance,
    };
}

struct list {
    struct nvml_process *items;
    size_t count, room;
};

static void merge(struct list *list, const struct nvml_process *process)
{
    for (size_t i = 0; i < list->count; i++) {
        struct nvml_process *item = &list->items[i];
        if (item->pid != process->pid || item->gpu_instance != process->gpu_instance ||
            item->compute_instance != process->compute_instance)
            continue;
        item->kinds |= process->kinds;
        if (!(reading_value(item->memory_bytes) >= reading_value(process->memory_bytes)) &&
            process->memory_bytes.state == READING_KNOWN)
            item->memory_bytes = process->memory_bytes;
        return;
    }
    if (list->count == list->room) {
        list->room = list->room ? list->room * 2 : 16;
        list->items = reallocarray(list->items, list->room, sizeof *list->items);
        if (!list->items)
            abort();
    }
    list->items[list->count++] = *process;
}

/* A MIG instance's own list, or its entries of the card's list where the driver gives the list to
 * cards only. */
static int ask_list(const struct nvml_card *card, int (*function)(void *, unsigned *, void *),
                    struct raw *ret_raw)
{
    int code = ask(function, card->handle, ret_raw);
    bool by_card = card->parent && card->has_ids && code != NVML_OK && code != NVML_GPU_IS_LOST;
    return by_card ? ask(function, card->parent, ret_raw) : code;
}

/* Some drivers list a whole card's processes to each of its instances. */
static bool is_elsewhere(const struct nvml_card *card, const struct nvml_process *process)
{
    return card->has_ids && process->gpu_instance != UINT_MAX &&
           (process->gpu_instance != card->gpu_instance ||
            (process->compute_instance != UINT_MAX &&
             process->compute_instance != card->compute_instance));
}

static void add_raw(const struct nvml_card *card, const struct raw *raw, unsigned kind,
                    struct list *list)
{
    for (unsigned i = 0; i < raw->count; i++) {
        const struct nvml_process process = parse(raw, i, kind);
        if (!is_elsewhere(card, &process))
            merge(list, &process);
    }
}

bool nvml_driver_lists(struct nvml_card *card, unsigned kinds, struct nvml_process **ret_list,
                       size_t *ret_count)
{
    const struct nvml_api *api = &card->nvml->api;
    const struct {
        int (*function)(void *, unsigned *, void *);
        unsigned kind;
    } lists[] = {
        {api->compute, NVML_COMPUTE}, {api->graphics, NVML_GRAPHICS}, {api->mps, NVML_MPS}};
    /* Services compute: the other lists alone would miss them. */
    const unsigned needed = kinds & NVML_COMPUTE ? NVML_COMPUTE : kinds;
    struct list list = {0};
    bool answered = false;
    for (size_t l = 0; l < ARRAY_LEN(lists); l++) {
        struct raw raw = {0};
        if (!(lists[l].kind & kinds))
            continue;
        int code = ask_list(card, lists[l].function, &raw);
        if (code == NVML_GPU_IS_LOST || code == NVML_LIB_RM_VERSION_MISMATCH)
            card->fault = code;
        if (code != NVML_OK)
            continue;
        answered |= (lists[l].kind & needed) != 0;
        add_raw(card, &raw, lists[l].kind, &list);
        free(raw.bytes);
    }
    if (!answered) {
        free(list.items);
        return false;
    }
    *ret_list = list.items;
    *ret_count = list.count;
    return true;
}

struct nvml_process *nvml_join_lists(const struct nvml_process *first, size_t first_count,
                                     const struct nvml_process *second, size_t second_count,
                                     size_t *ret_count)
{
    struct list list = {0};
    for (size_t i = 0; i < first_count; i++)
        merge(&list, &first[i]);
    for (size_t i = 0; i < second_count; i++)
        merge(&list, &second[i]);
    *ret_count = list.count;
    return list.items;
}

static int ask_samples(struct nvml_card *card, unsigned long long since_us,
                       struct nvml_abi_sample **ret_samples, unsigned *ret_count)
{
    if (!card->nvml->api.process_use)
        return NVML_FUNCTION_NOT_FOUND;
    for (unsigned room = FIRST_ROOM; room <= ROOM_MAX; room *= 4) {
        AUTO(free) struct nvml_abi_sample *samples = calloc(room, sizeof *samples);
        if (!samples)
            abort();
        unsigned count = room;
        int code = card->nvml->api.process_use(card->handle, samples, &count, since_us);
        if (code == NVML_INSUFFICIENT_SIZE)
            continue;
        if (code == NVML_OK && count <= room) {
            *ret_samples = TAKE(samples);
            *ret_count = count;
        }
        return code;
    }
    return NVML_INSUFFICIENT_SIZE;
}

enum nvml_samples nvml_driver_activity(struct nvml_card *card, int64_t since_wall_us,
                                       struct nvml_activity **ret_list, size_t *ret_count)
{
    AUTO(free) struct nvml_abi_sample *samples = NULL;
    unsigned told = 0;
    int code = ask_samples(card, since_wall_us > 0 ? (unsigned long long)since_wall_us : 0,
                           &samples, &told);
    *ret_list = NULL;
    *ret_count = 0;
    if (code == NVML_NOT_FOUND)
        return NVML_SAMPLES_NONE;
    if (code != NVML_OK)
        return NVML_SAMPLES_REFUSED;
    struct nvml_activity *list = calloc((size_t)told + 1, sizeof *list);
    size_t count = 0;
    if (!list)
        abort();
    for (unsigned i = 0; i < told; i++) {
        /* Drivers pad with pid 0, and some give shares of thousands of percent: no figure. Some
         * hand out samples older than what was asked for. */
        if (samples[i].pid == 0 || samples[i].pid > INT_MAX || samples[i].sm > 100 ||
            samples[i].at_us > INT64_MAX || (int64_t)samples[i].at_us <= since_wall_us)
            continue;
        list[count++] = (struct nvml_activity){(pid_t)samples[i].pid, samples[i].sm / 100.0,
                                               (int64_t)samples[i].at_us};
    }
    if (count == 0) {
        free(list);
        return NVML_SAMPLES_NONE;
    }
    *ret_list = list;
    *ret_count = count;
    return NVML_SAMPLES_SOME;
}
