/* The exact command, environment and files of candidates of a study that is read from text. */
#include "check.h"

#include "base/file.h"
#include "service/engine.h"
#include "spec/space.h"

#include <sys/stat.h>

static const struct spec_protocol protocols[] = {
    {.name = "openai-chat",
     .help = "chat",
     .sources = SOURCE_ANY | SOURCE_TEXT,
     .path = "/v1/chat"},
    {.name = "openai-transcriptions",
     .help = "speech",
     .sources = SOURCE_ANY | SOURCE_AUDIO,
     .path = "/v1/audio/transcriptions"},
    {.name = "ollama-chat",
     .help = "chat",
     .sources = SOURCE_ANY | SOURCE_TEXT,
     .path = "/api/chat"},
};
static const struct spec_protocol *const protocol_list[] = {&protocols[0], &protocols[1],
                                                            &protocols[2]};
static const char *const strategies[] = {"grid", "tournament"};

/* A folder with programs and models that look real enough, and a study in it. */
struct bench {
    char *folder;
    struct spec_study *study;
    struct arena *arena;
};

static void put(const struct bench *bench, const char *name, const char *text, mode_t mode)
{
    AUTO(free) char *path = file_join(bench->folder, name);
    AUTO(free) char *folder = file_folder(path);
    struct err err = ERR_INIT;
    if (!file_make_folders(folder, &err) || !file_write_atomic(path, text, strlen(text), &err))
        fail_msg("%s", err.text);
    chmod(path, mode);
}

static struct bench bench_open(const char *services)
{
    struct bench bench = {.folder = check_make_folder(), .arena = arena_new()};
    static const char *const programs[] = {
        "bin/llama-server", "bin/whisper-server", "bin/faster-whisper-server",
        "bin/vllm",         "bin/python3.12",     "bin/ollama",
        "serve.sh"};
    for (size_t i = 0; i < ARRAY_LEN(programs); i++)
        put(&bench, programs[i], "#!/bin/sh\n", 0755);
    put(&bench, "models/a.gguf", "GGUF....", 0644);
    put(&bench, "models/tiny.bin", "lmgg....", 0644);
    put(&bench, "models/ct2/model.bin", "x", 0644);
    put(&bench, "models/ct2/config.json", "{}", 0644);
    put(&bench, "models/broken.gguf", "GG", 0644);
    put(&bench, "models/half/config.json", "{}", 0644);
    put(&bench, "models/hf/config.json", "{}", 0644);
    struct spec_catalog catalog = {.protocols = protocol_list,
                                   .protocol_count = ARRAY_LEN(protocol_list),
                                   .strategies = strategies,
                                   .strategy_count = ARRAY_LEN(strategies)};
    catalog.engines = engine_specs(&catalog.engine_count);
    AUTO(free) char *path = file_join(bench.folder, "study.yaml");
    char *text = NULL;
    if (asprintf(&text,
                 "study: test\ndevice: gpu0\nservices:\n%s"
                 "goal: {optimise: {s.memory: {good: 100MiB, bad: 1GiB}}}\nbaseline: none\n"
                 "load: {s: {%s}}\n",
                 services,
                 strstr(services, "whisper") || strstr(services, "role: stt") ? "corpus: c"
                                                                              : "prompts: p") < 0)
        abort();
    struct err err = ERR_INIT;
    if (!spec_study_parse(path, text, strlen(text), &catalog, &bench.study, &err))
        fail_msg("%s", err.text);
    free(text);
    return bench;
}

static void bench_close(struct bench *bench)
{
    spec_study_free(bench->study);
    arena_free(bench->arena);
    check_remove_folder(bench->folder);
}

/* Launches the first candidate; the text has the bench's folder replaced by "@". */
static char *launch_text(struct bench *bench, const char *candidate_text,
                         struct service_launch *ret_launch, struct err *err)
{
    struct spec_candidate candidate;
    if (!spec_candidate_parse(bench->study, candidate_text, &candidate, err) ||
        !service_launch_build(bench->arena, bench->study, &candidate, 0, 4711, NULL, "/scratch/s",
                              "/scratch/s.log", ret_launch, err))
        return NULL;
    struct buf text = BUF_INIT(1 << 16), shown = BUF_INIT(1 << 16);
    service_launch_add_text(&text, ret_launch);
    size_t len = strlen(bench->folder);
    for (const char *at = buf_text(&text); *at;) {
        bool here = strncmp(at, bench->folder, len) == 0;
        buf_addc(&shown, here ? '@' : *at);
        at += here ? len : 1;
    }
    buf_done(&text);
    return buf_take(&shown);
}

