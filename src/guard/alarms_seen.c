/* Would anybody see it?
 *
 * An alarm that only events tell is silent where all is well, and as silent where nobody looks: no
 * probe is sent, a log is in a file, the kernel's log may not be read, HAProxy does not answer.
 * Each kind says what it needs; without that it is unknown, and never fine. What is there is said
 * by figures of the tick where one does, else by the tick itself, so a recording is judged as the
 * day was. An older one does not say which logs were seen and is taken to have seen them, as it was
 * then.
 *
 * Rejected: asking the study file. A probe that is asked for may have nothing to ask with, a unit
 * may write into a file. */
#include "guard/alarms_inside.h"

#include <math.h>

static const char *const unseen_words[] = {
    [NEEDS_LOOK] = "its process is not looked at", [NEEDS_PROBE] = "no probe of late",
    [NEEDS_LOG] = "its log is not seen",           [NEEDS_KERNEL] = "the kernel's log is not read",
    [NEEDS_PROXY] = "HAProxy does not answer",
};

long guard_alarm_seen_by(const struct spec_guard *g, const struct guard_alarm_kind *kind,
                         long service)
{
    if (kind->needs == NEEDS_PROXY)
        return guard_alarm_find_id(g, GUARD_PROXY_UP, 0);
    if (kind->needs == NEEDS_LOOK && service >= 0)
        return guard_alarm_find_id(g, GUARD_UP, (size_t)service);
    for (size_t i = 0; kind->needs == NEEDS_PROBE && i < g->metric_count; i++)
        if (g->metrics[i].metric == GUARD_RATE && g->metrics[i].source == SOURCE_PROBE &&
            (long)g->metrics[i].index == service)
            return (long)i;
    return -1;
}

/* Probes may be further apart than a window is long: three of them, as what they say is held. */
static bool is_probed(struct guard_alarm *alarm, const struct guard_value *value, int64_t now_ns)
{
    if (!isnan(value->number) && value->count > 0)
        alarm->known_ns = now_ns;
    return alarm->known_ns > 0 && now_ns - alarm->known_ns < alarm->hold_ns;
}

/* A kernel's kill of a service in a group of its own is counted there as well. */
static bool sees_kernel(const struct guard_alarm *alarm, const struct guard_tick *tick)
{
    return !tick->no_kernel_log || (alarm->service >= 0 && !(tick->no_kills >> alarm->service & 1));
}

/* Of no service here: nobody looks for it, unless an event says otherwise. */
static bool is_of_strangers(const struct guard_alarm *alarm)
{
    return alarm->kind->machine && alarm->service < 0;
}

static bool is_seen(struct guard_alarm *alarm, const struct guard_tick *tick)
{
    static const struct guard_value unknown = {.number = NAN};
    const struct guard_value *value = alarm->seen_by < 0 ? &unknown : &tick->values[alarm->seen_by];
    if (is_of_strangers(alarm))
        return alarm->last_ns[0] > 0;
    switch (alarm->kind->needs) {
    case NEEDS_LOOK:
        return !isnan(value->number);
    case NEEDS_PROBE:
        return is_probed(alarm, value, tick->mono_ns);
    case NEEDS_PROXY:
        return value->number == 1;
    case NEEDS_LOG:
        return !(tick->no_log >> alarm->service & 1);
    case NEEDS_KERNEL:
        return sees_kernel(alarm, tick);
    case NEEDS_NOTHING:
        break;
    }
    return true;
}

void guard_alarm_see(struct guard_alarm *alarm, const struct guard_tick *tick)
{
    alarm->unseen = is_seen(alarm, tick)     ? NULL
                    : is_of_strangers(alarm) ? "of no service here: not looked for"
                                             : unseen_words[alarm->kind->needs];
}
