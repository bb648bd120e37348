/* Units as they are: found, sound, and what other files say about the same things.
 *
 * Files of units are read line by line, no more exactly than their questions need: does this file
 * set that variable, has it a command of its own? systemd's own reading of ours is compared after
 * the reload, before anything is restarted. */
#include "promote/targets/systemd.h"

#include "base/text.h"
#include "promote/edited.h"
#include "promote/targets/env_text.h"

#include <ctype.h>
#include <string.h>
#include <sys/stat.h>

static bool fail_missing(struct promote_context *context, enum host_scope scope, const char *unit,
                         const char *service, struct err *err)
{
    const char *const *names = NULL;
    size_t count = 0;
    if (context->world->names && !context->world->names(context, scope, &names, &count, NULL))
        count = 0;
    const char *near = text_nearest(names, count, unit);
    return err_set(err, ERR_INPUT,
                   "production.%s.unit: there is no unit %s in the %s's systemd%s%s%s%s", service,
                   unit, scope == HOST_USER ? "user" : "system", near ? "; did you mean " : "",
                   near ? near : "", near ? "?" : "",
                   scope == HOST_SYSTEM ? " (a user's own unit needs \"user: true\")" : "");
}

const char *const *promote_drop_ins(struct promote_context *context,
                                    const struct host_config *config, const char *ours)
{
    size_t count = 0, n = 0;
    while (config->drop_ins && config->drop_ins[count])
        count++;
    const char **list = arena_array(context->plan->arena, count + 2, sizeof *list);
    for (size_t i = 0; i < count; i++)
        list[n++] = config->drop_ins[i];
    list[n] = ours;
    return list;
}

bool promote_unit_witnesses(struct promote_context *context, const struct host_config *config,
                            const char *except, struct err *err)
{
    if (config->fragment && config->fragment[0] &&
        !promote_witness_add(context, config->fragment, err))
        return false;
    for (size_t i = 0; config->drop_ins && config->drop_ins[i]; i++)
        if (strcmp(config->drop_ins[i], except) != 0 &&
            !promote_witness_add(context, config->drop_ins[i], err))
            return false;
    for (size_t i = 0; i < config->env_file_count; i++)
        if (strcmp(config->env_files[i].path, except) != 0 &&
            !promote_witness_variables(context, config->env_files[i].path, err))
            return false;
    return true;
}

bool promote_unit_read(struct promote_context *context, size_t service, struct host_unit *ret_unit,
                       struct host_config *ret_config, struct err *err)
{
    const struct spec_study *study = context->plan->study;
    const struct spec_production *p = &study->production[service];
    const enum host_scope scope = p->user ? HOST_USER : HOST_SYSTEM;
    if (!promote_service_unit(context, service, err))
        return false;
    const struct host_unit unit = *context->units[service];
    const struct host_config config = *context->configs[service];
    if (!unit.found || !config.found)
        return fail_missing(context, scope, p->unit, study->services[service].name, err);
    if (config.load_state && strcmp(config.load_state, "loaded") != 0)
        return err_set(err, ERR_INPUT,
                       "production.%s.unit: systemd does not take the files of %s (%s)",
                       study->services[service].name, p->unit, config.load_state);
    if (unit.transient)
        return err_set(err, ERR_INPUT,
                       "production.%s.unit: %s has no file: it was made on the fly and is gone "
                       "once it is stopped",
                       study->services[service].name, p->unit);
    context->plan->was_down[service] = !unit.up;
    /* The file of variables that we write is in the plan whole. */
    const char *const ours[] = {p->kind == PRODUCTION_ENV_FILE ? p->file : NULL, NULL};
    context->edited[service] = promote_unit_edited(&config, ours, context->plan->arena);
    *ret_unit = unit;
    *ret_config = config;
    return true;
}

const char *const *promote_expected(struct promote_context *context,
                                    const struct promote_variables *variables)
{
    struct arena *arena = context->plan->arena;
    const char **list = arena_array(arena, variables->count + 1, sizeof *list);
    for (size_t i = 0; i < variables->count; i++) {
        const struct promote_variable *v = &variables->items[i];
        list[i] = v->value ? arena_printf(arena, "%s=%s", v->name, v->value) : v->name;
    }
    return list;
}

bool promote_unit_runs_with(struct promote_context *context, const struct host_unit *unit,
                            const struct host_config *config, const char *path,
                            const char *const *variables, const char *const *exec)
{
    struct stat st;
    if (!unit->up)
        return true;
    enum promote_has has = context->world->process(context, config, variables, exec);
    if (has != PROMOTE_HAS_UNKNOWN || config->started_wall_us == 0 || stat(path, &st) != 0)
        return has != PROMOTE_HAS_NOT;
    int64_t written_us = (int64_t)st.st_mtim.tv_sec * 1000000 + st.st_mtim.tv_nsec / 1000;
    return written_us <= config->started_wall_us;
}

const char *promote_unit_text(struct promote_context *context, const char *path)
{
    AUTO(buf_done) struct buf buf = BUF_INIT(PROMOTE_FILE_MAX);
    if (!buf_read_file(&buf, path, NULL))
        return "";
    return arena_strdup(context->plan->arena, buf_text(&buf));
}

/* The text behind "KEY=" of the line, with its continuations; NULL: another line. */
static const char *value_of(const char *line, const char *key, size_t *ret_len)
{
    size_t len = strlen(key);
    line += strspn(line, " \t");
    if (strncmp(line, key, len) != 0)
        return NULL;
    line += len + strspn(line + len, " \t");
    if (*line != '=')
        return NULL;
    line++;
    size_t end = strcspn(line, "\n");
    while (end && line[end] && line[end - 1] == '\\')
        end += 1 + strcspn(line + end + 1, "\n");
    *ret_len = end;
    return line;
}

static const char *next_line(const char *line)
{
    line += strcspn(line, "\n");
    return *line ? line + 1 : line;
}

/* A word of the value is NAME or NAME=... */
static bool names_it(const char *value, size_t len, const char *name)
{
    size_t name_len = strlen(name);
    for (size_t i = 0; i + name_len <= len; i++) {
        if (strncmp(value + i, name, name_len) != 0)
            continue;
        char before = i ? value[i - 1] : ' ';
        char after = i + name_len < len ? value[i + name_len] : ' ';
        if (strchr(" \t\"'\n", before) && strchr(" \t\"'=\n\\", after))
            return true;
    }
    return false;
}

static bool file_sets(const char *text, const char *name)
{
    bool sets = false;
    while (*text && !sets) {
        struct promote_env_entry entry = promote_env_next(text);
        sets = entry.name && entry.name_len == strlen(name) &&
               strncmp(entry.name, name, entry.name_len) == 0;
        text += entry.len;
    }
    return sets;
}

bool promote_unit_sets(const char *text, const char *key, const char *name)
{
    size_t len = 0;
    bool sets = false;
    if (!key)
        return file_sets(text, name);
    for (const char *line = text; *line; line = next_line(line)) {
        const char *value = value_of(line, key, &len);
        if (value)
            sets = len && (sets || names_it(value, len, name));
    }
    return sets;
}

bool promote_unit_has(const char *text, const char *key)
{
    size_t len = 0;
    for (const char *line = text; *line; line = next_line(line))
        if (value_of(line, key, &len))
            return true;
    return false;
}

bool promote_unit_resets(const char *text, const char *key)
{
    size_t len = 0;
    for (const char *line = text; *line; line = next_line(line)) {
        const char *value = value_of(line, key, &len);
        if (value && strspn(value, " \t\r\"'") >= len)
            return true;
    }
    return false;
}
