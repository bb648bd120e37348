/* Candidates: what became of each, and why.
 *
 * A candidate's last word is its last trial: retries and later rounds come after what they replace.
 * Why it lost is told by the stage in which it lost: its verdict's evidence, the fitness that was
 * needed to survive its round, or the final. The Pareto front stands beside the fitness: weights
 * are an opinion, and the front shows what another opinion would choose. */
#include "report/build.h"

#include "base/text.h"
#include "stats/pareto.h"
#include "study/counted.h"

#include <math.h>
#include <string.h>

struct report_candidate *report_find_candidate(struct report_view *view, const char *text)
{
    for (size_t i = 0; text && i < view->candidate_count; i++) {
        const char *other = view->candidates[i].text;
        if (other == text || strcmp(other, text) == 0)
            return &view->candidates[i];
    }
    return NULL;
}

static const char *baseline_text(struct report_builder *b)
{
    const struct spec_study *study = b->view->study;
    if (!study->baseline)
        return NULL;
    struct spec_candidate candidate = {{0}};
    for (size_t i = 0; i < study->knob_count; i++)
        candidate.index[i] = study->baseline[i];
    AUTO(buf_done) struct buf text = BUF_INIT(65536);
    spec_candidate_add_text(&text, study, &candidate);
    return arena_strdup(b->arena, buf_text(&text));
}

static void fill_changes(struct report_builder *b, struct report_candidate *c, const char *baseline)
{
    const struct spec_study *study = b->view->study;
    c->changes = c->text;
    if (!baseline || !c->parsed)
        return;
    if (strcmp(c->text, baseline) == 0) {
        c->changes = "as the baseline";
        return;
    }
    AUTO(buf_done) struct buf text = BUF_INIT(65536);
    for (size_t i = 0; i < study->knob_count; i++) {
        int index = c->values.index[i];
        if (index >= 0 && index != study->baseline[i])
            buf_addf(&text, "%s%s=%s", text.len ? " " : "", study->knobs[i].full_name,
                     study->knobs[i].values[index].label);
    }
    if (text.len)
        c->changes = arena_strdup(b->arena, buf_text(&text));
}

/* Texts of one reading are shared: equal candidates have equal pointers, so this is cheap. */
static struct report_candidate *find_or_add(struct report_builder *b, const char *text,
                                            const char *baseline)
{
    struct report_view *view = b->view;
    for (size_t i = 0; i < view->candidate_count; i++)
        if (view->candidates[i].text == text)
            return &view->candidates[i];
    struct report_candidate *c = &view->candidates[view->candidate_count++];
    *c = (struct report_candidate){.text = text, .fitness = NAN};
    c->parsed = spec_candidate_parse(view->study, text, &c->values, NULL);
    c->fate = baseline && strcmp(text, baseline) == 0 ? FATE_BASELINE : FATE_UNJUDGED;
    fill_changes(b, c, baseline);
    return c;
}

static void note_last_word(struct report_candidate *c, const struct store_trial *trial,
                           enum verdict verdict)
{
    c->trial = trial;
    c->verdict = verdict;
    c->fitness = trial->fitness;
    if (strcmp(trial->purpose, "final") != 0)
        c->round = trial->round;
    if (c->fate == FATE_BASELINE)
        return;
    if (verdict == VERDICT_OK || verdict == VERDICT_SLOW)
        c->fate = verdict == VERDICT_OK ? FATE_OUTRUN : FATE_SLOW;
    else if (verdict_facts(verdict)->retried || verdict == VERDICT_STOPPED)
        c->fate = FATE_UNJUDGED;
    else
        c->fate = FATE_FAILED;
}

void report_build_candidates(struct report_builder *b)
{
    struct report_view *view = b->view;
    const char *baseline = baseline_text(b);
    double best = -INFINITY;
    view->candidates = arena_array(b->arena, view->trial_count + 1, sizeof *view->candidates);
    for (size_t i = 0; i < view->trial_count; i++) {
        struct report_trial *t = &view->trials[i];
        bool exploring = strcmp(t->trial->purpose, "final") != 0;
        t->candidate = find_or_add(b, t->trial->candidate, baseline);
        note_last_word(t->candidate, t->trial, t->verdict);
        t->candidate->unranked = t->unranked;
        if (exploring && verdict_facts(t->verdict)->has_fitness)
            t->candidate->explored = t;
        t->best_so_far = exploring && t->verdict == VERDICT_OK && t->trial->fitness > best;
        if (t->best_so_far)
            best = t->trial->fitness;
        view->verdict_counts[t->verdict]++;
        view->failed_count += !verdict_facts(t->verdict)->has_fitness;
    }
}

/* The least fitness with which a candidate went on from a round; NaN: nobody did. */
static double fitness_needed(const struct report_view *view, int round)
{
    double least = INFINITY;
    for (size_t i = 0; i < view->trial_count; i++) {
        const struct report_trial *t = &view->trials[i];
        const struct report_candidate *c = t->candidate;
        bool explored = strcmp(t->trial->purpose, "explore") == 0 && t->trial->round == round;
        bool went_on = c->fate == FATE_WINNER || c->fate == FATE_FINALIST || c->round > round;
        if (explored && went_on && t->verdict == VERDICT_OK)
            least = fmin(least, t->trial->fitness);
    }
    return isinf(least) ? NAN : least;
}

