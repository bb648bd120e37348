/* Rates from HAProxy's counters, answers from its log.
 *
 * The log tells of a request when it is over: in an overload it lags behind by just the time that
 * matters, and counts what is answered, not what comes. So arrivals are counted by HAProxy's own
 * counters at each look (those that were given to a server, and those that wait), and the log says
 * only how long answers took.
 *
 * A rate is a count over a span, and small counts are noise. What it is at least is the lower end
 * of the exact Poisson interval (the gamma quantile by Wilson and Hilferty 1931), the best of
 * several spans: a burst shows in the short ones, a small steady excess in the long ones.
 *
 * Rejected: a smoothed mean, whose past never quite ends. Bounded: a ring of looks and a ring of
 * answers. */
#include "guard/tier_load.h"

#include "base/clock.h"
#include "stats/quantile.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { LOOKS_MAX = 256, ANSWERS_MAX = 1024 };
enum { PINNED_DOUBT = 10 }; /* requests that were not pinned, so that one alone is no share */
static const double LEAST_Z = 3, MOST_Z = 0.5; /* 99.9 % one-sided; half a deviation */
static const int64_t NOW_NS = 5 * NS_PER_S;    /* span of "now" */
static const int64_t HIGH_MIN_NS = 5 * NS_PER_S, HIGH_MAX_NS = 60 * NS_PER_S;
static const int64_t LEARN_MIN_NS = 15 * NS_PER_S;
static const double FAILED_LIMITS = 10; /* a request that failed counts as one that took so long */
/* A look comes a little early or late. */
static const int64_t SLACK_NS = NS_PER_S / 4;

struct look {
    int64_t at_ns;
    double arrivals; /* since counting began */
};
struct answer {
    int64_t came_ns, done_ns;
    double total_s;
    int server;
    bool pinned;
};

struct tier_load {
    const struct spec_front *front; /* borrowed */
    int64_t window_ns, switched_ns;
    struct look looks[LOOKS_MAX]; /* ring; look_count since ever */
    size_t look_count;
    struct answer answers[ANSWERS_MAX]; /* ring */
    size_t answer_count;
    int64_t pid;    /* of the HAProxy that counts; 0: none yet */
    double counted; /* its sum at the last look */
    struct proxy_front last;
    double sorted[ANSWERS_MAX]; /* scratch */
};

struct tier_load *tier_load_new(const struct spec_front *front, int64_t window_ns)
{
    struct tier_load *load = calloc(1, sizeof *load);
    if (!load)
        abort();
    load->front = front;
    load->window_ns = window_ns;
    return load;
}

struct tier_load *tier_load_free(struct tier_load *load)
{
    free(load);
    return NULL;
}

void tier_load_switched(struct tier_load *load, int64_t now_ns)
{
    load->switched_ns = now_ns;
}

/* ---- arrivals ---- */

static const struct look *look_back(const struct tier_load *load, size_t k) /* 0: the last */
{
    return &load->looks[(load->look_count - 1 - k) % LOOKS_MAX];
}

void tier_load_look(struct tier_load *load, const struct proxy_front *front, int64_t pid,
                    int64_t now_ns)
{
    double counted = 0;
    for (size_t s = 0; s < front->server_count; s++)
        counted += (double)(front->servers[s].total + front->servers[s].waiting);
    double arrivals = load->look_count ? look_back(load, 0)->arrivals : 0;
    /* Another process counts from 0; what came while it took over is unknown. A reload keeps none
     * of the counters either. Who gives up waiting makes the sum fall: nobody came then. */
    if (load->pid == pid && load->pid != 0)
        arrivals += fmax(0, counted - load->counted);
    else
        load->look_count = 0;
    load->pid = pid;
    load->counted = counted;
    load->last = *front;
    load->looks[load->look_count++ % LOOKS_MAX] = (struct look){now_ns, arrivals};
}

/* Arrivals between `to_ns` and `span_ns` before; false when that was not watched. */
static bool count_span(const struct tier_load *load, int64_t to_ns, int64_t span_ns,
                       double *ret_arrivals, double *ret_seconds)
{
    const struct look *to = NULL;
    for (size_t k = 0; k < load->look_count && k < LOOKS_MAX; k++) {
        const struct look *look = look_back(load, k);
        if (look->at_ns > to_ns)
            continue;
        to = to ? to : look;
        if (to->at_ns - look->at_ns < span_ns - SLACK_NS || look == to)
            continue;
        *ret_arrivals = to->arrivals - look->arrivals;
        *ret_seconds = (double)(to->at_ns - look->at_ns) / NS_PER_S;
        return true;
    }
    return false;
}

double tier_load_least(double arrivals, double seconds)
{
    if (!(arrivals > 0))
        return 0;
    double root = 1 - 1 / (9 * arrivals) - LEAST_Z / (3 * sqrt(arrivals));
    return root > 0 ? arrivals * root * root * root / seconds : 0;
}

double tier_load_most(double arrivals, double seconds)
{
    return (arrivals + MOST_Z * sqrt(fmax(arrivals, 0))) / seconds;
}

