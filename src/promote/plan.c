/* From a study's results to a plan: who won, which texts production gets.
 *
 * The winner is read from the study's decision, never chosen here: what is promoted is what the
 * report calls the winner. In which order is another question (promote/order.c). Rejected: a plan
 * of words alone, whose bytes are made while it is applied; nobody could approve them.
 *
 * Invariant: the id is the digest of all that a person is shown and of all bytes that are written;
 * two plans made of the same state have the same one. So nothing of the moment (times, memory in
 * use just now) is in a plan. */
#include "promote/plan.h"

#include "base/json.h"
#include "base/text.h"
#include "promote/audit.h"
#include "promote/draft.h"
#include "promote/journal.h"
#include "promote/json.h"
#include "promote/surroundings.h"
#include "promote/world.h"
#include "study/study.h"

#include <math.h>
#include <string.h>

static const char *const kind_names[PROMOTE_KIND_COUNT_] = {
    [PROMOTE_HOOK] = "hook",       [PROMOTE_FILE] = "file",       [PROMOTE_RELOAD] = "reload",
    [PROMOTE_RESTART] = "restart", [PROMOTE_COMPOSE] = "compose", [PROMOTE_COMMAND] = "command",
};

const char *promote_kind_name(enum promote_kind kind)
{
    return kind_names[kind];
}

/* ---- who ---- */

static bool fail_outcome(const struct report_view *view, const struct spec_study *study,
                         struct err *err)
{
    if (view->outcome == REPORT_INFEASIBLE)
        return err_set(err, ERR_INFEASIBLE,
                       "%s: no candidate met the requirements: there is nothing to promote",
                       study->name);
    return err_set(err, ERR_INPUT,
                   "%s: not decided yet: nothing is a winner before the final has ended "
                   "(spica run %s)",
                   study->name, study->path);
}

/* Each measured run of the winner proved where it computed; without that nobody is a winner. */
static bool check_proof(const struct promote_draft *draft, struct err *err)
{
    const struct report_side *side = draft->then;
    const struct spec_study *study = draft->context.plan->study;
    if (side->run_count == 0)
        return err_set(err, ERR_INPUT, "%s: was not measured in the final: not proven",
                       side->candidate->text);
    for (size_t i = 0; i < side->run_count; i++)
        for (size_t k = 0; k < side->runs[i]->service_count; k++) {
            const struct store_service *s = &side->runs[i]->services[k];
            int service = spec_study_service(study, s->name);
            if (service < 0 || study->services[service].on != ON_GPU ||
                (s->placement && strcmp(s->placement, "gpu") == 0))
                continue;
            return err_set(err, ERR_INPUT,
                           "trial %lld did not prove that %s computed on the GPU (%s): not proven",
                           (long long)side->runs[i]->number, s->name,
                           s->placement ? s->placement : "not probed");
        }
    return true;
}

static bool find_side(struct promote_draft *draft, struct err *err)
{
    struct promote_plan *plan = draft->context.plan;
    const struct report_view *view = draft->view;
    const char *wanted = draft->options->candidate;
    draft->now = view->baseline;
    if (!wanted && view->outcome == REPORT_BASELINE_BEST) {
        plan->nothing = "Nothing was shown to be better than what runs today: it stays.";
        return true;
    }
    if (!wanted && (view->outcome != REPORT_WINNER || !view->winner))
        return fail_outcome(view, plan->study, err);
    if (view->outcome == REPORT_UNFINISHED || view->outcome == REPORT_INFEASIBLE)
        return fail_outcome(view, plan->study, err);
    draft->then = wanted ? NULL : view->winner;
    if (wanted) {
        AUTO(buf_done) struct buf text = BUF_INIT(65536);
        if (!spec_candidate_parse(plan->study, wanted, &plan->winner, err))
            return err_wrap(err, "--candidate");
        spec_candidate_add_text(&text, plan->study, &plan->winner);
        for (size_t i = 0; i < view->side_count; i++)
            if (strcmp(view->sides[i].candidate->text, buf_text(&text)) == 0)
                draft->then = &view->sides[i];
    }
    if (!draft->then)
        return err_set(err, ERR_INPUT, "--candidate: it was not in the final: not proven");
    plan->winner_text = arena_strdup(plan->arena, draft->then->candidate->text);
    if (!spec_candidate_parse(plan->study, plan->winner_text, &plan->winner, err))
        return err_wrap(err, "%s: the winner is none of its candidates any more",
                        plan->study->path);
    return check_proof(draft, err);
}

