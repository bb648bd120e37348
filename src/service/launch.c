/* From a candidate to the exact command: program, arguments, environment, files.
 *
 * Nothing is decided later: what `spica check` prints is what is executed, and what is stored with
 * the trial. A shell was rejected: quoting rules, an extra process, and a service that is not its
 * own group's leader.
 *
 * Order of the arguments: the program, the engine's fixed ones, its options in table order,
 * `args:`. Order of the environment: what we set, what the engine sets, its options, the device,
 * what the study says; a later one wins. */
#include "base/file.h"
#include "service/container.h"
#include "service/engines/engines.h"
#include "service/setting.h"

#include <ctype.h>
#include <string.h>

enum { LAUNCH_ENV_MAX = 512 };

/* A trial never fetches: the libraries that would are told so. */
static const char *const offline_env[] = {"HF_HUB_OFFLINE", "1", "TRANSFORMERS_OFFLINE", "1", NULL};
/* A service that was asked to be on the CPU must not see a GPU. */
static const char *const cpu_env[] = {"CUDA_VISIBLE_DEVICES", "", NULL};

struct builder {
    struct arena *arena;
    const struct spec_study *study;
    const struct spec_candidate *candidate;
    const struct spec_service *spec;
    size_t service;
    int port;
    const struct launch_device *device;
    const char *scratch;
    const char **argv;
    size_t argc, argv_cap;
    const char **env, **unset;
    size_t env_count, unset_count;
    const struct engine_setting *settings; /* of the engine's options, NULL for `command` */
    size_t setting_count;
};

static const char *builder_expand(const struct builder *builder, const char *text)
{
    return service_expand(builder->arena, builder->study, builder->candidate, builder->service,
                          text, builder->port, builder->scratch);
}

static void builder_add(struct builder *builder, const char *argument)
{
    if (builder->argc + 1 >= builder->argv_cap) {
        size_t cap = builder->argv_cap ? builder->argv_cap * 2 : 32;
        const char **grown = arena_array(builder->arena, cap, sizeof *grown);
        if (builder->argc)
            memcpy(grown, builder->argv, builder->argc * sizeof *grown);
        builder->argv = grown;
        builder->argv_cap = cap;
    }
    builder->argv[builder->argc++] = argument;
}

static void builder_add_settings(struct builder *builder, const struct spec_setting *settings,
                                 size_t count)
{
    for (size_t i = 0; i < count; i++) {
        const char *text = builder_expand(builder, settings[i].text);
        if (text)
            builder_add(builder, text);
    }
}

static void builder_add_options(struct builder *builder)
{
    for (size_t i = 0; i < builder->setting_count; i++) {
        const struct engine_setting *setting = &builder->settings[i];
        const struct spec_option *option = setting->option;
        if (!option->flag || !setting->text)
            continue;
        if (option->type != OPTION_BOOL) {
            builder_add(builder, option->flag);
            builder_add(builder, setting->text);
        } else if (engine_setting_is_true(setting)) {
            builder_add(builder, option->flag);
        } else if (option->flag_off) {
            builder_add(builder, option->flag_off);
        }
    }
}

static const char *builder_setting(const struct builder *builder, const char *option)
{
    const struct engine_setting *setting =
        option ? engine_setting_find(builder->settings, builder->setting_count, option) : NULL;
    return setting ? setting->text : NULL;
}

/* The engine's fixed arguments, as this program takes them. */
static void builder_add_base(struct builder *builder, const struct engine_ops *ops,
                             const char *program)
{
    const char *const *argv = engine_base_argv(ops, program);
    for (size_t i = 0; argv && argv[i]; i++) {
        const char *text = argv[i][0] == '=' ? builder_setting(builder, argv[i] + 1)
                                             : builder_expand(builder, argv[i]);
        if (text)
            builder_add(builder, text);
    }
}

/* Removes an entry from a list of "NAME" or "NAME=value" texts; returns the new count. */
static size_t list_drop(const char **list, size_t count, const char *name)
{
    size_t len = strlen(name), kept = 0;
    for (size_t i = 0; i < count; i++)
        if (strncmp(list[i], name, len) != 0 || (list[i][len] != '=' && list[i][len] != '\0'))
            list[kept++] = list[i];
    list[kept] = NULL;
    return kept;
}

/* `value` NULL: removed. False when there is no room. */
static bool builder_set_env(struct builder *builder, const char *name, const char *value)
{
    builder->env_count = list_drop(builder->env, builder->env_count, name);
    builder->unset_count = list_drop(builder->unset, builder->unset_count, name);
    if (builder->env_count >= LAUNCH_ENV_MAX || builder->unset_count >= LAUNCH_ENV_MAX)
        return false;
    if (value)
        builder->env[builder->env_count++] = arena_printf(builder->arena, "%s=%s", name, value);
    else
        builder->unset[builder->unset_count++] = name;
    return true;
}

