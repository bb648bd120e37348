/* Facts to problems: where each service computes, whether that is wrong, what is wrong with the
 * cards, and what would fit if it were put right. Pure.
 *
 * A service that was told to stay on the CPU does as it was told; one that loads its model when
 * asked is not blamed for an empty card; one that is not ready yet is on its way. A machine without
 * a GPU has nothing wrong with it unless a service was told to use one. Rejected: calling a service
 * healthy because its port answers: that is how it fell to the CPU unseen.
 *
 * Invariant: no problem is made of something that could not be read. */
#include "doctor/cause.h"

#include "base/text.h"

#include <math.h>
#include <string.h>

static const double MIB = 1048576;

const char *const doctor_seen_names[] = {"unknown", "no", "yes"};
const char *const doctor_place_names[PLACE_COUNT_] = {
    [PLACE_UNKNOWN] = "unknown", [PLACE_IDLE] = "idle",       [PLACE_STARTING] = "starting",
    [PLACE_CPU] = "cpu",         [PLACE_PARTIAL] = "partial", [PLACE_GPU] = "gpu",
};

enum doctor_place doctor_cause_place(const struct doctor_report *report,
                                     const struct doctor_service *service)
{
    bool elsewhere = report->card_count > 0, told = elsewhere;
    if (service->loaded == 0)
        return PLACE_IDLE;
    if (service->loaded > 0 && !isnan(service->vram_bytes) && service->vram_bytes <= 0)
        return PLACE_CPU;
    if (service->loaded > 0 && service->vram_bytes < 0.98 * service->size_bytes)
        return PLACE_PARTIAL;
    if (service->loaded > 0 && !isnan(service->vram_bytes))
        return PLACE_GPU;
    for (size_t i = 0; i < report->card_count; i++) {
        if (service->listed[i] == SEEN_YES)
            return PLACE_GPU;
        /* A card that is cut up lists nobody itself. */
        told &=
            service->listed[i] == SEEN_NO || reading_value(report->cards[i].state.mig_enabled) == 1;
    }
    if (report->driver_broken)
        return PLACE_UNKNOWN;
    if (!elsewhere || service->asks == ASKS_CPU)
        return PLACE_CPU;
    if (!told)
        return PLACE_UNKNOWN;
    if (service->kind->lazy && service->loaded <= 0) /* one that is loaded computes somewhere */
        return PLACE_IDLE;
    if (service->health == 0 || service->health == 503 || service->listens == SEEN_NO)
        return PLACE_STARTING;
    return PLACE_CPU;
}

static const struct {
    const char *name;
    double mib; /* PyTorch's, by the model card of openai-whisper */
} whisper_needs[] = {
    {"tiny", 1000},   {"base", 1000},  {"small", 2000},
    {"medium", 5000}, {"turbo", 6000}, {"large", 10000},
};

double doctor_cause_need_bytes(const struct doctor_service *service)
{
    if (service->kind->role == ROLE_LLM && !isnan(service->weights_bytes))
        return service->weights_bytes * 1.1 + 600 * MIB; /* context and buffers */
    for (size_t i = 0; i < ARRAY_LEN(whisper_needs); i++)
        if (service->kind->role != ROLE_LLM && strstr(service->model, whisper_needs[i].name))
            return whisper_needs[i].mib * MIB;
    return NAN;
}

/* What would be left on the card with the most free memory. */
static void say_room(const struct doctor_report *report, const struct doctor_service *service,
                     struct doctor_problem *problem)
{
    const struct doctor_card *best = NULL;
    double need = doctor_cause_need_bytes(service);
    for (size_t i = 0; i < report->card_count; i++) {
        double free_bytes = reading_value(report->cards[i].memory.free_bytes);
        if (!isnan(free_bytes) && (!best || free_bytes > reading_value(best->memory.free_bytes)))
            best = &report->cards[i];
    }
    if (!best || isnan(need))
        return;
    double left = reading_value(best->memory.free_bytes) - need;
    AUTO(buf_done) struct buf text = BUF_INIT(sizeof problem->after - 1);
    buf_addf(&text, "If fixed, %s needs about ", service->kind->name);
    text_add_grouped(&text, (int64_t)(need / MIB));
    buf_add(&text, " MiB and ");
    text_add_grouped(&text, (int64_t)(reading_value(best->memory.free_bytes) / MIB));
    buf_addf(&text, " are free on %s: ", best->name);
    if (left < 0) {
        buf_add(&text, "lower another service's share first (spica run finds how far).");
    } else {
        buf_add(&text, "about ");
        text_add_grouped(&text, (int64_t)(left / MIB));
        buf_add(&text, " MiB would be left.");
    }
    snprintf(problem->after, sizeof problem->after, "%s", buf_text(&text));
}

/* Over the maximum the last one is written again: what is said stays true, and the count high. */
static void add(struct doctor_report *report, const struct doctor_problem *found)
{
    size_t at = report->problem_count < DOCTOR_PROBLEMS_MAX ? report->problem_count++
                                                            : DOCTOR_PROBLEMS_MAX - 1;
    report->problems[at] = *found;
}

static void judge_fallback(struct doctor_report *report, int index)
{
    const struct doctor_service *service = &report->services[index];
    struct doctor_problem found = {.service = index, .card = -1};
    if (!doctor_cause_find(report, service, &found))
        return;
    snprintf(found.what, sizeof found.what, "%s",
             service->place == PLACE_CPU ? "runs on the CPU" : "can't use the GPU");
    say_room(report, service, &found);
    add(report, &found);
}

