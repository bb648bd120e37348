/* compare: candidates of one study against each other, in interleaved cold starts. */
#include "cli/command.h"
#include "cli/display.h"

#include "base/cancel.h"
#include "base/log.h"
#include "base/text.h"
#include "report/compare.h"
#include "service/stray.h"

#include <math.h>
#include <string.h>
#include <unistd.h>

enum { BLOCKS_DEFAULT = 12, BLOCKS_LEAST = 3 };

static const struct cli_option options[] = {
    {"tolerance", 0, "SHARE", "a difference up to this is none (3%)"},
    {"error", 0, "SHARE", "how often any answer may be false (5%)"},
    {"blocks", 'n', "N", "at most N cold starts of each (12); looks after 3, 4, 6, 8, 12, 16, 24"},
    {"time", 't', "TIME", "take at most that long (45m, 2h)"},
    {"fresh", 0, NULL, "do not go on with an earlier comparison of the same"},
    {"out", 'o', "FOLDER", "the study's results are there (default NAME.spica beside the file)"},
    {"wait", 'w', NULL, "wait while another study holds the device"},
    {"json", 'j', NULL, "print the result as JSON"},
    {"verbose", 'v', NULL, "name every phase of every trial on stderr"},
    {"quiet", 'q', NULL, "no progress, only the end"},
    {NULL, 0, NULL, NULL},
};

static bool read_share(const struct cli_args *args, const char *name, double most, double *share,
                       struct err *err)
{
    const char *text = cli_value(&cli_compare, args, name);
    struct err reason = ERR_INIT;
    double value = NAN;
    if (!text)
        return true;
    if (!metric_parse_quantity(UNIT_RATIO, text, &value, &reason) || !(value > 0 && value <= most))
        return err_set(err, ERR_INPUT, "--%s %s: a share above 0 and up to %g %% is needed", name,
                       text, 100 * most);
    *share = value;
    return true;
}

static bool read_limits(const struct cli_args *args, struct compare_options *how,
                        int64_t *ret_time_ns, struct err *err)
{
    const char *blocks = cli_value(&cli_compare, args, "blocks");
    const char *time = cli_value(&cli_compare, args, "time");
    int64_t count = BLOCKS_DEFAULT;
    if (blocks &&
        (!text_to_i64(blocks, &count) || count < BLOCKS_LEAST || count > COMPARE_BLOCKS_MAX))
        return err_set(err, ERR_INPUT, "--blocks %s: a whole number from %d to %d is needed",
                       blocks, BLOCKS_LEAST, COMPARE_BLOCKS_MAX);
    if (time && (!text_to_duration_ns(time, ret_time_ns) || *ret_time_ns <= 0))
        return err_set(err, ERR_INPUT, "--time %s: a time such as 45m or 2h is needed", time);
    how->blocks = (int)count;
    return read_share(args, "tolerance", 1, &how->tolerance, err) &&
           read_share(args, "error", 0.5, &how->error, err);
}

/* ---- progress, on stderr: stdout is the answer ---- */

static void on_trial_end(void *context, const struct study_view *view,
                         const struct store_trial *trial)
{
    (void)view;
    display_clear(context);
    AUTO(buf_done) struct buf line = BUF_INIT(8192);
    buf_addf(&line, "block %d  ", trial->repeat);
    text_add_escaped(&line, TEXT_TERMINAL, trial->candidate, strlen(trial->candidate), 400);
    buf_addf(&line, "  %s  ", trial->verdict);
    text_add_duration(&line, trial->duration_s);
    if (trial->summary && strcmp(trial->verdict, verdict_facts(VERDICT_OK)->name) != 0) {
        buf_add(&line, "  ");
        text_add_escaped(&line, TEXT_TERMINAL, trial->summary, strlen(trial->summary), 400);
    }
    fprintf(stderr, "%s\n", buf_text(&line));
}

