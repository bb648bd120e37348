/* `goal:`: desirabilities to optimise, requirements to meet. Both name metrics, which are collected
 * once in the study so that a trial knows everything it has to compute. */
#include "spec/load_expr.h"

#include "base/text.h"

#include <string.h>

enum { REFS_MAX = 512, REQUIREMENTS_MAX = 256 };

struct goal_draft {
    const struct yaml_node *optimise, *require;
};
static const struct spec_field goal_fields[] = {
    {"optimise", FIELD_NODE, offsetof(struct goal_draft, optimise),
     .help = "metrics to make better, each with what is good and what is bad"},
    {"require", FIELD_NODE, offsetof(struct goal_draft, require),
     .help = "a list of comparisons that must hold, as in \"stt.errors == 0\""},
};
const struct spec_section spec_goal_section = {"goal", goal_fields, ARRAY_LEN(goal_fields)};

struct objective_draft {
    const char *good, *bad;
    double weight;
};
#define FIELD(member) offsetof(struct objective_draft, member)
static const struct spec_field objective_fields[] = {
    {"good", FIELD_TEXT, FIELD(good), .required = true,
     .help = "at this value or better there is nothing left to gain"},
    {"bad", FIELD_TEXT, FIELD(bad), .required = true,
     .help = "at this value or worse it is worth nothing"},
    {"weight", FIELD_REAL, FIELD(weight), .min = 0.001, .max = 1000, .fallback = "1",
     .help = "against the other metrics"},
};
#undef FIELD
const struct spec_section spec_objective_section = {"goal.optimise.METRIC", objective_fields,
                                                    ARRAY_LEN(objective_fields)};

static bool add_ref(struct spec_study *study, struct metric_ref ref, size_t *ret_id,
                    struct err *err)
{
    if (!study->metric_refs)
        study->metric_refs = arena_array(study->arena, REFS_MAX, sizeof *study->metric_refs);
    for (size_t i = 0; i < study->metric_ref_count; i++) {
        const struct metric_ref *known = &study->metric_refs[i];
        if (known->service == ref.service && known->metric == ref.metric &&
            known->stat == ref.stat) {
            *ret_id = i;
            return true;
        }
    }
    if (study->metric_ref_count == REFS_MAX)
        return err_set(err, ERR_INPUT, "at most %d different metrics", REFS_MAX);
    study->metric_refs[study->metric_ref_count] = ref;
    *ret_id = study->metric_ref_count++;
    return true;
}

/* ---- optimise ---- */

static bool read_value(struct spec_loader *l, const struct yaml_node *node, const char *where,
                       const char *key, enum metric_unit unit, const char *text, double *ret_value)
{
    struct err err = ERR_INIT;
    if (metric_parse_quantity(unit, text, ret_value, &err))
        return true;
    return spec_fail(l, spec_place_of(spec_yaml_get(node, key)),
                     arena_printf(l->arena, "%s.%s", where, key), "%s", err.text);
}

static bool load_objective(struct spec_loader *l, const struct yaml_entry *entry,
                           struct spec_objective *o)
{
    struct err err = ERR_INIT;
    size_t id = 0;
    const char *name = entry->key->text;
    struct spec_place place = spec_place_of(entry->key);
    struct objective_draft draft = {0};
    if (!spec_metric_ref_parse(l->study, name, &o->metric, &err) ||
        !add_ref(l->study, o->metric, &id, &err))
        return spec_fail(l, place, "goal.optimise", "%s", err.text);
    const struct metric_facts *facts = metric_facts(o->metric.metric);
    const char *where = arena_printf(l->arena, "goal.optimise.%s", name);
    if (!spec_bind(l, entry->value, where, &spec_objective_section, (struct spec_extra){0},
                   &draft) ||
        !read_value(l, entry->value, where, "good", facts->unit, draft.good, &o->good) ||
        !read_value(l, entry->value, where, "bad", facts->unit, draft.bad, &o->bad))
        return false;
    if (facts->higher_is_better ? o->good <= o->bad : o->good >= o->bad)
        return spec_fail(l, place, where, "good must be %s bad: of %s, %s is better",
                         facts->higher_is_better ? "above" : "below", facts->name,
                         facts->higher_is_better ? "more" : "less");
    if (o->good < 0 || o->bad < 0 || (facts->unit == UNIT_SECONDS && o->good <= 0))
        return spec_fail(l, place, where, "good and bad must be above 0");
    o->weight = draft.weight;
    o->name = name;
    o->place = place;
    return true;
}