/* Ours, as it is; a container gets it by its name. False when there is no room. */
static bool builder_hand_on(struct builder *builder, const char *name)
{
    builder->env_count = list_drop(builder->env, builder->env_count, name);
    builder->unset_count = list_drop(builder->unset, builder->unset_count, name);
    if (!builder->spec->container)
        return true;
    if (builder->env_count >= LAUNCH_ENV_MAX)
        return false;
    builder->env[builder->env_count++] = name;
    return true;
}

/* A server that prints its environment would put them into a log that is stored. */
static const char **builder_keys(const struct builder *builder)
{
    const struct spec_study *study = builder->study;
    const char **keys = arena_array(builder->arena, study->service_count + 1, sizeof *keys);
    size_t count = 0;
    for (size_t s = 0; s < study->service_count; s++) {
        const char *key = study->services[s].load.api_key_env;
        for (size_t i = 0; key && i < builder->spec->environment_count; i++)
            if (strcmp(builder->spec->environment[i].name, key) == 0)
                key = NULL;
        if (key)
            keys[count++] = key;
    }
    keys[count] = NULL;
    return keys;
}

/* Set before exec: a program that looks at its environment after it has loaded the driver's library
 * sees what it likes. PCI order, so that a number means the same card to everybody. */
static void builder_add_device(struct builder *builder, const struct engine_ops *ops)
{
    const struct launch_device *device = builder->device;
    const char *name = device ? device->uuid : builder->study->device;
    if (builder->spec->on == ON_CPU || !name)
        return;
    if (device && ops && ops->wants_number && device->number[0])
        name = device->number;
    (void)!builder_set_env(builder, "CUDA_DEVICE_ORDER", "PCI_BUS_ID");
    (void)!builder_set_env(builder, "CUDA_VISIBLE_DEVICES", name);
}

static bool builder_add_env(struct builder *builder, const struct engine_ops *ops, struct err *err)
{
    const char *const *bases[] = {
        builder->spec->allow_download ? NULL : offline_env,
        builder->spec->on == ON_CPU ? cpu_env : NULL,
        ops ? ops->base_env : NULL,
    };
    builder->env = arena_array(builder->arena, LAUNCH_ENV_MAX + 1, sizeof *builder->env);
    builder->unset = arena_array(builder->arena, LAUNCH_ENV_MAX + 1, sizeof *builder->unset);
    for (size_t b = 0; b < ARRAY_LEN(bases); b++)
        for (size_t i = 0; bases[b] && bases[b][i]; i += 2)
            (void)!builder_set_env(builder, bases[b][i], /* a handful */
                                   builder_expand(builder, bases[b][i + 1]));
    for (size_t i = 0; i < builder->setting_count; i++)
        if (builder->settings[i].option->env && builder->settings[i].text)
            (void)!builder_set_env(builder, builder->settings[i].option->env,
                                   builder->settings[i].text);
    builder_add_device(builder, ops);
    for (size_t i = 0; i < builder->spec->environment_count; i++) {
        const struct spec_setting *setting = &builder->spec->environment[i];
        bool fits =
            spec_setting_hands_on(builder->study, builder->service, setting)
                ? builder_hand_on(builder, setting->name)
                : builder_set_env(builder, setting->name, builder_expand(builder, setting->text));
        if (!fits)
            return err_set(err, ERR_LIMIT, "service %s: more than %d environment entries",
                           builder->spec->name, (int)LAUNCH_ENV_MAX);
    }
    return true;
}

static bool builder_find_program(const struct builder *builder, const char *name,
                                 const char **ret_program, struct err *err)
{
    if (!name || !name[0])
        return err_set(err, ERR_INPUT, "service %s: its program is left out by this candidate",
                       builder->spec->name);
    AUTO(free) char *found = file_find_program(name, builder->study->folder);
    if (!found)
        return err_set(err, ERR_MISSING,
                       "service %s: no program %s: not found %s, or not executable",
                       builder->spec->name, name,
                       strchr(name, '/') ? "from the study file's folder" : "on PATH");
    AUTO(free) char *absolute = file_absolute(found); /* a relative folder on PATH */
    *ret_program = arena_strdup(builder->arena, absolute);
    return true;
}

