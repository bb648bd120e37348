/* The table of servers.
 *
 * Order: exact names first, loose patterns last, since the first entry that fits is taken: a
 * "faster-whisper-server" must not be any "*whisper*.py". Facts are from the programs' own help and
 * sources. Rejected: asking every open port what it is; a doctor that knocks on all doors of a
 * machine is a scanner.
 *
 * Invariant: an entry says nothing about processes; that is doctor/find.c's. */
#include "doctor/kinds.h"

#include "base/auto.h"

#define WISHES(table) .wishes = (table), .wish_count = ARRAY_LEN(table)
#define WORDS(...)                                                                                 \
    (const char *const[])                                                                          \
    {                                                                                              \
        __VA_ARGS__, NULL                                                                          \
    }

/* Offered by most Python servers. */
static const struct doctor_wish device_flag[] = {
    {.flags = "--device -d", .value = "cpu*", .asks = ASKS_CPU},
    {.flags = "--device -d", .value = "cuda*", .asks = ASKS_GPU},
    {.flags = "--device -d", .value = "gpu*", .asks = ASKS_GPU},
    {.environment = "DEVICE", .value = "cpu", .asks = ASKS_CPU},
    {.environment = "ASR_DEVICE", .value = "cpu", .asks = ASKS_CPU},
    {.environment = "ASR_DEVICE", .value = "cuda", .asks = ASKS_GPU},
};

static const struct doctor_wish vllm_wishes[] = {
    {.flags = "--device", .value = "cpu", .asks = ASKS_CPU},
    {.environment = "VLLM_TARGET_DEVICE", .value = "cpu", .asks = ASKS_CPU},
};

static const struct doctor_wish llama_wishes[] = {
    {.flags = "--device -dev", .value = "none", .asks = ASKS_CPU},
    {.flags = "-ngl --gpu-layers --n-gpu-layers --n_gpu_layers", .value = "0", .asks = ASKS_CPU},
    {.flags = "-ngl --gpu-layers --n-gpu-layers --n_gpu_layers",
     .value = "auto",
     .asks = ASKS_NOTHING},
    {.flags = "-ngl --gpu-layers --n-gpu-layers --n_gpu_layers", .value = "*", .asks = ASKS_GPU},
    {.environment = "LLAMA_ARG_N_GPU_LAYERS", .value = "0", .asks = ASKS_CPU},
    {.environment = "LLAMA_ARG_N_GPU_LAYERS", .value = "[1-9]*", .asks = ASKS_GPU},
    {.environment = "LLAMA_ARG_DEVICE", .value = "none", .asks = ASKS_CPU},
};

static const struct doctor_wish whisper_cpp_wishes[] = {
    {.flags = "-ng --no-gpu", .asks = ASKS_CPU},
};

static const struct doctor_wish speaches_wishes[] = {
    {.environment = "WHISPER__INFERENCE_DEVICE", .value = "cpu", .asks = ASKS_CPU},
    {.environment = "WHISPER__INFERENCE_DEVICE", .value = "cuda", .asks = ASKS_GPU},
    {.flags = "--device", .value = "cpu", .asks = ASKS_CPU},
    {.flags = "--device", .value = "cuda*", .asks = ASKS_GPU},
};

static const struct doctor_wish ollama_wishes[] = {
    {.environment = "OLLAMA_LLM_LIBRARY", .value = "cpu*", .asks = ASKS_CPU},
};

static const struct doctor_wish wyoming_wishes[] = {
    {.flags = "--device", .value = "cuda*", .asks = ASKS_GPU},
    {.flags = "--device", .value = "auto", .asks = ASKS_NOTHING},
    {.asks = ASKS_CPU}, /* its default */
};

