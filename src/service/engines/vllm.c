/* vLLM's OpenAI server, 0.9 to 0.28.
 *
 * Two ways to start it, the same flags: `vllm serve MODEL`, and where only a Python is at hand
 * `python3 -m vllm.entrypoints.openai.api_server --model MODEL`. `vllm serve --model` would do for
 * both, but is announced to go.
 *
 * The share of the card is written out: its default has changed between versions (0.90, 0.92), and
 * it decides what fits beside it. It is a share of the WHOLE card, whatever others hold; sizes go
 * by what is free while it starts, so neighbours must stand still meanwhile. kv_cache_memory_bytes
 * overrides the sizing, not the check at the start: set both.
 *
 * The front answers /health while its engine may be dead; that it lists its model says as little.
 * Only a request that is answered counts, and that is the trial's probe. */
#include "service/engines/engines.h"

#include "base/clock.h"
#include "base/file.h"

#include <string.h>
#include <sys/stat.h>

static const char *const dtypes[] = {"auto",  "half",    "float16", "bfloat16",
                                     "float", "float32", NULL};

static const struct spec_option options[] = {
    {.name = "model",
     .type = OPTION_TEXT,
     .required = true,
     .weights = true,
     .help = "folder with config.json, GGUF file, or a name known to the hub (org/name)"},
    {.name = "served_model_name",
     .type = OPTION_TEXT,
     .flag = "--served-model-name",
     .value = "llm",
     .help = "the model's name in requests"},
    {.name = "tokenizer",
     .type = OPTION_TEXT,
     .flag = "--tokenizer",
     .help = "name or folder; left out: the model's"},
    {.name = "gpu_memory_utilization",
     .type = OPTION_REAL,
     .min = 0.01,
     .max = 1,
     .flag = "--gpu-memory-utilization",
     .value = "0.9",
     .memory = MEMORY_SHARE,
     .help = "share of the whole card, whatever its neighbours hold"},
    {.name = "kv_cache_memory_bytes",
     .type = OPTION_INT,
     .min = 1 << 20,
     .max = 1e15,
     .flag = "--kv-cache-memory-bytes",
     .memory = MEMORY_SHARE,
     .help = "bytes of cache instead of what the share leaves (0.10.2 and later)"},
    {.name = "max_model_len",
     .type = OPTION_INT,
     .min = 1,
     .max = 16777216,
     .flag = "--max-model-len",
     .memory = MEMORY_MORE, /* of its share */
     .help = "tokens of context of one request; left out: the model's own"},
    {.name = "max_num_seqs",
     .type = OPTION_INT,
     .min = 1,
     .max = 65536,
     .flag = "--max-num-seqs",
     .memory = MEMORY_MORE,
     .help = "requests worked on at the same time"},
    {.name = "max_num_batched_tokens",
     .type = OPTION_INT,
     .min = 1,
     .max = 16777216,
     .flag = "--max-num-batched-tokens",
     .memory = MEMORY_MORE,
     .help = "tokens of one step"},
    {.name = "block_size",
     .type = OPTION_INT,
     .min = 1,
     .max = 1024,
     .flag = "--block-size",
     .help = "tokens of a block of the cache"},
    {.name = "kv_cache_dtype",
     .type = OPTION_TEXT,
     .flag = "--kv-cache-dtype",
     .help = "number format of the cache (auto, fp8)"},
    {.name = "dtype",
     .type = OPTION_CHOICE,
     .choices = dtypes,
     .flag = "--dtype",
     .help = "number format of weights and computation"},
    {.name = "quantization",
     .type = OPTION_TEXT,
     .flag = "--quantization",
     .help = "how the weights are quantised (awq, gptq, fp8); left out: as the model says"},
    {.name = "load_format",
     .type = OPTION_TEXT,
     .flag = "--load-format",
     .help = "how weights are read; dummy: random ones, for answers: unchecked"},
    {.name = "enforce_eager",
     .type = OPTION_BOOL,
     .flag = "--enforce-eager",
     .help = "no CUDA graphs: a quicker start, less memory, slower answers"},
    {.name = "enable_prefix_caching",
     .type = OPTION_BOOL,
     .flag = "--enable-prefix-caching",
     .flag_off = "--no-enable-prefix-caching",
     .help = "reuse what prompts begin with"},
    {.name = "enable_chunked_prefill",
     .type = OPTION_BOOL,
     .flag = "--enable-chunked-prefill",
     .flag_off = "--no-enable-chunked-prefill",
     .help = "read long prompts in pieces between answers"},
    {.name = "tensor_parallel_size",
     .type = OPTION_INT,
     .min = 1,
     .max = 64,
     .flag = "--tensor-parallel-size",
     .help = "GPUs that one model is spread over"},
    {.name = "cpu_offload_gb",
     .type = OPTION_REAL,
     .min = 0,
     .max = 65536,
     .flag = "--cpu-offload-gb",
     .help = "GiB of weights kept in RAM"},
    {.name = "swap_space",
     .type = OPTION_REAL,
     .min = 0,
     .max = 65536,
     .flag = "--swap-space",
     .help = "GiB of RAM for the cache (older versions)"},
    {.name = "seed",
     .type = OPTION_INT,
     .min = 0,
     .max = 4294967295,
     .flag = "--seed",
     .help = "of random numbers"},
    {.name = "trust_remote_code",
     .type = OPTION_BOOL,
     .flag = "--trust-remote-code",
     .help = "run code that comes with the model"},
};

