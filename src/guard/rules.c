/* One function decides where a rule goes next, from what holds now and for how long.
 *
 * - `when` must hold `for` without a break; one sample that is unknown is a break, since nobody can
 *   say what it was.
 * - An alarm is over when `until` has held `clear` without a break. In between, where neither holds
 *   (the hysteresis), it stays what it is.
 * - An alarm of which nothing is known stays one for a while, then it is "no data": claiming it for
 *   a night without traffic would be as wrong as claiming that all is well.
 *
 * Where `when` and `until` hold at once, which a compound rule can write, `when` counts: the alarm
 * stays.
 *
 * Invariant: unknown leads to no alarm and to nothing that is fine; between two alarms of a rule
 * lie at least `clear` and `for`, or the time of being unknown and `for`. */
#include "guard/rules.h"

#include <assert.h>

const char *const guard_state_names[STATE_COUNT_] = {
    [STATE_NO_DATA] = "no data", [STATE_FINE] = "fine",         [STATE_PENDING] = "pending",
    [STATE_ALARM] = "alarm",     [STATE_CLEARING] = "clearing",
};

bool guard_rule_may(enum guard_state from, enum guard_state to)
{
    static const unsigned ways[STATE_COUNT_] = {
        [STATE_NO_DATA] = 1 << STATE_FINE | 1 << STATE_PENDING | 1 << STATE_ALARM,
        [STATE_FINE] = 1 << STATE_NO_DATA | 1 << STATE_PENDING | 1 << STATE_ALARM,
        [STATE_PENDING] = 1 << STATE_NO_DATA | 1 << STATE_FINE | 1 << STATE_ALARM,
        [STATE_ALARM] = 1 << STATE_NO_DATA | 1 << STATE_FINE | 1 << STATE_CLEARING,
        [STATE_CLEARING] = 1 << STATE_FINE | 1 << STATE_ALARM,
    };
    return from == to || (ways[from] >> to & 1);
}

/* Not in an alarm. */
static enum guard_state from_calm(const struct guard_rule_state *rule,
                                  const struct guard_rule_times *times, enum expr_truth when,
                                  bool sudden, int64_t now_ns)
{
    if (when == EXPR_MAYBE)
        return STATE_NO_DATA;
    if (when == EXPR_FALSE)
        return STATE_FINE;
    if (sudden || times->for_ns == 0)
        return STATE_ALARM;
    const bool long_enough =
        rule->state == STATE_PENDING && now_ns - rule->since_ns >= times->for_ns;
    return long_enough ? STATE_ALARM : STATE_PENDING;
}

/* In an alarm, or on the way out of it. */
static enum guard_state from_alarm(struct guard_rule_state *rule,
                                   const struct guard_rule_times *times, enum expr_truth when,
                                   enum expr_truth until, int64_t now_ns)
{
    const bool over = until == EXPR_TRUE && when != EXPR_TRUE;
    const bool unknown = until == EXPR_MAYBE && when != EXPR_TRUE;
    if (!unknown)
        rule->unknown_since_ns = 0;
    else if (rule->unknown_since_ns == 0)
        rule->unknown_since_ns = now_ns;
    if (unknown && rule->state == STATE_ALARM &&
        now_ns - rule->unknown_since_ns >= times->unknown_ns)
        return STATE_NO_DATA;
    if (!over)
        return STATE_ALARM;
    if (times->clear_ns == 0)
        return STATE_FINE;
    if (rule->state == STATE_CLEARING && now_ns - rule->since_ns >= times->clear_ns)
        return STATE_FINE;
    return STATE_CLEARING;
}

enum guard_state guard_rule_step(struct guard_rule_state *rule,
                                 const struct guard_rule_times *times, enum expr_truth when,
                                 enum expr_truth until, bool sudden, int64_t now_ns,
                                 int64_t now_wall_us)
{
    const enum guard_state before = rule->state;
    const bool alarm = before == STATE_ALARM || before == STATE_CLEARING;
    enum guard_state next = alarm ? from_alarm(rule, times, when, until, now_ns)
                                  : from_calm(rule, times, when, sudden, now_ns);
    assert(guard_rule_may(before, next));
    if (next != before || !rule->begun) {
        rule->state = next;
        rule->since_ns = now_ns;
        rule->since_wall_us = now_wall_us;
        rule->begun = true;
    }
    if (next == STATE_NO_DATA)
        rule->unknown_since_ns = 0;
    return before;
}
