/* From facts to problems: each cause once, and each state that is no problem. */
#include "doctor/cause.h"
#include "doctor/process.h"

#include "check.h"

#include <math.h>

enum { VLLM = 0, LLAMA = 1, FASTER = 3, OLLAMA = 5 };

/* One card, one llama-server that answers, is readable and is on no card. */
static struct doctor_report *facts(void)
{
    struct doctor_report *report = calloc(1, sizeof *report);
    struct doctor_card *card = &report->cards[0];
    struct doctor_service *service = &report->services[0];
    report->card_count = report->service_count = 1;
    *card = (struct doctor_card){
        .name = "gpu0",
        .identity = {.uuid = "GPU-1111-22", .index = 0},
        .memory = {.free_bytes = reading_known(READING_FROM_NVML, 931.0 * 1048576)},
        .listable = SEEN_YES,
    };
    *service = (struct doctor_service){
        .kind = &doctor_kinds[LLAMA],
        .pid = 7,
        .environ = SEEN_YES,
        .maps = SEEN_YES,
        .libraries = DOCTOR_LIB_CUDA | DOCTOR_LIB_GGML_CUDA,
        .log = SEEN_YES,
        .health = 200,
        .loaded = -1,
        .listens = SEEN_YES,
        .listed = {SEEN_NO},
        .weights_bytes = NAN,
    };
    return report;
}

struct row {
    const char *name;
    void (*change)(struct doctor_report *report, struct doctor_service *service);
    enum doctor_place place;
    const char *cause, *fix; /* parts of them; NULL: no problem */
};