static bool load_optimise(struct spec_loader *l, const struct yaml_node *optimise)
{
    struct spec_study *study = l->study;
    if (optimise->kind != YAML_MAP)
        return spec_fail(l, spec_place_of(optimise), "goal.optimise",
                         "must be a mapping, as in {stt.latency.p95: {good: 100ms, bad: 1s}}");
    if (optimise->count > SPEC_OBJECTIVES_MAX)
        return spec_fail(l, spec_place_of(optimise), "goal.optimise", "at most %d metrics",
                         SPEC_OBJECTIVES_MAX);
    study->objectives = arena_array(l->arena, optimise->count, sizeof *study->objectives);
    for (const struct yaml_entry *e = optimise->first; e; e = e->next)
        if (!load_objective(l, e, &study->objectives[study->objective_count++]))
            return false;
    return true;
}

/* ---- require ---- */

static enum expr_name resolve_metric(void *context, const char *name, size_t *ret_id,
                                     struct err *err)
{
    struct spec_loader *l = context;
    struct metric_ref ref;
    bool ok =
        spec_metric_ref_parse(l->study, name, &ref, err) && add_ref(l->study, ref, ret_id, err);
    return ok ? EXPR_NAME_VARIABLE : EXPR_NAME_BAD;
}

static bool refuse_word(void *context, size_t id, const char *word, struct err *err)
{
    struct spec_loader *l = context;
    return err_set(err, ERR_INPUT, "%s is a number, \"%s\" is none",
                   spec_metric_ref_name(l->study, l->study->metric_refs[id]), spec_quote(l, word));
}

static enum expr_unit metric_expr_unit(void *context, size_t id)
{
    const struct spec_loader *l = context;
    switch (metric_facts(l->study->metric_refs[id].metric)->unit) {
    case UNIT_SECONDS:
        return EXPR_UNIT_SECONDS;
    case UNIT_BYTES:
        return EXPR_UNIT_BYTES;
    case UNIT_BYTES_PER_SECOND:
        return EXPR_UNIT_BYTE_RATE;
    default:
        return EXPR_UNIT_PLAIN;
    }
}

bool spec_load_requirement(struct spec_loader *l, const struct yaml_node *node, const char *where,
                           struct spec_requirement *ret)
{
    const struct expr_names names = {.context = l,
                                     .resolve = resolve_metric,
                                     .check_word = refuse_word,
                                     .unit = metric_expr_unit};
    const struct expr *expr = NULL;
    if (!spec_load_expr(l, node, where, &names, "metric", &expr))
        return false;
    *ret = (struct spec_requirement){.expr = expr, .place = spec_place_of(node)};
    return true;
}

/* Goodput counts requests that keep the limits on times: without one there is nothing to keep. */
static bool check_goodput(struct spec_loader *l, const struct yaml_node *goal)
{
    const struct spec_study *study = l->study;
    for (size_t id = 0; id < study->metric_ref_count; id++) {
        const struct metric_ref ref = study->metric_refs[id];
        bool limited = ref.metric != METRIC_GOODPUT && ref.metric != METRIC_GOODPUT_RATIO;
        for (size_t k = 0; k < study->requirement_count && !limited; k++)
            for (size_t other = 0; other < study->metric_ref_count && !limited; other++)
                limited = study->metric_refs[other].service == ref.service &&
                          metric_facts(study->metric_refs[other].metric)->distribution &&
                          expr_uses(study->requirements[k].expr, other);
        if (!limited)
            return spec_fail(l, spec_place_of(goal), "goal",
                             "%s.%s needs a limit to keep: require one on a time of %s, as in "
                             "\"%s.latency.p95 < 500ms\"",
                             study->services[ref.service].name, metric_facts(ref.metric)->name,
                             study->services[ref.service].name, study->services[ref.service].name);
    }
    return true;
}

bool spec_load_goal(struct spec_loader *l, const struct yaml_node *goal)
{
    struct spec_study *study = l->study;
    struct goal_draft draft = {0};
    if (!spec_bind(l, goal, "goal", &spec_goal_section, (struct spec_extra){0}, &draft))
        return false;
    if (draft.optimise && !load_optimise(l, draft.optimise))
        return false;
    if (study->objective_count == 0 && study->knob_count > 0)
        return spec_fail(l, goal ? spec_place_of(goal) : (struct spec_place){1, 1}, "goal",
                         "needs \"optimise\": without it no candidate is better than another");
    if (!draft.require)
        return !goal || check_goodput(l, goal);
    if (draft.require->kind != YAML_LIST || draft.require->count > REQUIREMENTS_MAX)
        return spec_fail(l, spec_place_of(draft.require), "goal.require",
                         "must be a list of at most 256, as in [\"stt.errors == 0\"]");
    study->requirements = arena_array(l->arena, draft.require->count, sizeof *study->requirements);
    for (const struct yaml_entry *e = draft.require->first; e; e = e->next)
        if (!spec_load_requirement(l, e->value, "goal.require",
                                   &study->requirements[study->requirement_count++]))
            return false;
    return check_goodput(l, goal);
}
