/* Ollama: `ollama serve`, all of whose settings are environment variables.
 *
 * It loads a model when it is first asked for, so it is ready long before it can answer: the probe
 * pays for the load, and a request may name another model and throw this one out. It never forgets
 * a loaded model here (keep_alive -1), since a reload in the middle of a window would be taken for
 * a slow answer. It is spoken to in its own words (ollama-chat): only there it says that it had to
 * load, which openai-chat can't tell from a slow answer. It deletes pieces of models that nothing
 * refers to when it starts; a trial does not, the folder may be production's.
 *
 * Where a model lies is told by /api/ps (size_vram below size) and by its runner's log. */
#include "service/engines/engines.h"

static const char *const cache_types[] = {"f16", "q8_0", "q4_0", NULL};

static const struct spec_option options[] = {
    {.name = "model",
     .type = OPTION_TEXT,
     .required = true,
     .help = "name of a model that is there (qwen2.5:7b)"},
    {.name = "models",
     .type = OPTION_PATH,
     .env = "OLLAMA_MODELS",
     .help = "folder of the models; left out: ~/.ollama/models"},
    {.name = "num_parallel",
     .type = OPTION_INT,
     .min = 1,
     .max = 1024,
     .env = "OLLAMA_NUM_PARALLEL",
     .value = "1",
     .memory = MEMORY_MORE,
     .help = "requests worked on at the same time, each with a context of its own"},
    {.name = "context_length",
     .type = OPTION_INT,
     .min = 1,
     .max = 16777216,
     .env = "OLLAMA_CONTEXT_LENGTH",
     .value = "4096",
     .memory = MEMORY_MORE,
     .help = "tokens of context of one request"},
    {.name = "max_loaded_models",
     .type = OPTION_INT,
     .min = 1,
     .max = 64,
     .env = "OLLAMA_MAX_LOADED_MODELS",
     .value = "1",
     .help = "models in memory at the same time"},
    {.name = "kv_cache_type",
     .type = OPTION_CHOICE,
     .choices = cache_types,
     .env = "OLLAMA_KV_CACHE_TYPE",
     .help = "number format of the cache; a quantised one needs flash_attention"},
    {.name = "flash_attention",
     .type = OPTION_BOOL,
     .env = "OLLAMA_FLASH_ATTENTION",
     .help = "flash attention; left out: its own choice"},
    {.name = "gpu_overhead",
     .type = OPTION_INT,
     .min = 0,
     .max = 1e15,
     .env = "OLLAMA_GPU_OVERHEAD",
     .memory = MEMORY_LESS,
     .help = "bytes of each GPU left to others"},
    {.name = "max_queue",
     .type = OPTION_INT,
     .min = 1,
     .max = 1048576,
     .env = "OLLAMA_MAX_QUEUE",
     .help = "waiting requests; more are refused"},
    {.name = "keep_alive",
     .type = OPTION_TEXT,
     .env = "OLLAMA_KEEP_ALIVE",
     .value = "-1",
     .help = "how long an idle model stays (10m); -1: for good"},
    {.name = "load_timeout",
     .type = OPTION_TEXT,
     .env = "OLLAMA_LOAD_TIMEOUT",
     .help = "how long a load may stand still (10m)"},
};

/* Its runner's words, which are llama.cpp's, and its own stand in signature_common.c: they reach
 * its clients too. */
static const struct service_signature signatures[] = {
    {NULL},
};

static const char *const base_argv[] = {"serve", NULL};
static const char *const base_env[] = {"OLLAMA_HOST", "127.0.0.1:{port}", "OLLAMA_NOPRUNE", "1",
                                       NULL};
static const char *const version_argv[] = {"--version", NULL};

static const struct spec_engine spec = {
    .name = "ollama",
    .help = "Ollama: models by name, loaded when asked for",
    .role = ROLE_LLM,
    .protocol = "ollama-chat",
    .program = "ollama",
    .ready_path = "/api/version",
    .options = options,
    .option_count = ARRAY_LEN(options),
};

/* "Warning: could not connect to a running Ollama instance", then "Warning: client version is
 * 0.12.3"; with one running: "ollama version is 0.12.3". */
static bool version(const char *text, char *ret_version, size_t size)
{
    return engine_version_after(text, "client version is ", " \r\n", ret_version, size) ||
           engine_version_after(text, "ollama version is ", " \r\n", ret_version, size);
}

const struct engine_ops engine_ollama = {
    .spec = &spec,
    .base_argv = base_argv,
    .base_env = base_env,
    .model_option = "model",
    .ready_models = "/v1/models",
    .placement_path = "/api/ps",
    .signatures = signatures,
    .version = version,
    .version_argv = version_argv,
};
