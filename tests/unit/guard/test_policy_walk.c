/* Properties of the policy over random walks: seeds are fixed, worlds are many, each goes through
 * whatever may come. What single situations lead to is in test_policy.c. */
#include "guard/policy.h"
#include "guard/policy_fit.h"

#include "check.h"

#include "base/clock.h"
#include "base/rng.h"
#include "guard/tier_load.h"

#include <math.h>

#define MIB 1048576.0

struct world {
    struct policy_front front;
    struct policy_state state;
    struct policy_input input;
    struct policy_choice choice;
    double total_bytes, others_bytes;
    int coming[SPEC_TIERS_MAX]; /* steps until what was started is on, or has failed */
    bool fails[SPEC_TIERS_MAX]; /* it does not come up */
    bool dead[SPEC_TIERS_MAX];  /* it runs, and HAProxy can't use it */
    /* For a quarter of an hour: it has no requests; it is pinned by some. */
    bool quiet[SPEC_TIERS_MAX], pinned[SPEC_TIERS_MAX];
    bool spared; /* nobody dies, memory stays */
};

static double draw(struct rng *rng, double low, double high)
{
    return low + (high - low) * rng_unit(rng);
}

static struct policy_tier random_tier(struct rng *rng, const char *name)
{
    struct policy_tier tier = {.name = name,
                               .resident = rng_below(rng, 2),
                               .managed = true,
                               .peak_bytes = draw(rng, 50, 2000) * MIB};
    const double most_rps = draw(rng, 0.2, 20), fast_s = draw(rng, 0.02, 3);
    tier.curve.most_rps = most_rps;
    policy_curve_add(&tier.curve, 0.2 * most_rps, fast_s);
    policy_curve_add(&tier.curve, 0.8 * most_rps, 2 * fast_s);
    policy_curve_add(&tier.curve, most_rps, 10 * fast_s);
    if (rng_below(rng, 6) == 0)
        tier.curve = (struct policy_curve){.most_rps = NAN};
    if (rng_below(rng, 5) == 0)
        tier.managed = !(tier.resident = true);
    return tier;
}

static struct world random_world(struct rng *rng)
{
    static const char *const names[] = {"large", "medium", "small", "base", "tiny"};
    struct world w = {.state = policy_init()};
    w.front = (struct policy_front){.count = 2 + (size_t)rng_below(rng, 4),
                                    .limit_s = draw(rng, 0.1, 5),
                                    .quantile = 0.95,
                                    .reserve_bytes = 256 * MIB,
                                    .switches_per_minute = 1 + (int)rng_below(rng, 6),
                                    .up_after_ns = (int64_t)(draw(rng, 1, 40) * NS_PER_S)};
    w.input = (struct policy_input){.now_ns = NS_PER_S, .current = -1};
    for (size_t t = 0; t < w.front.count; t++) {
        w.front.tiers[t] = random_tier(rng, names[t]);
        w.input.tiers[t] = (struct policy_seen){
            .power = !w.front.tiers[t].managed || rng_below(rng, 2) ? POWER_ON : POWER_OFF,
            .held_bytes = NAN,
            .latency_s = NAN,
            .mean_rps = NAN,
            .most_rps = NAN};
    }
    w.total_bytes = draw(rng, 2000, 12000) * MIB;
    return w;
}

static bool is_on(const struct world *w, int t)
{
    return w->input.tiers[t].power == POWER_ON && w->input.tiers[t].usable;
}

static int usable(const struct world *w)
{
    int found = 0;
    for (int t = 0; t < (int)w->front.count; t++)
        found += is_on(w, t);
    return found;
}

/* What the next look sees: memory by who is there, and who can answer. */
static void see(struct world *w)
{
    double held = 0;
    w->input.now_ns += NS_PER_S;
    for (size_t t = 0; t < w->front.count; t++) {
        struct policy_seen *seen = &w->input.tiers[t];
        seen->held_bytes = seen->power == POWER_OFF ? NAN : w->front.tiers[t].peak_bytes;
        held += seen->held_bytes > 0 ? seen->held_bytes : 0;
        seen->usable = seen->power == POWER_ON && !w->dead[t];
    }
    w->input.free_bytes = fmax(0, w->total_bytes - w->others_bytes - held);
}

