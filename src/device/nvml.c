/* What is asked of a driver, as spica's side sees it: each question is one request to the process
 * that may call it (device/nvml_ask.c), and one reply. Without a reply every reading is unknown and
 * the card has a fault, as when the driver itself says that it is lost. */
#include "device/nvml.h"

#include "device/nvml_driver.h"
#include "device/proc.h"

#include <string.h>

bool nvml_open(const char *library, struct nvml **ret_nvml, struct err *err)
{
    struct nvml *nvml = calloc(1, sizeof *nvml);
    if (!nvml)
        abort();
    nvml->fd = -1;
    if (!nvml_ask_start(nvml, library, err)) {
        nvml_close(nvml);
        return false;
    }
    *ret_nvml = nvml;
    return true;
}

struct nvml *nvml_close(struct nvml *nvml)
{
    if (nvml)
        nvml_ask_stop(nvml);
    free(nvml);
    return NULL;
}

struct nvml_cost nvml_cost(const struct nvml *nvml)
{
    return nvml->cost;
}

/* Asks about a card, whose fault it keeps. */
static bool ask(struct nvml_card *card, struct nvml_request *request, struct nvml_reply *ret_reply,
                void **ret_bytes)
{
    request->card = *card;
    bool told = nvml_ask(card->nvml, request, ret_reply, ret_bytes);
    card->fault = told ? ret_reply->fault : card->nvml->lost;
    return told;
}

/* The same for an answer of one size: false leaves *ret_answer as it is. */
static bool ask_one(struct nvml_card *card, enum nvml_op op, void *ret_answer, size_t size)
{
    struct nvml_request request = {.op = op};
    struct nvml_reply reply;
    AUTO(free) void *bytes = NULL;
    bool told = ask(card, &request, &reply, &bytes) && reply.bytes == size;
    if (told)
        memcpy(ret_answer, bytes, size);
    return told;
}

void nvml_versions(struct nvml *nvml, char *ret_text, size_t size)
{
    char versions[256] = "driver unknown";
    struct nvml_card none = {.nvml = nvml};
    (void)!ask_one(&none, NVML_ASK_VERSIONS, versions, sizeof versions);
    snprintf(ret_text, size, "%s", versions);
}

int nvml_count(struct nvml *nvml)
{
    struct nvml_card none = {.nvml = nvml};
    struct nvml_request request = {.op = NVML_ASK_COUNT};
    struct nvml_reply reply;
    AUTO(free) void *bytes = NULL;
    return ask(&none, &request, &reply, &bytes) ? reply.told : -1;
}

static size_t ask_cards(const struct nvml_card *card, enum nvml_op op, struct nvml_card *ret_cards,
                        size_t max)
{
    struct nvml_card of = *card;
    struct nvml_request request = {.op = op};
    struct nvml_reply reply;
    AUTO(free) void *bytes = NULL;
    if (!ask(&of, &request, &reply, &bytes))
        return 0;
    size_t count = reply.bytes / sizeof *ret_cards;
    count = count < max ? count : max;
    for (size_t i = 0; i < count; i++) {
        ret_cards[i] = ((const struct nvml_card *)bytes)[i];
        ret_cards[i].nvml = card->nvml; /* there it was the asker's */
    }
    return count;
}

size_t nvml_cards(struct nvml *nvml, struct nvml_card *ret_cards, size_t max)
{
    return ask_cards(&(struct nvml_card){.nvml = nvml}, NVML_ASK_CARDS, ret_cards, max);
}

size_t nvml_instances(const struct nvml_card *card, struct nvml_card *ret_cards, size_t max)
{
    return ask_cards(card, NVML_ASK_INSTANCES, ret_cards, max);
}

bool nvml_find(struct nvml *nvml, const char *name, struct nvml_card *ret_card, struct err *err)
{
    struct nvml_card card = {.nvml = nvml};
    struct nvml_request request = {.op = NVML_ASK_FIND};
    struct nvml_reply reply;
    AUTO(free) void *bytes = NULL;
    if (strlen(name) >= sizeof request.name)
        return err_set(err, ERR_MISSING, "there is no such GPU here: no name is so long");
    memcpy(request.name, name, strlen(name) + 1);
    if (!ask(&card, &request, &reply, &bytes)) {
        char fault[160];
        nvml_fault_text(&card, fault, sizeof fault);
        return err_set(err, ERR_STOPPED, "%s", fault);
    }
    if (!reply.told) {
        if (err && reply.bytes == sizeof *err)
            memcpy(err, bytes, sizeof *err);
        return false;
    }
    memcpy(&card, bytes, sizeof card);
    card.nvml = nvml;
    *ret_card = card;
    return true;
}

void nvml_read_identity(const struct nvml_card *card, struct nvml_identity *ret_identity)
{
    struct nvml_card of = *card;
    struct nvml_identity identity = {.index = -1};
    (void)!ask_one(&of, NVML_ASK_IDENTITY, &identity, sizeof identity);
    *ret_identity = identity;
}

void nvml_read_memory(struct nvml_card *card, const char *proc_root, struct nvml_memory *ret_memory)
{
    struct nvml_memory memory = {READING_NONE, READING_NONE, READING_NONE, READING_NONE, false};
    struct proc_memory machine;
    struct err ignored = ERR_INIT;
    (void)!ask_one(card, NVML_ASK_MEMORY, &memory, sizeof memory);
    memory.unified = memory.unified && proc_read_memory(proc_root, &machine, &ignored);
    if (memory.unified) {
        memory.total_bytes = machine.total_bytes;
        memory.free_bytes = machine.available_bytes;
    }
    *ret_memory = memory;
}

bool nvml_read_lists(struct nvml_card *card, unsigned kinds, struct nvml_process **ret_list,
                     size_t *ret_count)
{
    struct nvml_request request = {.op = NVML_ASK_LISTS, .kinds = kinds};
    struct nvml_reply reply;
    AUTO(free) void *bytes = NULL;
    if (!ask(card, &request, &reply, &bytes) || !reply.told)
        return false;
    *ret_count = reply.bytes / sizeof **ret_list;
    *ret_list = TAKE(bytes);
    return true;
}

bool nvml_read_processes(struct nvml_card *card, struct nvml_process **ret_list, size_t *ret_count)
{
    return nvml_read_lists(card, NVML_COMPUTE | NVML_GRAPHICS | NVML_MPS, ret_list, ret_count);
}

enum nvml_samples nvml_read_activity(struct nvml_card *card, int64_t since_wall_us,
                                     struct nvml_activity **ret_list, size_t *ret_count)
{
    struct nvml_request request = {.op = NVML_ASK_ACTIVITY, .since_wall_us = since_wall_us};
    struct nvml_reply reply;
    AUTO(free) void *bytes = NULL;
    *ret_list = NULL;
    *ret_count = 0;
    if (!ask(card, &request, &reply, &bytes))
        return NVML_SAMPLES_REFUSED;
    *ret_count = reply.bytes / sizeof **ret_list;
    *ret_list = TAKE(bytes);
    return (enum nvml_samples)reply.told;
}

void nvml_read_state(struct nvml_card *card, struct nvml_state *ret_state)
{
    const struct reading none = READING_NONE;
    struct nvml_state state = {none, none, none, none, none, none, none,
                               none, none, none, none, none, none};
    (void)!ask_one(card, NVML_ASK_STATE, &state, sizeof state);
    *ret_state = state;
}

struct reading nvml_read_busy(struct nvml_card *card)
{
    struct reading busy = READING_NONE;
    (void)!ask_one(card, NVML_ASK_BUSY, &busy, sizeof busy);
    return busy;
}
