/* Conditions and constraints: expressions over knobs. A bare name belongs to the service in which
 * it is written; what names no knob but is some knob's value is a word.
 *
 * A condition may only name knobs that stand above it in the file. That makes every order of
 * deciding knobs from the first to the last a valid one, and a circle impossible, without a graph
 * to sort. */
#include "spec/load_expr.h"

#include "base/text.h"
#include "spec/space.h"

#include <assert.h>
#include <math.h>
#include <string.h>

struct scope {
    struct spec_loader *l;
    int service;  /* < 0: full names only */
    size_t limit; /* knobs below it may be named */
};

static const char *own_name(const struct scope *scope, const struct spec_knob *knob)
{
    return scope->service >= 0 && knob->service == (size_t)scope->service ? knob->name : NULL;
}

static bool is_label(const struct scope *scope, const char *word)
{
    const struct spec_study *study = scope->l->study;
    for (size_t i = 0; i < study->knob_count; i++) {
        const struct spec_knob *knob = &study->knobs[i];
        for (size_t v = 0; v < knob->value_count; v++)
            if (strcmp(knob->values[v].label, word) == 0)
                return true;
    }
    return false;
}

static enum expr_name fail_name(const struct scope *scope, const char *name, struct err *err)
{
    struct spec_loader *l = scope->l;
    const char *names[2 * SPEC_KNOBS_MAX] = {NULL};
    size_t count = 0;
    for (size_t i = 0; i < scope->limit; i++) {
        const struct spec_knob *knob = &l->study->knobs[i];
        assert(knob->name); /* all knobs are loaded before any rule */
        names[count++] = knob->full_name;
        if (own_name(scope, knob))
            names[count++] = knob->name;
        else if (strcmp(knob->name, name) == 0) {
            err_set(err, ERR_INPUT, "\"%s\": say whose: %s", name, knob->full_name);
            return EXPR_NAME_BAD;
        }
    }
    const char *near = spec_did_you_mean(l, names, count, name);
    if (near[0] || count == 0)
        err_set(err, ERR_INPUT, "\"%s\": there is no knob \"%s\"%s", name, name, near);
    else
        err_set(err, ERR_INPUT, "\"%s\": there is no knob \"%s\"; there are %s", name, name,
                spec_list(l, names, count));
    return EXPR_NAME_BAD;
}

static enum expr_name resolve(void *context, const char *name, size_t *ret_id, struct err *err)
{
    const struct scope *scope = context;
    const struct spec_study *study = scope->l->study;
    for (size_t i = 0; i < study->knob_count; i++) {
        const struct spec_knob *knob = &study->knobs[i];
        const char *own = own_name(scope, knob);
        if (strcmp(knob->full_name, name) != 0 && (!own || strcmp(own, name) != 0))
            continue;
        if (i >= scope->limit) {
            err_set(err, ERR_INPUT, "\"%s\": a condition names only knobs that stand above it",
                    name);
            return EXPR_NAME_BAD;
        }
        *ret_id = i;
        return EXPR_NAME_VARIABLE;
    }
    return is_label(scope, name) ? EXPR_NAME_WORD : fail_name(scope, name, err);
}

static bool check_word(void *context, size_t id, const char *word, struct err *err)
{
    const struct scope *scope = context;
    const struct spec_knob *knob = &scope->l->study->knobs[id];
    const char **labels = arena_array(scope->l->arena, knob->value_count, sizeof *labels);
    for (size_t i = 0; i < knob->value_count; i++) {
        labels[i] = knob->values[i].label;
        if (strcmp(labels[i], word) == 0)
            return true;
    }
    const char *near = spec_did_you_mean(scope->l, labels, knob->value_count, word);
    if (!near[0])
        near = arena_printf(scope->l->arena, "; it has %s",
                            spec_list(scope->l, labels, knob->value_count));
    return err_set(err, ERR_INPUT, "%s has no value \"%s\"%s", knob->full_name,
                   spec_quote(scope->l, word), near);
}

static enum expr_unit unit_of(void *context, size_t id)
{
    const struct scope *scope = context;
    const struct spec_knob *knob = &scope->l->study->knobs[id];
    enum expr_unit unit = EXPR_UNIT_TEXT;
    for (size_t i = 0; i < knob->value_count; i++) {
        enum expr_unit one = EXPR_UNIT_ANY;
        double number = 0;
        if (!expr_number(knob->values[i].label, &number, &one))
            one = EXPR_UNIT_TEXT;
        if (i > 0 && one != unit)
            return EXPR_UNIT_ANY; /* "auto" among numbers */
        unit = one;
    }
    return unit;
}

bool spec_load_expr(struct spec_loader *l, const struct yaml_node *node, const char *where,
                    const struct expr_names *names, const char *must_name,
                    const struct expr **ret_expr)
{
    struct err err = ERR_INIT;
    struct expr *expr = NULL;
    if (node->kind != YAML_SCALAR || spec_yaml_is_null(node))
        return spec_fail(l, spec_place_of(node), where, "must be text, this is %s",
                         spec_yaml_kind_name(node));
    if (!expr_parse(l->arena, node->text, names, &expr, &err))
        return spec_fail(l, spec_place_of(node), where, "%s", err.text);
    if (must_name && expr_needs(expr) == 0)
        return spec_fail(l, spec_place_of(node), where, "\"%s\" names no %s",
                         spec_quote(l, node->text), must_name);
    *ret_expr = expr;
    return true;
}

