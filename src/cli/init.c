/* init: a commented study file to start from, on stdout or as a file that did not exist. */
#include "cli/command.h"
#include "cli/templates.h"

#include "base/file.h"
#include "base/text.h"
#include "doctor/doctor.h"

#include <stdio.h>
#include <string.h>

static const struct cli_option options[] = {
    {"out", 'o', "FILE", "write it there; an existing file is never replaced"},
    {"list", 'l', NULL, "name the kinds"},
    {"found", 'f', NULL, "for the services that run here, with their present settings"},
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

/* For what runs here. Without --found, a machine on which nothing does gets a template instead. */
static bool write_found(bool asked, struct buf *text, bool *ret_found, struct err *err)
{
    static const struct doctor_options everything = {.proc_root = "/proc"};
    AUTO(doctor_report_free) struct doctor_report *report = NULL;
    struct err refused = ERR_INIT;
    if (doctor_look(&everything, &report, &refused) &&
        doctor_write_study(report, cli_catalog(), text, &refused)) {
        *ret_found = true;
        return true;
    }
    return !asked || err_set(err, refused.code, "init: %s", refused.text);
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
    bool asked = cli_flag(&cli_init, args, "found"), found = false;
    AUTO(buf_done) struct buf text = BUF_INIT(1 << 20);
    if (asked && args->argument_count)
        return err_set(err, ERR_INPUT, "init: a KIND and --found exclude each other");
    if (args->argument_count == 0 && !write_found(asked, &text, &found, err))
        return false;
    const char *name = args->argument_count ? args->arguments[0] : "voice-cpu";
    const struct cli_template *chosen = found ? NULL : find(name, err);
    if (!chosen && !found)
        return false;
    const char *content = found ? buf_text(&text) : chosen->text;
    const char *out = cli_value(&cli_init, args, "out");
    if (!out)
        return fputs(content, stdout) >= 0;
    if (file_exists(out))
        return err_set(err, ERR_INPUT, "%s: exists already; nothing was written", out);
    if (!file_write_atomic(out, content, strlen(content), err))
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
    .text = "Without a KIND: for the servers that run here (see spica doctor), with today's "
            "settings as the baseline; where none does, voice-cpu. KIND is voice-cpu, voice-gpu or "
            "llm. Prints the file on stdout.",
    .options = options,
    .run = run,
};