/* And what comes of the choice. */
static void follow(struct world *w)
{
    for (size_t t = 0; t < w->front.count; t++) {
        struct policy_seen *seen = &w->input.tiers[t];
        seen->resting = false;
        if (seen->power == POWER_GOING)
            seen->power = POWER_OFF;
        else if (seen->power == POWER_COMING && --w->coming[t] <= 0) {
            seen->power = w->fails[t] ? POWER_OFF : POWER_ON;
            seen->resting = w->fails[t];
        }
    }
    if (w->choice.tier >= 0)
        w->input.current = w->choice.tier;
    if (w->choice.stop >= 0)
        w->input.tiers[w->choice.stop].power = POWER_GOING;
    if (w->choice.start >= 0) {
        w->input.tiers[w->choice.start].power = POWER_COMING;
        w->coming[w->choice.start] = 3;
    }
}

static void change_habits(struct world *w, struct rng *rng)
{
    w->spared = rng_below(rng, 2);
    for (size_t t = 0; t < w->front.count; t++) {
        w->quiet[t] = rng_below(rng, 2);
        w->pinned[t] = rng_below(rng, 3) == 0;
    }
}

static void disturb(struct world *w, struct rng *rng)
{
    const double rate = draw(rng, 0, 20);
    struct policy_input *in = &w->input;
    in->rate_rps = rate;
    in->rate_low_rps = rate * draw(rng, 0.3, 1);
    in->rate_high_rps = rate * draw(rng, 1, 2);
    if (rng_below(rng, 10) == 0)
        w->others_bytes = w->spared ? 0 : draw(rng, 0, 1) * w->total_bytes;
    in->owed_bytes = w->spared || rng_below(rng, 6) ? 0 : draw(rng, 0, 1000) * MIB;
    in->wish = rng_below(rng, 20) == 0 ? (int)rng_below(rng, 3) - 1 : 0;
    in->frozen = rng_below(rng, 30) == 0;
    for (size_t t = 0; t < w->front.count; t++) {
        struct policy_seen *seen = &in->tiers[t];
        const bool idle = w->quiet[t] || rng_below(rng, 2);
        seen->in_flight = idle ? 0 : (double)rng_below(rng, 6);
        seen->waiting = idle ? 0 : (double)rng_below(rng, 3);
        seen->pinned_ratio = w->pinned[t] ? draw(rng, 0.01, 0.5) : 0;
        seen->answers = rng_below(rng, 60);
        seen->over = rng_below(rng, seen->answers + 1);
        seen->latency_s = draw(rng, 0, 2) * w->front.limit_s;
        seen->mean_rps = seen->most_rps = rate;
        w->fails[t] = rng_below(rng, 4) == 0;
        if (!w->spared && rng_below(rng, 25) == 0)
            w->dead[t] = !w->dead[t];
        if (!w->spared && rng_below(rng, 40) == 0 && seen->power == POWER_ON)
            seen->power = w->front.tiers[t].managed ? POWER_OFF : POWER_ON; /* it dies */
    }
}

static double size_of(const struct world *w, int t)
{
    const double held = w->input.tiers[t].held_bytes, peak = w->front.tiers[t].peak_bytes;
    return isnan(held) ? peak : held;
}

/* The largest that may go; -1: memory is there, or none may. */
static int largest_to_go(const struct world *w)
{
    int largest = -1;
    const double room = w->input.free_bytes - w->input.owed_bytes;
    if (!(room < w->front.reserve_bytes) || usable(w) == 0 || w->input.frozen)
        return -1;
    for (int t = 0; t < (int)w->front.count; t++) {
        const struct policy_tier *tier = &w->front.tiers[t];
        const bool last = is_on(w, t) && usable(w) == 1;
        if (w->input.tiers[t].power == POWER_GOING)
            return -1;
        if (tier->managed && !tier->resident && !last && w->input.tiers[t].power != POWER_OFF &&
            (largest < 0 || size_of(w, t) > size_of(w, largest)))
            largest = t;
    }
    return largest;
}

static void check_choice(uint64_t seed, const struct world *w)
{
    const struct policy_choice *c = &w->choice;
    const struct policy_seen *tiers = w->input.tiers;
    const int largest = largest_to_go(w);
    CHECK_ROW(seed, "who answers can", usable(w) == 0 || (c->tier >= 0 && is_on(w, c->tier)));
    CHECK_ROW(seed, "memory takes the largest, at once",
              largest < 0 ? !c->for_memory : c->for_memory && c->stop == largest);
    if (c->stop >= 0) {
        CHECK_ROW(seed, "not what answers", c->stop != c->tier);
        CHECK_ROW(seed, "not the last", !is_on(w, c->stop) || usable(w) > 1);
        CHECK_ROW(seed, "what is in use or pinned goes for memory alone",
                  c->for_memory || (tiers[c->stop].pinned_ratio == 0 &&
                                    tiers[c->stop].in_flight + tiers[c->stop].waiting == 0));
        CHECK_ROW(seed, "ours", w->front.tiers[c->stop].managed);
        CHECK_ROW(seed, "not a resident one", !w->front.tiers[c->stop].resident);
    }
    if (c->start < 0)
        return;
    const struct policy_tier *tier = &w->front.tiers[c->start];
    const double room = w->input.free_bytes - w->input.owed_bytes;
    CHECK_ROW(seed, "it fits", room - tier->peak_bytes >= w->front.reserve_bytes);
    CHECK_ROW(seed, "it is off", tiers[c->start].power == POWER_OFF && tier->managed);
    CHECK_ROW(seed, "a resident one is the last resort", !tier->resident || usable(w) == 0);
    for (size_t t = 0; t < w->front.count; t++)
        CHECK_ROW(seed, "one at a time",
                  tiers[t].power != POWER_COMING && tiers[t].power != POWER_GOING);
    CHECK_ROW(seed, "not while another is stopped, nor while nothing is proven",
              c->stop < 0 && !w->input.frozen);
}

