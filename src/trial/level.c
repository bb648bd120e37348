/* Records wait in a table by their number until all before them are known, so that each requirement
 * sees the requests in the order of the plan. A hole whose successor is older than the limit is a
 * request that is over, whatever it will answer: it is counted at once and its record, when it
 * comes, is only part of the quantiles. That holds for a successor that left after it: of the same
 * worker, since workers of a closed loop drift apart; and never among requests that are made from
 * another stream's answers, which leave as those come. Where such a hole is waited for, what was
 * seen before it is no evidence of "met".
 *
 * Near its limit a service's requests wait behind one another, and neighbours are alike: sixty good
 * ones in a row are then no proof. So "met" is decided at two looks, at half of the window and at
 * its end, with the sample counted for what it is worth (stats/sessions.h). In simulations of a
 * queue at its limit the sequential test alone, which takes requests for independent, answered 8 %
 * too much. It is left the clear cases of "missed": many more over than allowed, from an eighth of
 * the window on. A quantile that its window left open counts by its own value, and the outcome says
 * that it only leans.
 *
 * A turn that broke at an earlier step leaves nothing here: at the window's end each that was begun
 * and is not here is over what is asked of turns, and of nothing else. So what is asked of turns is
 * not met before the end.
 *
 * Rates count what was answered within the window, whoever asked before it: requests that began in
 * it and those that ended in it are as many, but not the same ones. Quantiles of a level that was
 * left because it was missed would be those of the quick answers, and are not told.
 *
 * Rejected: taking answers for the sample as they come. Under overload the fast ones come first,
 * and a level would be called met by the very requests that overload did not hit. */
#include "trial/level.h"

#include "base/buf.h"
#include "base/clock.h"
#include "stats/sessions.h"
#include "trial/finding.h"
#include "trial/level_sample.h"

#include <assert.h>
#include <inttypes.h>
#include <math.h>
#include <string.h>

enum { REQUESTS_MAX = 1 << 22 };
/* A hiccup of the machine is no overload: the part of a window before which nothing is "too much",
 * unless it is a failure. */
enum { SOONEST = 8 };
static const double LATENESS_RATIO = 0.01, SAMPLES_LEAST = 2;
/* From so long a look on the p99 of moments 20 ms apart is not just the longest; of a shorter one
 * this part of it. */
static const double STALL_LOOK_S = 2, STALL_RATIO = 0.01;
/* More than this part of the moments 10 ms late or more: not the load that was meant. */
enum { STALL_BAND = 4 };
static const double STALL_SHARE = 0.05;
/* Of the error: what the look at half of the window may use up. */
static const double EARLY_SHARE = 0.2;
/* "Clearly too many": this part of what is not allowed on top of what is. */
static const double CLEARLY = 0.2;
/* Times its limit a value counts for at most, so that one that hangs does not hide the others. */
static const double WORST = 10;

enum request_state { REQUEST_MISSING, REQUEST_KNOWN, REQUEST_GIVEN_UP };

struct request {
    int64_t intended_ns;
    uint64_t over;                                   /* bit per bound */
    float latency_s, ttft_s, content_s, turn_s, rtf; /* NaN: none, it failed or is not there yet */
    enum request_state state;
    uint32_t session; /* whose; of one that is not there, nobody else's */
    bool in_window;
    bool broken; /* no request: its turn ended at an earlier step */
};

struct stream {
    struct request *requests; /* by number, owned */
    size_t count, capacity, next;
    double patience_s; /* the largest limit of its bounds: older than that is over */
    uint64_t fed;
};

struct level_check {
    struct level_plan plan;
    struct bound_state {
        struct stats_requirement test;
        uint64_t n, over;
        enum stats_answer answer;
    } states[LEVEL_BOUNDS_MAX];
    struct stream streams[LOAD_STREAMS_MAX];
    struct level_sample sample; /* of the searched stream */
    int64_t window_start_ns;
    uint64_t requests, failed, good, answered;
    uint64_t timed;   /* bit per bound that a slow request breaks before it has answered */
    int first_missed; /* bound, -1: none */
    bool looked;      /* at half of the window */
};

