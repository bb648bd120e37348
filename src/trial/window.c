/* The study's warm-up is a guess made beforehand. What of the window's beginning still differs from
 * its rest is found by a rule (stats/steady.h) and moved to the warm-up, for latency decides it: a
 * cache, a compiler or a clock that is not yet up shows there first. The rule sees what was sent,
 * never what was required, so it can't be bent towards a result.
 *
 * Rejected: cutting by time alone (the same seconds are nothing for one service and everything for
 * another), and dropping the failures of the cut part with it: a service that fails while it warms
 * up fails. */
#include "trial/window.h"

#include "base/buf.h"
#include "base/clock.h"
#include "base/text.h"
#include "spec/metric.h"
#include "stats/steady.h"

#include <math.h>
#include <stdlib.h>

static int compare_intended(const void *a, const void *b)
{
    const struct load_record *x = &(*(const struct trial_answer *const *)a)->record;
    const struct load_record *y = &(*(const struct trial_answer *const *)b)->record;
    if (x->intended_ns != y->intended_ns)
        return x->intended_ns < y->intended_ns ? -1 : 1;
    return (x->sequence > y->sequence) - (x->sequence < y->sequence);
}

static size_t collect(const struct answer_list *answers, struct trial_answer **ret_order)
{
    size_t count = 0;
    for (size_t i = 0; i < answers->count; i++)
        if (answers->items[i].record.part == LOAD_WINDOW &&
            answers->items[i].record.error == LOAD_OK)
            ret_order[count++] = &answers->items[i];
    qsort(ret_order, count, sizeof *ret_order, compare_intended);
    return count;
}

static const char *cut_words(const struct stats_warmup *found, double seconds, struct arena *arena)
{
    AUTO(buf_done) struct buf text = BUF_INIT(512);
    buf_add(&text, "the first ");
    text_add_duration(&text, seconds);
    buf_addf(&text,
             " of the window (%zu requests) count as warm-up: their latency was %.2g times "
             "the rest's (MSER-5)",
             found->cut, found->before);
    return arena_strdup(arena, buf_text(&text));
}

struct window_cut window_cut_find(const double *latency, const double *at_s, size_t count,
                                  struct arena *arena)
{
    const struct stats_warmup found = stats_warmup_find(latency, count);
    struct window_cut cut = {.settled = found.settled || !found.known};
    if (found.cut > 0 && found.cut < count) {
        cut.count = found.cut;
        cut.seconds = at_s[cut.count];
        cut.words = cut_words(&found, cut.seconds, arena);
    } else if (!cut.settled) {
        cut.words = arena_printf(arena,
                                 "never settled: latency went on changing into the second half "
                                 "of the window, before it %.2g times what it was after",
                                 found.before);
    }
    return cut;
}

/* Values of the series; false: none has one. Times are seconds from the first. */
static size_t take_values(const struct window_series *series,
                          double (*of)(const struct load_record *), double *ret_values,
                          double *ret_at_s)
{
    size_t count = 0;
    for (size_t i = 0; i < series->count; i++) {
        const struct load_record *r = &series->answers[i]->record;
        double value = of(r);
        if (isnan(value))
            continue;
        ret_values[count] = value;
        ret_at_s[count++] = (double)(r->intended_ns - series->from_ns) / NS_PER_S;
    }
    return count;
}

static void add_change(struct buf *text, const char *metric, enum metric_stat stat,
                       const struct stats_drift *drift)
{
    buf_addf(text, "%s%s.%s %s from ", text->len ? "; " : "", metric, metric_stat_name(stat),
             drift->change > 0 ? "rose" : "fell");
    text_add_duration(text, drift->first);
    buf_add(text, " to ");
    text_add_duration(text, drift->last);
    buf_addf(text, " within the window (%+.0f %%", 100 * drift->change);
    if (!isnan(drift->per_minute))
        buf_addf(text, ", %+.0f %%/min", 100 * drift->per_minute);
    buf_addc(text, ')');
}

void window_add_drift(struct buf *text, enum metric metric, const double *values,
                      const double *at_s, size_t count)
{
    static const enum metric_stat stats[] = {STAT_P50, STAT_P95};
    for (size_t k = 0; k < ARRAY_LEN(stats); k++) {
        struct stats_drift drift =
            stats_drift_find(values, at_s, count, metric_stat_quantile(stats[k]));
        if (drift.drifting)
            add_change(text, metric_facts(metric)->name, stats[k], &drift);
    }
}

static const char *drift_words(const struct window_series *series, unsigned sources,
                               struct arena *arena)
{
    static const struct {
        enum metric metric;
        double (*of)(const struct load_record *);
        unsigned source;
    } metrics[] = {{METRIC_LATENCY, load_latency_s, SOURCE_ANY},
                   {METRIC_TTFT, load_ttft_s, SOURCE_TEXT}};
    AUTO(buf_done) struct buf text = BUF_INIT(1024);
    double *values = arena_array(arena, series->count + 1, sizeof *values);
    double *at_s = arena_array(arena, series->count + 1, sizeof *at_s);
    for (size_t m = 0; m < ARRAY_LEN(metrics); m++) {
        if (!(sources & metrics[m].source) && metrics[m].source != SOURCE_ANY)
            continue;
        size_t count = take_values(series, metrics[m].of, values, at_s);
        window_add_drift(&text, metrics[m].metric, values, at_s, count);
    }
    return text.len ? arena_strdup(arena, buf_text(&text)) : NULL;
}

struct window_series window_settle(const struct metrics_input *input, struct arena *arena)
{
    struct trial_answer **order = arena_array(arena, input->answers->count + 1, sizeof *order);
    size_t count = collect(input->answers, order), cut = 0;
    double *latency = arena_array(arena, count + 1, sizeof *latency);
    double *at_s = arena_array(arena, count + 1, sizeof *at_s);
    struct window_series series = {.from_ns = input->window_start_ns};
    for (size_t i = 0; i < count; i++) {
        latency[i] = load_latency_s(&order[i]->record);
        at_s[i] = (double)(order[i]->record.intended_ns - input->window_start_ns) / NS_PER_S;
    }
    /* A ramp's beginning differs from its end because it was asked to. */
    struct window_cut found = {.settled = true};
    if (!input->moving)
        found = window_cut_find(latency, at_s, count, arena);
    series.warmup = found.words;
    cut = found.count;
    if (cut > 0)
        series.from_ns = order[cut]->record.intended_ns;
    for (size_t i = 0; i < cut; i++)
        order[i]->record.part = LOAD_WARMUP;
    series.count = count - cut;
    series.answers = arena_array(arena, series.count + 1, sizeof *series.answers);
    for (size_t i = cut; i < count; i++)
        series.answers[i - cut] = order[i];
    series.unsteady = input->moving ? NULL : drift_words(&series, input->sources, arena);
    return series;
}
