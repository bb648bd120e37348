/* Built-in alarms as a table: what begins each, what ends it, how long without either.
 *
 * A figure (placement, up) can say that all is well again, an event (a line in a log) can't: such
 * an alarm ends by time. Where both are there, an event is believed at once and the figure gets
 * some seconds to follow, for it is read less often than the log.
 *
 * Rejected: writing them as rules of the study file's language. Half of them hang on events, which
 * the language has no word for, and a person would copy them wrong.
 *
 * Times: a placement that is lost has to be found within 10 s, and what guard sees for the first
 * time may still be starting; a device that fills has to be known 10 minutes before, so the
 * threshold is 15 (the trend is no better than a third).
 *
 * "no usable server" is an event with an end of its own: HAProxy that does not answer says neither,
 * and then nobody knows. So it is with all that events alone tell: where nobody would see them
 * (alarms_seen.c) it is unknown. */
#include "guard/alarms_inside.h"

#include "base/clock.h"
#include "guard/policy_record.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static const double FULL_SOON_S = 15 * 60, FULL_LATER_S = 20 * 60;
static const double FAILS_RATIO = 0.5, FAILS_LESS_RATIO = 0.4;
static const uint64_t FAILS_LEAST = 10;         /* fewer requests are an accident */
static const int64_t FOLLOWS_NS = 5 * NS_PER_S; /* a figure its event */
static const int64_t AGAIN_NS = 600 * NS_PER_S; /* restarts within it are one trouble */

static const struct guard_value *value_of(const struct guard_alarm *alarm,
                                          const struct guard_tick *tick)
{
    static const struct guard_value unknown = {.number = NAN};
    return alarm->id < 0 ? &unknown : &tick->values[alarm->id];
}

static enum expr_truth truth_of(bool value)
{
    return value ? EXPR_TRUE : EXPR_FALSE;
}

/* ---- what figures say ---- */

static enum expr_truth is_misplaced(struct guard_alarm *alarm, const struct guard_tick *tick)
{
    const char *word = value_of(alarm, tick)->text;
    if (!word || strcmp(word, "unproven") == 0)
        return EXPR_MAYBE;
    return truth_of(strcmp(word, "gpu") != 0);
}

static enum expr_truth is_zero(struct guard_alarm *alarm, const struct guard_tick *tick)
{
    double number = value_of(alarm, tick)->number;
    return isnan(number) ? EXPR_MAYBE : truth_of(number == 0);
}

static enum expr_truth is_one(struct guard_alarm *alarm, const struct guard_tick *tick)
{
    double number = value_of(alarm, tick)->number;
    return isnan(number) ? EXPR_MAYBE : truth_of(number != 0);
}

static enum expr_truth is_driver_lost(struct guard_alarm *alarm, const struct guard_tick *tick)
{
    const char *word = value_of(alarm, tick)->text;
    if (!word)
        return EXPR_MAYBE;
    return truth_of(strcmp(word, "lost") == 0 || strcmp(word, "mismatch") == 0);
}

/* Unknown is what it is called while it does not grow, and also before anything is known: the
 * memory in use, which stands just before it among the refs of a device, tells them apart. */
static enum expr_truth is_full_soon(struct guard_alarm *alarm, const struct guard_tick *tick)
{
    static_assert(GUARD_DEVICE_FULL_IN == GUARD_DEVICE_USED + 2, "refs stand in this order");
    const double left_s = value_of(alarm, tick)->number;
    if (isnan(left_s) && isnan(tick->values[alarm->id - 2].number))
        return EXPR_MAYBE;
    alarm->bad = left_s < (alarm->bad ? FULL_LATER_S : FULL_SOON_S); /* not of NaN */
    return truth_of(alarm->bad);
}

