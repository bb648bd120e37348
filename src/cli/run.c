/* run: the experiment, resumed where it stopped, and its report at the end. */
#include "cli/command.h"
#include "cli/display.h"

#include "base/cancel.h"
#include "base/log.h"
#include "base/text.h"
#include "report/report.h"
#include "service/stray.h"
#include "study/study.h"

#include <string.h>
#include <unistd.h>

static const struct cli_option options[] = {
    {"out", 'o', "FOLDER", "keep results there (default NAME.spica beside the file)"},
    {"wait", 'w', NULL, "wait while another study holds the device"},
    {"fresh", 0, NULL, "start anew; earlier results move to NAME.spica.1, .2, ..."},
    {"trials", 'n', "N", "explore with at most N trials, whatever the file says"},
    {"time", 't', "TIME", "take at most that long (45m, 2h), whatever the file says"},
    {"verbose", 'v', NULL, "name every phase of every trial on stderr"},
    {"quiet", 'q', NULL, "no progress, only the end"},
    {NULL, 0, NULL, NULL},
};

static bool read_limits(const struct cli_args *args, struct study_options *options_out,
                        struct err *err)
{
    const char *trials = cli_value(&cli_run, args, "trials");
    const char *time = cli_value(&cli_run, args, "time");
    int64_t count = 0;
    if (trials && (!text_to_i64(trials, &count) || count < 1 || count > 1000000))
        return err_set(err, ERR_INPUT, "--trials %s: a whole number from 1 to 1000000 is needed",
                       trials);
    if (time && (!text_to_duration_ns(time, &options_out->time_ns) || options_out->time_ns <= 0))
        return err_set(err, ERR_INPUT, "--time %s: a time such as 45m or 2h is needed", time);
    options_out->trials = (int)count;
    return true;
}

static bool write_report(const char *folder, struct err *err)
{
    AUTO(free) char *path = study_store_path(folder);
    AUTO(store_close) struct store *store = NULL;
    AUTO(arena_free) struct arena *arena = arena_new();
    struct report_view *view = NULL;
    if (!store_open(path, STORE_READ, &store, err) ||
        !report_view_build(store, cli_catalog(), arena, &view, err) ||
        !report_write_all(view, folder, err))
        return err_wrap(err, "writing the report");
    report_print_end(view, stdout, cli_terminal(STDOUT_FILENO));
    return true;
}

static bool run(const struct cli_args *args, int *ret_status, struct err *err)
{
    AUTO(spec_study_free) struct spec_study *study = NULL;
    if (!spec_study_load(args->arguments[0], cli_catalog(), &study, err))
        return false;
    AUTO(free) char *folder = study_folder(study, cli_value(&cli_run, args, "out"));
    struct display display = display_init(study, stdout);
    display.verbose = cli_flag(&cli_run, args, "verbose");
    if (display.verbose)
        log_set_level(LOG_DEBUG);
    struct study_options study_options = {
        .study = study,
        .folder = folder,
        .wait = cli_flag(&cli_run, args, "wait"),
        .fresh = cli_flag(&cli_run, args, "fresh"),
    };
    if (!cli_flag(&cli_run, args, "quiet"))
        study_options.observer = display_observer(&display);
    if (!read_limits(args, &study_options, err))
        return false;
    cancel_install();
    if (!service_init(err))
        return false;
    enum study_outcome outcome;
    bool ok = study_run(&study_options, &outcome, err);
    display_clear(&display);
    if (!ok)
        return false;
    if (!write_report(folder, err))
        return false;
    if (outcome == OUTCOME_INFEASIBLE)
        *ret_status = err_exit_status(ERR_INFEASIBLE);
    return true;
}

const struct cli_command cli_run = {
    .name = "run",
    .arguments = "STUDY.yaml",
    .arguments_min = 1,
    .arguments_max = 1,
    .help = "the experiment; resumes where it stopped",
    .text = "Starts the services with each candidate, loads them together, and stores every trial "
            "at its\n"
            "end. ^C stops cleanly (the trial under way is redone later), twice stops now. Run the "
            "same\n"
            "command again to resume.",
    .options = options,
    .run = run,
};