/* What vLLM shares with programs built on it stands in signature_common.c. */
static const struct service_signature signatures[] = {
    {"is larger than the number of available GPUs", NULL, CAUSE_REFUSED,
     "tensor_parallel_size: more GPUs than it sees", "0.9 to 0.28"},
    {"must be greater than or equal to max_num_seqs", NULL, CAUSE_REFUSED,
     "max_num_batched_tokens: less than max_num_seqs", "0.9 to 0.28"},
    {"is smaller than max_model_len", NULL, CAUSE_REFUSED,
     "max_num_batched_tokens: less than max_model_len", "0.9 to 0.28"},
    {"is only supported on GPUs with compute capability", NULL, CAUSE_REFUSED,
     "dtype: this GPU can't do it", "0.9 to 0.28"},
    {"is not supported for the current GPU", NULL, CAUSE_REFUSED,
     "quantization: this GPU can't do it", "0.9 to 0.28"},
    {"invalid literal for int() with base 10: '", "IG-", CAUSE_REFUSED,
     "it can't be given a part of a card (MIG)", "0.9 to 0.28"},
    {NULL},
};

#define WHERE "--host", "127.0.0.1", "--port", "{port}"
static const char *const base_argv[] = {"serve", "=model", WHERE, NULL};
static const char *const python_argv[] = {
    "-m", "vllm.entrypoints.openai.api_server", "--model", "=model", WHERE, NULL};
static const struct engine_form forms[] = {{"python", python_argv}, {NULL, NULL}};

/* It reports home otherwise; and Python would keep its last words in a buffer when it is killed. */
static const char *const base_env[] = {
    "VLLM_NO_USAGE_STATS", "1", "DO_NOT_TRACK", "1", "PYTHONUNBUFFERED", "1", NULL};

static const struct spec_engine spec = {
    .name = "vllm",
    .help = "vLLM: one model with continuous batching, OpenAI's chat and completions",
    .role = ROLE_LLM,
    .protocol = "openai-chat",
    .program = "vllm",
    .ready_path = "/health",
    .metrics_path = "/metrics",
    .start_s = 60,
    .ready_within_ns = 600 * NS_PER_S, /* a minute at best; the first start compiles for minutes */
    .options = options,
    .option_count = ARRAY_LEN(options),
};

/* A folder needs a description of the model; with load_format dummy it holds no weights. */
static void check_weights(const char *path, struct buf *ret_problem)
{
    static const char *const files[] = {"config.json", "params.json"};
    struct stat at;
    if (stat(path, &at) == 0 && S_ISREG(at.st_mode)) {
        engine_check_magic(path, "GGUF", 4, "GGUF", ret_problem);
        return;
    }
    for (size_t i = 0; i < ARRAY_LEN(files); i++) {
        AUTO(free) char *file = file_join(path, files[i]);
        if (stat(file, &at) == 0 && S_ISREG(at.st_mode) && at.st_size > 0 &&
            access(file, R_OK) == 0)
            return;
    }
    buf_addf(ret_problem, "%s holds no config.json that can be read", path);
}

static bool cached(const char *name)
{
    return engine_hub_holds(name, "config.json");
}

static const char **fetch_argv(struct arena *arena, const char *name, const char **program)
{
    static const char code[] = "import sys; from huggingface_hub import snapshot_download; "
                               "print(snapshot_download(sys.argv[1]))";
    return engine_python_argv(arena, code, name, program);
}

const struct engine_ops engine_vllm = {
    .spec = &spec,
    .base_argv = base_argv,
    .forms = forms,
    .base_env = base_env,
    .model_option = "served_model_name",
    .ready_models = "/v1/models",
    .wants_number = true, /* until 0.28 a UUID ends in "invalid literal for int()" */
    .check_weights = check_weights,
    .fetch_argv = fetch_argv,
    .cached = cached,
    .signatures = signatures,
    .python_package = "vllm",
};
