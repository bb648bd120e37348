/* The policy against a small world: tiers that take memory when they come, neighbours that take it
 * too. First what each situation leads to, then properties over thousands of random worlds. */
#include "guard/policy_fit.h"

#include "base/rng.h"

#include "policy_world.h"

/* ---- what each situation leads to ---- */

static void test_calm_stays(void **state)
{
    (void)state;
    struct world w = make_world(true);
    set_rate(&w, 0.3);
    steps(&w, 200);
    assert_int_equal(w.choice.tier, 0);
    assert_int_equal(w.switches, 0);
}

static void test_overload_goes_down_at_once_and_up_after_calm(void **state)
{
    (void)state;
    struct world w = make_world(true);
    set_rate(&w, 0.3);
    steps(&w, 20);
    set_rate(&w, 3);
    step(&w);
    assert_int_equal(w.choice.tier, 1);
    assert_true(says(&w, "base -> tiny: base takes p95"));
    assert_true(says(&w, "at 3 requests/s, limit 1"));
    set_rate(&w, 0.3);
    int waited = 0;
    for (; w.choice.tier == 1 && waited < 100; waited++)
        step(&w);
    assert_int_equal(waited, 11); /* the first calm look, and ten seconds more */
    assert_true(says(&w, "tiny -> base: base keeps p95"));
    assert_int_equal(w.switches, 2);
}

static void test_growing_queue_is_enough(void **state)
{
    (void)state;
    struct world w = make_world(true);
    w.front.limit_s = 4;
    set_rate(&w, 0.3);
    steps(&w, 20);
    w.input.tiers[0].in_flight = 1;
    step(&w);
    /* Nothing is certain yet of the rate, but three are there and more come than it can take. */
    w.input.tiers[0].in_flight = 3;
    w.input.rate_rps = 2;
    step(&w);
    assert_int_equal(w.choice.tier, 1);
    assert_true(says(&w, "3 requests at base and growing (1 before)"));
}

static void test_a_queue_that_does_not_grow_is_none(void **state)
{
    (void)state;
    struct world w = make_world(true);
    w.front.limit_s = 4;
    w.input.tiers[0].in_flight = 3;
    set_rate(&w, 0.3);
    w.input.rate_rps = 2;
    steps(&w, 20);
    assert_int_equal(w.switches, 0);
}

static void test_seen_slow(void **state)
{
    (void)state;
    struct world w = make_world(true);
    set_rate(&w, 0.3);
    steps(&w, 20);
    w.input.tiers[0].answers = 40;
    w.input.tiers[0].over = 12;
    w.input.tiers[0].latency_s = 1.5;
    w.input.tiers[0].mean_rps = w.input.tiers[0].most_rps = 0.3;
    step(&w);
    assert_int_equal(w.choice.tier, 1);
    w.input.tiers[0].answers = w.input.tiers[0].over = 0;
    /* What was seen is believed for ten minutes, whatever the study says; then it may try again. */
    steps(&w, 560);
    assert_int_equal(w.choice.tier, 1);
    steps(&w, 100);
    assert_int_equal(w.choice.tier, 0);
}

static void test_few_slow_answers_are_no_miss(void **state)
{
    (void)state;
    struct world w = make_world(true);
    set_rate(&w, 0.3);
    w.input.tiers[0].answers = 40;
    w.input.tiers[0].over = 3;
    w.input.tiers[0].latency_s = 0.9;
    steps(&w, 20);
    assert_int_equal(w.choice.tier, 0);
}

static void test_pressure_evicts_current_after_switching(void **state)
{
    (void)state;
    struct world w = make_world(false);
    set_rate(&w, 0.3);
    steps(&w, 20);
    w.others_bytes = 3000 * MIB;
    step(&w);
    assert_int_equal(w.choice.tier, 1);
    assert_true(w.choice.forced);
    assert_int_equal(w.choice.stop, 0);
    assert_true(says(&w, "the memory of base is needed: free 96"));
    steps(&w, 100);
    assert_int_equal(w.choice.tier, 1);
    assert_int_equal(w.input.tiers[0].power, POWER_OFF);
    /* Room again: it is started once that has lasted, and taken when it is warm. */
    w.others_bytes = 1024 * MIB;
    steps(&w, 9);
    assert_int_equal(w.input.tiers[0].power, POWER_OFF);
    steps(&w, 6);
    assert_int_equal(w.choice.tier, 0);
}

