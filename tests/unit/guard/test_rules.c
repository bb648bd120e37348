/* The five states, by table and by drawn histories: no flapping, no way that is not in the table,
 * and the unknown is neither an alarm nor fine. Limits likewise: never more than the file says. */
#include "check.h"

#include "guard/limits.h"
#include "guard/rules.h"
#include "judged.h"

#include "base/clock.h"
#include "base/rng.h"

static const struct guard_rule_times times = {10, 5, 20};

struct history {
    struct guard_rule_state rule;
    int64_t now_ns;
};

static enum guard_state step(struct history *h, enum expr_truth when, enum expr_truth until)
{
    guard_rule_step(&h->rule, &times, when, until, false, ++h->now_ns, 0);
    return h->rule.state;
}

/* Letters: T holds, F does not and is over, B between the two thresholds, U unknown. Each row is
 * one history with its last state. */
static void goes(void **state)
{
    static const struct {
        const char *seen;
        enum guard_state last;
    } rows[] = {
        {"U", STATE_NO_DATA},
        {"F", STATE_FINE},
        {"FU", STATE_NO_DATA},
        {"T", STATE_PENDING},
        {"TTTTTTTTTT", STATE_PENDING},
        {"TTTTTTTTTTT", STATE_ALARM},
        {"TTTTTTTTTTUTT", STATE_PENDING},
        {"TTTTTTTTTTF", STATE_FINE},
        {"TTTTTTTTTTTB", STATE_ALARM},
        {"TTTTTTTTTTTF", STATE_CLEARING},
        {"TTTTTTTTTTTFFFFF", STATE_CLEARING},
        {"TTTTTTTTTTTFFFFFF", STATE_FINE},
        {"TTTTTTTTTTTFFFFFBF", STATE_CLEARING},
        {"TTTTTTTTTTTFFFUF", STATE_CLEARING},
        {"TTTTTTTTTTTU", STATE_ALARM},
        {"TTTTTTTTTTTUUUUUUUUUUUUUUUUUUUU", STATE_ALARM},
        {"TTTTTTTTTTTUUUUUUUUUUUUUUUUUUUUU", STATE_NO_DATA},
        {"TTTTTTTTTTTUUUUUUUUUUUUUUUUUUUUBU", STATE_ALARM},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct history h = {0};
        enum guard_state last = STATE_NO_DATA;
        for (const char *c = rows[i].seen; *c; c++)
            last = step(&h,
                        *c == 'T'   ? EXPR_TRUE
                        : *c == 'U' ? EXPR_MAYBE
                                    : EXPR_FALSE,
                        *c == 'F'   ? EXPR_TRUE
                        : *c == 'U' ? EXPR_MAYBE
                                    : EXPR_FALSE);
        CHECK_ROW_TEXT(i, rows[i].seen, guard_state_names[last], guard_state_names[rows[i].last]);
    }
}

static enum expr_truth draw(struct rng *rng)
{
    return (enum expr_truth)rng_below(rng, 3);
}

/* Histories of long and short runs; both of `when` and `until` may be anything. */
static void properties(void **state)
{
    (void)state;
    struct rng rng = rng_init(7, "guard");
    for (int n = 0; n < 2000; n++) {
        struct history h = {0};
        int64_t alarm_ns = -1000000, quiet_ns = 0;
        for (int i = 0; i < 60; i++) {
            const enum expr_truth when = draw(&rng), until = draw(&rng);
            const uint64_t run = 1 + rng_below(&rng, 25);
            for (uint64_t k = 0; k < run; k++) {
                const enum guard_state before = h.rule.state;
                const enum guard_state after = step(&h, when, until);
                assert_true(guard_rule_may(before, after));
                const bool was = before == STATE_ALARM || before == STATE_CLEARING;
                const bool is = after == STATE_ALARM || after == STATE_CLEARING;
                if (is && !was) { /* no flapping */
                    assert_int_equal(when, EXPR_TRUE);
                    assert_true(h.now_ns - alarm_ns >= times.for_ns + times.clear_ns);
                    assert_true(h.now_ns - quiet_ns >= times.for_ns);
                    alarm_ns = h.now_ns;
                }
                if (was && !is)
                    quiet_ns = h.now_ns;
                if (when == EXPR_MAYBE) /* unknown never alarms */
                    assert_true(is ? was : after == STATE_NO_DATA || until == EXPR_TRUE);
                if (when == EXPR_MAYBE && until == EXPR_MAYBE) /* and never is fine */
                    assert_int_not_equal(after, STATE_FINE);
                if (after == STATE_FINE && before != STATE_FINE)
                    assert_true(when == EXPR_FALSE || (was && until == EXPR_TRUE));
            }
        }
    }
}

/* The worse it is, the sooner: whoever is always over a higher threshold is over a lower one. */
static void monotone(void **state)
{
    (void)state;
    struct rng rng = rng_init(11, "guard");
    for (int n = 0; n < 2000; n++) {
        struct history low = {0}, high = {0};
        for (int i = 0; i < 200; i++) {
            const uint64_t value = rng_below(&rng, 10) + (i > 100 ? 4 : 0);
            step(&low, value >= 3 ? EXPR_TRUE : EXPR_FALSE, EXPR_FALSE);
            step(&high, value >= 5 ? EXPR_TRUE : EXPR_FALSE, EXPR_FALSE);
            if (high.rule.state == STATE_ALARM)
                assert_int_equal(low.rule.state, STATE_ALARM);
        }
    }
}

static void limits(void **state)
{
    (void)state;
    struct judged *j = judged_new("  act: {notify: {per_hour: 7}, restart: {per_hour: 3, back_off: "
                                  "10m}}\n");
    struct guard_limits *l = guard_limits_new(j->study);
    struct rng rng = rng_init(3, "guard");
    int64_t taken[ACTION_COUNT_][4000], now_ns = 0, last_restart_ns[2] = {-1, -1};
    int count[ACTION_COUNT_] = {0};
    for (int n = 0; n < 200000; n++) {
        AUTO(buf_done) struct buf why = BUF_INIT(200);
        const enum spec_action action = (enum spec_action)rng_below(&rng, ACTION_COUNT_);
        const int service = (int)rng_below(&rng, 2);
        now_ns += (int64_t)rng_below(&rng, 20) * NS_PER_S;
        if (!guard_limits_allow(l, action, service, now_ns, &why)) {
            assert_true(why.len > 0);
            continue;
        }
        guard_limits_take(l, action, service, now_ns);
        const int per_hour = j->study->guard->limits[action].per_hour;
        assert_true(j->study->guard->limits[action].allowed);
        if (count[action] >= per_hour)
            assert_true(now_ns - taken[action][count[action] - per_hour] >= 3600 * NS_PER_S);
        if (action == ACTION_RESTART && last_restart_ns[service] >= 0)
            assert_true(now_ns - last_restart_ns[service] >= 600 * NS_PER_S);
        if (action == ACTION_RESTART)
            last_restart_ns[service] = now_ns;
        taken[action][count[action]++] = now_ns;
        assert_true(guard_limits_used(l, action, now_ns) <= per_hour);
        assert_in_range(count[action], 1, 3999);
    }
    assert_true(count[ACTION_NOTIFY] > 1000 && count[ACTION_RESTART] > 100);
    assert_int_equal(count[ACTION_ROLLBACK], 0);
    guard_limits_free(l);
    judged_free(j);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(goes),
        cmocka_unit_test(properties),
        cmocka_unit_test(monotone),
        cmocka_unit_test(limits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
