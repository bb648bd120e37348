/* A file of NAME=value lines that a unit reads (EnvironmentFile=).
 *
 * It belongs to a person, so only the lines of the variables named change, in their place; new ones
 * come at the end, and one comment at the top says what is spica's. Quoting is systemd's reading of
 * such files (as a shell's double quotes, without its expansions). Rejected: the whole file
 * written anew, with which every comment in it would be lost at the first promotion. */
#include "promote/targets/env_text.h"
#include "promote/targets/systemd.h"

#include "base/text.h"

#include <ctype.h>
#include <string.h>

static const char mark[] = "# spica promote: ";

static bool is_plain(const char *text)
{
    for (const char *c = text; *c; c++)
        if (!isalnum((unsigned char)*c) && !strchr("_./:=,@+%-", *c))
            return false;
    return true;
}

static void add_line(struct buf *buf, const struct promote_variable *v)
{
    buf_addf(buf, "%s=", v->name);
    if (is_plain(v->value)) {
        buf_addf(buf, "%s\n", v->value);
        return;
    }
    buf_addc(buf, '"');
    for (const char *c = v->value; *c; c++) {
        if (strchr("\"\\$`", *c))
            buf_addc(buf, '\\');
        buf_addc(buf, *c);
    }
    buf_add(buf, "\"\n");
}

static void add_mark(struct buf *buf, const struct promote_context *context,
                     const struct promote_variables *variables)
{
    buf_add(buf, mark);
    for (size_t i = 0; i < variables->count; i++)
        buf_addf(buf, "%s%s", i ? ", " : "", variables->items[i].name);
    buf_addf(buf, " of study %s. Undo: %s\n", context->plan->study->name, context->undo);
}

/* Which variable the entry gives; count: none of ours. */
static size_t find(const struct promote_variables *variables, const struct promote_env_entry *entry)
{
    size_t i = 0;
    for (; i < variables->count; i++)
        if (entry->name && strlen(variables->items[i].name) == entry->name_len &&
            strncmp(entry->name, variables->items[i].name, entry->name_len) == 0)
            break;
    return i;
}

static void add_text(struct buf *buf, const struct promote_context *context,
                     const struct promote_variables *variables, const char *before)
{
    bool written[1000] = {false};
    add_mark(buf, context, variables);
    for (const char *line = before ? before : ""; *line;) {
        struct promote_env_entry entry = promote_env_next(line);
        size_t len = entry.len, i = find(variables, &entry);
        if (i < variables->count) {
            if (!written[i] && variables->items[i].value)
                add_line(buf, &variables->items[i]);
            written[i] = true;
        } else if (!text_starts_with(line, mark)) {
            buf_addf(buf, "%.*s%s", (int)len, line, line[len - 1] == '\n' ? "" : "\n");
        }
        line += len;
    }
    for (size_t i = 0; i < variables->count; i++)
        if (!written[i] && variables->items[i].value)
            add_line(buf, &variables->items[i]);
}

/* What is written at the end, or in the place of an entry, has to be an entry of its own. */
static bool check_text(const struct promote_context *context, size_t service, const char *text,
                       struct err *err)
{
    const struct spec_study *study = context->plan->study;
    for (const char *at = text ? text : ""; *at;) {
        struct promote_env_entry entry = promote_env_next(at);
        if (entry.open || entry.comment_goes_on)
            return err_set(err, ERR_INPUT, "production.%s.env_file: %s: %s",
                           study->services[service].name, study->production[service].file,
                           entry.open ? "it ends within quotes or behind a backslash: what comes "
                                        "after it would be a part of it"
                                      : "a comment ends with a backslash, which not every systemd "
                                        "reads alike: take it out");
        at += entry.len;
    }
    return true;
}

static bool fail_set(const struct promote_context *context, size_t service, const char *where,
                     const char *name, const char *how, struct err *err)
{
    return err_set(err, ERR_INPUT, "production.%s.env_file: %s %s %s",
                   context->plan->study->services[service].name, where, name, how);
}