#define OFFLINE "HF_HUB_OFFLINE=1 TRANSFORMERS_OFFLINE=1 "
#define ON_CPU_TEXT OFFLINE "CUDA_VISIBLE_DEVICES= "
#define ON_GPU_ENV(before) before "CUDA_DEVICE_ORDER=PCI_BUS_ID CUDA_VISIBLE_DEVICES=gpu0 "
#define ON_GPU_TEXT ON_GPU_ENV(OFFLINE)

static const struct {
    const char *name, *services, *candidate, *text, *config;
} rows[] = {
    {"llama-server, defaults",
     "  s: {engine: llama-server, program: bin/llama-server, model: models/a.gguf, on: cpu}\n", "",
     ON_CPU_TEXT
     "@/bin/llama-server --host 127.0.0.1 --port 4711 --no-webui --model @/models/a.gguf "
     "--parallel 1 --ctx-size 4096 --cache-ram 0 --metrics",
     NULL},
    {"llama-server, knobs and args",
     "  s:\n    engine: llama-server\n    program: bin/llama-server\n    model: "
     "models/{which}.gguf\n"
     "    on: cpu\n    metrics: false\n    cache_ram: null\n    args: [--seed, '{seed}', 'a b']\n"
     "    knobs: {which: [a, b], threads: [1, 2], slots: {values: {one: null, two: 2}}, seed: "
     "[7]}\n",
     "s.which=a s.threads=2 s.slots=one s.seed=7",
     ON_CPU_TEXT
     "@/bin/llama-server --host 127.0.0.1 --port 4711 --no-webui --model @/models/a.gguf "
     "--threads 2 --ctx-size 4096 --seed 7 'a b'",
     NULL},
    {"whisper-server",
     "  s: {engine: whisper-server, program: bin/whisper-server, model: models/tiny.bin, on: cpu, "
     "language: en, no_fallback: true, beam_size: 5}\n",
     "",
     ON_CPU_TEXT "@/bin/whisper-server --host 127.0.0.1 --port 4711 --model @/models/tiny.bin "
                 "--language en --beam-size 5 --no-fallback --no-gpu --inference-path "
                 "/v1/audio/transcriptions",
     NULL},
    {"whisper-server on a GPU",
     "  s: {engine: whisper-server, program: bin/whisper-server, model: models/tiny.bin, on: gpu, "
     "flash_attn: true, device_index: 0}\n",
     "",
     ON_GPU_TEXT "@/bin/whisper-server --host 127.0.0.1 --port 4711 --model @/models/tiny.bin "
                 "--flash-attn --device 0 --inference-path /v1/audio/transcriptions",
     NULL},
    {"llama-server on a GPU, defaults",
     "  s: {engine: llama-server, program: bin/llama-server, model: models/a.gguf, on: gpu}\n", "",
     ON_GPU_TEXT
     "@/bin/llama-server --host 127.0.0.1 --port 4711 --no-webui --model @/models/a.gguf "
     "--parallel 1 --ctx-size 4096 --cache-ram 0 --gpu-layers 999 --metrics --log-verbosity 4",
     NULL},
    {"llama-server on a GPU, its own defaults left alone",
     "  s:\n    engine: llama-server\n    program: bin/llama-server\n    model: models/a.gguf\n"
     "    on: gpu\n    log_level: null\n    kv_offload: false\n    fit_target: 512\n"
     "    knobs: {gpu_layers: {values: {own: null, ten: 10}}}\n",
     "s.gpu_layers=own",
     ON_GPU_TEXT
     "@/bin/llama-server --host 127.0.0.1 --port 4711 --no-webui --model @/models/a.gguf "
     "--parallel 1 --ctx-size 4096 --cache-ram 0 --no-kv-offload --fit-target 512 --metrics",
     NULL},
    {"vllm, by its own program",
     "  s:\n    engine: vllm\n    program: bin/vllm\n    model: models/hf\n    on: gpu\n"
     "    enforce_eager: true\n    enable_prefix_caching: false\n    load_format: dummy\n"
     "    knobs: {gpu_memory_utilization: [0.2, 0.35]}\n",
     "s.gpu_memory_utilization=0.35",
     ON_GPU_ENV(
         OFFLINE
         "VLLM_NO_USAGE_STATS=1 DO_NOT_TRACK=1 PYTHONUNBUFFERED=1 ") "@/bin/vllm serve @/models/hf "
                                                                     "--host 127.0.0.1 --port 4711 "
                                                                     "--served-model-name llm "
                                                                     "--gpu-memory-utilization "
                                                                     "0.35 --load-format dummy "
                                                                     "--enforce-eager "
                                                                     "--no-enable-prefix-caching",
     NULL},
    {"vllm, by a Python, model from the hub",
     "  s:\n    engine: vllm\n    program: bin/python3.12\n    model: org/name\n    on: gpu\n"
     "    served_model_name: x\n    gpu_memory_utilization: null\n    max_model_len: 4096\n"
     "    enable_prefix_caching: true\n    environment: {DO_NOT_TRACK: null}\n",
     "",
     "env -u DO_NOT_TRACK " ON_GPU_ENV(
         "HF_HUB_OFFLINE=1 TRANSFORMERS_OFFLINE=1 "
         "VLLM_NO_USAGE_STATS=1 PYTHONUNBUFFERED=1 ") "@/bin/python3.12 -m "
                                                      "vllm.entrypoints.openai.api_server --model "
                                                      "org/name --host 127.0.0.1 "
                                                      "--port 4711 --served-model-name x "
                                                      "--max-model-len 4096 "
                                                      "--enable-prefix-caching",
     NULL},
    {"ollama",
     "  s:\n    engine: ollama\n    program: bin/ollama\n    model: qwen2.5:7b\n    on: gpu\n"
     "    models: models\n    flash_attention: false\n    max_loaded_models: null\n"
     "    environment: {OLLAMA_NOPRUNE: '0'}\n    knobs: {num_parallel: [1, 4]}\n",
     "s.num_parallel=4",
     ON_GPU_ENV(OFFLINE "OLLAMA_HOST=127.0.0.1:4711 OLLAMA_MODELS=@/models OLLAMA_NUM_PARALLEL=4 "
                        "OLLAMA_CONTEXT_LENGTH=4096 OLLAMA_FLASH_ATTENTION=false "
                        "OLLAMA_KEEP_ALIVE=-1 ") "OLLAMA_NOPRUNE=0 @/bin/ollama serve",
     NULL},
    {"faster-whisper-server",
     "  s:\n    engine: faster-whisper-server\n    program: bin/faster-whisper-server\n"
     "    model: models/ct2\n    on: cpu\n    compute_type: int8\n    language: 'e\"n'\n"
     "    vad_filter: true\n    environment: {OMP_WAIT_POLICY: '{wait}'}\n"
     "    knobs: {threads: [2], wait: {values: {default: null, passive: PASSIVE}}}\n",
     "s.threads=2 s.wait=passive",
     ON_CPU_TEXT "PYTHONUNBUFFERED=1 OMP_WAIT_POLICY=PASSIVE @/bin/faster-whisper-server --config "
                 "/scratch/s/faster-whisper-server.yaml --host 127.0.0.1 --port 4711 --workers 1 "
                 "--log-level info",
     "models:\n  - name: whisper-1\n    path: \"@/models/ct2\"\n    model_options:\n"
     "      compute_type: \"int8\"\n      cpu_threads: 2\n      device: cpu\n"
     "      local_files_only: true\n    transcribe_options:\n      language: \"e\\\"n\"\n"
     "      vad_filter: true\n"},
    {"faster-whisper-server, by name, may download",
     "  s: {engine: faster-whisper-server, program: bin/faster-whisper-server, model: tiny.en, "
     "on: gpu, allow_download: true, environment: {A: null, PYTHONUNBUFFERED: null}}\n",
     "",
     "env -u A -u PYTHONUNBUFFERED CUDA_DEVICE_ORDER=PCI_BUS_ID CUDA_VISIBLE_DEVICES=gpu0 "
     "@/bin/faster-whisper-server --config "
     "/scratch/s/faster-whisper-server.yaml --host 127.0.0.1 --port 4711 --workers 1 --log-level "
     "info",
     "models:\n  - name: whisper-1\n    path: \"tiny.en\"\n    model_options:\n"
     "      compute_type: \"default\"\n      device: cuda\n    transcribe_options:\n"},
    {"command",
     "  s:\n    role: stt\n    command: [./serve.sh, '{port}', '--dir={dir}', '{study}/x', "
     "\"it's\", "
     "'{{', '{gone}', '']\n    protocol: openai-transcriptions\n    on: gpu\n"
     "    environment: {HF_HUB_OFFLINE: '0', PORT: '{port}'}\n"
     "    knobs: {gone: {values: {none: null, some: --some}}}\n",
     "s.gone=none",
     "TRANSFORMERS_OFFLINE=1 CUDA_DEVICE_ORDER=PCI_BUS_ID CUDA_VISIBLE_DEVICES=gpu0 "
     "HF_HUB_OFFLINE=0 PORT=4711 @/./serve.sh 4711 --dir=/scratch/s @/x "
     "'it'\\''s' '{' ''",
     NULL},
};

