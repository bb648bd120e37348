/* A drop-in beside a systemd unit: variables, and where asked for the whole command.
 *
 * The unit's own file stays as it is, whoever wrote it. Ours is read before drop-ins with later
 * names ("override.conf" of systemctl edit): where one of those, or an environment file, which
 * systemd reads after all variables, says something else about the same thing, ours would be
 * written and change nothing. That is refused, naming the file; rejected: a name that comes after
 * all others ("zz-..."), with which a person's edit would silently do nothing instead.
 *
 * Quoting is systemd's (systemd.syntax(7)): C's escapes inside double quotes, "%" doubled because
 * specifiers are expanded everywhere, "$" doubled in commands alone. An ExecStart= of a drop-in is
 * a further command until an empty one has taken the others away. */
#include "promote/targets/systemd.h"

#include "base/file.h"
#include "base/text.h"
#include "promote/secret.h"

#include <ctype.h>
#include <string.h>

static const char drop_in_name[] = PROMOTE_DROP_IN;
static const char no_folder[] = "/spica-has-no-folder-here"; /* where a trial has its {dir} */

struct writer {
    struct promote_context *context;
    size_t service;
    const struct spec_production *p;
    struct promote_variables variables;
    const char *const *exec; /* NULL: left as it is */
    const char *folder;      /* NULL: left as it is */
    const char *path;
    struct host_unit unit;
    struct host_config config;
};

/* ---- what the study measured ---- */

static bool has_trial_folder(const struct service_launch *launch)
{
    for (size_t i = 0; launch->argv[i]; i++)
        if (strstr(launch->argv[i], no_folder))
            return true;
    for (size_t i = 0; launch->env[i]; i++)
        if (strstr(launch->env[i], no_folder))
            return true;
    return launch->config_text;
}

static void put_variable(struct promote_variables *all, struct promote_variable variable)
{
    for (size_t i = 0; i < all->count; i++)
        if (strcmp(all->items[i].name, variable.name) == 0)
            return; /* what production says itself counts */
    variable.secret = variable.value && promote_is_secret(variable.name, variable.value);
    all->secret = all->secret || variable.secret;
    all->items[all->count++] = variable;
}

/* Its variables become production's, less those that production names itself. */
static void take_variables(struct writer *w, const struct service_launch *launch)
{
    struct arena *arena = w->context->plan->arena;
    size_t count = w->variables.count;
    for (size_t i = 0; launch->env[i]; i++)
        count++;
    for (size_t i = 0; launch->env_unset[i]; i++)
        count++;
    struct promote_variables all = {.items = arena_array(arena, count + 1, sizeof *all.items),
                                    .secret = w->variables.secret};
    for (size_t i = 0; i < w->variables.count; i++)
        all.items[all.count++] = w->variables.items[i];
    for (size_t i = 0; launch->env[i]; i++) {
        size_t len = strcspn(launch->env[i], "=");
        put_variable(&all,
                     (struct promote_variable){.name = arena_strndup(arena, launch->env[i], len),
                                               .value = launch->env[i] + len + 1});
    }
    for (size_t i = 0; launch->env_unset[i]; i++)
        put_variable(&all, (struct promote_variable){.name = launch->env_unset[i]});
    w->variables = all;
}

static bool take_measured(struct writer *w, struct err *err)
{
    struct promote_plan *plan = w->context->plan;
    const struct spec_study *study = plan->study;
    const char *name = study->devices[spec_candidate_device(study, &plan->winner, w->service)];
    const char *service = study->services[w->service].name;
    struct device_facts *facts = arena_alloc(plan->arena, sizeof *facts);
    struct launch_device device = {0};
    struct service_launch launch;
    if (spec_device_is_gpu(name)) {
        if (!w->context->world->device(w->context, name, facts, err))
            return err_wrap(err, "production.%s.exec", service);
        device = (struct launch_device){facts->id, facts->number};
    }
    if (!service_launch_build(plan->arena, study, &plan->winner, w->service, w->p->port, &device,
                              no_folder, no_folder, &launch, err))
        return err_wrap(err, "production.%s.exec: as-measured", service);
    if (has_trial_folder(&launch))
        return err_set(err, ERR_INPUT,
                       "production.%s.exec: as-measured: what the study runs needs a trial's own "
                       "folder; write the command as a list",
                       service);
    size_t count = 0;
    while (launch.argv[count])
        count++;
    const char **words = arena_array(plan->arena, count + 1, sizeof *words);
    for (size_t i = 0; i < count; i++)
        words[i] = launch.argv[i];
    words[0] = launch.program;
    w->exec = words;
    w->folder = launch.folder;
    take_variables(w, &launch);
    return true;
}

