/* What the driver says of its cards, and whose the processes on them are.
 *
 * The devices of a study (device/device.h) were not used: they refuse a card that no study can
 * have (prohibited, cut up, lost), and such cards are what a doctor is called for. The same
 * readings and the same joining of process numbers are used below them.
 *
 * Invariant: "not listed" is said only where every entry of the list can be told from here, and
 * where an empty list agrees with the memory in use; else it is not known. */
#include "doctor/cards.h"

#include "base/clock.h"
#include "base/text.h"
#include "device/gpu_tree.h"
#include "device/kernel_log.h"

#include <math.h>
#include <string.h>

#define SAMPLES_NS (10 * NS_PER_S)
static const double idle_bytes = 64 << 20; /* a card that nobody uses may show some MiB */

static int service_of(const struct doctor_report *report, pid_t pid)
{
    for (size_t i = 0; i < report->service_count; i++)
        for (size_t m = 0; m < report->services[i].member_count; m++)
            if (report->services[i].members[m] == pid)
                return (int)i;
    return -1;
}

static int compare_holders(const void *a, const void *b)
{
    double l = ((const struct doctor_holder *)a)->bytes;
    double r = ((const struct doctor_holder *)b)->bytes;
    if (isnan(l) || isnan(r)) /* unknown first: it may be anything */
        return isnan(r) - isnan(l);
    return (r > l) - (r < l);
}

static void fill_shares(struct doctor_card *card, struct nvml_card *nvml)
{
    AUTO(free) struct nvml_activity *samples = NULL;
    size_t count = 0;
    if (nvml_read_activity(nvml, clock_now_wall_us() - SAMPLES_NS / NS_PER_US, &samples, &count) ==
        NVML_SAMPLES_REFUSED)
        return;
    for (size_t i = 0; i < card->holder_count; i++) {
        struct doctor_holder *holder = &card->holders[i];
        holder->sm_ratio = 0;
        for (size_t s = 0; s < count; s++)
            if (samples[s].pid == holder->pid && samples[s].sm_ratio > holder->sm_ratio)
                holder->sm_ratio = samples[s].sm_ratio;
    }
}

/* "VLLM::EngineCore" below neither its server nor a script that uses vLLM: its server was killed.
 */
static bool is_orphan(const char *root, const struct proc_stat *stat, int service)
{
    static const char *const parents[] = {"VLLM", "vllm", "python", "pt_main", "ray"};
    struct proc_stat parent;
    if (service >= 0 || !text_starts_with(stat->comm, "VLLM::") ||
        !proc_read_stat(root, stat->ppid, &parent))
        return false;
    for (size_t i = 0; i < ARRAY_LEN(parents); i++)
        if (text_starts_with(parent.comm, parents[i]))
            return false;
    return true;
}

/* The service's figures on this card, from its members' entries. */
static void charge(struct doctor_report *report, size_t card, const struct doctor_holder *holder)
{
    struct doctor_service *service = &report->services[holder->service];
    if (service->listed[card] != SEEN_YES)
        service->card_bytes[card] = 0;
    service->listed[card] = SEEN_YES;
    service->card_bytes[card] += holder->bytes; /* unknown stays unknown */
}

