/* Answers that a real machine would give, from a table and a folder. */
#include "made.h"

#include "check.h"

#include "base/buf.h"
#include "base/file.h"
#include "store/store.h"

#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>

static const struct made *made_of(struct promote_context *context)
{
    return context->world->data;
}

static bool made_unit(struct promote_context *context, enum host_scope scope, const char *name,
                      struct host_unit *ret_unit, struct host_config *ret_config, struct err *err)
{
    (void)scope;
    (void)err;
    const struct made *made = made_of(context);
    *ret_unit =
        (struct host_unit){.found = false, .can_start = !made->no_start, .once = made->once};
    *ret_config = (struct host_config){.found = false};
    for (size_t i = 0; i < made->config_count; i++)
        if (strcmp(made->configs[i].name, name) == 0) {
            *ret_config = made->configs[i];
            ret_config->found = ret_unit->found = true;
            ret_unit->up = !made->down;
            if (i == 0 && made->dependents)
                snprintf(ret_unit->dependents, sizeof ret_unit->dependents, "%s", made->dependents);
        }
    return true;
}

static bool made_names(struct promote_context *context, enum host_scope scope,
                       const char *const **ret_names, size_t *ret_count, struct err *err)
{
    (void)scope;
    (void)err;
    const struct made *made = made_of(context);
    const char **names = arena_array(context->plan->arena, made->config_count, sizeof *names);
    for (size_t i = 0; i < made->config_count; i++)
        names[i] = made->configs[i].name;
    *ret_names = names;
    *ret_count = made->config_count;
    return true;
}

static bool made_device(struct promote_context *context, const char *name,
                        struct device_facts *ret_facts, struct err *err)
{
    (void)name;
    (void)err;
    const char *versions = made_of(context)->device_versions;
    *ret_facts = (struct device_facts){.id = "cpu", .name = "a CPU"};
    snprintf(ret_facts->versions, sizeof ret_facts->versions, "%s",
             versions ? versions : "Linux 6.1");
    return true;
}

static char *made_version(struct promote_context *context, const struct service_launch *launch)
{
    static const char *const measured[] = {"1.7.4", "b4719"};
    const size_t i = strcmp(launch->name, "llm") == 0;
    const char *version = made_of(context)->versions[i];
    return strdup(version ? version : measured[i]);
}

static enum promote_has made_process(struct promote_context *context,
                                     const struct host_config *config, const char *const *variables,
                                     const char *const *exec)
{
    (void)config;
    (void)variables;
    (void)exec;
    return made_of(context)->process;
}

static const char *made_folder(struct promote_context *context, enum host_scope scope)
{
    return arena_printf(context->plan->arena, "%s/%s", made_of(context)->folder,
                        scope == HOST_USER ? "user" : "system");
}

const char *made_path(const struct made *made, const char *name)
{
    static char paths[8][256];
    static size_t next;
    char *path = paths[next++ % 8];
    snprintf(path, sizeof paths[0], "%s/%s", made->folder, name);
    return path;
}

void made_file(const struct made *made, const char *name, const char *text)
{
    struct err err = ERR_INIT;
    AUTO(free) char *parent = file_folder(made_path(made, name));
    if (!file_make_folders(parent, &err) ||
        !file_write_atomic(made_path(made, name), text, strlen(text), &err))
        fail_msg("%s", err.text);
}

void made_init(struct made *made, enum sample_story story)
{
    AUTO(store_close) struct store *store = NULL;
    struct sample_options options = {.story = story};
    struct err err = ERR_INIT;
    *made = (struct made){.folder = "/tmp/spica-plan-XXXXXX"};
    assert_non_null(mkdtemp(made->folder));
    made->world = (struct promote_world){made,         made_unit,    made_names, made_device,
                                         made_version, made_process, made_folder};
    made_file(made, "system/keep", "");
    made_file(made, "user/keep", "");
    made_file(made, "r/keep", "");
    if (!store_open(made_path(made, "r/study.db"), STORE_CREATE, &store, &err) ||
        !sample_fill(store, &options, &err))
        fail_msg("%s", err.text);
}

void made_edited_study(struct made *made, const char *from, const char *to, const char *production)
{
    AUTO(store_close) struct store *store = NULL;
    AUTO(buf_done) struct buf text = BUF_INIT(1 << 20);
    struct err err = ERR_INIT;
    struct store_study stored;
    bool found = false;
    made->study = spec_study_free(made->study);
    if (!store_open(made_path(made, "r/study.db"), STORE_READ, &store, &err) ||
        !store_study_get(store, &found, &stored, &err))
        fail_msg("%s", err.text);
    const char *at = strstr(stored.text, from);
    assert_non_null(at);
    buf_addf(&text, "%.*s%s%s%s", (int)(at - stored.text), stored.text, to, at + strlen(from),
             production);
    if (!spec_study_parse(made_path(made, "voice.yaml"), buf_text(&text), text.len,
                          sample_catalog(), &made->study, &err))
        fail_msg("%s", err.text);
}

void made_study(struct made *made, const char *production)
{
    made_edited_study(made, "", "", production);
}

struct promote_plan *made_plan(struct made *made, const char *const *accept, struct err *err)
{
    static const char *const usual[] = {"spica", NULL};
    AUTO(free) char *results = strdup(made_path(made, "r"));
    struct promote_options options = {.folder = results,
                                      .catalog = sample_catalog(),
                                      .accept = accept ? accept : usual,
                                      .world = &made->world};
    struct promote_plan *plan = NULL;
    return promote_plan_make(made->study, &options, &plan, err) ? plan : NULL;
}

void made_done(struct made *made)
{
    made->study = spec_study_free(made->study);
    pid_t pid = fork();
    if (pid == 0) {
        execlp("rm", "rm", "-rf", "--", made->folder, (char *)NULL);
        _exit(127);
    }
    waitpid(pid, NULL, 0);
}