const struct doctor_kind doctor_kinds[] = {
    {.name = "vLLM",
     .words = WORDS("vllm", "vllm.entrypoints.openai.api_server", "vllm.entrypoints.api_server",
                    "vllm.entrypoints.cli.main"),
     .engine = "vllm",
     .role = ROLE_LLM,
     .protocol = "openai-chat",
     .port_flags = "--port",
     .port = 8000,
     .model_flags = "--served-model-name --model",
     .detail_flags = "--gpu-memory-utilization",
     .detail_word = "share",
     WISHES(vllm_wishes),
     .health = "/health",
     .models = "/v1/models",
     .gpu_build = "install vLLM's CUDA wheels (pip install vllm), not its CPU build"},
    {.name = "llama-server",
     .words = WORDS("llama-server", "llama_cpp.server"),
     .engine = "llama-server",
     .role = ROLE_LLM,
     .protocol = "openai-chat",
     .port_flags = "--port",
     .port_variable = "LLAMA_ARG_PORT",
     .port = 8080,
     .model_flags = "-m --model -hf --hf-repo",
     .model_variable = "LLAMA_ARG_MODEL",
     .detail_flags = "-c --ctx-size",
     .detail_word = "context",
     WISHES(llama_wishes),
     .health = "/health",
     .models = "/v1/models",
     .gpu_build = "build llama.cpp with -DGGML_CUDA=ON, or install a package that was"},
    {.name = "whisper-server",
     .words = WORDS("whisper-server", "whisper-cpp-server"),
     .engine = "whisper-server",
     .role = ROLE_STT,
     .protocol = "openai-transcriptions",
     .port_flags = "--port",
     .port = 8080,
     .model_flags = "-m --model",
     WISHES(whisper_cpp_wishes),
     .health = "/health",
     .gpu_build = "build whisper.cpp with -DGGML_CUDA=1, or install a package that was"},
    {.name = "faster-whisper-server",
     .words = WORDS("faster-whisper-server", "faster_whisper_server*", "speaches", "speaches.main"),
     .lazy = true,
     .engine = "faster-whisper-server",
     .role = ROLE_STT,
     .protocol = "openai-transcriptions",
     .port_flags = "--port",
     .port_variable = "UVICORN_PORT",
     .port = 8000,
     .model_flags = "--model",
     .model_variable = "WHISPER__MODEL",
     WISHES(speaches_wishes),
     .health = "/health",
     .models = "/v1/models",
     .gpu_build = "install CTranslate2's CUDA wheel (pip install ctranslate2), or its CUDA image"},
    {.name = "wyoming-faster-whisper",
     .words = WORDS("wyoming-faster-whisper", "wyoming_faster_whisper*"),
     .role = ROLE_OTHER,
     .port_flags = "--uri",
     .port = 10300,
     .model_flags = "--model",
     WISHES(wyoming_wishes),
     .gpu_build = "install CTranslate2's CUDA wheel (pip install ctranslate2)"},
    {.name = "Ollama",
     .words = WORDS("ollama"),
     .subcommand = "serve",
     .lazy = true,
     .role = ROLE_OTHER,
     .port_flags = "--port",
     .port_variable = "OLLAMA_HOST",
     .port = 11434,
     WISHES(ollama_wishes),
     .health = "/api/version",
     .loaded = "/api/ps",
     .gpu_build = "install Ollama with its CUDA libraries (lib/ollama/cuda_*)"},
    {.name = "Triton",
     .words = WORDS("tritonserver"),
     .lazy = true, /* each model says for itself where it runs */
     .role = ROLE_OTHER,
     .port_flags = "--http-port",
     .port = 8000,
     .model_flags = "--model-repository --model-store",
     .health = "/v2/health/ready",
     .gpu_build = "use Triton's image with GPU backends"},
    {.name = "Whisper server",
     .words = WORDS("*whisper*server*", "*whisper*webservice*", "*whisper*api*", "*whisper*.py"),
     .must_listen = true,
     .role = ROLE_STT,
     .protocol = "openai-transcriptions",
     .port_flags = "--port -p",
     .model_flags = "--model --model_name -m",
     .model_variable = "ASR_MODEL",
     WISHES(device_flag),
     .health = "/health",
     .gpu_build = "install PyTorch with CUDA (pip install torch from PyTorch's own index)"},
};
const size_t doctor_kind_count = ARRAY_LEN(doctor_kinds);
