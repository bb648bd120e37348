/* A requirement is evaluated at every corner of what its metrics may really be, each at the lower
 * and the upper end of its 95 % interval; where all corners agree it is certain (a comparison is
 * monotone in each metric, and none is negative). Where they don't, or an end is unknown, the value
 * decides, and the outcome says that it leans: the level is then looked at for longer, as one that
 * single requests leave open is.
 *
 * Rejected: the value alone. A p99 of fourteen requests is their longest, and a level would be met
 * or missed by luck without a word of it. Rejected: not certain is missed. Gaps of an answer are
 * alike and worth few, so that a service would be called overloaded that is as good as can be seen.
 *
 * A mean and a rate have no interval here and so always lean; extremes and counts are what the
 * window was. What would be certain if means and rates were what the window was can't be decided by
 * a longer one either: it leans, and is not looked at again. */
#include "trial/capacity_rest.h"

#include "trial/goal.h"

#include <math.h>
#include <string.h>

enum { VARIABLES_MAX = 6 };

struct corner {
    size_t ids[VARIABLES_MAX];
    double ends[VARIABLES_MAX][2]; /* NaN: unknown */
    size_t count;
    unsigned high; /* bit i: variable i at its upper end */
};

bool capacity_is_exact(enum metric metric, enum metric_stat stat)
{
    return stat == STAT_MIN || stat == STAT_MAX || metric == METRIC_ERRORS ||
           metric == METRIC_TURN_ERRORS;
}

enum stats_level capacity_lean(enum expr_truth by_value, bool certain)
{
    if (by_value == EXPR_TRUE)
        return certain ? LEVEL_MET : LEVEL_LEANS_MET;
    return certain && by_value == EXPR_FALSE ? LEVEL_MISSED : LEVEL_LEANS_MISSED;
}

/* Is there an interval, given enough requests? */
static bool has_interval(enum metric metric, enum metric_stat stat)
{
    return !isnan(metric_stat_quantile(stat)) || metric == METRIC_WER ||
           metric == METRIC_ERROR_RATIO || metric == METRIC_GOODPUT_RATIO;
}

static const struct store_metric *find_row(const struct spec_study *study,
                                           const struct store_metric *metrics, size_t count,
                                           struct metric_ref ref)
{
    for (size_t i = 0; i < count; i++) {
        const struct store_metric *m = &metrics[i];
        if (strcmp(m->mode, "shared") == 0 &&
            strcmp(m->service, study->services[ref.service].name) == 0 &&
            strcmp(m->metric, metric_facts(ref.metric)->name) == 0 &&
            strcmp(m->stat, metric_stat_name(ref.stat)) == 0)
            return m;
    }
    return NULL;
}

static struct expr_operand look_up(const void *context, size_t id)
{
    const struct corner *corner = context;
    for (size_t i = 0; i < corner->count; i++)
        if (corner->ids[i] == id && !isnan(corner->ends[i][corner->high >> i & 1]))
            return (struct expr_operand){.kind = EXPR_NUMBER,
                                         .number = corner->ends[i][corner->high >> i & 1]};
    return (struct expr_operand){.kind = EXPR_UNKNOWN};
}

enum estimates { ESTIMATES_OPEN, ESTIMATES_AS_SEEN }; /* those that never have an interval */

/* Is it, within the intervals of all that it names, nothing but `truth`? */
static bool is_certain(const struct spec_study *study, const struct expr *expr,
                       const struct store_metric *metrics, size_t count, enum estimates estimates,
                       enum expr_truth truth)
{
    struct corner corner = {0};
    for (size_t id = 0; id < study->metric_ref_count; id++) {
        const struct metric_ref ref = study->metric_refs[id];
        if (!expr_uses(expr, id))
            continue;
        if (corner.count == VARIABLES_MAX)
            return false;
        const struct store_metric *row = find_row(study, metrics, count, ref);
        bool exact =
            row && (capacity_is_exact(ref.metric, ref.stat) ||
                    (estimates == ESTIMATES_AS_SEEN && !has_interval(ref.metric, ref.stat)));
        double *ends = corner.ends[corner.count];
        ends[0] = !row ? NAN : exact ? row->value : row->low;
        ends[1] = !row ? NAN : exact ? row->value : row->high;
        corner.ids[corner.count++] = id;
    }
    for (corner.high = 0; corner.high < 1u << corner.count; corner.high++)
        if (expr_eval(expr, look_up, &corner) != truth)
            return false;
    return true;
}

static bool leans(enum stats_level level)
{
    return level == LEVEL_LEANS_MET || level == LEVEL_LEANS_MISSED;
}

/* Of one that leans: by a longer window? What is unknown in this one may be known in that. */
static bool may_be_decided(const struct spec_study *rest, const struct expr *expr,
                           const struct store_metric *metrics, size_t count, enum expr_truth truth)
{
    return truth == EXPR_MAYBE || !is_certain(rest, expr, metrics, count, ESTIMATES_AS_SEEN, truth);
}

enum stats_level capacity_judge_rest(const struct spec_study *rest,
                                     const struct store_metric *metrics, size_t count,
                                     enum stats_level outcome, struct arena *arena,
                                     bool *ret_longer_helps, const char **ret_broke)
{
    bool longer_helps = leans(outcome);
    for (size_t k = 0; k < rest->requirement_count; k++) {
        const struct goal_answer answer = goal_requirement(rest, metrics, count, k, arena);
        const struct expr *expr = rest->requirements[k].expr;
        bool certain = is_certain(rest, expr, metrics, count, ESTIMATES_OPEN, answer.truth);
        enum stats_level one = capacity_lean(answer.truth, certain);
        longer_helps = longer_helps ||
                       (leans(one) && may_be_decided(rest, expr, metrics, count, answer.truth));
        if (one <= outcome)
            continue;
        outcome = one;
        if (outcome > LEVEL_LEANS_MET)
            *ret_broke = answer.text;
    }
    *ret_longer_helps = longer_helps;
    return outcome;
}
