/* Ticks in, decisions out.
 *
 * Each rule is looked at by itself and goes through the same five states (rules.c), whether its
 * condition is an expression of the study file or a row of the built-in table (alarms.c). What is
 * done follows from the state alone: on entering an alarm its actions are owed; an owed action that
 * is not allowed now (cool-down, limit, back-off, driver lost) stays owed, and is done when it may
 * be and the alarm still stands; so does one that the actor refused to begin. Rejected: acting at
 * the edge only. A restart that was withheld by its back-off would never come, and the log would
 * say "alarm" for a night.
 *
 * What is told: an alarm, its end, an action done later, a rule that has had no data for a window.
 * Pending and clearing are told by the standing alone: noise around a threshold is no decision.
 *
 * Invariant: no clock, no file, no chance; time is the tick's. An action that is not in the rule,
 * not named under `act`, or over its limit is never asked for. */
#include "guard/judge_inside.h"

#include "base/clock.h"
#include "base/text.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { SEVERITY_MAX = 2 };
enum { REPEATED = 1 << ACTION_RESTART | 1 << ACTION_TIER_DOWN | 1 << ACTION_TIER_UP };

static void *make_room(size_t count, size_t size)
{
    void *memory = calloc(count + 1, size);
    if (!memory)
        abort();
    return memory;
}

/* ---- begin and end ---- */

static void find_uses(const struct spec_guard *g, struct judge_rule *rule)
{
    rule->uses = make_room(g->metric_count, sizeof *rule->uses);
    for (size_t i = 0; i < g->metric_count; i++)
        if (rule->spec && expr_uses(rule->spec->when, i))
            rule->uses[rule->use_count++] = i;
    if (rule->alarm && rule->alarm->id >= 0)
        rule->uses[rule->use_count++] = (size_t)rule->alarm->id;
}

static struct judge_rule from_file(const struct spec_guard *g, const struct spec_guard_rule *spec)
{
    return (struct judge_rule){
        .spec = spec,
        .times = {spec->for_ns, spec->clear_ns,
                  spec->clear_ns > g->window_ns ? spec->clear_ns : g->window_ns},
        .name = spec->name,
        .service = spec->service,
        .actions = spec->actions,
    };
}

static struct judge_rule from_alarm(const struct spec_guard *g, struct guard_alarm *alarm)
{
    const bool notify = g->limits[ACTION_NOTIFY].allowed;
    const bool restudy = alarm->kind->restudy && g->limits[ACTION_RESTUDY].allowed;
    return (struct judge_rule){
        .alarm = alarm,
        .times = {alarm->kind->for_ns, alarm->kind->clear_ns, g->window_ns},
        .name = alarm->kind->name,
        .service = alarm->service,
        .actions = (notify ? 1u << ACTION_NOTIFY : 0) | (restudy ? 1u << ACTION_RESTUDY : 0),
    };
}

struct guard_judge *guard_judge_new(const struct spec_study *study)
{
    const struct spec_guard *g = study->guard;
    struct guard_judge *judge = make_room(1, sizeof *judge);
    judge->study = study;
    judge->limits = guard_limits_new(study);
    judge->values = make_room(g->metric_count, sizeof *judge->values);
    for (size_t i = 0; i < g->metric_count; i++)
        judge->values[i].number = NAN;
    const size_t built_in = guard_alarms_list(study, &judge->alarms);
    judge->rules = make_room(g->rule_count + built_in, sizeof *judge->rules);
    for (size_t i = 0; i < g->rule_count; i++)
        judge->rules[judge->rule_count++] = from_file(g, &g->rules[i]);
    for (size_t i = 0; i < built_in; i++)
        judge->rules[judge->rule_count++] = from_alarm(g, &judge->alarms[i]);
    for (size_t i = 0; i < judge->rule_count; i++)
        find_uses(g, &judge->rules[i]);
    return judge;
}

struct guard_judge *guard_judge_free(struct guard_judge *judge)
{
    for (size_t i = 0; judge && i < judge->rule_count; i++)
        free(judge->rules[i].uses);
    if (judge) {
        guard_limits_free(judge->limits);
        free(judge->values);
        free(judge->rules);
        free(judge->alarms);
    }
    free(judge);
    return NULL;
}

