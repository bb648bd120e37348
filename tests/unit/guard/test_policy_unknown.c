/* Choosing a tier of which something was not measured, or which is not what its size promises. */
#include "policy_world.h"

/* No throughput of base was measured. Expected: two that meet for a moment are no queue, a hundred
 * are. Before: two at 0.4/s were one of 5 s, and it was left. */
static void test_two_that_meet(void **state)
{
    (void)state;
    struct world w = make_world(true);
    w.front.tiers[0].curve.most_rps = NAN;
    set_rate(&w, 0.4);
    w.input.tiers[0].answers = 60;
    w.input.tiers[0].latency_s = 0.5;
    for (int i = 0; i < 300; i++) {
        w.in_flight = i % 40 == 39 ? 2 : i % 20 == 0 ? 1 : 0;
        step(&w);
    }
    assert_int_equal(w.choice.tier, 0);
    assert_int_equal(w.switches, 0);
    w.in_flight = 100;
    steps(&w, 3);
    assert_int_equal(w.choice.tier, 1);
}

/* A small model that was measured to be slower than the large one. Expected: it is no way out,
 * until the large one takes longer than even that. Before: to and fro, four times a minute. */
static void test_a_small_one_that_is_slow(void **state)
{
    (void)state;
    struct world w = make_world(true);
    w.front.limit_s = 0.6;
    w.front.tiers[0].curve = w.front.tiers[1].curve = (struct policy_curve){.most_rps = NAN};
    w.front.tiers[0].curve.most_rps = 4;
    policy_curve_add(&w.front.tiers[0].curve, 2, 0.467);
    policy_curve_add(&w.front.tiers[1].curve, 2, 1.25);
    set_rate(&w, 1.5);
    for (int i = 0; i < 300; i++) {
        w.in_flight = i % 7 < 2 ? 3 : 1; /* the next would take 1 s, or half of it */
        step(&w);
        if (i == 0)
            assert_true(says(&w, "no other tier keeps it, and none is quicker"));
    }
    assert_int_equal(w.choice.tier, 0);
    assert_int_equal(w.switches, 0);
    w.in_flight = 12;
    step(&w);
    assert_int_equal(w.choice.tier, 1);
    assert_true(says(&w, "none keeps it, this is the smallest"));
}

/* Before: cut in the middle of its last word. */
static void test_a_long_reason_is_told_whole(void **state)
{
    (void)state;
    struct world w = make_world(true);
    w.front.tiers[1].name = "whisper-tiny.en-q8_0";
    w.input.current = 1;
    set_rate(&w, 5);
    w.in_flight = 7;
    step(&w);
    set_rate(&w, 12);
    w.in_flight = 8;
    step(&w);
    assert_true(says(&w, "8 requests at whisper-tiny.en-q8_0 and growing (7 before)"));
    assert_true(says(&w, "no other tier keeps it, and this is the smallest"));
}

static void test_unknown_never_keeps(void **state)
{
    (void)state;
    struct world w = make_world(true);
    w.front.tiers[0].curve = (struct policy_curve){.most_rps = NAN};
    w.input.current = 1;
    set_rate(&w, 0.3);
    steps(&w, 300);
    assert_int_equal(w.choice.tier, 1);
    /* A rule's tier-up lets it show what it does; without answers it has shown nothing. */
    w.input.wish = 1;
    step(&w);
    assert_int_equal(w.choice.tier, 0);
    w.input.wish = 0;
    steps(&w, 100);
    assert_int_equal(w.choice.tier, 0);
    steps(&w, 30);
    assert_int_equal(w.choice.tier, 1);
    assert_int_equal(w.switches, 2);
}

static void test_unknown_learns(void **state)
{
    (void)state;
    struct world w = make_world(true);
    w.front.tiers[0].curve = (struct policy_curve){.most_rps = NAN};
    set_rate(&w, 0.3);
    w.input.tiers[0].answers = 60;
    w.input.tiers[0].latency_s = 0.5;
    w.input.tiers[0].mean_rps = 0.5;
    w.input.tiers[0].most_rps = 0.8;
    steps(&w, 60);
    assert_int_equal(w.choice.tier, 0);
    w.input.tiers[0].answers = 0;
    w.input.tiers[0].in_flight = 0;
    set_rate(&w, 2); /* nobody ever saw it at 2/s */
    steps(&w, 100);
    assert_int_equal(w.choice.tier, 1);
    set_rate(&w, 0.4);
    steps(&w, 30);
    assert_int_equal(w.choice.tier, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_two_that_meet),
        cmocka_unit_test(test_a_small_one_that_is_slow),
        cmocka_unit_test(test_a_long_reason_is_told_whole),
        cmocka_unit_test(test_unknown_never_keeps),
        cmocka_unit_test(test_unknown_learns),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