static void *grow(void *items, size_t *capacity, size_t wanted, size_t size)
{
    size_t more = *capacity ? 2 * *capacity : 256;
    while (more < wanted)
        more *= 2;
    char *grown = realloc(items, more * size);
    if (!grown)
        abort();
    memset(grown + *capacity * size, 0, (more - *capacity) * size);
    *capacity = more;
    return grown;
}

/* ---- the check ---- */

static uint64_t sample_planned(const struct level_plan *plan, const struct level_bound *bound)
{
    double smallest = (double)stats_requirement_smallest(bound->allowed, plan->error);
    double expected = plan->expected[bound->stream];
    double planned = isnan(expected) ? 10 * smallest : expected;
    return (uint64_t)fmin(fmax(planned, SAMPLES_LEAST * smallest), STATS_REQUESTS_MAX);
}

void level_plan_turns(struct level_plan *plan, const struct load_plan *load)
{
    for (size_t s = 0; s < load->stream_count; s++) {
        size_t first = s;
        while (load->streams[first].arrivals == ARRIVALS_AFTER)
            first = load->streams[first].after;
        plan->begun[s] = first == s ? 0 : first + 1;
        plan->turns[s] = first == s ? load_share_of(load, s).count : 0;
    }
}

struct level_check *level_check_new(const struct level_plan *plan)
{
    assert(plan->bound_count <= LEVEL_BOUNDS_MAX);
    struct level_check *check = calloc(1, sizeof *check);
    if (!check)
        abort();
    check->plan = *plan;
    check->first_missed = -1;
    for (size_t b = 0; b < plan->bound_count; b++) {
        const struct level_bound *bound = &plan->bounds[b];
        struct stream *stream = &check->streams[bound->stream];
        if (bound->metric != METRIC_ERRORS)
            check->timed |= UINT64_C(1) << b;
        if (level_is_own_time(bound->metric) && bound->limit > stream->patience_s)
            stream->patience_s = bound->limit;
        /* Depends on the clip, or counts from another's send: its answer has to come. */
        if (bound->metric == METRIC_RTF || bound->metric == METRIC_TURN)
            stream->patience_s = INFINITY;
        if (bound->allowed > 0)
            check->states[b].test =
                stats_requirement_init(bound->allowed, plan->error, sample_planned(plan, bound));
    }
    return check;
}

struct level_check *level_check_free(struct level_check *check)
{
    if (!check)
        return NULL;
    for (size_t s = 0; s < ARRAY_LEN(check->streams); s++)
        free(check->streams[s].requests);
    level_sample_done(&check->sample);
    free(check);
    return NULL;
}

/* By when it ended, whatever part it was meant for: what the warm-up asked is answered in the
 * window, as what the window asked is answered after it. */
static void count_answer(struct level_check *check, const struct load_record *r)
{
    const struct finding_limits *limits = check->plan.limits;
    const int64_t into_ns = r->done_ns - check->window_start_ns;
    if (r->error != LOAD_OK || r->part == LOAD_PROBE || into_ns < 0 ||
        into_ns >= check->plan.window_ns)
        return;
    check->answered++;
    check->good += !limits || finding_is_good(limits, r);
}

static void count_searched(struct level_check *check, const struct load_record *r)
{
    check->requests++;
    check->failed += r->error != LOAD_OK;
    if (r->error == LOAD_OK)
        level_sample_add(&check->sample, r, check->plan.metric);
}

static void miss(struct level_check *check, size_t b)
{
    check->states[b].answer = STATS_MISSED;
    if (check->first_missed < 0)
        check->first_missed = (int)b;
}

/* One that was given up as slow has failed after all. */
static void note_failure(struct level_check *check, const struct load_record *r, uint64_t over)
{
    for (size_t b = 0; b < check->plan.bound_count; b++) {
        struct bound_state *state = &check->states[b];
        if (check->plan.bounds[b].stream != r->stream || !(over >> b & 1))
            continue;
        state->over++;
        if (check->plan.bounds[b].allowed == 0)
            miss(check, b);
    }
}

