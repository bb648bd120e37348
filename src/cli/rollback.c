/* rollback: the last promotion undone, also one that was interrupted in the middle. It asks
 * nothing: who types it wants the old state, often in a hurry; --dry-run says what it would do. */
#include "cli/promotion.h"

#include "base/cancel.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/json.h"
#include "base/text.h"
#include "cli/open.h"

#include <string.h>

static const struct cli_option options[] = {
    {"dry-run", 'n', NULL, "say what was found and what would be undone, and touch nothing"},
    {"accept", 0, "NAME",
     "go on where it was declined: \"program\" runs the commands that undo it as they are now, "
     "though they have changed since the approval; \"unit\" restarts all of its units, also those "
     "whose own files have changed since their start; both: program,unit"},
    {"out", 'o', "FOLDER", "the study's results are there (default NAME.spica)"},
    {"json", 'j', NULL, "print the result as JSON; progress goes to stderr"},
    {NULL, 0, NULL, NULL},
};

static const char *const found_words[PROMOTE_STATE_COUNT_] = {
    [PROMOTE_APPLYING] = "was interrupted while it was applied",
    [PROMOTE_VERIFYING] = "was interrupted while it was verified",
    [PROMOTE_DONE] = "is in production",
    [PROMOTE_UNDOING] = "was interrupted while it was undone",
    [PROMOTE_UNDONE] = "is undone already",
    [PROMOTE_UNDO_FAILED] = "could not be undone as a whole",
};

/* "Plan 3f2a... of 2026-11-26 10:02:11 (root, by prompt) was interrupted while it was applied, in
 * step 4 of 9." */
static void say_found(const struct promote_journal *journal, FILE *talk)
{
    char when[32];
    AUTO(buf_done) struct buf line = BUF_INIT(4096), safe = BUF_INIT(16384);
    buf_addf(&line, "Plan %s of %s (%s) %s", journal->plan_id,
             clock_format_wall(journal->since_wall_us, when, sizeof when),
             journal->user ? journal->user : "unknown user", found_words[journal->state]);
    if (journal->state == PROMOTE_APPLYING || journal->state == PROMOTE_UNDOING)
        buf_addf(&line, ", in step %zu of %zu", journal->step + 1, journal->plan->step_count);
    if (journal->why)
        buf_addf(&line, ": %s", journal->why);
    text_add_escaped(&safe, TEXT_TERMINAL, buf_text(&line), line.len, 2000);
    fprintf(talk, "%s.\n", buf_text(&safe));
}

/* What it does to the step; "" nothing. */
static void add_step(struct buf *line, const struct promote_step *step, const char **ret_doing,
                     const char **ret_what)
{
    *ret_doing = step->kind == PROMOTE_FILE      ? step->before.there ? "put back" : "remove"
                 : step->kind == PROMOTE_RESTART ? step->was_up ? "restart" : NULL
                 : step->undo                    ? "run"
                                                 : NULL;
    *ret_what = step->kind == PROMOTE_FILE      ? step->path
                : step->kind == PROMOTE_RESTART ? step->unit
                : step->undo                    ? step->undo[0]
                                                : NULL;
    if (*ret_doing)
        buf_addf(line, "%s %s", *ret_doing, *ret_what);
}

/* For people on `talk` (NULL: not said), and as a list for pipelines. New reference. */
static json_t *say_steps(const struct promote_journal *journal, FILE *talk)
{
    const struct promote_plan *plan = journal->plan;
    json_t *steps = json_array();
    for (size_t i = plan->step_count; i-- > 0;) {
        const struct promote_step *step = &plan->steps[i];
        const char *doing = NULL, *what = NULL;
        AUTO(buf_done) struct buf line = BUF_INIT(8192), safe = BUF_INIT(32768);
        add_step(&line, step, &doing, &what);
        if (!doing)
            continue;
        json_array_append_new(steps,
                              json_pack("{s:s, s:s, s:o}", "kind", promote_kind_name(step->kind),
                                        "doing", doing, "what", json_text_or_null(what)));
        text_add_escaped(&safe, TEXT_TERMINAL, buf_text(&line), line.len, 1000);
        if (talk)
            fprintf(talk, "  %s\n", buf_text(&safe));
    }
    return steps;
}

static json_t *document(const struct promote_journal *journal)
{
    return json_pack("{s:s, s:i, s:s, s:s}", "format", "spica rollback", "version", 1, "plan",
                     journal->plan_id, "found", promote_state_name(journal->state));
}

static bool show_only(const struct promote_journal *journal, bool json, struct err *err)
{
    json_t *steps = say_steps(journal, json ? NULL : stdout);
    if (!json) {
        json_decref(steps);
        return true;
    }
    AUTO_JSON json_t *object = document(journal);
    json_object_set_new(object, "outcome", json_string("planned"));
    json_object_set_new(object, "approved", json_text_or_null(journal->user));
    json_object_set_new(object, "why", json_text_or_null(journal->why));
    json_object_set_new(object, "steps", steps);
    return cli_promotion_dump(object, err);
}