/* ---- what ---- */

static double ready_mean_s(const struct report_side *side, const char *service)
{
    double sum = 0;
    size_t count = 0;
    for (size_t i = 0; i < side->run_count; i++)
        for (size_t k = 0; k < side->runs[i]->service_count; k++) {
            const struct store_service *s = &side->runs[i]->services[k];
            if (strcmp(s->name, service) != 0 || isnan(s->ready_s))
                continue;
            sum += s->ready_s;
            count++;
        }
    return count ? sum / (double)count : NAN;
}

static bool add_hooks(struct promote_context *context, const struct spec_argv *hooks,
                      const struct spec_argv *undos, size_t count, const char *why, struct err *err)
{
    for (size_t i = 0; i < count; i++) {
        struct promote_step *step = NULL;
        if (!promote_step_add(context, PROMOTE_HOOK, -1, &step, err) ||
            !promote_own_command(context, SIZE_MAX, &hooks[i], &step->run, err) ||
            (undos[i].count &&
             !promote_own_command(context, SIZE_MAX, &undos[i], &step->undo, err)))
            return false;
        step->why = why;
    }
    return true;
}

static bool plan_service(struct promote_context *context, size_t service, struct err *err)
{
    const struct spec_production *p = &context->plan->study->production[service];
    for (size_t i = 0; i < promote_target_count; i++)
        if (promote_target_table[i]->kind == p->kind)
            return promote_target_table[i]->plan(context, service, err);
    return err_set(err, ERR_INTERNAL, "production has a kind without a target");
}

static bool add_steps(struct promote_draft *draft, struct err *err)
{
    struct promote_context *context = &draft->context;
    struct promote_plan *plan = context->plan;
    const struct spec_study *study = plan->study;
    const struct spec_promotion *p = &study->promotion;
    size_t order[SPEC_SERVICES_MAX], count = 0;
    if (!promote_order(draft, order, &count, err))
        return false;
    for (size_t i = 0; i < study->service_count; i++)
        context->restart_s[i] = ready_mean_s(draft->then, study->services[i].name);
    plan->steps = arena_array(plan->arena, PROMOTE_STEPS_MAX, sizeof *plan->steps);
    if (!add_hooks(context, p->before, p->before_undo, p->before_count,
                   "before anything is changed", err))
        return false;
    const size_t first = plan->step_count;
    for (size_t i = 0; i < count; i++)
        if (!plan_service(context, order[i], err))
            return false;
    promote_arrange(plan, first);
    return add_hooks(context, p->after, p->after_undo, p->after_count, "once it was verified", err);
}

static void note_secret(const char **names, size_t *count, const char *name)
{
    for (size_t i = 0; i < *count; i++)
        if (strcmp(names[i], name) == 0)
            return;
    names[(*count)++] = name;
}

/* The study's, and those that were marked at the last promotion: a mark that is dropped says
 * nothing of the value that production has still. So names are never lost while there is a journal.
 * Who may not read that can't tell, and mostly may not read such a file either. */
