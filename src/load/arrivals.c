/* When each request of an open loop is meant to leave, as a pure function of (seed, salt, stream
 * name, n). One kind of arrivals is one pair of functions: where it begins, and its next time.
 *
 * Constant arrivals start at a drawn phase of their gap instead of zero: two streams of one rate
 * would otherwise send in step all the time, and the overlap of the services would be an artefact.
 * Poisson arrivals are the sum of exponential gaps (Knuth, TAOCP 2, 3.4.1).
 *
 * Bursts and ramps are Poisson processes whose rate changes: a process of rate 1 is drawn, and each
 * of its times is the number of requests meant by then; the inverse of that number as a function of
 * time says when (inversion: Cinlar 1975, chapter 4). Rejected: thinning a process of the highest
 * rate, where the number of draws, and so all later times, depend on what is thrown away.
 *
 * A burst begins with the window, whatever the warm-up, so that windows of all lengths hold one; a
 * ramp keeps its first rate through the warm-up. */
#include "load/plan.h"

#include "base/clock.h"

#include <math.h>

/* ---- one rate ---- */

static void begin_constant(struct load_arrivals *a)
{
    a->next_ns = rng_unit(&a->rng) * a->gap_ns;
}

static void next_constant(struct load_arrivals *a)
{
    a->next_ns += a->gap_ns;
}

static void begin_poisson(struct load_arrivals *a)
{
    a->next_ns = rng_exponential(&a->rng, a->gap_ns);
}

static void next_poisson(struct load_arrivals *a)
{
    a->next_ns += rng_exponential(&a->rng, a->gap_ns);
}

/* ---- bursts ---- */

/* Where the stream's start lies in the cycle of on and off, which begins with the window. */
static double cycle_start_ns(const struct load_arrivals *a)
{
    double cycle_ns = (double)a->stream->shape.on_ns + (double)a->stream->shape.off_ns;
    return cycle_ns - fmod(a->window_ns, cycle_ns);
}

/* Here a request's number is the time that has passed within bursts. */
static void next_burst(struct load_arrivals *a)
{
    const struct spec_shape *shape = &a->stream->shape;
    double on_ns = (double)shape->on_ns, cycle_ns = on_ns + (double)shape->off_ns;
    a->passed += rng_exponential(&a->rng, a->gap_ns);
    double bursts = floor(a->passed / on_ns);
    a->next_ns = bursts * cycle_ns + (a->passed - bursts * on_ns) - cycle_start_ns(a);
}

static void begin_bursts(struct load_arrivals *a)
{
    const struct spec_shape *shape = &a->stream->shape;
    double on_ns = (double)shape->on_ns, cycle_ns = on_ns + (double)shape->off_ns;
    double start_ns = cycle_start_ns(a), bursts = floor(start_ns / cycle_ns);
    a->passed = bursts * on_ns + fmin(start_ns - bursts * cycle_ns, on_ns);
    next_burst(a);
}

/* ---- ramp ---- */

/* The time by which `passed` requests are meant to have left: the first rate up to the window, a
 * quadratic within it, the last rate after it. The quadratic is solved in the form that has no
 * difference of near numbers (Press et al., Numerical Recipes, 5.6). */
static double ramp_time_ns(const struct load_arrivals *a)
{
    const struct spec_shape *shape = &a->stream->shape;
    double from = shape->ramp_from_rps / NS_PER_S, to = shape->ramp_to_rps / NS_PER_S; /* per ns */
    double begin_ns = fmax(a->window_ns, 0), span_ns = a->end_ns - begin_ns;
    double before = from * begin_ns, within = (from + to) / 2 * span_ns;
    if (a->passed < before)
        return a->passed / from;
    double left = a->passed - before;
    if (left >= within)
        return to > 0 ? a->end_ns + (left - within) / to : INFINITY;
    double root = sqrt(fmax(from * from + 2 * left * (to - from) / span_ns, 0));
    return begin_ns + 2 * left / (from + root);
}

