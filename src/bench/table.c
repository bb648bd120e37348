/* A run on a terminal, within 80 columns: what was asked, the quantiles with what they are worth
 * beneath them, rates, failures by kind, and our own lateness, always.
 *
 * A quantile that the sample can't carry shows its bound ("> 188 ms") or nothing, never an
 * interpolation. The uncorrected latency appears only where it differs: there it shows what a tool
 * that waits for its answers would have hidden. */
#include "bench/run.h"

#include "base/clock.h"
#include "base/text.h"
#include "report/grid.h"
#include "report/words.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

static const double TAIL = 0.025, DIFFERS_RATIO = 1.02;
static const enum metric_stat columns[] = {STAT_P50, STAT_P90, STAT_P95, STAT_P99, STAT_MAX};

/* ---- what was asked ---- */

void bench_add_load(struct buf *buf, const struct bench_setup *setup)
{
    const struct load_stream *s = &setup->plan.streams[0];
    if (s->arrivals == ARRIVALS_CLOSED) {
        buf_addf(buf,
                 s->concurrency == 1 ? "1 client that waits for each answer"
                                     : "%d clients that wait for their answers",
                 s->concurrency);
        return;
    }
    buf_addf(buf, "%s arrivals", spec_arrivals_names[s->arrivals]);
    if (s->rate_rps > 0) {
        buf_add(buf, ", ");
        metric_add_value(buf, UNIT_PER_SECOND, s->rate_rps);
    }
}

static void print_head(const struct bench_run *run, FILE *out, struct report_terminal terminal)
{
    const struct bench_setup *setup = run->setup;
    const struct load_stream *s = &setup->plan.streams[0];
    AUTO(buf_done) struct buf text = BUF_INIT(4096);
    buf_addf(&text, "%s at ", s->protocol->spec->name);
    report_add_text(&text, TEXT_TERMINAL, s->url);
    if (s->model) {
        buf_add(&text, ", model ");
        report_add_text(&text, TEXT_TERMINAL, s->model);
    }
    report_print_wrapped(out, terminal, buf_text(&text), 0, 2);
    buf_clear(&text);
    bench_add_load(&text, setup);
    buf_add(&text, "; ");
    report_add_text(&text, TEXT_TERMINAL, setup->sending);
    buf_add(&text, "; ");
    text_add_duration(&text, run->results->window_s);
    if (run->results->warmups) {
        buf_add(&text, " after ");
        text_add_duration(&text, (double)setup->plan.warmup_ns / NS_PER_S);
        buf_addf(&text, " of warm-up (%" PRIu64 " requests)", run->results->warmups);
    }
    report_print_wrapped(out, terminal, buf_text(&text), 0, 2);
    if (run->results->end == BENCH_STOPPED) {
        buf_clear(&text);
        buf_addf(&text, "cut short by you: %" PRIu64 " requests in flight were dropped",
                 run->results->cut);
        report_print_painted(out, terminal, PAINT_BAD, buf_text(&text));
        fputc('\n', out);
    }
    fputc('\n', out);
}

/* ---- quantiles ---- */

static void add_three_digits(struct buf *buf, double value)
{
    buf_addf(buf, value >= 99.95 ? "%.0f" : value >= 9.995 ? "%.1f" : "%.2f", value);
}

/* What the unit of `value` as it is printed is worth. */
static double scale_of(enum metric_unit unit, double value)
{
    if (unit == UNIT_RATIO)
        return 100;
    if (unit != UNIT_SECONDS || value >= 0.9995)
        return 1;
    return value >= 0.0009995 ? 1e3 : 1e6;
}

static const char *interval_text(enum metric_unit unit, const struct bench_number *n,
                                 struct arena *arena)
{
    if (isnan(n->value) || (isnan(n->low) && isnan(n->high)))
        return NULL;
    AUTO(buf_done) struct buf text = BUF_INIT(128);
    const double ends[] = {n->low, n->high};
    double scale = scale_of(unit, n->value);
    for (size_t i = 0; i < ARRAY_LEN(ends); i++) {
        buf_add(&text, i ? ", " : "[");
        if (isnan(ends[i]))
            buf_addc(&text, '-');
        else
            add_three_digits(&text, ends[i] * scale);
    }
    buf_addc(&text, ']');
    return arena_strdup(arena, buf_text(&text));
}