#define CHANGE(name) static void name(struct doctor_report *r, struct doctor_service *s)
#define UNUSED (void)r, (void)s
CHANGE(empty)
{
    UNUSED;
    s->visible_set = true;
}
CHANGE(minus)
{
    UNUSED;
    s->visible_set = true;
    snprintf(s->visible, 8, "-1");
}
CHANGE(absent)
{
    UNUSED;
    s->visible_set = true;
    snprintf(s->visible, 8, "1,0");
}
CHANGE(stranger)
{
    UNUSED;
    s->visible_set = true;
    snprintf(s->visible, 16, "GPU-9999");
}
CHANGE(brief)
{
    UNUSED;
    s->visible_set = true;
    snprintf(s->visible, 16, "GPU-11");
}
CHANGE(nodes)
{
    UNUSED;
    s->nodes = SEEN_NO;
}
CHANGE(boxed)
{
    UNUSED;
    s->nodes = SEEN_NO;
    snprintf(s->owner.container, 8, "abc");
}
CHANGE(library)
{
    UNUSED;
    s->log_cause = CAUSE_MISSING_LIBRARY;
    snprintf(s->log_line, sizeof s->log_line, "Library libcublas.so.12 is not found");
}
CHANGE(older)
{
    UNUSED;
    s->log_cause = CAUSE_MISSING_LIBRARY;
    snprintf(s->log_line, sizeof s->log_line, "CUDA driver version is insufficient");
}
CHANGE(build)
{
    UNUSED;
    s->libraries = DOCTOR_LIB_GGML;
}
CHANGE(torch)
{
    UNUSED;
    s->libraries = DOCTOR_LIB_TORCH_CPU | DOCTOR_LIB_CUDA;
}
CHANGE(beside)
{
    UNUSED;
    s->libraries = DOCTOR_LIB_GGML;
    snprintf(s->beside, 32, "libggml-cuda.so");
}
CHANGE(exclusive)
{
    UNUSED;
    r->cards[0].state.compute_mode = reading_known(READING_FROM_NVML, 3);
    r->cards[0].holder_count = 1;
    r->cards[0].holders[0] = (struct doctor_holder){.pid = 99, .service = -1};
}
CHANGE(unread)
{
    UNUSED;
    s->environ = s->maps = s->log = SEEN_NOT;
}
CHANGE(listed)
{
    UNUSED;
    s->listed[0] = SEEN_YES;
    s->visible_set = true;
}
CHANGE(listed_library)
{
    listed(r, s);
    s->visible_set = false;
    library(r, s);
}
CHANGE(unlistable)
{
    UNUSED;
    s->listed[0] = SEEN_NOT;
    s->libraries = 0;
}
CHANGE(told)
{
    UNUSED;
    s->asks = ASKS_CPU;
    s->visible_set = true;
}
CHANGE(starting)
{
    UNUSED;
    s->health = 503;
    s->libraries = 0;
}
CHANGE(lazy)
{
    UNUSED;
    s->kind = &doctor_kinds[FASTER];
    s->libraries = 0;
}
CHANGE(lazy_empty)
{
    UNUSED;
    s->kind = &doctor_kinds[FASTER];
    s->visible_set = true;
}
CHANGE(ollama_idle)
{
    UNUSED;
    s->kind = &doctor_kinds[OLLAMA];
    s->loaded = 0;
}
/* A healthy one; its memory ran out once, long ago. Before: "can't use the GPU" for ever. */
CHANGE(ollama_old_words)
{
    ollama_idle(r, s);
    s->log_cause = CAUSE_OOM;
    snprintf(s->log_line, sizeof s->log_line, "cudaMalloc failed: out of memory");
}
CHANGE(ollama_new_words)
{
    ollama_old_words(r, s);
    s->log_of_run = true;
}
CHANGE(lazy_old_library)
{
    lazy(r, s);
    library(r, s);
}
CHANGE(lazy_library)
{
    lazy_old_library(r, s);
    s->log_of_run = true;
}
CHANGE(lazy_old_driver)
{
    lazy(r, s);
    older(r, s);
}
CHANGE(unlistable_library)
{
    unlistable(r, s);
    library(r, s);
}
CHANGE(starting_library)
{
    starting(r, s);
    library(r, s);
}
CHANGE(starting_new_library)
{
    starting_library(r, s);
    s->log_of_run = true;
}
/* It says that it has a model and not where; no card lists it. Before: idle. */
CHANGE(ollama_unsaid)
{
    ollama_idle(r, s);
    s->loaded = 1;
    s->size_bytes = s->vram_bytes = NAN;
}
CHANGE(ollama_cpu)
{
    UNUSED;
    s->kind = &doctor_kinds[OLLAMA];
    s->loaded = 1;
    s->size_bytes = 100;
    s->vram_bytes = 0;
    s->libraries = 0;
}
CHANGE(ollama_part)
{
    ollama_cpu(r, s);
    s->vram_bytes = 60;
}
CHANGE(no_card)
{
    UNUSED;
    r->card_count = 0;
    s->libraries = 0;
    s->visible_set = true;
}
CHANGE(no_card_asked)
{
    no_card(r, s);
    s->asks = ASKS_GPU;
    snprintf(s->asks_by, 16, "-ngl 99");
    snprintf(r->driver_fault, 32, "no NVIDIA driver");
}
CHANGE(broken)
{
    UNUSED;
    r->card_count = 0;
    r->driver_broken = true;
    snprintf(r->driver_fault, 64, "Driver/library version mismatch");
}
CHANGE(lost)
{
    listed(r, s);
    snprintf(r->cards[0].fault, 32, "the driver lost the card");
}
CHANGE(xid)
{
    listed(r, s);
    snprintf(r->cards[0].xid, 64, "Xid 79, GPU has fallen off the bus");
}
CHANGE(mild)
{
    listed(r, s);
    snprintf(r->cards[0].xid, 64, "Xid 31, MMU fault of a program");
}
CHANGE(orphan)
{
    listed(r, s);
    r->cards[0].holder_count = 1;
    r->cards[0].holders[0] = (struct doctor_holder){.pid = 99, .service = -1, .orphan = true};
}

