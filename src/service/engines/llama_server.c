/* llama.cpp's llama-server.
 *
 * Almost all of it is the table. Defaults are written out where the program's own would make a
 * measurement mean something else on another machine or version: the number of slots (auto), the
 * context (the model's, which may be 100 times what is used), the prompt cache in RAM (8 GiB, so
 * the memory grows with traffic). The web page is turned off. It fetches nothing on its own: only a
 * repository flag would, and the model here is a file.
 *
 * On a GPU all layers are asked for, as a number that every version takes. That also stops fitting,
 * which changes settings silently: it touches neither layers nor context once they are given, so
 * what does not fit fails and says so. And it is made to print where it put layers and buffers,
 * which it does not by default: in b11434 about 150 lines at the start, 25 (2.5 KB) a request.
 * Older versions print that by themselves, and at this level their every step: there it is to be
 * null. */
#include "service/engines/engines.h"

static const char *const on_off_auto[] = {"on", "off", "auto", NULL};
static const char *const on_off[] = {"on", "off", NULL};
static const char *const cache_types[] = {"f32",  "f16",    "bf16", "q8_0", "q4_0",
                                          "q4_1", "iq4_nl", "q5_0", "q5_1", NULL};
static const char *const split_modes[] = {"none", "layer", "row", "tensor", NULL};
static const char *const load_modes[] = {"auto",       "none", "mmap", "mlock",
                                         "mmap+mlock", "dio",  NULL};
static const char *const numa_modes[] = {"distribute", "isolate", "numactl", NULL};

static const struct spec_option options[] = {
    {.name = "model",
     .type = OPTION_PATH,
     .flag = "--model",
     .required = true,
     .weights = true,
     .help = "GGUF file"},
    {.name = "threads",
     .type = OPTION_INT,
     .min = 1,
     .max = 1024,
     .flag = "--threads",
     .help = "threads while generating"},
    {.name = "threads_batch",
     .type = OPTION_INT,
     .min = 1,
     .max = 1024,
     .flag = "--threads-batch",
     .help = "threads while reading a prompt; as threads when left out"},
    {.name = "slots",
     .type = OPTION_INT,
     .min = 1,
     .max = 1024,
     .flag = "--parallel",
     .value = "1",
     .help = "requests worked on at the same time; they share the context"},
    {.name = "ctx_size",
     .type = OPTION_INT,
     .min = 0,
     .max = 16777216,
     .flag = "--ctx-size",
     .value = "4096",
     .memory = MEMORY_MORE,
     .help = "tokens of context of all slots together; 0: the model's own"},
    {.name = "batch",
     .type = OPTION_INT,
     .min = 1,
     .max = 1048576,
     .flag = "--batch-size",
     .help = "tokens of a prompt handed over at once"},
    {.name = "ubatch",
     .type = OPTION_INT,
     .min = 1,
     .max = 1048576,
     .flag = "--ubatch-size",
     .memory = MEMORY_MORE,
     .help = "tokens of a prompt computed at once"},
    {.name = "cache_ram",
     .type = OPTION_INT,
     .min = -1,
     .max = 1048576,
     .flag = "--cache-ram",
     .value = "0",
     .help = "MiB for prompts kept in RAM; -1: no limit"},
    {.name = "flash_attn",
     .type = OPTION_CHOICE,
     .choices = on_off_auto,
     .flag = "--flash-attn",
     .help = "flash attention"},
    {.name = "gpu_layers",
     .type = OPTION_TEXT,
     .flag = "--gpu-layers",
     .gpu_value = "999",
     .memory = MEMORY_MORE,
     .help = "layers on the GPU: a number, auto, all; more than it has is all"},
    {.name = "main_gpu",
     .type = OPTION_INT,
     .min = 0,
     .max = 63,
     .flag = "--main-gpu",
     .help = "index of the GPU among those it sees"},
    {.name = "split_mode",
     .type = OPTION_CHOICE,
     .choices = split_modes,
     .flag = "--split-mode",
     .help = "how a model is spread over several GPUs"},
    {.name = "kv_offload",
     .type = OPTION_BOOL,
     .flag_off = "--no-kv-offload",
     .flag = "--kv-offload",
     .help = "keep the cache on the GPU; its own default is true"},
    {.name = "cache_type_k",
     .type = OPTION_CHOICE,
     .choices = cache_types,
     .flag = "--cache-type-k",
     .help = "number format of the cache's keys"},
    {.name = "cache_type_v",
     .type = OPTION_CHOICE,
     .choices = cache_types,
     .flag = "--cache-type-v",
     .help = "number format of the cache's values; a quantised one needs flash_attn"},
    {.name = "fit",
     .type = OPTION_CHOICE,
     .choices = on_off,
     .flag = "--fit",
     .help = "let it change settings that were not given until they fit the device"},
    {.name = "fit_target",
     .type = OPTION_INT,
     .min = 0,
     .max = 16777216,
     .flag = "--fit-target",
     .memory = MEMORY_LESS,
     .help = "MiB of the device that fitting leaves free"},
    {.name = "fit_ctx",
     .type = OPTION_INT,
     .min = 1,
     .max = 16777216,
     .flag = "--fit-ctx",
     .help = "tokens of context that fitting does not go below"},
    {.name = "load_mode",
     .type = OPTION_CHOICE,
     .choices = load_modes,
     .flag = "--load-mode",
     .help = "how the model is read (b9000 and later)"},
    {.name = "mlock",
     .type = OPTION_BOOL,
     .flag = "--mlock",
     .help = "keep the model in RAM (older versions; now load_mode)"},
    {.name = "numa",
     .type = OPTION_CHOICE,
     .choices = numa_modes,
     .flag = "--numa",
     .help = "spread over memory nodes"},
    {.name = "poll",
     .type = OPTION_INT,
     .min = 0,
     .max = 100,
     .flag = "--poll",
     .help = "how eagerly idle threads spin, 0: they sleep"},
    {.name = "prio",
     .type = OPTION_INT,
     .min = -1,
     .max = 3,
     .flag = "--prio",
     .help = "thread priority"},
    {.name = "metrics",
     .type = OPTION_BOOL,
     .flag = "--metrics",
     .value = "true",
     .help = "serve /metrics"},
    {.name = "alias", .type = OPTION_TEXT, .flag = "--alias", .help = "model name in answers"},
    {.name = "log_level",
     .type = OPTION_INT,
     .min = 0,
     .max = 9,
     .flag = "--log-verbosity",
     .gpu_value = "4",
     .help = "4 prints devices, layers and memory; null before 2026, where it prints every step"},
};

