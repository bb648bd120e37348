/* The numbers of a finalist, over its runs of the final.
 *
 * Quantiles come from the requests of all runs pooled, never from the runs' own quantiles: a mean
 * of p95s is the p95 of nothing. Whatever a run has only once (memory, tokens per second, gaps
 * between tokens, whose raw values are not kept) is the mean over the runs, with the least and the
 * largest beside it. Word errors are pooled over all words; their interval resamples clips, because
 * the same clip heard again in the next run says nothing new about other speech.
 *
 * Rejected: dropping a run in which a number is missing. The number is then unknown, and says in
 * how many runs. */
#include "report/build.h"

#include "stats/binomial.h"
#include "stats/sessions.h"
#include "stats/wer.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

static const int sample_of[METRIC_COUNT_] = {
    [METRIC_LATENCY] = SAMPLE_LATENCY + 1, [METRIC_TTFT] = SAMPLE_TTFT + 1,
    [METRIC_CONTENT] = SAMPLE_CONTENT + 1, [METRIC_TURN] = SAMPLE_TURN + 1,
    [METRIC_RTF] = SAMPLE_RTF + 1,
};

bool report_has_samples(const struct report_measure *m)
{
    return sample_of[m->metric] != 0 && !isnan(metric_stat_quantile(m->stat));
}

static const char *service_name(const struct report_view *view, const struct report_measure *m)
{
    return m->service == REPORT_ALL_SERVICES ? NULL : view->study->services[m->service].name;
}

static const struct store_metric *find_metric(const struct store_trial *trial, const char *service,
                                              const char *mode, const char *metric,
                                              const char *stat)
{
    for (size_t i = 0; i < trial->metric_count; i++) {
        const struct store_metric *m = &trial->metrics[i];
        if (strcmp(m->metric, metric) == 0 && strcmp(m->stat, stat) == 0 &&
            strcmp(m->service, service) == 0 && strcmp(m->mode, mode) == 0)
            return m;
    }
    return NULL;
}

double report_trial_value(const struct report_view *view, const struct store_trial *trial,
                          const struct report_measure *m, const char *mode)
{
    const char *metric = metric_facts(m->metric)->name, *stat = metric_stat_name(m->stat);
    const char *service = service_name(view, m);
    if (service) {
        const struct store_metric *found = find_metric(trial, service, mode, metric, stat);
        return found ? found->value : NAN;
    }
    double sum = 0;
    for (size_t s = 0; s < view->study->service_count; s++) {
        const struct store_metric *found =
            find_metric(trial, view->study->services[s].name, mode, metric, stat);
        sum += found ? found->value : NAN;
    }
    return sum;
}

bool report_read_runs(struct report_builder *b, const struct report_side *side,
                      const struct report_measure *m, const char *mode, struct stats_runs *ret_runs,
                      struct err *err)
{
    struct stats_run *runs = arena_array(b->arena, side->run_count + 1, sizeof *runs);
    size_t count = 0;
    for (size_t i = 0; i < side->run_count; i++) {
        struct store_values values = {0};
        if (!store_read_values(b->store, b->arena, side->runs[i]->number, service_name(b->view, m),
                               mode, (enum store_sample)(sample_of[m->metric] - 1), &values, err))
            return false;
        if (values.count)
            runs[count++] = (struct stats_run){values.values, values.count};
    }
    *ret_runs = (struct stats_runs){runs, count};
    return true;
}

struct pool { /* in the arena */
    struct stats_series series;
    double *values;
    uint32_t *sessions;
};

/* All runs of a side, one after the other. */
static bool read_pool(struct report_builder *b, const struct report_side *side,
                      const struct report_measure *m, const char *mode, struct pool *ret,
                      struct err *err)
{
    struct store_values *all = arena_array(b->arena, side->run_count + 1, sizeof *all);
    size_t *lengths = arena_array(b->arena, side->run_count + 1, sizeof *lengths);
    size_t n = 0, count = 0, at = 0;
    for (size_t i = 0; i < side->run_count; i++) {
        if (!store_read_values(b->store, b->arena, side->runs[i]->number, service_name(b->view, m),
                               mode, (enum store_sample)(sample_of[m->metric] - 1), &all[count],
                               err))
            return false;
        n += all[count].count;
        lengths[count] = all[count].count;
        count += all[count].count > 0;
    }
    ret->values = arena_array(b->arena, n + 1, sizeof *ret->values);
    ret->sessions = arena_array(b->arena, n + 1, sizeof *ret->sessions);
    for (size_t i = 0; i < count; at += all[i++].count) {
        memcpy(ret->values + at, all[i].values, all[i].count * sizeof *ret->values);
        memcpy(ret->sessions + at, all[i].sessions, all[i].count * sizeof *ret->sessions);
    }
    ret->series = (struct stats_series){ret->values, n, lengths, count};
    return true;
}

