/* How far it is, what comes back, how fast, and what is under way. In flight is not told by the
 * worker; in an open loop the plan says how many requests were due by now, and what has not ended
 * of them is in flight or waiting. A closed loop's clients are always busy. */
#include "cli/bench_live.h"

#include "base/clock.h"
#include "base/text.h"
#include "cli/command.h"

#include <inttypes.h>
#include <string.h>
#include <unistd.h>

struct bench_live bench_live_init(const struct bench_setup *setup, FILE *out)
{
    int fd = fileno(out);
    const char *term = getenv("TERM");
    return (struct bench_live){
        .out = out,
        .on = isatty(fd) && term && strcmp(term, "dumb") != 0,
        .width = cli_width(fd),
        .setup = setup,
        .started_ns = clock_now_ns(),
    };
}

static void add_progress(struct buf *line, const struct bench_live *live, double elapsed_s)
{
    const struct load_plan *plan = &live->setup->plan;
    double warmup_s = (double)plan->warmup_ns / NS_PER_S;
    double window_s = (double)plan->window_ns / NS_PER_S;
    if (elapsed_s < warmup_s) {
        buf_addf(line, "warming up %.0f of %.0f s", elapsed_s, warmup_s);
        return;
    }
    double into_s = elapsed_s - warmup_s;
    if (!live->setup->timed)
        buf_addf(line, "%.0f s", into_s);
    else if (into_s > window_s)
        buf_add(line, "waiting for the last answers");
    else
        buf_addf(line, "%.0f of %.0f s", into_s, window_s);
}

/* Requests that the plan meant to send by now and whose end has not been seen; NaN: not known. */
static double under_way(const struct bench_live *live, const struct bench_results *r,
                        double elapsed_s)
{
    const struct load_plan *plan = &live->setup->plan;
    const struct load_stream *s = &plan->streams[0];
    double span_s = (double)(plan->warmup_ns + plan->window_ns) / NS_PER_S;
    if (s->arrivals == ARRIVALS_CLOSED)
        return s->concurrency;
    if (s->arrivals != ARRIVALS_CONSTANT)
        return __builtin_nan("");
    double due = s->rate_rps * (elapsed_s < span_s ? elapsed_s : span_s);
    if (s->request_limit > 0 && due > (double)s->request_limit)
        due = (double)s->request_limit;
    double open = due - (double)(r->requests + r->warmups);
    return open > 0 ? open : 0;
}

void bench_live_draw(struct bench_live *live, struct bench_results *r)
{
    if (!live->on)
        return;
    AUTO(buf_done) struct buf line = BUF_INIT(512);
    double elapsed_s = (double)(clock_now_ns() - live->started_ns) / NS_PER_S;
    double measured_s = elapsed_s - (double)live->setup->plan.warmup_ns / NS_PER_S;
    add_progress(&line, live, elapsed_s);
    buf_addf(&line, "  %" PRIu64 " answered", r->ok);
    if (r->requests > r->ok)
        buf_addf(&line, ", %" PRIu64 " failed", r->requests - r->ok);
    if (measured_s >= 1 && r->completed > 0)
        buf_addf(&line, "  %.3g/s", (double)r->completed / measured_s);
    double open = under_way(live, r, elapsed_s);
    if (open == open)
        buf_addf(&line, "  %.0f in flight", open);
    if (r->latency.count >= 5) {
        buf_add(&line, "  p50 so far ");
        text_add_duration(&line,
                          stats_quantile(bench_series_sorted(&r->latency), r->latency.count, 0.5));
    }
    fprintf(live->out, "\r\033[K%.*s", live->width - 1, buf_text(&line));
    fflush(live->out);
}

void bench_live_clear(struct bench_live *live)
{
    if (!live->on)
        return;
    fputs("\r\033[K", live->out);
    fflush(live->out);
}