static const struct service_signature signatures[] = {
    {"quantized V cache requires flash_attn", NULL, CAUSE_REFUSED,
     "cache_type_v: a quantised one needs --flash-attn on", "b11434"},
    {"V cache quantization requires flash_attn", NULL, CAUSE_REFUSED,
     "cache_type_v: a quantised one needs --flash-attn on", "2024"},
    {"failed to create context with model", NULL, CAUSE_GENERIC, "it could not make its context",
     "b11434"},
    {"exiting due to HTTP server error", NULL, CAUSE_GENERIC, "it could not serve", "b11434"},
    {NULL},
};

static const char *const base_argv[] = {"--host", "127.0.0.1",  "--port",
                                        "{port}", "--no-webui", NULL};
static const char *const version_argv[] = {"--version", NULL};

static const struct spec_engine spec = {
    .name = "llama-server",
    .help = "llama.cpp's server: one GGUF model, OpenAI's chat and completions",
    .role = ROLE_LLM,
    .protocol = "openai-chat",
    .program = "llama-server",
    .ready_path = "/health",
    .metrics_path = "/metrics",
    .options = options,
    .option_count = ARRAY_LEN(options),
};

static void check_weights(const char *path, struct buf *ret_problem)
{
    static const char magic[4] = {'G', 'G', 'U', 'F'};
    engine_check_magic(path, magic, sizeof magic, "GGUF", ret_problem);
}

/* "version: 0.6.0-dev (build 11434, commit 1234567)" or "version: 5172 (eb1776b1)". */
static bool version(const char *text, char *ret_version, size_t size)
{
    return engine_version_after(text, "version: ", "\n", ret_version, size);
}

const struct engine_ops engine_llama_server = {
    .spec = &spec,
    .base_argv = base_argv,
    .model_option = "alias",
    .check_weights = check_weights,
    .signatures = signatures,
    .version = version,
    .version_argv = version_argv,
};
