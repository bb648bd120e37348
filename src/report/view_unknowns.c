/* What the report does not know, said by name with the reason: a reader must be able to tell "fine"
 * from "not looked at". */
#include "report/build.h"
#include "report/words.h"
#include "study/counted.h"

#include <math.h>
#include <string.h>

enum { UNKNOWNS_MAX = 64 };

static void add(struct report_builder *b, const char *what, const char *why)
{
    struct report_view *view = b->view;
    if (view->unknown_count < UNKNOWNS_MAX)
        view->unknowns[view->unknown_count++] = (struct report_unknown){what, why};
}

/* Why a number is unknown, or what is missing in it; NULL: nothing. */
static const char *missing_in(struct report_builder *b, const struct report_measure *m,
                              const struct report_number *number, const char **ret_what)
{
    *ret_what = m->name;
    if (isnan(number->value))
        return number->unknown ? number->unknown : "not measured";
    if (!m->key || number->kind != NUMBER_QUANTILE || !isnan(number->low + number->high))
        return NULL;
    *ret_what =
        arena_printf(b->arena, "a %.0f %% interval of %s", 100 * b->view->confidence, m->name);
    return arena_printf(b->arena, "a sample of %lld carries none", (long long)number->count);
}

static void add_numbers(struct report_builder *b)
{
    const struct report_side *sides[] = {b->view->winner, b->view->baseline};
    static const char *const names[] = {"the winner", "the baseline"};
    for (size_t k = 0; k < ARRAY_LEN(sides); k++)
        if (sides[k] && sides[k]->run_count == 0)
            add(b, arena_printf(b->arena, "every number of %s", names[k]),
                "no run of the final was measured");
    for (size_t i = 0; i < b->view->measure_count; i++) {
        const char *what[2] = {NULL, NULL}, *why[2] = {NULL, NULL};
        for (size_t k = 0; k < ARRAY_LEN(sides); k++)
            if (sides[k] && sides[k]->run_count > 0)
                why[k] = missing_in(b, &b->view->measures[i], &sides[k]->shared[i], &what[k]);
        if (why[0] && why[1] && strcmp(why[0], why[1]) == 0 && strcmp(what[0], what[1]) == 0) {
            add(b, arena_printf(b->arena, "%s of both", what[0]), why[0]);
            continue;
        }
        for (size_t k = 0; k < ARRAY_LEN(sides); k++)
            if (why[k])
                add(b, arena_printf(b->arena, "%s of %s", what[k], names[k]), why[k]);
    }
}

static void add_alone(struct report_builder *b, const struct report_side *side)
{
    const struct report_view *view = b->view;
    size_t loaded = 0;
    bool measured = false;
    for (size_t s = 0; s < view->study->service_count; s++)
        loaded += view->study->services[s].load.given;
    for (size_t i = 0; i < view->measure_count; i++)
        measured = measured || !isnan(side->alone[i].value);
    if (loaded > 1 && !measured)
        add(b, "what sharing costs each service",
            view->study->measure.alone_ns == 0
                ? "the study asks for no window alone (measure.alone)"
                : "no window alone was measured");
}

static void add_ruled_out(struct report_builder *b)
{
    for (size_t i = 0; i < b->view->trial_count; i++) {
        const struct store_trial *t = b->view->trials[i].trial;
        if (t->ruled_out)
            add(b, arena_printf(b->arena, "candidates with %s", t->ruled_out),
                arena_printf(b->arena, "not run after trial %lld: %s", (long long)t->number,
                             t->summary ? t->summary : ""));
    }
}

static void add_machine(struct report_builder *b)
{
    const struct report_view *view = b->view;
    if (strcmp(view->study->device, "cpu") == 0)
        add(b, "GPU utilisation", "the study ran on the CPU");
    if (view->capacity_count == 0)
        add(b, "capacity",
            view->study->capacity_count
                ? "no run came so far as to find how much the services can take"
                : "how many clients fit was not part of this study");
    if (view->side_count > 0 && isnan(view->worst_contention))
        add(b, "what else used the machine", "not read in every run of the final");
}

static void add_bounds(struct report_builder *b)
{
    const struct report_view *view = b->view;
    for (size_t i = 0; i < view->bound_count; i++) {
        AUTO(buf_done) struct buf text = BUF_INIT(8192);
        report_add_bound(&text, view, i);
        add(b, "left out for memory", arena_strdup(b->arena, buf_text(&text)));
    }
}

static void add_unranked(struct report_builder *b)
{
    size_t unranked = 0;
    for (size_t i = 0; i < b->view->candidate_count; i++)
        unranked += b->view->candidates[i].unranked;
    if (unranked)
        add(b,
            arena_printf(b->arena, "the rank of %zu candidate%s", unranked,
                         unranked == 1 ? "" : "s"),
            STUDY_COUNTED_OTHERWISE);
}

static void add_unchecked(struct report_builder *b)
{
    const struct spec_study *study = b->view->study;
    for (size_t s = 0; s < study->service_count; s++)
        if (study->services[s].answers_unchecked)
            add(b,
                arena_printf(b->arena, "whether answers of %s are right", study->services[s].name),
                "not checked, as the study file asks (answers: unchecked)");
}

void report_build_unknowns(struct report_builder *b)
{
    struct report_view *view = b->view;
    view->unknowns = arena_array(b->arena, UNKNOWNS_MAX, sizeof *view->unknowns);
    add_numbers(b);
    add_unranked(b);
    const struct report_side *shown = view->winner ? view->winner : view->baseline;
    if (shown)
        add_alone(b, shown);
    add_ruled_out(b);
    add_machine(b);
    add_bounds(b);
    add_unchecked(b);
    int64_t untried = view->feasible - (int64_t)view->candidate_count;
    for (size_t i = 0; i < view->bound_count; i++)
        untried -= view->bounds[i].count;
    if (view->feasible >= 0 && untried > 0)
        add(b,
            arena_printf(b->arena, "%lld of %lld candidates", (long long)untried,
                         (long long)view->feasible),
            "never tried");
}