void level_check_begin(struct level_check *check, int64_t window_start_ns)
{
    check->window_start_ns = window_start_ns;
}

void level_check_add(struct level_check *check, const struct load_record *r)
{
    uint64_t over = 0;
    const bool counts = r->part == LOAD_WINDOW && r->error != LOAD_RELOAD;
    assert(r->stream < LOAD_STREAMS_MAX);
    struct stream *stream = &check->streams[r->stream];
    for (size_t b = 0; b < check->plan.bound_count; b++)
        if (check->plan.bounds[b].stream == r->stream &&
            level_bound_over(&check->plan.bounds[b], r))
            over |= UINT64_C(1) << b;
    if (r->stream == check->plan.stream) {
        count_answer(check, r);
        if (counts)
            count_searched(check, r);
    }
    if (r->sequence >= REQUESTS_MAX)
        return;
    if (r->sequence >= stream->capacity)
        stream->requests = grow(stream->requests, &stream->capacity, (size_t)r->sequence + 1,
                                sizeof *stream->requests);
    if (r->sequence >= stream->count)
        stream->count = (size_t)r->sequence + 1;
    struct request *request = &stream->requests[r->sequence];
    if (request->state == REQUEST_GIVEN_UP && request->in_window && counts)
        note_failure(check, r, over & ~check->timed);
    if (request->state != REQUEST_MISSING)
        return;
    *request = (struct request){.intended_ns = r->intended_ns,
                                .over = over,
                                .latency_s = (float)level_value_of(METRIC_LATENCY, r),
                                .ttft_s = (float)level_value_of(METRIC_TTFT, r),
                                .content_s = (float)level_value_of(METRIC_CONTENT, r),
                                .turn_s = (float)level_value_of(METRIC_TURN, r),
                                .rtf = (float)level_value_of(METRIC_RTF, r),
                                .state = REQUEST_KNOWN,
                                .session = r->session,
                                .in_window = counts};
}

/* A turn that broke before is nothing that this stream was asked. */
static bool is_about(const struct level_bound *bound, const struct request *request)
{
    return !request->broken || bound->metric == METRIC_TURN;
}

static void feed(struct level_check *check, size_t s, const struct request *request)
{
    check->streams[s].fed += !request->broken;
    for (size_t b = 0; b < check->plan.bound_count; b++) {
        const struct level_bound *bound = &check->plan.bounds[b];
        struct bound_state *state = &check->states[b];
        bool is = request->over >> b & 1;
        if (bound->stream != s || !is_about(bound, request))
            continue;
        state->n++;
        state->over += is;
        if (bound->allowed > 0)
            stats_requirement_add(&state->test, is);
        else if (is)
            miss(check, b);
    }
}

/* A hole: lost for good, or older than its limit, since a successor that left after it is. */
static bool may_pass(const struct level_check *check, size_t s, int64_t now_ns, size_t step,
                     bool *ret_in_window)
{
    const struct stream *stream = &check->streams[s];
    for (size_t i = stream->next + step; step > 0 && i < stream->count; i += step) {
        const struct request *later = &stream->requests[i];
        if (later->state != REQUEST_KNOWN)
            continue;
        *ret_in_window = later->in_window;
        return (double)(now_ns - later->intended_ns) / NS_PER_S > stream->patience_s &&
               stream->patience_s > 0;
    }
    return false;
}

/* Is it held up by a hole that may be one of the slow ones? */
static bool is_held_up(const struct level_check *check, size_t s, int64_t now_ns)
{
    const struct stream *stream = &check->streams[s];
    bool in_window = false;
    return stream->next < stream->count &&
           stream->requests[stream->next].state == REQUEST_MISSING &&
           may_pass(check, s, now_ns, 1, &in_window);
}

/* Was the turn of this number begun in the window? */
static bool was_begun(const struct level_check *check, size_t s, size_t n)
{
    const size_t begun = check->plan.begun[s];
    const struct stream *first = begun ? &check->streams[begun - 1] : NULL;
    return first && n < first->count && first->requests[n].state == REQUEST_KNOWN &&
           first->requests[n].in_window;
}

