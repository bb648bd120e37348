/* What programs of all kinds print when they fail. Texts of the frameworks (PyTorch, CTranslate2,
 * ggml, vLLM, Ollama) stand here and not with one engine, because a `command` service may be any of
 * them. Taken from the programs' sources, from public reports and from recorded runs.
 *
 * A text must be long enough to be in no healthy log: "out of memory" alone is in warnings that
 * harm nobody, "cudaMalloc failed: out of memory" is not. Order matters only within one line. */
#include "service/signature_common.h"

#include <ctype.h>

/* "offloaded N/M layers to GPU": partly when 0 < N < M. */
static bool read_count(const char **at, const char *end, long *ret_count)
{
    long count = 0;
    const char *start = *at;
    while (*at < end && isdigit((unsigned char)**at) && count < 1000000)
        count = count * 10 + (*(*at)++ - '0');
    *ret_count = count;
    return *at > start;
}

static bool offload_read(const char *after, size_t len, long *ret_on, long *ret_of)
{
    const char *end = after + len;
    if (!read_count(&after, end, ret_on) || after == end || *after++ != '/')
        return false;
    return read_count(&after, end, ret_of);
}

static bool offload_is_partial(const char *after, size_t len)
{
    long on = 0, of = 0;
    return offload_read(after, len, &on, &of) && on > 0 && on < of;
}

static bool offload_is_none(const char *after, size_t len)
{
    long on = 0, of = 0;
    return offload_read(after, len, &on, &of) && on == 0 && of > 0;
}

enum { LAYERS_SPAN = 512 }; /* the two stand in one short line */

/* "layers.model=63 ... layers.offload=49" (Ollama); `after` follows "layers.model=". */
static bool layers_read(const char *after, size_t len, long *ret_on, long *ret_of)
{
    static const char word[] = "layers.offload=";
    const char *end = after + (len < LAYERS_SPAN ? len : LAYERS_SPAN);
    if (!read_count(&after, end, ret_of))
        return false;
    for (; after + sizeof word - 1 < end; after++) {
        size_t same = 0;
        while (word[same] && after[same] == word[same])
            same++;
        if (!word[same]) {
            after += same;
            return read_count(&after, end, ret_on);
        }
    }
    return false;
}

static bool layers_are_partial(const char *after, size_t len)
{
    long on = 0, of = 0;
    return layers_read(after, len, &on, &of) && on > 0 && on < of;
}

static bool layers_are_none(const char *after, size_t len)
{
    long on = 0, of = 0;
    return layers_read(after, len, &on, &of) && on == 0 && of > 0;
}

/* A flag was named at all: "error: argument" is also plain English. */
static bool flag_follows(const char *after, size_t len)
{
    size_t at = 0;
    while (at < len &&
           (after[at] == ' ' || after[at] == '"' || after[at] == '\'' || after[at] == ':'))
        at++;
    return at < len && after[at] == '-';
}