static void fill_rates(const struct tier_load *load, int64_t now_ns, struct policy_input *input)
{
    static const int64_t spans_ns[] = {2 * NS_PER_S, 5 * NS_PER_S, 10 * NS_PER_S};
    int64_t up_after_ns = load->front->up_after_ns, high_ns = up_after_ns;
    double arrivals = 0, seconds = 1;
    input->rate_rps = input->rate_low_rps = input->rate_high_rps = NAN;
    for (size_t i = 0; i < sizeof spans_ns / sizeof *spans_ns; i++)
        if ((i == 0 || spans_ns[i] <= up_after_ns) &&
            count_span(load, now_ns, spans_ns[i], &arrivals, &seconds))
            input->rate_low_rps = fmax(input->rate_low_rps, tier_load_least(arrivals, seconds));
    for (int64_t span_ns = NOW_NS; span_ns >= spans_ns[0]; span_ns -= NS_PER_S)
        if (count_span(load, now_ns, span_ns, &arrivals, &seconds)) {
            input->rate_rps = arrivals / seconds;
            break;
        }
    high_ns = high_ns < HIGH_MIN_NS ? HIGH_MIN_NS : high_ns;
    high_ns = high_ns > HIGH_MAX_NS ? HIGH_MAX_NS : high_ns;
    if (count_span(load, now_ns, high_ns, &arrivals, &seconds))
        input->rate_high_rps = fmax(input->rate_low_rps, tier_load_most(arrivals, seconds));
}

/* ---- answers ---- */

void tier_load_request(struct tier_load *load, const struct proxy_request *request, int64_t now_ns)
{
    double total_s = request->total_s;
    switch (request->end) {
    case PROXY_OK:
        break;
    case PROXY_CLIENT: /* who leaves after more than the limit has not been served in time */
        if (!(total_s > load->front->limit_s))
            return;
        break;
    case PROXY_REFUSED:
        return;
    default:
        total_s = fmax(total_s, FAILED_LIMITS * load->front->limit_s); /* not the client's fault */
    }
    double taken_s = isfinite(request->total_s) && request->total_s > 0 ? request->total_s : 0;
    load->answers[load->answer_count++ % ANSWERS_MAX] =
        (struct answer){.came_ns = now_ns - (int64_t)(fmin(taken_s, 1e6) * NS_PER_S),
                        .done_ns = now_ns,
                        .total_s = total_s,
                        .server = request->server,
                        .pinned = request->pinned};
}

static void fill_current(struct tier_load *load, int current, int64_t now_ns,
                         struct policy_seen *seen)
{
    int64_t from_ns = now_ns - load->window_ns;
    size_t n = 0;
    from_ns = from_ns < load->switched_ns ? load->switched_ns : from_ns;
    for (size_t k = 0; k < load->answer_count && k < ANSWERS_MAX; k++) {
        const struct answer *a = &load->answers[k];
        if (a->came_ns < from_ns || a->pinned || (a->server != current && a->server >= 0))
            continue;
        load->sorted[n++] = a->total_s;
        seen->over += !(a->total_s <= load->front->limit_s);
    }
    seen->answers = n;
    stats_sort(load->sorted, n);
    double q = load->front->quantile;
    if (n > 0 && stats_quantile_allowed(n, q))
        seen->latency_s = stats_quantile(load->sorted, n, q);
    double arrivals = 0, seconds = 1;
    int64_t span_ns = now_ns - from_ns;
    if (span_ns < LEARN_MIN_NS || !count_span(load, now_ns, span_ns, &arrivals, &seconds))
        return;
    seen->mean_rps = seen->most_rps = arrivals / seconds;
    for (int64_t to_ns = now_ns; to_ns - NOW_NS >= from_ns; to_ns -= NOW_NS)
        if (count_span(load, to_ns, NOW_NS, &arrivals, &seconds))
            seen->most_rps = fmax(seen->most_rps, arrivals / seconds);
}

static void fill_pinned(const struct tier_load *load, int64_t now_ns, struct policy_input *input)
{
    size_t pinned[SPEC_TIERS_MAX] = {0}, all = 0;
    for (size_t k = 0; k < load->answer_count && k < ANSWERS_MAX; k++) {
        const struct answer *a = &load->answers[k];
        if (now_ns - a->done_ns > load->window_ns)
            continue;
        all++;
        if (a->pinned && a->server >= 0 && a->server < SPEC_TIERS_MAX)
            pinned[a->server]++;
    }
    for (size_t t = 0; t < load->front->tier_count; t++)
        input->tiers[t].pinned_ratio = (double)pinned[t] / (double)(all + PINNED_DOUBT);
}

void tier_load_fill(struct tier_load *load, int current, int64_t now_ns, struct policy_input *input)
{
    fill_rates(load, now_ns, input);
    for (size_t t = 0; t < load->front->tier_count; t++) {
        struct policy_seen *seen = &input->tiers[t];
        bool known = t < load->last.server_count;
        seen->in_flight = known ? (double)load->last.servers[t].in_flight : 0;
        seen->waiting = known ? (double)load->last.servers[t].waiting : 0;
        seen->usable = known && load->last.servers[t].usable && !load->last.servers[t].drained;
        seen->latency_s = seen->mean_rps = seen->most_rps = NAN;
        seen->answers = seen->over = 0;
        if ((int)t == current)
            fill_current(load, current, now_ns, seen);
    }
    fill_pinned(load, now_ns, input);
}
