/* What programs of all kinds print when they fail. Texts of the frameworks (PyTorch, CTranslate2,
 * ggml, vLLM, Ollama) stand here and not with one engine, because a `command` service may be any of
 * them. Taken from the programs' sources, from public reports and from recorded runs.
 *
 * A text must be long enough to be in no healthy log: "out of memory" alone is in warnings that
 * harm nobody, "cudaMalloc failed: out of memory" is not. Order matters only within one line. */
#include "service/signature_common.h"

#include "base/text.h"
#include "device/kernel_log.h"
#include "service/container.h"

#include <ctype.h>
#include <string.h>

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

/* "NVRM: Xid (PCI:0000:44:00): 79, ..." */
static bool xid_is_fatal(const char *after, size_t len)
{
    const char *end = after + len, *close = memchr(after, ')', len);
    long number = 0;
    if (!close || end - close < 4 || close[1] != ':' || close[2] != ' ')
        return false;
    close += 3;
    return read_count(&close, end, &number) && device_kernel_xid_is_fatal(number);
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
     "a neighbour gave memory back while it sized itself", "vLLM 0.6 to 0.28",
     .hints = {"free memory went from {Initial free memory} to {current free memory} meanwhile"}},
    {"Free memory on device", "less than desired GPU memory utilization", CAUSE_OOM,
     "less memory is free than its share of the device", "vLLM 0.9 to 0.28; 0.24.0 recorded",
     .hints = {"asked {utilization (|2}, {device} free"}, .bound = BOUND_ABOVE},
    {"No available memory for the cache blocks", NULL, CAUSE_OOM,
     "its share holds the weights but no cache", "vLLM 0.2 to 0.28; 0.24.0 recorded",
     .hints = {"its weights take {<Model loading took}, {<Available KV cache memory:} were left "
               "for its cache",
               "{<Available KV cache memory:} were left for its cache"},
     .bound = BOUND_BELOW},
    {"larger than the available KV cache memory", NULL, CAUSE_OOM,
     "the context does not fit into the cache", "vLLM 0.8 to 0.28; 0.24.0 recorded",
     .hints = {"one request needs {max seq len (|2} of cache, {KV cache memory (} are there; the "
               "longest context that fits is {maximum model length is} tokens",
               "one request needs {max seq len (|2} of cache, {KV cache memory (} are there"},
     .bound = BOUND_BELOW},
    {"larger than the maximum number of tokens that can be stored in KV cache", NULL, CAUSE_OOM,
     "the context does not fit into the cache", "vLLM 0.2 to 0.7",
     .hints = {"needs {max seq len (} tokens of cache, has {KV cache (}"}, .bound = BOUND_BELOW},
    {"occurred when warming up sampler", NULL, CAUSE_OOM, "memory ran out while warming up",
     "vLLM 0.8 to 0.28", .bound = BOUND_ABOVE},
    {"is greater than the derived max_model_len", NULL, CAUSE_REFUSED,
     "the context is longer than the model's", "vLLM 0.4 to 0.28; 0.24.0 recorded",
     .hints = {"asked {max_model_len (} tokens, the model has {max_position_embeddings=}"}},

    /* Device memory. */
    {"OutOfMemoryError", NULL, CAUSE_OOM, "device memory ran out", "PyTorch 2.0 and later",
     .hints = {"asked {Tried to allocate} more, {of which} free", "asked {Tried to allocate} more"},
     .bound = BOUND_ABOVE},
    {"CUDA out of memory", NULL, CAUSE_OOM, "device memory ran out", "PyTorch",
     .hints = {"asked {Tried to allocate} more, {of which} free", "asked {Tried to allocate} more"},
     .bound = BOUND_ABOVE},
    {"CUDA error: out of memory", NULL, CAUSE_OOM, "device memory ran out",
     "PyTorch; ggml, b11434 recorded", .bound = BOUND_ABOVE},
    {"cudaMalloc failed: out of memory", NULL, CAUSE_OOM, "device memory ran out",
     "ggml; b11434 recorded", .hints = {"asked {allocating} more"}, .bound = BOUND_ABOVE},
    {"failed to allocate CUDA", NULL, CAUSE_OOM, "device memory ran out", "ggml; b11434 recorded",
     .hints = {"asked {of size} bytes more"}, .bound = BOUND_ABOVE},
    {"unable to allocate CUDA", NULL, CAUSE_OOM, "device memory ran out", "ggml; b11434 recorded",
     .bound = BOUND_ABOVE},
    {"failed to allocate compute", "buffers", CAUSE_OOM, "no memory for the computation",
     "llama.cpp", .bound = BOUND_ABOVE},
    {"CUDA failed with error out of memory", NULL, CAUSE_OOM, "device memory ran out",
     "CTranslate2 3 and 4", .bound = BOUND_ABOVE},
    {"CUBLAS_STATUS_ALLOC_FAILED", NULL, CAUSE_OOM, "device memory ran out", "cuBLAS 11 to 13",
     .bound = BOUND_ABOVE},
    {"CUDNN_STATUS_ALLOC_FAILED", NULL, CAUSE_OOM, "device memory ran out", "cuDNN 8 and 9",
     .bound = BOUND_ABOVE},
    {"CUDA_ERROR_OUT_OF_MEMORY", NULL, CAUSE_OOM, "device memory ran out", "CUDA driver",
     .bound = BOUND_ABOVE},
    {"reported out-of-memory during startup", NULL, CAUSE_OOM, "its model runner ran out of memory",
     "Ollama 2026", .bound = BOUND_ABOVE},
    {"runtime OOM detected", NULL, CAUSE_OOM, "its model runner ran out of memory", "Ollama 2026",
     .bound = BOUND_ABOVE},

    /* Our memory. */
    {"model requires more system memory", NULL, CAUSE_OOM, "its model needs more RAM than is free",
     "Ollama 0.3 and later", .hints = {"needs {system memory}, {available} free"}},
    {"failed to allocate buffer for kv cache", NULL, CAUSE_OOM, "no memory for the context",
     "llama.cpp; b11434 recorded", .bound = BOUND_ABOVE},
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
     "llama.cpp; b11434 recorded"},
    {"couldn't bind to server socket", NULL, CAUSE_PORT_BUSY, "it could not bind its port",
     "whisper.cpp"},
    {"EADDRINUSE", NULL, CAUSE_PORT_BUSY, "another program holds its port", "Node"},

    /* Disk. */
    {"No space left on device", NULL, CAUSE_DISK_FULL, "the disk is full", "errno ENOSPC"},
    {"Disk quota exceeded", NULL, CAUSE_DISK_FULL, "the disk quota is used up", "errno EDQUOT"},

    /* Refused arguments; the flag follows the text. */
    {"error while handling argument", NULL, CAUSE_REFUSED, "it refused a value",
     "llama.cpp; b11434 recorded"},
    {"error: invalid argument:", NULL, CAUSE_REFUSED, "it does not know a flag",
     "llama.cpp; b11434 recorded", flag_follows},
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

    /* A container's runtime, where there is no container yet. What its settings name (an image, a
     * program in it, a flag) is theirs: whoever has them meets it again. All else is the host's,
     * and stands last. "Unable to find image" is none: docker says so and downloads it. */
    {"port is already allocated", NULL, CAUSE_PORT_BUSY, "another program holds its port",
     "docker"},
    {"No such image", NULL, CAUSE_MISSING_WEIGHTS, "its image is not on this machine", "docker"},
    {"image not known", NULL, CAUSE_MISSING_WEIGHTS, "its image is not on this machine",
     "podman 3 to 5"},
    {"short-name", "did not resolve to an alias", CAUSE_MISSING_WEIGHTS,
     "its image is not on this machine", "podman 3 to 5"},
    {"pull access denied", NULL, CAUSE_MISSING_WEIGHTS, "its image can't be downloaded", "docker"},
    {"manifest unknown", NULL, CAUSE_MISSING_WEIGHTS, "there is no such image", "docker, podman"},
    {"invalid reference format", NULL, CAUSE_REFUSED, "it refused the name of its image",
     "docker, podman"},
    {"unknown flag:", NULL, CAUSE_REFUSED, "it does not know a flag", "docker, podman",
     flag_follows},
    {"unknown shorthand flag:", NULL, CAUSE_REFUSED, "it does not know a flag", "docker, podman"},
    {"OCI runtime attempted to invoke a command that was not found", NULL, CAUSE_MISSING_LIBRARY,
     "its image has no such program", "podman 3 to 5"},
    {"executable file not found in $PATH", "OCI runtime", CAUSE_MISSING_LIBRARY,
     "its image has no such program", "docker, podman"},
    {"could not select device driver", NULL, CAUSE_DEVICE_LOST,
     "docker can't give it the GPU (is the NVIDIA container toolkit installed?)", "docker 19.03"},
    {"failed to discover GPU vendor from CDI", NULL, CAUSE_DEVICE_LOST,
     "docker can't give it the GPU (is the NVIDIA container toolkit installed?)", "docker 28"},
    {"unresolvable CDI devices", NULL, CAUSE_DEVICE_LOST,
     "no CDI device of that name (nvidia-ctk cdi generate writes them)", "podman 4 and 5, docker"},
    {"nvidia-container-cli:", NULL, CAUSE_DEVICE_LOST,
     "the NVIDIA container toolkit can't give it the GPU", "NVIDIA container toolkit"},
    {"Cannot connect to the Docker daemon", NULL, CAUSE_DEVICE_LOST, "docker's daemon is down",
     "docker"},
    {"Error response from daemon", NULL, CAUSE_DEVICE_LOST, "docker could not start its container",
     "docker"},
    {"OCI runtime", NULL, CAUSE_DEVICE_LOST, "its container could not be started",
     "docker, podman"},
    {"OCI permission denied", NULL, CAUSE_DEVICE_LOST, "its container could not be started",
     "podman"},
    {SERVICE_NO_CONTAINER, NULL, CAUSE_DEVICE_LOST, "its container could not be started",
     "our own words, see service/process.c"},

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
     "no CUDA driver that it can use", "CUDA; CTranslate2 4 recorded"},
    {"Found no NVIDIA driver on your system", NULL, CAUSE_MISSING_LIBRARY,
     "no CUDA driver that it can use", "PyTorch"},
    {"forward compatibility was attempted on non supported HW", NULL, CAUSE_MISSING_LIBRARY,
     "its CUDA library is newer than the driver", "CUDA error 804"},
    {"no kernel image is available for execution on the device", NULL, CAUSE_MISSING_LIBRARY,
     "its build holds no code for this GPU", "CUDA"},
    {"undefined symbol: cu", NULL, CAUSE_MISSING_LIBRARY, "CUDA libraries that do not fit together",
     "ld.so"},
    {"' not found (required by", NULL, CAUSE_MISSING_LIBRARY, "a library is too old", "ld.so"},
    {"ModuleNotFoundError: No module named", NULL, CAUSE_MISSING_LIBRARY,
     "a Python module is missing", "Python"},

    /* The device itself. */
    {"GPU has fallen off the bus", NULL, CAUSE_DEVICE_LOST, "the GPU is lost", "NVRM Xid 79"},
    {"NVRM: Xid", NULL, CAUSE_DEVICE_LOST, "the driver reports a broken GPU", "NVRM", xid_is_fatal},
    {"GPU is lost", NULL, CAUSE_DEVICE_LOST, "the GPU is lost", "NVML"},
    {"Unable to determine the device handle for GPU", NULL, CAUSE_DEVICE_LOST, "the GPU is lost",
     "nvidia-smi"},
    {"Failed to initialize NVML: Unknown Error", NULL, CAUSE_DEVICE_LOST,
     "the container has lost its GPU", "NVML"},
    {"uncorrectable ECC error", NULL, CAUSE_DEVICE_LOST, "the GPU's memory is broken", "CUDA"},
    {"uncorrectable NVLink error", NULL, CAUSE_DEVICE_LOST, "the GPU's NVLink is broken", "CUDA"},
    {"CUDA error: system not yet initialized", NULL, CAUSE_DEVICE_LOST,
     "the GPU's fabric manager does not run", "CUDA error 802"},
    {"CUDA-capable device(s) is/are busy or unavailable", NULL, CAUSE_DEVICE_LOST,
     "the device refuses", "CUDA, under MPS"},
    {"Driver/library version mismatch", NULL, CAUSE_DEVICE_LOST, "the driver was replaced under it",
     "NVML"},
    {"LIB_RM_VERSION_MISMATCH", NULL, CAUSE_DEVICE_LOST, "the driver was replaced under it",
     "NVML"},
    {"NVMLError_LibRmVersionMismatch", NULL, CAUSE_DEVICE_LOST, "the driver was replaced under it",
     "pynvml"},
    {"failed to get device context 800", NULL, CAUSE_DEVICE_LOST, "the device refuses", "Ollama"},

    /* Weights. */
    {"failed to open GGUF file", "No such file", CAUSE_MISSING_WEIGHTS,
     "the model file is not there", "llama.cpp; b11434 recorded"},
    {"failed to open GGUF file", NULL, CAUSE_BAD_WEIGHTS, "the model file can't be opened",
     "llama.cpp; b11434 recorded"},
    {"Unable to open file 'model.bin'", NULL, CAUSE_MISSING_WEIGHTS,
     "the model folder holds no model.bin", "CTranslate2"},
    {"LocalEntryNotFoundError", NULL, CAUSE_MISSING_WEIGHTS, "the model is not on this machine",
     "huggingface_hub"},
    {"Cannot find an appropriate cached snapshot folder", NULL, CAUSE_MISSING_WEIGHTS,
     "the model is not on this machine", "huggingface_hub"},
    {"Repo id must be in the form", NULL, CAUSE_MISSING_WEIGHTS, "the model folder is not there",
     "huggingface_hub"},
    {"not found, try pulling it first", NULL, CAUSE_MISSING_WEIGHTS,
     "the model is not on this machine", "Ollama"},
    {"is not a valid model identifier", NULL, CAUSE_MISSING_WEIGHTS, "the model is not there",
     "transformers"},
    {"invalid magic characters", NULL, CAUSE_BAD_WEIGHTS, "the model file is of another kind",
     "ggml; b11434 recorded"},
    {"model is corrupted or incomplete", NULL, CAUSE_BAD_WEIGHTS,
     "the model file is cut off or broken", "llama.cpp; b11434 recorded"},
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
     "ggml; b11434 recorded"},
    {"no usable GPU found", NULL, CAUSE_CPU_FALLBACK, "it found no GPU",
     "llama.cpp; b11434 recorded"},
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
     "llama.cpp; b11434 recorded", offload_is_partial},
    {"layers.model=", "layers.offload=", CAUSE_CPU_FALLBACK, "no layer is on the GPU", "Ollama",
     layers_are_none},
    {"layers.model=", "layers.offload=", CAUSE_PARTIAL_OFFLOAD, "some layers are on the CPU",
     "Ollama", layers_are_partial},

    /* That it failed, not why. */
    {"Engine core initialization failed", NULL, CAUSE_GENERIC, "its engine did not start",
     "vLLM 0.8 to 0.28; 0.24.0 recorded"},
    {"EngineCore failed to start", NULL, CAUSE_GENERIC, "its engine did not start",
     "vLLM 0.8 to 0.28; 0.24.0 recorded"},
    {"failed to load model", NULL, CAUSE_GENERIC, "it could not load the model",
     "ggml; b11434 recorded"},
    {"failed to initialize whisper context", NULL, CAUSE_GENERIC, "it could not load the model",
     "whisper.cpp"},
    {"exiting due to model loading error", NULL, CAUSE_GENERIC, "it could not load the model",
     "llama.cpp; b11434 recorded"},
    {"No CUDA GPUs are available", NULL, CAUSE_GENERIC, "it found no GPU", "PyTorch"},
    {"Failed to infer device type", NULL, CAUSE_GENERIC, "it found no GPU", "vLLM 0.6 to 0.28"},
    {"CUDA error: an illegal memory access", NULL, CAUSE_GENERIC, "its code failed on the GPU",
     "CUDA"},
    {"CUDA error: unspecified launch failure", NULL, CAUSE_GENERIC, "its code failed on the GPU",
     "CUDA"},
    {"CUDA error: device-side assert triggered", NULL, CAUSE_GENERIC, "its code failed on the GPU",
     "CUDA"},
    {"timed out waiting for llama runner to start", NULL, CAUSE_GENERIC,
     "its model runner did not start in time", "Ollama"},
    {"runner process has terminated", NULL, CAUSE_GENERIC, "its model runner ended", "Ollama"},
    {"Application startup failed", NULL, CAUSE_GENERIC, "it did not start", "uvicorn"},
    {"model runner has unexpectedly stopped", NULL, CAUSE_GENERIC, "its model runner ended",
     "Ollama"},
    {"terminate called after throwing", NULL, CAUSE_GENERIC, "it ended by an exception", "C++"},
    {"Segmentation fault", NULL, CAUSE_GENERIC, "it crashed", "shells, Python faulthandler"},
    {"Failed to execute script", NULL, CAUSE_GENERIC, "it did not start", "PyInstaller"},
    {NULL},
};
