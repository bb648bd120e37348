/* From the store to a view: trials, candidates, the decision's sides, their numbers, what follows.
 *
 * The decision says who and why; every number about them is computed here, from request rows and
 * metric rows. Rejected: letting each rendering query what it prints. Two renderings would then
 * answer the same question twice, and one day differently.
 *
 * A study without a decision is unfinished: it has trials and candidates but no sides, and nobody
 * is called a winner however well an exploring trial went. */
#include "report/build.h"

#include "study/counted.h"

#include <math.h>
#include <string.h>

static const struct {
    const char *name;
    enum report_outcome outcome;
} outcomes[] = {
    {"winner", REPORT_WINNER},
    {"baseline_best", REPORT_BASELINE_BEST},
    {"infeasible", REPORT_INFEASIBLE},
};

enum report_outcome report_view_outcome(const struct report_view *view)
{
    return view->outcome;
}

static bool read_study(struct report_builder *b, const struct spec_catalog *catalog,
                       struct err *err)
{
    struct report_view *view = b->view;
    struct store_study stored;
    struct spec_study *study = NULL;
    bool found = false;
    if (!store_study_get(b->store, &found, &stored, err))
        return false;
    if (!found)
        return err_set(err, ERR_INPUT, "the file holds no study yet: its run has only just begun");
    const char *path = stored.path ? stored.path : "study.yaml";
    if (!spec_study_parse(path, stored.text, strlen(stored.text), catalog, &study, err))
        return err_wrap(err, "the study file as stored with the results");
    arena_adopt(b->arena, study->arena);
    view->study = study;
    view->stored = stored;
    /* The view outlives the store. */
    const char **const texts[] = {&view->stored.name,
                                  &view->stored.path,
                                  &view->stored.digest,
                                  &view->stored.text,
                                  &view->stored.device_id,
                                  &view->stored.device_name,
                                  &view->stored.device_versions,
                                  &view->stored.spica_version};
    for (size_t i = 0; i < ARRAY_LEN(texts); i++)
        *texts[i] = arena_strdup(b->arena, *texts[i]);
    return true;
}

/* Trials of `spica compare` are an answer to another question. */
static size_t drop_comparisons(struct store_trial *trials, size_t count)
{
    size_t kept = 0;
    for (size_t i = 0; i < count; i++)
        if (strcmp(trials[i].purpose, "compare") != 0)
            trials[kept++] = trials[i];
    return kept;
}

/* Tokens counted by events where others were counted by their server: neither a rank nor a number
 * beside theirs (study/counted.h). The row itself is in `show --trial`. */
static void set_apart(struct report_builder *b, struct store_trial *trials)
{
    struct report_view *view = b->view;
    const struct spec_study *study = view->study;
    struct study_counted *counted = arena_array(b->arena, view->trial_count + 1, sizeof *counted);
    for (size_t i = 0; i < view->trial_count; i++)
        counted[i] = (struct study_counted){view->trials[i].verdict == VERDICT_OK &&
                                                !isnan(trials[i].fitness),
                                            study_counted_by_events(study, &trials[i])};
    uint32_t mixed = study_counted_mixed(study, counted, view->trial_count);
    for (size_t i = 0; i < view->trial_count; i++) {
        struct report_trial *t = &view->trials[i];
        t->unranked = counted[i].ranked && (counted[i].by_events & mixed);
        if (t->unranked)
            trials[i].fitness = NAN;
        for (size_t k = 0; k < view->measure_count; k++) {
            const struct report_measure *m = &view->measures[k];
            bool apart = m->metric == METRIC_TOKENS_PER_S && m->service != REPORT_ALL_SERVICES &&
                         (counted[i].by_events & mixed) >> m->service & 1;
            if (apart) {
                t->told[k] = report_told_value(NAN);
                t->raw[k] = NAN;
            }
        }
    }
}