/* Another process, or another setting that is watched: its window begins with it. */
static bool has_begun(const struct guard_alarm *alarm, const struct guard_tick *tick)
{
    for (size_t i = 0; i < tick->event_count; i++) {
        const struct guard_event *event = &tick->events[i];
        if (event->kind == EVENT_SETTING)
            return true;
        if (event->service == alarm->service &&
            (event->kind == EVENT_RESTARTED || event->kind == EVENT_UP))
            return true;
    }
    return false;
}

/* Of a window that holds nothing. Before one has passed nobody can say so: since guard began, since
 * the service is another process, since it is up ("down" says the rest), since another setting is
 * watched. */
static enum expr_truth is_silent(struct guard_alarm *alarm, const struct guard_tick *tick)
{
    const struct guard_value *value = value_of(alarm, tick);
    const bool down = alarm->up >= 0 && tick->values[alarm->up].number == 0;
    if (down || has_begun(alarm, tick)) {
        alarm->began_ns = tick->mono_ns;
        alarm->known_ns = 0;
    }
    if (value->count > 0 || !isnan(value->number)) {
        alarm->known_ns = tick->mono_ns;
        return EXPR_FALSE;
    }
    if (down)
        return EXPR_MAYBE;
    const bool seen = alarm->known_ns > 0;
    return seen || tick->mono_ns - alarm->began_ns >= alarm->study->guard->window_ns ? EXPR_TRUE
                                                                                     : EXPR_MAYBE;
}

/* Whoever says so: requests that fail at HAProxy are as bad as those that only the engine sees
 * fail. The sources of one service stand side by side among the refs.
 *
 * Probes that failed in a row are an event, which a ratio over the window, half of it from before,
 * does not contradict: that one is over when a probe is answered. */
static enum expr_truth is_failing(struct guard_alarm *alarm, const struct guard_tick *tick)
{
    const struct guard_metric_ref *refs = alarm->study->guard->metrics;
    double worst = NAN;
    for (long i = alarm->id; i >= 0 && i < alarm->id + SOURCE_COUNT_; i++) {
        const struct guard_value *value = &tick->values[i];
        assert(refs[i].metric == GUARD_ERRORS && refs[i].index == (size_t)alarm->service);
        if (isnan(value->number) || value->count < FAILS_LEAST ||
            (!isnan(worst) && value->number <= worst))
            continue;
        worst = value->number;
        alarm->shown = i;
    }
    if (isnan(worst))
        return EXPR_MAYBE;
    alarm->bad = worst > (alarm->bad ? FAILS_LESS_RATIO : FAILS_RATIO);
    return alarm->latched && !alarm->bad ? EXPR_MAYBE : truth_of(alarm->bad);
}

static enum expr_truth is_again(struct guard_alarm *alarm, const struct guard_tick *tick)
{
    const int64_t third_ns = alarm->last_ns[ARRAY_LEN(alarm->last_ns) - 1];
    return truth_of(third_ns > 0 && alarm->last_ns[0] - third_ns <= AGAIN_NS &&
                    tick->mono_ns - alarm->last_ns[0] <= AGAIN_NS);
}

static enum expr_truth has_lost(struct guard_alarm *alarm, const struct guard_tick *tick)
{
    (void)alarm;
    return truth_of(tick->events_lost > 0);
}

/* ---- the table ---- */