static void test_owed_memory_is_not_free(void **state)
{
    (void)state;
    struct world w = make_world(false);
    w.input.current = 1;
    w.input.tiers[0].power = POWER_OFF;
    w.input.tiers[0].usable = false;
    w.others_bytes = 0; /* a neighbour restarts, and wants it back */
    w.input.owed_bytes = 3000 * MIB;
    set_rate(&w, 0.3);
    steps(&w, 100);
    assert_int_equal(w.input.tiers[0].power, POWER_OFF);
    w.input.owed_bytes = 0;
    steps(&w, 20);
    assert_int_equal(w.choice.tier, 0);
}

static void test_unknown_peak_is_never_started(void **state)
{
    (void)state;
    struct world w = make_world(false);
    w.front.tiers[0].peak_bytes = NAN;
    w.input.current = 1;
    w.input.tiers[0].power = POWER_OFF;
    w.input.tiers[0].usable = false;
    set_rate(&w, 0.3);
    steps(&w, 100);
    assert_int_equal(w.input.tiers[0].power, POWER_OFF);
    assert_int_equal(w.choice.tier, 1);
}

static void test_current_dies(void **state)
{
    (void)state;
    struct world w = make_world(true);
    set_rate(&w, 0.3);
    steps(&w, 20);
    w.input.tiers[0].usable = false;
    w.input.tiers[0].power = POWER_OFF;
    w.front.tiers[0].managed = false;
    step(&w);
    assert_int_equal(w.choice.tier, 1);
    assert_true(says(&w, "base is not usable"));
    /* Nobody is usable: nothing is switched, and it is said once. */
    w.input.tiers[1].usable = false;
    w.input.tiers[1].power = POWER_OFF;
    w.front.tiers[1].managed = false;
    step(&w);
    assert_true(says(&w, "tiny is not usable"));
    step(&w);
    assert_string_equal(w.choice.reason, "");
    assert_int_equal(w.switches, 1);
}

static void test_pinned_requests_do_not_count_elsewhere(void **state)
{
    (void)state;
    struct world w = make_world(true);
    set_rate(&w, 3);
    w.input.tiers[1].pinned_ratio = 0.9; /* pinned to tiny: base would get 0.3/s */
    steps(&w, 30);
    assert_int_equal(w.choice.tier, 0);
}

static void test_switches_are_bounded(void **state)
{
    (void)state;
    struct world w = make_world(true);
    w.front.up_after_ns = NS_PER_S;
    for (int i = 0; i < 60; i++) {
        set_rate(&w, i % 2 ? 3 : 0.3);
        step(&w);
    }
    assert_true(w.switches <= 4);
}

static void test_a_rule_asks_for_a_smaller_tier(void **state)
{
    (void)state;
    struct world w = make_world(true);
    set_rate(&w, 0.3);
    steps(&w, 20);
    w.input.wish = -1;
    step(&w);
    w.input.wish = 0;
    assert_int_equal(w.choice.tier, 1);
    assert_true(says(&w, "a rule asks for a smaller tier"));
}

/* ---- properties ---- */

static double draw(struct rng *rng, double low, double high)
{
    return low + (high - low) * rng_unit(rng);
}

static struct world random_world(struct rng *rng)
{
    static const char *const names[] = {"large", "medium", "small", "base", "tiny"};
    struct world w = make_world(true);
    w.front.count = 1 + (size_t)rng_below(rng, 5);
    w.front.limit_s = draw(rng, 0.1, 5);
    w.front.switches_per_minute = 1 + (int)rng_below(rng, 6);
    w.front.up_after_ns = (int64_t)(draw(rng, 1, 40) * NS_PER_S);
    for (size_t t = 0; t < w.front.count; t++) {
        w.front.tiers[t] = make_tier(names[t], draw(rng, 0.2, 20), draw(rng, 0.02, 3),
                                     draw(rng, 50, 2000) * MIB, rng_below(rng, 2));
        struct policy_tier *tier = &w.front.tiers[t];
        if (rng_below(rng, 6) == 0)
            tier->peak_bytes = NAN;
        if (rng_below(rng, 6) == 0)
            tier->curve = (struct policy_curve){.most_rps = NAN};
        if (rng_below(rng, 4) == 0)
            tier->managed = tier->resident = false;
        w.input.tiers[t].power = tier->managed && rng_below(rng, 2) ? POWER_OFF : POWER_ON;
        w.input.tiers[t].usable = w.input.tiers[t].power == POWER_ON;
    }
    w.input.current = (int)rng_below(rng, w.front.count);
    w.total_bytes = draw(rng, 500, 8000) * MIB;
    w.others_bytes = draw(rng, 0, 1) * w.total_bytes;
    return w;
}

