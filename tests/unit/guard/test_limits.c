/* How often an action may be done, and what a refused one leaves behind. */
#include "check.h"

#include "guard/limits.h"
#include "judged.h"

#include "base/clock.h"

static bool allows(struct guard_limits *limits, int64_t second, const char *why_part)
{
    AUTO(buf_done) struct buf why = BUF_INIT(200);
    bool allowed = guard_limits_allow(limits, ACTION_RESTART, 0, second * NS_PER_S, &why);
    if (!allowed && !strstr(buf_text(&why), why_part))
        fail_msg("\"%s\" is not why: \"%s\"", why_part, buf_text(&why));
    return allowed;
}

static void take(struct guard_limits *limits, int64_t second)
{
    guard_limits_take(limits, ACTION_RESTART, 0, second * NS_PER_S);
}

static void give_back(struct guard_limits *limits, int64_t second)
{
    guard_limits_give_back(limits, ACTION_RESTART, 0, second * NS_PER_S);
}

static int used(const struct guard_limits *limits, int64_t second)
{
    return guard_limits_used(limits, ACTION_RESTART, second * NS_PER_S);
}

/* Refused for a whole hour: none of the hour's two is used up, no back-off has grown. */
static void refused(void **state)
{
    (void)state;
    struct judged *j = judged_new("  act: {restart: {per_hour: 2, back_off: 90s}}\n");
    struct guard_limits *limits = guard_limits_new(j->study);
    const int64_t first = j->study->services[0].ready_within_ns / NS_PER_S;
    int64_t now = 100;
    for (int i = 0; i < 40; i++, now += 90) {
        assert_true(allows(limits, now, ""));
        take(limits, now);
        assert_int_equal(used(limits, now), 1);
        give_back(limits, now);
        assert_int_equal(used(limits, now), 0);
        assert_false(allows(limits, now + 89, "it was refused; asked again in 1.00 s"));
    }
    take(limits, now);
    assert_false(
        allows(limits, now + first - 1, "backs off")); /* the first back-off, not a later */
    assert_true(allows(limits, now + (first > 90 ? first : 90), ""));
    guard_limits_free(limits);
    judged_free(j);
}

/* After real ones it is the real ones that count. */
static void refused_after(void **state)
{
    (void)state;
    struct judged *j = judged_new("  act: {restart: {per_hour: 2, back_off: 90s}}\n");
    struct guard_limits *limits = guard_limits_new(j->study);
    take(limits, 10000);
    take(limits, 11500);
    give_back(limits, 11501);
    assert_int_equal(used(limits, 11502), 1);
    take(limits, 12500);
    assert_int_equal(used(limits, 12501), 2);
    assert_false(allows(limits, 13599, "2 of 2 this hour"));
    take(limits, 13601); /* the place of the first is used again */
    give_back(limits, 13602);
    assert_int_equal(used(limits, 13603), 1);
    guard_limits_free(limits);
    judged_free(j);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(refused),
        cmocka_unit_test(refused_after),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