#define S(seconds) ((seconds)*NS_PER_S)
#define EVENT(kind) (UINT64_C(1) << (EVENT_##kind))
#define NONE GUARD_METRIC_COUNT_
const struct guard_alarm_kind guard_alarm_kinds[] = {
    {"not on its device", SCOPE_SERVICE, is_misplaced, GUARD_PLACEMENT, EVENT(ON_CPU),
     EVENT(PLACED), .for_ns = S(3), .clear_ns = S(5),
     .meaning = "it computes elsewhere and is slow; spica doctor says why"},
    {"out of device memory", SCOPE_SERVICE, NULL, NONE, EVENT(OOM_DEVICE), 0, .hold_ns = S(300),
     .machine = true, .needs = NEEDS_LOG,
     .meaning = "a request or its start failed for want of memory"},
    {"killed for memory", SCOPE_SERVICE, NULL, NONE, EVENT(OOM_KERNEL), 0, .hold_ns = S(300),
     .machine = true, .needs = NEEDS_KERNEL, .meaning = "the machine's own memory ran out"},
    {"down", SCOPE_SERVICE, is_zero, GUARD_UP, EVENT(DOWN), EVENT(UP), .for_ns = S(2),
     .clear_ns = S(2), .meaning = "it does not run, or its port is closed"},
    {"hangs", SCOPE_SERVICE, NULL, NONE, EVENT(HANGS),
     EVENT(OVERLOADED) | EVENT(UP) | EVENT(RESTARTED), .hold_ns = S(60), .needs = NEEDS_PROBE,
     .meaning = "its port accepts and nothing is answered"},
    {"overloaded", SCOPE_SERVICE, NULL, NONE, EVENT(OVERLOADED), EVENT(UP) | EVENT(RESTARTED),
     .hold_ns = S(60), .minor = true, .needs = NEEDS_PROBE,
     .meaning = "a probe got no answer in time, others did: more comes than it can answer"},
    {"fails", SCOPE_SERVICE, is_failing, GUARD_ERRORS, EVENT(FAILS),
     EVENT(ANSWERS) | EVENT(UP) | EVENT(RESTARTED), .for_ns = S(3), .clear_ns = S(10),
     .meaning = "more than half of its requests fail, or one probe after the other"},
    {"no usable server", SCOPE_SERVICE, NULL, NONE, EVENT(UNSERVED), EVENT(SERVED), .front = true,
     .needs = NEEDS_PROXY, .meaning = "HAProxy has nobody to give its requests to"},
    {"arm in doubt", SCOPE_SERVICE, NULL, NONE, EVENT(ARM_DOUBT), EVENT(ARM_SOUND), .front = true,
     .split = true,
     .meaning =
         "an arm hears worse or is slow alone, or one or a tier is on the CPU or does not run"},
    {"tier does not stop", SCOPE_SERVICE, NULL, NONE, EVENT(TIER_STAYS), EVENT(TIER_GONE),
     .hold_ns = S(900), .chosen = true,
     .meaning = "guard has stopped it and it is not down: what it holds is free for nobody"},
    {"restarted", SCOPE_SERVICE, NULL, NONE, EVENT(RESTARTED), 0, .hold_ns = S(60), .minor = true,
     .needs = NEEDS_LOOK, .meaning = "what it had in memory is gone"},
    {"restarts again and again", SCOPE_SERVICE, is_again, NONE, EVENT(RESTARTED), 0, .for_ns = 0,
     .clear_ns = 0, .needs = NEEDS_LOOK,
     .meaning = "three times within ten minutes: it does not get well by itself"},
    {"no data", SCOPE_SERVICE, is_silent, GUARD_LATENCY, 0, 0, .for_ns = 0, .clear_ns = S(5),
     .minor = true,
     .meaning = "no request was answered for a whole window: nothing is known of it"},
    {"device full soon", SCOPE_DEVICE, is_full_soon, GUARD_DEVICE_FULL_IN, 0, 0, .for_ns = S(30),
     .clear_ns = S(30), .meaning = "at the present trend, in less than 15 minutes"},
    {"throttled", SCOPE_DEVICE, is_one, GUARD_DEVICE_THROTTLED, 0, 0, .for_ns = S(30),
     .clear_ns = S(60), .minor = true, .meaning = "heat or power holds its clocks down"},
    {"driver lost", SCOPE_DEVICE, is_driver_lost, GUARD_DEVICE_FAULT, EVENT(DRIVER_LOST), 0,
     .for_ns = 0, .clear_ns = S(10), .hold_ns = S(600),
     .meaning = "no service comes back before the driver does: mostly after a reboot"},
    {"driver error", SCOPE_DEVICE, NULL, NONE, EVENT(XID), 0, .hold_ns = S(600),
     .needs = NEEDS_KERNEL, .meaning = "the driver reported an error of the GPU"},
    {"HAProxy down", SCOPE_PROXY, is_zero, GUARD_PROXY_UP, EVENT(PROXY_DOWN), 0, .for_ns = S(2),
     .clear_ns = S(2), .hold_ns = S(60), .meaning = "nobody carries the traffic"},
    {"HAProxy restarted", SCOPE_PROXY, NULL, NONE, EVENT(PROXY_RESTARTED), 0, .hold_ns = S(60),
     .minor = true, .needs = NEEDS_PROXY,
     .meaning = "requests under way were cut, unless it was a reload"},
    {"disk full", SCOPE_GUARD, NULL, NONE, EVENT(DISK_FULL), EVENT(DISK_WRITES), .clear_ns = S(60),
     .minor = true, .meaning = "nothing is recorded; the watching goes on"},
    {"not recorded", SCOPE_GUARD, NULL, NONE, EVENT(NO_RECORD), EVENT(DISK_WRITES),
     .clear_ns = S(60), .meaning = "the recording can't be written; the watching goes on"},
    {"log not read", SCOPE_GUARD, NULL, NONE, EVENT(LOG_LOST), EVENT(LOG_READ), .clear_ns = S(5),
     .meaning = "what that log would tell is not seen, and counted nowhere"},
    {"clock stepped", SCOPE_GUARD, NULL, NONE, EVENT(CLOCK_STEP), 0, .hold_ns = S(60),
     .minor = true, .meaning = "times shown jump; windows go on by the steady clock"},
    {"log flood", SCOPE_GUARD, has_lost, NONE, EVENT(LOG_FLOOD), 0, .clear_ns = S(30),
     .hold_ns = S(60), .minor = true,
     .meaning = "lines were dropped: figures of requests stand on a part of them"},
    {"neighbour changed", SCOPE_GUARD, NULL, NONE, EVENT(NEIGHBOUR), 0, .hold_ns = S(600),
     .minor = true, .meaning = "who shares the device is not who did a moment ago"},
    {"versions changed", SCOPE_GUARD, is_one, GUARD_CHANGED_VERSIONS, 0, 0,
     .tells = EVENT(VERSIONS), .minor = true, .restudy = true,
     .meaning = "the study measured another one: spica run measures again"},
    {"neighbours not as studied", SCOPE_GUARD, is_one, GUARD_CHANGED_NEIGHBOURS, 0, 0,
     .tells = EVENT(OTHER_NEIGHBOURS), .for_ns = S(600), .clear_ns = S(60), .minor = true,
     .restudy = true, .meaning = "the study measured beside others: spica run measures again"},
    {"load not as studied", SCOPE_GUARD, is_one, GUARD_CHANGED_LOAD, 0, 0,
     .tells = EVENT(OTHER_LOAD), .minor = true,
     .meaning = "the study measured another load: write it into load:, then spica run"},
};
#undef S
#undef NONE
static_assert(EVENT_COUNT_ <= 64, "begins and ends have a bit for each");
const size_t guard_alarm_kind_count = ARRAY_LEN(guard_alarm_kinds);

