/* Two fronts on one device: what one starts is not free for the other, and one pressure takes one
 * tier. Memory comes and goes over some steps, as it does with a server that loads its weights. */
#include "guard/policy_share.h"

#include "guard/policy_fit.h"

#include "check.h"

#include <math.h>

#include "base/clock.h"
#include "base/rng.h"

#define MIB 1048576.0
enum { FRONTS = 2, TIERS = 2, LOADS = 4 /* steps until a tier holds all that it takes */ };

struct world {
    struct policy_front fronts[FRONTS];
    struct policy_state states[FRONTS];
    struct policy_input inputs[FRONTS];
    struct policy_seat seats[FRONTS];
    struct policy_choice choices[FRONTS];
    int coming[FRONTS][TIERS], going[FRONTS][TIERS]; /* steps that it has taken */
    double total_bytes, others_bytes;
    bool apart; /* each front as if it were alone */
    int64_t now_ns;
    int starts, stops; /* of the last step */
};

static struct policy_tier make_tier(const char *name, double most_rps, double peak_bytes,
                                    bool resident)
{
    struct policy_tier tier = {
        .name = name, .managed = true, .resident = resident, .peak_bytes = peak_bytes};
    tier.curve.most_rps = most_rps;
    policy_curve_add(&tier.curve, 0.2 * most_rps, 0.1);
    policy_curve_add(&tier.curve, 0.8 * most_rps, 0.2);
    return tier;
}

/* In each front a large tier, off, and a small one that is resident and answers; calm. */
static void make_world(struct world *w, double large_0_bytes, double large_1_bytes)
{
    *w = (struct world){.total_bytes = 4096 * MIB, .now_ns = NS_PER_S};
    for (size_t f = 0; f < FRONTS; f++) {
        w->fronts[f] = (struct policy_front){.count = TIERS,
                                             .limit_s = 1,
                                             .quantile = 0.95,
                                             .reserve_bytes = 256 * MIB,
                                             .switches_per_minute = 4,
                                             .up_after_ns = 5 * NS_PER_S};
        w->fronts[f].tiers[0] = make_tier("large", 10, f ? large_1_bytes : large_0_bytes, false);
        w->fronts[f].tiers[1] = make_tier("small", 100, 100 * MIB, true);
        w->states[f] = policy_init();
        w->inputs[f] = (struct policy_input){
            .current = 1, .rate_rps = 1, .rate_low_rps = 1, .rate_high_rps = 1};
        for (size_t t = 0; t < TIERS; t++)
            w->inputs[f].tiers[t] = (struct policy_seen){.power = t ? POWER_ON : POWER_OFF,
                                                         .usable = t == 1,
                                                         .held_bytes = NAN,
                                                         .latency_s = NAN,
                                                         .mean_rps = NAN,
                                                         .most_rps = NAN};
        w->seats[f] = (struct policy_seat){.front = &w->fronts[f], .input = &w->inputs[f]};
    }
}

static void set_on(struct world *w, size_t f, size_t t)
{
    w->inputs[f].tiers[t].power = POWER_ON;
    w->inputs[f].tiers[t].usable = true;
    w->coming[f][t] = LOADS;
}

static double held(const struct world *w, size_t f, size_t t)
{
    const double peak = w->fronts[f].tiers[t].peak_bytes;
    switch (w->inputs[f].tiers[t].power) {
    case POWER_ON:
    case POWER_GOING:
        return peak;
    case POWER_COMING:
        return peak * w->coming[f][t] / LOADS;
    default:
        return 0;
    }
}

static double free_bytes(const struct world *w)
{
    double bytes = w->total_bytes - w->others_bytes;
    for (size_t f = 0; f < FRONTS; f++)
        for (size_t t = 0; t < TIERS; t++)
            bytes -= held(w, f, t);
    return bytes;
}

static void follow(struct world *w, size_t f, size_t t)
{
    struct policy_seen *seen = &w->inputs[f].tiers[t];
    if (seen->power == POWER_COMING && ++w->coming[f][t] >= LOADS)
        seen->power = POWER_ON;
    else if (seen->power == POWER_GOING && ++w->going[f][t] >= LOADS)
        seen->power = POWER_OFF;
    seen->usable = seen->power == POWER_ON;
}

