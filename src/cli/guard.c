/* guard: production watched, looked at once, or a recording of it judged again. */
#include "cli/command.h"
#include "cli/promotion.h"

#include "base/cancel.h"
#include "base/log.h"
#include "base/text.h"
#include "guard/alarms.h"
#include "guard/guard.h"
#include "guard/replay.h"

#include <stdio.h>
#include <unistd.h>

static const struct cli_option options[] = {
    {"once", 0, NULL, "look for some seconds, print what is seen; exit 6 when something is wrong"},
    {"replay", 'r', "FILE", "judge this recording by the study's rules (- is standard input)"},
    {"dry-run", 'n', NULL, "say what would be done, and do nothing"},
    {"json", 'j', NULL, "print JSON, one object a line"},
    {"out", 'o', "FOLDER", "the study's results are there (default NAME.spica)"},
    {NULL, 0, NULL, NULL},
};

static bool replay(const struct cli_args *args, const struct spec_study *study, struct err *err)
{
    const struct guard_replay_options how = {.study = study,
                                             .path = cli_value(&cli_guard, args, "replay"),
                                             .json = cli_flag(&cli_guard, args, "json")};
    struct guard_replay_result result;
    AUTO(buf_done) struct buf line = BUF_INIT(512);
    if (!guard_replay(&how, stdout, &result, err))
        return false;
    if (how.json)
        return true; /* whoever reads that can count */
    text_add_grouped(&line, (int64_t)result.ticks);
    buf_add(&line, " ticks over ");
    text_add_duration(&line, (double)result.span_ns / 1e9);
    buf_addf(&line, ": %llu decisions, %llu alarms", (unsigned long long)result.decisions,
             (unsigned long long)result.alarms);
    if (result.tier_steps > 0) {
        buf_addf(&line, "; tiers: %llu choices, ", (unsigned long long)result.tier_choices);
        if (result.tier_others > 0)
            buf_addf(&line, "in %llu of %llu looks unlike then",
                     (unsigned long long)result.tier_others, (unsigned long long)result.tier_steps);
        else
            buf_add(&line, "as they were then");
    }
    buf_addc(&line, '\n');
    fputs(buf_text(&line), stdout);
    return true;
}

/* A recording says nothing of this machine, and one look does nothing to it. */
static bool check_options(const struct cli_args *args, struct err *err)
{
    const bool again = cli_flag(&cli_guard, args, "replay");
    const bool once = cli_flag(&cli_guard, args, "once");
    if (again && once)
        return err_set(err, ERR_INPUT, "guard: --replay and --once: one or the other");
    if ((again || once) && cli_flag(&cli_guard, args, "dry-run"))
        return err_set(err, ERR_INPUT, "guard: --dry-run: %s does nothing to the machine anyway",
                       again ? "--replay" : "--once");
    return true;
}

static bool run(const struct cli_args *args, int *ret_status, struct err *err)
{
    struct cli_study found_state = {0};
    AUTO(cli_study_done) struct cli_study *found = &found_state;
    const char *name = args->argument_count ? args->arguments[0] : NULL;
    bool wrong = false;
    if (!check_options(args, err) ||
        !cli_study_find(name, cli_value(&cli_guard, args, "out"), found, err))
        return false;
    if (!found->study->guard)
        return err_set(err, ERR_INPUT,
                       "%s: has no \"guard\": say there what is watched, see spica-study(5)",
                       found->study->path);
    if (!guard_alarms_check_names(found->study, found->study->path, err))
        return false;
    if (cli_flag(&cli_guard, args, "replay"))
        return replay(args, found->study, err);
    const struct guard_options how = {.study = found->study,
                                      .folder = found->folder,
                                      .catalog = cli_catalog(),
                                      .dry_run = cli_flag(&cli_guard, args, "dry-run"),
                                      .json = cli_flag(&cli_guard, args, "json"),
                                      .width = cli_width(STDOUT_FILENO)};
    cancel_install();
    if (!cli_flag(&cli_guard, args, "once")) {
        log_set_level(LOG_INFO); /* what it takes to run, at its start and when that changes */
        return guard_run(&how, stdout, err);
    }
    if (!guard_once(&how, stdout, &wrong, err))
        return false;
    if (wrong)
        *ret_status = err_exit_status(ERR_PROBLEM);
    return true;
}

const struct cli_command cli_guard = {
    .name = "guard",
    .arguments = "[STUDY]",
    .arguments_min = 0,
    .arguments_max = 1,
    .help = "production watched: percentiles, memory, rules, tiers",
    .text =
        "Watches the services that run in production, as the study file's `guard` says: latencies, "
        "errors, memory, placement, restarts, out of memory of every kind. Judges by its rules, "
        "and says each decision with its numbers; does only what `act` names there. Runs until it "
        "is stopped, as a service of systemd or in a terminal; nothing stands in the way of a "
        "request, and when it ends everything goes on as it was. What it saw is recorded beside "
        "the study's results, and --replay judges that again: try a rule on the day before. "
        "docs/OPERATIONS.md tells how to run it and what each alarm means.",
    .options = options,
    .run = run,
};