static bool take_exec(struct writer *w, struct err *err)
{
    const struct spec_study *study = w->context->plan->study;
    if (w->p->exec_as_measured)
        return take_measured(w, err);
    if (w->p->exec.count == 0)
        return true;
    if (!promote_command(w->context, w->service, &w->p->exec, &w->exec, err))
        return false;
    if (w->exec[0][0] != '/')
        return err_set(err, ERR_INPUT,
                       "production.%s.exec: \"%.100s\": systemd wants the program's whole path",
                       study->services[w->service].name, w->exec[0]);
    return true;
}

/* ---- what others say about the same ---- */

static bool fail_other(const struct writer *w, const char *path, const char *what,
                       const char *instead, struct err *err)
{
    return err_set(err, ERR_INPUT, "production.%s: %s sets %s after spica's drop-in would: %s",
                   w->context->plan->study->services[w->service].name, path, what, instead);
}

static bool check_file(const struct writer *w, const char *path, const char *text, bool later,
                       struct err *err)
{
    for (size_t i = 0; i < w->variables.count; i++) {
        const struct promote_variable *v = &w->variables.items[i];
        if ((later && promote_unit_sets(text, "Environment", v->name)) ||
            (v->value && promote_unit_sets(text, "UnsetEnvironment", v->name)))
            return fail_other(w, path, v->name, "take it out there, or out of production", err);
    }
    if (later && w->exec && promote_unit_has(text, "ExecStart"))
        return fail_other(w, path, "ExecStart", "take it out there, or exec out of production",
                          err);
    return true;
}

/* An empty one takes away what was set before it, whatever it was. */
static bool check_resets(const struct writer *w, const char *path, const char *text,
                         struct err *err)
{
    bool sets = false, unsets = false;
    for (size_t i = 0; i < w->variables.count; i++) {
        sets = sets || w->variables.items[i].value;
        unsets = unsets || !w->variables.items[i].value;
    }
    const char *key = sets && promote_unit_resets(text, "Environment")          ? "Environment"
                      : unsets && promote_unit_resets(text, "UnsetEnvironment") ? "UnsetEnvironment"
                                                                                : NULL;
    return !key || err_set(err, ERR_INPUT,
                           "production.%s: %s has an empty %s= after spica's drop-in, which takes "
                           "all of it away: take that out there",
                           w->context->plan->study->services[w->service].name, path, key);
}

static bool check_drop_in(const struct writer *w, const char *path, struct err *err)
{
    const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;
    const char *text = promote_unit_text(w->context, path);
    const bool later = strcmp(name, drop_in_name) > 0;
    if (strcmp(name, drop_in_name) == 0)
        return err_set(err, ERR_INPUT,
                       "production.%s: %s has the name of spica's drop-in, and systemd reads only "
                       "one of that name: rename it",
                       w->context->plan->study->services[w->service].name, path);
    return check_file(w, path, text, later, err) && (!later || check_resets(w, path, text, err));
}

static bool check_others(const struct writer *w, struct err *err)
{
    const struct host_config *c = &w->config;
    if (c->fragment && c->fragment[0] &&
        !check_file(w, c->fragment, promote_unit_text(w->context, c->fragment), false, err))
        return false;
    for (size_t i = 0; c->drop_ins && c->drop_ins[i]; i++)
        if (strcmp(c->drop_ins[i], w->path) != 0 && !check_drop_in(w, c->drop_ins[i], err))
            return false;
    for (size_t i = 0; i < c->env_file_count; i++) {
        const char *text = promote_unit_text(w->context, c->env_files[i].path);
        for (size_t k = 0; k < w->variables.count; k++)
            if (w->variables.items[k].value &&
                promote_unit_sets(text, NULL, w->variables.items[k].name))
                return fail_other(w, c->env_files[i].path, w->variables.items[k].name,
                                  "promote it there, with env_file", err);
    }
    return true;
}

/* ---- the text ---- */