static bool builder_take_engine(struct builder *builder, const struct spec_engine_use *use,
                                const struct engine_ops *ops, struct service_launch *launch,
                                struct err *err)
{
    const char *program =
        use->program ? builder_expand(builder, use->program) : use->engine->program;
    if (!builder_find_program(builder, program, &launch->program, err))
        return false;
    const struct engine_setting *settings =
        service_settings(builder->arena, builder->study, builder->candidate, builder->service, use,
                         builder->port, builder->scratch);
    size_t count = use->engine->option_count;
    for (size_t i = 0; i < count; i++)
        if (settings[i].option->required && !settings[i].text)
            return err_set(err, ERR_INPUT,
                           "service %s: %s needs %s, which this candidate leaves out", launch->name,
                           use->engine->name, settings[i].option->name);
    builder->settings = settings;
    builder->setting_count = count;
    builder_add(builder, program);
    builder_add_base(builder, ops, program);
    builder_add_options(builder);
    launch->model = builder_setting(builder, ops->model_option);
    return !ops->configure || ops->configure(builder->arena, settings, count, launch, err);
}

static bool builder_take_command(struct builder *builder, struct service_launch *launch,
                                 struct err *err)
{
    builder_add_settings(builder, builder->spec->command, builder->spec->command_count);
    return builder_find_program(builder, builder->argc ? builder->argv[0] : NULL, &launch->program,
                                err);
}

bool service_launch_build(struct arena *arena, const struct spec_study *study,
                          const struct spec_candidate *candidate, size_t service, int port,
                          const struct launch_device *device, const char *scratch,
                          const char *log_path, struct service_launch *ret_launch, struct err *err)
{
    struct builder builder = {
        .device = device,
        .arena = arena,
        .study = study,
        .candidate = candidate,
        .spec = &study->services[service],
        .service = service,
        .port = port,
        .scratch = scratch,
    };
    const struct spec_engine_use *use = spec_candidate_engine(study, candidate, service);
    const struct engine_ops *ops = use ? engine_find(use->engine->name) : NULL;
    if (use && !ops)
        return err_set(err, ERR_INTERNAL, "engine %s is described but not there",
                       use->engine->name);
    struct service_launch launch = {
        .name = builder.spec->name,
        .spec = builder.spec,
        .engine = use ? use->engine : NULL,
        .folder = builder.spec->folder ? builder.spec->folder : study->folder,
        .scratch = arena_strdup(arena, scratch),
        .log_path = arena_strdup(arena, log_path),
        .port = port,
    };
    bool built = use ? builder_take_engine(&builder, use, ops, &launch, err)
                     : builder_take_command(&builder, &launch, err);
    if (!built)
        return false;
    builder_add_settings(&builder, builder.spec->arguments, builder.spec->argument_count);
    if (!builder_add_env(&builder, ops, err))
        return false;
    launch.argv = builder.argv;
    launch.env = builder.env;
    launch.env_unset = builder.unset;
    launch.env_keys = builder_keys(&builder);
    if (builder.spec->container && !service_container_build(arena, study, &launch, err))
        return false;
    *ret_launch = launch;
    return true;
}

/* As a POSIX shell reads it back; plain words stay plain. */
static void add_quoted(struct buf *buf, const char *text)
{
    static const char plain[] = "+,-./:=@_%";
    bool quote = !text[0];
    for (const char *at = text; *at && !quote; at++)
        quote = !isalnum((unsigned char)*at) && !strchr(plain, *at);
    if (!quote) {
        buf_add(buf, text);
        return;
    }
    buf_addc(buf, '\'');
    for (const char *at = text; *at; at++) {
        if (*at == '\'')
            buf_add(buf, "'\\''");
        else
            buf_addc(buf, *at);
    }
    buf_addc(buf, '\'');
}

void service_launch_add_text(struct buf *buf, const struct service_launch *launch)
{
    if (launch->env_unset && launch->env_unset[0]) {
        buf_add(buf, "env");
        for (size_t i = 0; launch->env_unset[i]; i++) {
            buf_add(buf, " -u ");
            add_quoted(buf, launch->env_unset[i]);
        }
        buf_addc(buf, ' ');
    }
    for (size_t i = 0; launch->env && launch->env[i]; i++) {
        size_t name = strcspn(launch->env[i], "=");
        buf_addf(buf, "%.*s=", (int)name, launch->env[i]);
        if (launch->env[i][name] && launch->env[i][name + 1])
            add_quoted(buf, launch->env[i] + name + 1);
        buf_addc(buf, ' ');
    }
    add_quoted(buf, launch->program);
    for (size_t i = 1; launch->argv[0] && launch->argv[i]; i++) {
        buf_addc(buf, ' ');
        add_quoted(buf, launch->argv[i]);
    }
}