/* ---- what holds ---- */

struct view {
    const struct spec_guard *guard;
    const struct guard_value *values;
    uint64_t at_least;
};

static struct expr_operand look_up(const void *context, size_t id)
{
    const struct view *view = context;
    const struct guard_metric_ref *ref = &view->guard->metrics[id];
    const struct guard_value *value = &view->values[id];
    if (!guard_judge_is_known(ref, value, view->at_least))
        return (struct expr_operand){.kind = EXPR_UNKNOWN};
    if (ref->words)
        return (struct expr_operand){.kind = EXPR_TEXT, .text = value->text};
    return (struct expr_operand){.kind = EXPR_NUMBER, .number = value->number};
}

static enum expr_truth negate(enum expr_truth truth)
{
    return truth == EXPR_MAYBE ? EXPR_MAYBE : truth == EXPR_TRUE ? EXPR_FALSE : EXPR_TRUE;
}

static void look(const struct guard_judge *judge, struct judge_rule *rule,
                 const struct guard_tick *tick, enum expr_truth *ret_when,
                 enum expr_truth *ret_until, bool *ret_sudden)
{
    *ret_sudden = false;
    if (rule->alarm) {
        *ret_when = guard_alarm_look(rule->alarm, tick, ret_sudden);
        *ret_until = negate(*ret_when);
        return;
    }
    const struct view view = {judge->study->guard, tick->values, rule->spec->at_least};
    *ret_when = expr_eval(rule->spec->when, look_up, &view);
    *ret_until =
        rule->spec->until ? expr_eval(rule->spec->until, look_up, &view) : negate(*ret_when);
}

/* ---- what is done ---- */

/* The driver of this service's device is gone: a healthy service would not come back. */
static const struct judge_rule *broken_driver(const struct guard_judge *judge, int service)
{
    const struct spec_service *s = service >= 0 ? &judge->study->services[service] : NULL;
    for (size_t i = 0; s && s->on == ON_GPU && i < judge->rule_count; i++) {
        const struct judge_rule *rule = &judge->rules[i];
        const enum guard_state state = rule->state.state;
        if (rule->alarm && (state == STATE_ALARM || state == STATE_CLEARING) &&
            guard_alarm_is_driver(rule->alarm) &&
            (s->device_knob >= 0 || rule->alarm->device == (long)s->device))
            return rule;
    }
    return NULL;
}

/* Of what an action would stop: a rollback stops whatever was promoted. */
static const struct judge_rule *broken_for(const struct guard_judge *judge, enum spec_action action,
                                           int service)
{
    const struct judge_rule *broken = NULL;
    if (action == ACTION_RESTART)
        return broken_driver(judge, service);
    for (size_t i = 0; action == ACTION_ROLLBACK && !broken && i < judge->study->service_count; i++)
        broken = broken_driver(judge, (int)i);
    return broken;
}

static bool may(const struct guard_judge *judge, const struct judge_rule *rule,
                enum spec_action action, struct buf *why)
{
    const int64_t cool_ns = rule->spec ? rule->spec->cool_down_ns : 0;
    const int64_t left_ns = rule->over_ns > 0 ? rule->over_ns + cool_ns - judge->now_ns : 0;
    if (!judge->study->guard->limits[action].allowed) {
        buf_add(why, "not named under act");
        return false;
    }
    if (left_ns > 0) {
        buf_add(why, "cools down for another ");
        text_add_duration(why, (double)left_ns / 1e9);
        return false;
    }
    const struct judge_rule *driver = broken_for(judge, action, rule->service);
    if (driver) {
        buf_addf(why, "%s: it would not come back", driver->name);
        return false;
    }
    return guard_limits_allow(judge->limits, action, rule->service, judge->now_ns, why);
}

