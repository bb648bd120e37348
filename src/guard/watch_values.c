/* From what was seen to the values of a tick, one for each name.
 *
 * A function for each kind of name, chosen by the metric: the order of names is spec's, and a value
 * that is not filled is unknown. Of a service's figures that have sources, the name without one
 * takes the best in the metric's own order (spec/guard_metric.c) and says which it took: a rule
 * goes on working when HAProxy is put in front. All percentiles of a metric are of one source: a
 * p95 that the better source has too few values for is unknown, not the lesser one's. Once requests
 * were seen in the window nothing else stands in for their latency: a probe that was answered says
 * nothing of clients who were not. Without HAProxy's log requests are unknown, not none.
 *
 * Of queues it is the larger, of HAProxy's and the server's, for requests wait in one and then in
 * the other: the sum of two percentiles is no percentile, and neither alone is all. HAProxy without
 * a bound (at_once) has no queue, whatever waits behind it: unknown, where 0 would be believed.
 *
 * Of a service that is down its machine's figures are unknown, but for being down. */
#include "guard/watch_values.h"

#include "base/auto.h"

#include <math.h>
#include <string.h>

static const struct guard_value unknown = {.number = NAN};

static struct guard_value number(double value)
{
    return (struct guard_value){.number = guard_tick_number(value)};
}

static struct guard_value counted(double value, uint64_t count)
{
    return (struct guard_value){.number = guard_tick_number(value), .count = count};
}

static struct guard_value word(const struct guard_metric_ref *ref, const char *text)
{
    return (struct guard_value){.number = NAN, .text = guard_tick_word(ref, text)};
}

/* ---- of requests ---- */

static double quantile_of(const struct guard_window_reading *reading, double q)
{
    return q < 0.9 ? reading->p50 : q < 0.97 ? reading->p95 : reading->p99;
}

static struct guard_value time_of(const struct guard_window_reading *reading, double q)
{
    return counted(quantile_of(reading, q), reading->values);
}

static struct guard_value of_histogram(const struct guard_engine_view *view, int histogram,
                                       double q)
{
    struct guard_value value = time_of(&view->readings[histogram], q);
    value.bucket_s = isnan(value.number) ? 0
                                         : view->bucket_s[histogram][q < 0.9    ? 0
                                                                     : q < 0.97 ? 1
                                                                                : 2];
    return value;
}

static void front_now(const struct guard_seen *seen, int front, double *ret_running,
                      double *ret_waiting)
{
    *ret_running = *ret_waiting = NAN;
    if (!seen->proxy || !seen->proxy->up || front < 0)
        return;
    const struct proxy_front *view = &seen->proxy->fronts[front];
    *ret_running = *ret_waiting = 0;
    for (size_t k = 0; k < view->server_count; k++) {
        *ret_running += (double)view->servers[k].in_flight;
        *ret_waiting += (double)view->servers[k].waiting;
    }
}

/* Else it is of this moment, by HAProxy's socket. */
static bool is_of_window(enum guard_metric metric)
{
    return metric != GUARD_IN_FLIGHT && metric != GUARD_WAITING;
}

static struct guard_value from_requests(const struct guard_seen *seen,
                                        const struct guard_subject *subject,
                                        const struct guard_metric_ref *ref)
{
    const struct guard_requests_view *view = &subject->request;
    double running, waiting;
    if (subject->front < 0 || (!seen->requests_seen && is_of_window(ref->metric)))
        return unknown;
    const bool queues = seen->study->guard->fronts[subject->front].queue_max > 0;
    front_now(seen, subject->front, &running, &waiting);
    switch (ref->metric) {
    case GUARD_LATENCY:
        return time_of(&view->latency, ref->quantile);
    case GUARD_FIRST:
        return time_of(&view->first, ref->quantile);
    case GUARD_QUEUE:
        return queues ? time_of(&view->queue, ref->quantile) : unknown;
    case GUARD_RATE:
        return counted(view->rate_rps, view->requests);
    case GUARD_ERRORS:
        return counted(view->error_ratio, view->ended);
    case GUARD_IN_FLIGHT:
        return number(running);
    case GUARD_WAITING:
        return queues ? number(waiting) : unknown;
    default:
        return unknown;
    }
}

static struct guard_value from_engine(const struct guard_seen *seen,
                                      const struct guard_subject *subject,
                                      const struct guard_metric_ref *ref)
{
    const struct guard_engine_view *view = &subject->engine;
    if (!seen->engine_asked[ref->index])
        return unknown;
    switch (ref->metric) {
    case GUARD_LATENCY:
        return of_histogram(view, ENGINE_LATENCY, ref->quantile);
    case GUARD_FIRST:
        return of_histogram(view, ENGINE_FIRST, ref->quantile);
    case GUARD_QUEUE:
        return of_histogram(view, ENGINE_QUEUE, ref->quantile);
    case GUARD_RATE:
        return counted(view->rate_rps, view->requests);
    case GUARD_ERRORS:
        return counted(view->error_ratio, view->ended);
    case GUARD_IN_FLIGHT:
        return number(view->running);
    case GUARD_WAITING:
        return number(view->waiting);
    default:
        return unknown;
    }
}

