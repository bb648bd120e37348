/* faster-whisper-server (CTranslate2).
 *
 * Its command line knows no compute type, threads or beams: those go into a YAML file which is
 * written into the service's scratch folder. The model is called whisper-1 there, which is what the
 * server assumes for requests that name none. Texts are written as JSON strings, which YAML reads
 * as they are, whatever they hold.
 *
 * The device is always stated, as the service's `on` says: with `auto` the program silently takes
 * the CPU when the GPU fails. It sees one GPU only, so its index is 0 unless the study says more.
 */
#include "service/engines/engines.h"

#include "base/file.h"
#include "base/json.h"

#include <string.h>
#include <sys/stat.h>

enum { CONFIG_MAX = 16384 };

static const char *const compute_types[] = {
    "default",      "auto",          "int8",  "int8_float32",
    "int8_float16", "int8_bfloat16", "int16", "float16",
    "bfloat16",     "float32",       NULL};

static const struct spec_option options[] = {
    {.name = "model",
     .type = OPTION_TEXT,
     .required = true,
     .weights = true,
     .help = "folder with model.bin, or a name known to the hub (base, org/name)"},
    {.name = "compute_type",
     .type = OPTION_CHOICE,
     .choices = compute_types,
     .value = "default",
     .help = "number format of the computation"},
    {.name = "threads",
     .type = OPTION_INT,
     .min = 0,
     .max = 1024,
     .help = "threads of one transcription; 0: CTranslate2's own choice"},
    {.name = "device_index", .type = OPTION_INT, .min = 0, .max = 63, .help = "index of the GPU"},
    {.name = "num_workers",
     .type = OPTION_INT,
     .min = 1,
     .max = 64,
     .help = "transcriptions at the same time in one process"},
    {.name = "workers",
     .type = OPTION_INT,
     .min = 1,
     .max = 64,
     .flag = "--workers",
     .value = "1",
     .help = "server processes, each with its own copy of the model"},
    {.name = "batch_size",
     .type = OPTION_INT,
     .min = 1,
     .max = 256,
     .help = "pieces of a clip decoded together"},
    {.name = "beam_size", .type = OPTION_INT, .min = 1, .max = 64, .help = "beams"},
    {.name = "language", .type = OPTION_TEXT, .help = "spoken language (en); left out: detected"},
    {.name = "vad_filter", .type = OPTION_BOOL, .help = "leave silence out"},
    {.name = "condition_on_previous_text", .type = OPTION_BOOL, .help = "carry text over"},
    {.name = "log_level",
     .type = OPTION_TEXT,
     .flag = "--log-level",
     .value = "info",
     .help = "of the server"},
};

static const struct service_signature signatures[] = {
    {"Invalid WhisperModel options", NULL, CAUSE_REFUSED, "the model refused an option", "0.0.3"},
    {"Invalid compute type", NULL, CAUSE_REFUSED, "compute_type: not known", "ctranslate2 4"},
    {"do not support efficient", "computation", CAUSE_REFUSED,
     "compute_type: this device can't do it", "ctranslate2 4"},
    {NULL},
};

/* Where each option without a flag goes in the file, in file order. */
enum section { SECTION_MODEL, SECTION_MODEL_OPTIONS, SECTION_TRANSCRIBE_OPTIONS, SECTION_COUNT_ };
static const struct {
    const char *option, *key;
    enum section section;
} config_keys[] = {
    {"batch_size", "batch_size", SECTION_MODEL},
    {"device_index", "device_index", SECTION_MODEL_OPTIONS},
    {"compute_type", "compute_type", SECTION_MODEL_OPTIONS},
    {"threads", "cpu_threads", SECTION_MODEL_OPTIONS},
    {"num_workers", "num_workers", SECTION_MODEL_OPTIONS},
    {"beam_size", "beam_size", SECTION_TRANSCRIBE_OPTIONS},
    {"language", "language", SECTION_TRANSCRIBE_OPTIONS},
    {"vad_filter", "vad_filter", SECTION_TRANSCRIBE_OPTIONS},
    {"condition_on_previous_text", "condition_on_previous_text", SECTION_TRANSCRIBE_OPTIONS},
};
static const char *const section_names[SECTION_COUNT_] = {
    [SECTION_MODEL_OPTIONS] = "model_options",
    [SECTION_TRANSCRIBE_OPTIONS] = "transcribe_options",
};

static const char *const base_argv[] = {
    "--config", "{dir}/faster-whisper-server.yaml", "--host", "127.0.0.1", "--port", "{port}",
    NULL};
/* Python would keep its last words in a buffer when it is killed. */
static const char *const base_env[] = {"PYTHONUNBUFFERED", "1", NULL};

