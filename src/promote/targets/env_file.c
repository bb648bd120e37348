/* A file of NAME=value lines that a unit reads (EnvironmentFile=).
 *
 * It belongs to a person, so only the lines of the variables named change, in their place; new ones
 * come at the end, and one comment at the top says what is spica's. Quoting is systemd's reading of
 * such files (as a shell's double quotes, without its expansions). Rejected: the whole file
 * written anew, with which every comment in it would be lost at the first promotion. */
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

/* Which variable the line gives; count: none of ours. */
static size_t find(const struct promote_variables *variables, const char *line)
{
    line += strspn(line, " \t");
    size_t i = 0;
    for (; i < variables->count; i++) {
        size_t len = strlen(variables->items[i].name);
        if (strncmp(line, variables->items[i].name, len) == 0 &&
            line[len + strspn(line + len, " \t")] == '=')
            break;
    }
    return i;
}

/* Its length with the lines that it goes on in (inside quotes, or after a backslash). */
static size_t line_length(const char *line)
{
    char quote = '\0';
    size_t len = 0;
    bool comment = line[strspn(line, " \t")] == '#' || line[strspn(line, " \t")] == ';';
    for (; line[len]; len++) {
        char c = line[len];
        if (c == '\n' && (!quote || comment))
            return len + 1;
        if (comment)
            continue;
        if (c == '\\' && quote != '\'' && line[len + 1])
            len++;
        else if (quote ? c == quote : (c == '"' || c == '\'') && len && line[len - 1] == '=')
            quote = quote ? '\0' : c;
    }
    return len;
}

static void add_text(struct buf *buf, const struct promote_context *context,
                     const struct promote_variables *variables, const char *before)
{
    bool written[1000] = {false};
    add_mark(buf, context, variables);
    for (const char *line = before ? before : ""; *line;) {
        size_t len = line_length(line), i = find(variables, line);
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
    return true;
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
    if (!promote_unit_read(context, service, NULL, &unit, &config, err) ||
        !promote_variables(context, service, &variables, err) ||
        !check_read(context, service, &config, &variables, err) ||
        !promote_file_text(context, p->file, &before, err))
        return false;
    add_text(&text, context, &variables, before);
    const struct promote_text file = {
        .path = p->file, .text = &text, .owned = PROMOTE_SHARED, .secret = variables.secret};
    if (!promote_file_add(context, service, &file, &changed, err))
        return false;
    return !changed || promote_restart_add(context, service, &unit, &restart, err);
}

const struct promote_target promote_target_env_file = {PRODUCTION_ENV_FILE, plan_env_file};