static void read_holders(struct doctor_report *report, size_t index, struct nvml_card *nvml,
                         struct gpu_join *join)
{
    struct doctor_card *card = &report->cards[index];
    AUTO(free) struct nvml_process *list = NULL;
    size_t count = 0, hidden = 0;
    if (!nvml_read_processes(nvml, &list, &count))
        return;
    for (size_t i = 0; i < count; i++) {
        struct doctor_holder holder = {.pid = list[i].pid,
                                       .bytes = reading_value(list[i].memory_bytes),
                                       .sm_ratio = NAN,
                                       .service = -1};
        struct proc_stat stat;
        card->mps |= (list[i].kinds & NVML_MPS) != 0;
        if (gpu_tree_find(join, list[i].pid, &stat)) {
            memcpy(holder.comm, stat.comm, sizeof holder.comm);
            device_owner_read(join->proc_root, stat.pid, &holder.owner);
            holder.service = service_of(report, stat.pid);
            holder.orphan = is_orphan(join->proc_root, &stat, holder.service);
            card->mps |= text_starts_with(stat.comm, "nvidia-cuda-mps");
        } else {
            hidden++;
        }
        if (holder.service >= 0)
            charge(report, index, &holder);
        if (card->holder_count < DOCTOR_HOLDERS_MAX)
            card->holders[card->holder_count++] = holder;
    }
    bool empty_but_used =
        count == 0 && !(reading_value(card->memory.used_bytes) <= idle_bytes) && join->inner;
    card->listable = hidden == 0 && !empty_but_used ? SEEN_YES : SEEN_NO;
    if (card->holder_count)
        qsort(card->holders, card->holder_count, sizeof *card->holders, compare_holders);
    fill_shares(card, nvml);
}

static void read_card(struct doctor_report *report, struct nvml_card *nvml, struct gpu_join *join,
                      bool cut_up)
{
    size_t index = report->card_count++;
    struct doctor_card *card = &report->cards[index];
    nvml_read_identity(nvml, &card->identity);
    snprintf(card->name, sizeof card->name, card->identity.instance ? "MIG" : "gpu%d",
             card->identity.index);
    nvml_read_memory(nvml, join->proc_root, &card->memory);
    nvml_read_state(nvml, &card->state);
    if (!cut_up) /* else its instances list their own */
        read_holders(report, index, nvml, join);
    nvml_fault_text(nvml, card->fault, sizeof card->fault);
    if (card->identity.pci[0])
        device_kernel_xid(card->identity.pci, card->xid, sizeof card->xid);
    for (size_t i = 0; i < report->service_count; i++) {
        struct doctor_service *service = &report->services[i];
        if (service->listed[index] != SEEN_YES && card->listable == SEEN_YES)
            service->listed[index] = SEEN_NO;
    }
}

void doctor_cards_read(const char *root, const char *library, struct doctor_report *report)
{
    AUTO(nvml_close) struct nvml *nvml = NULL;
    struct err err = ERR_INIT;
    struct nvml_card cards[NVML_CARDS_MAX], instances[NVML_CARDS_MAX];
    struct gpu_join join;
    for (size_t i = 0; i < report->service_count; i++)
        for (size_t c = 0; c < DOCTOR_CARDS_MAX; c++)
            report->services[i].card_bytes[c] = NAN;
    if (!nvml_open(library, &nvml, &err)) {
        /* What a machine without a card needs to hear is short; a broken driver's words are not. */
        bool none = text_starts_with(err.text, "no NVIDIA driver");
        snprintf(report->driver_fault, sizeof report->driver_fault, "%.*s",
                 none ? (int)strcspn(err.text, "(") - 1 : (int)sizeof report->driver_fault - 1,
                 err.text);
        report->driver_broken = err.code != ERR_MISSING;
        return;
    }
    nvml_versions(nvml, report->driver, sizeof report->driver);
    gpu_tree_join(&join, root);
    size_t count = nvml_cards(nvml, cards, ARRAY_LEN(cards));
    for (size_t i = 0; i < count && report->card_count < DOCTOR_CARDS_MAX; i++) {
        size_t parts = nvml_instances(&cards[i], instances, ARRAY_LEN(instances));
        read_card(report, &cards[i], &join, parts > 0);
        for (size_t p = 0; p < parts && report->card_count < DOCTOR_CARDS_MAX; p++)
            read_card(report, &instances[p], &join, false);
    }
    if (report->card_count == 0)
        snprintf(report->driver_fault, sizeof report->driver_fault,
                 "the NVIDIA driver is here and knows no GPU");
}
