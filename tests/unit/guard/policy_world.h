/* A front with two tiers, looked at once a second by the policy, which does what it says: what
 * tests of guard/policy.c share. */
#pragma once

#include "guard/policy.h"

#include "base/clock.h"
#include "check.h"

#include <math.h>
#include <string.h>

#define MIB 1048576.0

struct world {
    struct policy_front front;
    struct policy_state state;
    struct policy_input input;
    struct policy_choice choice;
    double total_bytes, others_bytes;
    double in_flight; /* at the current tier; NaN: each as it is */
    int coming;       /* steps until what was started is on */
    int switches, forced;
};

static inline struct policy_tier make_tier(const char *name, double most_rps, double fast_s,
                                           double peak_bytes, bool resident)
{
    struct policy_tier tier = {
        .name = name, .resident = resident, .managed = true, .peak_bytes = peak_bytes};
    tier.curve.most_rps = most_rps;
    policy_curve_add(&tier.curve, 0.2 * most_rps, fast_s);
    policy_curve_add(&tier.curve, 0.8 * most_rps, 2 * fast_s);
    policy_curve_add(&tier.curve, 1.0 * most_rps, 10 * fast_s);
    return tier;
}

/* base keeps 1 s up to 0.8/s or so, tiny up to 8/s. Both on. */
static inline struct world make_world(bool base_resident)
{
    struct world w = {.state = policy_init(),
                      .total_bytes = 4096 * MIB,
                      .others_bytes = 1024 * MIB,
                      .in_flight = NAN};
    w.front = (struct policy_front){.count = 2,
                                    .limit_s = 1,
                                    .quantile = 0.95,
                                    .reserve_bytes = 256 * MIB,
                                    .switches_per_minute = 4,
                                    .up_after_ns = 10 * NS_PER_S};
    w.front.tiers[0] = make_tier("base", 1, 0.45, 800 * MIB, base_resident);
    w.front.tiers[1] = make_tier("tiny", 10, 0.045, 200 * MIB, true);
    w.input = (struct policy_input){.now_ns = NS_PER_S, .current = 0};
    for (int t = 0; t < SPEC_TIERS_MAX; t++)
        w.input.tiers[t] = (struct policy_seen){.power = POWER_ON,
                                                .usable = true,
                                                .held_bytes = NAN,
                                                .latency_s = NAN,
                                                .mean_rps = NAN,
                                                .most_rps = NAN};
    return w;
}

static inline void set_rate(struct world *w, double rate_rps)
{
    w->input.rate_rps = w->input.rate_low_rps = w->input.rate_high_rps = rate_rps;
}

/* One second: memory as it is, the policy's word, and what follows from it. */
static inline void step(struct world *w)
{
    struct policy_input *in = &w->input;
    double held = 0;
    in->now_ns += NS_PER_S;
    for (size_t t = 0; t < w->front.count; t++) {
        struct policy_seen *seen = &in->tiers[t];
        bool here = seen->power == POWER_ON || seen->power == POWER_COMING;
        double peak = w->front.tiers[t].peak_bytes;
        if (!isnan(w->in_flight))
            seen->in_flight = (int)t == in->current ? w->in_flight : 0;
        held += here && !isnan(peak) ? peak : 0;
        seen->held_bytes = here ? peak : NAN;
    }
    in->free_bytes = w->total_bytes - w->others_bytes - held;
    w->choice = policy_step(&w->state, &w->front, in);
    w->switches += w->choice.switched;
    w->forced += w->choice.forced;
    in->current = w->choice.tier;
    for (size_t t = 0; t < w->front.count; t++) {
        struct policy_seen *seen = &in->tiers[t];
        if (seen->power == POWER_GOING)
            seen->power = POWER_OFF;
        else if (seen->power == POWER_COMING && --w->coming <= 0)
            seen->power = POWER_ON;
        seen->usable = seen->power == POWER_ON;
    }
    if (w->choice.stop >= 0) {
        in->tiers[w->choice.stop].power = POWER_GOING;
        in->tiers[w->choice.stop].usable = false;
    }
    if (w->choice.start >= 0) {
        in->tiers[w->choice.start].power = POWER_COMING;
        w->coming = 3;
    }
}

static inline void steps(struct world *w, int n)
{
    for (int i = 0; i < n; i++)
        step(w);
}

static inline bool says(const struct world *w, const char *words)
{
    if (!strstr(w->choice.reason, words))
        print_message("reason: %s\n", w->choice.reason);
    return strstr(w->choice.reason, words) != NULL;
}