static const char *why_outrun(struct report_builder *b, const struct report_candidate *c)
{
    double needed = fitness_needed(b->view, c->round);
    if (c->unranked)
        return STUDY_COUNTED_OTHERWISE;
    if (b->view->outcome == REPORT_UNFINISHED && isnan(needed))
        return "still in the race";
    if (isnan(needed))
        return arena_printf(b->arena, "fitness %.3f", c->fitness);
    if (c->fitness >= needed)
        return arena_printf(b->arena, "round %d: fitness %.3f, not among the finalists", c->round,
                            c->fitness);
    return arena_printf(b->arena, "round %d: fitness %.3f, going on took %.3f", c->round,
                        c->fitness, needed);
}

static const char *why_finalist(struct report_builder *b, const struct report_candidate *c)
{
    const struct report_view *view = b->view;
    for (size_t i = 0; i < view->side_count; i++) {
        const struct report_side *side = &view->sides[i];
        if (side->candidate != c)
            continue;
        if (side->eliminated)
            return side->eliminated;
        if (view->winner)
            return arena_printf(b->arena, "final: fitness %.3f, the winner's %.3f", side->fitness,
                                view->winner->fitness);
        if (view->baseline)
            return arena_printf(b->arena,
                                "final: fitness %.3f, the baseline's %.3f: not certainly "
                                "better",
                                side->fitness, view->baseline->fitness);
    }
    return "";
}

static const char *summary_of(const struct store_trial *trial)
{
    return trial->summary && *trial->summary ? trial->summary : "no evidence was stored";
}

static void fill_why(struct report_builder *b, struct report_candidate *c)
{
    switch (c->fate) {
    case FATE_WINNER:
    case FATE_BASELINE:
    case FATE_COUNT_:
        c->why = "";
        return;
    case FATE_FINALIST:
        c->why = why_finalist(b, c);
        return;
    case FATE_OUTRUN:
        c->why = why_outrun(b, c);
        return;
    case FATE_SLOW:
    case FATE_FAILED:
    case FATE_UNJUDGED:
        c->why = summary_of(c->trial);
        return;
    }
}

/* Of one exploring run each, for all alike: numbers of the final beside those of single lucky runs
 * would put luck on the front and push the winner off it. */
static void find_front(struct report_builder *b)
{
    struct report_view *view = b->view;
    size_t rows = view->candidate_count, columns = view->study->objective_count;
    enum stats_direction directions[SPEC_OBJECTIVES_MAX];
    double *values = arena_array(b->arena, rows * columns + 1, sizeof *values);
    bool *front = arena_array(b->arena, rows + 1, sizeof *front);
    for (size_t k = 0; k < columns; k++) {
        /* Objectives are the first measures, in the same order. */
        const struct spec_objective *o = &view->study->objectives[k];
        directions[k] = o->good > o->bad ? DIRECTION_HIGHER : DIRECTION_LOWER;
    }
    for (size_t i = 0; i < rows; i++) {
        const struct report_trial *run = view->candidates[i].explored;
        bool counts = run && run->verdict == VERDICT_OK;
        for (size_t k = 0; k < columns; k++)
            values[i * columns + k] = counts ? run->raw[k] : NAN;
    }
    stats_pareto_front(values, rows, columns, directions, front);
    for (size_t i = 0; i < rows; i++)
        view->candidates[i].on_front = front[i];
}

static int compare_double(double a, double b)
{
    return (a > b) - (a < b);
}

static int rank_of(enum report_fate fate)
{
    static const int ranks[FATE_COUNT_] = {
        [FATE_WINNER] = 0, [FATE_BASELINE] = 1, [FATE_FINALIST] = 2, [FATE_OUTRUN] = 3,
        [FATE_SLOW] = 4,   [FATE_FAILED] = 5,   [FATE_UNJUDGED] = 6,
    };
    return ranks[fate];
}

static int compare_candidates(const void *left, const void *right)
{
    const struct report_candidate *a = *(struct report_candidate *const *)left;
    const struct report_candidate *b = *(struct report_candidate *const *)right;
    if (a->fate != b->fate)
        return rank_of(a->fate) - rank_of(b->fate);
    if (a->fate == FATE_FAILED && a->verdict != b->verdict)
        return (int)a->verdict - (int)b->verdict;
    if (a->round != b->round)
        return b->round - a->round;
    int fitness =
        compare_double(isnan(b->fitness) ? -1 : b->fitness, isnan(a->fitness) ? -1 : a->fitness);
    return fitness ? fitness : a->trial->number < b->trial->number ? -1 : 1;
}

/* Trials and sides point at candidates, so the order is an array of its own. */
static void sort_candidates(struct report_builder *b)
{
    struct report_view *view = b->view;
    view->ranked = arena_array(b->arena, view->candidate_count + 1, sizeof(*view->ranked));
    for (size_t i = 0; i < view->candidate_count; i++)
        view->ranked[i] = &view->candidates[i];
    qsort(view->ranked, view->candidate_count, sizeof(*view->ranked), compare_candidates);
}

void report_build_fates(struct report_builder *b)
{
    struct report_view *view = b->view;
    for (size_t i = 0; i < view->side_count; i++) {
        struct report_side *side = &view->sides[i];
        side->candidate->fate = side->is_winner     ? FATE_WINNER
                                : side->is_baseline ? FATE_BASELINE
                                                    : FATE_FINALIST;
        if (!isnan(side->fitness))
            side->candidate->fitness = side->fitness;
    }
    for (size_t i = 0; i < view->candidate_count; i++)
        fill_why(b, &view->candidates[i]);
    find_front(b);
    sort_candidates(b);
    /* Longer windows count more: the best of the latest round. */
    for (size_t i = 0; i < view->candidate_count; i++) {
        const struct report_candidate *c = view->ranked[i], *best = view->best;
        if (c->verdict == VERDICT_OK && (!best || c->round > best->round ||
                                         (c->round == best->round && c->fitness > best->fitness)))
            view->best = c;
    }
}
