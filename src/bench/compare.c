/* The interval of a difference from the two numbers' own intervals: MOVER (Zou and Donner 2008),
 *
 *     low  = (a - b) - sqrt((a - low_a)^2 + (high_b - b)^2)
 *     high = (a - b) + sqrt((high_a - a)^2 + (b - low_b)^2)
 *
 * on logarithms for times, so that it is a ratio. It needs no more than what a run prints, so an
 * old run's file of a few KB is enough. Rejected: keeping all raw values for a bootstrap, which
 * would say the same with files of megabytes; and asking whether the two intervals overlap, which
 * misses true differences.
 *
 * What it knows is the requests of these two runs. That the same service differs from one start to
 * the next is in neither, so a difference here is one between runs; a study measures several. */
#include "bench/compare.h"

#include "base/buf.h"
#include "spec/shape.h"

#include <assert.h>

#include <math.h>
#include <string.h>

static const struct {
    enum metric metric;
    enum metric_stat stat;
    bool is_ratio;
} rows[] = {
    {METRIC_LATENCY, STAT_P50, true},
    {METRIC_LATENCY, STAT_P90, true},
    {METRIC_LATENCY, STAT_P95, true},
    {METRIC_LATENCY, STAT_P99, true},
    {METRIC_TTFT, STAT_P50, true},
    {METRIC_TTFT, STAT_P95, true},
    {METRIC_TTFT, STAT_P99, true},
    {METRIC_CONTENT, STAT_P50, true},
    {METRIC_CONTENT, STAT_P95, true},
    {METRIC_CONTENT, STAT_P99, true},
    {METRIC_ITL, STAT_P50, true},
    {METRIC_ITL, STAT_P95, true},
    {METRIC_ITL, STAT_P99, true},
    {METRIC_RTF, STAT_P50, true},
    {METRIC_RTF, STAT_P95, true},
    {METRIC_RTF, STAT_P99, true},
    {METRIC_REQUESTS_PER_S, STAT_VALUE, true},
    {METRIC_TOKENS_PER_S, STAT_VALUE, true},
    {METRIC_GOODPUT, STAT_VALUE, true},
    {METRIC_GOODPUT_RATIO, STAT_VALUE, false},
    {METRIC_ERROR_RATIO, STAT_VALUE, false},
    {METRIC_WER, STAT_VALUE, false},
};
static_assert(ARRAY_LEN(rows) <= BENCH_CHANGES_MAX, "all rows have room");

bool bench_compare_load(const char *path, json_t **ret_old, struct err *err)
{
    AUTO(buf_done) struct buf text = BUF_INIT(16 << 20);
    json_error_t why;
    if (!buf_read_file(&text, path, err))
        return err_wrap(err, "--compare");
    AUTO_JSON json_t *old = json_loadb(buf_text(&text), text.len, 0, &why);
    if (!old)
        return err_set(err, ERR_INPUT, "--compare %s:%d: %s", path, why.line, why.text);
    if (json_get_int(old, "spica_bench", 0) != 1)
        return err_set(err, ERR_INPUT,
                       "--compare %s: this is not what spica bench --json of this version writes",
                       path);
    *ret_old = TAKE(old);
    return true;
}

struct side {
    double value, low, high;
    bool exact;
};

static struct side side_of(const json_t *run, enum metric metric, enum metric_stat stat)
{
    const json_t *at = json_object_get(json_object_get(run, "metrics"), metric_facts(metric)->name);
    if (stat != STAT_VALUE)
        at = json_object_get(at, metric_stat_name(stat));
    struct side side = {json_get_real(at, "value"), json_get_real(at, "low"),
                        json_get_real(at, "high"), false};
    /* A count or a rate has no ends at all; ends that the sample can't carry are null. */
    side.exact = !json_object_get(at, "low");
    return side;
}

static struct side logs_of(struct side s)
{
    return (struct side){s.value > 0 ? log(s.value) : NAN, s.low > 0 ? log(s.low) : NAN,
                         s.high > 0 ? log(s.high) : NAN, s.exact};
}

