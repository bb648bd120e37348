/* Logs that real servers wrote, and the shapes of public reports, with what they must be read as.
 */
#include "check.h"

#include "base/buf.h"
#include "service/engine.h"
#include "service/signature.h"

struct recording {
    const char *file, *engine;
    enum signature_cause cause;
    const char *line;                /* part of the line that must be given as evidence */
    const char *flag, *hint, *stage; /* NULL: none */
    enum signature_bound bound;
    const char *meaning; /* NULL: not asked */
};

static const struct recording recordings[] = {
    {"llama-server/missing-weights", "llama-server", CAUSE_MISSING_WEIGHTS, "failed to open GGUF",
     ""},
    {"llama-server/wrong-weights", "llama-server", CAUSE_BAD_WEIGHTS, "invalid magic", ""},
    {"llama-server/cut-weights", "llama-server", CAUSE_BAD_WEIGHTS, "corrupted or incomplete", ""},
    {"llama-server/port-busy", "llama-server", CAUSE_PORT_BUSY, "couldn't bind", ""},
    {"llama-server/unknown-flag", "llama-server", CAUSE_REFUSED, "--enable-metrics",
     "--enable-metrics"},
    {"llama-server/refused-value", "llama-server", CAUSE_REFUSED, "maybe", "--flash-attn"},
    {"llama-server/refused-number", "llama-server", CAUSE_REFUSED, "stoi", "--ctx-size"},
    {"llama-server/refused-cache-type", "llama-server", CAUSE_REFUSED, "q9", "--cache-type-k"},
    {"llama-server/refused-combination", "llama-server", CAUSE_REFUSED, "quantized V cache", ""},
    {"llama-server/no-memory", "llama-server", CAUSE_OOM, "failed to allocate", ""},
    {"llama-server/gpu-no-memory-request", "llama-server", CAUSE_OOM, "CUDA error: out of memory",
     "", .stage = "working on a request", .bound = BOUND_ABOVE, .meaning = "device memory ran out"},
    {"llama-server/gpu-bad-flag", "llama-server", CAUSE_REFUSED, "invalid argument",
     "--gpu-memory-utilization"},
    {"llama-server/gpu-fit-aborted", "llama-server", CAUSE_OOM, "CUDA error: out of memory", "",
     .stage = "fitting its settings to the memory", .bound = BOUND_ABOVE},
    {"llama-server/gpu-none", "llama-server", CAUSE_CPU_FALLBACK, "failed to initialize CUDA", ""},
    {"llama-server/cpu-build", "llama-server", CAUSE_CPU_FALLBACK, "no usable GPU found", "",
     .meaning = "it found no GPU"},
    {"llama-server/gpu-no-memory", "llama-server", CAUSE_OOM, "cudaMalloc failed", "",
     .hint = "asked 92.17 MiB more", .bound = BOUND_ABOVE},
    {"llama-server/gpu-healthy", "llama-server", CAUSE_NONE, NULL, ""},
    {"llama-server/gpu-whole", "llama-server", CAUSE_NONE, NULL, ""},
    {"llama-server/gpu-partial", "llama-server", CAUSE_PARTIAL_OFFLOAD, "offloaded 10/31", ""},
    {"whisper-server/missing-weights", "whisper-server", CAUSE_MISSING_WEIGHTS, "none.bin", ""},
    {"whisper-server/wrong-weights", "whisper-server", CAUSE_BAD_WEIGHTS, "bad magic", ""},
    {"whisper-server/cut-weights", "whisper-server", CAUSE_BAD_WEIGHTS, "not all tensors", ""},
    {"whisper-server/port-busy", "whisper-server", CAUSE_PORT_BUSY, "couldn't bind", ""},
    {"whisper-server/unknown-flag", "whisper-server", CAUSE_REFUSED, "--nonsense", "--nonsense"},
    {"whisper-server/refused-language", "whisper-server", CAUSE_REFUSED, "'xx'", ""},
    {"whisper-server/refused-number", "whisper-server", CAUSE_REFUSED, "invalid_argument", ""},
    {"whisper-server/no-memory", "whisper-server", CAUSE_OOM, "std::bad_alloc", ""},
    {"whisper-server/healthy", "whisper-server", CAUSE_CPU_FALLBACK, "no GPU found", ""},
    {"faster-whisper-server/refused-cuda", "faster-whisper-server", CAUSE_MISSING_LIBRARY,
     "driver version is insufficient", ""},
    {"faster-whisper-server/cut-weights", "faster-whisper-server", CAUSE_BAD_WEIGHTS, "payload",
     ""},
    {"faster-whisper-server/port-busy", "faster-whisper-server", CAUSE_PORT_BUSY, "18999", ""},
    {"faster-whisper-server/unknown-flag", "faster-whisper-server", CAUSE_REFUSED, "unrecognized",
     "--enable-metrics"},
    {"faster-whisper-server/refused-value", "faster-whisper-server", CAUSE_REFUSED, "invalid int",
     "--workers"},
    {"faster-whisper-server/no-memory", "faster-whisper-server", CAUSE_OOM, "mkl_malloc", ""},
    {"vllm/busy-card", "vllm", CAUSE_OOM, "(28.69/79.18 GiB)", "",
     .hint = "asked 47.51 GiB, 28.69 GiB free", .bound = BOUND_ABOVE},
    {"vllm/busy-card", NULL, CAUSE_OOM, "(28.69/79.18 GiB)", "",
     .hint = "asked 47.51 GiB, 28.69 GiB free", .bound = BOUND_ABOVE},
    {"vllm/no-cache", "vllm", CAUSE_OOM, "No available memory for the cache blocks", "",
     .hint = "its weights take 11.36 GiB, -2.8 GiB were left for its cache", .bound = BOUND_BELOW},
    {"vllm/refused-context", "vllm", CAUSE_REFUSED, "max_model_len (400000)", "",
     .hint = "asked 400,000 tokens, the model has 8192.0"},
    {"vllm/healthy", "vllm", CAUSE_NONE, NULL, ""},
    {"vllm/healthy", NULL, CAUSE_NONE, NULL, ""},
    {"vllm/kv-tight", "vllm", CAUSE_NONE, NULL, ""},
    {"vllm/orphan", "vllm", CAUSE_NONE, NULL, ""},
    {"vllm/race-first", "vllm", CAUSE_NONE, NULL, ""},
    {"vllm/race-second", "vllm", CAUSE_NONE, NULL, ""},
    {"vllm/no-memory-request", "vllm", CAUSE_OOM, "Tried to allocate 22.00 MiB", "",
     .hint = "asked 22.00 MiB more, 8.62 MiB free", .stage = "working on a request",
     .bound = BOUND_ABOVE, .meaning = "device memory ran out"},
    {"vllm/race-lost", "vllm", CAUSE_OOM, "KV cache is needed", "",
     .hint = "one request needs 1.0 GiB of cache, 0.83 GiB are there; the longest context that "
             "fits is 6816 tokens",
     .bound = BOUND_BELOW},
    {"llama-server/gpu-quantised-cache", "llama-server", CAUSE_NONE, NULL, ""},
    {"openai-whisper/gpu", NULL, CAUSE_NONE, NULL, ""},
    {"openai-whisper/cpu", NULL, CAUSE_NONE, NULL, ""},
    {"openai-whisper/no-memory", NULL, CAUSE_OOM, "Tried to allocate 2.00 MiB", "",
     .hint = "asked 2.00 MiB more, 2.62 MiB free", .stage = "loading its weights",
     .bound = BOUND_ABOVE, .meaning = "device memory ran out"},
    {"openai-whisper/no-memory-request", NULL, CAUSE_OOM, "cublasCreate(handle)", "",
     .bound = BOUND_ABOVE, .meaning = "device memory ran out"},
    {"ctranslate2/missing-cublas", NULL, CAUSE_MISSING_LIBRARY, "Library libcublas.so.12", "",
     .meaning = "a library is missing"},
    {"ctranslate2/missing-cublas", "faster-whisper-server", CAUSE_MISSING_LIBRARY,
     "Library libcublas.so.12", "", .meaning = "a library is missing"},
};

