/* show: the leaderboard, one trial in full, or a service's log; also while a study runs. */
#include "cli/command.h"
#include "cli/open.h"

#include "base/json.h"
#include "base/text.h"
#include "report/report.h"

#include <stdio.h>
#include <unistd.h>

static const struct cli_option options[] = {
    {"trial", 't', "N", "that trial in full"},
    {"log", 'l', "SERVICE", "with --trial: that service's log"},
    {"json", 'j', NULL, "the whole report as JSON"},
    {"out", 'o', "FOLDER", "where the study's results are (default NAME.spica beside the file)"},
    {NULL, 0, NULL, NULL},
};

static bool show(const struct cli_args *args, struct cli_results *results, struct err *err)
{
    const char *trial = cli_value(&cli_show, args, "trial");
    const char *log = cli_value(&cli_show, args, "log");
    int64_t number = 0;
    if (trial && !text_to_i64(trial, &number))
        return err_set(err, ERR_INPUT, "--trial %s: a trial's number is needed", trial);
    if (log && !trial)
        return err_set(err, ERR_INPUT, "--log needs --trial N");
    if (log)
        return report_print_log(results->store, number, log, stdout, err);
    struct report_terminal terminal = cli_terminal(STDOUT_FILENO);
    if (trial)
        return report_print_trial(results->store, cli_catalog(), number, stdout, terminal, err);
    struct report_view *view = NULL;
    if (!report_view_build(results->store, cli_catalog(), results->arena, &view, err))
        return false;
    if (cli_flag(&cli_show, args, "json")) {
        AUTO_JSON json_t *json = report_json(view);
        AUTO(free) char *text = json_dumps(json, JSON_INDENT(2) | JSON_SORT_KEYS);
        return text ? puts(text) >= 0 : err_set(err, ERR_INTERNAL, "out of memory");
    }
    report_print_leaderboard(view, stdout, terminal);
    return true;
}

static bool run(const struct cli_args *args, int *ret_status, struct err *err)
{
    (void)ret_status;
    struct cli_results results;
    if (!cli_open_results(args->arguments[0], cli_value(&cli_show, args, "out"), &results, err))
        return false;
    bool ok = show(args, &results, err);
    cli_close_results(&results);
    return ok;
}

const struct cli_command cli_show = {
    .name = "show",
    .arguments = "[STUDY]",
    .arguments_min = 0,
    .arguments_max = 1,
    .help = "leaderboard, one trial in full, a service's log",
    .text = "STUDY is a study file, a NAME.spica folder or a study.db; without one, the only "
            "NAME.spica in\n"
            "this folder. Reads only; a study may be running.",
    .options = options,
    .run = run,
};