/* On the card, and every request fails all the same: CTranslate2 looks for cuBLAS with the first
 * audio. */
static void judge_library(struct doctor_report *report, int index)
{
    struct doctor_problem found = {.service = index, .card = -1};
    if (!doctor_cause_library(&report->services[index], &found))
        return;
    snprintf(found.what, sizeof found.what, "holds memory on the GPU and can't compute there");
    add(report, &found);
}

static void judge_service(struct doctor_report *report, int index)
{
    const struct doctor_service *service = &report->services[index];
    if (service->place == PLACE_GPU)
        judge_library(report, index);
    if (service->asks == ASKS_CPU || service->place == PLACE_GPU || report->driver_broken)
        return;
    if (report->card_count == 0) {
        if (service->asks != ASKS_GPU)
            return;
        struct doctor_problem found = {.service = index, .card = -1};
        snprintf(found.what, sizeof found.what, "runs on the CPU, asked for the GPU (%.80s)",
                 service->asks_by);
        snprintf(found.cause, sizeof found.cause, "%.300s", report->driver_fault);
        snprintf(found.fix, sizeof found.fix, "install NVIDIA's driver, or start it without %.80s",
                 service->asks_by);
        add(report, &found);
        return;
    }
    if (service->place != PLACE_PARTIAL) {
        judge_fallback(report, index);
        return;
    }
    struct doctor_problem found = {.service = index, .card = -1};
    snprintf(found.what, sizeof found.what, "runs partly on the CPU: %.0f of %.0f MiB on the GPU",
             service->vram_bytes / MIB, service->size_bytes / MIB);
    snprintf(found.cause, sizeof found.cause,
             "the card had too little free memory when the model was loaded");
    snprintf(
        found.fix, sizeof found.fix,
        "free memory on the card or ask for a smaller context, then load it again (ollama stop "
        "%.120s)",
        service->model);
    add(report, &found);
}

/* Errors of the card itself, not of a program that used it wrongly. */
static bool is_fatal_xid(const char *xid)
{
    static const int fatal[] = {48, 74, 79, 95, 119};
    int number = 0;
    if (sscanf(xid, "Xid %3d", &number) != 1)
        return false;
    for (size_t i = 0; i < ARRAY_LEN(fatal); i++)
        if (fatal[i] == number)
            return true;
    return false;
}

static void judge_card(struct doctor_report *report, int index)
{
    enum { PROHIBITED = 2 };
    const struct doctor_card *card = &report->cards[index];
    bool broken = reading_value(card->state.ecc_uncorrected) > 0;
    if (card->fault[0] || is_fatal_xid(card->xid) || broken) {
        struct doctor_problem found = {.service = -1, .card = index};
        snprintf(found.what, sizeof found.what, "%s", card->fault[0] ? "is lost" : "has failed");
        if (card->fault[0])
            snprintf(found.cause, sizeof found.cause, "%.160s%s%.140s", card->fault,
                     card->xid[0] ? "; " : "", card->xid);
        else if (broken)
            snprintf(found.cause, sizeof found.cause,
                     "%.0f uncorrected memory errors since the driver was loaded",
                     reading_value(card->state.ecc_uncorrected));
        else
            snprintf(found.cause, sizeof found.cause, "the kernel logged %.160s", card->xid);
        snprintf(found.fix, sizeof found.fix,
                 "reboot; if it happens again, have power, cooling and the card itself looked at");
        add(report, &found);
    }
    if (!card->identity.instance && reading_value(card->state.compute_mode) == PROHIBITED) {
        struct doctor_problem found = {.service = -1, .card = index};
        snprintf(found.what, sizeof found.what, "may not be used");
        snprintf(found.cause, sizeof found.cause, "its compute mode is Prohibited");
        snprintf(found.fix, sizeof found.fix, "nvidia-smi -i %d -c DEFAULT (as root)",
                 card->identity.index);
        add(report, &found);
    }
    for (size_t h = 0; h < card->holder_count; h++) {
        if (!card->holders[h].orphan)
            continue;
        struct doctor_problem found = {.service = -1, .card = index};
        snprintf(found.what, sizeof found.what, "memory is held by pid %d, a worker of vLLM",
                 (int)card->holders[h].pid);
        snprintf(found.cause, sizeof found.cause,
                 "its server is gone: killed, it left this process behind");
        snprintf(found.fix, sizeof found.fix, "if nobody uses it: kill %d",
                 (int)card->holders[h].pid);
        add(report, &found);
    }
}

void doctor_cause_judge(struct doctor_report *report)
{
    report->problem_count = 0;
    if (report->driver_broken) {
        struct doctor_problem found = {.service = -1, .card = -1};
        snprintf(found.what, sizeof found.what, "the NVIDIA driver can't be used");
        snprintf(found.cause, sizeof found.cause, "%.300s", report->driver_fault);
        snprintf(found.fix, sizeof found.fix,
                 "reboot, or load the module that fits the library; running services go on");
        add(report, &found);
    }
    for (size_t i = 0; i < report->card_count; i++)
        judge_card(report, (int)i);
    for (size_t i = 0; i < report->service_count; i++)
        judge_service(report, (int)i);
}