static void next_ramp(struct load_arrivals *a)
{
    a->passed += rng_exponential(&a->rng, 1);
    a->next_ns = ramp_time_ns(a);
}

/* ---- trace ---- */

/* From its first entry to that of its repetition: one mean gap after the last. */
static double trace_period_ns(const struct corpus *corpus)
{
    double span_ns = (double)corpus->trace[corpus->trace_count - 1].at_ns;
    return span_ns > 0 ? span_ns + span_ns / (double)(corpus->trace_count - 1) : (double)NS_PER_S;
}

static double trace_speed(const struct load_stream *stream)
{
    return stream->shape.speed > 0 ? stream->shape.speed : 1;
}

static void next_trace(struct load_arrivals *a)
{
    const struct corpus *corpus = a->stream->corpus;
    uint64_t count = corpus ? corpus->trace_count : 0, n = a->count++;
    if (count == 0) {
        a->next_ns = INFINITY;
        return;
    }
    uint64_t round = n / count;
    double at_ns = (double)round * trace_period_ns(corpus) + (double)corpus->trace[n % count].at_ns;
    a->next_ns = at_ns / trace_speed(a->stream);
}

/* ---- all of them ---- */

static const struct {
    void (*begin)(struct load_arrivals *a);
    void (*next)(struct load_arrivals *a);
} kinds[ARRIVALS_COUNT_] = {
    [ARRIVALS_CLOSED] = {begin_poisson, next_poisson}, /* never asked */
    [ARRIVALS_CONSTANT] = {begin_constant, next_constant},
    [ARRIVALS_POISSON] = {begin_poisson, next_poisson},
    [ARRIVALS_BURSTS] = {begin_bursts, next_burst},
    [ARRIVALS_RAMP] = {next_ramp, next_ramp},
    [ARRIVALS_TRACE] = {next_trace, next_trace},
};

struct load_arrivals load_arrivals_init(const struct load_plan *plan, size_t stream)
{
    const struct load_stream *s = &plan->streams[stream];
    struct load_arrivals arrivals = {
        .rng = load_plan_draw(plan, stream, "arrivals", 0),
        .kind = s->arrivals,
        .gap_ns = s->rate_rps > 0 ? (double)NS_PER_S / s->rate_rps : 0,
        .stream = s,
        .window_ns = (double)plan->warmup_ns,
        .end_ns = (double)(plan->warmup_ns + plan->window_ns - s->start_after_ns),
    };
    /* A ramp's window is everybody's; a burst's begins as late as the stream itself does. */
    if (s->arrivals == ARRIVALS_RAMP) {
        arrivals.window_ns = fmax(0, (double)(plan->warmup_ns - s->start_after_ns));
        arrivals.end_ns = fmax(arrivals.end_ns, arrivals.window_ns + 1);
    }
    kinds[s->arrivals].begin(&arrivals);
    return arrivals;
}

int64_t load_arrivals_next(struct load_arrivals *arrivals)
{
    double now_ns = arrivals->next_ns;
    kinds[arrivals->kind].next(arrivals);
    return now_ns < 4e18 ? (int64_t)now_ns : CLOCK_NEVER / 2;
}

double load_stream_rate_rps(const struct load_plan *plan, size_t stream)
{
    const struct load_stream *s = &plan->streams[stream];
    const struct spec_shape *shape = &s->shape;
    double on_ns = (double)shape->on_ns, off_ns = (double)shape->off_ns;
    switch (s->arrivals) {
    case ARRIVALS_CLOSED:
        return NAN;
    case ARRIVALS_BURSTS:
        return s->rate_rps * on_ns / (on_ns + off_ns);
    case ARRIVALS_RAMP:
        return (shape->ramp_from_rps + shape->ramp_to_rps) / 2;
    case ARRIVALS_TRACE:
        return s->corpus && s->corpus->trace_count ? (double)s->corpus->trace_count * NS_PER_S /
                                                         trace_period_ns(s->corpus) * trace_speed(s)
                                                   : 0;
    default:
        return s->rate_rps;
    }
}
