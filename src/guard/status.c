/* One view of what guard knows, and it as JSON.
 *
 * Everything is copied when it is told, in fixed room: /status must not reach into a judge or a
 * proxy in the middle of a step, and a flood of decisions must not grow the daemon. Rejected: each
 * renderer asking the parts themselves, which would show the terminal one moment and /metrics
 * another.
 *
 * Unknown is null. A value stands beside how many values it rests on and where it comes from. */
#include "guard/status_inside.h"

#include "base/clock.h"
#include "base/json.h"

#include <math.h>
#include <string.h>

static const int64_t WELL_WITHIN_NS = 5 * NS_PER_S;
enum { STATUS_VERSION = 1 };

static void *make_room(size_t count, size_t size)
{
    void *made = calloc(count > 0 ? count : 1, size);
    if (!made)
        abort();
    return made;
}

static struct status_rule *find_rule(struct guard_status *status, const char *name, int service)
{
    for (size_t i = 0; i < status->rule_count; i++)
        if (status->rules[i].service == service &&
            strncmp(status->rules[i].name, name, sizeof status->rules[i].name - 1) == 0)
            return &status->rules[i];
    if (status->rule_count == STATUS_RULES_MAX)
        return NULL;
    struct status_rule *rule = &status->rules[status->rule_count++];
    snprintf(rule->name, sizeof rule->name, "%s", name);
    rule->service = service;
    return rule;
}

/* Counters begin at 0: of one that first shows with its first alarm, increase() sees none. */
static void add_rules(struct guard_status *status)
{
    const size_t count = status->judge ? guard_judge_rules(status->judge) : 0;
    for (size_t i = 0; i < count; i++) {
        struct guard_standing standing;
        guard_judge_standing(status->judge, i, &standing);
        (void)find_rule(status, standing.rule,
                        standing.service ? spec_study_service(status->study, standing.service)
                                         : -1);
    }
}

struct guard_status *guard_status_new(const struct spec_study *study,
                                      const struct guard_judge *judge, bool dry_run)
{
    struct guard_status *status = make_room(1, sizeof *status);
    status->study = study;
    status->judge = judge;
    status->dry_run = dry_run;
    status->begun_wall_us = clock_now_wall_us();
    status->values = make_room(study->guard->metric_count, sizeof *status->values);
    for (size_t i = 0; i < study->guard->metric_count; i++)
        status->values[i].number = NAN;
    status->kinds = make_room(study->service_count * SOURCE_COUNT_, sizeof *status->kinds);
    status->decisions = make_room(GUARD_RECENT_MAX, sizeof *status->decisions);
    status->events = make_room(GUARD_RECENT_MAX, sizeof *status->events);
    add_rules(status);
    return status;
}

struct guard_status *guard_status_free(struct guard_status *status)
{
    if (status) {
        free(status->values);
        free(status->kinds);
        free(status->decisions);
        free(status->events);
        free(status);
    }
    return NULL;
}

/* ---- being told ---- */

void guard_status_tick(struct guard_status *status, const struct guard_tick *tick)
{
    size_t count = status->study->guard->metric_count;
    if (count > 0)
        memcpy(status->values, tick->values, count * sizeof *status->values);
    status->ticks++;
    status->tick_ns = tick->mono_ns;
    status->tick_wall_us = tick->wall_us;
    status->events_lost += tick->events_lost;
    for (size_t i = 0; i < tick->event_count; i++) {
        struct status_event *kept = &status->events[status->event_total++ % GUARD_RECENT_MAX];
        *kept = (struct status_event){tick->wall_us, tick->events[i]};
        status->event_counts[tick->events[i].kind]++;
    }
}

void guard_status_decision(struct guard_status *status, const struct guard_decision *decision)
{
    struct status_rule *rule =
        find_rule(status, decision->rule,
                  decision->service >= 0 && (size_t)decision->service < status->study->service_count
                      ? decision->service
                      : -1);
    status->decisions[status->decision_total++ % GUARD_RECENT_MAX] = *decision;
    for (int i = 0; i < ACTION_COUNT_; i++) {
        status->begun[i] += (decision->actions >> i) & 1;
        status->withheld[i] += (decision->withheld >> i) & 1;
    }
    if (rule && decision->to == STATE_ALARM && decision->from != STATE_CLEARING &&
        decision->from != STATE_ALARM)
        rule->alarms++; /* else it is the same one */
}

void guard_status_proxy(struct guard_status *status, const struct proxy_view *view)
{
    status->has_proxy = true;
    status->proxy = *view;
}

void guard_status_tiers(struct guard_status *status, size_t front,
                        const struct guard_tier_standing *tiers, size_t count, const char *text)
{
    struct status_front *into = &status->fronts[front];
    into->tier_count = count < SPEC_TIERS_MAX ? count : SPEC_TIERS_MAX;
    memcpy(into->tiers, tiers, into->tier_count * sizeof *tiers);
    snprintf(into->text, sizeof into->text, "%s", text ? text : "");
}