static void test_commands(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct bench bench = bench_open(rows[i].services);
        struct service_launch launch;
        struct err err = ERR_INIT;
        AUTO(free) char *text = launch_text(&bench, rows[i].candidate, &launch, &err);
        if (!text)
            fail_msg("row %zu (%s): %s", i, rows[i].name, err.text);
        CHECK_ROW_TEXT(i, rows[i].name, text, rows[i].text);
        CHECK_ROW_TEXT(i, rows[i].name, launch.folder, bench.folder);
        CHECK_ROW(i, rows[i].name, launch.port == 4711 && launch.argv[0]);
        CHECK_ROW(i, rows[i].name, (launch.config_text != NULL) == (rows[i].config != NULL));
        if (rows[i].config) {
            struct buf expected = BUF_INIT(1 << 16);
            for (const char *at = rows[i].config; *at; at++) {
                if (*at == '@')
                    buf_add(&expected, bench.folder);
                else
                    buf_addc(&expected, *at);
            }
            CHECK_ROW_TEXT(i, rows[i].name, launch.config_text, buf_text(&expected));
            buf_done(&expected);
        }
        bench_close(&bench);
    }
}

static void test_missing_programs(void **state)
{
    (void)state;
    static const struct {
        const char *services, *says;
    } missing[] = {
        {"  s: {engine: llama-server, program: bin/none, model: models/a.gguf, on: cpu}\n",
         "service s: no program bin/none: not found from the study file's folder"},
        {"  s: {engine: llama-server, program: models/a.gguf, model: models/a.gguf, on: cpu}\n",
         "not executable"},
        {"  s: {role: llm, command: [no-such-program-anywhere], protocol: openai-chat, on: cpu}\n",
         "service s: no program no-such-program-anywhere: not found on PATH"},
    };
    for (size_t i = 0; i < ARRAY_LEN(missing); i++) {
        struct bench bench = bench_open(missing[i].services);
        struct service_launch launch;
        struct err err = ERR_INIT;
        CHECK_ROW(i, missing[i].says, !launch_text(&bench, "", &launch, &err));
        CHECK_ROW(i, err.text, err.code == ERR_MISSING && strstr(err.text, missing[i].says));
        bench_close(&bench);
    }
}

