/* A requirement is evaluated at every corner of what its metrics may really be: each at its lower
 * and at its upper one-sided 95 % bound. Where all corners agree the window can tell. A bound that
 * the sample can't carry is unknown, and the expression's own three-valued logic goes on from
 * there ("p95 < 300 ms" needs 59 requests below it to be met, as the binomial distribution says).
 *
 * The usual form, a quantile below a number, is a question about the share of requests that are
 * over it, and is asked so: what such a share is worth where requests are alike is known also for
 * samples whose quantile has no interval (none of 289 over the limit is 289 times none).
 *
 * A comparison is monotone in each metric, so the corners are enough; only arithmetic that turns
 * round inside an interval (x * x of something negative) could hide from them, and no metric is
 * negative.
 *
 * Our own lateness is inside every latency: it can't make "met" wrong, but "missed" may be our own
 * doing, and is then said only where it holds with our worst delay taken off every request. */
#include "bench/require.h"

#include "base/text.h"
#include "stats/quantile.h"
#include "stats/requirement.h"
#include "stats/sessions.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { VARIABLES_MAX = 6 };
static const double TAIL = 0.05;

const char *const bench_answer_names[BENCH_ANSWER_COUNT_] = {
    [BENCH_MET] = "met", [BENCH_MISSED] = "missed", [BENCH_UNTOLD] = "cannot tell"};

/* A variable's id is its metric and its statistic. */
static enum metric metric_of(size_t id)
{
    return (enum metric)(id / STAT_COUNT_);
}

static enum metric_stat stat_of(size_t id)
{
    return (enum metric_stat)(id % STAT_COUNT_);
}

static void add_name(struct buf *buf, size_t id)
{
    const char *stat = metric_stat_name(stat_of(id));
    buf_addf(buf, "%s%s%s", metric_facts(metric_of(id))->name, *stat ? "." : "", stat);
}

/* What may be named. */
struct answers {
    const struct spec_protocol *protocol;
    unsigned sources;
};

static bool fail_name(const struct answers *answers, const char *name, struct err *err)
{
    AUTO(buf_done) struct buf known = BUF_INIT(512);
    for (int m = 0; m < METRIC_COUNT_; m++)
        if (bench_measures(answers->sources, (enum metric)m))
            buf_addf(&known, "%s%s", known.len ? ", " : "", metric_facts((enum metric)m)->name);
    return err_set(err, ERR_INPUT, "there is no \"%.60s\" here; %s has %s (as in latency.p95)",
                   name, answers->protocol->name, buf_text(&known));
}

static bool read_name(const struct answers *answers, const char *name, size_t *ret_id,
                      struct err *err)
{
    char head[64];
    const char *dot = strchr(name, '.');
    size_t len = dot ? (size_t)(dot - name) : strlen(name);
    if (len >= sizeof head)
        return fail_name(answers, name, err);
    memcpy(head, name, len);
    head[len] = '\0';
    int metric = metric_from_name(head);
    if (metric < 0 || !bench_measures(answers->sources, (enum metric)metric))
        return fail_name(answers, name, err);
    bool wants_stat = metric_facts((enum metric)metric)->distribution;
    int stat = dot ? metric_stat_from_name(dot + 1) : STAT_VALUE;
    if (wants_stat && stat <= STAT_VALUE)
        return err_set(err, ERR_INPUT,
                       "%s needs one of p50, p90, p95, p99, mean, min, max, as in %s.p95", head,
                       head);
    if (!wants_stat && dot)
        return err_set(err, ERR_INPUT, "%s is one number: nothing comes after it", head);
    *ret_id = (size_t)metric * STAT_COUNT_ + (size_t)stat;
    return true;
}

static enum expr_name resolve(void *context, const char *name, size_t *ret_id, struct err *err)
{
    return read_name(context, name, ret_id, err) ? EXPR_NAME_VARIABLE : EXPR_NAME_BAD;
}

