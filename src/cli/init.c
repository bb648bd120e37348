/* init: a commented study file to start from, on stdout or as a file that did not exist. */
#include "cli/command.h"
#include "cli/templates.h"

#include "base/file.h"
#include "base/text.h"

#include <stdio.h>
#include <string.h>

static const struct cli_option options[] = {
    {"out", 'o', "FILE", "write it there; an existing file is never replaced"},
    {"list", 'l', NULL, "name the kinds"},
    {NULL, 0, NULL, NULL},
};

const struct cli_template *cli_template_find(const char *name)
{
    for (size_t i = 0; i < cli_templates_count; i++)
        if (strcmp(cli_templates[i].name, name) == 0)
            return &cli_templates[i];
    return NULL;
}

static const struct cli_template *find(const char *name, struct err *err)
{
    const char *names[16];
    size_t count = cli_templates_count < ARRAY_LEN(names) ? cli_templates_count : ARRAY_LEN(names);
    const struct cli_template *found = cli_template_find(name);
    if (found)
        return found;
    for (size_t i = 0; i < count; i++)
        names[i] = cli_templates[i].name;
    const char *nearest = text_nearest(names, count, name);
    err_set(err, ERR_INPUT, "init: no kind \"%s\"%s%s%s; see: spica init --list", name,
            nearest ? "; did you mean " : "", nearest ? nearest : "", nearest ? "?" : "");
    return NULL;
}

static bool run(const struct cli_args *args, int *ret_status, struct err *err)
{
    (void)ret_status;
    if (cli_flag(&cli_init, args, "list")) {
        for (size_t i = 0; i < cli_templates_count; i++) {
            const char *line = cli_templates[i].text + strspn(cli_templates[i].text, "# ");
            printf("%-10s %.*s\n", cli_templates[i].name, (int)strcspn(line, "\n"), line);
        }
        return true;
    }
    const char *name = args->argument_count ? args->arguments[0] : "voice-cpu";
    const struct cli_template *chosen = find(name, err);
    if (!chosen)
        return false;
    const char *out = cli_value(&cli_init, args, "out");
    if (!out)
        return fputs(chosen->text, stdout) >= 0;
    if (file_exists(out))
        return err_set(err, ERR_INPUT, "%s: exists already; nothing was written", out);
    if (!file_write_atomic(out, chosen->text, strlen(chosen->text), err))
        return false;
    printf("%s: edit it, then: spica check %s\n", out, out);
    return true;
}

const struct cli_command cli_init = {
    .name = "init",
    .arguments = "[KIND]",
    .arguments_min = 0,
    .arguments_max = 1,
    .help = "a commented study file to start from",
    .text = "KIND is voice-cpu (the default), voice-gpu or llm. Prints the file on stdout.",
    .options = options,
    .run = run,
};
