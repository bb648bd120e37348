/* One rule for every place that tells a single trial's values: live rows, `show`, tables, figures,
 * report.json. A window that was left early has no times, but what it was left for is a bound:
 * clearly too many were over the limit, so the percentile is over it as well.
 *
 * Rejected: leaving such values out where they are stored. The goal is evaluated from the rows, and
 * candidates of a short round would then have no rank at all. */
#include "report/told.h"

#include "spec/metric.h"
#include "stats/quantile.h"
#include "store/read.h"
#include "trial/level.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

static const struct store_metric *find_row(const struct spec_study *study,
                                           const struct store_trial *trial, struct metric_ref ref)
{
    const char *service = study->services[ref.service].name;
    const char *metric = metric_facts(ref.metric)->name, *stat = metric_stat_name(ref.stat);
    for (size_t i = 0; i < trial->metric_count; i++) {
        const struct store_metric *m = &trial->metrics[i];
        if (strcmp(m->metric, metric) == 0 && strcmp(m->stat, stat) == 0 &&
            strcmp(m->mode, "shared") == 0 && strcmp(m->service, service) == 0)
            return m;
    }
    return NULL;
}

/* The limit that this requirement sets to the metric; NaN: it is about another one. */
static double limit_of(const struct spec_study *study, const struct expr *expr,
                       struct metric_ref ref)
{
    double limit = NAN;
    for (size_t id = 0; id < study->metric_ref_count; id++) {
        const struct metric_ref *used = &study->metric_refs[id];
        if (used->service == ref.service && used->metric == ref.metric && used->stat == ref.stat &&
            expr_uses(expr, id) && level_limit_of(expr, id, &limit))
            return limit;
    }
    return NAN;
}

static double missed_limit(const struct spec_study *study, const struct store_trial *trial,
                           struct metric_ref ref)
{
    for (size_t i = 0; i < trial->requirement_count && store_trial_left_early(trial); i++) {
        const struct store_requirement *r = &trial->requirements[i];
        if (strcmp(r->answer, "missed") != 0)
            continue;
        for (size_t k = 0; k < study->requirement_count; k++) {
            const struct expr *expr = study->requirements[k].expr;
            double limit = strcmp(expr_text(expr), r->text) == 0 ? limit_of(study, expr, ref) : NAN;
            if (!isnan(limit))
                return limit;
        }
    }
    return NAN;
}

/* Times of requests: of a window that was left they would be those of the quick answers. A study
 * that was run before such rows were left out has stored some. */
static bool is_time(enum metric metric)
{
    return metric == METRIC_LATENCY || metric == METRIC_TTFT || metric == METRIC_CONTENT ||
           metric == METRIC_TURN || metric == METRIC_ITL || metric == METRIC_RTF ||
           metric == METRIC_GOODPUT_RATIO;
}

bool report_told_hides(const struct store_trial *trial, enum metric metric)
{
    return is_time(metric) && store_trial_left_early(trial);
}

struct report_told report_told_of(const struct spec_study *study, const struct store_trial *trial,
                                  struct metric_ref ref)
{
    const struct store_metric *row = find_row(study, trial, ref);
    double q = metric_stat_quantile(ref.stat);
    if (report_told_hides(trial, ref.metric))
        return (struct report_told){.value = NAN, .over = missed_limit(study, trial, ref)};
    if (row && !isnan(q) && !stats_quantile_allowed((size_t)row->count, q))
        return (struct report_told){.value = NAN, .count = row->count, .over = NAN};
    return report_told_value(row ? row->value : NAN);
}

struct report_told report_told_value(double value)
{
    return (struct report_told){.value = value, .over = NAN};
}

void report_add_told(struct buf *buf, enum metric_unit unit, const struct report_told *told)
{
    if (!isnan(told->value)) {
        metric_add_value(buf, unit, told->value);
    } else if (!isnan(told->over)) {
        buf_add(buf, "over ");
        metric_add_value(buf, unit, told->over);
    } else if (told->count > 0) {
        buf_addf(buf, "- (n=%" PRId64 ")", told->count);
    } else {
        buf_addc(buf, '-');
    }
}