/* ---- of one study ---- */

static bool concerns(const struct spec_study *study, const struct guard_alarm_kind *kind, size_t i)
{
    const struct spec_guard *g = study->guard;
    const struct spec_watch *w = &g->watches[i];
    bool front = false, split = false, chosen = false;
    for (size_t f = 0; f < g->front_count; f++) {
        const bool placed = g->fronts[f].tier_count > 0 && (study->services[i].on == ON_GPU ||
                                                            policy_front_chooses(&g->fronts[f]));
        front |= g->fronts[f].service == i;
        chosen |= g->fronts[f].service == i && policy_front_chooses(&g->fronts[f]);
        split |= g->fronts[f].service == i && (g->fronts[f].split.count > 0 || placed);
    }
    if (kind->chosen)
        return chosen;
    if (kind->split)
        return split;
    if (kind->front)
        return front;
    if (kind->look == is_misplaced)
        return study->services[i].on == ON_GPU && (front || w->kind != WATCH_NOTHING);
    if (kind->look == is_silent)
        return front || w->port > 0;
    return front || w->kind != WATCH_NOTHING;
}

long guard_alarm_find_id(const struct spec_guard *g, enum guard_metric metric, size_t index)
{
    for (size_t i = 0; i < g->metric_count; i++)
        if (g->metrics[i].metric == metric && g->metrics[i].index == index)
            return (long)i; /* of a metric with sources, the best of them stands first */
    return -1;
}

