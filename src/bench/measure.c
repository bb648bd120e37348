/* Series to numbers.
 *
 * Quantiles are of raw values (type 7). Their intervals ask first whether values beside each other
 * are alike (stats/series.h): latencies of requests that waited behind one another, gaps of one
 * answer; and turns of one session, which others lie between (stats/sessions.h). Rates, counts,
 * means and extremes describe this window; what another window would show they do not say, so they
 * have no interval.
 */
#include "bench/measure.h"

#include "stats/binomial.h"
#include "stats/sessions.h"
#include "stats/summary.h"

#include <math.h>
#include <string.h>

static const double CONFIDENCE = 0.95;
static const double LATENESS_S = 0.001, LATENESS_RATIO = 0.01;

/* Left out at each side. */
static double tail_of(enum bench_sides sides)
{
    return sides == BENCH_BOUNDS ? 1 - CONFIDENCE : (1 - CONFIDENCE) / 2;
}

static struct bench_number unknown(void)
{
    return (struct bench_number){.value = NAN, .low = NAN, .high = NAN};
}

static struct bench_number exactly(double value, size_t count)
{
    struct bench_number number = unknown();
    number.value = value;
    number.exact = true;
    number.count = count;
    return number;
}

/* The least sample for which the quantile's point may be shown (stats_quantile_allowed). */
static size_t needed(double q)
{
    size_t n = 1;
    while (n < 100000 && !stats_quantile_allowed(n, q))
        n++;
    return n;
}

/* Where neighbours are alike the sample is worth less, and stats/series.h says what the interval
 * then is; an interval of 95 % serves as bounds too, which then hold with a little more. */
static void set_ends(struct bench_number *number, struct bench_series *series, double q,
                     enum bench_sides sides)
{
    const struct stats_series in_order = {.values = bench_series_ordered(series, NULL),
                                          .n = series->count};
    struct stats_series_interval found =
        stats_sessions_quantile(&in_order, bench_series_sessions(series), q, CONFIDENCE);
    number->alike = found.refusal == STATS_REFUSAL_CORRELATED;
    if (number->alike)
        return;
    number->low = found.interval.low;
    number->high = found.interval.high;
    bool independent = found.method == STATS_METHOD_RANKS || found.refusal == STATS_REFUSAL_SAMPLE;
    if (!independent || (sides == BENCH_INTERVAL && found.refusal != STATS_REFUSAL_SAMPLE))
        return;
    const double *sorted = bench_series_sorted(series);
    number->low = stats_quantile_bound(sorted, series->count, q, CONFIDENCE, SIDE_LOW);
    number->high = stats_quantile_bound(sorted, series->count, q, CONFIDENCE, SIDE_HIGH);
}

struct bench_number bench_series_number(struct bench_series *series, enum metric_stat stat,
                                        enum bench_sides sides)
{
    size_t n = series->count;
    double q = metric_stat_quantile(stat);
    if (n == 0)
        return unknown();
    const double *sorted = bench_series_sorted(series);
    if (isnan(q)) {
        struct stats_summary summary = stats_summary_of(sorted, n);
        return exactly(stat == STAT_MIN   ? summary.min
                       : stat == STAT_MAX ? summary.max
                                          : summary.mean,
                       n);
    }
    struct bench_number number = unknown();
    number.count = n;
    number.refused = !stats_quantile_allowed(n, q);
    if (number.refused)
        number.needed = needed(q);
    else
        number.value = stats_quantile(sorted, n, q);
    set_ends(&number, series, q, sides);
    return number;
}

struct bench_series *bench_series_of(struct bench_results *results, enum metric metric)
{
    switch (metric) {
    case METRIC_LATENCY:
        return &results->latency;
    case METRIC_TTFT:
        return &results->ttft;
    case METRIC_CONTENT:
        return &results->content;
    case METRIC_ITL:
        return &results->itl;
    case METRIC_RTF:
        return &results->rtf;
    default:
        return NULL;
    }
}

