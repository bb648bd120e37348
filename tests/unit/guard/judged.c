/* See the header. */
#include "check.h"

#include "judged.h"

#include "../spec/fixture.h"
#include "base/clock.h"

#include <math.h>

static const char head[] = "study: s\n"
                           "device: gpu0\n"
                           "services:\n"
                           "  stt: {command: [x, \"{port}\", \"{model}\"], knobs: {model: [base, "
                           "tiny]}, protocol: plain,\n"
                           "        on: gpu}\n"
                           "  llm: {command: [y, \"{port}\"], on: gpu, protocol: plain}\n"
                           "goal: {optimise: {stt.latency.p95: {good: 100ms, bad: 1s}}}\n"
                           "load: {stt: {rate: 1/s}, llm: {rate: 1/s}}\n"
                           "capacity: {stt: {require: [\"stt.errors == 0\"]}}\n"
                           "baseline: none\n"
                           "production:\n"
                           "  stt: {unit: w, port: 8000, environment: {M: \"{model}\"}}\n"
                           "  llm: {unit: l, port: 8001, environment: {A: b}}\n"
                           "guard:\n"
                           "  watch: {stt: {metrics: /m}, llm: {metrics: /m}}\n";

struct judged *judged_new(const char *guard)
{
    AUTO(buf_done) struct buf text = BUF_INIT(1 << 20);
    struct judged *judged = calloc(1, sizeof *judged);
    struct err err = ERR_INIT;
    assert_non_null(judged);
    buf_addf(&text, "%s%s", head, guard);
    if (!spec_study_parse("f", buf_text(&text), text.len, &fixture_catalog, &judged->study, &err))
        fail_msg("%s", err.text);
    const struct spec_guard *g = judged->study->guard;
    judged->values = calloc(g->metric_count, sizeof *judged->values);
    assert_non_null(judged->values);
    for (size_t i = 0; i < g->metric_count; i++)
        judged->values[i].number = NAN;
    judged->judge = guard_judge_new(judged->study);
    judged->now_s = 1000;
    return judged;
}

void judged_free(struct judged *judged)
{
    guard_judge_free(judged->judge);
    spec_study_free(judged->study);
    free(judged->values);
    free(judged);
}

static struct guard_value *find(struct judged *judged, const char *name)
{
    const struct spec_guard *g = judged->study->guard;
    long id = guard_metric_find(g->metrics, g->metric_count, name);
    if (id < 0)
        fail_msg("there is no %s", name);
    return &judged->values[id];
}

void judged_set_count(struct judged *judged, const char *name, double value, uint64_t count)
{
    *find(judged, name) =
        (struct guard_value){.number = value, .count = count, .source = SOURCE_REQUESTS};
}

void judged_set(struct judged *judged, const char *name, double value)
{
    struct guard_value *at = find(judged, name);
    const struct guard_metric_ref *ref = &judged->study->guard->metrics[at - judged->values];
    const bool counted = guard_metric_infos[ref->metric].sources;
    *at = (struct guard_value){.number = value,
                               .count = counted && !isnan(value) ? 100 : 0,
                               .source = counted ? SOURCE_REQUESTS : SOURCE_NONE};
}

void judged_set_word(struct judged *judged, const char *name, const char *word)
{
    struct guard_value *at = find(judged, name);
    at->text = guard_tick_word(&judged->study->guard->metrics[at - judged->values], word);
    if (word)
        assert_non_null(at->text);
}

void judged_all_well(struct judged *j)
{
    static const char *const services[] = {"stt", "llm"};
    char name[64];
    for (size_t i = 0; i < ARRAY_LEN(services); i++) {
        snprintf(name, sizeof name, "%s.latency.p50", services[i]);
        judged_set(j, name, 0.1);
        snprintf(name, sizeof name, "%s.errors", services[i]);
        judged_set(j, name, 0);
        snprintf(name, sizeof name, "%s.probe.rate", services[i]);
        judged_set(j, name, 0.1);
        snprintf(name, sizeof name, "%s.up", services[i]);
        judged_set(j, name, 1);
        snprintf(name, sizeof name, "%s.placement", services[i]);
        judged_set_word(j, name, "gpu");
    }
    judged_set(j, "gpu0.memory.used", 1 << 30);
    judged_set(j, "gpu0.throttled", 0);
    judged_set_word(j, "gpu0.fault", "none");
    judged_set(j, "proxy.up", 1);
    judged_set(j, "guard.changed.versions", 0);
    judged_set(j, "guard.changed.neighbours", 0);
    judged_set(j, "guard.changed.load", 0);
}

void judged_event(struct judged *judged, enum guard_event_kind kind, int service, const char *text)
{
    struct guard_event *event = &judged->tick.events[judged->tick.event_count++];
    event->kind = kind;
    event->service = service;
    snprintf(event->text, sizeof event->text, "%s", text);
}

static void keep(void *context, const struct guard_decision *decision)
{
    struct judged *judged = context;
    judged->total++;
    if (judged->told_count < JUDGED_MAX)
        judged->told[judged->told_count++] = *decision;
}

void judged_step(struct judged *judged)
{
    judged->tick.values = judged->values;
    judged->tick.mono_ns = judged->now_s * NS_PER_S;
    judged->tick.wall_us = (INT64_C(1764000000) + judged->now_s) * 1000000;
    guard_judge_step(judged->judge, &judged->tick, keep, judged);
    judged->tick.event_count = 0;
    judged->tick.events_lost = 0;
    judged->now_s++;
}

void judged_steps(struct judged *judged, int64_t seconds)
{
    for (int64_t i = 0; i < seconds; i++)
        judged_step(judged);
}

void judged_clear(struct judged *judged)
{
    judged->told_count = 0;
}

size_t judged_count(const struct judged *judged, const char *rule)
{
    size_t count = 0;
    for (size_t i = 0; i < judged->told_count; i++)
        count += strcmp(judged->told[i].rule, rule) == 0;
    return count;
}

const struct guard_decision *judged_only(const struct judged *judged, const char *rule)
{
    const struct guard_decision *found = NULL;
    for (size_t i = 0; i < judged->told_count; i++) {
        if (strcmp(judged->told[i].rule, rule) != 0)
            continue;
        if (found)
            fail_msg("told twice: %s | %s", found->text, judged->told[i].text);
        found = &judged->told[i];
    }
    if (!found)
        fail_msg("nothing was told of \"%s\"", rule);
    return found;
}

enum guard_state judged_state(const struct judged *judged, const char *rule, char text[240])
{
    struct guard_standing standing;
    for (size_t i = 0; i < guard_judge_rules(judged->judge); i++) {
        guard_judge_standing(judged->judge, i, &standing);
        if (strcmp(standing.rule, rule) != 0)
            continue;
        if (text)
            memcpy(text, standing.text, sizeof standing.text);
        return standing.state;
    }
    fail_msg("there is no rule \"%s\"", rule);
    return STATE_COUNT_;
}