static bool read_trials(struct report_builder *b, struct err *err)
{
    struct report_view *view = b->view;
    struct store_trial *trials = NULL;
    if (!store_read_trials(b->store, b->arena, true, &trials, &view->trial_count, err) ||
        !store_count_requests(b->store, &view->requests, err))
        return false;
    view->trial_count = drop_comparisons(trials, view->trial_count);
    view->trials = arena_array(b->arena, view->trial_count + 1, sizeof *view->trials);
    size_t cells = view->trial_count * view->measure_count + 1;
    double *raw = arena_array(b->arena, cells, sizeof *raw);
    struct report_told *told = arena_array(b->arena, cells, sizeof *told);
    for (size_t i = 0; i < view->trial_count; i++) {
        int verdict = verdict_from_name(trials[i].verdict);
        if (verdict < 0)
            return err_set(err, ERR_INPUT,
                           "trial %lld has a verdict this spica does not know: %.40s",
                           (long long)trials[i].number, trials[i].verdict);
        struct report_trial *t = &view->trials[i];
        *t = (struct report_trial){.trial = &trials[i],
                                   .verdict = (enum verdict)verdict,
                                   .told = &told[i * view->measure_count],
                                   .raw = &raw[i * view->measure_count]};
        for (size_t k = 0; k < view->measure_count; k++) {
            const struct report_measure *m = &view->measures[k];
            t->raw[k] = report_trial_value(view, t->trial, m, "shared");
            t->told[k] = m->service == REPORT_ALL_SERVICES
                             ? report_told_value(t->raw[k])
                             : report_told_of(view->study, t->trial,
                                              (struct metric_ref){m->service, m->metric, m->stat});
        }
    }
    set_apart(b, trials);
    return true;
}

static bool read_last_event(struct report_builder *b, struct err *err)
{
    struct store_event *events = NULL;
    size_t count = 0;
    if (!store_read_events(b->store, b->arena, &events, &count, err))
        return false;
    report_build_crowd(b, events, count);
    report_build_compared(b, events, count);
    b->view->last_event = count ? events[count - 1].kind : NULL;
    return true;
}

static void read_decision(struct report_builder *b)
{
    struct report_view *view = b->view;
    const char *name = json_get_text(b->decision, "outcome");
    for (size_t i = 0; name && i < ARRAY_LEN(outcomes); i++)
        if (strcmp(outcomes[i].name, name) == 0)
            view->outcome = outcomes[i].outcome;
    double confidence = json_get_real(b->decision, "confidence");
    view->confidence = confidence > 0 && confidence < 1 ? confidence : 0.95;
    view->reason = arena_strdup(b->arena, json_get_text(b->decision, "reason"));
    view->statement = arena_strdup(b->arena, json_get_text(b->decision, "statement"));
    view->feasible = json_get_int(b->decision, "feasible", -1);
    const json_t *difference =
        json_object_get(json_object_get(b->decision, "comparison"), "fitness_difference");
    view->fitness_difference = json_get_real(difference, "value");
    view->fitness_difference_low = json_get_real(difference, "low");
    view->fitness_difference_high = json_get_real(difference, "high");
}

static bool is_text(const json_t *object, const char *key, const char *text)
{
    const char *value = json_get_text(object, key);
    return value && strcmp(value, text) == 0;
}

/* Runs of the final with a fitness are measured runs; the others only count. */
static void fill_runs(struct report_builder *b, struct report_side *side)
{
    const struct report_view *view = b->view;
    double *fitness = arena_array(b->arena, view->trial_count + 1, sizeof *fitness);
    size_t ok = 0;
    side->runs = arena_array(b->arena, view->trial_count + 1, sizeof(*side->runs));
    for (size_t i = 0; i < view->trial_count; i++) {
        const struct report_trial *t = &view->trials[i];
        if (t->candidate != side->candidate || strcmp(t->trial->purpose, "final") != 0)
            continue;
        side->final_count++;
        if (!verdict_facts(t->verdict)->has_fitness)
            continue;
        side->runs[side->run_count++] = t->trial;
        fitness[ok++] = t->trial->fitness;
    }
    struct stats_summary summary = stats_summary_of(fitness, ok);
    side->fitness = summary.mean;
    side->fitness_low = summary.min;
    side->fitness_high = summary.max;
}