static void step_front(struct world *w, size_t f)
{
    struct policy_choice *choice = &w->choices[f];
    struct policy_seat *seat = &w->seats[f];
    *choice = policy_step(&w->states[f], &w->fronts[f], &w->inputs[f]);
    w->inputs[f].current = choice->tier;
    seat->stepped = true;
    seat->started = choice->start;
    seat->stopped = choice->stop;
    w->starts += choice->start >= 0;
    w->stops += choice->stop >= 0;
}

static void step(struct world *w)
{
    w->now_ns += NS_PER_S;
    w->starts = w->stops = 0;
    for (size_t f = 0; f < FRONTS; f++) {
        w->inputs[f].now_ns = w->now_ns;
        w->inputs[f].free_bytes = free_bytes(w);
        for (size_t t = 0; t < TIERS; t++)
            w->inputs[f].tiers[t].held_bytes =
                w->inputs[f].tiers[t].power == POWER_OFF ? NAN : held(w, f, t);
        w->seats[f].stepped = false;
        w->seats[f].started = w->seats[f].stopped = -1;
        w->seats[f].current = w->inputs[f].current;
        w->inputs[f].others_start = w->inputs[f].others_stop = false;
    }
    for (size_t k = 0; k < FRONTS; k++) {
        size_t f = w->apart ? k : policy_share_next(w->seats, FRONTS);
        if (!w->apart)
            policy_share_fill(w->seats, FRONTS, f);
        step_front(w, f);
    }
    for (size_t f = 0; f < FRONTS; f++)
        for (size_t t = 0; t < TIERS; t++) {
            follow(w, f, t);
            if (w->choices[f].start == (int)t) {
                w->inputs[f].tiers[t].power = POWER_COMING;
                w->coming[f][t] = 0;
            }
            if (w->choices[f].stop == (int)t) {
                w->inputs[f].tiers[t].power = POWER_GOING;
                w->inputs[f].tiers[t].usable = false;
                w->going[f][t] = 0;
            }
        }
}

static int steps(struct world *w, int n, double *ret_least_bytes)
{
    int most = 0;
    for (int i = 0; i < n; i++) {
        step(w);
        most = w->starts > most ? w->starts : most;
        most = w->stops > most ? w->stops : most;
        if (ret_least_bytes)
            *ret_least_bytes = fmin(*ret_least_bytes, free_bytes(w));
    }
    return most;
}

/* 3896 MiB are free, 256 stay so: one of 2000 fits, two don't. */
static void test_room_is_given_once(void **state)
{
    (void)state;
    for (int apart = 0; apart < 2; apart++) {
        struct world w;
        make_world(&w, 2000 * MIB, 2000 * MIB);
        w.apart = apart;
        double least = w.total_bytes;
        int most = steps(&w, 40, &least);
        const bool both =
            w.inputs[0].tiers[0].power == POWER_ON && w.inputs[1].tiers[0].power == POWER_ON;
        CHECK_ROW(apart, "one fits", apart || (most == 1 && !both));
        CHECK_ROW(apart, "the reserve is kept", apart || least >= 256 * MIB);
        CHECK_ROW(apart, "before: both were started", !apart || (most == 2 && least < 0));
    }
}

static void test_both_fit_one_after_the_other(void **state)
{
    (void)state;
    struct world w;
    make_world(&w, 1000 * MIB, 1500 * MIB);
    double least = w.total_bytes;
    assert_int_equal(steps(&w, 40, &least), 1);
    assert_int_equal(w.choices[0].tier, 0);
    assert_int_equal(w.choices[1].tier, 0);
    assert_true(least >= 256 * MIB);
}