void guard_status_split(struct guard_status *status, size_t front,
                        const struct guard_status_split *split)
{
    status->fronts[front].split = *split;
}

int64_t guard_status_age_ns(const struct guard_status *status, int64_t now_ns)
{
    return status->ticks > 0 ? now_ns - status->tick_ns : CLOCK_NEVER;
}

bool guard_status_well(const struct guard_status *status, int64_t now_ns)
{
    int64_t within_ns = 3 * status->study->guard->every_ns;
    return guard_status_age_ns(status, now_ns) <=
           (within_ns > WELL_WITHIN_NS ? within_ns : WELL_WITHIN_NS);
}

/* ---- JSON ---- */

static json_t *wall(int64_t wall_us)
{
    return wall_us > 0 ? json_real((double)wall_us / 1e6) : json_null();
}

static json_t *service_or_null(const struct guard_status *status, int service)
{
    return service >= 0 && (size_t)service < status->study->service_count
               ? json_text_or_null(status->study->services[service].name)
               : json_null();
}

static json_t *values_json(const struct guard_status *status)
{
    const struct spec_guard *guard = status->study->guard;
    json_t *object = json_object();
    for (size_t i = 0; i < guard->metric_count; i++) {
        const struct guard_value *value = &status->values[i];
        const struct guard_metric_info *info = &guard_metric_infos[guard->metrics[i].metric];
        json_t *row = json_object();
        json_object_set_new(row, "value",
                            info->unit == EXPR_UNIT_TEXT ? json_text_or_null(value->text)
                                                         : json_real_or_null(value->number));
        if (value->count > 0)
            json_object_set_new(row, "count", json_integer((json_int_t)value->count));
        if (info->sources && value->source != SOURCE_NONE)
            json_object_set_new(row, "source", json_string(guard_source_names[value->source]));
        if (value->bucket_s > 0) /* null: it is beyond the last bound, and may be any longer */
            json_object_set_new(row, "bucket_s", json_real_or_null(value->bucket_s));
        json_object_set_new(object, guard->metrics[i].name, row);
    }
    return object;
}

static json_t *rules_json(const struct guard_status *status)
{
    json_t *list = json_array();
    size_t count = status->judge ? guard_judge_rules(status->judge) : 0;
    for (size_t i = 0; i < count; i++) {
        struct guard_standing standing;
        guard_judge_standing(status->judge, i, &standing);
        json_array_append_new(list, json_pack("{s:o, s:o, s:o, s:s, s:s, s:o, s:o}", "rule",
                                              json_text_or_null(standing.rule), "service",
                                              json_text_or_null(standing.service), "device",
                                              json_text_or_null(standing.device), "state",
                                              guard_state_names[standing.state], "severity",
                                              standing.minor ? "minor" : "grave", "since",
                                              wall(standing.since_wall_us), "text",
                                              json_text_or_null(standing.text)));
    }
    return list;
}

static json_t *actions_json(uint32_t actions)
{
    json_t *list = json_array();
    for (int i = 0; i < ACTION_COUNT_; i++)
        if (actions & (1U << i))
            json_array_append_new(list, json_string(spec_action_names[i]));
    return list;
}

/* The newest first. */
static json_t *decisions_json(const struct guard_status *status)
{
    json_t *list = json_array();
    for (uint64_t n = status->decision_total, left = GUARD_RECENT_MAX; n > 0 && left > 0;
         n--, left--) {
        const struct guard_decision *decision = &status->decisions[(n - 1) % GUARD_RECENT_MAX];
        json_array_append_new(
            list,
            json_pack("{s:o, s:o, s:o, s:s, s:s, s:o, s:o, s:o}", "t", wall(decision->wall_us),
                      "rule", json_text_or_null(decision->rule), "service",
                      service_or_null(status, decision->service), "from",
                      guard_state_names[decision->from], "to", guard_state_names[decision->to],
                      "actions", actions_json(decision->actions), "withheld",
                      actions_json(decision->withheld), "text", json_text_or_null(decision->text)));
    }
    return list;
}

static json_t *events_json(const struct guard_status *status)
{
    json_t *list = json_array();
    for (uint64_t n = status->event_total, left = GUARD_RECENT_MAX; n > 0 && left > 0;
         n--, left--) {
        const struct status_event *kept = &status->events[(n - 1) % GUARD_RECENT_MAX];
        json_array_append_new(list,
                              json_pack("{s:o, s:s, s:o, s:o}", "t", wall(kept->wall_us), "event",
                                        guard_event_names[kept->event.kind], "service",
                                        service_or_null(status, kept->event.service), "text",
                                        json_text_or_null(kept->event.text)));
    }
    return list;
}