static void check_explained(size_t row, const char *name, const struct signature_match *match,
                            const char *hint, const char *stage, enum signature_bound bound)
{
    CHECK_ROW_TEXT(row, name, match->hint, hint ? hint : "");
    CHECK_ROW_TEXT(row, name, match->stage ? match->stage : "", stage ? stage : "");
    CHECK_ROW(row, name, match->signature->bound == bound);
}

static const struct service_signature *own_table(const char *engine)
{
    return engine ? engine_find(engine)->signatures : NULL;
}

static void check_match(size_t row, const char *name, const char *log, bool found,
                        const struct signature_match *match, enum signature_cause cause,
                        const char *part, const char *flag)
{
    if (!found || cause == CAUSE_NONE) {
        if (found || cause != CAUSE_NONE)
            fail_msg("row %zu (%s): %s", row, name,
                     found ? match->signature->text : "nothing was found");
        return;
    }
    char line[4096];
    snprintf(line, sizeof line, "%.*s", (int)match->line_len, log + match->line_start);
    if (match->signature->cause != cause || !strstr(line, part))
        fail_msg("row %zu (%s): read as \"%s\" by \"%s\" in: %s", row, name,
                 signature_cause_name(match->signature->cause), match->signature->text, line);
    CHECK_ROW_TEXT(row, name, match->flag, flag);
}