/* What was started by somebody else, and whose need nobody knows: nothing is started beside it. */
static void test_an_unknown_need_is_no_room(void **state)
{
    (void)state;
    struct world w;
    make_world(&w, 1000 * MIB, 1000 * MIB);
    w.fronts[0].tiers[0].peak_bytes = NAN;
    for (int i = 0; i < 20; i++) {
        w.inputs[0].tiers[0].power = POWER_COMING;
        w.coming[0][0] = 0;
        policy_share_fill(w.seats, FRONTS, 1);
        assert_true(isnan(w.inputs[1].promised_bytes));
        w.inputs[1].now_ns = w.now_ns += NS_PER_S;
        w.inputs[1].free_bytes = 3000 * MIB;
        assert_int_equal(policy_step(&w.states[1], &w.fronts[1], &w.inputs[1]).start, -1);
    }
}

static void press(struct world *w, double large_0_bytes, double large_1_bytes, double missing)
{
    make_world(w, large_0_bytes, large_1_bytes);
    for (size_t f = 0; f < FRONTS; f++)
        set_on(w, f, 0);
    steps(w, 12, NULL); /* both have gone up */
    w->others_bytes = 0;
    w->others_bytes = free_bytes(w) - w->fronts[0].reserve_bytes + missing;
}

static void test_the_largest_of_all_goes(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        double large_0_mib, large_1_mib;
        bool resident_1;
        int first, second; /* large of which front goes; -1 none */
        double missing_mib;
    } rows[] = {
        {"the second's is larger", 800, 1200, false, 1, -1, 500},
        {"the first's is", 1200, 800, false, 0, -1, 500},
        {"the larger one is resident", 800, 1200, true, 0, -1, 500},
        {"one is not enough", 800, 1200, false, 1, 0, 1500},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct world w;
        press(&w, rows[i].large_0_mib * MIB, rows[i].large_1_mib * MIB, rows[i].missing_mib * MIB);
        w.fronts[1].tiers[0].resident = rows[i].resident_1;
        CHECK_ROW(i, "both were gone up to", w.inputs[0].current == 0 && w.inputs[1].current == 0);
        step(&w);
        const int first = rows[i].first;
        CHECK_ROW(i, rows[i].name, w.stops == 1 && w.choices[first].stop == 0);
        CHECK_ROW(i, rows[i].name, w.choices[first].for_memory);
        int later = -1;
        for (int k = 0; k < 30; k++) {
            step(&w);
            CHECK_ROW(i, "one at a time", w.stops <= 1);
            for (int f = 0; f < FRONTS; f++)
                if (w.choices[f].stop >= 0) {
                    CHECK_ROW(i, "what came back was seen", k >= LOADS - 1);
                    later = f;
                }
        }
        CHECK_ROW(i, rows[i].name, later == rows[i].second);
    }
}

static void test_apart_both_would_go(void **state)
{
    (void)state;
    struct world w;
    press(&w, 800 * MIB, 1200 * MIB, 500 * MIB);
    w.apart = true;
    step(&w);
    assert_int_equal(w.stops, 2); /* else the tests above show nothing */
}

/* A front whose HAProxy refuses leaves it to the next. */
static void test_one_that_can_not_leaves_it(void **state)
{
    (void)state;
    struct world w;
    press(&w, 800 * MIB, 1200 * MIB, 500 * MIB);
    for (size_t f = 0; f < FRONTS; f++) {
        w.inputs[f].free_bytes = 0;
        w.seats[f].started = w.seats[f].stopped = -1;
        w.seats[f].stepped = false;
    }
    assert_int_equal(policy_share_next(w.seats, FRONTS), 1);
    w.seats[1].stepped = true; /* and nothing came of it */
    assert_int_equal(policy_share_next(w.seats, FRONTS), 0);
    policy_share_fill(w.seats, FRONTS, 0);
    assert_false(w.inputs[0].others_stop);
    w.seats[0].stepped = true;
    assert_int_equal(policy_share_next(w.seats, FRONTS), FRONTS);
}