static json_t *tiers_json(const struct status_front *front)
{
    json_t *list = json_array();
    for (size_t i = 0; i < front->tier_count; i++) {
        const struct guard_tier_standing *tier = &front->tiers[i];
        json_array_append_new(
            list, json_pack("{s:o, s:b, s:s, s:o, s:o}", "tier", json_text_or_null(tier->name),
                            "current", tier->current, "power", guard_tier_power_names[tier->power],
                            "predicted_s", json_real_or_null(tier->predicted_s), "memory_bytes",
                            json_real_or_null(tier->memory_bytes)));
    }
    return list;
}

static json_t *split_json(const struct guard_status_split *split)
{
    if (split->arm_count == 0)
        return json_null();
    json_t *list = json_array();
    for (size_t i = 0; i < split->arm_count; i++) {
        const struct guard_status_arm *arm = &split->arms[i];
        json_array_append_new(
            list, json_pack("{s:o, s:i, s:I, s:I, s:o, s:o, s:o, s:o}", "arm",
                            json_text_or_null(arm->name), "weight", arm->weight, "requests",
                            (json_int_t)arm->requests, "errors", (json_int_t)arm->errors, "p50_s",
                            json_real_or_null(arm->p50_s), "p95_s", json_real_or_null(arm->p95_s),
                            "p99_s", json_real_or_null(arm->p99_s), "wer_ratio",
                            json_real_or_null(arm->wer_ratio)));
    }
    return json_pack("{s:o, s:o, s:o, s:o}", "verdict", json_text_or_null(split->verdict), "text",
                     json_text_or_null(split->text), "words", json_text_or_null(split->words),
                     "arms", list);
}

static json_t *servers_json(const struct proxy_front *front)
{
    json_t *list = json_array();
    for (size_t i = 0; i < front->server_count; i++) {
        const struct proxy_server *server = &front->servers[i];
        json_array_append_new(
            list,
            json_pack("{s:o, s:b, s:b, s:i, s:I, s:I, s:I, s:I}", "server",
                      json_text_or_null(server->name), "usable", server->usable, "drained",
                      server->drained, "weight", server->weight, "in_flight",
                      (json_int_t)server->in_flight, "waiting", (json_int_t)server->waiting,
                      "requests", (json_int_t)server->total, "errors", (json_int_t)server->errors));
    }
    return list;
}

static json_t *fronts_json(const struct guard_status *status)
{
    const struct spec_guard *guard = status->study->guard;
    json_t *list = json_array();
    for (size_t i = 0; i < guard->front_count; i++) {
        const struct status_front *front = &status->fronts[i];
        bool seen = status->has_proxy && status->proxy.up;
        const struct proxy_front *live = seen ? &status->proxy.fronts[i] : NULL;
        json_array_append_new(
            list,
            json_pack("{s:o, s:i, s:o, s:o, s:o, s:o, s:o}", "service",
                      service_or_null(status, (int)guard->fronts[i].service), "port",
                      guard->fronts[i].port, "tier", json_text_or_null(live ? live->tier : NULL),
                      "why", json_text_or_null(front->text[0] ? front->text : NULL), "tiers",
                      tiers_json(front), "servers", live ? servers_json(live) : json_null(),
                      "split", split_json(&front->split)));
    }
    return list;
}

static json_t *proxy_json(const struct guard_status *status)
{
    if (!status->has_proxy)
        return json_null();
    return json_pack("{s:b, s:I, s:I}", "up", status->proxy.up, "pid",
                     (json_int_t)status->proxy.pid, "uptime_s", (json_int_t)status->proxy.uptime_s);
}

void guard_status_write_json(const struct guard_status *status, struct buf *buf)
{
    AUTO_JSON json_t *object = json_object();
    json_object_set_new(object, "format", json_string("spica guard status"));
    json_object_set_new(object, "version", json_integer(STATUS_VERSION));
    json_object_set_new(object, "spica", json_string(SPICA_VERSION));
    json_object_set_new(object, "study", json_text_or_null(status->study->name));
    json_object_set_new(object, "dry_run", json_boolean(status->dry_run));
    json_object_set_new(object, "since", wall(status->begun_wall_us));
    json_object_set_new(object, "well", json_boolean(guard_status_well(status, clock_now_ns())));
    json_object_set_new(object, "tick", wall(status->tick_wall_us));
    json_object_set_new(object, "ticks", json_integer((json_int_t)status->ticks));
    json_object_set_new(object, "values", values_json(status));
    json_object_set_new(object, "errors", guard_status_kinds_json(status));
    json_object_set_new(object, "rules", rules_json(status));
    json_object_set_new(object, "proxy", proxy_json(status));
    json_object_set_new(object, "fronts", fronts_json(status));
    json_object_set_new(object, "servers", guard_status_servers_json(status));
    json_object_set_new(object, "decisions", decisions_json(status));
    json_object_set_new(object, "events", events_json(status));
    AUTO(free) char *text = json_dumps(object, JSON_COMPACT | JSON_REAL_PRECISION(15));
    buf_add(buf, text ? text : "{}");
    buf_addc(buf, '\n');
}