/* No comma: what hides secrets may take one for the end of a value. */
static bool is_plain(const char *text)
{
    for (const char *c = text; *c; c++)
        if (!isalnum((unsigned char)*c) && !strchr("_./:=@+-", *c))
            return false;
    return *text;
}

/* One word as systemd reads it back; `dollar` is doubled in commands. */
static void add_word(struct buf *buf, const char *text, char dollar)
{
    if (is_plain(text)) {
        buf_add(buf, text);
        return;
    }
    buf_addc(buf, '"');
    for (; *text; text++) {
        if (*text == '"' || *text == '\\')
            buf_addc(buf, '\\');
        if (*text == '%' || (dollar && *text == dollar))
            buf_addc(buf, *text);
        if (*text == '\t')
            buf_add(buf, "\\t");
        else
            buf_addc(buf, *text);
    }
    buf_addc(buf, '"');
}

/* One line for each option, so that a diff shows the value that changes. */
static void add_exec(struct buf *buf, const char *const *exec)
{
    buf_add(buf, "ExecStart=\nExecStart=");
    for (size_t i = 0; exec[i]; i++) {
        if (i)
            buf_add(buf, exec[i][0] == '-' ? " \\\n    " : " ");
        add_word(buf, exec[i], '$');
    }
    buf_addc(buf, '\n');
}

static void add_text(struct buf *buf, const struct writer *w)
{
    promote_header_add(buf, w->context, w->service);
    buf_add(buf, "[Service]\n");
    for (size_t i = 0; i < w->variables.count; i++) {
        const struct promote_variable *v = &w->variables.items[i];
        AUTO(buf_done) struct buf word = BUF_INIT(PROMOTE_FILE_MAX);
        if (v->value)
            buf_addf(&word, "%s=%s", v->name, v->value);
        buf_add(buf, v->value ? "Environment=" : "UnsetEnvironment=");
        add_word(buf, v->value ? buf_text(&word) : v->name, '\0');
        buf_addc(buf, '\n');
    }
    if (w->folder) {
        buf_add(buf, "WorkingDirectory=");
        for (const char *c = w->folder; *c; c++)
            buf_addf(buf, *c == '%' ? "%c%c" : "%c", *c, *c);
        buf_addc(buf, '\n');
    }
    if (w->exec)
        add_exec(buf, w->exec);
}

static bool plan_unit(struct promote_context *context, size_t service, struct err *err)
{
    const struct spec_production *p = &context->plan->study->production[service];
    struct writer w = {.context = context, .service = service, .p = p};
    const enum host_scope scope = p->user ? HOST_USER : HOST_SYSTEM;
    const char *folder = context->world->unit_folder(context, scope);
    AUTO(buf_done) struct buf text = BUF_INIT(PROMOTE_FILE_MAX);
    struct promote_step *restart = NULL;
    bool changed = false;
    if (!folder)
        return err_set(err, ERR_INPUT, "no folder for a user's units: HOME is not set");
    if (!file_exists(folder))
        return err_set(err, ERR_INPUT, "%s is not there, where systemd reads drop-ins: make it",
                       folder);
    if (!promote_unit_read(context, service, &w.unit, &w.config, err))
        return false;
    w.path = arena_printf(context->plan->arena, "%s/%s.d/%s", folder,
                          w.unit.name[0] ? w.unit.name : p->unit, drop_in_name);
    if (!promote_unit_witnesses(context, &w.config, w.path, err) ||
        !promote_variables(context, service, &w.variables, err) || !take_exec(&w, err) ||
        !check_others(&w, err))
        return false;
    add_text(&text, &w);
    const struct promote_text file = {
        .path = w.path, .text = &text, .owned = PROMOTE_OURS, .secret = w.variables.secret};
    if (!promote_file_add(context, service, &file, &changed, err))
        return false;
    const char *const *environment = promote_expected(context, &w.variables);
    if (!changed && host_config_check(&w.config, environment, w.exec, NULL) &&
        promote_unit_runs_with(context, &w.unit, &w.config, w.path, environment, w.exec))
        return true; /* written, read by systemd, and what its process was started with */
    if (!promote_restart_add(context, service, &w.unit, &restart, err))
        return false;
    restart->environment = restart->variables = environment;
    restart->exec = w.exec;
    restart->drop_ins = promote_drop_ins(context, &w.config, w.path);
    return true;
}

const struct promote_target promote_target_unit = {PRODUCTION_UNIT, plan_unit};