/* A share of n requests, with exact bounds. */
static struct bench_number share_of(uint64_t count, uint64_t n, enum bench_sides sides)
{
    struct bench_number number = unknown();
    number.count = n;
    if (n == 0)
        return number;
    number.value = (double)count / (double)n;
    double tail = tail_of(sides);
    number.low = stats_binomial_bound(count, n, 1 - tail, SIDE_LOW);
    number.high = stats_binomial_bound(count, n, 1 - tail, SIDE_HIGH);
    return number;
}

/* Clips that were sent at least once; the bootstrap takes clips, not answers. */
static struct bench_number word_error_rate(const struct bench_results *results,
                                           enum bench_sides sides)
{
    struct bench_number number = unknown();
    AUTO(free) struct stats_wer *heard = calloc(results->wer_count + 1, sizeof *heard);
    struct stats_wer total = {0};
    size_t count = 0;
    for (size_t i = 0; heard && results->wer && i < results->wer_count; i++) {
        if (results->wer[i].reference_words == 0 && results->wer[i].hypothesis_words == 0)
            continue;
        heard[count++] = results->wer[i];
        stats_wer_pool(&total, &results->wer[i]);
    }
    if (total.reference_words == 0)
        return number;
    struct rng rng = rng_init(1, "wer");
    struct stats_interval interval =
        stats_wer_interval(heard, count, 1 - 2 * tail_of(sides), 1000, &rng);
    number.value = stats_wer_ratio(&total);
    number.low = interval.low;
    number.high = interval.high;
    number.count = total.reference_words;
    return number;
}

struct bench_number bench_measure(struct bench_results *results, enum metric metric,
                                  enum metric_stat stat, enum bench_sides sides)
{
    struct bench_series *series = bench_series_of(results, metric);
    if (series)
        return bench_series_number(series, stat, sides);
    switch (metric) {
    case METRIC_REQUESTS_PER_S:
        return exactly((double)results->completed / results->window_s, results->completed);
    case METRIC_TOKENS_PER_S:
        return exactly(results->ok ? results->tokens / results->window_s : NAN, results->ok);
    case METRIC_ERRORS:
        return exactly((double)(results->requests - results->ok), results->requests);
    case METRIC_ERROR_RATIO:
        return share_of(results->requests - results->ok, results->requests, sides);
    case METRIC_GOODPUT:
        return results->limits.any
                   ? exactly((double)results->good_completed / results->window_s, results->good)
                   : unknown();
    case METRIC_GOODPUT_RATIO:
        return results->limits.any ? share_of(results->good, results->settled, sides) : unknown();
    case METRIC_WER:
        return word_error_rate(results, sides);
    default:
        return unknown();
    }
}

bool bench_measures(unsigned sources, enum metric metric)
{
    static const enum metric known[] = {
        METRIC_LATENCY, METRIC_TTFT,         METRIC_CONTENT, METRIC_ITL,
        METRIC_RTF,     METRIC_TOKENS_PER_S, METRIC_WER,     METRIC_REQUESTS_PER_S,
        METRIC_ERRORS,  METRIC_ERROR_RATIO,  METRIC_GOODPUT, METRIC_GOODPUT_RATIO};
    for (size_t i = 0; i < ARRAY_LEN(known); i++)
        if (known[i] == metric)
            return (metric_facts(metric)->source & (sources | SOURCE_ANY)) != 0;
    return false;
}

struct stats_drift bench_drift(struct bench_results *results)
{
    const double *at_s = NULL, *values = bench_series_ordered(&results->latency, &at_s);
    return stats_drift_find(values, at_s, results->moving ? 0 : results->latency.count, 0.5);
}

bool bench_is_late(struct bench_results *results, double *ret_p99_s, double *ret_bound_s)
{
    double median_s =
        stats_quantile(bench_series_sorted(&results->latency), results->latency.count, 0.5);
    double relative_s = median_s * LATENESS_RATIO;
    *ret_bound_s = relative_s > LATENESS_S ? relative_s : LATENESS_S;
    *ret_p99_s = results->report.lateness_p99_s;
    return *ret_p99_s > *ret_bound_s || results->report.stall_p99_s > *ret_bound_s;
}