static void test_recordings(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(recordings); i++) {
        const struct recording *row = &recordings[i];
        char path[4096];
        snprintf(path, sizeof path, "%s/%s.log", RECORDINGS, row->file);
        struct buf log = BUF_INIT(1 << 20);
        struct err err = ERR_INIT;
        CHECK_ROW(i, row->file, buf_read_file(&log, path, &err));
        struct signature_match match;
        bool found = signature_scan(own_table(row->engine), buf_text(&log), log.len, &match);
        check_match(i, row->file, buf_text(&log), found, &match, row->cause, row->line, row->flag);
        if (found)
            check_explained(i, row->file, &match, row->hint, row->stage, row->bound);
        if (found && row->meaning)
            CHECK_ROW_TEXT(i, row->file, match.signature->meaning, row->meaning);
        buf_done(&log);
    }
}

/* Public reports, shortened to the lines that matter. */
static const struct {
    const char *log;
    enum signature_cause cause;
    const char *part, *flag, *number;
} reports[] = {
    {"ValueError: Free memory on device (31.44/47.38 GiB) on startup is less than desired GPU "
     "memory "
     "utilization\nEngineCore failed to start.\n",
     CAUSE_OOM, "31.44", "", "31.44"},
    {"ValueError: 3.4 GiB KV cache is needed, which is larger than the available KV cache memory "
     "(3.18 GiB). the estimated maximum model length is 34736\n",
     CAUSE_OOM, "34736", "", "3.18"},
    {"larger than the maximum number of tokens that can be stored in KV cache (3664)\n", CAUSE_OOM,
     "3664", "", "3664"},
    {"torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 136.00 MiB. GPU 0 has a total "
     "capacty of 47.38 GiB of which 120.88 MiB is free\nEngine core initialization failed\n",
     CAUSE_OOM, "Tried to allocate", "", "136.00"},
    {"RuntimeError: CUDA error: out of memory\n", CAUSE_OOM, "out of memory", "", ""},
    {"RuntimeError: CUDA out of memory occurred when warming up sampler with 256 dummy requests\n",
     CAUSE_OOM, "warming up", "", "256"},
    {"AssertionError: Error in memory profiling. Initial free memory 20.1 GiB, current free memory "
     "22\n",
     CAUSE_START_RACE, "20.1", "", "20.1"},
    {"CUDA error: CUDA-capable device(s) is/are busy or unavailable\n", CAUSE_DEVICE_LOST, "busy",
     "", ""},
    {"INFO: Application startup complete.\nERROR: [Errno 98] error while attempting to bind on "
     "address "
     "('0.0.0.0', 8000): address already in use\n",
     CAUSE_PORT_BUSY, "8000", "", ""},
    {"error while handling argument \"--flash-attn\": error: unkown value for --flash-attn: "
     "'--ctx-size'\n",
     CAUSE_REFUSED, "unkown", "--flash-attn", ""},
    /* runtimes, before there is a container */
    {"docker: Error response from daemon: could not select device driver \"\" with capabilities: "
     "[[gpu]].\n\nRun 'docker run --help' for more information\n",
     CAUSE_DEVICE_LOST, "[[gpu]]", "", ""},
    {"docker: Error response from daemon: No such image: vllm/none:latest.\n",
     CAUSE_MISSING_WEIGHTS, "No such image", "", ""},
    {"Unable to find image 'x:1' locally\n1: Pulling from library/x\nTraceback\n", CAUSE_NONE, "",
     "", ""},
    {"Error: short-name \"none\" did not resolve to an alias and no unqualified-search registries "
     "are defined in \"/etc/containers/registries.conf\"\n",
     CAUSE_MISSING_WEIGHTS, "short-name", "", ""},
    {"Error: localhost/none:latest: image not known\n", CAUSE_MISSING_WEIGHTS, "not known", "", ""},
    {"docker: Error response from daemon: failed to create task for container: OCI runtime create "
     "failed: runc create failed: unable to start container process: exec: \"vlm\": executable "
     "file not found in $PATH: unknown.\n",
     CAUSE_MISSING_LIBRARY, "vlm", "", ""},
    {"docker: Error response from daemon: failed to create shim task: OCI runtime create failed: "
     "runc create failed: nvidia-container-cli: initialization error: load library failed: "
     "libnvidia-ml.so.1: cannot open shared object file: no such file or directory: unknown.\n",
     CAUSE_DEVICE_LOST, "nvidia-container-cli", "", "1"},
    {"docker: Error response from daemon: driver failed programming external connectivity on "
     "endpoint x: Bind for 127.0.0.1:8000 failed: port is already allocated.\n",
     CAUSE_PORT_BUSY, "8000", "", ""},
    {"Error: setting up CDI devices: unresolvable CDI devices nvidia.com/gpu=all\n",
     CAUSE_DEVICE_LOST, "nvidia.com", "", ""},
    {"Error: OCI runtime error: crun: cannot stat\n", CAUSE_DEVICE_LOST, "crun", "", ""},
    {"docker: Error response from daemon: Conflict.\n", CAUSE_DEVICE_LOST, "Conflict", "", ""},
    {"Error: unknown flag: --devise\nSee 'podman run --help'\n", CAUSE_REFUSED, "devise",
     "--devise", ""},
    {"error: invalid argument: -dio\n", CAUSE_REFUSED, "-dio", "-dio", ""},
    {"usage: x [-h]\nx: error: unrecognized arguments: --enable-metrics --other\n", CAUSE_REFUSED,
     "unrecognized", "--enable-metrics", ""},
    {"kernel: Memory cgroup out of memory: Killed process 41 (server)\n", CAUSE_OOM_HOST, "Killed",
     "", "41"},
    {"systemd[1]: x.service: A process of this unit has been killed by the OOM killer.\n",
     CAUSE_OOM_HOST, "OOM killer", "", ""},
    {"llama runner process has terminated: signal: killed\n", CAUSE_OOM_HOST, "killed", "", ""},
    {"Unable to load any of {libcudnn_ops.so.9.1.0, libcudnn_ops.so.9.1}\nInvalid handle. Cannot "
     "load "
     "symbol cudnnCreateTensorDescriptor\n",
     CAUSE_MISSING_LIBRARY, "Unable to load", "", "9.1.0"},
    {"Could not load library libcudnn_ops_infer.so.8. Error: no\n", CAUSE_MISSING_LIBRARY, "infer",
     "", "8"},
    {"RuntimeError: Library libcublas.so.12 is not found or cannot be loaded\n",
     CAUSE_MISSING_LIBRARY, "libcublas", "", ""},
    {"llama-server: error while loading shared libraries: libcuda.so.1: cannot open shared object "
     "file\n",
     CAUSE_MISSING_LIBRARY, "libcuda", "", "1"},
    {"Failed to initialize NVML: Driver/library version mismatch\n", CAUSE_DEVICE_LOST, "mismatch",
     "", ""},
    {"NVRM: Xid (PCI:0000:44:00): 79, GPU has fallen off the bus.\n", CAUSE_DEVICE_LOST, "79", "",
     ""},
    {"NVRM: Xid (PCI:0000:44:00): 48, pid=7, Double Bit ECC Error\n", CAUSE_DEVICE_LOST, "48", "",
     "0000"},
    {"NVRM: Xid (PCI:0000:44:00): 31, pid=7, name=python3, Ch 00000008, MMU Fault\n", CAUSE_NONE,
     NULL, "", ""},
    {"NVRM: Xid\nNVRM: Xid (\nNVRM: Xid (PCI:0000:44:00)\nNVRM: Xid ): x\n", CAUSE_NONE, NULL, "",
     ""},
    {"Unable to determine the device handle for GPU0000:01:00.0: Unknown Error\n",
     CAUSE_DEVICE_LOST, "0000:01", "", "0000"},
    {"pynvml.NVMLError_LibRmVersionMismatch: RM has detected an NVML/RM version mismatch.\n",
     CAUSE_DEVICE_LOST, "LibRm", "", ""},
    {"RuntimeError: CUDA error: unspecified launch failure\n", CAUSE_GENERIC, "launch", "", ""},
    {"RuntimeError: No CUDA GPUs are available\nEngine core initialization failed\n", CAUSE_GENERIC,
     "No CUDA", "", ""},
    {"RuntimeError: Unexpected error from cudaGetDeviceCount(). Error 804: forward compatibility "
     "was attempted on non supported HW\n",
     CAUSE_MISSING_LIBRARY, "804", "", ""},
    {"RuntimeError: CUDA error: no kernel image is available for execution on the device\n",
     CAUSE_MISSING_LIBRARY, "kernel image", "", ""},
    {"ImportError: libc10_cuda.so: undefined symbol: cublasLtGetStatusString, version "
     "libcublasLt.so.12\n",
     CAUSE_MISSING_LIBRARY, "cublasLt", "", "12"},
    {"Error: model \"qwen2.5:7b\" not found, try pulling it first\n", CAUSE_MISSING_WEIGHTS,
     "qwen2.5", "", ""},
    {"Error: llama runner process has terminated: cudaMalloc failed: out of memory\n", CAUSE_OOM,
     "runner", "", ""},
    {"Error: llama runner process has terminated: exit status 2\n", CAUSE_GENERIC, "runner", "",
     "2"},
    {"x.service: Failed with result 'oom-kill'.\nx.service: Main process exited, "
     "status=1/FAILURE\n",
     CAUSE_OOM_HOST, "oom-kill", "", ""},
    {"OSError: [Errno 98] Address already in use\n", CAUSE_PORT_BUSY, "98", "", ""},
    {"Invalid handle. Cannot load symbol cudnnCreateTensorDescriptor\n", CAUSE_MISSING_LIBRARY,
     "cudnn", "", ""},
    {"msg=\"gpu VRAM usage didn't recover within timeout\" seconds=5.2\n", CAUSE_NONE, NULL, "",
     ""},
    {"timed out waiting for llama runner to start - progress 1.00 -\n", CAUSE_GENERIC, "progress",
     "", "1.00"},
    {"INFO: Running: 0 reqs, Waiting: 3 reqs, GPU KV cache usage: 0.0%\n", CAUSE_NONE, NULL, "",
     ""},
    {"runtime OOM detected; expiring loaded models\n", CAUSE_OOM, "runtime OOM", "", ""},
    {"failed to get device context 800\n", CAUSE_DEVICE_LOST, "800", "", ""},
    {"failed to fit params to free device memory: n_gpu_layers already set by user to 99, abort\n",
     CAUSE_NONE, NULL, "", ""},
    {"time=x msg=offload layers.requested=-1 layers.model=63 layers.offload=49 layers.split=\n",
     CAUSE_PARTIAL_OFFLOAD, "layers.offload=49", "", "63"},
    {"msg=offload layers.model=63 layers.offload=63\n", CAUSE_NONE, NULL, "", ""},
    {"msg=offload layers.model=63 layers.offload=0\n", CAUSE_CPU_FALLBACK, "offload=0", "", "63"},
    {"load_tensors: offloaded 0/33 layers to GPU\n", CAUSE_CPU_FALLBACK, "0/33", "", "0"},
    {"load_tensors: offloaded 62/62 layers to GPU\n", CAUSE_NONE, NULL, "", ""},
    {"load_tensors: offloaded 47/49 layers to GPU", CAUSE_PARTIAL_OFFLOAD, "47/49", "", "47"},
    {"OSError: [Errno 28] No space left on device\n", CAUSE_DISK_FULL, "space", "", ""},
    {"Traceback\nMemoryError\n", CAUSE_OOM, "MemoryError", "", ""},
    /* The cause beats where it runs, which beats the generic one, in any order. */
    {"exiting due to model loading error\nno usable GPU found\n", CAUSE_CPU_FALLBACK, "GPU", "",
     ""},
    {"no usable GPU found\nfailed to load model\nstd::bad_alloc\nAddress already in use\n",
     CAUSE_OOM, "bad_alloc", "", ""},
    {"failed to load model\n", CAUSE_GENERIC, "failed", "", ""},
    /* Words that healthy logs hold. */
    {"W cudaMemGetInfo failed (out of memory), returning 0/0\nan error: argument of a function\n"
     "offloaded layers to GPU\nlayers.model= layers.offload=\noffloaded 3/ layers to GPU\n",
     CAUSE_NONE, NULL, "", ""},
    {"", CAUSE_NONE, NULL, "", ""},
    {"\n\n\n", CAUSE_NONE, NULL, "", ""},
};

