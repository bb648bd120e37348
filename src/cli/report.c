/* report: the files a person or a pipeline reads, recomputed from the store. */
#include "cli/command.h"
#include "cli/open.h"

#include "base/json.h"
#include "report/report.h"

#include <stdio.h>
#include <string.h>

static const struct cli_option options[] = {
    {"out", 'o', "FOLDER", "where the study's results are (default NAME.spica beside the file)"},
    {"to", 't', "FOLDER", "write the report there instead"},
    {"json", 'j', NULL, "print report.json on stdout, write nothing"},
    {NULL, 0, NULL, NULL},
};

static bool run(const struct cli_args *args, int *ret_status, struct err *err)
{
    struct cli_results results;
    if (!cli_open_results(args->arguments[0], cli_value(&cli_report, args, "out"), &results, err))
        return false;
    struct report_view *view = NULL;
    bool ok = report_view_build(results.store, cli_catalog(), results.arena, &view, err);
    if (ok && cli_flag(&cli_report, args, "json")) {
        AUTO_JSON json_t *json = report_json(view);
        AUTO(free) char *text = json_dumps(json, JSON_INDENT(2) | JSON_SORT_KEYS);
        ok = text ? puts(text) >= 0 : err_set(err, ERR_INTERNAL, "out of memory");
    } else if (ok) {
        const char *to = cli_value(&cli_report, args, "to");
        const char *folder = to ? to : results.folder;
        ok = report_write_all(view, folder, err);
        if (ok)
            printf("%s/report.md\n%s/report.html\n%s/report.json\n%s/winner.json\n", folder, folder,
                   folder, folder);
    }
    (void)ret_status;
    cli_close_results(&results);
    return ok;
}

const struct cli_command cli_report = {
    .name = "report",
    .arguments = "[STUDY]",
    .arguments_min = 0,
    .arguments_max = 1,
    .help = "write report.md, report.html, report.json, winner.json",
    .text = "STUDY is a study file, a NAME.spica folder or a study.db; without one, the only "
            "NAME.spica in\n"
            "this folder. Every number comes from the store; a study may still be running.",
    .options = options,
    .run = run,
};
