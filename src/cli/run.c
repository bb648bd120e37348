/* run: the experiment, resumed where it stopped, and its report at the end. */
#include "cli/command.h"
#include "cli/contention.h"
#include "cli/display.h"
#include "cli/pause.h"

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
    {"max-parallel", 'p', "N",
     "N trials at once, each on its own of the devices under device: (1)"},
    {"show-contention", 0, NULL, "measure why not more: the candidate alone, and beside copies"},
    {"copies", 0, "K", "how many copies of each service --show-contention starts (10)"},
    {"pause", 0, "UNIT", "stop these systemd units meanwhile (a,b or again); shows a plan, asks",
     .list = true},
    {"user", 0, NULL, "they are the user's own units (default unless root)"},
    {"approve", 'y', NULL, "the plan of --pause is approved: ask nothing"},
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
    const char *parallel = cli_value(&cli_run, args, "max-parallel");
    int64_t lanes = 1;
    if (parallel && (!text_to_i64(parallel, &lanes) || lanes < 1 || lanes > 1000))
        return err_set(err, ERR_INPUT, "--max-parallel %s: a number of trials is needed", parallel);
    options_out->max_parallel = (size_t)lanes;
    return true;
}

/* What says how a study goes on says nothing about four windows. */
static bool check_contention(const struct cli_args *args, struct err *err)
{
    static const char *const others[] = {"fresh", "trials", "time", "max-parallel"};
    bool show = cli_flag(&cli_run, args, "show-contention");
    if (!show && cli_flag(&cli_run, args, "copies"))
        return err_set(err, ERR_INPUT, "--copies goes with --show-contention");
    for (size_t i = 0; show && i < ARRAY_LEN(others); i++)
        if (cli_flag(&cli_run, args, others[i]))
            return err_set(err, ERR_INPUT,
                           "--%s has no meaning with --show-contention, which runs four windows of "
                           "one candidate",
                           others[i]);
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

static bool read_pause(const struct cli_args *args, const struct study_options *study_options,
                       struct cli_pause *pause, struct err *err)
{
    pause->study = study_options->study;
    pause->folder = study_options->folder;
    pause->names = cli_value(&cli_run, args, "pause");
    bool user = cli_flag(&cli_run, args, "user");
    pause->scope = user || geteuid() != 0 ? HOST_USER : HOST_SYSTEM;
    pause->approved = cli_flag(&cli_run, args, "approve");
    pause->time_ns = study_options->time_ns;
    if (!pause->names && (user || pause->approved))
        return err_set(err, ERR_INPUT, "--%s goes with --pause", user ? "user" : "approve");
    return cli_pause_recover(pause, err) && cli_pause_ask(pause, err);
}

static bool make_room(void *context, struct err *err)
{
    return cli_pause_begin(context, err);
}

static bool run(const struct cli_args *args, int *ret_status, struct err *err)
{
    struct cli_pause pause_state = {0};
    AUTO(cli_pause_done) struct cli_pause *pause = &pause_state;
    AUTO(spec_study_free) struct spec_study *study = NULL;
    if (!spec_study_load(args->arguments[0], cli_catalog(), &study, err))
        return false;
    AUTO(free) char *folder = study_folder(study, cli_value(&cli_run, args, "out"));
    struct display display_state = display_init(study, stdout);
    AUTO(display_done) struct display *display = &display_state;
    display->verbose = cli_flag(&cli_run, args, "verbose");
    if (display->verbose)
        log_set_level(LOG_DEBUG);
    struct study_options study_options = {
        .study = study,
        .folder = folder,
        .wait = cli_flag(&cli_run, args, "wait"),
        .fresh = cli_flag(&cli_run, args, "fresh"),
    };
    if (!cli_flag(&cli_run, args, "quiet"))
        study_options.observer = display_observer(display);
    if (!check_contention(args, err) || !read_limits(args, &study_options, err) ||
        !read_pause(args, &study_options, pause, err))
        return false;
    cancel_install();
    if (!service_init(err))
        return false;
    study_options.make_room = make_room;
    study_options.room_context = pause;
    enum study_outcome outcome = OUTCOME_COUNT_;
    bool contention = cli_flag(&cli_run, args, "show-contention");
    bool ok = contention ? cli_show_contention(&study_options, cli_value(&cli_run, args, "copies"),
                                               display, err)
                         : study_run(&study_options, &outcome, err);
    display_clear(display);
    /* Before the report: production waits. */
    struct err restore_err = ERR_INIT;
    bool restored = cli_pause_end(pause, ok, ok ? &restore_err : err);
    if (!ok)
        return false;
    if (!contention && !write_report(folder, err))
        return false;
    if (outcome == OUTCOME_INFEASIBLE)
        *ret_status = err_exit_status(ERR_INFEASIBLE);
    if (!restored)
        *err = restore_err;
    return restored;
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
            "command again to resume. Units stopped by --pause are started again at the end, by a "
            "unit\n"
            "that systemd runs when spica is killed, and after a reboot by systemd if they are "
            "enabled,\n"
            "else by spica restore.",
    .options = options,
    .run = run,
};