static void step(struct world *w)
{
    see(w);
    w->choice = policy_step(&w->state, &w->front, &w->input);
}

/* Whatever comes: tiers die, don't come up, HAProxy loses them, memory goes. */
static void test_whatever_comes(void **state)
{
    (void)state;
    enum { WORLDS = 200, STEPS = 3000 };
    size_t starts = 0, for_memory = 0, unused = 0, resorts = 0, without = 0;
    for (uint64_t seed = 0; seed < WORLDS; seed++) {
        struct rng rng = rng_init(seed, "whatever comes");
        struct world w = random_world(&rng);
        for (int i = 0; i < STEPS; i++) {
            if (i % 900 == 0)
                change_habits(&w, &rng);
            disturb(&w, &rng);
            step(&w);
            check_choice(seed, &w);
            unused += w.choice.stop >= 0 && !w.choice.for_memory;
            starts += w.choice.start >= 0;
            for_memory += w.choice.for_memory;
            resorts += w.choice.start >= 0 && w.front.tiers[w.choice.start].resident;
            without += usable(&w) == 0;
            follow(&w);
        }
    }
    /* Else it shows nothing. */
    assert_true(starts > 1000 && for_memory > 1000 && unused > 20);
    assert_true(resorts > 100 && without > 1000);
}

/* Then it is over: from wherever that has left them, a tier that may be started and fits comes up,
 * takes the requests, and from there on there is always one. */
static void test_it_recovers(void **state)
{
    (void)state;
    enum { WORLDS = 2000, STEPS = 100, CALM = 60 };
    size_t down = 0;
    for (uint64_t seed = 0; seed < WORLDS; seed++) {
        struct rng rng = rng_init(seed, "it recovers");
        struct world w = random_world(&rng);
        bool any = false;
        for (int i = 0; i < STEPS; i++) {
            disturb(&w, &rng);
            step(&w);
            follow(&w);
        }
        down += usable(&w) == 0;
        w.others_bytes = 0;
        w.total_bytes = 20000 * MIB;
        for (int i = 0; i < CALM; i++) {
            disturb(&w, &rng);
            w.others_bytes = w.input.owed_bytes = 0;
            w.input.frozen = false;
            for (size_t t = 0; t < w.front.count; t++) {
                any |= w.front.tiers[t].managed;
                w.dead[t] = !w.front.tiers[t].managed; /* only what may be started helps */
                w.fails[t] = false;
                if (w.input.tiers[t].power == POWER_OFF && w.coming[t] > 0 && i < 10)
                    w.coming[t] = 0;
            }
            step(&w);
            follow(&w);
        }
        for (int i = 0; i < CALM; i++) { /* nobody dies any more */
            step(&w);
            follow(&w);
        }
        CHECK_ROW(seed, "one answers", !any || (usable(&w) > 0 && is_on(&w, w.choice.tier)));
    }
    assert_true(down > WORLDS / 50);
}