static const char *value_text(enum metric_unit unit, const struct bench_number *n,
                              struct arena *arena)
{
    AUTO(buf_done) struct buf text = BUF_INIT(128);
    if (!isnan(n->value))
        metric_add_value(&text, unit, n->value);
    else if (!isnan(n->low)) {
        buf_add(&text, "> ");
        metric_add_value(&text, unit, n->low);
    } else
        buf_add(&text, "-");
    return arena_strdup(arena, buf_text(&text));
}

static void add_series_rows(struct report_grid *grid, const char *name, enum metric_unit unit,
                            const struct bench_number *numbers)
{
    struct grid_row *values = report_grid_add(grid);
    values->cells[0] = name;
    bool intervals = false;
    for (size_t i = 0; i < ARRAY_LEN(columns); i++)
        values->cells[i + 1] = value_text(unit, &numbers[i], grid->arena);
    values->cells[ARRAY_LEN(columns) + 1] = arena_printf(grid->arena, "%zu", numbers[0].count);
    for (size_t i = 0; i < ARRAY_LEN(columns); i++)
        intervals = intervals || interval_text(unit, &numbers[i], grid->arena);
    if (!intervals)
        return;
    struct grid_row *below = report_grid_add(grid);
    below->paint = PAINT_DIM;
    below->cells[0] = "  95 %";
    for (size_t i = 0; i < ARRAY_LEN(columns); i++)
        below->cells[i + 1] = interval_text(unit, &numbers[i], grid->arena);
}

/* Does a closed-loop tool's latency differ from ours in any quantile that is shown? */
static bool differs(const struct bench_number *numbers, const struct bench_number *uncorrected)
{
    for (size_t i = 0; i < ARRAY_LEN(columns); i++)
        if (numbers[i].value > uncorrected[i].value * DIFFERS_RATIO)
            return true;
    return false;
}

static void add_uncorrected(struct report_grid *grid, const struct bench_run *run,
                            const struct bench_number *latency)
{
    struct bench_number numbers[ARRAY_LEN(columns)];
    for (size_t i = 0; i < ARRAY_LEN(columns); i++) {
        numbers[i] = bench_series_number(&run->results->service, columns[i], TAIL);
        numbers[i].low = numbers[i].high = NAN;
    }
    if (differs(latency, numbers))
        add_series_rows(grid, "uncorrected", UNIT_SECONDS, numbers);
}

static void print_quantiles(const struct bench_run *run, FILE *out, struct report_terminal terminal)
{
    AUTO(arena_free) struct arena *arena = arena_new();
    struct report_grid grid = {.arena = arena, .column_count = ARRAY_LEN(columns) + 2};
    struct grid_row *head = report_grid_add(&grid);
    head->paint = PAINT_BOLD;
    for (size_t i = 0; i < ARRAY_LEN(columns); i++)
        head->cells[i + 1] = metric_stat_name(columns[i]);
    head->cells[ARRAY_LEN(columns) + 1] = "n";
    for (size_t c = 1; c < grid.column_count; c++)
        grid.right[c] = true;
    for (int m = 0; m < METRIC_COUNT_; m++) {
        const struct metric_facts *facts = metric_facts((enum metric)m);
        struct bench_number numbers[ARRAY_LEN(columns)];
        if (!facts->distribution ||
            !bench_measures(run->setup->plan.streams[0].protocol->spec, (enum metric)m))
            continue;
        for (size_t i = 0; i < ARRAY_LEN(columns); i++)
            numbers[i] = bench_measure(run->results, (enum metric)m, columns[i], TAIL);
        if (numbers[0].count == 0)
            continue;
        add_series_rows(&grid, facts->name, facts->unit, numbers);
        if (m == METRIC_LATENCY)
            add_uncorrected(&grid, run, numbers);
    }
    if (grid.row_count > 1)
        report_grid_print(&grid, out, terminal, 0);
    else
        fputs("no request was answered\n", out);
    fputc('\n', out);
}

/* ---- everything else, a line each ---- */

static void print_line(FILE *out, struct report_terminal terminal, enum grid_paint paint,
                       const char *name, const char *text)
{
    enum { AT = 13 };
    AUTO(buf_done) struct buf padded = BUF_INIT(64);
    buf_addf(&padded, "%-*s", AT, name);
    report_print_painted(out, terminal, paint, buf_text(&padded));
    report_print_wrapped(out, terminal, text, AT, AT);
}