static bool has_ended(const struct promote_journal *journal)
{
    return !journal || journal->state == PROMOTE_UNDONE;
}

static bool undo(const char *folder, const struct promote_journal *journal,
                 struct promote_accept accept, bool json, int *ret_status, struct err *err)
{
    struct cli_promotion promotion_state = cli_promotion_init(json, NULL);
    AUTO(cli_promotion_done) struct cli_promotion *promotion = &promotion_state;
    const struct promote_events events = cli_promotion_events(promotion);
    AUTO(buf_done) struct buf user = BUF_INIT(512), why = BUF_INIT(1024), again = BUF_INIT(8192);
    struct promote_result result;
    cli_promotion_add_user(&user);
    buf_addf(&why, "asked for by %s", buf_text(&user));
    if (promote_journal_is_pending(journal))
        buf_addf(&why, "; it %s", found_words[journal->state]);
    cancel_install(); /* and not heeded: half of an undo helps nobody */
    if (!promote_undo_with(folder, buf_text(&user), buf_text(&why), accept, &events, &result, err))
        return false;
    bool whole = result.outcome == PROMOTE_ROLLED_BACK;
    buf_addf(&again, "once the cause is gone: spica rollback %s", folder);
    cli_promotion_print(promotion, &result, folder, whole ? NULL : buf_text(&again));
    *ret_status = whole ? result.unrecorded : cli_promotion_status(result.outcome);
    AUTO_JSON json_t *object = json ? document(journal) : NULL;
    if (object)
        cli_promotion_add_json(object, promotion, &result, folder);
    cli_promotion_end(object);
    return true;
}

static bool read_accepted(const char *names, struct promote_accept *ret_accept, struct err *err)
{
    for (const char *at = names; at;) {
        size_t len = strcspn(at, ",");
        bool program = len == 7 && strncmp(at, "program", len) == 0;
        bool unit = len == 4 && strncmp(at, "unit", len) == 0;
        if (!program && !unit)
            return err_set(
                err, ERR_INPUT,
                "--accept: there is only \"program\" and \"unit\" (which is all units), and no "
                "\"%.*s\"",
                len < 60 ? (int)len : 60, at);
        ret_accept->programs = ret_accept->programs || program;
        ret_accept->units = ret_accept->units || unit;
        at = at[len] ? at + len + 1 : NULL;
    }
    return true;
}

static bool run(const struct cli_args *args, int *ret_status, struct err *err)
{
    AUTO(arena_free) struct arena *arena = arena_new();
    AUTO(promote_journal_free) struct promote_journal *journal = NULL;
    bool json = cli_flag(&cli_rollback, args, "json");
    const char *found = NULL;
    bool pending = false;
    enum promote_state state;
    struct promote_accept accept = {0};
    if (!read_accepted(cli_value(&cli_rollback, args, "accept"), &accept, err))
        return false;
    if (!cli_find_folder(args->argument_count ? args->arguments[0] : NULL,
                         cli_value(&cli_rollback, args, "out"), arena, &found, err))
        return err->code == ERR_INPUT && args->argument_count > 0
                   ? err_wrap(err, "give the study's folder (NAME.spica), which is all that a "
                                   "rollback needs; the study file can't be read")
                   : false;
    AUTO(free) char *folder = file_absolute(found);
    AUTO(free) char *path = promote_journal_path(folder);
    if (!promote_pending(folder, &pending, &state, err) ||
        !promote_journal_read(path, &journal, err))
        return false;
    if (has_ended(journal))
        return err_set(err, ERR_MISSING, "there is no promotion to undo%s (%s)",
                       journal ? ": the last one is undone already" : "", path);
    say_found(journal, json ? stderr : stdout);
    if (cli_flag(&cli_rollback, args, "dry-run"))
        return show_only(journal, json, err);
    return undo(folder, journal, accept, json, ret_status, err);
}

const struct cli_command cli_rollback = {
    .name = "rollback",
    .arguments = "[STUDY]",
    .arguments_min = 0,
    .arguments_max = 1,
    .help = "the last promotion, undone; also after a crash",
    .text =
        "Begins at once, without a question; --dry-run says before what it would do. Puts back "
        "every file as it was before the last promotion, restarts its units, runs the "
        "commands that undo it, and looks whether the old state works. Also after a crash in "
        "the middle of a promotion or of a rollback: it says what it found and goes on from "
        "there. STUDY is a study file, its name, or its NAME.spica folder; left out, the only "
        "one here. Where the study file is gone or broken, give the folder. Exits with 0 when the "
        "old state is back, "
        "with 9, and nothing is touched, when somebody has edited one of the files since, a file "
        "of a unit that it would restart, or a command that undoes it, and with 8 when something "
        "is left to do: it says what; remove the cause and run it again.",
    .options = options,
    .run = run,
};
