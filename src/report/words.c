/* How numbers are said.
 *
 * The least and the largest of a few runs are no interval and are not written like one: "(8.1 to
 * 9.4)". An interval repeats the unit only where it differs from the value's: "118 ms
 * [112, 127]", but "0.98 s [951 ms, 1.04 s]". A change is said in the direction in which it went,
 * with its interval in the same direction, so that "37 % faster [32, 41]" and "7 % slower [3, 12]"
 * read alike; one that is not certain says so before its numbers. What the sample does not carry is
 * "- (n=12)", or the one bound that it does carry: never a number that looks like the others. */
#include "report/words.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

void report_add_text(struct buf *buf, enum text_target target, const char *text)
{
    if (!text)
        return;
    size_t len = strlen(text);
    text_add_escaped(buf, target, text, len, REPORT_TEXT_MAX);
    if (len > REPORT_TEXT_MAX)
        buf_add(buf, " ...");
}

void report_add_code(struct buf *buf, enum text_target target, const char *text)
{
    bool plain = text && *text && text[0] != ' ' && !strpbrk(text, "`|\\") && strlen(text) <= 1000;
    if (target != TEXT_MARKDOWN || !plain) {
        report_add_text(buf, target, text);
        return;
    }
    buf_addc(buf, '`');
    text_add_escaped(buf, TEXT_TERMINAL, text, strlen(text), strlen(text));
    buf_addc(buf, '`');
}

void report_add_plain(struct buf *buf, enum metric_unit unit, double value)
{
    if (isnan(value))
        buf_addc(buf, '-');
    else
        metric_add_value(buf, unit, value);
}

void report_add_value(struct buf *buf, const struct report_measure *measure,
                      const struct report_number *number)
{
    if (!isnan(number->value)) {
        metric_add_value(buf, measure->unit, number->value);
        return;
    }
    /* A bound is an answer where a value would be none: "over 8.4 s" from seven requests. */
    if (number->kind == NUMBER_QUANTILE && isnan(number->low) != isnan(number->high)) {
        buf_add(buf, isnan(number->high) ? "over " : "under ");
        metric_add_value(buf, measure->unit, isnan(number->high) ? number->low : number->high);
        buf_addf(buf, " (n=%" PRId64 ")", number->count);
        return;
    }
    buf_addf(buf, "- (n=%" PRId64 ")", number->count);
}

/* "112 ms" -> its number's length and its unit. */
static size_t split_unit(const char *text, const char **ret_unit)
{
    const char *blank = strchr(text, ' ');
    *ret_unit = blank ? blank : "";
    return blank ? (size_t)(blank - text) : strlen(text);
}

static const char *unit_of(const char *text)
{
    const char *unit = NULL;
    split_unit(text, &unit);
    return unit;
}

void report_add_interval(struct buf *buf, const struct report_measure *measure,
                         const struct report_number *number)
{
    if (isnan(number->value) || (isnan(number->low) && isnan(number->high)) ||
        number->kind == NUMBER_SUM || (number->kind == NUMBER_RUNS && number->runs < 2))
        return;
    AUTO(buf_done) struct buf value = BUF_INIT(64);
    AUTO(buf_done) struct buf low = BUF_INIT(64);
    AUTO(buf_done) struct buf high = BUF_INIT(64);
    metric_add_value(&value, measure->unit, number->value);
    report_add_plain(&low, measure->unit, number->low);
    report_add_plain(&high, measure->unit, number->high);
    const char *unit = unit_of(buf_text(&value));
    const struct buf *ends[] = {&low, &high};
    /* Zero has its own unit ("0 s"), and unknown none. */
    bool same = true;
    for (size_t i = 0; i < ARRAY_LEN(ends); i++) {
        const char *text = buf_text(ends[i]);
        same = same && (text[0] == '-' || strcmp(unit_of(text), unit) == 0);
    }
    bool range = number->kind == NUMBER_RUNS;
    buf_addc(buf, range ? '(' : '[');
    for (size_t i = 0; i < ARRAY_LEN(ends); i++) {
        const char *text = buf_text(ends[i]);
        const char *own = NULL;
        size_t len = split_unit(text, &own);
        buf_addf(buf, "%s%.*s",
                 !i      ? ""
                 : range ? " to "
                         : ", ",
                 (int)(same ? len : strlen(text)), text);
    }
    buf_addc(buf, range ? ')' : ']');
}

/* The words for more and for less of a unit. */
static const struct {
    const char *more, *less;
} directions[] = {
    [UNIT_SECONDS] = {"slower", "faster"}, [UNIT_BYTES] = {"more", "less"},
    [UNIT_RATIO] = {"more", "less"},       [UNIT_COUNT] = {"more", "less"},
    [UNIT_PER_SECOND] = {"more", "less"},  [UNIT_BYTES_PER_SECOND] = {"more", "less"},
};

/* In percent (points of percent for shares), positive: more. */
static double in_percent(const struct report_change *change, double value)
{
    return 100 * (change->is_ratio ? value - 1 : value);
}

static void add_percent(struct buf *buf, double value)
{
    if (fabs(value) < 0.05)
        value = 0; /* never "-0" */
    buf_addf(buf, fabs(value) >= 9.95 || value == 0 ? "%.0f" : "%.1f", value);
}

/* From three times on percents mislead more than they tell: "31 times as much". */
static bool is_said_in_times(const struct report_change *change)
{
    return change->is_ratio && change->value >= 3;
}

static void add_factor(struct buf *buf, double value)
{
    if (value >= 999.5)
        text_add_grouped(buf, value < 1e15 ? llround(value) : INT64_MAX);
    else
        buf_addf(buf, "%.3g", value);
}