/* Tries what is owed; adds "tier-down (3 of 60 this hour), restart withheld: ..." */
static void act(struct guard_judge *judge, struct judge_rule *rule, struct guard_decision *decision,
                struct buf *text)
{
    const struct spec_guard *g = judge->study->guard;
    const char *between = "; ";
    for (int i = 0; i < ACTION_COUNT_; i++) {
        const uint32_t bit = 1u << i;
        const enum spec_action action = (enum spec_action)i;
        AUTO(buf_done) struct buf why = BUF_INIT(128);
        const bool tier = action == ACTION_TIER_DOWN || action == ACTION_TIER_UP;
        if (!(rule->owed & bit) || (tier && judge->now_ns < rule->owed_ns))
            continue;
        if (!may(judge, rule, action, &why)) {
            decision->withheld |= bit;
            buf_addf(text, "%s%s withheld: %s", between, spec_action_names[i], buf_text(&why));
            between = ", ";
            continue;
        }
        guard_limits_take(judge->limits, action, rule->service, judge->now_ns);
        decision->actions |= bit;
        rule->said |= bit; /* that it may not at once be done again goes without saying */
        rule->notified |= action == ACTION_NOTIFY;
        if (tier) /* its effect fills a window only later */
            rule->owed_ns = judge->now_ns +
                            (rule->times.for_ns > g->window_ns ? rule->times.for_ns : g->window_ns);
        for (size_t k = 0; k < judge->rule_count; k++)
            judge->rules[k].asked &= ~bit;
        rule->asked |= bit;
        if (!(bit & REPEATED))
            rule->owed &= ~bit;
        buf_addf(text, "%s%s (%d of %d this hour)", between, spec_action_names[i],
                 guard_limits_used(judge->limits, action, judge->now_ns), g->limits[i].per_hour);
        between = ", ";
    }
}

/* ---- what is told ---- */

struct telling {
    void (*tell)(void *context, const struct guard_decision *decision);
    void *context;
    const struct guard_tick *tick;
};

static void finish(const struct telling *telling, struct guard_decision *decision, struct buf *text)
{
    snprintf(decision->text, sizeof decision->text, "%s", buf_text(text));
    telling->tell(telling->context, decision);
}

static struct guard_decision begin(const struct telling *telling, const struct judge_rule *rule,
                                   enum guard_state from)
{
    return (struct guard_decision){
        .wall_us = telling->tick->wall_us,
        .rule = rule->name,
        .service = rule->service,
        .from = from,
        .to = rule->state.state,
        .severity = rule->severity,
    };
}

enum { TEXT_MAX = sizeof(((struct guard_decision *)NULL)->text) - 1 };

static void tell_alarm(struct guard_judge *judge, struct judge_rule *rule, enum guard_state from,
                       bool sudden, const struct telling *telling)
{
    AUTO(buf_done) struct buf text = BUF_INIT(TEXT_MAX);
    struct guard_decision decision = begin(telling, rule, from);
    rule->alarm_ns = judge->now_ns;
    rule->owed = rule->actions;
    rule->owed_ns = judge->now_ns;
    rule->said = 0;
    rule->notified = false;
    guard_judge_add_evidence(&text, judge, rule);
    if (rule->times.for_ns > 0 && !sudden) {
        buf_add(&text, " for ");
        text_add_duration(&text, (double)rule->times.for_ns / 1e9);
    }
    buf_addf(&text, ": %s", rule->name);
    act(judge, rule, &decision, &text);
    rule->said |= decision.withheld;
    if (rule->actions == 0)
        buf_add(&text, "; no action is named");
    guard_judge_add_end(&text, rule);
    finish(telling, &decision, &text);
}

/* An alarm that lasts: something more is done, or is withheld that was not before. */
static void tell_more(struct guard_judge *judge, struct judge_rule *rule,
                      const struct telling *telling)
{
    if (rule->owed == 0)
        return;
    AUTO(buf_done) struct buf text = BUF_INIT(TEXT_MAX);
    struct guard_decision decision = begin(telling, rule, STATE_ALARM);
    guard_judge_add_evidence(&text, judge, rule);
    buf_addf(&text, ": %s for ", rule->name);
    text_add_duration(&text, (double)(judge->now_ns - rule->alarm_ns) / 1e9);
    act(judge, rule, &decision, &text);
    if (decision.actions == 0 && (decision.withheld & ~rule->said) == 0)
        return;
    rule->said |= decision.withheld;
    finish(telling, &decision, &text);
}