static int compare_sides(const void *left, const void *right)
{
    const struct report_side *a = left, *b = right;
    int rank_a = a->is_winner ? 0 : a->is_baseline ? 1 : 2;
    int rank_b = b->is_winner ? 0 : b->is_baseline ? 1 : 2;
    if (rank_a != rank_b)
        return rank_a - rank_b;
    double x = isnan(a->fitness) ? -1 : a->fitness, y = isnan(b->fitness) ? -1 : b->fitness;
    return (x < y) - (x > y);
}

static bool build_sides(struct report_builder *b, struct err *err)
{
    struct report_view *view = b->view;
    const json_t *list = json_object_get(b->decision, "finalists");
    view->sides = arena_array(b->arena, json_array_size(list) + 1, sizeof *view->sides);
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *item = json_array_get(list, i);
        const char *text = json_get_text(item, "candidate");
        struct report_candidate *candidate = report_find_candidate(view, text);
        if (!candidate)
            continue; /* named, but never run */
        struct report_side *side = &view->sides[view->side_count++];
        side->candidate = candidate;
        side->is_winner = is_text(b->decision, "winner", text);
        side->is_baseline = is_text(b->decision, "baseline", text);
        side->eliminated = arena_strdup(b->arena, json_get_text(item, "eliminated"));
        fill_runs(b, side);
    }
    qsort(view->sides, view->side_count, sizeof *view->sides, compare_sides);
    for (size_t i = 0; i < view->side_count; i++) {
        struct report_side *side = &view->sides[i];
        if (!report_build_numbers(b, side, err))
            return false;
        report_build_cards(b, side);
        view->winner = side->is_winner ? side : view->winner;
        view->baseline = side->is_baseline ? side : view->baseline;
    }
    if (view->outcome == REPORT_WINNER && !view->winner)
        return err_set(err, ERR_INPUT, "the decision names a winner that was never measured");
    return true;
}

/* The larger; unknown when either is. */
static double worse(double a, double b)
{
    return isnan(a) || isnan(b) ? NAN : fmax(a, b);
}

static void find_worst(struct report_builder *b)
{
    struct report_view *view = b->view;
    size_t runs = 0;
    double contention = 0, lateness_s = 0;
    for (size_t i = 0; i < view->side_count; i++)
        for (size_t k = 0; k < view->sides[i].run_count; k++) {
            contention = worse(contention, view->sides[i].runs[k]->contention_ratio);
            lateness_s = worse(lateness_s, view->sides[i].runs[k]->lateness_p99_s);
            if (view->sides[i].runs[k]->workers > view->most_workers)
                view->most_workers = view->sides[i].runs[k]->workers;
            runs++;
        }
    view->worst_contention = runs ? contention : NAN;
    view->worst_lateness_s = runs ? lateness_s : NAN;
}

static bool build(struct report_builder *b, const struct spec_catalog *catalog, struct err *err)
{
    if (!read_study(b, catalog, err))
        return false;
    report_build_measures(b);
    read_decision(b);
    if (!read_trials(b, err) || !read_last_event(b, err))
        return false;
    report_build_candidates(b);
    if (!build_sides(b, err) || !report_build_changes(b, err))
        return false;
    report_build_fates(b);
    find_worst(b);
    report_build_kept(b);
    report_build_bounds(b);
    report_build_fallbacks(b);
    report_build_capacities(b);
    report_build_unknowns(b);
    return true;
}

bool report_view_build(struct store *store, const struct spec_catalog *catalog, struct arena *arena,
                       struct report_view **ret_view, struct err *err)
{
    AUTO(free) char *text = NULL;
    if (!store_decision_get(store, &text, err))
        return err_wrap(err, "reading the results");
    json_error_t broken;
    AUTO_JSON json_t *decision = text ? json_loads(text, 0, &broken) : NULL;
    if (text && !decision)
        return err_set(err, ERR_INPUT, "the stored decision is damaged: %s", broken.text);
    struct report_builder builder = {
        .store = store,
        .arena = arena,
        .view = arena_alloc(arena, sizeof *builder.view),
        .decision = decision,
    };
    builder.view->arena = arena;
    if (!build(&builder, catalog, err))
        return err_wrap(err, "reading the results");
    *ret_view = builder.view;
    return true;
}