static bool is_on(const struct world *w, int t)
{
    return w->input.tiers[t].usable && w->input.tiers[t].power == POWER_ON;
}

static int usable(const struct world *w)
{
    int found = 0;
    for (int t = 0; t < (int)w->front.count; t++)
        found += is_on(w, t);
    return found;
}

static void shake(struct world *w, struct rng *rng)
{
    double rate = draw(rng, 0, 20);
    w->input.rate_rps = rate;
    w->input.rate_low_rps = rate * draw(rng, 0.3, 1);
    w->input.rate_high_rps = rate * draw(rng, 1, 2);
    if (rng_below(rng, 20) == 0)
        w->input.rate_rps = w->input.rate_low_rps = w->input.rate_high_rps = NAN;
    w->others_bytes = draw(rng, 0, 1) * w->total_bytes;
    w->input.owed_bytes = rng_below(rng, 4) ? 0 : draw(rng, 0, 1000) * MIB;
    w->input.wish = (int)rng_below(rng, 20) == 0 ? (int)rng_below(rng, 3) - 1 : 0;
    for (size_t t = 0; t < w->front.count; t++) {
        struct policy_seen *seen = &w->input.tiers[t];
        seen->in_flight = (double)rng_below(rng, 8);
        seen->waiting = (double)rng_below(rng, 3);
        seen->resting = rng_below(rng, 10) == 0;
        seen->answers = rng_below(rng, 60);
        seen->over = rng_below(rng, seen->answers + 1);
        seen->latency_s = draw(rng, 0, 2) * w->front.limit_s;
        seen->mean_rps = seen->most_rps = rate;
        if (rng_below(rng, 30) == 0)
            seen->usable = !seen->usable;
    }
}

/* Whatever comes: a usable tier when there is one, the last one never stopped, nothing started that
 * does not fit, and no more unforced switches in any minute than allowed. */
static void test_any_input(void **state)
{
    (void)state;
    enum { WORLDS = 400, STEPS = 150 };
    for (uint64_t seed = 0; seed < WORLDS; seed++) {
        struct rng rng = rng_init(seed, "any input");
        struct world w = random_world(&rng);
        int64_t unforced_ns[STEPS] = {0};
        size_t unforced = 0;
        for (int i = 0; i < STEPS; i++) {
            shake(&w, &rng);
            struct world before = w;
            step(&w);
            /* As the policy saw them. */
            before.input.free_bytes = w.input.free_bytes;
            const struct policy_choice *c = &w.choice;
            int there = usable(&before);
            CHECK_ROW(seed, "usable", there == 0 || (c->tier >= 0 && is_on(&before, c->tier)));
            CHECK_ROW(seed, "never stops what serves", c->stop < 0 || c->stop != c->tier);
            CHECK_ROW(seed, "never none",
                      c->stop < 0 || there == 0 || !is_on(&before, c->stop) || there > 1);
            CHECK_ROW(seed, "residents stay", c->stop < 0 || !w.front.tiers[c->stop].resident);
            if (c->start >= 0) {
                double room = before.input.free_bytes - before.input.owed_bytes;
                CHECK_ROW(seed, "fits",
                          room - w.front.tiers[c->start].peak_bytes >= w.front.reserve_bytes);
                CHECK_ROW(seed, "was off", before.input.tiers[c->start].power == POWER_OFF);
            }
            CHECK_ROW(seed, "says why",
                      !(c->switched || c->start >= 0 || c->stop >= 0) || c->reason[0]);
            if (c->switched && !c->forced)
                unforced_ns[unforced++] = w.input.now_ns;
            for (size_t k = (size_t)w.front.switches_per_minute; k < unforced; k++)
                CHECK_ROW(seed, "bounded",
                          unforced_ns[k] - unforced_ns[k - (size_t)w.front.switches_per_minute] >=
                              60 * NS_PER_S);
        }
    }
}

static void settle(struct world *w, uint64_t seed)
{
    int needed = (int)(w->front.up_after_ns / NS_PER_S) * 2 + 130;
    steps(w, 2 * needed);
    int before = w->switches;
    steps(w, needed);
    CHECK_ROW(seed, "settles", w->switches == before);
}

/* Only what must run does. From anywhere else a large tier that is in use, and too slow, may keep
 * out the one that would do: nothing is taken from requests to make room. */