static void advance(struct level_check *check, size_t s, int64_t now_ns, bool all_there)
{
    struct stream *stream = &check->streams[s];
    while (stream->next < stream->count) {
        struct request *request = &stream->requests[stream->next];
        bool in_window = request->in_window;
        if (request->state == REQUEST_MISSING) {
            bool pass =
                !all_there && may_pass(check, s, now_ns, (size_t)check->plan.turns[s], &in_window);
            if (!pass && !all_there)
                return;
            request->state = REQUEST_GIVEN_UP;
            request->over = check->timed;
            request->latency_s = request->ttft_s = request->content_s = NAN;
            request->turn_s = request->rtf = NAN;
            request->session = UINT32_MAX - (uint32_t)stream->next;
            request->broken = all_there && was_begun(check, s, stream->next);
            /* One that never left is nothing, but for its turn. */
            request->in_window = in_window = request->broken || (pass && in_window);
        }
        if (in_window)
            feed(check, s, request);
        stream->next++;
    }
}

/* ---- the looks ---- */

static double value_at(const struct level_bound *bound, size_t b, const struct request *request)
{
    if (bound->metric == METRIC_ERRORS)
        return request->over >> b & 1;
    double value = bound->metric == METRIC_TTFT      ? request->ttft_s
                   : bound->metric == METRIC_CONTENT ? request->content_s
                   : bound->metric == METRIC_TURN    ? request->turn_s
                   : bound->metric == METRIC_RTF     ? request->rtf
                                                     : request->latency_s;
    double worst = WORST * bound->limit;
    return value < worst ? value : worst; /* NaN as well */
}

/* How many independent requests those fed so far are worth. */
static double worth_of(const struct level_check *check, size_t b)
{
    const struct level_bound *bound = &check->plan.bounds[b];
    const struct stream *stream = &check->streams[bound->stream];
    AUTO(free) double *values = calloc(stream->next + 1, sizeof *values);
    AUTO(free) uint32_t *sessions = calloc(stream->next + 1, sizeof *sessions);
    size_t count = 0;
    if (!values || !sessions)
        abort();
    for (size_t i = 0; i < stream->next; i++)
        if (stream->requests[i].in_window && is_about(bound, &stream->requests[i])) {
            values[count] = value_at(bound, b, &stream->requests[i]);
            sessions[count++] = stream->requests[i].session;
        }
    const struct stats_series series = {.values = values, .n = count};
    double limit = bound->metric == METRIC_ERRORS ? 0.5 : bound->limit;
    double worth = count ? stats_sessions_worth(&series, sessions, limit) : 0;
    return isnan(worth) ? (double)count : worth;
}

/* What is allowed to be over, on the evidence so far; those that are never allowed are met as long
 * as there is none. */
static void look_at(struct level_check *check, double error, int64_t now_ns)
{
    for (size_t b = 0; b < check->plan.bound_count; b++) {
        const struct level_bound *bound = &check->plan.bounds[b];
        struct bound_state *state = &check->states[b];
        if (state->answer != STATS_OPEN || state->n == 0 ||
            is_held_up(check, bound->stream, now_ns))
            continue;
        enum stats_answer answer = STATS_MET;
        if (bound->allowed > 0)
            answer = stats_requirement_fixed(bound->allowed, error, state->n, state->over,
                                             worth_of(check, b));
        if (answer == STATS_MISSED)
            miss(check, b);
        else if (bound->metric != METRIC_TURN || now_ns == CLOCK_NEVER)
            state->answer = bound->allowed > 0 ? answer : STATS_OPEN;
    }
}

/* So many over that no later request could make up for it. */
static void look_for_clear_misses(struct level_check *check)
{
    for (size_t b = 0; b < check->plan.bound_count; b++) {
        double allowed = check->plan.bounds[b].allowed;
        const struct bound_state *state = &check->states[b];
        if (allowed > 0 && state->answer == STATS_OPEN && state->test.answer == STATS_MISSED &&
            (double)state->over >= (allowed + CLEARLY * (1 - allowed)) * (double)state->n)
            miss(check, b);
    }
}

