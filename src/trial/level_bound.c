/* Requirements as bounds on single requests: which of them can be told so, and which requests are
 * over. A requirement whose sides move together (a metric against another) is none of these.
 *
 * Rejected: parsing the expression's text again; what it says is asked of the expression itself, by
 * giving the metric two values and looking whether the other side stays. */
#include "trial/level.h"

#include "base/auto.h"

#include <math.h>
#include <string.h>

bool level_is_own_time(enum metric metric)
{
    return metric == METRIC_LATENCY || metric == METRIC_TTFT || metric == METRIC_CONTENT;
}

double level_value_of(enum metric metric, const struct load_record *r)
{
    switch (metric) {
    case METRIC_TURN:
        return load_turn_s(r);
    case METRIC_TTFT:
        return load_ttft_s(r);
    case METRIC_CONTENT:
        return load_content_s(r);
    case METRIC_RTF:
        return r->audio_s > 0 ? load_latency_s(r) / r->audio_s : NAN;
    default:
        return load_latency_s(r);
    }
}

bool level_bound_over(const struct level_bound *bound, const struct load_record *r)
{
    if (r->error != LOAD_OK)
        return true;
    if (bound->metric == METRIC_ERRORS)
        return false;
    double value = level_value_of(bound->metric, r);
    /* An answer without a first token, or of nothing but thinking, has not kept the promise either.
     */
    return !(bound->at_limit_is_over ? value < bound->limit : value <= bound->limit);
}

static bool settle_bound(struct metric_ref ref, const char *op, double limit,
                         struct level_bound *ret)
{
    bool below = strcmp(op, "<") == 0, up_to = strcmp(op, "<=") == 0;
    double q = metric_stat_quantile(ref.stat);
    bool timed =
        level_is_own_time(ref.metric) || ref.metric == METRIC_TURN || ref.metric == METRIC_RTF;
    ret->metric = ref.metric;
    ret->limit = limit;
    ret->at_limit_is_over = below;
    ret->allowed = 0;
    if (timed && (below || up_to) && (!isnan(q) || ref.stat == STAT_MAX)) {
        ret->allowed = isnan(q) ? 0 : 1 - q;
        return limit > 0;
    }
    ret->metric = METRIC_ERRORS;
    ret->limit = NAN;
    if (ref.metric == METRIC_ERROR_RATIO && (below || up_to)) {
        ret->allowed = limit;
        return limit >= 0 && limit < 1 && !(below && limit == 0);
    }
    bool none = (strcmp(op, "==") == 0 && limit == 0) || (up_to && limit < 1) ||
                (below && limit > 0 && limit <= 1);
    return ref.metric == METRIC_ERRORS && none;
}

struct trial_value { /* what the metric is taken to be, to see where it stands */
    size_t id;
    double value;
};

static struct expr_operand look_up(const void *context, size_t id)
{
    const struct trial_value *assumed = context;
    if (id != assumed->id)
        return (struct expr_operand){.kind = EXPR_UNKNOWN};
    return (struct expr_operand){.kind = EXPR_NUMBER, .number = assumed->value};
}

/* The metric alone on the left, and a right side that does not move with it. */
bool level_plain_limit(const struct expr *expr, size_t id, const char **ret_op, double *ret_limit)
{
    static const double assumed[] = {12345.678, 0.0078125};
    double limits[ARRAY_LEN(assumed)];
    const char *op = NULL;
    for (size_t i = 0; i < ARRAY_LEN(assumed); i++) {
        const struct trial_value context = {id, assumed[i]};
        struct expr_operand left, right;
        if (!expr_sides(expr, look_up, &context, &left, &op, &right) || left.kind != EXPR_NUMBER ||
            right.kind != EXPR_NUMBER || left.number != assumed[i])
            return false;
        limits[i] = right.number;
    }
    *ret_op = op;
    *ret_limit = limits[0];
    return limits[0] == limits[1];
}

bool level_limit_of(const struct expr *expr, size_t id, double *ret_limit)
{
    const char *op = NULL;
    double limit = NAN;
    if (!level_plain_limit(expr, id, &op, &limit) || op[0] != '<')
        return false;
    *ret_limit = limit;
    return true;
}

bool level_bound_of(const struct expr *expr, size_t id, struct metric_ref ref,
                    struct level_bound *ret_bound)
{
    const char *op = NULL;
    double limit = NAN;
    struct level_bound bound = {.text = expr_text(expr), .stream = ref.service};
    if (!level_plain_limit(expr, id, &op, &limit) || !settle_bound(ref, op, limit, &bound))
        return false;
    *ret_bound = bound;
    return true;
}
