/* promote: the winner into production. Plan, approval, application, verification; back when reality
 * disagrees. What it does stands in promote/; here it is shown, asked for, and told. */
#include "cli/approval.h"
#include "cli/promotion.h"

#include "base/cancel.h"
#include "base/json.h"
#include "base/text.h"
#include "promote/json.h"
#include "promote/show.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

enum { ACCEPT_MAX = 64 };
static const int RESULT_VERSION = 1;

static const struct cli_option options[] = {
    {"dry-run", 'n', NULL, "show the plan, ask nothing and touch nothing"},
    {"plan-only", 0, NULL, "the same; for pipelines, which take the id from --json"},
    {"approve", 'y', "PLAN_ID", "apply without a question, if the plan still is exactly this one"},
    {"approved-file", 0, "FILE",
     "the same, by a signed-off file: {\"plan\": ID, \"name\": WHO, \"date\": YYYY-MM-DD}"},
    {"accept", 0, "NAME",
     "promote in spite of a difference, by the name that the refusal gives it; for more: a,b, or "
     "the "
     "option again",
     .list = true},
    {"candidate", 'c', "TEXT", "this one instead of the winner: \"stt.model=base llm.share=0.4\""},
    {"out", 'o', "FOLDER", "the study's results are there (default NAME.spica)"},
    {"json", 'j', NULL, "print plan and result as JSON; progress goes to stderr"},
    {NULL, 0, NULL, NULL},
};

static const char *given(const struct cli_args *args, const char *name)
{
    return cli_value(&cli_promote, args, name);
}

static bool read_accepted(const struct cli_args *args, struct arena *arena,
                          const char *const **ret_names, struct err *err)
{
    const char **names = arena_array(arena, ACCEPT_MAX + 1, sizeof *names);
    size_t count = 0;
    for (const char *at = given(args, "accept"); at && *at;) {
        size_t len = strcspn(at, ",");
        if (count == ACCEPT_MAX)
            return err_set(err, ERR_INPUT, "--accept: more than %d names", ACCEPT_MAX);
        if (len > 0)
            names[count++] = arena_strndup(arena, at, len);
        at += len + (at[len] == ',');
    }
    names[count] = NULL;
    *ret_names = names;
    return true;
}

static bool only_shows(const struct cli_args *args)
{
    return cli_flag(&cli_promote, args, "dry-run") || cli_flag(&cli_promote, args, "plan-only");
}

static bool accepts_undo(const struct promote_options *how)
{
    for (size_t i = 0; how->accept && how->accept[i]; i++)
        if (strcmp(how->accept[i], "undo") == 0)
            return true;
    return false;
}

/* Two ways out: to its end, or given up by somebody who is told what. */
static bool fail_undo(const char *journal, const char *name, struct err *err)
{
    AUTO(promote_journal_free) struct promote_journal *last = NULL;
    AUTO(buf_done) struct buf left = BUF_INIT(1 << 16);
    if (!promote_journal_read(journal, &last, err))
        return false;
    if (last)
        promote_journal_add_left(&left, last);
    return err_set(err, ERR_DECLINED,
                   "an undo has failed and is not complete; nothing was changed. Remove the cause, "
                   "then: spica rollback %s. Or, where production is as it should be, --accept "
                   "undo gives this up: %.200s",
                   name, buf_text(&left));
}

/* What was begun and not ended comes first: nothing may be planned on a half of something. Who may
 * not read the journal may look at a plan all the same; whoever applies it is asked again. */
static bool check_pending(const struct cli_args *args, const struct promote_options *how,
                          const char *folder, const char *name, struct err *err)
{
    AUTO(free) char *path = promote_journal_path(folder);
    bool pending = false;
    enum promote_state state = PROMOTE_DONE;
    if (only_shows(args) && access(path, R_OK) != 0 && errno == EACCES)
        return true;
    if (!promote_pending(folder, &pending, &state, err))
        return false;
    if (!pending || (state == PROMOTE_UNDO_FAILED && accepts_undo(how)))
        return true;
    return state == PROMOTE_UNDO_FAILED
               ? fail_undo(path, name, err)
               : err_set(err, ERR_DECLINED,
                         "an earlier promotion was interrupted (%s) and has not been undone; "
                         "nothing was changed. First: spica rollback %s",
                         promote_state_name(state), name);
}

/* ---- JSON ---- */

static json_t *document(const struct promote_plan *plan, const char *outcome)
{
    return json_pack("{s:s, s:i, s:o, s:s}", "format", "spica promotion", "version", RESULT_VERSION,
                     "plan", promote_plan_json(plan), "outcome", outcome);
}

static bool show_only(const struct promote_plan *plan, const char *outcome, bool json,
                      struct err *err)
{
    if (!json)
        return true;
    AUTO_JSON json_t *object = document(plan, outcome);
    return cli_promotion_dump(object, err);
}

/* ---- the command ---- */

