/* Finding cards, and what the driver tells about one.
 *
 * A card is found by its UUID, or by its number in the order of PCI addresses. The driver's own
 * order was rejected as the meaning of "gpu0": it promises nothing across reboots, and CUDA's
 * default order (fastest first) is a third one; a wrong card is measured without any error.
 *
 * Sentinels end here: all-ones, zero totals and error codes become unknown readings, so nothing
 * above this file knows NVML's numbers. Machines whose GPU has no memory of its own (GB10, Jetson)
 * answer "not supported" or zero for memory: their memory is the machine's, and is labelled so.
 * "Not supported" on a card that is not known to be such a one stays unknown. */
#include "device/nvml_driver.h"

#include "device/nvml_abi.h"

#include "base/text.h"

#include <stddef.h>
#include <string.h>

static const char *const unified_names[] = {"GB10", "Orin", "Thor", "Xavier", "Tegra"};

/* Codes after which a card answers nothing any more. An unknown error counts only where the driver
 * always answers, since some functions give it for what they don't support. */
static void note(struct nvml_card *card, int code, bool always_answered)
{
    if (code == 1 || code == NVML_DRIVER_NOT_LOADED || code == NVML_GPU_IS_LOST || code == 16 ||
        code == NVML_LIB_RM_VERSION_MISMATCH || code == 28 ||
        (code == NVML_UNKNOWN && always_answered))
        card->fault = code;
}

static struct reading known(double value)
{
    return reading_known(READING_FROM_NVML, value);
}

int nvml_driver_count(const struct nvml *nvml)
{
    unsigned count = 0;
    return nvml->api.count(&count) == NVML_OK && count <= NVML_CARDS_MAX ? (int)count : -1;
}

struct place {
    struct nvml_card card;
    unsigned long long address;
};

static unsigned long long pci_address(const struct nvml_abi_pci *pci)
{
    return ((unsigned long long)pci->domain << 16) | ((pci->bus & 0xffULL) << 8) |
           (pci->device & 0xffULL);
}

static bool read_pci(const struct nvml_card *card, struct nvml_abi_pci *ret_pci)
{
    struct nvml_abi_pci pci = {0};
    if (!card->nvml->api.pci || card->nvml->api.pci(card->handle, &pci) != NVML_OK)
        return false;
    *ret_pci = pci;
    return true;
}

static int compare_places(const void *a, const void *b)
{
    const struct place *left = a, *right = b;
    return (left->address > right->address) - (left->address < right->address);
}

size_t nvml_driver_cards(struct nvml *nvml, struct nvml_card *ret_cards, size_t max)
{
    struct place places[NVML_CARDS_MAX];
    size_t count = 0;
    int told = nvml_driver_count(nvml);
    for (int i = 0; i < told; i++) {
        struct place place = {.card = {.nvml = nvml}};
        struct nvml_abi_pci pci;
        if (nvml->api.by_index((unsigned)i, &place.card.handle) != NVML_OK)
            continue; /* a lost card has no handle */
        /* Without an address a card comes last, in the driver's order. */
        place.address = read_pci(&place.card, &pci) ? pci_address(&pci) : ~0ULL - 64 + (unsigned)i;
        places[count++] = place;
    }
    if (count)
        qsort(places, count, sizeof *places, compare_places);
    if (count > max)
        count = max;
    for (size_t i = 0; i < count; i++)
        ret_cards[i] = places[i].card;
    return count;
}

/* A MIG instance knows its card, and its numbers in the card's process list. */
static void learn_instance(struct nvml_card *card)
{
    const struct nvml_api *api = &card->nvml->api;
    if (!api->mig_parent || api->mig_parent(card->handle, &card->parent) != NVML_OK)
        card->parent = NULL;
    card->has_ids = api->gpu_instance && api->compute_instance &&
                    api->gpu_instance(card->handle, &card->gpu_instance) == NVML_OK &&
                    api->compute_instance(card->handle, &card->compute_instance) == NVML_OK;
}

size_t nvml_driver_instances(const struct nvml_card *card, struct nvml_card *ret_cards, size_t max)
{
    const struct nvml_api *api = &card->nvml->api;
    unsigned room = 0;
    size_t count = 0;
    if (!api->mig_room || !api->mig_by_index || api->mig_room(card->handle, &room) != NVML_OK)
        return 0;
    for (unsigned i = 0; i < room && i < 64 && count < max; i++) {
        struct nvml_card instance = {.nvml = card->nvml};
        if (api->mig_by_index(card->handle, i, &instance.handle) != NVML_OK)
            continue;
        learn_instance(&instance);
        ret_cards[count++] = instance;
    }
    return count;
}

static bool by_number(struct nvml *nvml, const char *name, struct nvml_card *ret_card,
                      struct err *err)
{
    struct nvml_card cards[NVML_CARDS_MAX];
    size_t count = nvml_driver_cards(nvml, cards, ARRAY_LEN(cards));
    int64_t number = -1;
    if (!text_to_i64(name + strlen("gpu"), &number) || number < 0)
        return err_set(err, ERR_INPUT, "GPUs are named gpu0, gpu1, ... or by UUID");
    int told = nvml_driver_count(nvml);
    if (told < 0)
        return err_set(err, ERR_STOPPED, "the driver does not say how many GPUs there are");
    if ((size_t)told != count) /* who is lost can't be told, so neither can who is which */
        return err_set(err, ERR_STOPPED,
                       "%d of %d GPUs can't be reached: name the one you mean by its UUID",
                       told - (int)count, told);
    if (count == 0)
        return err_set(err, ERR_MISSING, "the driver knows no GPU; device: cpu works");
    if ((size_t)number >= count)
        return count == 1 ? err_set(err, ERR_MISSING, "the only GPU here is gpu0")
                          : err_set(err, ERR_MISSING, "the GPUs here are gpu0 to gpu%d", told - 1);
    *ret_card = cards[number];
    return true;
}

