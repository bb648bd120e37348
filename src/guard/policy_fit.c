/* Does a tier keep the limit, and has it the memory?
 *
 * Two predictions, and the worse one counts: the measured curve at the present rate of arrivals
 * (which is right once the rate has lasted), and what is already there (which is right at once): a
 * server that answers at most `most_rps` and has n requests needs (n + 1) / most_rps for the next
 * one. Where that is not known, Little's law gives the same from the arrivals and from how much of
 * the time it is busy. Beside them stands what its answers took: a tier that is over its limit is
 * over it whatever was predicted.
 *
 * The rate is known with doubt, and the doubt falls on either side: to go down the rate that is
 * certain counts, to go up the one that may well be. So noise in arrivals moves nothing, and all
 * that promises also keeps.
 *
 * Rejected: one smoothed rate. It is late where lateness costs, or shakes where calm is wanted.
 *
 * Invariant: with fewer requests or more free memory no tier keeps, promises or has room less. */
#include "guard/policy_fit.h"

#include "base/clock.h"
#include "base/text.h"
#include "stats/binomial.h"

#include <math.h>

/* Going up asks that this much of the limit is enough. */
static const double MARGIN = 0.8;
/* A backlog that grows is acted upon when the next request would take this much of the limit. */
static const double EARLY = 0.8;
/* Answers that a percentile needs, and how sure a miss must be. */
static const uint64_t ANSWERS_MIN = 20;
static const double MISS_ERROR = 0.01;
/* Its memory may come out a little larger than when it was measured. */
static const double PEAK_SLACK_RATIO = 1.0 / 32;

double policy_peak_bytes(const struct policy_tier *tier)
{
    return tier->peak_bytes * (1 + PEAK_SLACK_RATIO);
}

double policy_room_bytes(const struct policy_input *input)
{
    return input->free_bytes - fmax(input->owed_bytes, 0);
}

bool policy_is_pressed(const struct policy_front *front, const struct policy_input *input)
{
    return policy_room_bytes(input) < front->reserve_bytes; /* unknown is no evidence */
}

static bool is_idle(const struct policy_state *state, const struct policy_front *front,
                    const struct policy_input *input, size_t t)
{
    const struct policy_tier *tier = &front->tiers[t];
    const struct policy_seen *seen = &input->tiers[t];
    return tier->managed && !tier->resident && seen->power == POWER_ON &&
           (int)t != state->current && seen->in_flight + seen->waiting < 1 &&
           !(seen->pinned_ratio > 0);
}

/* A resident one that is down was stopped by somebody, or systemd is not to start it again. That is
 * theirs to say for as long as another can answer. */
static bool is_left_off(const struct policy_front *front, const struct policy_input *input,
                        size_t t)
{
    bool usable = false;
    for (size_t k = 0; k < front->count; k++)
        usable |= input->tiers[k].power == POWER_ON && input->tiers[k].usable;
    return front->tiers[t].resident && usable;
}

/* `more_bytes`: that come back from others. */
static bool has_room(const struct policy_front *front, const struct policy_input *input, size_t t,
                     double more_bytes)
{
    const struct policy_tier *tier = &front->tiers[t];
    const struct policy_seen *seen = &input->tiers[t];
    double room = policy_room_bytes(input) - input->promised_bytes + more_bytes;
    if (seen->power == POWER_GOING)
        return false;
    if (seen->power == POWER_OFF)
        return tier->managed && !seen->resting && !is_left_off(front, input, t) &&
               room - policy_peak_bytes(tier) >= front->reserve_bytes;
    double growth = tier->peak_bytes - seen->held_bytes;
    if (growth > 0 && !isnan(room) && room - growth < front->reserve_bytes)
        return false;
    return tier->resident || !tier->managed || !policy_is_pressed(front, input);
}