static void set_change(struct bench_change *change, struct side after, struct side before)
{
    struct side a = change->is_ratio ? logs_of(after) : after;
    struct side b = change->is_ratio ? logs_of(before) : before;
    double value = a.value - b.value;
    double low = value - hypot(a.value - a.low, b.high - b.value);
    double high = value + hypot(a.high - a.value, b.value - b.low);
    change->value = change->is_ratio ? exp(value) : value;
    change->low = change->is_ratio ? exp(low) : low;
    change->high = change->is_ratio ? exp(high) : high;
}

/* Shares have no tolerance: they are worse or not. */
static bool is_beyond(const struct bench_change *change, double value, double limit)
{
    if (!metric_facts(change->metric)->higher_is_better)
        return value > limit;
    return change->is_ratio ? value * limit < 1 : value < limit;
}

static void judge_change(struct bench_change *change, double tolerance)
{
    bool more_is_better = metric_facts(change->metric)->higher_is_better;
    double same = change->is_ratio ? 1 : 0;
    int direction = change->low > same ? 1 : change->high < same ? -1 : 0;
    change->certain = more_is_better ? direction : -direction;
    double limit = change->is_ratio ? 1 + tolerance : 0;
    /* The end at which it is least bad, and the value: are they worse by more than the limit? */
    double end = more_is_better ? change->high : change->low;
    bool far = is_beyond(change, end, limit);
    change->over = !isnan(tolerance) && change->certain < 0 && far;
    /* An interval that reaches below the tolerance is an answer; none at that end is not, and a
     * gate that lets pass what nobody could look at is no gate. */
    bool beyond = is_beyond(change, change->value, limit);
    if (more_is_better && change->is_ratio && change->before > 0 && change->after == 0)
        beyond = true;
    change->untold = !isnan(tolerance) && beyond && isnan(end);
}

/* A ratio with nothing or with 0 in it is none; which of the two it was. */
static const char *unknown_words(const struct bench_change *change, const json_t *before,
                                 const json_t *after)
{
    if (!isnan(change->value))
        return NULL;
    if (change->before == 0 && change->after == 0)
        return "the same, as seen: both 0";
    if (json_get_int(after, "answered", -1) == 0)
        return "cannot tell: nothing answered now";
    if (json_get_int(before, "answered", -1) == 0)
        return "cannot tell: nothing answered then";
    if (change->before == 0 || change->after == 0)
        return change->after == 0 ? "it is 0 now" : "it was 0";
    return "cannot tell: too few requests";
}

/* Events are not tokens: a rate of one is no more or less than a rate of the other. */
static bool counted_alike(const json_t *before, const json_t *after)
{
    const json_t *then = json_object_get(before, "tokens_exact");
    const json_t *now = json_object_get(after, "tokens_exact");
    return !then || !now || json_is_true(then) == json_is_true(now);
}

static void leave_unknown(struct bench_change *change, double tolerance)
{
    change->value = change->low = change->high = NAN;
    change->certain = 0;
    change->over = false;
    change->untold = !isnan(tolerance);
    change->unknown = "cannot tell: counted by events, once by the server";
}

/* Good is what keeps the requirements: by others it is another number. */
static bool required_alike(const json_t *before, const json_t *after)
{
    const json_t *then = json_object_get(before, "requirements");
    const json_t *now = json_object_get(after, "requirements");
    size_t count = json_array_size(now);
    bool alike = json_array_size(then) == count;
    for (size_t i = 0; alike && i < count; i++)
        alike = json_equal(json_object_get(json_array_get(then, i), "text"),
                           json_object_get(json_array_get(now, i), "text"));
    return alike;
}

/* Without thinking the first content is the first token, and would be the same rows again. */
static bool is_ttft(const json_t *run)
{
    const json_t *all = json_object_get(run, "metrics");
    return json_equal(json_object_get(all, metric_facts(METRIC_CONTENT)->name),
                      json_object_get(all, metric_facts(METRIC_TTFT)->name));
}

static bool is_compared(enum metric metric, const json_t *before, const json_t *after)
{
    if (metric == METRIC_GOODPUT || metric == METRIC_GOODPUT_RATIO)
        return required_alike(before, after);
    return metric != METRIC_CONTENT || !is_ttft(before) || !is_ttft(after);
}