/* With fewer requests or more free memory no tier keeps, promises or has room less. */
static void test_more_headroom_is_no_less(void **state)
{
    (void)state;
    enum { WORLDS = 500, STEPS = 100 };
    size_t gained = 0;
    for (uint64_t seed = 0; seed < WORLDS; seed++) {
        struct rng rng = rng_init(seed, "more headroom");
        struct world w = random_world(&rng);
        for (int i = 0; i < STEPS; i++) {
            disturb(&w, &rng);
            step(&w);
            struct policy_input more = w.input;
            const double share = draw(&rng, 0, 1);
            if (rng_below(&rng, 2)) {
                more.rate_rps *= share;
                more.rate_low_rps *= share;
                more.rate_high_rps *= share;
                for (size_t t = 0; t < w.front.count; t++) {
                    more.tiers[t].in_flight = floor(share * more.tiers[t].in_flight);
                    more.tiers[t].waiting = floor(share * more.tiers[t].waiting);
                }
            } else {
                more.free_bytes += draw(&rng, 0, 4000) * MIB;
                more.owed_bytes *= share;
            }
            struct policy_fit less[SPEC_TIERS_MAX], then[SPEC_TIERS_MAX];
            policy_fit_all(&w.state, &w.front, &w.input, less);
            policy_fit_all(&w.state, &w.front, &more, then);
            for (size_t t = 0; t < w.front.count; t++) {
                CHECK_ROW(seed, "keeps", !less[t].keeps || then[t].keeps);
                CHECK_ROW(seed, "promises", !less[t].promises || then[t].promises);
                CHECK_ROW(seed, "certain", !less[t].certain || then[t].certain);
                CHECK_ROW(seed, "room", !less[t].room || then[t].room);
                gained += then[t].keeps > less[t].keeps || then[t].room > less[t].room;
            }
            follow(&w);
        }
    }
    assert_true(gained > 1000);
}

/* ---- arrivals by chance ---- */

enum { SECONDS_MAX = 60 };

static int poisson(struct rng *rng, double mean)
{
    int n = 0;
    for (double p = rng_unit(rng), least = exp(-mean); p > least; n++)
        p *= rng_unit(rng);
    return n;
}

static double sum(const int *arrivals, int seconds)
{
    double all = 0;
    for (int i = 0; i < seconds; i++)
        all += arrivals[i];
    return all;
}

/* As tier_load.c tells them from counts. */
static void set_rates(struct world *w, const int *arrivals)
{
    const int up_after_s = (int)(w->front.up_after_ns / NS_PER_S);
    const int high_s = up_after_s < 5 ? 5 : up_after_s > SECONDS_MAX ? SECONDS_MAX : up_after_s;
    w->input.rate_rps = sum(arrivals, 5) / 5;
    w->input.rate_low_rps =
        fmax(tier_load_least(sum(arrivals, 2), 2),
             fmax(tier_load_least(sum(arrivals, 5), 5), tier_load_least(sum(arrivals, 10), 10)));
    w->input.rate_high_rps = tier_load_most(sum(arrivals, high_s), high_s);
}

/* An hour of one rate, whose arrivals come as they will, is no reason to go up and down: nearly
 * never in an hour, and where that rate is just what a tier may take, less than once in 100 s.
 * After each way up calm has to come anew. */
static void test_noise_is_no_flapping(void **state)
{
    (void)state;
    enum { WORLDS = 300, HOUR = 3600, SETTLED = 600 };
    size_t all = 0;
    for (uint64_t seed = 0; seed < WORLDS; seed++) {
        struct rng rng = rng_init(seed, "noise");
        struct world w = random_world(&rng);
        int arrivals[SECONDS_MAX];
        size_t switches = 0;
        int64_t up_ns = 0;
        const size_t near = (size_t)rng_below(&rng, w.front.count);
        w.front.up_after_ns = 30 * NS_PER_S; /* as it is unless told */
        w.front.switches_per_minute = 4;
        for (size_t t = 0; t < w.front.count; t++) {
            w.front.tiers[t].resident = true;
            w.input.tiers[t].power = POWER_ON;
        }
        const double known = w.front.tiers[near].curve.most_rps;
        const double rate = isnan(known) ? 1 : known * draw(&rng, 0.3, 1.1);
        for (int i = 0; i < SECONDS_MAX; i++)
            arrivals[i] = poisson(&rng, rate);
        w.total_bytes = 20000 * MIB;
        for (int i = 0; i < HOUR; i++) {
            memmove(arrivals + 1, arrivals, sizeof arrivals - sizeof *arrivals);
            arrivals[0] = poisson(&rng, rate);
            set_rates(&w, arrivals);
            const int before = w.state.current;
            step(&w);
            if (w.choice.switched && !w.choice.forced && w.choice.tier < before) {
                CHECK_ROW(seed, "calm before each way up",
                          up_ns == 0 || w.input.now_ns - up_ns >= w.front.up_after_ns);
                up_ns = w.input.now_ns;
            }
            switches += i >= SETTLED && w.choice.switched;
            follow(&w);
        }
        all += switches;
        CHECK_ROW(seed, "less than once in 100 s", switches < (HOUR - SETTLED) / 100);
    }
    assert_true(all < WORLDS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_whatever_comes),
        cmocka_unit_test(test_it_recovers),
        cmocka_unit_test(test_more_headroom_is_no_less),
        cmocka_unit_test(test_noise_is_no_flapping),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