static bool all_met(const struct level_check *check)
{
    size_t tested = 0;
    for (size_t b = 0; b < check->plan.bound_count; b++) {
        bool is_test = check->plan.bounds[b].allowed > 0;
        if (check->plan.bounds[b].metric == METRIC_TURN)
            return false;
        if (is_test ? check->states[b].answer != STATS_MET : check->states[b].n == 0)
            return false;
        tested += is_test;
    }
    return tested > 0; /* that not one is over is not shown before the end */
}

enum stats_answer level_check_look(struct level_check *check, int64_t now_ns)
{
    for (size_t s = 0; s < ARRAY_LEN(check->streams); s++)
        advance(check, s, now_ns, false);
    int64_t into_ns = now_ns - check->window_start_ns;
    bool halfway = into_ns >= check->plan.window_ns / 2;
    if (into_ns >= check->plan.window_ns / SOONEST)
        look_for_clear_misses(check);
    if (halfway && !check->looked && check->first_missed < 0) {
        check->looked = true;
        look_at(check, EARLY_SHARE * check->plan.error, now_ns);
    }
    if (check->first_missed >= 0)
        return STATS_MISSED;
    return check->looked && !check->plan.has_more && all_met(check) ? STATS_MET : STATS_OPEN;
}

/* ---- the end ---- */

/* Requests of the searched stream before this time have all ended, unless the level was left for
 * those that had not: then nothing is told of any. */
static int64_t told_until_ns(const struct level_check *check, bool early)
{
    const struct stream *stream = &check->streams[check->plan.stream];
    if (!early)
        return CLOCK_NEVER;
    if (check->first_missed >= 0 || stream->next == 0)
        return INT64_MIN;
    return stream->requests[stream->next - 1].intended_ns + 1;
}

static const char *describe(const struct level_check *check, size_t b, struct arena *arena)
{
    const struct bound_state *state = &check->states[b];
    if (state->n == 0)
        return arena_printf(arena, "%s: no request of it was counted", check->plan.bounds[b].text);
    return arena_printf(arena, "%s: %" PRIu64 " of %" PRIu64 " %s", check->plan.bounds[b].text,
                        state->over, state->n,
                        check->plan.bounds[b].metric == METRIC_ERRORS ? "failed" : "over");
}

const char *level_check_missed(const struct level_check *check, struct arena *arena)
{
    return check->first_missed < 0 ? NULL : describe(check, (size_t)check->first_missed, arena);
}

bool level_check_missed_counts(const struct level_check *check, size_t *ret_bound,
                               struct store_requirement *ret_counts)
{
    if (check->first_missed < 0)
        return false;
    const size_t b = (size_t)check->first_missed;
    const struct level_bound *bound = &check->plan.bounds[b];
    *ret_bound = b;
    *ret_counts = (struct store_requirement){
        .text = bound->text,
        .allowed = bound->allowed,
        .requests = (int64_t)check->states[b].n,
        .over = (int64_t)check->states[b].over,
        .of = bound->metric == METRIC_TURN ? "turns" : "requests",
        .worth = worth_of(check, b),
        .answer = "missed",
    };
    return true;
}

/* In a closed loop no send is late for a standstill of ours: a client is free only when its answer
 * was noticed. It adds to times, so that what was missed may be our doing. A short look has so few
 * of the loop's moments that their p99 is the longest of them: it then has to be as long as 1 % of
 * the look. */
static bool stood_still(const struct load_report *report, double bound_s, double looked_s)
{
    return report->stall_p99_s > bound_s &&
           (looked_s >= STALL_LOOK_S || report->stall_max_s > STALL_RATIO * looked_s);
}

/* It takes from the load too: what was met with clients that were kept waiting was not asked for.
 */