static const struct row rows[] = {
    {"empty", empty, PLACE_CPU, "set and empty", "CUDA_VISIBLE_DEVICES=GPU-1111-22"},
    {"-1", minus, PLACE_CPU, "hides every card", "unset"},
    {"a card that is not there", absent, PLACE_CPU, "1,0 names a card that is not here", "unset"},
    {"another card's UUID", stranger, PLACE_CPU, "GPU-9999 names a card", "unset"},
    {"an abbreviated UUID is right", brief, PLACE_CPU, "not found out", "device=cuda"},
    {"hidden files", nodes, PLACE_CPU, "device files are hidden", "PrivateDevices="},
    {"container", boxed, PLACE_CPU, "container was started without", "--gpus all"},
    {"library", library, PLACE_CPU, "libcublas.so.12", "cuBLAS"},
    {"old driver", older, PLACE_CPU, "do not fit", "update the driver"},
    {"build", build, PLACE_CPU, "a CPU build", "GGML_CUDA"},
    {"build of PyTorch", torch, PLACE_CPU, "CPU build of PyTorch", "PyTorch with CUDA"},
    {"part not loaded", beside, PLACE_CPU, "libggml-cuda.so", "ldd"},
    {"exclusive", exclusive, PLACE_CPU, "pid 99 has it", "-c DEFAULT"},
    {"unreadable", unread, PLACE_CPU, "could not be read", "as root"},
    {"on the card", listed, PLACE_GPU, NULL, NULL},
    {"on the card without its library", listed_library, PLACE_GPU, "libcublas.so.12", "cuBLAS"},
    {"the list can't be told", unlistable, PLACE_UNKNOWN, NULL, NULL},
    {"as told", told, PLACE_CPU, NULL, NULL},
    {"starting", starting, PLACE_STARTING, NULL, NULL},
    {"loads when asked", lazy, PLACE_IDLE, NULL, NULL},
    {"loads when asked, and could not", lazy_empty, PLACE_IDLE, "set and empty", "unset"},
    {"nothing loaded", ollama_idle, PLACE_IDLE, NULL, NULL},
    {"nothing loaded, old words", ollama_old_words, PLACE_IDLE, NULL, NULL},
    {"nothing loaded, words that say that", ollama_new_words, PLACE_IDLE, NULL, NULL},
    {"loads when asked, old words", lazy_old_library, PLACE_IDLE, NULL, NULL},
    {"loads when asked, old words of the driver", lazy_old_driver, PLACE_IDLE, NULL, NULL},
    {"loads when asked, words of this run", lazy_library, PLACE_IDLE, "libcublas.so.12", "cuBLAS"},
    {"can't be told, old words", unlistable_library, PLACE_UNKNOWN, NULL, NULL},
    {"starting, old words", starting_library, PLACE_STARTING, NULL, NULL},
    {"starting, words of this run", starting_new_library, PLACE_STARTING, "libcublas.so.12",
     "cuBLAS"},
    {"loaded, and on no card", ollama_unsaid, PLACE_CPU, "not found out", "tell it"},
    {"loaded on the CPU", ollama_cpu, PLACE_CPU, "not found out", "tell it"},
    {"partly", ollama_part, PLACE_PARTIAL, "too little free memory", "smaller context"},
    {"no GPU here", no_card, PLACE_CPU, NULL, NULL},
    {"no GPU here, asked for one", no_card_asked, PLACE_CPU, "no NVIDIA driver", "-ngl 99"},
    {"driver broken", broken, PLACE_UNKNOWN, "version mismatch", "reboot"},
    {"card lost", lost, PLACE_GPU, "lost the card", "reboot"},
    {"Xid of the card", xid, PLACE_GPU, "Xid 79", "reboot"},
    {"Xid of a program", mild, PLACE_GPU, NULL, NULL},
    {"orphan", orphan, PLACE_GPU, "server is gone", "kill 99"},
};

static void test_causes(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct doctor_report *report = facts();
        struct doctor_service *service = &report->services[0];
        rows[i].change(report, service);
        service->place = doctor_cause_place(report, service);
        doctor_cause_judge(report);
        CHECK_ROW(i, rows[i].name, service->place == rows[i].place);
        CHECK_ROW(i, rows[i].name, report->problem_count == (rows[i].cause != NULL));
        if (rows[i].cause && !strstr(report->problems[0].cause, rows[i].cause))
            CHECK_ROW_TEXT(i, rows[i].name, report->problems[0].cause, rows[i].cause);
        if (rows[i].cause && !strstr(report->problems[0].fix, rows[i].fix))
            CHECK_ROW_TEXT(i, rows[i].name, report->problems[0].fix, rows[i].fix);
        free(report);
    }
}

/* What is left, and what must give way. */
static void test_room(void **state)
{
    (void)state;
    struct doctor_report *report = facts();
    struct doctor_service *service = &report->services[0];
    service->kind = &doctor_kinds[2];
    snprintf(service->model, sizeof service->model, "ggml-base.bin");
    empty(report, service);
    service->place = PLACE_CPU;
    doctor_cause_judge(report);
    assert_string_equal(report->problems[0].after,
                        "If fixed, whisper-server needs about 1,000 MiB and 931 are free on gpu0: "
                        "lower another service's share first (spica run finds how far).");
    report->cards[0].memory.free_bytes = reading_known(READING_FROM_NVML, 3000.0 * 1048576);
    doctor_cause_judge(report);
    assert_non_null(strstr(report->problems[0].after, "about 2,000 MiB would be left"));
    report->cards[0].memory.free_bytes = READING_NONE;
    doctor_cause_judge(report);
    assert_string_equal(report->problems[0].after, "");
    free(report);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_causes),
        cmocka_unit_test(test_room),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