static void print_requests(const struct bench_run *run, FILE *out, struct report_terminal terminal)
{
    const struct bench_results *r = run->results;
    AUTO(buf_done) struct buf text = BUF_INIT(1024);
    struct bench_number ratio = bench_measure(run->results, METRIC_ERROR_RATIO, STAT_VALUE, TAIL);
    text_add_grouped(&text, (int64_t)r->ok);
    buf_add(&text, " answered, ");
    text_add_grouped(&text, (int64_t)(r->requests - r->ok));
    buf_add(&text, " failed");
    if (r->requests > 0) {
        buf_addf(&text, " (%.3g %% [%.2g, %.2g])", ratio.value * 100, ratio.low * 100,
                 ratio.high * 100);
    }
    if (r->held_back)
        buf_addf(&text, "; %" PRIu64 " waited for the limit of %d in flight", r->held_back,
                 run->setup->plan.streams[0].concurrency);
    print_line(out, terminal, PAINT_NONE, "requests", buf_text(&text));
    for (int e = LOAD_OK + 1; e < LOAD_ERROR_COUNT_; e++) {
        if (r->errors[e] == 0)
            continue;
        buf_clear(&text);
        text_add_grouped(&text, (int64_t)r->errors[e]);
        buf_addf(&text, " %s", load_error_name((enum load_error)e));
        if (r->http_status[e] && r->http_status[e] != 200)
            buf_addf(&text, " %d", r->http_status[e]);
        if (r->examples[e]) {
            buf_add(&text, ", as in: ");
            report_add_text(&text, TEXT_TERMINAL, r->examples[e]);
        }
        print_line(out, terminal, PAINT_BAD, "  failed", buf_text(&text));
    }
}

static void add_rate(struct buf *text, double per_second, const char *what)
{
    if (isnan(per_second))
        return;
    if (text->len)
        buf_add(text, ", ");
    if (per_second >= 99.95)
        text_add_grouped(text, llround(per_second));
    else
        buf_addf(text, "%.3g", per_second);
    buf_addf(text, " %s", what);
}

static void print_rates(const struct bench_run *run, FILE *out, struct report_terminal terminal)
{
    struct bench_results *r = run->results;
    AUTO(buf_done) struct buf text = BUF_INIT(1024);
    add_rate(&text, bench_measure(r, METRIC_REQUESTS_PER_S, STAT_VALUE, TAIL).value, "answers/s");
    if (bench_measures(run->setup->plan.streams[0].protocol->spec, METRIC_TOKENS_PER_S)) {
        double tokens = bench_measure(r, METRIC_TOKENS_PER_S, STAT_VALUE, TAIL).value;
        add_rate(&text, tokens,
                 r->tokens_exact ? "tokens/s"
                                 : "tokens/s (events, not the server's "
                                   "count)");
        add_rate(&text, r->prompt_tokens / r->window_s, "prompt tokens/s");
    }
    if (!isnan(r->window_s)) {
        buf_add(&text, text.len ? ", " : "");
        text_add_bytes(&text, round((double)r->bytes / r->window_s));
        buf_add(&text, "/s of answers");
    }
    print_line(out, terminal, PAINT_NONE, "throughput", buf_text(&text));
}

static void print_wer(const struct bench_run *run, FILE *out, struct report_terminal terminal)
{
    AUTO(buf_done) struct buf text = BUF_INIT(256);
    if (!run->results->wer)
        return;
    struct bench_number n = bench_measure(run->results, METRIC_WER, STAT_VALUE, TAIL);
    metric_add_value(&text, UNIT_RATIO, n.value);
    if (!isnan(n.low))
        buf_addf(&text, " [%.3g, %.3g] of %zu words", n.low * 100, n.high * 100, n.count);
    print_line(out, terminal, PAINT_NONE, "word errors", buf_text(&text));
}

static void print_first(const struct bench_run *run, FILE *out, struct report_terminal terminal)
{
    AUTO(buf_done) struct buf text = BUF_INIT(256);
    if (isnan(run->first_request_s))
        return;
    text_add_duration(&text, run->first_request_s);
    buf_add(&text, " for the very first request, before all others; not counted");
    print_line(out, terminal, PAINT_NONE, "first", buf_text(&text));
}