static bool asked_less(const struct load_report *report)
{
    uint64_t moments = 0, late = 0;
    for (size_t band = 0; band < ARRAY_LEN(report->stalls); band++) {
        moments += report->stalls[band];
        late += band >= STALL_BAND ? report->stalls[band] : 0;
    }
    return (double)late > STALL_SHARE * (double)moments;
}

static bool we_were_late(const struct level_check *check, const struct load_report *report,
                         enum stats_level outcome, double looked_s, struct arena *arena)
{
    double relative_s = LATENESS_RATIO * level_sample_median_s(&check->sample, arena);
    double bound_s = relative_s > check->plan.lateness_s ? relative_s : check->plan.lateness_s;
    bool met = outcome == LEVEL_MET || outcome == LEVEL_LEANS_MET;
    return report->lateness_p99_s > bound_s ||
           (stood_still(report, bound_s, looked_s) && (!met || asked_less(report)));
}

static enum stats_level outcome_of(const struct level_check *check, size_t *ret_bound)
{
    enum stats_level outcome = LEVEL_MET;
    if (check->first_missed >= 0) {
        *ret_bound = (size_t)check->first_missed;
        return LEVEL_MISSED;
    }
    for (size_t b = 0; b < check->plan.bound_count; b++) {
        const struct level_bound *bound = &check->plan.bounds[b];
        const struct bound_state *state = &check->states[b];
        if (state->answer == STATS_MET || (bound->allowed == 0 && state->n > 0))
            continue;
        if (state->n > 0 && (double)state->over <= bound->allowed * (double)state->n) {
            outcome = outcome == LEVEL_MET ? LEVEL_LEANS_MET : outcome;
        } else if (outcome != LEVEL_LEANS_MISSED) {
            outcome = LEVEL_LEANS_MISSED;
            *ret_bound = b;
        }
    }
    return outcome;
}

/* As many numbers as turns were begun: those at the end may have broken. */
static void reach(struct level_check *check, size_t s)
{
    struct stream *stream = &check->streams[s];
    size_t begun = check->plan.begun[s] ? check->streams[check->plan.begun[s] - 1].count : 0;
    if (begun > stream->capacity)
        stream->requests =
            grow(stream->requests, &stream->capacity, begun, sizeof *stream->requests);
    if (begun > stream->count)
        stream->count = begun;
}

enum stats_level level_check_close(struct level_check *check, int64_t until_ns,
                                   const struct load_report *report, struct arena *arena,
                                   struct store_capacity_point *ret_point)
{
    int64_t looked_ns = until_ns == CLOCK_NEVER ? INT64_MAX : until_ns - check->window_start_ns;
    bool early = looked_ns < check->plan.window_ns;
    double looked_s = (double)(early ? looked_ns : check->plan.window_ns) / NS_PER_S;
    size_t bound = 0;
    for (size_t s = 0; s < ARRAY_LEN(check->streams) && !early; s++) {
        reach(check, s);
        advance(check, s, CLOCK_NEVER, true);
    }
    if (!early)
        look_at(check, (1 - EARLY_SHARE) * check->plan.error, CLOCK_NEVER);
    enum stats_level outcome = outcome_of(check, &bound);
    const char *broke = outcome == LEVEL_MISSED || outcome == LEVEL_LEANS_MISSED
                            ? describe(check, bound, arena)
                            : NULL;
    if (we_were_late(check, report, outcome, looked_s, arena)) {
        outcome = LEVEL_OWN_LIMIT;
        broke = NULL; /* it may be our own doing */
    }
    *ret_point = (struct store_capacity_point){
        .window_s = looked_s,
        .early = early,
        .requests = (int64_t)check->requests,
        .failed = (int64_t)check->failed,
        .answered_rps = looked_s > 0 ? (double)check->answered / looked_s : NAN,
        .good_rps = looked_s > 0 ? (double)check->good / looked_s : NAN,
        .broke = broke,
    };
    level_sample_tell(&check->sample, told_until_ns(check, early), arena, ret_point);
    return outcome;
}

uint64_t level_check_count(const struct level_check *check, size_t stream)
{
    return check->streams[stream].fed;
}