static void test_prepare(void **state)
{
    (void)state;
    static const struct {
        const char *engine, *model, *problem;
    } weights[] = {
        {"llama-server", "models/a.gguf", ""},
        {"llama-server", "models/none.gguf", "s: model: @/models/none.gguf is not there\n"},
        {"llama-server", "models/broken.gguf", "s: model: @/models/broken.gguf is no GGUF file\n"},
        {"llama-server", "models", "s: model: @/models can't be read: Is a directory\n"},
        {"whisper-server", "models/tiny.bin", ""},
        {"whisper-server", "models/a.gguf", "s: model: @/models/a.gguf is no ggml file\n"},
        {"faster-whisper-server", "models/ct2", ""},
        {"faster-whisper-server", "models/half", "s: model: @/models/half holds no model.bin\n"},
        {"faster-whisper-server", "./models/none", "s: model: @/./models/none is not there\n"},
        {"faster-whisper-server", "org/none",
         "s: model: org/none is neither a folder below @ nor in the hub's cache; spica prepare "
         "fetches it\n"},
        {"faster-whisper-server", "org/cached", ""},
        {"faster-whisper-server", "tiny", ""},
        {"vllm", "models/hf", ""},
        {"vllm", "models/a.gguf", ""},
        {"vllm", "models/tiny.bin", "s: model: @/models/tiny.bin is no GGUF file\n"},
        {"vllm", "models", "s: model: @/models holds no config.json that can be read\n"},
        {"vllm", "org/none",
         "s: model: org/none is neither a folder below @ nor in the hub's cache; spica prepare "
         "fetches it\n"},
        {"vllm", "org/cached", ""},
        {"ollama", "whatever", ""},
    };
    for (size_t i = 0; i < ARRAY_LEN(weights); i++) {
        char services[512];
        snprintf(services, sizeof services,
                 "  s: {engine: %s, program: bin/%s, model: %s, on: cpu}\n", weights[i].engine,
                 weights[i].engine, weights[i].model);
        struct bench bench = bench_open(services);
        setenv("HF_HOME", bench.folder, 1);
        unsetenv("HF_HUB_CACHE");
        put(&bench, "hub/models--org--cached/snapshots/1/model.bin", "x", 0644);
        put(&bench, "hub/models--org--cached/snapshots/1/config.json", "{}", 0644);
        put(&bench, "hub/models--Systran--faster-whisper-tiny/snapshots/1/model.bin", "x", 0644);
        struct spec_candidate candidate;
        struct err err = ERR_INIT;
        struct buf problems = BUF_INIT(4096), expected = BUF_INIT(4096);
        CHECK_ROW(i, weights[i].model, spec_candidate_parse(bench.study, "", &candidate, &err));
        CHECK_ROW(i, weights[i].model,
                  engine_prepare(bench.study, &candidate, 0, false, &problems, &err));
        for (const char *at = weights[i].problem; *at; at++) {
            if (*at == '@')
                buf_add(&expected, bench.folder);
            else
                buf_addc(&expected, *at);
        }
        CHECK_ROW_TEXT(i, weights[i].model, buf_text(&problems), buf_text(&expected));
        buf_done(&problems);
        buf_done(&expected);
        bench_close(&bench);
    }
}