static bool fill_quantile(struct report_builder *b, const struct report_side *side,
                          const struct report_measure *m, const char *mode,
                          struct report_number *ret, struct err *err)
{
    struct pool runs = {0};
    if (!read_pool(b, side, m, mode, &runs, err))
        return false;
    size_t n = runs.series.n;
    double *pool = runs.values, q = metric_stat_quantile(m->stat);
    struct stats_series_interval found =
        stats_sessions_quantile(&runs.series, runs.sessions, q, b->view->confidence);
    stats_sort(pool, n);
    *ret = (struct report_number){.kind = NUMBER_QUANTILE,
                                  .value = NAN,
                                  .low = NAN,
                                  .high = NAN,
                                  .count = (int64_t)n,
                                  .runs = runs.series.run_count};
    if (n == 0) {
        ret->unknown = "no request of it succeeded";
        return true;
    }
    ret->low = found.interval.low;
    ret->high = found.interval.high;
    ret->method = stats_method_name(found.method);
    ret->refused = stats_refusal_text(found.refusal);
    if (stats_quantile_allowed(n, q))
        ret->value = stats_quantile(pool, n, q);
    else
        ret->unknown =
            arena_printf(b->arena, "a sample of %zu carries no %s", n, metric_stat_name(m->stat));
    return true;
}

/* The run whose values are too few for the quantile; NULL: none is, or it is no quantile. */
static const struct store_metric *short_of(const struct report_view *view,
                                           const struct report_side *side,
                                           const struct report_measure *m, const char *mode)
{
    double q = metric_stat_quantile(m->stat);
    const char *service = service_name(view, m);
    for (size_t i = 0; i < side->run_count && !isnan(q) && service; i++) {
        const struct store_metric *row = find_metric(
            side->runs[i], service, mode, metric_facts(m->metric)->name, metric_stat_name(m->stat));
        if (row && !stats_quantile_allowed((size_t)row->count, q))
            return row;
    }
    return NULL;
}

static void fill_runs(struct report_builder *b, const struct report_side *side,
                      const struct report_measure *m, const char *mode, struct report_number *ret)
{
    double *values = arena_array(b->arena, side->run_count + 1, sizeof *values);
    size_t missing = 0;
    for (size_t i = 0; i < side->run_count; i++) {
        values[i] = report_trial_value(b->view, side->runs[i], m, mode);
        missing += isnan(values[i]);
    }
    struct stats_summary summary = stats_summary_of(values, side->run_count);
    *ret = (struct report_number){.kind = NUMBER_RUNS,
                                  .value = summary.mean,
                                  .low = summary.min,
                                  .high = summary.max,
                                  .count = (int64_t)side->run_count,
                                  .runs = side->run_count};
    const struct store_metric *least = short_of(b->view, side, m, mode);
    if (least) {
        ret->value = ret->low = ret->high = NAN;
        ret->count = least->count;
        ret->unknown = arena_printf(b->arena, "a sample of %" PRId64 " carries no %s", least->count,
                                    metric_stat_name(m->stat));
    } else if (isnan(summary.mean))
        ret->unknown =
            side->run_count == 0 ? "no measured run"
            : missing == side->run_count
                ? "not measured"
                : arena_printf(b->arena, "unknown in %zu of %zu runs", missing, side->run_count);
}

bool report_read_clips(struct report_builder *b, const struct report_side *side,
                       const char *service, struct report_clip **ret_clips, size_t *ret_count,
                       struct err *err)
{
    struct report_clip *clips = NULL;
    size_t count = 0, capacity = 0;
    for (size_t i = 0; i < side->run_count; i++) {
        struct store_words *words = NULL;
        size_t n = 0;
        if (!store_read_words(b->store, b->arena, side->runs[i]->number, service, &words, &n, err))
            return false;
        for (size_t k = 0; k < n; k++) {
            size_t at = 0;
            while (at < count && clips[at].item != words[k].item)
                at++;
            if (at == capacity) {
                capacity = capacity ? 2 * capacity : 64;
                struct report_clip *grown = arena_array(b->arena, capacity, sizeof *grown);
                if (count)
                    memcpy(grown, clips, count * sizeof *grown);
                clips = grown;
            }
            if (at == count)
                clips[count++] = (struct report_clip){.item = words[k].item};
            clips[at].errors += words[k].word_errors;
            clips[at].words += words[k].words;
        }
    }
    *ret_clips = clips;
    *ret_count = count;
    return true;
}