static void test_reports(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(reports); i++) {
        struct signature_match match;
        const char *log = reports[i].log;
        bool found = signature_scan(NULL, log, strlen(log), &match);
        check_match(i, log, log, found, &match, reports[i].cause, reports[i].part, reports[i].flag);
        if (found)
            CHECK_ROW_TEXT(i, log, match.number, reports[i].number);
    }
}

/* What is read around the line: hint, stage, numbers, bound. Texts as in public reports. */
static const struct {
    const char *log, *hint, *stage;
    enum signature_bound bound;
    const char *numbers; /* joined by "; " */
} explained[] = {
    {"ValueError: Free memory on device (31.44/47.38 GiB) on startup is less than desired GPU "
     "memory utilization (0.9, 42.64 GiB). Decrease GPU memory utilization\nEngineCore failed "
     "to start.\n",
     "asked 42.64 GiB, 31.44 GiB free", NULL, BOUND_ABOVE, "31.44 GiB; 47.38 GiB; 0.9; 42.64 GiB"},
    {"Free memory on device (31.44/47.38 GiB) on startup is less than desired GPU memory "
     "utilization\n",
     NULL, NULL, BOUND_ABOVE, "31.44 GiB; 47.38 GiB"},
    {"(EngineCore pid=110) ERROR 08-28 07:39:28 [core.py:1346] ValueError: To serve at least "
     "one request with the model's max seq len (40960), (4.38 GiB KV cache is needed, which is "
     "larger than the available KV cache memory (1.0 GiB). Based on the available memory, the "
     "estimated maximum model length is 34736. Try increasing `gpu_memory_utilization`\n",
     "one request needs 4.38 GiB of cache, 1.0 GiB are there; the longest context that fits is "
     "34,736 tokens",
     NULL, BOUND_BELOW, "1.0 GiB; 34736"},
    {"max seq len (12288), 1.69 GiB KV cache is needed, which is larger than the available KV "
     "cache memory (0.87 GiB).\nBased on the available memory, the estimated maximum model "
     "length is 6320.\n",
     "one request needs 1.69 GiB of cache, 0.87 GiB are there; the longest context that fits "
     "is 6320 tokens",
     NULL, BOUND_BELOW, "0.87 GiB"},
    {"max seq len (12288), 4.26 GiB KV cache is needed, which is larger than the available KV "
     "cache memory (4.25 GiB)\n",
     "one request needs 4.26 GiB of cache, 4.25 GiB are there", NULL, BOUND_BELOW, "4.25 GiB"},
    {"ValueError: The model's max seq len (24576) is larger than the maximum number of tokens "
     "that can be stored in KV cache (18304). Try\n",
     "needs 24,576 tokens of cache, has 18,304", NULL, BOUND_BELOW, "18304"},
    {"ValueError: No available memory for the cache blocks. Try increasing\n", NULL, NULL,
     BOUND_BELOW, ""},
    {"INFO Available KV cache memory: -0.25 GiB\nValueError: No available memory for the cache "
     "blocks.\n",
     "-0.25 GiB were left for its cache", NULL, BOUND_BELOW, ""},
    {"  File \"gpu_model_runner.py\", line 3012, in capture_model\n  File \"torch/x.py\", line "
     "9, "
     "in __call__\ntorch.OutOfMemoryError: CUDA out of memory. Tried to allocate 136.00 MiB. "
     "GPU 0 has a total capacity of 47.38 GiB of which 120.88 MiB is free. Including\n",
     "asked 136.00 MiB more, 120.88 MiB free", "capturing CUDA graphs", BOUND_ABOVE,
     "136.00 MiB; 0; 47.38 GiB; 120.88 MiB"},
    {"RuntimeError: CUDA out of memory. Tried to allocate 2.00 GiB (GPU 0; 23.65 GiB total "
     "capacity; 21.90 GiB already allocated; 1.20 GiB free; 22.00 GiB reserved)\n",
     "asked 2.00 GiB more", NULL, BOUND_ABOVE, "2.00 GiB; 0; 23.65 GiB; 21.90 GiB"},
    {"in load_model\nin profile_run\nRuntimeError: CUDA error: out of memory\n", NULL,
     "measuring how much memory it needs", BOUND_ABOVE, ""},
    {"in _dummy_run\ntorch.OutOfMemoryError: CUDA out of memory. Tried to allocate 136.00 MiB\n"
     "RuntimeError: CUDA out of memory occurred when warming up sampler with 256 dummy "
     "requests. Please try\n",
     "asked 136.00 MiB more", "warming up its sampler", BOUND_ABOVE, "136.00 MiB"},
    {"0.1 I slot launch_slot_: id  3 | task 0 | processing task\nCUDA error: out of memory\n", NULL,
     "working on a request", BOUND_ABOVE, ""},
    {"ggml_gallocr_reserve_n_impl: failed to allocate CUDA0 buffer of size 96646400\n",
     "asked 96,646,400 bytes more", NULL, BOUND_ABOVE, "96646400"},
    {"AssertionError: Error in memory profiling. Initial free memory 20.1 GiB, current free "
     "memory 22.5 GiB. This happens when\n",
     "free memory went from 20.1 GiB to 22.5 GiB meanwhile", NULL, BOUND_NONE,
     "20.1 GiB; 22.5 GiB"},
    {"model requires more system memory (5.6 GiB) than is available (3.9 GiB)\n",
     "needs 5.6 GiB, 3.9 GiB free", NULL, BOUND_NONE, "5.6 GiB; 3.9 GiB"},
    /* Of N ranks one speaks, the first; a later "failed to start" says nothing more. */
    {"(Worker_TP1 pid=2) ERROR torch.OutOfMemoryError: CUDA out of memory. Tried to allocate "
     "1.00 GiB.\n(Worker_TP0 pid=1) ERROR torch.OutOfMemoryError: CUDA out of memory. Tried to "
     "allocate 2.00 GiB.\nEngine core initialization failed\n",
     "asked 1.00 GiB more", NULL, BOUND_ABOVE, "1.00 GiB"},
    {"std::bad_alloc\n 7 things, x86 and v0.24, 0x1f, 12GiB, 1,024 tokens -3 a:1 5", NULL, NULL,
     BOUND_NONE, "7; 12 GiB; 1,024; -3"},
};