/* Is the option one of the fixed arguments, in every form of the command? */
static bool in_base(const struct engine_ops *ops, const char *name)
{
    static const char *const programs[] = {"/usr/bin/python3", "/opt/own"};
    size_t found = 0;
    for (size_t p = 0; p < ARRAY_LEN(programs); p++) {
        const char *const *argv = engine_base_argv(ops, programs[p]);
        for (size_t i = 0; argv && argv[i]; i++)
            found += argv[i][0] == '=' && strcmp(argv[i] + 1, name) == 0;
    }
    return found == ARRAY_LEN(programs);
}

static void test_model_names(void **state)
{
    (void)state;
    static const struct {
        const char *json, *model;
        bool listed;
    } lists[] = {
        {"{\"object\":\"list\",\"data\":[{\"id\":\"llm\",\"root\":\"x\"}]}", "llm", true},
        {"{\"data\":[{\"id\":\"other\"},{\"id\":\"llm\"}]}", "llm", true},
        {"{\"data\":[{\"id\":\"llm-7b\"}]}", "llm", false},
        {"{\"data\":[{\"id\":\"qwen2.5:latest\"}]}", "qwen2.5", true},
        {"{\"data\":[{\"id\":\"qwen2.5:latest\"}]}", "qwen2.5:7b", false},
        {"{\"data\":[{\"id\":\"qwen2.5:7b\"}]}", "qwen2.5:7b", true},
        {"{\"data\":[{\"id\":7},null,\"llm\"]}", "llm", false},
        {"{\"data\":{\"id\":\"llm\"}}", "llm", false},
        {"{\"data\":[{\"id\":\"llm\"}]", "llm", false},
        {"[]", "llm", false},
        {"", "llm", false},
    };
    for (size_t i = 0; i < ARRAY_LEN(lists); i++)
        CHECK_ROW(i, lists[i].json,
                  engine_models_list(lists[i].json, strlen(lists[i].json), lists[i].model) ==
                      lists[i].listed);
    struct bench bench = bench_open("  s: {engine: vllm, program: bin/vllm, model: models/hf}\n");
    struct service_launch launch;
    struct err err = ERR_INIT;
    AUTO(free) char *text = launch_text(&bench, "", &launch, &err);
    assert_non_null(text);
    assert_string_equal(launch.model, "llm");
    bench_close(&bench);
}

