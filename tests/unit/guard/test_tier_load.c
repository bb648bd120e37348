/* Rates from counters and answers from the log, as the policy gets them. */
#include "guard/tier_load.h"

#include "check.h"

#include <math.h>

#include "base/clock.h"

static struct spec_tier spec_tiers[2] = {{.name = "base"}, {.name = "tiny"}};

static struct spec_front make_front(void)
{
    return (struct spec_front){.tiers = spec_tiers,
                               .tier_count = 2,
                               .limit_s = 1,
                               .quantile = 0.95,
                               .up_after_ns = 10 * NS_PER_S};
}

static struct proxy_front counted(uint64_t base, uint64_t tiny, uint64_t waiting)
{
    return (struct proxy_front){
        .tier = "base",
        .server_count = 2,
        .servers = {{.name = "base", .usable = true, .total = base, .waiting = waiting},
                    {.name = "tiny", .usable = true, .total = tiny}}};
}

static struct proxy_request answered(double total_s, int server, enum proxy_end end, bool pinned)
{
    return (struct proxy_request){
        .server = server, .end = end, .total_s = total_s, .pinned = pinned};
}

static void test_bounds(void **state)
{
    (void)state;
    /* Exact: half the 0.135 % quantile of chi-squared with 2n degrees of freedom. */
    static const struct {
        double n, least;
    } rows[] = {{1, 0.00135}, {5, 0.79186}, {10, 3.08422}, {100, 72.6462}};
    assert_true(tier_load_least(0, 10) == 0);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        double found = tier_load_least(rows[i].n, 1);
        CHECK_ROW(i, "least", fabs(found - rows[i].least) < 0.02 * rows[i].n + 0.02);
        CHECK_ROW(i, "most", tier_load_most(rows[i].n, 1) > rows[i].n);
    }
}

static void test_rates(void **state)
{
    (void)state;
    struct spec_front spec = make_front();
    struct tier_load *load = tier_load_new(&spec, 60 * NS_PER_S);
    struct policy_input input = {0};
    int64_t now_ns = 100 * NS_PER_S;
    uint64_t total = 1000;
    for (int i = 0; i < 2; i++, now_ns += NS_PER_S) {
        struct proxy_front front = counted(total, 0, 0);
        tier_load_look(load, &front, 7, now_ns);
        tier_load_fill(load, 0, now_ns, &input);
        assert_true(isnan(input.rate_rps) && isnan(input.rate_low_rps) &&
                    isnan(input.rate_high_rps)); /* too young */
    }
    for (int i = 0; i < 30; i++, now_ns += NS_PER_S) {
        struct proxy_front front = counted(total += 4, 5, 0);
        tier_load_look(load, &front, 7, now_ns);
    }
    now_ns -= NS_PER_S;
    tier_load_fill(load, 0, now_ns, &input);
    assert_true(fabs(input.rate_rps - 4) < 1e-9);
    assert_true(input.rate_low_rps > 1.7 && input.rate_low_rps < 4);
    assert_true(input.rate_high_rps > 4 && input.rate_high_rps < 5);
    /* What waits has come, too; and a server that is not HAProxy's any more counts nothing. */
    now_ns += NS_PER_S;
    struct proxy_front front = counted(total, 5, 20);
    tier_load_look(load, &front, 7, now_ns);
    tier_load_fill(load, 0, now_ns, &input);
    assert_true(fabs(input.rate_rps - (20 + 4 * 4) / 5.0) < 1e-9);
    assert_true(input.tiers[0].waiting == 20);
    /* Another process of HAProxy begins to count anew. */
    front = counted(3, 0, 0);
    tier_load_look(load, &front, 8, now_ns + NS_PER_S);
    tier_load_fill(load, 0, now_ns + NS_PER_S, &input);
    assert_true(isnan(input.rate_rps));
    tier_load_free(load);
}

static void test_answers(void **state)
{
    (void)state;
    struct spec_front spec = make_front();
    struct tier_load *load = tier_load_new(&spec, 60 * NS_PER_S);
    struct policy_input input = {0};
    int64_t now_ns = 1000 * NS_PER_S;
    struct proxy_request other = answered(5, 1, PROXY_OK, false);
    tier_load_request(load, &other, now_ns);
    for (int i = 0; i < 38; i++) {
        struct proxy_request request = answered(0.5, 0, PROXY_OK, false);
        tier_load_request(load, &request, now_ns);
    }
    struct proxy_request few[] = {
        answered(0.1, 0, PROXY_CUT, false),      /* failed: counts as too slow */
        answered(3, -1, PROXY_UNSERVED, false),  /* nobody took it */
        answered(4, 0, PROXY_CLIENT, false),     /* left after more than the limit */
        answered(0.2, 0, PROXY_CLIENT, false),   /* left before: says nothing */
        answered(0.01, 0, PROXY_REFUSED, false), /* says nothing */
        answered(9, 0, PROXY_OK, true),          /* pinned: nothing that a choice could change */
    };
    for (size_t i = 0; i < sizeof few / sizeof *few; i++)
        tier_load_request(load, &few[i], now_ns);
    tier_load_fill(load, 0, now_ns, &input);
    assert_int_equal(input.tiers[0].answers, 41);
    assert_int_equal(input.tiers[0].over, 3);
    assert_true(input.tiers[0].latency_s > 1);
    assert_true(input.tiers[0].pinned_ratio > 0 && input.tiers[0].pinned_ratio < 0.03);
    assert_int_equal(input.tiers[1].answers, 0); /* it is not the current one */
    /* What came before the switch says nothing of what came after. */
    tier_load_switched(load, now_ns);
    tier_load_fill(load, 0, now_ns + NS_PER_S, &input);
    assert_int_equal(input.tiers[0].answers, 0);
    tier_load_free(load);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bounds),
        cmocka_unit_test(test_rates),
        cmocka_unit_test(test_answers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
