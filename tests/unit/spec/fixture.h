/* A catalogue of three engines and four protocols, shaped like the real ones but fixed here, and a
 * study that uses every key. The fuzzer reads studies against the same catalogue. */
#pragma once

#include "base/auto.h"
#include "spec/space.h"

static const char *const fixture_types[] = {"int8", "float32", NULL};

static const struct spec_option fixture_llama_options[] = {
    {.name = "model", .type = OPTION_PATH, .flag = "-m", .required = true, .weights = true,
     .help = "a GGUF file"},
    {.name = "threads", .type = OPTION_INT, .min = 1, .max = 512, .flag = "-t", .help = "threads"},
    {.name = "slots", .type = OPTION_INT, .min = 1, .max = 64, .flag = "-np", .help = "slots"},
};
static const struct spec_option fixture_whisper_options[] = {
    {.name = "model", .type = OPTION_PATH, .flag = "-m", .required = true, .weights = true,
     .help = "a ggml file"},
    {.name = "threads", .type = OPTION_INT, .min = 1, .max = 64, .flag = "-t", .help = "threads"},
    {.name = "language", .type = OPTION_TEXT, .flag = "-l", .help = "language"},
    {.name = "device", .type = OPTION_INT, .max = 63, .flag = "--device", .help = "index"},
};
static const struct spec_option fixture_faster_options[] = {
    {.name = "model", .type = OPTION_PATH, .required = true, .weights = true,
     .help = "a CTranslate2 folder"},
    {.name = "compute_type", .type = OPTION_CHOICE, .choices = fixture_types, .help = "numbers"},
    {.name = "threads", .type = OPTION_INT, .min = 1, .max = 64, .help = "threads"},
};
static const struct spec_option fixture_vllm_options[] = {
    {.name = "model", .type = OPTION_TEXT, .required = true, .help = "a model's name"},
    {.name = "gpu_memory_utilization", .type = OPTION_REAL, .min = 0.05, .max = 1,
     .flag = "--gpu-memory-utilization", .memory = MEMORY_MORE, .help = "share of the card"},
    {.name = "enforce_eager", .type = OPTION_BOOL, .flag = "--enforce-eager", .help = "no graphs"},
};

#define FIXTURE_OPTIONS(table) .options = (table), .option_count = ARRAY_LEN(table)
static const struct spec_engine fixture_engines[] = {
    {.name = "llama-server", .help = "llama.cpp", .role = ROLE_LLM, .protocol = "openai-chat",
     .program = "llama-server", .ready_path = "/health", FIXTURE_OPTIONS(fixture_llama_options)},
    {.name = "whisper-server", .help = "whisper.cpp", .role = ROLE_STT,
     .protocol = "openai-transcriptions", .program = "whisper-server", .ready_path = "/health",
     FIXTURE_OPTIONS(fixture_whisper_options)},
    {.name = "faster-whisper-server", .help = "CTranslate2", .role = ROLE_STT,
     .protocol = "openai-transcriptions", .program = "faster-whisper-server",
     .ready_path = "/health", FIXTURE_OPTIONS(fixture_faster_options)},
    {.name = "vllm", .help = "vLLM", .role = ROLE_LLM, .protocol = "openai-chat",
     .program = "vllm", .ready_path = "/health", .metrics_path = "/metrics",
     .ready_within_ns = 600000000000,
     FIXTURE_OPTIONS(fixture_vllm_options)},
};
static const struct spec_engine *const fixture_engine_list[] = {
    &fixture_engines[0], &fixture_engines[1], &fixture_engines[2], &fixture_engines[3]};

static const struct spec_option fixture_audio_options[] = {
    {.name = "model_field", .type = OPTION_TEXT, .help = "name of the form field"},
    {.name = "model_name", .type = OPTION_TEXT, .help = "the model that is asked for"},
    {.name = "beam_size", .type = OPTION_INT, .min = 1, .max = 20, .help = "beams"},
    {.name = "language", .type = OPTION_TEXT, .help = "spoken"},
};
static const struct spec_option fixture_named_options[] = {
    {.name = "model", .type = OPTION_TEXT, .help = "the model that is asked for"},
};
static const struct spec_protocol fixture_protocols[] = {
    {.name = "openai-transcriptions", .sources = SOURCE_ANY | SOURCE_AUDIO,
     .path = "/v1/audio/transcriptions", .help = "audio in, JSON out",
     FIXTURE_OPTIONS(fixture_audio_options)},
    {.name = "openai-chat", .sources = SOURCE_ANY | SOURCE_TEXT, .path = "/v1/chat/completions",
     .help = "SSE"},
    {.name = "plain", .sources = SOURCE_ANY, .path = "/", .help = "GET"},
    {.name = "named", .sources = SOURCE_ANY, .path = "/{model}", .help = "wants a model",
     .needs_model = true, FIXTURE_OPTIONS(fixture_named_options)},
};
static const struct spec_protocol *const fixture_protocol_list[] = {
    &fixture_protocols[0], &fixture_protocols[1], &fixture_protocols[2], &fixture_protocols[3]};
static const char *const fixture_strategies[] = {"grid", "random", "tournament"};

static const struct spec_catalog fixture_catalog = {
    .engines = fixture_engine_list, .engine_count = ARRAY_LEN(fixture_engine_list),
    .protocols = fixture_protocol_list, .protocol_count = ARRAY_LEN(fixture_protocol_list),
    .strategies = fixture_strategies, .strategy_count = ARRAY_LEN(fixture_strategies),
};
