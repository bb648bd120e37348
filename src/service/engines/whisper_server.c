/* whisper.cpp's whisper-server.
 *
 * It answers at one path only, so that path is set to the one of OpenAI's interface unless the
 * study says otherwise. It exits with 0 after an unknown argument: only its words tell. Where it
 * finds no GPU it logs so and serves from the CPU. */
#include "service/engines/engines.h"

static const struct spec_option options[] = {
    {.name = "model",
     .type = OPTION_PATH,
     .flag = "--model",
     .required = true,
     .weights = true,
     .help = "ggml file (ggml-base.bin)"},
    {.name = "threads",
     .type = OPTION_INT,
     .min = 1,
     .max = 1024,
     .flag = "--threads",
     .help = "threads of one transcription"},
    {.name = "processors",
     .type = OPTION_INT,
     .min = 1,
     .max = 64,
     .flag = "--processors",
     .help = "pieces a clip is cut into, each with its own threads; changes the text"},
    {.name = "language",
     .type = OPTION_TEXT,
     .flag = "--language",
     .help = "spoken language (en), auto to detect it"},
    {.name = "beam_size",
     .type = OPTION_INT,
     .min = -1,
     .max = 64,
     .flag = "--beam-size",
     .help = "beams; left out: greedy"},
    {.name = "best_of",
     .type = OPTION_INT,
     .min = 1,
     .max = 64,
     .flag = "--best-of",
     .help = "candidates of a fallback"},
    {.name = "audio_ctx",
     .type = OPTION_INT,
     .min = 0,
     .max = 1500,
     .flag = "--audio-ctx",
     .help = "encoder positions, 0: all 30 s; fewer is faster and may be wrong"},
    {.name = "max_context",
     .type = OPTION_INT,
     .min = -1,
     .max = 16384,
     .flag = "--max-context",
     .help = "text tokens carried over"},
    {.name = "no_fallback",
     .type = OPTION_BOOL,
     .flag = "--no-fallback",
     .help = "never decode again at a higher temperature"},
    {.name = "no_timestamps",
     .type = OPTION_BOOL,
     .flag = "--no-timestamps",
     .help = "text without times"},
    {.name = "suppress_nst",
     .type = OPTION_BOOL,
     .flag = "--suppress-nst",
     .help = "no tokens for other sounds than speech"},
    {.name = "no_flash_attn",
     .type = OPTION_BOOL,
     .flag = "--no-flash-attn",
     .help = "without flash attention"},
    {.name = "flash_attn",
     .type = OPTION_BOOL,
     .flag = "--flash-attn",
     .help = "flash attention (older versions, which do without by default)"},
    {.name = "no_gpu",
     .type = OPTION_BOOL,
     .flag = "--no-gpu",
     .cpu_value = "true",
     .help = "stay on the CPU"},
    {.name = "device_index",
     .type = OPTION_INT,
     .min = 0,
     .max = 63,
     .flag = "--device",
     .help = "index of the GPU among those it sees (1.8 and later)"},
    {.name = "vad", .type = OPTION_BOOL, .flag = "--vad", .help = "leave silence out"},
    {.name = "vad_model",
     .type = OPTION_PATH,
     .flag = "--vad-model",
     .weights = true,
     .help = "model that finds speech"},
    {.name = "inference_path",
     .type = OPTION_TEXT,
     .flag = "--inference-path",
     .value = "/v1/audio/transcriptions",
     .help = "where it answers; whisper.cpp's own is /inference"},
};

static const struct service_signature signatures[] = {
    {"failed to open '", NULL, CAUSE_MISSING_WEIGHTS,
     "the model file is not there or can't be read", "1.5 to 1.8"},
    {"unknown language", NULL, CAUSE_REFUSED, "language: it does not know this one", "1.5 to 1.8"},
    {"std::invalid_argument", NULL, CAUSE_REFUSED, "a value that should be a number is none",
     "1.5 to 1.8"},
    {"error: failed to initialize whisper context", NULL, CAUSE_GENERIC,
     "it could not load the model", "1.5 to 1.8"},
    {NULL},
};

static const char *const base_argv[] = {"--host", "127.0.0.1", "--port", "{port}", NULL};

static const struct spec_engine spec = {
    .name = "whisper-server",
    .help = "whisper.cpp's server: one ggml model, speech to text",
    .role = ROLE_STT,
    .protocol = "openai-transcriptions",
    .program = "whisper-server",
    .ready_path = "/health",
    .options = options,
    .option_count = ARRAY_LEN(options),
};

/* A ggml file starts with the number 0x67676d6c, little-endian. */
static void check_weights(const char *path, struct buf *ret_problem)
{
    static const char magic[4] = {'l', 'm', 'g', 'g'};
    engine_check_magic(path, magic, sizeof magic, "ggml", ret_problem);
}

const struct engine_ops engine_whisper_server = {
    .spec = &spec,
    .base_argv = base_argv,
    .check_weights = check_weights,
    .signatures = signatures,
};