static const struct spec_engine spec = {
    .name = "faster-whisper-server",
    .help = "faster-whisper's server (CTranslate2): speech to text",
    .role = ROLE_STT,
    .protocol = "openai-transcriptions",
    .program = "faster-whisper-server",
    .ready_path = "/health",
    .options = options,
    .option_count = ARRAY_LEN(options),
};

static void add_text(struct buf *yaml, const char *text)
{
    json_t *string = json_text_or_null(text);
    char *quoted = json_dump_text(string);
    buf_add(yaml, quoted);
    free(quoted);
    json_decref(string);
}

static void add_value(struct buf *yaml, const struct engine_setting *setting)
{
    switch (setting->option->type) {
    case OPTION_INT:
    case OPTION_REAL:
        buf_add(yaml, setting->text);
        break;
    case OPTION_BOOL:
        buf_add(yaml, engine_setting_is_true(setting) ? "true" : "false");
        break;
    default:
        add_text(yaml, setting->text);
        break;
    }
}

static void add_section(struct buf *yaml, enum section section,
                        const struct engine_setting *settings, size_t count,
                        const struct service_launch *launch)
{
    const char *indent = section == SECTION_MODEL ? "    " : "      ";
    if (section_names[section])
        buf_addf(yaml, "    %s:\n", section_names[section]);
    for (size_t i = 0; i < ARRAY_LEN(config_keys); i++) {
        const struct engine_setting *setting =
            engine_setting_find(settings, count, config_keys[i].option);
        if (config_keys[i].section != section || !setting || !setting->text)
            continue;
        buf_addf(yaml, "%s%s: ", indent, config_keys[i].key);
        add_value(yaml, setting);
        buf_addc(yaml, '\n');
    }
    if (section != SECTION_MODEL_OPTIONS)
        return;
    buf_addf(yaml, "%sdevice: %s\n", indent, launch->spec->on == ON_GPU ? "cuda" : "cpu");
    if (!launch->spec->allow_download)
        buf_addf(yaml, "%slocal_files_only: true\n", indent);
}

static bool configure(struct arena *arena, const struct engine_setting *settings, size_t count,
                      struct service_launch *launch, struct err *err)
{
    struct buf yaml = BUF_INIT(CONFIG_MAX);
    buf_add(&yaml, "models:\n  - name: whisper-1\n    path: ");
    add_text(&yaml, engine_setting_find(settings, count, "model")->text);
    buf_addc(&yaml, '\n');
    for (int section = 0; section < SECTION_COUNT_; section++)
        add_section(&yaml, (enum section)section, settings, count, launch);
    launch->config_name = "faster-whisper-server.yaml";
    launch->config_text = arena_strdup(arena, buf_text(&yaml));
    bool fits = !yaml.over;
    buf_done(&yaml);
    return fits || err_set(err, ERR_LIMIT, "service %s: its settings do not fit into %d bytes",
                           launch->name, (int)CONFIG_MAX);
}

/* A folder as faster-whisper reads it; a hub's name is looked up by the program itself. */
static void check_weights(const char *path, struct buf *ret_problem)
{
    static const char *const files[] = {"model.bin", "config.json"};
    for (size_t i = 0; i < ARRAY_LEN(files) && ret_problem->len == 0; i++) {
        AUTO(free) char *file = file_join(path, files[i]);
        struct stat at;
        if (stat(file, &at) != 0 || !S_ISREG(at.st_mode))
            buf_addf(ret_problem, "%s holds no %s", path, files[i]);
        else if (at.st_size == 0 || access(file, R_OK) != 0)
            buf_addf(ret_problem, "%s is %s", file, at.st_size == 0 ? "empty" : "not readable");
    }
}

/* A bare name is one of SYSTRAN's conversions. */
static bool cached(const char *name)
{
    AUTO(buf_done) struct buf repository = BUF_INIT(4096);
    buf_addf(&repository, "%s%s", strchr(name, '/') ? "" : "Systran/faster-whisper-", name);
    return !repository.over && engine_hub_holds(buf_text(&repository), "model.bin");
}

/* The server's own Python fetches with the server's own library. */
static const char **fetch_argv(struct arena *arena, const char *name, const char **program)
{
    static const char code[] = "import sys; from faster_whisper import download_model; "
                               "print(download_model(sys.argv[1]))";
    return engine_python_argv(arena, code, name, program);
}

const struct engine_ops engine_faster_whisper_server = {
    .spec = &spec,
    .base_argv = base_argv,
    .base_env = base_env,
    .configure = configure,
    .check_weights = check_weights,
    .fetch_argv = fetch_argv,
    .cached = cached,
    .signatures = signatures,
    .python_package = "faster-whisper",
};