static bool apply(const struct promote_plan *plan, const struct cli_study *found, const char *user,
                  bool json, int *ret_status, struct err *err)
{
    struct cli_promotion promotion_state = cli_promotion_init(json, plan);
    AUTO(cli_promotion_done) struct cli_promotion *promotion = &promotion_state;
    const struct promote_events events = cli_promotion_events(promotion);
    struct promote_result result;
    AUTO(buf_done) struct buf undo = BUF_INIT(8192);
    cancel_install();
    if (!promote_apply(plan, found->folder, user, &events, &result, err))
        return false;
    buf_addf(&undo, "spica rollback %s", found->folder);
    cli_promotion_print(promotion, &result, found->folder,
                        result.outcome == PROMOTE_ROLLED_BACK ? NULL : buf_text(&undo));
    *ret_status = cli_promotion_status(result.outcome);
    AUTO_JSON json_t *object = json ? document(plan, "") : NULL;
    if (object) {
        json_object_set_new(object, "approved", json_text_or_null(user));
        cli_promotion_add_json(object, promotion, &result, found->folder);
    }
    cli_promotion_end(object);
    return true;
}

/* Somebody may have thought for an hour: all of it is looked at again, versions too. */
static bool check_still_so(const struct promote_plan *plan, const struct promote_options *how,
                           struct err *err)
{
    AUTO(promote_plan_free) struct promote_plan *now = NULL;
    struct err cause = ERR_INIT;
    if (!promote_plan_make(plan->study, how, &now, &cause))
        return err_set(err, ERR_DECLINED,
                       "something has changed since the plan was shown: nothing was touched: %s",
                       cause.text);
    return strcmp(now->id, plan->id) == 0 ||
           err_set(err, ERR_DECLINED,
                   "something has changed since the plan was shown (it is %s now): nothing was "
                   "touched; look at it anew",
                   now->id);
}

/* Approved or not, and then what. */
static bool go_on(const struct cli_args *args, const struct promote_plan *plan,
                  const struct promote_options *how, const struct cli_study *found, int *ret_status,
                  struct err *err)
{
    bool json = cli_flag(&cli_promote, args, "json");
    const struct cli_approval approval = {given(args, "approve"), given(args, "approved-file"),
                                          !json};
    AUTO(buf_done) struct buf user = BUF_INIT(1024);
    struct err ignored = ERR_INIT;
    if (plan->nothing)
        return show_only(plan, "nothing to promote", json, err);
    if (promote_plan_is_empty(plan))
        return show_only(plan, "already so", json, err);
    if (only_shows(args))
        return show_only(plan, "planned", json, err);
    cli_promotion_add_user(&user);
    buf_add(&user, ", ");
    if (!cli_approval_get(&approval, plan, &user, err)) {
        /* The reason is the first cause, whatever becomes of the JSON. */
        (void)!show_only(plan, "not approved", json, &ignored);
        return false;
    }
    if (!approval.id && !approval.file && !check_still_so(plan, how, err))
        return false;
    return apply(plan, found, buf_text(&user), json, ret_status, err);
}

static bool run(const struct cli_args *args, int *ret_status, struct err *err)
{
    AUTO(arena_free) struct arena *arena = arena_new();
    struct cli_study found_state = {0};
    AUTO(cli_study_done) struct cli_study *found = &found_state;
    AUTO(promote_plan_free) struct promote_plan *plan = NULL;
    struct promote_options how = {.catalog = cli_catalog(), .candidate = given(args, "candidate")};
    const char *name = args->argument_count ? args->arguments[0] : NULL;
    if (!read_accepted(args, arena, &how.accept, err) ||
        !cli_study_find(name, given(args, "out"), found, err) ||
        !check_pending(args, &how, found->folder, found->study->path, err))
        return false;
    how.folder = found->folder;
    if (!promote_plan_make(found->study, &how, &plan, err))
        return false;
    if (!cli_flag(&cli_promote, args, "json"))
        promote_plan_show(plan, stdout, cli_terminal(STDOUT_FILENO));
    fflush(stdout);
    return go_on(args, plan, &how, found, ret_status, err);
}

const struct cli_command cli_promote = {
    .name = "promote",
    .arguments = "[STUDY]",
    .arguments_min = 0,
    .arguments_max = 1,
    .help = "the winner into production, verified, or undone",
    .text =
        "Shows what would change: every file as a diff, units to restart, the time they are down, "
        "what the study says it will bring, and the plan's id. Changes nothing before somebody has "
        "approved exactly that plan: at the terminal, by --approve with the id, or by a signed-off "
        "file (--approved-file). Then applies it, and verifies with the requirements that crowned "
        "the winner, on the "
        "live services; when one fails, what was before is put back and seen to work. STUDY is a "
        "study file, its name, or its NAME.spica folder; left out, the only one here. Exits with 0 "
        "when the new state is in production, with 7 when it was rolled back and the old state "
        "works, with 8 when that is incomplete (look now: docs/PROMOTE.md, At exit 8), with 9 when "
        "it was declined, not approved, or the plan has changed; nothing was touched then.",
    .options = options,
    .run = run,
};