/* A service that hangs or is slow says so with each probe: over is what three of them did not say.
 */
static int64_t hold_of(const struct spec_study *study, const struct guard_alarm_kind *kind, long i)
{
    const struct spec_watch *w = i >= 0 ? &study->guard->watches[i] : NULL;
    if (!w || !(kind->begins & (EVENT(HANGS) | EVENT(OVERLOADED))) || w->probe_rps <= 0)
        return kind->hold_ns;
    int64_t probes_ns = 3 * ((int64_t)(1e9 / w->probe_rps) + w->probe_within_ns);
    return probes_ns > kind->hold_ns ? probes_ns : kind->hold_ns;
}

static struct guard_alarm make(const struct spec_study *study, const struct guard_alarm_kind *kind,
                               long service, long device)
{
    const size_t index = service >= 0 ? (size_t)service : device >= 0 ? (size_t)device : 0;
    const long id =
        kind->metric == GUARD_METRIC_COUNT_ || (kind->scope == SCOPE_SERVICE && service < 0)
            ? -1
            : guard_alarm_find_id(study->guard, kind->metric, index);
    return (struct guard_alarm){
        .kind = kind,
        .study = study,
        .who = service >= 0  ? study->services[service].name
               : device >= 0 ? study->devices[device]
                             : NULL,
        .service = (int)service,
        .device = device,
        .up = service >= 0 ? guard_alarm_find_id(study->guard, GUARD_UP, index) : -1,
        .id = id,
        .shown = id,
        .hold_ns = hold_of(study, kind, service),
        .seen_by = guard_alarm_seen_by(study->guard, kind, service),
    };
}

static size_t add_kind(const struct spec_study *study, const struct guard_alarm_kind *kind,
                       struct guard_alarm *list)
{
    size_t count = 0;
    switch (kind->scope) {
    case SCOPE_SERVICE:
        for (size_t i = 0; i < study->service_count; i++)
            if (concerns(study, kind, i))
                list[count++] = make(study, kind, (long)i, -1);
        if (kind->machine)
            list[count++] = make(study, kind, -1, -1);
        break;
    case SCOPE_DEVICE:
        for (size_t i = 0; i < study->device_count; i++)
            if (kind->metric == GUARD_DEVICE_FULL_IN || spec_device_is_gpu(study->devices[i]))
                list[count++] = make(study, kind, -1, (long)i);
        break;
    case SCOPE_PROXY:
        if (study->guard->proxy.given)
            list[count++] = make(study, kind, -1, -1);
        break;
    case SCOPE_GUARD:
        list[count++] = make(study, kind, -1, -1);
        break;
    }
    return count;
}

size_t guard_alarms_list(const struct spec_study *study, struct guard_alarm **ret_alarms)
{
    const size_t most = ARRAY_LEN(guard_alarm_kinds) * (SPEC_SERVICES_MAX + 1);
    struct guard_alarm *list = calloc(most, sizeof *list);
    size_t count = 0;
    if (!list)
        abort();
    for (size_t k = 0; k < ARRAY_LEN(guard_alarm_kinds); k++)
        count += add_kind(study, &guard_alarm_kinds[k], list + count);
    *ret_alarms = list;
    return count;
}

/* On /metrics and in decisions a rule is known by its name: two of one name would be two states
 * with the same labels, and one counter. Not checked where the file is loaded: what is loaded there
 * knows no alarm, and a list of names would be a second one. */
