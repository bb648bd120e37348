/* The study file's rules, judged in one look.
 *
 * The judge sees the look's ticks as it would the daemon's, so a rule means here what it means
 * there. Only time is short: a look lasts seconds, a rule's `for` often longer. So a rule that
 * holds at the end is told as wrong, with how long it has held of how long it must: who asks at
 * night wants to know it now. Rejected: waiting for `for`, minutes long; and calling fine what only
 * has not lasted yet.
 *
 * What a look can't know, it says: a percentile of so few probes, real requests (HAProxy's log is
 * the running guard's to read), and figures that count over a longer time, of which a look sees the
 * beginning alone and which would so be fine in each.
 *
 * Of the built-in alarms nothing is told here: once.c has better words for what they see. */
#include "guard/once_inside.h"

/* Since guard began, or of a trend. */
static const bool takes_time[GUARD_METRIC_COUNT_] = {
    [GUARD_RESTARTS] = true,
    [GUARD_OOM] = true,
    [GUARD_GROWTH] = true,
    [GUARD_DEVICE_FULL_IN] = true,
};

static void ignore(void *context, const struct guard_decision *decision)
{
    (void)context;
    (void)decision;
}

void guard_once_judge_rules(struct once *once)
{
    guard_judge_step(once->judge, &once->tick, ignore, NULL);
}

/* The first figure that a look can't judge; NULL: none. */
static const char *needs_longer(const struct spec_guard *guard, const struct spec_guard_rule *rule)
{
    for (size_t k = 0; k < guard->metric_count; k++)
        if (takes_time[guard->metrics[k].metric] && expr_uses(rule->when, k))
            return guard->metrics[k].name;
    return NULL;
}

static void tell_rule(struct once *once, const struct spec_guard_rule *rule,
                      const struct guard_standing *standing)
{
    const char *longer = needs_longer(once->study->guard, rule);
    if (standing->state == STATE_PENDING || standing->state == STATE_ALARM)
        guard_once_say(&once->wrong, "rule \"%s\" holds: %s", rule->name, standing->text);
    else if (longer)
        guard_once_say(&once->unknown, "rule \"%s\" (%s takes longer than one look)", rule->name,
                       longer);
    else if (standing->state == STATE_NO_DATA)
        guard_once_say(&once->unknown, "rule \"%s\" (%s)", rule->name, standing->text);
}

void guard_once_tell_rules(struct once *once)
{
    const struct spec_guard *guard = once->study->guard;
    for (size_t i = 0; i < guard->rule_count; i++) {
        struct guard_standing standing; /* the file's come first */
        guard_judge_standing(once->judge, i, &standing);
        tell_rule(once, &guard->rules[i], &standing);
    }
}
