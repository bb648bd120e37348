/* The goal is evaluated from a trial's stored metric rows, never from values kept elsewhere, so
 * that the report, which has only the store, comes to the same fitness.
 *
 * Exploring windows are short: a p95 of 14 requests is close to their maximum. Such point values
 * rank candidates within a round, where all have the same window; they are never told as
 * percentiles (stats_quantile_allowed) and never name a winner. A requirement that failed by such a
 * value says from how many requests. */
#include "trial/goal.h"

#include "base/buf.h"
#include "stats/desirability.h"
#include "stats/quantile.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

static const struct store_metric *find_row(const struct spec_study *study,
                                           const struct store_metric *metrics, size_t count,
                                           struct metric_ref ref)
{
    const char *service = study->services[ref.service].name;
    const char *metric = metric_facts(ref.metric)->name;
    const char *stat = metric_stat_name(ref.stat);
    for (size_t i = 0; i < count; i++) {
        const struct store_metric *m = &metrics[i];
        if (strcmp(m->mode, "shared") == 0 && strcmp(m->service, service) == 0 &&
            strcmp(m->metric, metric) == 0 && strcmp(m->stat, stat) == 0)
            return m;
    }
    return NULL;
}

double goal_metric(const struct spec_study *study, const struct store_metric *metrics, size_t count,
                   struct metric_ref ref)
{
    const struct store_metric *found = find_row(study, metrics, count, ref);
    return found ? found->value : NAN;
}

struct lookup {
    const struct spec_study *study;
    const struct store_metric *metrics;
    size_t count;
};

static struct expr_operand look_up(const void *context, size_t id)
{
    const struct lookup *lookup = context;
    double value =
        goal_metric(lookup->study, lookup->metrics, lookup->count, lookup->study->metric_refs[id]);
    if (isnan(value))
        return (struct expr_operand){.kind = EXPR_UNKNOWN};
    return (struct expr_operand){.kind = EXPR_NUMBER, .number = value};
}

/* Which metric a requirement is about: of those it uses the one it names first. */
static const struct metric_ref *requirement_ref(const struct spec_study *study,
                                                const struct expr *expr)
{
    const struct metric_ref *first = NULL;
    const char *first_at = NULL;
    for (size_t id = 0; id < study->metric_ref_count; id++) {
        if (!expr_uses(expr, id))
            continue;
        const char *at =
            strstr(expr_text(expr), spec_metric_ref_name(study, study->metric_refs[id]));
        if (!first || (at && first_at && at < first_at)) {
            first = &study->metric_refs[id];
            first_at = at;
        }
    }
    return first;
}

static const char *state_of(const struct lookup *lookup, const struct expr *expr)
{
    return expr_eval(expr, look_up, lookup) == EXPR_TRUE ? "met" : "not met";
}

/* "stt.latency.p95 is 612 ms, required < 500 ms" where the metric stands alone on the left; else
 * the requirement as written, with the metric's value. */
static const char *describe(const struct lookup *lookup, const struct expr *expr,
                            const struct metric_ref *ref, struct arena *arena)
{
    if (!ref)
        return arena_printf(arena, "%s: %s", state_of(lookup, expr), expr_text(expr));
    AUTO(buf_done) struct buf text = BUF_INIT(1024);
    enum metric_unit unit = metric_facts(ref->metric)->unit;
    const char *name = spec_metric_ref_name(lookup->study, *ref);
    double value = goal_metric(lookup->study, lookup->metrics, lookup->count, *ref);
    struct expr_operand left, right;
    const char *op;
    bool plain = strncmp(expr_text(expr), name, strlen(name)) == 0 &&
                 expr_sides(expr, look_up, lookup, &left, &op, &right) &&
                 (left.kind == EXPR_NUMBER ? left.number == value : isnan(value));
    if (!plain)
        buf_addf(&text, "%s: %s; ", state_of(lookup, expr), expr_text(expr));
    buf_addf(&text, "%s is ", name);
    metric_add_value(&text, unit, value);
    /* What the value rests on, where that carries no such percentile. */
    const struct store_metric *row = find_row(lookup->study, lookup->metrics, lookup->count, *ref);
    double q = metric_stat_quantile(ref->stat);
    if (row && !isnan(q) && !stats_quantile_allowed((size_t)row->count, q))
        buf_addf(&text, " (n=%" PRId64 ")", row->count);
    if (plain) {
        buf_addf(&text, ", required %s ", op);
        metric_add_value(&text, unit, right.kind == EXPR_NUMBER ? right.number : NAN);
    }
    return arena_strdup(arena, buf_text(&text));
}

static double fitness_of(const struct lookup *lookup)
{
    const struct spec_study *study = lookup->study;
    size_t n = study->objective_count;
    if (n == 0)
        return 1; /* only requirements: every candidate that meets them is as good as another */
    double desirabilities[SPEC_OBJECTIVES_MAX], weights[SPEC_OBJECTIVES_MAX];
    for (size_t i = 0; i < n; i++) {
        const struct spec_objective *o = &study->objectives[i];
        enum stats_scale scale =
            metric_facts(o->metric.metric)->unit == UNIT_SECONDS ? SCALE_LOG : SCALE_LINEAR;
        double value = goal_metric(study, lookup->metrics, lookup->count, o->metric);
        desirabilities[i] = stats_desirability(value, o->good, o->bad, scale);
        weights[i] = o->weight;
    }
    return stats_desirability_mean(desirabilities, weights, n);
}

struct goal_answer goal_requirement(const struct spec_study *study,
                                    const struct store_metric *metrics, size_t count, size_t k,
                                    struct arena *arena)
{
    const struct lookup lookup = {study, metrics, count};
    const struct expr *expr = study->requirements[k].expr;
    const struct metric_ref *ref = requirement_ref(study, expr);
    return (struct goal_answer){
        .truth = expr_eval(expr, look_up, &lookup),
        .text = describe(&lookup, expr, ref, arena),
        .on_errors = ref && (ref->metric == METRIC_ERRORS || ref->metric == METRIC_ERROR_RATIO),
        .service = ref ? (int)ref->service : -1,
    };
}

struct goal_result goal_evaluate(const struct spec_study *study, const struct store_metric *metrics,
                                 size_t count, struct arena *arena)
{
    struct lookup lookup = {study, metrics, count};
    for (size_t i = 0; i < study->requirement_count; i++) {
        if (expr_eval(study->requirements[i].expr, look_up, &lookup) == EXPR_TRUE)
            continue;
        const struct goal_answer answer = goal_requirement(study, metrics, count, i, arena);
        return (struct goal_result){
            .fitness = 0,
            .failed = answer.text,
            .failed_on_errors = answer.on_errors,
            .failed_service = answer.service,
        };
    }
    /* An objective that could not be measured is no success: not one request may have fitted into
     * the window, which is the slowest of all. */
    for (size_t i = 0; i < study->objective_count; i++) {
        const struct metric_ref ref = study->objectives[i].metric;
        if (!isnan(goal_metric(study, metrics, count, ref)))
            continue;
        return (struct goal_result){
            .fitness = 0,
            .failed = arena_printf(arena, "%s could not be measured in this window",
                                   study->objectives[i].name),
            .failed_service = (int)ref.service,
        };
    }
    return (struct goal_result){.fitness = fitness_of(&lookup), .met = true, .failed_service = -1};
}