/* Of all requests those that it would get: not what is pinned elsewhere. */
static double share_of(const struct policy_front *front, const struct policy_input *input, size_t t)
{
    double elsewhere = 0;
    for (size_t k = 0; k < front->count; k++)
        if (k != t && input->tiers[k].pinned_ratio > 0)
            elsewhere += input->tiers[k].pinned_ratio;
    return fmax(0, 1 - elsewhere);
}

/* What the next request would take for those that are there. Two that happen to meet are no queue:
 * without a measured `most`, one request takes the share of the time that the tier is busy, over
 * the rate. */
static double wait_of(const struct policy_state *state, const struct policy_front *front,
                      const struct policy_input *input, size_t t, double backlog)
{
    double most = front->tiers[t].curve.most_rps;
    if (backlog < 1)
        return 0; /* what one request takes by itself is the curve's to say */
    if (most > 0)
        return (backlog + 1) / most;
    if (input->tiers[t].answers == 0 || backlog < 2 || !(input->rate_rps > 0))
        return 0;
    return (int)t == state->current ? (backlog + 1) * state->busy_ratio / input->rate_rps
                                    : backlog / input->rate_rps;
}

static bool is_seen_missing(const struct policy_front *front, const struct policy_seen *seen)
{
    double allowed = 1 - front->quantile;
    if (seen->answers < ANSWERS_MIN || (double)seen->over <= allowed * (double)seen->answers)
        return false;
    return exp(stats_binomial_log_sf(seen->over - 1, seen->answers, allowed)) < MISS_ERROR;
}

static bool is_trusted(const struct policy_state *state, const struct policy_front *front,
                       const struct policy_input *input, size_t t)
{
    const struct policy_seen *seen = &input->tiers[t];
    if ((int)t != state->current)
        return false;
    return (state->trial == (int)t && input->now_ns < state->trial_until_ns) ||
           (seen->answers >= ANSWERS_MIN && seen->latency_s <= front->limit_s);
}

static enum policy_why why_of(const struct policy_state *state, const struct policy_front *front,
                              const struct policy_input *input, const struct policy_fit *fit,
                              size_t t)
{
    bool is_current = (int)t == state->current;
    double limit = front->limit_s;
    if (fit->wait_s > limit)
        return WHY_BACKLOG;
    if (isnan(fit->rate_rps))
        return is_current ? WHY_KEEPS : WHY_UNKNOWN; /* too early to say anything */
    if (fit->now.least_s > limit || fit->now.latency_s > limit)
        return WHY_RATE;
    if (is_current && is_seen_missing(front, &input->tiers[t]))
        return WHY_SEEN;
    if (is_current && fit->backlog >= 2 && fit->backlog > state->backlog &&
        fit->wait_s > EARLY * limit) {
        double rate = input->rate_rps * share_of(front, input, t);
        double most = front->tiers[t].curve.most_rps;
        struct policy_forecast soon =
            policy_forecast(&front->tiers[t].curve, &state->learned[t], rate, input->now_ns);
        if (most > 0 ? rate >= most : !(soon.latency_s <= limit))
            return WHY_GROWING;
    }
    if (isnan(fit->now.latency_s))
        return is_trusted(state, front, input, t) ? WHY_KEEPS : WHY_UNKNOWN;
    return WHY_KEEPS;
}

