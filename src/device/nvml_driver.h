/* Inside device/nvml*.c only: the driver as the process sees it that calls it, and that process. */
#pragma once

#include "device/nvml.h"
#include "device/nvml_abi.h"

/* In spica itself `api` is empty: nothing of the driver is loaded there. */
struct nvml {
    struct nvml_api api;
    void *library; /* of dlopen */
    char place[256];
    int fd; /* to the other process; -1 once it is given up */
    /* In spica: */
    pid_t asker;       /* 0 once reaped */
    int lost;          /* NVML_NO_ANSWER or NVML_ASKER_ENDED, 0 while it answers */
    char end[32];      /* how it ended: "SIGSEGV" */
    int64_t within_ns; /* for a call */
    struct nvml_cost cost;
};

/* ---- what may hang: called by the asker alone; as their namesakes in nvml.h ---- */

NODISCARD bool nvml_driver_open(struct nvml *nvml, const char *library, struct err *err);
void nvml_driver_versions(const struct nvml *nvml, char *ret_text, size_t size);
int nvml_driver_count(const struct nvml *nvml);
size_t nvml_driver_cards(struct nvml *nvml, struct nvml_card *ret_cards, size_t max);
size_t nvml_driver_instances(const struct nvml_card *card, struct nvml_card *ret_cards, size_t max);
NODISCARD bool nvml_driver_find(struct nvml *nvml, const char *name, struct nvml_card *ret_card,
                                struct err *err);
void nvml_driver_identity(const struct nvml_card *card, struct nvml_identity *ret_identity);
/* `unified`: memory is the machine's, and not filled in. */
void nvml_driver_memory(struct nvml_card *card, struct nvml_memory *ret_memory);
bool nvml_driver_lists(struct nvml_card *card, unsigned kinds, struct nvml_process **ret_list,
                       size_t *ret_count);
enum nvml_samples nvml_driver_activity(struct nvml_card *card, int64_t since_wall_us,
                                       struct nvml_activity **ret_list, size_t *ret_count);
void nvml_driver_state(struct nvml_card *card, struct nvml_state *ret_state);
struct reading nvml_driver_busy(struct nvml_card *card);

/* ---- the asker ---- */

enum nvml_op {
    NVML_ASK_VERSIONS,
    NVML_ASK_COUNT,
    NVML_ASK_CARDS,
    NVML_ASK_INSTANCES,
    NVML_ASK_FIND,
    NVML_ASK_IDENTITY,
    NVML_ASK_MEMORY,
    NVML_ASK_LISTS,
    NVML_ASK_ACTIVITY,
    NVML_ASK_STATE,
    NVML_ASK_BUSY,
};
enum { NVML_NAME_SIZE = 128 };
struct nvml_request {
    enum nvml_op op;
    struct nvml_card card; /* whom it is about */
    unsigned kinds;
    int64_t since_wall_us;
    char name[NVML_NAME_SIZE];
};
struct nvml_reply {
    int told;  /* the call's own result */
    int fault; /* of the card */
    struct nvml_cost cost;
    size_t bytes; /* that follow */
};

/* Forks it, and waits until the driver has started. */
NODISCARD bool nvml_ask_start(struct nvml *nvml, const char *library, struct err *err);
/* Ends it, or leaves it where nothing ends it. */
void nvml_ask_stop(struct nvml *nvml);
/* False when there is no answer any more: nvml->lost says why. *ret_bytes: what came with the
 * reply; the caller frees it; NULL when there was nothing. */
NODISCARD bool nvml_ask(struct nvml *nvml, const struct nvml_request *request,
                        struct nvml_reply *ret_reply, void **ret_bytes);
