/* A card of 79.6 GiB with a neighbour on it. Memory follows from the settings: the llm takes its
 * share, Whisper what its model needs, so that free memory adds up in every trial. */
#include "sample_gpu.h"

#include <math.h>

static const double GIB = 1073741824.0;
static const double CARD_GIB = 79.6, NEIGHBOUR_GIB = 22.0;

const char sample_gpu_study[] =
    "study: voice\n"
    "device: gpu0\n"
    "neighbours: [{unit: ollama.service}]\n"
    "services:\n"
    "  stt:\n"
    "    role: stt\n"
    "    command: [/bin/stt, \"{model}\", \"{visible}\", \"{port}\"]\n"
    "    protocol: openai-transcriptions\n"
    "    on: gpu\n"
    "    knobs:\n"
    "      model: [base, tiny.en]\n"
    "      visible: {values: {first: \"0\", emptied: \"\"}}\n"
    "  llm:\n"
    "    role: llm\n"
    "    command: [/bin/llm, \"{gpu_memory_utilization}\", \"{port}\"]\n"
    "    protocol: openai-chat\n"
    "    on: gpu\n"
    "    answers: unchecked\n"
    "    knobs:\n"
    "      gpu_memory_utilization: {values: [0.2, 0.3, 0.5, 0.8, 0.9], memory: share}\n"
    "load:\n"
    "  stt: {corpus: speech, concurrency: 1}\n"
    "  llm: {prompts: prompts.jsonl, rate: 2/s, arrivals: poisson}\n"
    "measure: {warmup: 4s, window: 30s, repeats: 4}\n"
    "goal:\n"
    "  optimise:\n"
    "    stt.latency.p95: {good: 50ms, bad: 2s, weight: 2}\n"
    "    llm.ttft.p95: {good: 50ms, bad: 2s}\n"
    "    stt.wer: {good: 2%, bad: 40%}\n"
    "  require: [\"stt.errors == 0\", \"stt.latency.p95 < 1500ms\"]\n"
    "baseline: {stt.model: base, stt.visible: first, llm.gpu_memory_utilization: 0.5}\n"
    "search: {strategy: grid, trials: 24, finalists: 2}\n"
    "seed: 7\n";

const char sample_gpu_contention[] =
    "{\"candidate\": \"stt.model=base\", \"device\": \"gpu0\", \"copies\": 10, \"window_s\": 20,"
    " \"windows\": [], \"services\": [{\"service\": \"stt\", \"copies\": 10, \"why_no_more\": "
    "null},"
    " {\"service\": \"llm\", \"copies\": 1, \"why_no_more\": \"llm~2: oom_start: asked 39.8 GiB, "
    "12.1 GiB free\"}], \"metrics\": [{\"service\": \"stt\", \"metric\": \"latency\", \"stat\": "
    "\"p50\", \"alone\": {\"value\": 0.041, \"low\": 0.04, \"high\": 0.042}, \"crowded\": "
    "{\"value\":"
    " 0.9, \"low\": 0.8, \"high\": 1.0}, \"ratio\": {\"value\": 22, \"low\": 19, \"high\": 25}},"
    " {\"service\": \"llm\", \"metric\": \"ttft\", \"stat\": \"p95\", \"alone\": {\"value\": null,"
    " \"low\": null, \"high\": null}, \"crowded\": {\"value\": null, \"low\": null, \"high\": "
    "null},"
    " \"ratio\": {\"value\": null, \"low\": null, \"high\": null}}]}";

double sample_gpu_memory(const struct sample_gpu_look *look, bool llm)
{
    if (llm)
        return look->share * CARD_GIB * GIB;
    return look->emptied ? 0 : (look->small ? 0.9 : 1.4) * GIB;
}