static void on_looked(void *context, const struct study_comparison *so_far)
{
    display_clear(context);
    AUTO(buf_done) struct buf line = BUF_INIT(65536);
    report_add_comparison_look(&line, so_far);
    fprintf(stderr, "%s\n", buf_text(&line));
}

/* ---- the command ---- */

static bool show(const struct cli_args *args, const struct study_comparison *result,
                 struct err *err)
{
    if (!cli_flag(&cli_compare, args, "json")) {
        report_print_comparison(result, stdout, cli_terminal(STDOUT_FILENO));
        return true;
    }
    AUTO_JSON json_t *json = study_comparison_json(result);
    if (json_dumpf(json, stdout, JSON_INDENT(2) | JSON_REAL_PRECISION(15)) != 0)
        return err_sys(err, "printing");
    putchar('\n');
    return true;
}

static int status_of(const struct study_comparison *result)
{
    bool all_failed = true;
    for (size_t i = 0; i < result->side_count; i++)
        all_failed = all_failed && result->sides[i].failed;
    if (all_failed)
        return err_exit_status(ERR_INFEASIBLE);
    return result->over ? err_exit_status(ERR_PROBLEM) : 0;
}

static bool run(const struct cli_args *args, int *ret_status, struct err *err)
{
    struct compare_options how = {.sides = (const char *const *)args->arguments + 1,
                                  .side_count = (size_t)args->argument_count - 1,
                                  .error = 0.05,
                                  .tolerance = 0.03,
                                  .anew = cli_flag(&cli_compare, args, "fresh")};
    struct study_options study_options = {.wait = cli_flag(&cli_compare, args, "wait")};
    AUTO(spec_study_free) struct spec_study *study = NULL;
    AUTO(arena_free) struct arena *arena = arena_new();
    if (!read_limits(args, &how, &study_options.time_ns, err) ||
        !spec_study_load(args->arguments[0], cli_catalog(), &study, err))
        return false;
    AUTO(free) char *folder = study_folder(study, cli_value(&cli_compare, args, "out"));
    study_options.study = study;
    study_options.folder = folder;
    struct display display_state = display_init(study, stderr);
    AUTO(display_done) struct display *display = &display_state;
    display->verbose = cli_flag(&cli_compare, args, "verbose");
    if (display->verbose)
        log_set_level(LOG_DEBUG);
    if (!cli_flag(&cli_compare, args, "quiet")) {
        study_options.observer = display_observer(display);
        study_options.observer.begin = NULL; /* its table is of a study */
        study_options.observer.trial_end = on_trial_end;
        how.looked = on_looked;
        how.context = display;
    }
    cancel_install();
    struct study_comparison result;
    bool ok = service_init(err) && study_compare(&study_options, &how, arena, &result, err);
    display_clear(display);
    if (!ok || !report_write_comparison(&result, folder, err) || !show(args, &result, err))
        return false;
    *ret_status = status_of(&result);
    return true;
}

const struct cli_command cli_compare = {
    .name = "compare",
    .arguments = "STUDY.yaml A B [C...]",
    .arguments_min = 3,
    .arguments_max = 1 + COMPARE_SIDES_MAX,
    .help = "candidates against each other, with intervals",
    .text = "A, B are winner, baseline or settings such as \"stt.model=base llm.threads=4\"; what "
            "is not\n"
            "typed is the baseline's, or the winner's where the study names no baseline. Each "
            "block starts\n"
            "all of them anew once, in an order drawn for it. It stops when every objective has "
            "its answer\n"
            "(better, worse, or no difference beyond the tolerance) or the blocks are used up; "
            "the same\n"
            "command goes on where it stopped, with more --blocks too. Exits with 6 when another "
            "is\n"
            "certainly worse than A by more than the tolerance, or fails where A does not; with 3 "
            "when\n"
            "all fail. Writes compare-N.md and compare-N.json beside the study's results.",
    .options = options,
    .run = run,
};