static bool names_variable(const char *const *list, const char *name)
{
    size_t len = strlen(name);
    for (size_t i = 0; list && list[i]; i++)
        if (strncmp(list[i], name, len) == 0 && (list[i][len] == '=' || !list[i][len]))
            return true;
    return false;
}

/* UnsetEnvironment= wins over every file; what a file does not set any more, something before it
 * may. */
static bool check_unit_itself(struct promote_context *context, size_t service,
                              const struct host_config *config, size_t at,
                              const struct promote_variables *variables, struct err *err)
{
    for (size_t k = 0; k < variables->count; k++) {
        const struct promote_variable *v = &variables->items[k];
        bool unset = names_variable(config->unset, v->name);
        if (v->value && unset)
            return fail_set(context, service, "its unit takes", v->name,
                            "away (UnsetEnvironment=), whatever a file says: take that out there",
                            err);
        if (v->value || unset)
            continue;
        if (names_variable(config->environment, v->name))
            return fail_set(context, service, "its unit sets", v->name,
                            "itself (Environment=), so that it stays set: take that out there",
                            err);
        for (size_t i = 0; i < at; i++)
            if (promote_unit_sets(promote_unit_text(context, config->env_files[i].path), NULL,
                                  v->name))
                return fail_set(context, service, config->env_files[i].path, v->name,
                                "is set there, so that it stays set: take it out there", err);
    }
    return true;
}

/* The unit reads the file, and no later one gives the same variables. */
static bool check_read(struct promote_context *context, size_t service,
                       const struct host_config *config, const struct promote_variables *variables,
                       struct err *err)
{
    const struct spec_study *study = context->plan->study;
    const struct spec_production *p = &study->production[service];
    size_t at = 0;
    while (at < config->env_file_count && strcmp(config->env_files[at].path, p->file) != 0)
        at++;
    if (at == config->env_file_count)
        return err_set(err, ERR_INPUT,
                       "production.%s.env_file: %s does not read %s (no EnvironmentFile= names it)",
                       study->services[service].name, p->unit, p->file);
    for (size_t i = at + 1; i < config->env_file_count; i++) {
        const char *text = promote_unit_text(context, config->env_files[i].path);
        for (size_t k = 0; k < variables->count; k++)
            if (promote_unit_sets(text, NULL, variables->items[k].name))
                return err_set(err, ERR_INPUT,
                               "production.%s.env_file: %s sets %s too, and is read after it",
                               study->services[service].name, config->env_files[i].path,
                               variables->items[k].name);
    }
    return check_unit_itself(context, service, config, at, variables, err);
}

static bool plan_env_file(struct promote_context *context, size_t service, struct err *err)
{
    const struct spec_production *p = &context->plan->study->production[service];
    AUTO(buf_done) struct buf text = BUF_INIT(PROMOTE_FILE_MAX);
    struct promote_variables variables;
    struct promote_step *restart = NULL;
    struct host_config config;
    struct host_unit unit;
    const char *before = NULL;
    bool changed = false;
    if (!promote_unit_read(context, service, &unit, &config, err) ||
        !promote_unit_witnesses(context, &config, p->file, err) ||
        !promote_variables(context, service, &variables, err) ||
        !check_read(context, service, &config, &variables, err) ||
        !promote_file_text(context, p->file, &before, err) ||
        !check_text(context, service, before, err))
        return false;
    add_text(&text, context, &variables, before);
    const struct promote_text file = {
        .path = p->file, .text = &text, .owned = PROMOTE_SHARED, .secret = variables.secret};
    if (!promote_file_add(context, service, &file, &changed, err) ||
        (!changed && !promote_witness_variables(context, p->file, err)))
        return false;
    const char *const *expected = promote_expected(context, &variables);
    if (!changed && promote_unit_runs_with(context, &unit, &config, p->file, expected, NULL))
        return true;
    if (!promote_restart_add(context, service, &unit, &restart, err))
        return false;
    restart->variables = expected;
    restart->drop_ins = promote_drop_ins(context, &config, NULL);
    return true;
}

const struct promote_target promote_target_env_file = {PRODUCTION_ENV_FILE, plan_env_file};