bool nvml_driver_find(struct nvml *nvml, const char *name, struct nvml_card *ret_card,
                      struct err *err)
{
    struct nvml_card card = {.nvml = nvml};
    if (text_starts_with(name, "gpu"))
        return by_number(nvml, name, ret_card, err);
    int code = nvml->api.by_uuid ? nvml->api.by_uuid(name, &card.handle) : NVML_FUNCTION_NOT_FOUND;
    if (code == NVML_GPU_IS_LOST)
        return err_set(err, ERR_STOPPED, "%s", nvml_words(code));
    if (code != NVML_OK)
        return err_set(err, ERR_MISSING, "there is no such GPU here: %s", nvml_words(code));
    if (text_starts_with(name, "MIG-"))
        learn_instance(&card);
    *ret_card = card;
    return true;
}

/* The driver's index is of no use to anybody else: this is N of gpuN. */
static int number_of(const struct nvml_card *card)
{
    struct nvml_card cards[NVML_CARDS_MAX];
    size_t count = nvml_driver_cards(card->nvml, cards, ARRAY_LEN(cards));
    for (size_t i = 0; i < count; i++) {
        if (cards[i].handle == card->handle)
            return (int)i;
    }
    return -1;
}

void nvml_driver_identity(const struct nvml_card *card, struct nvml_identity *ret_identity)
{
    const struct nvml_api *api = &card->nvml->api;
    struct nvml_identity identity = {.index = -1};
    struct nvml_card whole = *card;
    struct nvml_abi_pci pci;
    if (api->uuid(card->handle, identity.uuid, sizeof identity.uuid) != NVML_OK)
        identity.uuid[0] = '\0';
    if (!api->name || api->name(card->handle, identity.name, sizeof identity.name) != NVML_OK)
        identity.name[0] = '\0';
    identity.uuid[sizeof identity.uuid - 1] = identity.name[sizeof identity.name - 1] = '\0';
    identity.instance = text_starts_with(identity.uuid, "MIG-");
    if (identity.instance && card->parent) {
        whole.handle = card->parent;
        if (api->uuid(whole.handle, identity.parent_uuid, sizeof identity.parent_uuid) != NVML_OK)
            identity.parent_uuid[0] = '\0';
        identity.parent_uuid[sizeof identity.parent_uuid - 1] = '\0';
    }
    if (read_pci(&whole, &pci))
        snprintf(identity.pci, sizeof identity.pci, "%08X:%02X:%02X.0", pci.domain, pci.bus & 0xff,
                 pci.device & 0xff);
    identity.index = number_of(&whole);
    *ret_identity = identity;
}

static bool is_unified(const struct nvml_card *card)
{
    const struct nvml_api *api = &card->nvml->api;
    struct nvml_abi_addressing addressing = {.version = NVML_ABI_ADDRESSING_V1};
    char name[96] = "";
    if (api->name && api->name(card->handle, name, sizeof name) != NVML_OK)
        name[0] = '\0';
    name[sizeof name - 1] = '\0';
    for (size_t i = 0; i < ARRAY_LEN(unified_names); i++) {
        if (strstr(name, unified_names[i]))
            return true;
    }
    /* ATS: the card walks the machine's page tables. */
    return api->addressing && api->addressing(card->handle, &addressing) == NVML_OK &&
           addressing.mode == 2;
}

/* A size that a driver may give: neither a sentinel nor zero where zero is impossible. */
static bool is_total(unsigned long long bytes)
{
    return bytes != 0 && bytes < 1ULL << 52;
}

static int ask_memory(struct nvml_card *card, struct nvml_memory *memory)
{
    const struct nvml_api *api = &card->nvml->api;
    struct nvml_abi_memory_v2 v2 = {.version = NVML_ABI_MEMORY_V2};
    struct nvml_abi_memory v1 = {0};
    int code = api->memory_v2 ? api->memory_v2(card->handle, &v2) : NVML_FUNCTION_NOT_FOUND;
    note(card, code, true);
    if (code == NVML_OK && is_total(v2.total)) {
        memory->total_bytes = known((double)v2.total);
        memory->free_bytes = v2.free <= v2.total ? known((double)v2.free) : READING_NONE;
        memory->used_bytes = v2.used <= v2.total ? known((double)v2.used) : READING_NONE;
        memory->reserved_bytes =
            v2.reserved <= v2.total ? known((double)v2.reserved) : READING_NONE;
        return code;
    }
    if (code == NVML_OK || card->fault || !api->memory)
        return code;
    /* The old form counts what the driver keeps for itself as used: only total and free hold. */
    code = api->memory(card->handle, &v1);
    note(card, code, true);
    if (code == NVML_OK && is_total(v1.total)) {
        memory->total_bytes = known((double)v1.total);
        memory->free_bytes = v1.free <= v1.total ? known((double)v1.free) : READING_NONE;
    }
    return code;
}

void nvml_driver_memory(struct nvml_card *card, struct nvml_memory *ret_memory)
{
    struct nvml_memory memory = {READING_NONE, READING_NONE, READING_NONE, READING_NONE, false};
    int code = ask_memory(card, &memory);
    bool withheld = memory.total_bytes.state != READING_KNOWN &&
                    (code == NVML_OK || code == NVML_NOT_SUPPORTED);
    memory.unified = withheld && is_unified(card);
    *ret_memory = memory;
}