static void note_secrets(struct promote_plan *plan, const char *folder, bool *ret_known)
{
    const struct spec_study *study = plan->study;
    AUTO(promote_journal_free) struct promote_journal *last = NULL;
    AUTO(free) char *path = promote_journal_path(folder);
    struct err ignored = ERR_INIT;
    size_t most = 0, count = 0;
    const bool read = promote_journal_read(path, &last, &ignored) && last;
    const char *const *before = read ? last->plan->secret_names : NULL;
    *ret_known = read;
    while (before && before[most])
        most++;
    for (size_t i = 0; i < study->service_count; i++)
        most += study->production[i].environment_count;
    const char **names = arena_array(plan->arena, most + 1, sizeof *names);
    for (size_t i = 0; i < study->service_count; i++)
        for (size_t k = 0; k < study->production[i].environment_count; k++)
            if (study->production[i].secret[k])
                note_secret(names, &count, study->production[i].environment[k].name);
    for (size_t i = 0; before && before[i]; i++)
        note_secret(names, &count, arena_strdup(plan->arena, before[i]));
    names[count] = NULL;
    plan->secret_names = names;
}

/* The variable that a line of a drop-in or of YAML sets, whose keys are no names in capitals: its
 * length, 0 where it sets none. */
static size_t name_in_line(const char *line, const char **ret_name)
{
    static const char capitals[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ_0123456789",
                      all[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_0123456789";
    static const char *const before[] = {"Environment=\"", "Environment=", "name: \"", "name: "};
    line += strspn(line, " \t-");
    for (size_t i = 0; i < ARRAY_LEN(before); i++)
        if (text_starts_with(line, before[i])) {
            *ret_name = line + strlen(before[i]);
            return strspn(*ret_name, all);
        }
    line += *line == '"';
    *ret_name = line;
    const size_t len = strspn(line, capitals);
    return line[len] == ':' || text_starts_with(line + len, "\":") ? len : 0;
}

/* A size or a switch: none of those who read a plan should miss it. */
static bool is_number(const char *after_name)
{
    const char *value = after_name + strspn(after_name, "\"=: ");
    const size_t digits = strspn(value, "0123456789");
    return digits <= 9 && (!value[digits] || strchr("\"\n", value[digits]));
}

static bool is_set(const struct spec_study *study, const char *name)
{
    for (size_t i = 0; i < study->service_count; i++)
        for (size_t k = 0; k < study->production[i].environment_count; k++)
            if (strcmp(study->production[i].environment[k].name, name) == 0)
                return true;
    return false;
}

/* Without a journal (another folder of results) a file of spica's that is closed had a secret in it
 * when it was written: one of those that the study does not set. */
static void suspect_secrets(struct promote_plan *plan)
{
    enum { NAMES_MAX = 256 };
    const char **names = arena_array(plan->arena, NAMES_MAX + 1, sizeof *names);
    size_t count = 0;
    while (plan->secret_names[count] && count < NAMES_MAX) {
        names[count] = plan->secret_names[count];
        count++;
    }
    if (plan->secret_names[count])
        return;
    for (size_t i = 0; i < plan->step_count; i++) {
        const struct promote_bytes *before = &plan->steps[i].before;
        if (!before->there || (before->mode & 077) || !promote_header_is_there(before->data))
            continue;
        for (const char *line = arena_strndup(plan->arena, before->data, before->len);
             line && count < NAMES_MAX;) {
            const char *name = NULL;
            size_t len = name_in_line(line, &name);
            const char *own = arena_strndup(plan->arena, name, len);
            if (len && !is_number(name + len) && !is_set(plan->study, own))
                note_secret(names, &count, own);
            line = strchr(line, '\n');
            line = line ? line + 1 : NULL;
        }
    }
    names[count] = NULL;
    plan->secret_names = names;
}

/* ---- its id ---- */

static void add_bytes(struct buf *all, const struct promote_bytes *bytes)
{
    buf_addf(all, "|%d %o %u %u %zu ", bytes->there, (unsigned)bytes->mode, (unsigned)bytes->uid,
             (unsigned)bytes->gid, bytes->len);
    if (bytes->there && !buf_append(all, bytes->data, bytes->len))
        all->over = true;
}

static void add_words(struct buf *all, const char *const *words)
{
    for (size_t i = 0; words && words[i]; i++)
        buf_addf(all, "|%zu %s", strlen(words[i]), words[i]);
    buf_addc(all, '\n');
}

static bool seal(struct promote_plan *plan, struct err *err)
{
    enum { ALL_MAX = 1 << 29 };
    AUTO_JSON json_t *shown = promote_plan_json(plan);
    AUTO(free) char *text = json_dump_text(shown);
    AUTO(buf_done) struct buf all = BUF_INIT(ALL_MAX);
    char hex[DIGEST_HEX_SIZE];
    buf_add(&all, text);
    for (size_t i = 0; i < plan->step_count; i++) {
        const struct promote_step *step = &plan->steps[i];
        if (step->kind == PROMOTE_FILE) {
            add_bytes(&all, &step->before);
            add_bytes(&all, &step->after);
        }
        add_words(&all, step->run);
        add_words(&all, step->undo);
        add_words(&all, step->verify);
        add_words(&all, step->environment);
        add_words(&all, step->exec);
        add_words(&all, step->variables);
    }
    if (all.over)
        return err_set(err, ERR_LIMIT, "the files of this promotion are longer than 512 MiB");
    digest_bytes(buf_text(&all), all.len, hex);
    snprintf(plan->id, sizeof plan->id, "%.16s", hex);
    return true;
}

/* ---- the whole ---- */

static bool fill(struct promote_draft *draft, struct store *store, struct err *err)
{
    struct promote_plan *plan = draft->context.plan;
    AUTO(arena_free) struct arena *scratch = arena_new();
    if (!report_view_build(store, draft->options->catalog, scratch, &draft->view, err) ||
        !find_side(draft, err))
        return false;
    if (plan->nothing)
        return true;
    /* Whole, however the path was given: the same plan writes the same bytes. */
    const char *slash = strrchr(plan->study->path, '/');
    draft->context.undo = arena_printf(plan->arena, "spica rollback %s/%s", plan->study->folder,
                                       slash ? slash + 1 : plan->study->path);
    bool known = false;
    note_secrets(plan, draft->options->folder, &known);
    if (!promote_audit_last(draft->options->folder, plan->arena, &plan->last_record, err) ||
        !add_steps(draft, err) || !promote_differ(draft, err))
        return false;
    if (!known)
        suspect_secrets(plan);
    for (size_t i = 0; i < plan->step_count && !plan->surroundings; i++)
        if (plan->steps[i].run)
            plan->surroundings = promote_surroundings_now(plan->arena);
    promote_expect(draft);
    return true;
}

bool promote_plan_make(const struct spec_study *study, const struct promote_options *options,
                       struct promote_plan **ret_plan, struct err *err)
{
    AUTO(store_close) struct store *store = NULL;
    AUTO(free) char *path = study_store_path(options->folder);
    if (!study->promotion.given)
        return err_set(err, ERR_INPUT,
                       "%s: has no \"production\": say where its services run (spica-study(5))",
                       study->path);
    if (!store_open(path, STORE_READ, &store, err))
        return false;
    struct arena *arena = arena_new();
    AUTO(promote_plan_free) struct promote_plan *plan = arena_alloc(arena, sizeof *plan);
    *plan = (struct promote_plan){.arena = arena,
                                  .study = study,
                                  .memory_before_bytes = NAN,
                                  .memory_after_bytes = NAN,
                                  .run_folder = arena_strdup(arena, study->folder)};
    struct promote_draft draft = {
        .context = {.plan = plan, .world = options->world ? options->world : &promote_this_machine},
        .options = options};
    bool ok = fill(&draft, store, err) && seal(plan, err);
    for (int i = 0; i < HOST_SCOPE_COUNT_; i++)
        host_manager_close(draft.context.managers[i]);
    if (!ok)
        return false;
    *ret_plan = TAKE(plan);
    return true;
}

struct promote_plan *promote_plan_free(struct promote_plan *plan)
{
    if (plan)
        arena_free(plan->arena); /* the plan itself lives in it */
    return NULL;
}

bool promote_plan_is_empty(const struct promote_plan *plan)
{
    for (size_t i = 0; i < plan->step_count; i++)
        if (plan->steps[i].kind != PROMOTE_HOOK)
            return false;
    return true;
}