static void print_lateness(const struct bench_run *run, FILE *out, struct report_terminal terminal)
{
    static const struct {
        double q;
        const char *name;
    } shown[] = {{0.5, "p50"}, {0.99, "p99"}, {1, "max"}};
    struct bench_results *r = run->results;
    double p99_s, bound_s;
    bool late = bench_is_late(r, &p99_s, &bound_s);
    AUTO(buf_done) struct buf text = BUF_INIT(1024);
    buf_add(&text, "our own:");
    for (size_t i = 0; i < ARRAY_LEN(shown); i++) {
        buf_addf(&text, "%s %s ", i ? "," : "", shown[i].name);
        text_add_duration(&text, stats_quantile(bench_series_sorted(&r->lateness),
                                                r->lateness.count, shown[i].q));
    }
    buf_add(&text, late ? "; OVER the bound of " : "; bound ");
    text_add_duration(&text, bound_s);
    if (late)
        buf_add(&text, ": these times are partly our own. Is this machine too busy to measure "
                       "from? Try a lower rate, or another machine.");
    print_line(out, terminal, late ? PAINT_BAD : PAINT_NONE, "lateness", buf_text(&text));
}

static void print_requirements(const struct bench_run *run, FILE *out,
                               struct report_terminal terminal)
{
    static const enum grid_paint paints[] = {
        [BENCH_MET] = PAINT_GOOD, [BENCH_MISSED] = PAINT_BAD, [BENCH_UNTOLD] = PAINT_BOLD};
    if (run->requirement_count)
        fputc('\n', out);
    for (size_t i = 0; i < run->requirement_count; i++) {
        AUTO(buf_done) struct buf text = BUF_INIT(4096);
        const struct bench_judgement *j = &run->judgements[i];
        report_add_text(&text, TEXT_TERMINAL, run->requirements[i].text);
        buf_addf(&text, ": %s", j->why);
        print_line(out, terminal, paints[j->answer], bench_answer_names[j->answer],
                   buf_text(&text));
    }
}

static void print_comparison(const struct bench_comparison *c, FILE *out,
                             struct report_terminal terminal)
{
    AUTO(arena_free) struct arena *arena = arena_new();
    AUTO(buf_done) struct buf text = BUF_INIT(4096);
    struct report_grid grid = {.arena = arena, .column_count = 4, .right = {false, true, true}};
    buf_add(&text, "against ");
    report_add_text(&text, TEXT_TERMINAL, c->path);
    buf_add(&text, " (differences between these two runs, at 95 %)");
    fputc('\n', out);
    report_print_wrapped(out, terminal, buf_text(&text), 0, 2);
    for (size_t i = 0; i < c->warning_count; i++) {
        buf_clear(&text);
        report_add_text(&text, TEXT_TERMINAL, c->warnings[i]);
        print_line(out, terminal, PAINT_BAD, "warning", buf_text(&text));
    }
    for (size_t i = 0; i < c->change_count; i++) {
        const struct bench_change *x = &c->changes[i];
        const struct metric_facts *facts = metric_facts(x->metric);
        struct grid_row *row = report_grid_add(&grid);
        const double values[] = {x->before, x->after};
        row->cells[0] = arena_printf(arena, "%s %s", facts->name, metric_stat_name(x->stat));
        for (size_t k = 0; k < ARRAY_LEN(values); k++) {
            buf_clear(&text);
            report_add_plain(&text, facts->unit, values[k]);
            row->cells[k + 1] = arena_printf(arena, "%s%s", k ? "" : "was ", buf_text(&text));
        }
        buf_clear(&text);
        bench_compare_add_words(&text, x);
        if (x->over)
            buf_add(&text, ": OVER");
        row->cells[3] = arena_strdup(arena, buf_text(&text));
        row->paint = x->certain > 0 ? PAINT_GOOD : x->certain < 0 ? PAINT_BAD : PAINT_NONE;
    }
    report_grid_print(&grid, out, terminal, 0);
    if (isnan(c->tolerance))
        return;
    fprintf(out, "tolerance %.3g %%: %s\n", c->tolerance * 100,
            c->over ? "certainly exceeded" : "not certainly exceeded");
}

void bench_print(const struct bench_run *run, FILE *out, struct report_terminal terminal)
{
    print_head(run, out, terminal);
    print_quantiles(run, out, terminal);
    print_requests(run, out, terminal);
    print_rates(run, out, terminal);
    print_wer(run, out, terminal);
    print_first(run, out, terminal);
    print_lateness(run, out, terminal);
    print_requirements(run, out, terminal);
    if (run->comparison)
        print_comparison(run->comparison, out, terminal);
}