void report_add_change_short(struct buf *buf, const struct report_measure *measure,
                             const struct report_change *change)
{
    if (!change->given || isnan(change->value))
        return;
    double percent = in_percent(change, change->value);
    if (fabs(percent) < 0.05) {
        buf_add(buf, "the same");
        return;
    }
    if (is_said_in_times(change)) {
        add_factor(buf, change->value);
        buf_addf(buf, " times as %s", measure->unit == UNIT_SECONDS ? "slow" : "much");
        return;
    }
    add_percent(buf, fabs(percent));
    buf_addf(buf, change->is_ratio ? " %% %s" : " points %s",
             percent > 0 ? directions[measure->unit].more : directions[measure->unit].less);
}

/* In the direction and unit of the change itself. */
static void add_change_interval(struct buf *buf, const struct report_change *change)
{
    double low = change->low, high = change->high;
    if (isnan(low) || isnan(high))
        return;
    if (is_said_in_times(change)) {
        buf_add(buf, " [");
        add_factor(buf, low);
        buf_add(buf, ", ");
        add_factor(buf, high);
        buf_addc(buf, ']');
        return;
    }
    double sign = in_percent(change, change->value) < 0 ? -1 : 1;
    low = sign * in_percent(change, low);
    high = sign * in_percent(change, high);
    buf_add(buf, " [");
    add_percent(buf, fmin(low, high));
    buf_add(buf, ", ");
    add_percent(buf, fmax(low, high));
    buf_addc(buf, ']');
}

void report_add_change(struct buf *buf, const struct report_measure *measure,
                       const struct report_change *change)
{
    if (!change->given || isnan(change->value))
        return;
    if (change->certain == 0 && fabs(in_percent(change, change->low)) < 0.05 &&
        fabs(in_percent(change, change->high)) < 0.05) {
        buf_add(buf, "the same");
        return;
    }
    bool none = fabs(in_percent(change, change->value)) < 0.05;
    if (change->certain == 0 && !change->is_ratio)
        buf_add(buf, none ? "no difference this corpus could show"
                          : "no difference this corpus could show: ");
    else if (change->certain == 0)
        buf_add(buf, none ? "no certain difference" : "not certain: ");
    if (change->certain != 0 || !none)
        report_add_change_short(buf, measure, change);
    add_change_interval(buf, change);
}

void report_add_measure_title(struct buf *buf, const struct report_measure *measure)
{
    static const char *const titles[METRIC_COUNT_] = {
        [METRIC_LATENCY] = "latency",
        [METRIC_TTFT] = "first token",
        [METRIC_CONTENT] = "first content",
        [METRIC_TURN] = "voice turn",
        [METRIC_TURN_ERRORS] = "broken turns",
        [METRIC_ITL] = "token gap",
        [METRIC_RTF] = "real-time factor",
        [METRIC_TOKENS_PER_S] = "tokens per second",
        [METRIC_REQUESTS_PER_S] = "requests per second",
        [METRIC_WER] = "word error rate",
        [METRIC_ERRORS] = "failed requests",
        [METRIC_ERROR_RATIO] = "share of failed requests",
        [METRIC_MEMORY] = "peak memory",
        [METRIC_CPU] = "cores used",
        [METRIC_READY] = "start to ready",
        [METRIC_FIRST_REQUEST] = "very first request",
        [METRIC_MEMORY_IDLE] = "memory before the first request",
        [METRIC_MEMORY_GROWTH] = "memory growth under load",
        [METRIC_HOST_MEMORY] = "peak host memory",
    };
    const char *stat = metric_stat_name(measure->stat);
    buf_addf(buf, "%s%s%s", titles[measure->metric], *stat ? " " : "", stat);
}

void report_add_measure_name(struct buf *buf, enum text_target target,
                             const struct report_view *view, const struct report_measure *measure)
{
    if (measure->service == REPORT_ALL_SERVICES)
        buf_add(buf, "all services'");
    else
        report_add_text(buf, target, view->study->services[measure->service].name);
    buf_addc(buf, ' ');
    report_add_measure_title(buf, measure);
}

void report_add_measure_short(struct buf *buf, const struct report_measure *measure)
{
    static const char *const shorts[METRIC_COUNT_] = {
        [METRIC_TOKENS_PER_S] = "tokens/s",
        [METRIC_REQUESTS_PER_S] = "requests/s",
        [METRIC_WER] = "WER",
        [METRIC_ERROR_RATIO] = "errors",
        [METRIC_FIRST_REQUEST] = "1st request",
    };
    const char *end = strchr(measure->name, '.'), *stat = metric_stat_name(measure->stat);
    const char *metric =
        shorts[measure->metric] ? shorts[measure->metric] : metric_facts(measure->metric)->name;
    AUTO(buf_done) struct buf service = BUF_INIT(256);
    if (end && measure->service != REPORT_ALL_SERVICES)
        buf_addf(&service, "%.*s ", (int)(end - measure->name), measure->name);
    report_add_text(buf, TEXT_TERMINAL, buf_text(&service));
    buf_addf(buf, "%s%s%s", metric, *stat ? " " : "", stat);
}

void report_add_verdict_counts(struct buf *buf, const struct report_view *view)
{
    size_t before = buf->len;
    for (int v = 0; v < VERDICT_COUNT_; v++)
        if (view->verdict_counts[v])
            buf_addf(buf, "%s%zu %s", buf->len > before ? ", " : "", view->verdict_counts[v],
                     verdict_facts((enum verdict)v)->name);
}

const char *report_study_argument(const struct report_view *view)
{
    return view->stored.path && *view->stored.path ? view->stored.path : view->study->path;
}
