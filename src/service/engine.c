/* The table of engines, and weights looked at before any trial.
 *
 * Order: as they are shown in help, the engines of the demo first. */
#include "service/engine.h"

#include "base/clock.h"
#include "base/file.h"
#include "base/text.h"
#include "service/engines/engines.h"
#include "service/process.h"
#include "service/setting.h"

#include <errno.h>
#include <poll.h>
#include <string.h>

#define FETCH_WITHIN_NS (4 * 3600 * NS_PER_S)

const struct engine_ops *const engine_table[] = {
    &engine_llama_server, &engine_whisper_server, &engine_faster_whisper_server,
    &engine_vllm,         &engine_ollama,
};
const size_t engine_count = ARRAY_LEN(engine_table);

const struct engine_ops *engine_find(const char *name)
{
    for (size_t i = 0; i < engine_count; i++)
        if (strcmp(engine_table[i]->spec->name, name) == 0)
            return engine_table[i];
    return NULL;
}

static const char *base_name(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

const char *const *engine_base_argv(const struct engine_ops *ops, const char *program)
{
    const char *name = base_name(program);
    for (const struct engine_form *form = ops->forms; form && form->program; form++)
        if (text_starts_with(name, form->program))
            return form->argv;
    return ops->base_argv;
}

const struct spec_engine *const *engine_specs(size_t *ret_count)
{
    static const struct spec_engine
        *specs[ARRAY_LEN(engine_table)]; /* filled in once, then const */
    for (size_t i = 0; i < engine_count; i++)
        specs[i] = engine_table[i]->spec;
    *ret_count = engine_count;
    return specs;
}

struct prepare {
    struct arena *arena;
    const struct spec_study *study;
    const struct spec_candidate *candidate;
    size_t service;
    const struct spec_engine_use *use;
    const struct engine_ops *ops;
    bool fetch;
    struct buf *problems;
};

/* Runs the engine's fetching command to its end; the log's last line is the problem if it failed.
 */
static bool prepare_run(const struct prepare *prepare, const struct service_launch *launch,
                        bool *ret_fetched, struct err *err)
{
    AUTO(service_process_free) struct service_process *process = NULL;
    if (!service_process_start(launch, prepare->study->name, &process, err))
        return false;
    const int64_t deadline = clock_now_ns() + FETCH_WITHIN_NS;
    const struct process_status *status = service_process_status(process);
    while (status->state != PROCESS_EMPTY && clock_now_ns() < deadline) {
        struct pollfd fd = {.fd = service_process_fd(process), .events = POLLIN};
        if (poll(&fd, 1, 1000) < 0 && errno == EINTR)
            return err_set(err, ERR_STOPPED, "service %s: fetching was interrupted", launch->name);
        service_process_poll(process);
    }
    *ret_fetched = status->state == PROCESS_EMPTY && status->exit_code == 0;
    return true;
}

/* The trial's environment forbids what is wanted here. */
static void prepare_go_online(const char **env)
{
    static const char *const names[] = {"HF_HUB_OFFLINE=", "TRANSFORMERS_OFFLINE="};
    size_t kept = 0;
    for (size_t i = 0; env[i]; i++)
        if (strncmp(env[i], names[0], strlen(names[0])) != 0 &&
            strncmp(env[i], names[1], strlen(names[1])) != 0)
            env[kept++] = env[i];
    env[kept] = NULL;
}

/* Tries the hub for a name; *ret_fetched says whether it is there now. */
static bool prepare_fetch(const struct prepare *prepare, const char *name, bool *ret_fetched,
                          struct err *err)
{
    struct arena *arena = prepare->arena;
    char scratch[] = "/tmp/spica-fetch-XXXXXX";
    if (!mkdtemp(scratch))
        return err_sys(err, "making a folder for fetching");
    struct service_launch launch;
    AUTO(free) char *log_path = file_join(scratch, "fetch.log");
    bool done = service_launch_build(arena, prepare->study, prepare->candidate, prepare->service, 0,
                                     NULL, scratch, log_path, &launch, err);
    if (done) {
        const char *program = launch.program;
        launch.argv = prepare->ops->fetch_argv(arena, name, &program);
        launch.program = program;
        launch.config_name = launch.config_text = NULL;
        prepare_go_online(launch.env);
        if (launch.argv)
            done = prepare_run(prepare, &launch, ret_fetched, err);
    }
    unlink(log_path);
    rmdir(scratch);
    return done;
}

static bool prepare_weights(const struct prepare *prepare, const struct engine_setting *setting,
                            struct err *err)
{
    const char *service = prepare->study->services[prepare->service].name;
    const char *path = setting->text;
    struct buf problem = BUF_INIT(1024);
    bool ours = true;
    if (file_exists(path)) {
        if (prepare->ops->check_weights)
            prepare->ops->check_weights(path, &problem);
        else if (access(path, R_OK) != 0)
            buf_addf(&problem, "%s can't be read: %s", path, strerror(errno));
    } else if (path[0] == '/' || !prepare->ops->fetch_argv) {
        buf_addf(&problem, "%s is not there", path);
    } else if (!prepare->ops->cached || !prepare->ops->cached(path)) {
        bool fetched = false;
        if (prepare->fetch)
            ours = prepare_fetch(prepare, path, &fetched, err);
        if (!fetched)
            buf_addf(&problem, "%s is neither a folder below %s nor in the hub's cache%s", path,
                     prepare->study->folder,
                     prepare->fetch ? ", and fetching it failed" : "; spica prepare fetches it");
    }
    if (problem.len)
        buf_addf(prepare->problems, "%s: %s: %s\n", service, setting->option->name,
                 buf_text(&problem));
    buf_done(&problem);
    return ours;
}

bool engine_prepare(const struct spec_study *study, const struct spec_candidate *candidate,
                    size_t service, bool fetch, struct buf *ret_problems, struct err *err)
{
    const struct spec_engine_use *use = spec_candidate_engine(study, candidate, service);
    if (!use) /* a `command` service: what it reads is its own affair */
        return true;
    AUTO(arena_free) struct arena *arena = arena_new();
    const struct prepare prepare = {
        .arena = arena,
        .study = study,
        .candidate = candidate,
        .service = service,
        .use = use,
        .ops = engine_find(use->engine->name),
        .fetch = fetch,
        .problems = ret_problems,
    };
    if (!prepare.ops)
        return err_set(err, ERR_INTERNAL, "engine %s is described but not there",
                       use->engine->name);
    const struct engine_setting *settings =
        service_settings(arena, study, candidate, service, use, 0, "/nonexistent");
    for (size_t i = 0; i < use->engine->option_count; i++)
        if (settings[i].option->weights && settings[i].text &&
            !prepare_weights(&prepare, &settings[i], err))
            return false;
    return true;
}