static bool fill_wer(struct report_builder *b, const struct report_side *side,
                     const struct report_measure *m, struct report_number *ret, struct err *err)
{
    struct report_clip *clips = NULL;
    size_t count = 0;
    if (!report_read_clips(b, side, service_name(b->view, m), &clips, &count, err))
        return false;
    struct stats_wer total = {0};
    struct stats_wer *each = arena_array(b->arena, count + 1, sizeof *each);
    for (size_t i = 0; i < count; i++) {
        /* Which kind of error it was does not matter to the ratio. */
        each[i].substitutions = (uint64_t)clips[i].errors;
        each[i].reference_words = (uint64_t)clips[i].words;
        stats_wer_pool(&total, &each[i]);
    }
    *ret = (struct report_number){.kind = NUMBER_SHARE,
                                  .value = NAN,
                                  .low = NAN,
                                  .high = NAN,
                                  .count = (int64_t)total.reference_words,
                                  .runs = side->run_count};
    if (total.reference_words == 0) {
        ret->unknown = "no answer could be compared with a transcript";
        return true;
    }
    struct rng rng = rng_init(b->view->study->seed, "report/wer");
    struct stats_interval interval =
        stats_wer_interval(each, count, b->view->confidence, 2000, &rng);
    ret->value = stats_wer_ratio(&total);
    ret->low = interval.low;
    ret->high = interval.high;
    return true;
}

/* Failed requests of all requests of the runs' windows. */
static void fill_errors(struct report_builder *b, const struct report_side *side,
                        const struct report_measure *m, const char *mode, struct report_number *ret)
{
    double failed = 0;
    int64_t all = 0;
    for (size_t i = 0; i < side->run_count; i++) {
        const struct store_metric *row = find_metric(side->runs[i], service_name(b->view, m), mode,
                                                     metric_facts(METRIC_ERRORS)->name, "");
        failed += row ? row->value : NAN;
        all += row ? row->count : 0;
    }
    bool known = side->run_count > 0 && !isnan(failed) && (m->metric == METRIC_ERRORS || all > 0);
    bool is_sum = m->metric == METRIC_ERRORS;
    *ret = (struct report_number){.kind = is_sum ? NUMBER_SUM : NUMBER_SHARE,
                                  .value = NAN,
                                  .low = NAN,
                                  .high = NAN,
                                  .count = all,
                                  .runs = side->run_count};
    if (!known) {
        ret->unknown = "not counted in every run";
    } else if (is_sum) {
        ret->value = failed;
    } else {
        struct stats_interval interval =
            stats_binomial_interval((uint64_t)failed, (uint64_t)all, b->view->confidence);
        ret->value = failed / (double)all;
        ret->low = interval.low;
        ret->high = interval.high;
    }
}

static bool fill_number(struct report_builder *b, const struct report_side *side,
                        const struct report_measure *m, const char *mode, struct report_number *ret,
                        struct err *err)
{
    bool alone = strcmp(mode, "alone") == 0;
    if (report_has_samples(m) && m->service != REPORT_ALL_SERVICES)
        return fill_quantile(b, side, m, mode, ret, err);
    if (m->metric == METRIC_WER && !alone)
        return fill_wer(b, side, m, ret, err);
    if (m->metric == METRIC_ERRORS || m->metric == METRIC_ERROR_RATIO)
        fill_errors(b, side, m, mode, ret);
    else
        fill_runs(b, side, m, mode, ret);
    return true;
}

bool report_build_numbers(struct report_builder *b, struct report_side *side, struct err *err)
{
    size_t n = b->view->measure_count;
    side->shared = arena_array(b->arena, n, sizeof *side->shared);
    side->alone = arena_array(b->arena, n, sizeof *side->alone);
    for (size_t i = 0; i < n; i++) {
        const struct report_measure *m = &b->view->measures[i];
        if (!fill_number(b, side, m, "shared", &side->shared[i], err) ||
            !fill_number(b, side, m, "alone", &side->alone[i], err))
            return false;
    }
    return true;
}