bool spec_load_knob_expr(struct spec_loader *l, const struct yaml_node *node, const char *where,
                         int service, size_t limit, const struct expr **ret_expr)
{
    struct scope scope = {.l = l, .service = service, .limit = limit};
    const struct expr_names names = {
        .context = &scope, .resolve = resolve, .check_word = check_word, .unit = unit_of};
    return spec_load_expr(l, node, where, &names, NULL, ret_expr);
}

/* ---- constraints ---- */

bool spec_load_constraints(struct spec_loader *l, const struct yaml_node *constraints)
{
    struct spec_study *study = l->study;
    size_t n = 0;
    if (!constraints)
        return true;
    if (constraints->kind != YAML_LIST)
        return spec_fail(l, spec_place_of(constraints), "constraints",
                         "must be a list of comparisons, this is %s",
                         spec_yaml_kind_name(constraints));
    if (constraints->count > 256)
        return spec_fail(l, spec_place_of(constraints), "constraints", "at most 256");
    study->constraints = arena_array(l->arena, constraints->count, sizeof *study->constraints);
    for (const struct yaml_entry *e = constraints->first; e; e = e->next, n++) {
        struct spec_constraint *constraint = &study->constraints[n];
        constraint->place = spec_place_of(e->value);
        if (!spec_load_knob_expr(l, e->value, "constraints", -1, study->knob_count,
                                 &constraint->expr))
            return false;
        if (expr_needs(constraint->expr) == 0)
            return spec_fail(l, constraint->place, "constraints", "\"%s\" names no knob",
                             spec_quote(l, e->value->text));
    }
    study->constraint_count = n;
    return spec_check_feasible(l);
}

/* ---- baseline ---- */

int spec_knob_find_value(const struct spec_knob *knob, const char *label)
{
    double number = 0;
    enum expr_unit unit = EXPR_UNIT_ANY;
    for (size_t i = 0; i < knob->value_count; i++)
        if (strcmp(knob->values[i].label, label) == 0)
            return (int)i;
    if (!expr_number(label, &number, &unit))
        return -1;
    for (size_t i = 0; i < knob->value_count; i++)
        if (knob->values[i].number == number)
            return (int)i;
    return -1;
}

static bool load_baseline_value(struct spec_loader *l, const struct yaml_entry *entry,
                                struct spec_candidate *candidate)
{
    const struct spec_study *study = l->study;
    const char *names[SPEC_KNOBS_MAX] = {NULL};
    int index = spec_study_knob(study, entry->key->text);
    for (size_t i = 0; i < study->knob_count; i++)
        names[i] = study->knobs[i].full_name;
    if (index < 0)
        return spec_fail(l, spec_place_of(entry->key), "baseline", "there is no knob \"%s\"%s",
                         spec_quote(l, entry->key->text),
                         spec_did_you_mean(l, names, study->knob_count, entry->key->text));
    const struct spec_knob *knob = &study->knobs[index];
    const char *where = arena_printf(l->arena, "baseline.%s", knob->full_name);
    if (entry->value->kind != YAML_SCALAR)
        return spec_fail(l, spec_place_of(entry->value), where, "must be one value, this is %s",
                         spec_yaml_kind_name(entry->value));
    candidate->index[index] = spec_knob_find_value(knob, entry->value->text);
    if (candidate->index[index] >= 0)
        return true;
    const char **labels = arena_array(l->arena, knob->value_count, sizeof *labels);
    for (size_t i = 0; i < knob->value_count; i++)
        labels[i] = knob->values[i].label;
    return spec_fail(l, spec_place_of(entry->value), where, "has no value \"%s\"; it has %s",
                     spec_quote(l, entry->value->text), spec_list(l, labels, knob->value_count));
}

static bool check_baseline(struct spec_loader *l, const struct yaml_node *node,
                           struct spec_candidate *candidate)
{
    const struct spec_study *study = l->study;
    const struct spec_candidate given = *candidate;
    struct err err = ERR_INIT;
    if (!spec_candidate_check(study, candidate, &err))
        return spec_fail(l, spec_place_of(node), "baseline", "%s", err.text);
    for (size_t i = 0; i < study->knob_count; i++)
        if (given.index[i] >= 0 && candidate->index[i] < 0)
            return spec_fail(l, spec_place_of(spec_yaml_get(node, study->knobs[i].full_name)),
                             "baseline", "%s does nothing here (its condition is: %s)",
                             study->knobs[i].full_name,
                             spec_quote(l, expr_text(study->knobs[i].when)));
    return true;
}

bool spec_load_baseline(struct spec_loader *l, const struct yaml_node *baseline)
{
    struct spec_study *study = l->study;
    struct spec_candidate candidate;
    bool none = baseline && baseline->kind == YAML_SCALAR && strcmp(baseline->text, "none") == 0;
    if (none)
        return true;
    if (!baseline && study->knob_count > 0)
        return spec_fail(l, (struct spec_place){1, 1}, "baseline",
                         "is missing: say what runs today, a value for each knob, or "
                         "\"baseline: none\"");
    if (baseline && baseline->kind != YAML_MAP)
        return spec_fail(l, spec_place_of(baseline), "baseline",
                         "must be a mapping of knobs to values, or none; this is %s",
                         spec_yaml_kind_name(baseline));
    for (size_t i = 0; i < SPEC_KNOBS_MAX; i++)
        candidate.index[i] = -1;
    for (const struct yaml_entry *e = baseline ? baseline->first : NULL; e; e = e->next)
        if (!load_baseline_value(l, e, &candidate))
            return false;
    if (!check_baseline(l, baseline, &candidate))
        return false;
    study->baseline = arena_array(l->arena, SPEC_KNOBS_MAX, sizeof *study->baseline);
    memcpy(study->baseline, candidate.index, sizeof candidate.index);
    return true;
}