static struct policy_fit fit_of(const struct policy_state *state, const struct policy_front *front,
                                const struct policy_input *input, size_t t)
{
    const struct policy_curve *curve = &front->tiers[t].curve;
    const struct policy_seen *seen = &input->tiers[t];
    double share = share_of(front, input, t);
    struct policy_fit fit = {.rate_rps = input->rate_low_rps * share,
                             .high_rps = input->rate_high_rps * share,
                             .backlog = fmax(seen->in_flight + seen->waiting, 0),
                             .room = has_room(front, input, t, 0),
                             .idle = is_idle(state, front, input, t)};
    fit.now = policy_forecast(curve, &state->learned[t], fit.rate_rps, input->now_ns);
    fit.high_s = policy_forecast(curve, &state->learned[t], fit.high_rps, input->now_ns).latency_s;
    if (isnan(fit.rate_rps))
        fit.now = (struct policy_forecast){.latency_s = NAN};
    if (isnan(fit.high_rps))
        fit.high_s = NAN;
    fit.wait_s = wait_of(state, front, input, t, fit.backlog);
    /* What is there now would come to a better one too, and take longer there. */
    if (state->current > (int)t) {
        const struct policy_seen *serving = &input->tiers[state->current];
        double both = fit.backlog + fmax(serving->in_flight + serving->waiting, 0);
        fit.wait_s = wait_of(state, front, input, t, both);
    }
    fit.why = why_of(state, front, input, &fit, t);
    fit.keeps = fit.why == WHY_KEEPS;
    fit.promises = fit.keeps && fit.now.latency_s <= MARGIN * front->limit_s &&
                   fit.wait_s <= MARGIN * front->limit_s;
    fit.certain = fit.promises && fit.high_s <= MARGIN * front->limit_s;
    return fit;
}

void policy_fit_all(const struct policy_state *state, const struct policy_front *front,
                    const struct policy_input *input, struct policy_fit ret_fits[SPEC_TIERS_MAX])
{
    double idle_bytes = 0;
    for (size_t t = 0; t < front->count; t++) {
        ret_fits[t] = fit_of(state, front, input, t);
        /* One that will be gone up to is no room for another. */
        ret_fits[t].idle = ret_fits[t].idle && !ret_fits[t].promises;
        if (ret_fits[t].idle && input->tiers[t].held_bytes > 0)
            idle_bytes += input->tiers[t].held_bytes;
    }
    for (size_t t = 0; t < front->count; t++)
        ret_fits[t].could = has_room(front, input, t, ret_fits[t].idle ? 0 : idle_bytes);
}

static void add_time(struct buf *buf, const char *before, double seconds, const char *after)
{
    buf_add(buf, before);
    text_add_duration(buf, seconds);
    buf_add(buf, after);
}

void policy_fit_add_why(struct buf *buf, const struct policy_state *state,
                        const struct policy_front *front, const struct policy_input *input,
                        const struct policy_fit *fit, size_t t)
{
    const char *name = front->tiers[t].name;
    double least = fmax(fit->now.least_s, isnan(fit->now.latency_s) ? 0 : fit->now.latency_s);
    switch (fit->why) {
    case WHY_RATE:
        buf_addf(buf, "%s takes p%g ", name, 100 * front->quantile);
        add_time(buf, "", least, isnan(fit->now.latency_s) ? " or more" : "");
        buf_addf(buf, " at %.3g requests/s", fit->rate_rps);
        break;
    case WHY_BACKLOG:
    case WHY_GROWING:
        buf_addf(buf, "%g requests at %s", fit->backlog, name);
        if (fit->why == WHY_GROWING)
            buf_addf(buf, " and growing (%g before), %.3g/s come", state->backlog, input->rate_rps);
        add_time(buf, ", the next would take ", fit->wait_s, "");
        break;
    case WHY_SEEN:
        buf_addf(buf, "%s has p%g ", name, 100 * front->quantile);
        add_time(buf, "", input->tiers[t].latency_s, "");
        buf_addf(buf, ", %llu of %llu answers too slow", (unsigned long long)input->tiers[t].over,
                 (unsigned long long)input->tiers[t].answers);
        break;
    case WHY_UNKNOWN:
        buf_addf(buf, "nothing is known of %s at %.3g requests/s", name, fit->rate_rps);
        break;
    default:
        buf_addf(buf, "%s keeps p%g ", name, 100 * front->quantile);
        add_time(buf, "", fit->now.latency_s, "");
        buf_addf(buf, " at %.3g requests/s", fit->rate_rps);
        break;
    }
    add_time(buf, ", limit ", front->limit_s, "");
}