/* Of an event that nothing shows to be over: it only was not seen again, and nobody is called. Of a
 * card that was proven to compute again it is shown. */
static bool ends_by_time(const struct judge_rule *rule)
{
    return rule->alarm && !rule->alarm->kind->look && !rule->alarm->kind->ends &&
           !rule->alarm->proven;
}

static void tell_over(struct guard_judge *judge, struct judge_rule *rule, enum guard_state from,
                      const struct telling *telling)
{
    AUTO(buf_done) struct buf text = BUF_INIT(TEXT_MAX);
    struct guard_decision decision = begin(telling, rule, from);
    const bool unknown = rule->state.state == STATE_NO_DATA, by_time = ends_by_time(rule);
    if (unknown)
        guard_judge_add_unknown(&text, judge, rule);
    else
        guard_judge_add_evidence(&text, judge, rule);
    buf_addf(&text, ": %s%s", rule->name,
             unknown   ? " can't be judged any more, after "
             : by_time ? ": not again for "
                       : " is over after ");
    text_add_duration(
        &text, (double)(by_time ? rule->alarm->hold_ns : judge->now_ns - rule->alarm_ns) / 1e9);
    /* Whoever was told that it began. */
    rule->owed = rule->notified && !by_time ? 1u << ACTION_NOTIFY : 0;
    act(judge, rule, &decision, &text);
    rule->over_ns = judge->now_ns;
    rule->owed = 0;
    rule->told_unknown = unknown;
    finish(telling, &decision, &text);
}

/* A rule of the file that nobody can judge for a whole window, and when somebody can again. */
static void tell_unknown(struct guard_judge *judge, struct judge_rule *rule, enum guard_state from,
                         const struct telling *telling)
{
    const bool unknown = rule->state.state == STATE_NO_DATA;
    const bool long_enough = judge->now_ns - rule->state.since_ns >= rule->times.unknown_ns;
    if (rule->alarm || unknown == rule->told_unknown || (unknown && !long_enough))
        return;
    AUTO(buf_done) struct buf text = BUF_INIT(TEXT_MAX);
    struct guard_decision decision = begin(telling, rule, unknown ? STATE_NO_DATA : from);
    if (unknown) {
        guard_judge_add_unknown(&text, judge, rule);
        buf_add(&text, " for ");
        text_add_duration(&text, (double)(judge->now_ns - rule->state.since_ns) / 1e9);
        buf_addf(&text, ": %s can't be judged; that is no sign of health", rule->name);
    } else {
        guard_judge_add_evidence(&text, judge, rule);
        buf_addf(&text, ": %s can be judged again, and is %s", rule->name,
                 guard_state_names[rule->state.state]);
    }
    rule->told_unknown = unknown;
    finish(telling, &decision, &text);
}

/* ---- one step ---- */

static bool in_alarm(enum guard_state state)
{
    return state == STATE_ALARM || state == STATE_CLEARING;
}

/* Over, or not judged: 0; what can wait; what an operator is called for. */
static unsigned severity_of(const struct judge_rule *rule)
{
    if (rule->state.state != STATE_ALARM)
        return 0;
    return rule->alarm && rule->alarm->kind->minor ? 1 : SEVERITY_MAX;
}

static void step_rule(struct guard_judge *judge, struct judge_rule *rule,
                      const struct guard_tick *tick)
{
    enum expr_truth until = EXPR_MAYBE;
    look(judge, rule, tick, &rule->when, &until, &rule->sudden);
    rule->from = guard_rule_step(&rule->state, &rule->times, rule->when, until, rule->sudden,
                                 judge->now_ns, tick->wall_us);
    rule->severity = severity_of(rule);
}