bool guard_alarms_check_names(const struct spec_study *study, const char *path, struct err *err)
{
    const struct spec_guard *guard = study->guard;
    for (size_t i = 0; guard && i < guard->rule_count; i++)
        for (size_t k = 0; k < ARRAY_LEN(guard_alarm_kinds); k++)
            if (strcmp(guard->rules[i].name, guard_alarm_kinds[k].name) == 0)
                return err_set(
                    err, ERR_INPUT,
                    "%s: guard.rules: \"%s\" is an alarm that guard has itself: call the "
                    "rule something else",
                    path, guard->rules[i].name);
    return true;
}

/* ---- one look ---- */

static bool is_about(const struct guard_alarm *alarm, const struct guard_event *event)
{
    if (alarm->kind->scope == SCOPE_SERVICE)
        return alarm->service == event->service;
    return alarm->kind->scope != SCOPE_DEVICE || guard_alarm_is_of_device(alarm, event->text);
}

static bool take_events(struct guard_alarm *alarm, const struct guard_tick *tick)
{
    bool sudden = false;
    for (size_t i = 0; i < tick->event_count; i++) {
        const struct guard_event *event = &tick->events[i];
        const uint64_t bit = UINT64_C(1) << event->kind;
        if (event->kind == EVENT_XID_OVER && alarm->kind->begins == EVENT(XID) &&
            is_about(alarm, event))
            guard_alarm_note_recovery(alarm);
        if (alarm->kind->tells & bit)
            memcpy(alarm->text, event->text, sizeof alarm->text);
        if (!((alarm->kind->begins | alarm->kind->ends) & bit) || !is_about(alarm, event))
            continue;
        if (alarm->kind->ends & bit)
            sudden = alarm->latched = false;
        if (!(alarm->kind->begins & bit))
            continue;
        for (size_t n = ARRAY_LEN(alarm->last_ns) - 1; n > 0; n--)
            alarm->last_ns[n] = alarm->last_ns[n - 1];
        alarm->last_ns[0] = alarm->latched_ns = tick->mono_ns;
        alarm->latched = sudden = true;
        if (alarm->kind->begins == EVENT(XID))
            guard_alarm_note_xid(alarm, event->text, tick->mono_ns);
        if (!alarm->fatal || guard_alarm_xid_is_fatal(event->text)) /* the gravest is shown */
            memcpy(alarm->text, event->text, sizeof alarm->text);
    }
    return sudden;
}

enum expr_truth guard_alarm_look(struct guard_alarm *alarm, const struct guard_tick *tick,
                                 bool *ret_sudden)
{
    const struct guard_alarm_kind *kind = alarm->kind;
    if (alarm->began_ns == 0)
        alarm->began_ns = tick->mono_ns;
    alarm->worse = false;
    *ret_sudden = take_events(alarm, tick);
    enum expr_truth truth = kind->look ? kind->look(alarm, tick) : EXPR_FALSE;
    guard_alarm_see(alarm, tick);
    if (alarm->unseen && truth == EXPR_FALSE)
        truth = EXPR_MAYBE;
    if (kind->look == is_again)
        return truth; /* one event alone says nothing */
    const int64_t age_ns = tick->mono_ns - alarm->latched_ns;
    const bool well = guard_alarm_is_well_again(alarm, tick);
    if (alarm->hold_ns > 0 && age_ns >= alarm->hold_ns && well)
        alarm->latched = alarm->fatal = false;
    if (kind->metric != GUARD_METRIC_COUNT_ && truth == EXPR_FALSE && age_ns >= FOLLOWS_NS)
        alarm->latched = false;
    return alarm->latched ? EXPR_TRUE : truth;
}

/* ---- the driver ---- */

bool guard_alarm_is_driver(const struct guard_alarm *alarm)
{
    return alarm->device >= 0 && (alarm->kind->look == is_driver_lost || alarm->fatal);
}