static struct guard_value from_probe(const struct guard_seen *seen,
                                     const struct guard_subject *subject,
                                     const struct guard_metric_ref *ref)
{
    const struct guard_requests_view *view = &subject->probe;
    (void)seen;
    switch (ref->metric) {
    case GUARD_LATENCY:
        return time_of(&view->latency, ref->quantile);
    case GUARD_FIRST:
        return time_of(&view->first, ref->quantile);
    case GUARD_RATE:
        return subject->probes ? counted(view->rate_rps, view->requests) : unknown;
    case GUARD_ERRORS:
        return counted(view->error_ratio, view->ended);
    default:
        return unknown;
    }
}

typedef struct guard_value (*source_fn)(const struct guard_seen *seen,
                                        const struct guard_subject *subject,
                                        const struct guard_metric_ref *ref);
static const source_fn sources[SOURCE_COUNT_] = {
    [SOURCE_REQUESTS] = from_requests, [SOURCE_ENGINE] = from_engine, [SOURCE_PROBE] = from_probe};

static struct guard_value from(const struct guard_seen *seen, const struct guard_metric_ref *ref,
                               enum guard_source source)
{
    struct guard_value value = sources[source](seen, &seen->subjects[ref->index], ref);
    value.source = source;
    return value;
}

static bool has_weight(const struct guard_seen *seen, int front, const char *arm)
{
    const struct proxy_front *view = &seen->proxy->fronts[front];
    for (size_t k = 0; k < view->server_count; k++)
        if (strcmp(view->servers[k].name, arm) == 0)
            return view->servers[k].weight > 0;
    return false;
}

/* Does what is watched take the front's requests now? Else its engine and its probes are those of a
 * server that nobody feels. */
static bool is_in_use(const struct guard_seen *seen, const struct guard_subject *subject)
{
    if (subject->front < 0)
        return true;
    const struct spec_front *front = &seen->study->guard->fronts[subject->front];
    for (size_t t = 0; t < front->tier_count; t++)
        if (subject->tier && strcmp(front->tiers[t].name, subject->tier) == 0)
            return front->tiers[t].port == subject->watch->port;
    for (size_t a = 0; a < front->split.count && seen->proxy && seen->proxy->up; a++)
        if (front->split.arms[a].port == subject->watch->port)
            return has_weight(seen, subject->front, front->split.arms[a].name);
    return false;
}

static struct guard_value largest_of(const struct guard_seen *seen,
                                     const struct guard_metric_ref *ref)
{
    const struct guard_metric_info *info = &guard_metric_infos[ref->metric];
    struct guard_value largest = unknown;
    for (size_t s = 0; s < ARRAY_LEN(info->best) && info->best[s] != SOURCE_NONE; s++) {
        struct guard_value value = from(seen, ref, info->best[s]);
        if (isnan(value.number) && value.count > 0)
            return value; /* it may be larger */
        if (isnan(largest.number) || value.number > largest.number)
            largest = value;
    }
    return isnan(largest.number) ? unknown : largest;
}

static struct guard_value of_traffic(const struct guard_seen *seen,
                                     const struct guard_metric_ref *ref)
{
    const struct guard_metric_info *info = &guard_metric_infos[ref->metric];
    const struct guard_subject *subject = &seen->subjects[ref->index];
    if (ref->source != SOURCE_NONE)
        return from(seen, ref, ref->source);
    if (info->largest)
        return largest_of(seen, ref);
    const bool clients_first = info->best[0] == SOURCE_REQUESTS;
    for (size_t s = 0; s < ARRAY_LEN(info->best) && info->best[s] != SOURCE_NONE; s++) {
        if (!clients_first && info->best[s] != SOURCE_REQUESTS && !is_in_use(seen, subject))
            continue;
        struct guard_value value = from(seen, ref, info->best[s]);
        bool seen_some = info->best[s] == SOURCE_REQUESTS && seen->requests_seen &&
                         subject->front >= 0 && subject->request.requests > 0;
        if (!isnan(value.number) || value.count > 0 || seen_some)
            return value;
    }
    return unknown;
}

/* ---- of the machine ---- */

/* Of whoever takes the requests now: a tier, or what runs in production; NULL: nobody knows who, or
 * several do, whose capacity together nobody measured. */
static const struct guard_capacity *capacity_of(const struct guard_seen *seen, size_t i)
{
    const struct guard_subject *subject = &seen->subjects[i];
    if (!seen->capacities || subject->front < 0)
        return seen->capacities ? &seen->capacities->services[i] : NULL;
    const struct spec_front *front = &seen->study->guard->fronts[subject->front];
    for (size_t t = 0; t < front->tier_count; t++)
        if (subject->tier && strcmp(front->tiers[t].name, subject->tier) == 0)
            return &seen->capacities->tiers[subject->front][t];
    if (front->split.count == 0 || !seen->proxy || !seen->proxy->up)
        return NULL;
    for (size_t a = 1; a < front->split.count; a++)
        if (has_weight(seen, subject->front, front->split.arms[a].name))
            return NULL;
    return &seen->capacities->services[i];
}