static void place(struct store_service *s, const struct sample_gpu_look *look, bool llm,
                  struct arena *arena)
{
    bool lost = look->emptied && !llm;
    s->device = "gpu0";
    s->engine = llm ? "vllm" : NULL;
    s->environment = lost ? "{\"CUDA_VISIBLE_DEVICES\":\"\"}"
                          : "{\"CUDA_VISIBLE_DEVICES\":\"GPU-11\",\"CUDA_DEVICE_ORDER\":"
                            "\"PCI_BUS_ID\"}";
    s->host_memory_bytes = (llm ? 3.1 : 0.7) * GIB;
    if (lost) {
        s->placement = "cpu";
        s->placement_evidence = "its process is not listed on gpu0 (1 other is); the driver saw no "
                                "SM use by it during the probe request; CPU time 1.9 of 2.0 s";
    } else if (look->measured) {
        s->placement = "gpu";
        s->placement_evidence = arena_printf(
            arena,
            "its process is listed on gpu0, holding %.1f GiB; it used up to %d %% of the SMs "
            "during the probe request; CPU time 20 of 96 ms",
            sample_gpu_memory(look, llm) / GIB, llm ? 71 : 34);
    }
}

static void add(struct store_trial *t, struct store_reading *list, struct store_reading reading)
{
    reading.device = "gpu0";
    reading.source = isnan(reading.value) ? NULL : "NVML";
    list[t->reading_count++] = reading;
}

static void add_card(struct store_trial *t, struct store_reading *list,
                     const struct sample_gpu_look *look)
{
    double free_before = (CARD_GIB - NEIGHBOUR_GIB) * GIB;
    double used = sample_gpu_memory(look, false) + sample_gpu_memory(look, true);
    add(t, list, (struct store_reading){"before", NULL, NULL, "free", free_before, NULL, NULL});
    add(t, list,
        (struct store_reading){"before", NULL, NULL, "neighbours", NEIGHBOUR_GIB * GIB, NULL,
                               NULL});
    add(t, list, (struct store_reading){"before", NULL, NULL, "strangers", 0, NULL, NULL});
    if (t->number % 2)
        add(t, list,
            (struct store_reading){"before", NULL, NULL, "notes", NAN, NULL,
                                   "MPS is on: one client's fatal fault ends every client"});
    if (look->measured) {
        double free_idle = free_before - used + 0.2 * GIB;
        bool hot = t->number % 3 == 0;
        const struct store_reading readings[] = {
            {"start", NULL, NULL, "free", free_idle, NULL, NULL},
            {"measure", NULL, NULL, "temperature", 55 + (double)(t->number % 4), NULL, NULL},
            {"measure", NULL, NULL, "power", 310, NULL, NULL},
            {"measure", NULL, NULL, "power_limit", 700, NULL, NULL},
            {"measure", NULL, NULL, "sm_clock", 1.755e9, NULL, NULL},
            {"measure", NULL, NULL, "memory_clock", 2.619e9, NULL, NULL},
            {"measure", NULL, NULL, "throttle", hot ? 4 : 0, NULL, hot ? "power cap" : ""},
            {"measure", NULL, NULL, "ecc_uncorrected", NAN, NULL, NULL},
            {"measure", NULL, NULL, "busy mean", 0.61, NULL, NULL},
            {"measure", NULL, NULL, "free, least", free_before - used, NULL, NULL},
        };
        for (size_t i = 0; i < sizeof readings / sizeof *readings; i++)
            add(t, list, readings[i]);
    }
    add(t, list, (struct store_reading){"after", NULL, NULL, "free", free_before, NULL, NULL});
}

void sample_gpu_dress(struct store_trial *t, struct store_service services[2],
                      const struct sample_gpu_look *look, struct arena *arena)
{
    static const char *const names[] = {"CUDA_VISIBLE_DEVICES", "CUDA_DEVICE_ORDER"};
    struct store_reading *list = arena_array(arena, 32, sizeof *list);
    t->reading_count = 0;
    t->readings = list;
    add_card(t, list, look);
    for (size_t i = 0; i < 2; i++) {
        place(&services[i], look, i == 1, arena);
        for (size_t k = 0; services[i].placement && k < 2; k++)
            add(t, list,
                (struct store_reading){"probe", services[i].name, NULL, names[k], NAN, NULL,
                                       k == 1                    ? "PCI_BUS_ID"
                                       : look->emptied && i == 0 ? ""
                                                                 : "GPU-11"});
    }
    if (look->llm_since) {
        services[1].started_in_trial = look->llm_since;
        services[1].ready_s = services[1].first_request_s = NAN;
        t->cold = false;
    }
}