static void tell_rule(struct guard_judge *judge, struct judge_rule *rule,
                      const struct telling *telling)
{
    const enum guard_state from = rule->from, to = rule->state.state;
    const bool worse = rule->alarm && rule->alarm->worse; /* what is to be done is another thing */
    if (to == STATE_ALARM && (!in_alarm(from) || worse)) {
        rule->told_unknown = false;
        tell_alarm(judge, rule, from, rule->sudden, telling);
    } else if (in_alarm(from) && !in_alarm(to)) {
        tell_over(judge, rule, from, telling);
    } else if (to == STATE_ALARM) {
        if (rule->when == EXPR_TRUE) /* not while nobody knows, nor between the two thresholds */
            tell_more(judge, rule, telling);
    } else if (!in_alarm(to)) {
        tell_unknown(judge, rule, from, telling);
    }
}

void guard_judge_step(struct guard_judge *judge, const struct guard_tick *tick,
                      void (*tell)(void *context, const struct guard_decision *decision),
                      void *context)
{
    const struct telling telling = {tell, context, tick};
    if (tick->mono_ns > judge->now_ns)
        judge->now_ns = tick->mono_ns; /* never backwards, whatever a recording says */
    memcpy(judge->values, tick->values, judge->study->guard->metric_count * sizeof *judge->values);
    /* All are looked at before anything is done: a driver that is lost withholds a restart. */
    for (size_t i = 0; i < judge->rule_count; i++)
        step_rule(judge, &judge->rules[i], tick);
    /* The gravest first: what is left of an hour's limit is theirs. */
    for (unsigned severity = SEVERITY_MAX + 1; severity-- > 0;)
        for (size_t i = 0; i < judge->rule_count; i++)
            if (judge->rules[i].severity == severity)
                tell_rule(judge, &judge->rules[i], &telling);
}

void guard_judge_refused(struct guard_judge *judge, enum spec_action action, int service)
{
    const uint32_t bit = 1u << action;
    guard_limits_give_back(judge->limits, action, service, judge->now_ns);
    /* What is done once is owed again by whoever asked, if that is still in alarm. */
    for (size_t i = 0; i < judge->rule_count; i++) {
        struct judge_rule *rule = &judge->rules[i];
        if (rule->asked & bit && in_alarm(rule->state.state))
            rule->owed |= bit;
        rule->asked &= ~bit;
    }
}

const char *guard_judge_driver(const struct guard_judge *judge, int service)
{
    const struct judge_rule *rule = broken_driver(judge, service);
    return rule ? rule->name : NULL;
}

/* ---- standing ---- */

size_t guard_judge_rules(const struct guard_judge *judge)
{
    return judge->rule_count;
}

void guard_judge_standing(const struct guard_judge *judge, size_t i,
                          struct guard_standing *ret_standing)
{
    const struct judge_rule *rule = &judge->rules[i];
    const struct guard_rule_state *state = &rule->state;
    AUTO(buf_done) struct buf text = BUF_INIT(sizeof ret_standing->text - 1);
    if (state->state == STATE_NO_DATA)
        guard_judge_add_unknown(&text, judge, rule);
    else
        guard_judge_add_evidence(&text, judge, rule);
    const int64_t most_ns = state->state == STATE_PENDING    ? rule->times.for_ns
                            : state->state == STATE_CLEARING ? rule->times.clear_ns
                                                             : 0;
    if (most_ns > 0) {
        buf_add(&text, state->state == STATE_PENDING ? ", for " : ", over for ");
        text_add_duration(&text, (double)(judge->now_ns - state->since_ns) / 1e9);
        buf_add(&text, " of ");
        text_add_duration(&text, (double)most_ns / 1e9);
    }
    const long device = rule->alarm ? rule->alarm->device : -1;
    *ret_standing = (struct guard_standing){
        .rule = rule->name,
        .service = rule->service >= 0 ? judge->study->services[rule->service].name : NULL,
        .device = device >= 0 ? judge->study->devices[device] : NULL,
        .state = state->state,
        .minor = rule->alarm && rule->alarm->kind->minor,
        .since_wall_us = state->since_wall_us};
    snprintf(ret_standing->text, sizeof ret_standing->text, "%s", buf_text(&text));
}