/* Required things every engine must have, so that a new one is complete. */
static void test_engines_are_whole(void **state)
{
    (void)state;
    for (size_t i = 0; i < engine_count; i++) {
        const struct spec_engine *spec = engine_table[i]->spec;
        CHECK_ROW(i, spec->name, engine_find(spec->name) == engine_table[i]);
        CHECK_ROW(i, spec->name, spec->help && spec->program && spec->ready_path && spec->protocol);
        CHECK_ROW(i, spec->name, engine_table[i]->signatures);
        for (size_t o = 0; o < spec->option_count; o++) {
            const struct spec_option *option = &spec->options[o];
            CHECK_ROW(o, option->name, option->help);
            CHECK_ROW(o, option->name,
                      (option->type == OPTION_CHOICE) == (option->choices != NULL));
            bool asked_for = engine_table[i]->model_option &&
                             strcmp(engine_table[i]->model_option, option->name) == 0;
            CHECK_ROW(o, option->name,
                      option->flag || option->env || engine_table[i]->configure || asked_for ||
                          in_base(engine_table[i], option->name));
            CHECK_ROW(o, option->name, !option->flag_off || option->type == OPTION_BOOL);
            CHECK_ROW(o, option->name, strcmp(option->name, "device") != 0); /* the service's */
            CHECK_ROW(o, option->name,
                      spec_option_find(spec->options, spec->option_count, option->name) == option);
        }
    }
    char version[64];
    assert_true(engine_find("llama-server")
                    ->version("version: 0.6.0-dev (build 0, commit unknown)\nbuilt with GNU",
                              version, sizeof version));
    assert_string_equal(version, "0.6.0-dev (build 0, commit unknown)");
    assert_true(engine_find("ollama")->version(
        "Warning: could not connect to a running Ollama instance\nWarning: client version is "
        "0.12.3\n",
        version, sizeof version));
    assert_string_equal(version, "0.12.3");
    assert_null(engine_find("none"));
}

/* What requests carry is the service's only where the file says so. */
static void test_keys(void **state)
{
    (void)state;
    static const struct {
        const char *environment, *kept_back, *text;
    } keys[] = {
        {"", "MY_KEY", ON_CPU_TEXT},
        {"{OTHER: x}", "MY_KEY", ON_CPU_TEXT "OTHER=x "},
        {"{MY_KEY: own}", NULL, ON_CPU_TEXT "MY_KEY=own "},
        {"{MY_KEY: null}", NULL, "env -u MY_KEY " ON_CPU_TEXT},
        {"{MY_KEY: '{MY_KEY}'}", NULL, ON_CPU_TEXT},
        {"{HF_HUB_OFFLINE: '{HF_HUB_OFFLINE}'}", "MY_KEY",
         "TRANSFORMERS_OFFLINE=1 CUDA_VISIBLE_DEVICES= "},
    };
    for (size_t i = 0; i < ARRAY_LEN(keys); i++) {
        char services[256];
        struct service_launch launch;
        struct err err = ERR_INIT;
        snprintf(services, sizeof services,
                 "  s:\n    role: llm\n    command: [./serve.sh]\n    protocol: openai-chat\n"
                 "    on: cpu\n    environment: %s\n",
                 keys[i].environment[0] ? keys[i].environment : "{}");
        struct bench bench = bench_open(services);
        bench.study->services[0].load.api_key_env = "MY_KEY";
        AUTO(free) char *text = launch_text(&bench, "", &launch, &err);
        CHECK_ROW_TEXT(i, keys[i].environment, text ? "" : err.text, "");
        char expected[512];
        snprintf(expected, sizeof expected, "%s@/./serve.sh", keys[i].text);
        CHECK_ROW_TEXT(i, keys[i].environment, text, expected);
        CHECK_ROW(i, keys[i].environment,
                  keys[i].kept_back
                      ? launch.env_keys[0] && strcmp(launch.env_keys[0], keys[i].kept_back) == 0 &&
                            !launch.env_keys[1]
                      : !launch.env_keys[0]);
        bench_close(&bench);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_commands),    cmocka_unit_test(test_missing_programs),
        cmocka_unit_test(test_prepare),     cmocka_unit_test(test_engines_are_whole),
        cmocka_unit_test(test_model_names), cmocka_unit_test(test_keys),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