static void begin_at_the_smallest(struct world *w)
{
    size_t last = w->front.count - 1;
    w->front.tiers[last].resident = w->front.tiers[last].managed = true;
    w->input.current = (int)last;
    for (size_t t = 0; t <= last; t++) {
        bool on = w->front.tiers[t].resident || !w->front.tiers[t].managed;
        w->input.tiers[t].power = on ? POWER_ON : POWER_OFF;
        w->input.tiers[t].usable = on;
    }
}

/* The same world with less load or more free memory ends on no worse a tier, and keeps the limit
 * where it was kept. */
static void test_monotone(void **state)
{
    (void)state;
    enum { WORLDS = 3000 };
    int better = 0;
    for (uint64_t seed = 0; seed < WORLDS; seed++) {
        struct rng rng = rng_init(seed, "monotone");
        struct world less = random_world(&rng);
        begin_at_the_smallest(&less);
        set_rate(&less, draw(&rng, 0.05, 20));
        less.input.rate_high_rps *= draw(&rng, 1, 1.5);
        less.input.rate_low_rps *= draw(&rng, 0.5, 1);
        less.input.owed_bytes = rng_below(&rng, 2) ? 0 : draw(&rng, 0, 500) * MIB;
        less.in_flight = (double)rng_below(&rng, 4);
        struct world more = less;
        double share = draw(&rng, 0, 1);
        if (rng_below(&rng, 2)) {
            more.input.rate_rps *= share;
            more.input.rate_low_rps *= share;
            more.input.rate_high_rps *= share;
            more.in_flight = floor(share * more.in_flight);
        } else {
            more.others_bytes *= share;
            more.input.owed_bytes *= draw(&rng, 0, 1);
        }
        settle(&less, seed);
        settle(&more, seed);
        /* Where none keeps the limit it is anybody's choice. What was forced up, by memory, has the
         * limit to keep and no margin: the other may stay below it, within that margin. */
        bool none = !(less.choice.predicted_s <= less.front.limit_s);
        struct policy_fit fits[SPEC_TIERS_MAX];
        policy_fit_all(&more.state, &more.front, &more.input, fits);
        bool margin = less.forced > 0 && !fits[less.choice.tier].certain;
        CHECK_ROW(seed, "no worse", none || margin || more.choice.tier <= less.choice.tier);
        CHECK_ROW(seed, "keeps too", none || more.choice.predicted_s <= more.front.limit_s);
        better += more.choice.tier < less.choice.tier;
    }
    assert_true(better > WORLDS / 20); /* else it shows nothing */
}

/* Replayed: the same inputs, the same choices and words. */
static void test_pure(void **state)
{
    (void)state;
    struct rng rng = rng_init(7, "pure");
    struct world w = random_world(&rng);
    struct policy_state again = policy_init();
    for (int i = 0; i < 500; i++) {
        shake(&w, &rng);
        struct policy_input seen = w.input;
        step(&w);
        seen.now_ns = w.input.now_ns;
        seen.free_bytes = w.input.free_bytes;
        for (size_t t = 0; t < w.front.count; t++)
            seen.tiers[t].held_bytes = w.input.tiers[t].held_bytes;
        struct policy_choice same = policy_step(&again, &w.front, &seen);
        assert_int_equal(same.tier, w.choice.tier);
        assert_int_equal(same.start, w.choice.start);
        assert_int_equal(same.stop, w.choice.stop);
        assert_string_equal(same.reason, w.choice.reason);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_calm_stays),
        cmocka_unit_test(test_overload_goes_down_at_once_and_up_after_calm),
        cmocka_unit_test(test_growing_queue_is_enough),
        cmocka_unit_test(test_a_queue_that_does_not_grow_is_none),
        cmocka_unit_test(test_seen_slow),
        cmocka_unit_test(test_few_slow_answers_are_no_miss),
        cmocka_unit_test(test_pressure_evicts_current_after_switching),
        cmocka_unit_test(test_owed_memory_is_not_free),
        cmocka_unit_test(test_unknown_peak_is_never_started),
        cmocka_unit_test(test_current_dies),
        cmocka_unit_test(test_pinned_requests_do_not_count_elsewhere),
        cmocka_unit_test(test_switches_are_bounded),
        cmocka_unit_test(test_a_rule_asks_for_a_smaller_tier),
        cmocka_unit_test(test_any_input),
        cmocka_unit_test(test_monotone),
        cmocka_unit_test(test_pure),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
