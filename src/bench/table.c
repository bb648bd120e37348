/* A run on a terminal, within 80 columns: what was asked, the quantiles with what they are worth
 * beneath them; all else follows a line each (lines.c).
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

static const double DIFFERS_RATIO = 1.02, DIFFERS_S = 0.0005;
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
    buf_addf(buf, "arrivals: %s", spec_arrivals_names[s->arrivals]);
    if (s->rate_rps > 0) {
        buf_add(buf, s->arrivals == ARRIVALS_RAMP ? ", up to " : ", ");
        metric_add_value(buf, UNIT_PER_SECOND, s->rate_rps);
    }
}

static void print_head(const struct bench_run *run, FILE *out, struct report_terminal terminal)
{
    const struct bench_setup *setup = run->setup;
    const struct load_stream *s = &setup->plan.streams[0];
    AUTO(arena_free) struct arena *arena = arena_new();
    AUTO(buf_done) struct buf text = BUF_INIT(4096);
    buf_addf(&text, "%s at ", s->protocol->spec->name);
    report_add_text(&text, TEXT_TERMINAL, bench_target(setup, arena));
    if (s->model) {
        buf_add(&text, ", model ");
        report_add_text(&text, TEXT_TERMINAL, s->model);
    }
    report_print_wrapped(out, terminal, buf_text(&text), 0, 2);
    buf_clear(&text);
    bench_add_load(&text, setup);
    buf_add(&text, "; ");
    report_add_text(&text, TEXT_TERMINAL, setup->sending);
    /* To open one is in every time, and other tools keep theirs. */
    if (!s->protocol->spec->runs_program)
        buf_add(&text, s->reuse_connection ? "; connections are kept"
                                           : "; a new connection for each request");
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
    AUTO(buf_done) struct buf count = BUF_INIT(64);
    struct grid_row *values = report_grid_add(grid);
    values->cells[0] = name;
    for (size_t i = 0; i < ARRAY_LEN(columns); i++)
        values->cells[i + 1] = value_text(unit, &numbers[i], grid->arena);
    struct grid_row *below = report_grid_add(grid);
    buf_add(&count, "  n=");
    text_add_grouped(&count, (int64_t)numbers[0].count);
    below->paint = PAINT_DIM;
    below->cells[0] = arena_strdup(grid->arena, buf_text(&count));
    for (size_t i = 0; i < ARRAY_LEN(columns); i++)
        below->cells[i + 1] = interval_text(unit, &numbers[i], grid->arena);
}

/* Does a closed-loop tool's latency differ from ours in any quantile that is shown? */
static bool differs(const struct bench_number *numbers, const struct bench_number *uncorrected)
{
    for (size_t i = 0; i < ARRAY_LEN(columns); i++)
        if (numbers[i].value > uncorrected[i].value * DIFFERS_RATIO + DIFFERS_S)
            return true;
    return false;
}

static void add_uncorrected(struct report_grid *grid, const struct bench_run *run,
                            const struct bench_number *latency)
{
    struct bench_number numbers[ARRAY_LEN(columns)];
    for (size_t i = 0; i < ARRAY_LEN(columns); i++) {
        numbers[i] = bench_series_number(&run->results->service, columns[i], BENCH_INTERVAL);
        numbers[i].low = numbers[i].high = NAN;
    }
    if (!differs(latency, numbers))
        return;
    struct grid_row *row = report_grid_add(grid);
    row->cells[0] = "uncorrected";
    for (size_t i = 0; i < ARRAY_LEN(columns); i++)
        row->cells[i + 1] = value_text(UNIT_SECONDS, &numbers[i], grid->arena);
}

/* Without thinking the first content is the first token, and would be the same row again. */
static bool no_thinking(struct bench_results *results)
{
    if (results->content.count != results->ttft.count)
        return false;
    const double *content = bench_series_sorted(&results->content);
    const double *ttft = bench_series_sorted(&results->ttft);
    for (size_t i = 0; i < results->ttft.count; i++)
        if (content[i] != ttft[i])
            return false;
    return true;
}

static void print_quantiles(const struct bench_run *run, FILE *out, struct report_terminal terminal)
{
    AUTO(arena_free) struct arena *arena = arena_new();
    struct report_grid grid = {.arena = arena, .column_count = ARRAY_LEN(columns) + 1};
    struct grid_row *head = report_grid_add(&grid);
    head->paint = PAINT_BOLD;
    head->cells[0] = "[95 %]";
    for (size_t i = 0; i < ARRAY_LEN(columns); i++)
        head->cells[i + 1] = metric_stat_name(columns[i]);
    for (size_t c = 1; c < grid.column_count; c++)
        grid.right[c] = true;
    for (int m = 0; m < METRIC_COUNT_; m++) {
        const struct metric_facts *facts = metric_facts((enum metric)m);
        struct bench_number numbers[ARRAY_LEN(columns)];
        if (!facts->distribution || !bench_measures(bench_sources(run->setup), (enum metric)m))
            continue;
        for (size_t i = 0; i < ARRAY_LEN(columns); i++)
            numbers[i] = bench_measure(run->results, (enum metric)m, columns[i], BENCH_INTERVAL);
        if (numbers[0].count == 0 || (m == METRIC_CONTENT && no_thinking(run->results)))
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

void bench_print(const struct bench_run *run, FILE *out, struct report_terminal terminal)
{
    print_head(run, out, terminal);
    print_quantiles(run, out, terminal);
    bench_print_lines(run, out, terminal);
}