static void test_another_device_is_another_matter(void **state)
{
    (void)state;
    struct world w;
    make_world(&w, 2000 * MIB, 2000 * MIB);
    w.fronts[1].reserve_bytes = 1024 * MIB;
    assert_true(policy_share_reserve(w.seats, FRONTS, 0) == 1024 * MIB);
    w.seats[1].devices[0] = w.seats[1].devices[1] = 1;
    w.seats[0].started = w.seats[0].stopped = 0;
    policy_share_fill(w.seats, FRONTS, 1);
    assert_true(w.inputs[1].promised_bytes == 0);
    assert_false(w.inputs[1].others_start || w.inputs[1].others_stop);
    assert_true(policy_share_reserve(w.seats, FRONTS, 0) == 256 * MIB);
    assert_true(policy_share_reserve(w.seats, FRONTS, 1) == 1024 * MIB);
}

static double draw(struct rng *rng, double low, double high)
{
    return low + (high - low) * rng_unit(rng);
}

static void shake(struct world *w, struct rng *rng)
{
    for (size_t f = 0; f < FRONTS; f++) {
        double rate = draw(rng, 0, 12);
        w->inputs[f].rate_rps = w->inputs[f].rate_low_rps = w->inputs[f].rate_high_rps = rate;
        w->inputs[f].wish = rng_below(rng, 20) == 0 ? (int)rng_below(rng, 3) - 1 : 0;
        for (size_t t = 0; t < TIERS; t++) {
            w->inputs[f].tiers[t].in_flight = (double)rng_below(rng, 3);
            w->inputs[f].tiers[t].resting = rng_below(rng, 10) == 0;
        }
    }
}

/* Whatever is asked of both: on one device one start and one stop a step, the one that goes for
 * memory is the largest, and what they start never eats the reserve. */
static void test_any_two(void **state)
{
    (void)state;
    enum { WORLDS = 1500, STEPS = 200 };
    int starts = 0, evicted = 0;
    for (uint64_t seed = 0; seed < WORLDS; seed++) {
        struct rng rng = rng_init(seed, "two fronts");
        struct world w;
        make_world(&w, draw(&rng, 100, 3000) * MIB, draw(&rng, 100, 3000) * MIB);
        w.fronts[rng_below(&rng, 2)].tiers[0].resident = rng_below(&rng, 8) == 0;
        w.fronts[0].up_after_ns = (int64_t)(draw(&rng, 1, 20) * NS_PER_S);
        bool moved = true;
        for (int i = 0; i < STEPS; i++) {
            if (rng_below(&rng, 40) == 0) {
                w.others_bytes = draw(&rng, 0, 0.9) * w.total_bytes;
                moved = true;
            }
            shake(&w, &rng);
            const double before = free_bytes(&w);
            const enum policy_power powers[FRONTS] = {w.inputs[0].tiers[0].power,
                                                      w.inputs[1].tiers[0].power};
            step(&w);
            starts += w.starts;
            CHECK_ROW(seed, "one start", w.starts <= 1);
            CHECK_ROW(seed, "one stop", w.stops <= 1);
            if (before >= w.fronts[0].reserve_bytes && w.starts)
                moved = false; /* from here on they have done it themselves */
            CHECK_ROW(seed, "the reserve", moved || free_bytes(&w) >= w.fronts[0].reserve_bytes);
            for (size_t f = 0; f < FRONTS; f++) {
                if (w.choices[f].stop < 0 || !w.choices[f].for_memory)
                    continue;
                evicted++;
                /* The other one has nothing larger that it could have given. */
                const bool other = powers[!f] != POWER_OFF && !w.fronts[!f].tiers[0].resident;
                CHECK_ROW(seed, "the largest",
                          !other ||
                              w.inputs[f].tiers[0].held_bytes >= w.inputs[!f].tiers[0].held_bytes);
            }
        }
    }
    assert_true(starts > WORLDS && evicted > WORLDS / 4);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_room_is_given_once),
        cmocka_unit_test(test_both_fit_one_after_the_other),
        cmocka_unit_test(test_an_unknown_need_is_no_room),
        cmocka_unit_test(test_the_largest_of_all_goes),
        cmocka_unit_test(test_apart_both_would_go),
        cmocka_unit_test(test_one_that_can_not_leaves_it),
        cmocka_unit_test(test_another_device_is_another_matter),
        cmocka_unit_test(test_any_two),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
