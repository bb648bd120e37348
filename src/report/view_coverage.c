/* What was not run because it was known to fail: candidates that ask for more memory than one that
 * found too little, counted with the rule by which the study left them out (study/bounds.h).
 *
 * Rejected: storing with each trial how many it ruled out. The number changes with every later
 * trial (a candidate may have been run before the bound was known), and what is stored is never
 * changed. Each candidate counts once, for the first trial that spoke for it. */
#include "report/build.h"

#include "study/bounds.h"

#include <string.h>

enum { VISITS_MAX = 300000 }; /* candidates looked at; beyond, the counts are "at least" */

struct coverage {
    const struct spec_study *study;
    const struct history_trial **facts; /* that say something of others, in order */
    int64_t *counts;
    size_t fact_count;
    spec_code *tried; /* ascending */
    size_t tried_count;
    int64_t visits;
};

static int compare_codes(const void *left, const void *right)
{
    spec_code a = *(const spec_code *)left, b = *(const spec_code *)right;
    return (a > b) - (a < b);
}

static bool count_one(void *context, spec_code code)
{
    struct coverage *c = context;
    if (bsearch(&code, c->tried, c->tried_count, sizeof code, compare_codes))
        return true;
    for (size_t i = 0; i < c->fact_count; i++)
        if (study_bound_covers(c->study, c->facts[i], code)) {
            c->counts[i]++;
            break;
        }
    return ++c->visits < VISITS_MAX;
}

/* False: nothing stored says anything of others. */
static bool collect(struct report_builder *b, struct history *ret, struct coverage *c)
{
    const struct report_view *view = b->view;
    bool any = false;
    for (size_t i = 0; i < view->trial_count; i++)
        any = any || view->trials[i].trial->bound;
    if (!any)
        return false;
    for (size_t i = 0; i < view->trial_count; i++) {
        struct err unknown = ERR_INIT; /* of a candidate the study no longer has: says nothing */
        if (!history_append(ret, c->study, view->trials[i].trial, b->arena, &unknown))
            continue;
    }
    c->facts = arena_array(b->arena, ret->count + 1, sizeof *c->facts);
    c->counts = arena_array(b->arena, ret->count + 1, sizeof *c->counts);
    c->tried = arena_array(b->arena, ret->count + 1, sizeof *c->tried);
    for (size_t i = 0; i < ret->count; i++) {
        c->tried[c->tried_count++] = ret->trials[i].code;
        if (ret->trials[i].bound != BOUND_NOTHING && history_settled(ret, i))
            c->facts[c->fact_count++] = &ret->trials[i];
    }
    qsort(c->tried, c->tried_count, sizeof *c->tried, compare_codes);
    return c->fact_count > 0;
}

static const struct store_trial *find_trial(const struct report_view *view, int64_t number)
{
    for (size_t i = 0; i < view->trial_count; i++)
        if (view->trials[i].trial->number == number)
            return view->trials[i].trial;
    return NULL;
}

void report_build_bounds(struct report_builder *b)
{
    struct report_view *view = b->view;
    struct history history = {0};
    struct coverage c = {.study = view->study};
    if (!collect(b, &history, &c))
        return;
    spec_space_each(view->study, count_one, &c);
    view->bounds_at_least = c.visits >= VISITS_MAX;
    view->bounds = arena_array(b->arena, c.fact_count, sizeof *view->bounds);
    for (size_t i = 0; i < c.fact_count; i++)
        if (c.counts[i] > 0)
            view->bounds[view->bound_count++] =
                (struct report_bound){find_trial(view, c.facts[i]->number), c.counts[i]};
}
