/* What is not a percentile, a line each: requests and failures by kind, throughput, word errors,
 * our own lateness (always: a number from an instrument that was late is not the service's),
 * whether the service stayed steady, requirements, and the comparison with an earlier run.
 *
 * A line appears only where it has something to say. Outside text is escaped and short. */
#include "bench/run.h"

#include "base/text.h"
#include "bench/results.h"
#include "report/grid.h"
#include "report/words.h"

#include <inttypes.h>
#include <math.h>

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
    struct bench_number ratio =
        bench_measure(run->results, METRIC_ERROR_RATIO, STAT_VALUE, BENCH_INTERVAL);
    text_add_grouped(&text, (int64_t)r->ok);
    buf_add(&text, " answered, ");
    text_add_grouped(&text, (int64_t)(r->requests - r->ok));
    buf_add(&text, " failed");
    if (r->requests > 0) {
        buf_addf(&text, " (%.3g %% [%.3g, %.3g])", ratio.value * 100, ratio.low * 100,
                 ratio.high * 100);
    }
    if (r->held_back)
        buf_addf(&text, "; %" PRIu64 " waited for the limit of %d in flight", r->held_back,
                 run->setup->plan.streams[0].concurrency);
    if (r->reloads)
        buf_addf(&text,
                 "; for %" PRIu64 " more the model was loaded anew: no samples, and no failures",
                 r->reloads);
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
    add_rate(&text, bench_measure(r, METRIC_REQUESTS_PER_S, STAT_VALUE, BENCH_INTERVAL).value,
             "answers/s");
    if (bench_measures(bench_sources(run->setup), METRIC_TOKENS_PER_S)) {
        double tokens = bench_measure(r, METRIC_TOKENS_PER_S, STAT_VALUE, BENCH_INTERVAL).value;
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

static void print_worst(const struct bench_run *run, FILE *out, struct report_terminal terminal)
{
    const struct bench_results *r = run->results;
    size_t items[BENCH_WORST_MAX];
    size_t count = bench_heard_worst(r, items, ARRAY_LEN(items));
    for (size_t i = 0; i < count; i++) {
        const struct stats_wer *wer = &r->wer[items[i]];
        const struct bench_heard *heard = &r->heard[items[i]];
        AUTO(buf_done) struct buf text = BUF_INIT(8192);
        buf_addf(&text, "%" PRIu64 " of %" PRIu64 " words",
                 wer->substitutions + wer->deletions + wer->insertions, wer->reference_words);
        if (heard->times > 1)
            buf_addf(&text, " in %" PRIu32 " times", heard->times);
        buf_add(&text, ", said: ");
        report_add_text(&text, TEXT_TERMINAL, bench_said(run->setup, items[i]));
        buf_add(&text, "; heard: ");
        if (heard->text && *heard->text)
            report_add_text(&text, TEXT_TERMINAL, heard->text);
        else
            buf_add(&text, "nothing");
        print_line(out, terminal, PAINT_NONE, i ? "" : "  worst", buf_text(&text));
    }
}

static void print_wer(const struct bench_run *run, FILE *out, struct report_terminal terminal)
{
    AUTO(buf_done) struct buf text = BUF_INIT(256);
    if (!run->results->wer)
        return;
    struct bench_number n = bench_measure(run->results, METRIC_WER, STAT_VALUE, BENCH_INTERVAL);
    metric_add_value(&text, UNIT_RATIO, n.value);
    if (!isnan(n.low))
        buf_addf(&text, " [%.3g, %.3g] of %zu words", n.low * 100, n.high * 100, n.count);
    print_line(out, terminal, PAINT_NONE, "word errors", buf_text(&text));
    print_worst(run, out, terminal);
}

/* Text that a server has seen before may cost it nothing: how often it saw each. */
static void print_repeats(const struct bench_run *run, FILE *out, struct report_terminal terminal)
{
    AUTO(buf_done) struct buf text = BUF_INIT(256);
    const struct bench_repeats all = bench_sent_repeats(run->sent);
    if (all.most < 2)
        return;
    if (all.prompts == 1)
        buf_add(&text, "the one prompt");
    else if (all.most == all.least)
        buf_addf(&text, "each of %zu", all.prompts);
    else
        buf_addf(&text, "%zu, each", all.prompts);
    buf_add(&text, " was sent ");
    if (all.most != all.least) {
        text_add_grouped(&text, all.least);
        buf_add(&text, " to ");
    }
    text_add_grouped(&text, all.most);
    buf_add(&text, " times: a prefix cache may have answered");
    print_line(out, terminal, PAINT_NONE, "prompts", buf_text(&text));
}

void bench_add_salt(struct buf *text, const char *text_salt)
{
    buf_add(text, "Made-up words were drawn from the text salt \"");
    report_add_text(text, TEXT_TERMINAL, text_salt);
    buf_add(text, "\": --text-salt with the same seed sends them again");
}

static void print_salt(const struct bench_run *run, FILE *out, struct report_terminal terminal)
{
    AUTO(buf_done) struct buf text = BUF_INIT(512);
    if (!run->text_salt || run->results->made == 0)
        return;
    bench_add_salt(&text, run->text_salt);
    print_line(out, terminal, PAINT_NONE, "text", buf_text(&text));
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
    struct bench_results *r = run->results;
    const struct {
        double value_s;
        const char *name;
    } shown[] = {{r->report.lateness_p50_s, "p50"},
                 {r->report.lateness_p99_s, "p99"},
                 {r->report.lateness_max_s, "max"}};
    double p99_s, bound_s;
    bool late = bench_is_late(r, &p99_s, &bound_s);
    AUTO(buf_done) struct buf text = BUF_INIT(1024);
    buf_add(&text, "our own:");
    for (size_t i = 0; i < ARRAY_LEN(shown); i++) {
        buf_addf(&text, "%s %s ", i ? "," : "", shown[i].name);
        text_add_duration(&text, shown[i].value_s);
    }
    if (r->report.stall_p99_s > bound_s) {
        buf_add(&text, "; our loop stood still for ");
        text_add_duration(&text, r->report.stall_p99_s);
        buf_add(&text, " (p99)");
    }
    if (run->setup->plan.workers > 1)
        buf_addf(&text, "; sent by %d workers%s", run->setup->plan.workers,
                 run->fewer_were_late ? ", since fewer were late before" : "");
    if (run->more_were_late)
        buf_add(&text, "; more workers were no better");
    buf_add(&text, late ? "; OVER the bound of " : "; bound ");
    text_add_duration(&text, bound_s);
    if (late)
        buf_add(&text, ": these times are partly our own. Is this machine too busy to measure "
                       "from? Try a lower rate, or another machine.");
    print_line(out, terminal, late ? PAINT_BAD : PAINT_NONE, "lateness", buf_text(&text));
}

static void add_overload(struct buf *text, const struct bench_run *run)
{
    const struct bench_results *r = run->results;
    const struct load_stream *s = &run->setup->plan.streams[0];
    double in = (double)r->settled / r->window_s, out = (double)r->completed / r->window_s;
    if (s->arrivals != ARRIVALS_CLOSED && out < 0.9 * in)
        buf_addf(text, "; %.3g/s came in and %.3g/s went out: more than it can do", in, out);
}

/* Percentiles describe a service only while it stays the same. */
static void print_steadiness(const struct bench_run *run, FILE *out,
                             struct report_terminal terminal)
{
    const struct bench_results *r = run->results;
    AUTO(buf_done) struct buf text = BUF_INIT(2048);
    if (r->cut_off.words)
        print_line(out, terminal, r->cut_off.settled ? PAINT_BOLD : PAINT_BAD, "warm-up",
                   r->cut_off.words);
    if (!r->unsteady)
        return;
    buf_add(&text, r->unsteady);
    add_overload(&text, run);
    buf_add(&text, "; the percentiles depend on how long is measured");
    print_line(out, terminal, PAINT_BAD, "not steady", buf_text(&text));
}

static void print_goodput(const struct bench_run *run, FILE *out, struct report_terminal terminal)
{
    struct bench_results *r = run->results;
    AUTO(buf_done) struct buf text = BUF_INIT(256);
    struct bench_number n = bench_measure(r, METRIC_GOODPUT_RATIO, STAT_VALUE, BENCH_INTERVAL);
    if (isnan(n.value))
        return;
    add_rate(&text, bench_measure(r, METRIC_GOODPUT, STAT_VALUE, BENCH_INTERVAL).value,
             "answers/s");
    buf_addf(&text, " kept all that is required of one; %.3g %% [%.3g, %.3g] of the requests",
             n.value * 100, n.low * 100, n.high * 100);
    print_line(out, terminal, PAINT_NONE, "good", buf_text(&text));
}

static void print_alike(const struct bench_run *run, FILE *out, struct report_terminal terminal)
{
    struct bench_number n = bench_measure(run->results, METRIC_LATENCY, STAT_P50, BENCH_INTERVAL);
    if (n.alike)
        print_line(out, terminal, PAINT_NONE, "intervals",
                   "none for latency: requests beside each other are alike, and such a sample "
                   "needs 1,000 of them");
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
            c->over     ? "certainly exceeded"
            : c->untold ? "can't be told: exceeded as seen, and no interval to say how sure that is"
                        : "not certainly exceeded");
}

static void print_left_out(const struct bench_run *run, FILE *out, struct report_terminal terminal)
{
    AUTO(buf_done) struct buf text = BUF_INIT(256);
    if (run->results->gaps_left_out == 0)
        return;
    text_add_grouped(&text, (int64_t)run->results->gaps_left_out);
    buf_add(&text, " later gaps were too many to keep: its quantiles are of the first ");
    text_add_grouped(&text, (int64_t)run->results->itl.count);
    print_line(out, terminal, PAINT_BOLD, "itl", buf_text(&text));
}

void bench_print_lines(const struct bench_run *run, FILE *out, struct report_terminal terminal)
{
    print_requests(run, out, terminal);
    print_rates(run, out, terminal);
    print_left_out(run, out, terminal);
    print_goodput(run, out, terminal);
    print_wer(run, out, terminal);
    print_repeats(run, out, terminal);
    print_salt(run, out, terminal);
    print_first(run, out, terminal);
    print_lateness(run, out, terminal);
    print_alike(run, out, terminal);
    print_steadiness(run, out, terminal);
    print_requirements(run, out, terminal);
    if (run->comparison)
        print_comparison(run->comparison, out, terminal);
}