static void warn(struct bench_comparison *c, const char *text)
{
    if (c->warning_count < BENCH_WARNINGS_MAX)
        c->warnings[c->warning_count++] = text;
}

/* What was asked for then and now: another load is another question. */
static void compare_loads(struct bench_comparison *c, const json_t *before, const json_t *after,
                          struct arena *arena)
{
    const char *key;
    json_t *now;
    /* Before files told after which rules words are compared, there were no others. */
    AUTO_JSON json_t *english = json_string(spec_words_names[WORDS_ENGLISH]);
    json_object_foreach(json_object_get((json_t *)(uintptr_t)after, "load"), key, now)
    {
        const json_t *then = json_object_get(json_object_get(before, "load"), key);
        if (!then && strcmp(key, BENCH_NORMALISE) == 0)
            then = english;
        if (then && json_equal(then, now))
            continue;
        AUTO(free) char *old_text = then ? json_dumps(then, JSON_ENCODE_ANY | JSON_COMPACT) : NULL;
        AUTO(free) char *new_text = json_dumps(now, JSON_ENCODE_ANY | JSON_COMPACT);
        warn(c, arena_printf(arena, "not the same load: %s was %.60s, is %.60s", key,
                             old_text ? old_text : "unknown", new_text ? new_text : "unknown"));
    }
}

static void compare_trust(struct bench_comparison *c, const json_t *before, const json_t *after,
                          struct arena *arena)
{
    const json_t *runs[] = {before, after};
    static const char *const names[] = {"the earlier run", "this run"};
    for (size_t i = 0; i < ARRAY_LEN(runs); i++) {
        const char *ended = json_get_text(runs[i], "ended");
        if (ended && strcmp(ended, "whole") != 0)
            warn(c, arena_printf(arena, "%s was cut short", names[i]));
        if (json_is_true(json_object_get(json_object_get(runs[i], "steady"), "drifting")))
            warn(c, arena_printf(arena, "%s was not steady: its times depend on how long it took",
                                 names[i]));
        if (json_is_true(json_object_get(json_object_get(runs[i], "instrument"), "late")))
            warn(c,
                 arena_printf(arena, "%s was sent late: its times are partly our own", names[i]));
    }
}

bool bench_compare(const char *path, const json_t *before, const json_t *after, double tolerance,
                   struct arena *arena, struct bench_comparison **ret_comparison, struct err *err)
{
    const char *old_protocol = json_get_text(before, "protocol");
    const char *new_protocol = json_get_text(after, "protocol");
    if (!old_protocol || !new_protocol || strcmp(old_protocol, new_protocol) != 0)
        return err_set(err, ERR_INPUT, "--compare %s: that was %.60s, this is %s", path,
                       old_protocol ? old_protocol : "no protocol",
                       new_protocol ? new_protocol : "none");
    struct bench_comparison *c = arena_alloc(arena, sizeof *c);
    *c = (struct bench_comparison){.path = arena_strdup(arena, path), .tolerance = tolerance};
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct side old = side_of(before, rows[i].metric, rows[i].stat);
        struct side now = side_of(after, rows[i].metric, rows[i].stat);
        if ((isnan(old.value) && isnan(now.value)) || !is_compared(rows[i].metric, before, after))
            continue;
        struct bench_change *change = &c->changes[c->change_count++];
        *change = (struct bench_change){.metric = rows[i].metric,
                                        .stat = rows[i].stat,
                                        .before = old.value,
                                        .after = now.value,
                                        .is_ratio = rows[i].is_ratio,
                                        .exact = old.exact || now.exact};
        set_change(change, now, old);
        judge_change(change, tolerance);
        change->unknown = unknown_words(change, before, after);
        if (change->metric == METRIC_TOKENS_PER_S && !counted_alike(before, after))
            leave_unknown(change, tolerance);
        c->over = c->over || change->over;
        c->untold = c->untold || change->untold;
    }
    if (!counted_alike(before, after))
        warn(c, arena_printf(
                    arena, "%s has no count of tokens by the server: its tokens/s are events/s",
                    json_is_true(json_object_get(after, "tokens_exact")) ? "the earlier run"
                                                                         : "this run"));
    if (!required_alike(before, after) && json_object_get(before, "requirements") &&
        json_object_get(after, "requirements"))
        warn(c, "goodput is not compared: something else was required then");
    compare_loads(c, before, after, arena);
    compare_trust(c, before, after, arena);
    *ret_comparison = c;
    return true;
}