/* Against what HAProxy or the engine says comes now. A probe's rate is our own. */
static double spare_of(const struct guard_seen *seen, size_t i)
{
    const struct guard_subject *subject = &seen->subjects[i];
    const struct guard_capacity *capacity = capacity_of(seen, i);
    if (!capacity)
        return NAN;
    double running, waiting;
    front_now(seen, subject->front, &running, &waiting);
    bool fronted = subject->front >= 0 && seen->proxy && seen->proxy->up;
    double rate = !fronted              ? subject->engine.rate_rps
                  : seen->requests_seen ? subject->request.rate_rps
                                        : NAN;
    double clients =
        fronted ? running + waiting : subject->engine.running + subject->engine.waiting;
    double left = capacity->top - (capacity->rate ? rate : clients);
    return left < 0 ? 0 : left; /* a NaN stays one */
}

static double up_of(const struct guard_subject *subject)
{
    return subject->life.presence == PRESENCE_UNKNOWN ? NAN : subject->life.presence == PRESENCE_UP;
}

static const char *place_of(const struct guard_subject *subject)
{
    if (subject->life.presence != PRESENCE_UP)
        return NULL;
    if (subject->spec->on == ON_CPU)
        return device_placement_names[PLACEMENT_CPU];
    return device_placement_names[subject->place.word];
}

static struct guard_value of_service(const struct guard_seen *seen,
                                     const struct guard_metric_ref *ref)
{
    const struct guard_subject *subject = &seen->subjects[ref->index];
    const struct guard_memory_view *memory = guard_memory_service(seen->memory, ref->index);
    if (subject->watch->kind == WATCH_NOTHING && ref->metric != GUARD_TIER &&
        ref->metric != GUARD_SPARE)
        return unknown;
    switch (ref->metric) {
    case GUARD_UP:
        return number(up_of(subject));
    case GUARD_PLACEMENT:
        return word(ref, place_of(subject));
    case GUARD_MEMORY:
        return number(memory->bytes);
    case GUARD_GROWTH:
        return number(memory->growth_bytes_per_s);
    case GUARD_RESTARTS:
        return number((double)subject->history.restarts);
    case GUARD_OOM:
        return number((double)subject->ends.count);
    case GUARD_SPARE:
        return number(spare_of(seen, ref->index));
    case GUARD_TIER:
        return word(ref, subject->tier);
    default:
        return unknown;
    }
}

static struct guard_value of_device(const struct guard_seen *seen,
                                    const struct guard_metric_ref *ref)
{
    const struct guard_device_view *view = guard_memory_device(seen->memory, ref->index);
    switch (ref->metric) {
    case GUARD_DEVICE_USED:
        return number(view->used_bytes);
    case GUARD_DEVICE_FREE:
        return number(view->free_bytes);
    case GUARD_DEVICE_FULL_IN:
        return number(view->full_in_s);
    case GUARD_DEVICE_BUSY:
        return number(view->busy_ratio);
    case GUARD_DEVICE_THROTTLED:
        return number(view->throttled);
    case GUARD_DEVICE_FAULT:
        return word(ref, guard_fault_names[view->fault]);
    default:
        return unknown;
    }
}

/* ---- of guard itself ---- */

double guard_values_arrivals(const struct guard_seen *seen, size_t i)
{
    const struct guard_subject *subject = &seen->subjects[i];
    if (subject->front >= 0 && seen->proxy && seen->proxy->up)
        return seen->requests_seen ? subject->request.rate_rps : NAN;
    return seen->engine_asked[i] ? subject->engine.rate_rps : NAN;
}

static struct guard_value of_guard(const struct guard_seen *seen,
                                   const struct guard_metric_ref *ref)
{
    switch (ref->metric) {
    case GUARD_PROXY_UP:
        return seen->proxy ? number(seen->proxy->up) : unknown;
    case GUARD_DISK_FREE:
        return number(seen->disk_free_bytes);
    case GUARD_CHANGED_VERSIONS:
        return number(seen->changed[CHANGE_VERSIONS]);
    case GUARD_CHANGED_NEIGHBOURS:
        return number(seen->changed[CHANGE_NEIGHBOURS]);
    case GUARD_CHANGED_LOAD:
        return number(seen->changed[CHANGE_LOAD]);
    default:
        return unknown;
    }
}

void guard_values_fill(const struct guard_seen *seen, const struct guard_metric_ref *refs,
                       size_t count, struct guard_value *ret_values)
{
    for (size_t k = 0; k < count; k++) {
        const struct guard_metric_ref *ref = &refs[k];
        const struct guard_metric_info *info = &guard_metric_infos[ref->metric];
        struct guard_value *value = &ret_values[k];
        *value = unknown;
        if (info->scope == SCOPE_SERVICE)
            *value = info->sources ? of_traffic(seen, ref) : of_service(seen, ref);
        else if (info->scope == SCOPE_DEVICE)
            *value = of_device(seen, ref);
        else
            *value = of_guard(seen, ref);
    }
}