static void test_explained(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(explained); i++) {
        struct signature_match match;
        const char *log = explained[i].log;
        CHECK_ROW(i, log, signature_scan(NULL, log, strlen(log), &match));
        check_explained(i, log, &match, explained[i].hint, explained[i].stage, explained[i].bound);
        struct buf joined = BUF_INIT(512);
        for (int n = 0; n < match.number_count; n++)
            buf_addf(&joined, "%s%s", n ? "; " : "", match.numbers[n]);
        CHECK_ROW_TEXT(i, log, buf_text(&joined), explained[i].numbers);
        buf_done(&joined);
    }
}

static void test_any_bytes(void **state)
{
    (void)state;
    static const char log[] = "\0\xff\xfe no usable\0GPU\n\0\0STD::BAD_ALLOC\0";
    struct signature_match match;
    assert_true(signature_scan(NULL, log, sizeof log - 1, &match));
    assert_int_equal(match.signature->cause, CAUSE_OOM);
    assert_int_equal(match.line_start, 18);
}

static void test_causes_have_names(void **state)
{
    (void)state;
    for (int cause = 0; cause < CAUSE_COUNT_; cause++)
        assert_string_not_equal(signature_cause_name((enum signature_cause)cause), "unknown");
    assert_string_equal(signature_cause_name(CAUSE_COUNT_), "unknown");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_recordings),        cmocka_unit_test(test_reports),
        cmocka_unit_test(test_explained),         cmocka_unit_test(test_any_bytes),
        cmocka_unit_test(test_causes_have_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