static bool refuse_word(void *context, size_t id, const char *word, struct err *err)
{
    (void)context;
    return err_set(err, ERR_INPUT, "%s is a number, \"%.60s\" is none",
                   metric_facts(metric_of(id))->name, word);
}

static enum expr_unit unit_of(void *context, size_t id)
{
    (void)context;
    switch (metric_facts(metric_of(id))->unit) {
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

static size_t variables_of(const struct expr *expr, size_t ret_ids[VARIABLES_MAX])
{
    size_t count = 0;
    for (size_t id = 0; id < (size_t)METRIC_COUNT_ * STAT_COUNT_; id++)
        if (expr_uses(expr, id)) {
            if (count < VARIABLES_MAX)
                ret_ids[count] = id;
            count++;
        }
    return count;
}

bool bench_require_parse(const char *text, const struct spec_protocol *protocol, unsigned sources,
                         struct arena *arena, struct bench_requirement *ret_requirement,
                         struct err *err)
{
    struct answers answers = {protocol, sources};
    const struct expr_names names = {
        .context = &answers, .resolve = resolve, .check_word = refuse_word, .unit = unit_of};
    struct expr *expr = NULL;
    size_t ids[VARIABLES_MAX];
    if (!expr_parse(arena, text, &names, &expr, err))
        return err_wrap(err, "requirement \"%.80s\"", text);
    size_t count = variables_of(expr, ids);
    if (count == 0 || count > VARIABLES_MAX)
        return err_set(err, ERR_INPUT,
                       "requirement \"%.80s\": names %zu metrics; from 1 to %d, as in "
                       "latency.p95 < 300ms",
                       text, count, VARIABLES_MAX);
    *ret_requirement = (struct bench_requirement){.expr = expr, .text = arena_strdup(arena, text)};
    return true;
}

struct finding_limits bench_require_limits(const struct bench_requirement *list, size_t count)
{
    struct finding_limits limits = finding_limits_none();
    for (size_t i = 0; i < count; i++)
        for (size_t id = 0; id < (size_t)METRIC_COUNT_ * STAT_COUNT_; id++)
            finding_limits_add(&limits, list[i].expr, id,
                               (struct metric_ref){.metric = metric_of(id), .stat = stat_of(id)});
    return limits;
}

struct corner {
    size_t ids[VARIABLES_MAX];
    struct bench_number numbers[VARIABLES_MAX];
    size_t count;
    unsigned high; /* bit i: variable i at its upper bound */
};

static struct expr_operand look_up(const void *context, size_t id)
{
    const struct corner *corner = context;
    for (size_t i = 0; i < corner->count; i++) {
        if (corner->ids[i] != id)
            continue;
        const struct bench_number *n = &corner->numbers[i];
        double value = corner->high >> i & 1 ? n->high : n->low;
        if (n->exact)
            value = n->value;
        if (!isnan(value))
            return (struct expr_operand){.kind = EXPR_NUMBER, .number = value};
    }
    return (struct expr_operand){.kind = EXPR_UNKNOWN};
}

static enum bench_answer ask(const struct expr *expr, struct corner *corner)
{
    bool all_true = true, all_false = true;
    for (corner->high = 0; corner->high < 1u << corner->count; corner->high++) {
        enum expr_truth truth = expr_eval(expr, look_up, corner);
        all_true = all_true && truth == EXPR_TRUE;
        all_false = all_false && truth == EXPR_FALSE;
    }
    return all_true ? BENCH_MET : all_false ? BENCH_MISSED : BENCH_UNTOLD;
}

/* ---- the usual form ---- */

struct share {
    enum bench_answer answer;
    bool surely; /* missed even if all of our own delay is taken off */
};

struct probe { /* what expr_sides() is asked with: a number that nobody writes */
    double value;
};

static struct expr_operand look_up_probe(const void *context, size_t id)
{
    (void)id;
    const struct probe *probe = context;
    return (struct expr_operand){.kind = EXPR_NUMBER, .number = probe->value};
}

/* Is it "variable < number", and nothing else? */
static bool is_limit(const struct expr *expr, double *ret_limit, bool *ret_inclusive)
{
    const struct probe probes[] = {{0.7390851332}, {1.3247179572}};
    for (size_t i = 0; i < ARRAY_LEN(probes); i++) {
        struct expr_operand left, right;
        const char *op;
        if (!expr_sides(expr, look_up_probe, &probes[i], &left, &op, &right) || op[0] != '<' ||
            left.kind != EXPR_NUMBER || left.number != probes[i].value ||
            right.kind != EXPR_NUMBER || right.number == probes[i].value ||
            (i > 0 && right.number != *ret_limit))
            return false;
        *ret_limit = right.number;
        *ret_inclusive = op[1] == '=';
    }
    return true;
}

/* What was asked for, one request (for gaps: one gap) after the other as they were meant to leave.
 * One that failed has kept nothing and is over every limit, and so is an answer without a first
 * token where that is what is asked for: else a service that refuses half would pass by what it
 * answers. */
struct asked {
    struct bench_point *points; /* in the arena */
    double *values;             /* theirs */
    uint32_t *sessions;         /* theirs; NULL: they are no turns of sessions */
    size_t count, failed;
    double worth_most; /* a request that failed is one, however many gaps it stands for */
};

static int compare_points(const void *a, const void *b)
{
    const struct bench_point *x = a, *y = b;
    if (x->at_ns != y->at_ns)
        return x->at_ns < y->at_ns ? -1 : 1;
    return (x->value > y->value) - (x->value < y->value);
}

/* As many values as an answer has, at least one: of gaps one alone would be no more than a gap
 * among the hundreds of an answer. Past GAPS_MOST of them all they are over half of what there is,
 * for of answers no more gaps are kept, and more would change no answer. */
static size_t values_each(struct bench_results *results, enum metric metric)
{
    enum { GAPS_MOST = 4 << 20 };
    if (metric != METRIC_ITL || results->latency.count == 0)
        return 1;
    size_t each = (results->itl.count + results->latency.count / 2) / results->latency.count;
    if (results->failed.count && each > GAPS_MOST / results->failed.count)
        each = GAPS_MOST / results->failed.count;
    return each ? each : 1;
}

static void add_failed(struct asked *asked, struct bench_point when, size_t each, int64_t from_ns)
{
    if (when.at_ns < from_ns)
        return; /* in what was cut as warm-up: an error, and asked about as one */
    when.value = FINDING_WORST;
    for (size_t i = 0; i < each; i++, when.at_ns++)
        asked->points[asked->count++] = when;
    asked->failed += each;
}

static struct asked all_asked(struct bench_results *results, enum metric metric,
                              struct arena *arena)
{
    const struct bench_series *series = bench_series_of(results, metric);
    const size_t each = values_each(results, metric);
    size_t most = series->count + results->failed.count * each + results->answer_count;
    struct asked asked = {.points = arena_array(arena, most + 1, sizeof *asked.points),
                          .worth_most = INFINITY};
    for (size_t i = 0; i < series->count; i++)
        asked.points[asked.count++] = series->points[i];
    for (size_t i = 0; i < results->failed.count; i++)
        add_failed(&asked, results->failed.points[i], each, results->from_ns);
    const size_t failed = asked.failed / each; /* requests */
    if (metric == METRIC_ITL && failed)
        asked.worth_most = (double)(results->latency.count + failed);
    for (size_t i = 0; i < results->answer_count; i++) {
        const struct load_record *r = &results->answers[i];
        bool never = (metric == METRIC_TTFT && isnan(load_ttft_s(r))) ||
                     (metric == METRIC_CONTENT && isnan(load_content_s(r)));
        if (r->part == LOAD_WINDOW && never)
            add_failed(&asked, (struct bench_point){r->intended_ns, 0, r->session}, 1,
                       results->from_ns);
    }
    qsort(asked.points, asked.count, sizeof *asked.points, compare_points);
    asked.values = arena_array(arena, asked.count + 1, sizeof *asked.values);
    for (size_t i = 0; i < asked.count; i++)
        asked.values[i] = asked.points[i].value;
    if (series->of_sessions)
        asked.sessions = arena_array(arena, asked.count + 1, sizeof *asked.sessions);
    for (size_t i = 0; asked.sessions && i < asked.count; i++)
        asked.sessions[i] = asked.points[i].session;
    return asked;
}

double bench_require_quantile(struct bench_results *results, enum metric metric, double q)
{
    AUTO(arena_free) struct arena *arena = arena_new();
    struct asked asked = all_asked(results, metric, arena);
    if (asked.count == 0)
        return NAN;
    stats_sort(asked.values, asked.count);
    return stats_quantile(asked.values, asked.count, q);
}

static uint64_t count_over(const double *values, size_t count, double limit, bool inclusive)
{
    uint64_t over = 0;
    for (size_t i = 0; i < count; i++)
        over += inclusive ? values[i] > limit : values[i] >= limit;
    return over;
}

static double worth_of(const struct asked *asked, double limit)
{
    const struct stats_series series = {.values = asked->values, .n = asked->count};
    return fmin(stats_sessions_worth(&series, asked->sessions, limit), asked->worth_most);
}

static enum bench_answer ask_fixed(const struct asked *asked, double allowed, uint64_t over,
                                   double worth)
{
    static const enum bench_answer answers[] = {
        [STATS_OPEN] = BENCH_UNTOLD, [STATS_MET] = BENCH_MET, [STATS_MISSED] = BENCH_MISSED};
    return answers[stats_requirement_fixed(allowed, TAIL, asked->count, over, worth)];
}

/* Would it be missed too if every request had all of our worst delay less? */
static bool missed_anyway(struct bench_results *results, const struct asked *asked, double allowed,
                          double limit)
{
    double own_s = fmax(results->report.lateness_max_s, 0); /* NaN: no send was on our time */
    own_s += fmax(results->report.stall_max_s, 0);
    uint64_t over = count_over(asked->values, asked->count, limit + own_s, false);
    return ask_fixed(asked, allowed, over, worth_of(asked, limit + own_s)) == BENCH_MISSED;
}

static void add_counts(struct buf *why, const struct asked *asked, uint64_t over, double worth,
                       bool of_gaps)
{
    buf_addf(why, "; %" PRIu64 " of %zu are over", over, asked->count);
    if (asked->failed)
        buf_addf(why, of_gaps ? ", %zu of them for requests that failed" : ", %zu of them failed",
                 asked->failed);
    if (worth < (double)asked->count * 0.99)
        buf_addf(why, ", alike beside each other and worth %.0f", worth);
}

/* The answer, and its reason in counts; false when the requirement has another form. */
static bool ask_share(const struct expr *expr, size_t id, struct bench_results *results,
                      struct arena *arena, struct buf *why, struct share *ret_share)
{
    double q = metric_stat_quantile(stat_of(id)), limit = NAN;
    bool inclusive = false;
    if (isnan(q) || !bench_series_of(results, metric_of(id)) || !is_limit(expr, &limit, &inclusive))
        return false;
    const struct asked asked = all_asked(results, metric_of(id), arena);
    if (asked.count == 0)
        return false;
    uint64_t over = count_over(asked.values, asked.count, limit, inclusive);
    double worth = worth_of(&asked, limit);
    struct bench_number number = bench_measure(results, metric_of(id), stat_of(id), BENCH_BOUNDS);
    ret_share->answer = ask_fixed(&asked, 1 - q, over, worth);
    ret_share->surely = ret_share->answer == BENCH_MISSED &&
                        metric_facts(metric_of(id))->unit == UNIT_SECONDS &&
                        missed_anyway(results, &asked, 1 - q, limit);
    add_name(why, id);
    buf_add(why, " is ");
    metric_add_value(why, metric_facts(metric_of(id))->unit, number.value);
    add_counts(why, &asked, over, worth, metric_of(id) == METRIC_ITL);
    if (ret_share->answer == BENCH_UNTOLD && over == 0)
        buf_addf(why, " (%" PRIu64 " with none over are enough)",
                 stats_requirement_smallest(1 - q, TAIL));
    return true;
}

/* ---- any form ---- */

/* "latency.p95 is 212 ms [201, 240]"; what is known of it where the sample can't carry it. */
static void describe(struct buf *buf, size_t id, const struct bench_number *n)
{
    enum metric_unit unit = metric_facts(metric_of(id))->unit;
    buf_add(buf, buf->len ? "; " : "");
    add_name(buf, id);
    buf_add(buf, " is ");
    metric_add_value(buf, unit, n->value);
    if (n->refused)
        buf_addf(buf, " from %zu requests", n->count);
    if (!isnan(n->low)) {
        buf_add(buf, ", surely over ");
        metric_add_value(buf, unit, n->low);
    }
    if (!isnan(n->high)) {
        buf_add(buf, isnan(n->low) ? ", surely under " : " and under ");
        metric_add_value(buf, unit, n->high);
    }
    double q = metric_stat_quantile(stat_of(id));
    if (n->alike)
        buf_add(buf, " (requests beside each other are alike: it needs 1,000)");
    else if (!n->exact && isnan(n->high) && !isnan(q) && n->count > 0)
        buf_addf(buf, " (an upper bound needs %zu requests)",
                 stats_quantile_needed(q, 1 - TAIL, SIDE_HIGH));
}

/* Its upper bound is that of all that were asked, those that failed being beyond any. */
static struct bench_number measure(struct bench_results *results, size_t id, struct arena *arena)
{
    struct bench_number number = bench_measure(results, metric_of(id), stat_of(id), BENCH_BOUNDS);
    if (isnan(metric_stat_quantile(stat_of(id))) || !bench_series_of(results, metric_of(id)))
        return number;
    struct asked asked = all_asked(results, metric_of(id), arena);
    if (asked.failed == 0)
        return number;
    /* Its points stay the arena's. */
    struct bench_series all = {.points = asked.points,
                               .count = asked.count,
                               .capacity = asked.count,
                               .of_sessions = asked.sessions != NULL};
    double high = bench_series_number(&all, stat_of(id), BENCH_BOUNDS).high;
    number.high = high < FINDING_WORST ? high : NAN;
    all.points = NULL;
    bench_series_done(&all);
    return number;
}

struct bench_judgement bench_require_judge(const struct bench_requirement *requirement,
                                           struct bench_results *results, struct arena *arena)
{
    struct corner corner = {0};
    AUTO(buf_done) struct buf why = BUF_INIT(2048);
    bool timed = false;
    struct share share = {.answer = BENCH_UNTOLD};
    corner.count = variables_of(requirement->expr, corner.ids);
    bool asked = corner.count == 1 &&
                 ask_share(requirement->expr, corner.ids[0], results, arena, &why, &share);
    for (size_t i = 0; i < corner.count; i++) {
        enum metric metric = metric_of(corner.ids[i]);
        timed = timed || metric_facts(metric)->unit == UNIT_SECONDS || metric == METRIC_RTF;
        if (asked)
            continue;
        corner.numbers[i] = measure(results, corner.ids[i], arena);
        describe(&why, corner.ids[i], &corner.numbers[i]);
    }
    struct bench_judgement judgement = {asked ? share.answer : ask(requirement->expr, &corner),
                                        NULL};
    double p99_s, bound_s;
    if (judgement.answer == BENCH_MISSED && timed && !share.surely &&
        bench_is_late(results, &p99_s, &bound_s)) {
        judgement.answer = BENCH_UNTOLD;
        buf_add(&why, "; but we were late ourselves");
    }
    judgement.why = arena_strdup(arena, buf_text(&why));
    return judgement;
}