json_t *bench_compare_json(const struct bench_comparison *c)
{
    json_t *changes = json_array(), *warnings = json_array();
    for (size_t i = 0; i < c->change_count; i++) {
        const struct bench_change *x = &c->changes[i];
        json_array_append_new(
            changes,
            json_pack("{s:s, s:s, s:o, s:o, s:s, s:o, s:o, s:o, s:i, s:b, s:b}", "metric",
                      metric_facts(x->metric)->name, "stat", metric_stat_name(x->stat), "before",
                      json_real_or_null(x->before), "after", json_real_or_null(x->after), "kind",
                      x->is_ratio ? "ratio" : "difference", "value", json_real_or_null(x->value),
                      "low", json_real_or_null(x->low), "high", json_real_or_null(x->high),
                      "certain", x->certain, "over", x->over, "untold", x->untold));
    }
    for (size_t i = 0; i < c->warning_count; i++)
        json_array_append_new(warnings, json_text_or_null(c->warnings[i]));
    return json_pack("{s:o, s:o, s:b, s:b, s:o, s:o}", "with", json_text_or_null(c->path),
                     "tolerance", json_real_or_null(c->tolerance), "over", c->over, "untold",
                     c->untold, "changes", changes, "warnings", warnings);
}

/* ---- words ---- */

static const char *word_of(const struct bench_change *change, bool more)
{
    if (metric_facts(change->metric)->unit == UNIT_SECONDS || change->metric == METRIC_RTF)
        return more ? "slower" : "faster";
    return more ? "more" : "less";
}

/* Percent, or points of percent for shares; always positive, the word says which way. */
static double percent_of(const struct bench_change *change, double value)
{
    return fabs(100 * (change->is_ratio ? value - 1 : value));
}

static void add_amount(struct buf *buf, const struct bench_change *change, double value)
{
    bool more = value > (change->is_ratio ? 1 : 0);
    double percent = percent_of(change, value);
    buf_addf(buf, percent < 9.95 ? "%.1f %s %s" : "%.0f %s %s", percent,
             change->is_ratio ? "%" : "points", word_of(change, more));
}

/* The ends of an interval that holds "the same". */
static void add_ends(struct buf *buf, const struct bench_change *change)
{
    const double ends[] = {change->low, change->high};
    for (size_t i = 0; i < ARRAY_LEN(ends); i++) {
        buf_add(buf, i ? " to " : "");
        if (isnan(ends[i]))
            buf_add(buf, "any amount");
        else if (change->is_ratio)
            add_amount(buf, change, ends[i]);
        else
            buf_addf(buf, i ? "%+.2g points" : "%+.2g", 100 * ends[i]);
    }
}

void bench_compare_add_words(struct buf *buf, const struct bench_change *change)
{
    double ends[] = {percent_of(change, change->low), percent_of(change, change->high)};
    bool turned = ends[0] > ends[1];
    if (change->unknown) {
        buf_add(buf, change->unknown);
    } else if (change->exact && percent_of(change, change->value) < 0.05) {
        buf_add(buf, "the same, as seen");
    } else if (change->exact) {
        add_amount(buf, change, change->value);
        buf_add(buf, ", as seen");
    } else if (change->certain != 0) {
        add_amount(buf, change, change->value);
        buf_addf(buf, " [%.3g, %.3g]", ends[turned], ends[!turned]);
    } else if (isnan(change->low) && isnan(change->high)) {
        buf_add(buf, "cannot tell: no interval");
    } else {
        buf_add(buf, "cannot tell: ");
        add_ends(buf, change);
    }
}