const struct service_signature signature_common[] = {
    /* The kernel. */
    {"killed by the OOM killer", NULL, CAUSE_OOM_HOST, "the kernel killed it for memory",
     "systemd"},
    {"Failed with result 'oom-kill'", NULL, CAUSE_OOM_HOST, "the kernel killed it for memory",
     "systemd"},
    {"out of memory: Killed process", NULL, CAUSE_OOM_HOST, "the kernel killed it for memory",
     "Linux"},
    {"runner process has terminated: signal: killed", NULL, CAUSE_OOM_HOST,
     "its model runner was killed", "Ollama"},

    /* vLLM. */
    {"Error in memory profiling. Initial free memory", NULL, CAUSE_START_RACE,
     "a neighbour gave memory back while it sized itself", "vLLM"},
    {"Free memory on device", "less than desired GPU memory utilization", CAUSE_OOM,
     "less memory is free than its share of the device", "vLLM 0.9 and later"},
    {"No available memory for the cache blocks", NULL, CAUSE_OOM,
     "its share holds the weights but no cache", "vLLM"},
    {"larger than the available KV cache memory", NULL, CAUSE_OOM,
     "the context does not fit into the cache", "vLLM 0.15"},
    {"larger than the maximum number of tokens that can be stored in KV cache", NULL, CAUSE_OOM,
     "the context does not fit into the cache", "vLLM 2024"},
    {"occurred when warming up sampler", NULL, CAUSE_OOM, "memory ran out while warming up",
     "vLLM 0.8 and later"},
    {"is greater than the derived max_model_len", NULL, CAUSE_REFUSED,
     "the context is longer than the model's", "vLLM 0.24"},

    /* Device memory. */
    {"OutOfMemoryError", NULL, CAUSE_OOM, "device memory ran out", "PyTorch"},
    {"CUDA out of memory", NULL, CAUSE_OOM, "device memory ran out", "PyTorch"},
    {"CUDA error: out of memory", NULL, CAUSE_OOM, "device memory ran out", "PyTorch, ggml"},
    {"cudaMalloc failed: out of memory", NULL, CAUSE_OOM, "device memory ran out", "ggml"},
    {"failed to allocate CUDA", NULL, CAUSE_OOM, "device memory ran out", "ggml"},
    {"CUDA failed with error out of memory", NULL, CAUSE_OOM, "device memory ran out",
     "CTranslate2"},
    {"CUBLAS_STATUS_ALLOC_FAILED", NULL, CAUSE_OOM, "device memory ran out", "cuBLAS"},
    {"CUDA_ERROR_OUT_OF_MEMORY", NULL, CAUSE_OOM, "device memory ran out", "CUDA"},
    {"reported out-of-memory during startup", NULL, CAUSE_OOM, "its model runner ran out of memory",
     "Ollama"},
    {"runtime OOM detected", NULL, CAUSE_OOM, "its model runner ran out of memory", "Ollama"},

    /* Our memory. */
    {"failed to allocate buffer for kv cache", NULL, CAUSE_OOM, "no memory for the context",
     "llama.cpp b11434"},
    {"ggml_backend_cpu_buffer_type_alloc_buffer: failed to allocate", NULL, CAUSE_OOM,
     "memory ran out", "ggml"},
    {"failed to allocate CPU buffer", NULL, CAUSE_OOM, "memory ran out", "ggml"},
    {"mkl_malloc: failed to allocate memory", NULL, CAUSE_OOM, "memory ran out", "CTranslate2"},
    {"can't allocate memory: you tried to allocate", NULL, CAUSE_OOM, "memory ran out", "PyTorch"},
    {"std::bad_alloc", NULL, CAUSE_OOM, "memory ran out", "C++"},
    {"MemoryError", NULL, CAUSE_OOM, "memory ran out", "Python"},
    {"Cannot allocate memory", NULL, CAUSE_OOM, "memory ran out", "errno ENOMEM"},
    {"fatal error: runtime: out of memory", NULL, CAUSE_OOM, "memory ran out", "Go"},

    /* Ports. */
    {"Address already in use", NULL, CAUSE_PORT_BUSY, "another program holds its port",
     "errno EADDRINUSE"},
    {"error while attempting to bind on address", NULL, CAUSE_PORT_BUSY,
     "it could not bind its port", "Python asyncio"},
    {"couldn't bind HTTP server socket", NULL, CAUSE_PORT_BUSY, "it could not bind its port",
     "llama.cpp"},
    {"couldn't bind to server socket", NULL, CAUSE_PORT_BUSY, "it could not bind its port",
     "whisper.cpp"},
    {"EADDRINUSE", NULL, CAUSE_PORT_BUSY, "another program holds its port", "Node"},

    /* Disk. */
    {"No space left on device", NULL, CAUSE_DISK_FULL, "the disk is full", "errno ENOSPC"},
    {"Disk quota exceeded", NULL, CAUSE_DISK_FULL, "the disk quota is used up", "errno EDQUOT"},

    /* Refused arguments; the flag follows the text. */
    {"error while handling argument", NULL, CAUSE_REFUSED, "it refused a value", "llama.cpp"},
    {"error: invalid argument:", NULL, CAUSE_REFUSED, "it does not know a flag", "llama.cpp",
     flag_follows},
    {"error: unknown argument:", NULL, CAUSE_REFUSED, "it does not know a flag", "whisper.cpp",
     flag_follows},
    {"unrecognized arguments:", NULL, CAUSE_REFUSED, "it does not know a flag", "Python argparse"},
    {"error: argument", NULL, CAUSE_REFUSED, "it refused a value", "Python argparse", flag_follows},
    {"error: ambiguous option:", NULL, CAUSE_REFUSED, "it does not know a flag", "Python argparse"},
    {"error: the following arguments are required:", NULL, CAUSE_REFUSED, "an argument is missing",
     "Python argparse"},
    {"unrecognized option", NULL, CAUSE_REFUSED, "it does not know a flag", "getopt_long",
     flag_follows},
    {"no such option:", NULL, CAUSE_REFUSED, "it does not know a flag", "click", flag_follows},
    {"flag provided but not defined:", NULL, CAUSE_REFUSED, "it does not know a flag", "Go",
     flag_follows},
    {"error: unexpected argument", NULL, CAUSE_REFUSED, "it does not know a flag", "clap",
     flag_follows},

    /* Libraries and drivers. */
    {"error while loading shared libraries", NULL, CAUSE_MISSING_LIBRARY, "a library is missing",
     "ld.so"},
    {"cannot open shared object file", NULL, CAUSE_MISSING_LIBRARY, "a library is missing",
     "ld.so"},
    {"Unable to load any of {lib", NULL, CAUSE_MISSING_LIBRARY, "a library is missing",
     "CTranslate2 4.5"},
    {"Cannot load symbol cudnn", NULL, CAUSE_MISSING_LIBRARY, "cuDNN is missing",
     "CTranslate2 4.5"},
    {"Could not load library lib", NULL, CAUSE_MISSING_LIBRARY, "a library is missing",
     "CTranslate2 3"},
    {"is not found or cannot be loaded", "library lib", CAUSE_MISSING_LIBRARY,
     "a library is missing", "CTranslate2"},
    {"CUDA driver version is insufficient", NULL, CAUSE_MISSING_LIBRARY,
     "no CUDA driver that it can use", "CUDA"},
    {"ModuleNotFoundError: No module named", NULL, CAUSE_MISSING_LIBRARY,
     "a Python module is missing", "Python"},

    /* The device itself. */
    {"GPU has fallen off the bus", NULL, CAUSE_DEVICE_LOST, "the GPU is lost", "NVRM Xid 79"},
    {"GPU is lost", NULL, CAUSE_DEVICE_LOST, "the GPU is lost", "NVML"},
    {"uncorrectable ECC error", NULL, CAUSE_DEVICE_LOST, "the GPU's memory is broken", "CUDA"},
    {"CUDA-capable device(s) is/are busy or unavailable", NULL, CAUSE_DEVICE_LOST,
     "the device refuses", "CUDA, under MPS"},
    {"Driver/library version mismatch", NULL, CAUSE_DEVICE_LOST, "the driver was replaced under it",
     "NVML"},
    {"failed to get device context 800", NULL, CAUSE_DEVICE_LOST, "the device refuses", "Ollama"},

    /* Weights. */
    {"failed to open GGUF file", "No such file", CAUSE_MISSING_WEIGHTS,
     "the model file is not there", "llama.cpp"},
    {"failed to open GGUF file", NULL, CAUSE_BAD_WEIGHTS, "the model file can't be opened",
     "llama.cpp"},
    {"Unable to open file 'model.bin'", NULL, CAUSE_MISSING_WEIGHTS,
     "the model folder holds no model.bin", "CTranslate2"},
    {"LocalEntryNotFoundError", NULL, CAUSE_MISSING_WEIGHTS, "the model is not on this machine",
     "huggingface_hub"},
    {"Cannot find an appropriate cached snapshot folder", NULL, CAUSE_MISSING_WEIGHTS,
     "the model is not on this machine", "huggingface_hub"},
    {"Repo id must be in the form", NULL, CAUSE_MISSING_WEIGHTS, "the model folder is not there",
     "huggingface_hub"},
    {"is not a valid model identifier", NULL, CAUSE_MISSING_WEIGHTS, "the model is not there",
     "transformers"},
    {"invalid magic characters", NULL, CAUSE_BAD_WEIGHTS, "the model file is of another kind",
     "ggml"},
    {"model is corrupted or incomplete", NULL, CAUSE_BAD_WEIGHTS,
     "the model file is cut off or broken", "llama.cpp"},
    {"invalid model data (bad magic)", NULL, CAUSE_BAD_WEIGHTS, "the model file is of another kind",
     "whisper.cpp"},
    {"not all tensors loaded from model file", NULL, CAUSE_BAD_WEIGHTS, "the model file is cut off",
     "whisper.cpp"},
    {"has an invalid payload size", NULL, CAUSE_BAD_WEIGHTS, "the model file is cut off or broken",
     "CTranslate2"},
    {"Error while deserializing header", NULL, CAUSE_BAD_WEIGHTS,
     "the model file is cut off or broken", "safetensors"},

    /* Where it runs. */
    {"ggml_cuda_init: failed to initialize CUDA", NULL, CAUSE_CPU_FALLBACK, "it found no GPU",
     "ggml"},
    {"no usable GPU found", NULL, CAUSE_CPU_FALLBACK, "it found no GPU", "llama.cpp"},
    {"whisper_backend_init_gpu: no GPU found", NULL, CAUSE_CPU_FALLBACK, "it found no GPU",
     "whisper.cpp"},
    {"inference compute", "library=cpu", CAUSE_CPU_FALLBACK, "it computes on the CPU", "Ollama"},
    {"Failed to create CUDAExecutionProvider", NULL, CAUSE_CPU_FALLBACK, "it computes on the CPU",
     "ONNX Runtime"},
    {"'CUDAExecutionProvider' is not in available provider names", NULL, CAUSE_CPU_FALLBACK,
     "it computes on the CPU", "ONNX Runtime"},
    {"offloaded ", "layers to GPU", CAUSE_CPU_FALLBACK, "no layer is on the GPU", "llama.cpp",
     offload_is_none},
    {"offloaded ", "layers to GPU", CAUSE_PARTIAL_OFFLOAD, "some layers are on the CPU",
     "llama.cpp", offload_is_partial},
    {"layers.model=", "layers.offload=", CAUSE_CPU_FALLBACK, "no layer is on the GPU", "Ollama",
     layers_are_none},
    {"layers.model=", "layers.offload=", CAUSE_PARTIAL_OFFLOAD, "some layers are on the CPU",
     "Ollama", layers_are_partial},

    /* That it failed, not why. */
    {"Engine core initialization failed", NULL, CAUSE_GENERIC, "its engine did not start", "vLLM"},
    {"EngineCore failed to start", NULL, CAUSE_GENERIC, "its engine did not start", "vLLM"},
    {"failed to load model", NULL, CAUSE_GENERIC, "it could not load the model", "ggml"},
    {"failed to initialize whisper context", NULL, CAUSE_GENERIC, "it could not load the model",
     "whisper.cpp"},
    {"exiting due to model loading error", NULL, CAUSE_GENERIC, "it could not load the model",
     "llama.cpp"},
    {"Application startup failed", NULL, CAUSE_GENERIC, "it did not start", "uvicorn"},
    {"model runner has unexpectedly stopped", NULL, CAUSE_GENERIC, "its model runner ended",
     "Ollama"},
    {"terminate called after throwing", NULL, CAUSE_GENERIC, "it ended by an exception", "C++"},
    {"Segmentation fault", NULL, CAUSE_GENERIC, "it crashed", "shells, Python faulthandler"},
    {"Failed to execute script", NULL, CAUSE_GENERIC, "it did not start", "PyInstaller"},
    {NULL},
};
