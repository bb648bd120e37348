/* A recording's line is any bytes: reading ends; what is read is finite or unknown, of a fixed set
 * of words, and valid UTF-8; judging it and a second reading of what is written again agree; tiers
 * are chosen by it, and the choice is one of them. */
#include "base/text.h"
#include "guard/judge.h"
#include "guard/policy_record.h"

#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "unit/spec/fixture.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char file[] =
    "study: s\n"
    "services:\n"
    "  stt: {command: [x, \"{port}\", \"{model}\"], knobs: {model: [base, tiny]}, protocol: "
    "plain}\n"
    "  llm: {command: [y, \"{port}\"]}\n"
    "goal: {optimise: {stt.latency.p95: {good: 100ms, bad: 1s}}}\n"
    "load: {stt: {rate: 1/s}}\n"
    "baseline: none\n"
    "guard:\n"
    "  watch: {stt: {unit: w, port: 8000}, llm: {port: 8001, metrics: /m}}\n"
    "  rules:\n"
    "    - {name: slow, when: stt.latency.p95 > 300ms, do: [notify, restart]}\n"
    "    - {name: odd, when: stt.tier != base or llm.errors > 5%, for: 1s}\n"
    "  act: {notify: , restart: }\n"
    "  fronts: {stt: {port: 1, keep: p95 < 1s, tiers: {base: {port: 2, unit: b.service}, tiny: "
    "{port: 3}}}}\n";

static void check(bool good)
{
    if (!good)
        abort();
}

static void check_text(const char *text)
{
    size_t len = strlen(text);
    uint32_t code = 0;
    for (size_t at = 0; at < len;) {
        size_t step = text_utf8_next(text + at, len - at, &code);
        check(step > 0 && code >= 0x20);
        at += step;
    }
}

static void told(void *context, const struct guard_decision *decision)
{
    (void)context;
    check_text(decision->text);
    check(decision->to >= 0 && decision->to < STATE_COUNT_);
}

static void check_tick(const struct spec_guard *g, const struct guard_tick *tick)
{
    for (size_t i = 0; i < g->metric_count; i++) {
        const struct guard_value *value = &tick->values[i];
        check(!isinf(value->number));
        check(!value->text || guard_tick_word(&g->metrics[i], value->text) == value->text);
        check((unsigned)value->source < SOURCE_COUNT_);
    }
    check(tick->event_count <= GUARD_EVENTS_MAX);
    for (size_t i = 0; i < tick->event_count; i++)
        check_text(tick->events[i].text);
}

/* What is written again reads back as the same. */
static void check_again(const struct spec_guard *g, const struct guard_tick *tick)
{
    AUTO(buf_done) struct buf line = BUF_INIT(4 << 20);
    struct guard_value *values = calloc(g->metric_count, sizeof *values);
    struct guard_tick *again = calloc(1, sizeof *again);
    struct err err = ERR_INIT;
    struct policy_records *records = calloc(1, sizeof *records);
    check(values && again && records);
    records->study = tick->tiers->study;
    again->tiers = records;
    guard_tick_write(tick, g->metrics, g->metric_count, &line);
    check(guard_tick_read(buf_text(&line), line.len, g->metrics, g->metric_count, values, again,
                          &err));
    for (size_t i = 0; i < g->metric_count; i++)
        check((isnan(values[i].number) && isnan(tick->values[i].number)) ||
              values[i].number == tick->values[i].number);
    check(again->event_count == tick->event_count && again->refusal_count == tick->refusal_count);
    check(records->count == tick->tiers->count);
    for (size_t i = 0; i < records->count; i++) {
        const struct policy_input *a = &records->items[i].input, *b = &tick->tiers->items[i].input;
        check((isnan(a->free_bytes) && isnan(b->free_bytes)) || a->free_bytes == b->free_bytes);
        check(a->tiers[0].answers == b->tiers[0].answers && a->current == b->current);
    }
    free(values);
    free(again);
    free(records);
}

struct chooser {
    struct policy_records records;
    struct policy_front policies[SPEC_FRONTS_MAX];
    struct policy_state states[SPEC_FRONTS_MAX];
};

static struct chooser *chooser_new(const struct spec_study *study)
{
    struct chooser *chooser = calloc(1, sizeof *chooser);
    check(chooser);
    chooser->records.study = study;
    for (size_t f = 0; f < study->guard->front_count; f++) {
        chooser->policies[f] = policy_front_of(&study->guard->fronts[f]);
        chooser->states[f] = policy_init();
    }
    return chooser;
}

static void choose(struct chooser *chooser, int64_t now_ns)
{
    for (size_t i = 0; i < chooser->records.count; i++) {
        struct policy_record *record = &chooser->records.items[i];
        const struct policy_front *front = &chooser->policies[record->front];
        struct policy_state *state = &chooser->states[record->front];
        record->input.now_ns = now_ns;
        const struct policy_choice choice = record->sight == POLICY_SEES
                                                ? policy_step(state, front, &record->input)
                                                : policy_step_blind(state, front, &record->input);
        check(choice.tier >= -1 && choice.tier < (int)front->count);
        check(choice.stop < 0 || choice.stop != choice.tier);
        check(!record->input.frozen || (choice.start < 0 && choice.stop < 0));
        check_text(choice.reason);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct spec_study *study;
    if (!study && !spec_study_parse("f", file, sizeof file - 1, &fixture_catalog, &study, NULL))
        abort();
    const struct spec_guard *g = study->guard;
    struct guard_value *values = calloc(g->metric_count, sizeof *values);
    struct guard_tick *tick = calloc(1, sizeof *tick);
    struct guard_judge *judge = guard_judge_new(study);
    struct chooser *chooser = chooser_new(study);
    char *line = malloc(size ? size : 1); /* exactly so long, for the sanitizer */
    check(values && tick && line);
    if (size)
        memcpy(line, data, size);
    for (size_t at = 0; at < size;) {
        const char *end = memchr(line + at, '\n', size - at);
        const size_t len = end ? (size_t)(end - line) - at : size - at;
        tick->tiers = &chooser->records;
        if (policy_head_is(line + at, len)) {
            (void)!policy_head_read(line + at, len, study, chooser->policies, NULL);
        } else if (guard_tick_read(line + at, len, g->metrics, g->metric_count, values, tick,
                                   NULL)) {
            check_tick(g, tick);
            check_again(g, tick);
            for (size_t i = 0; i < tick->refusal_count; i++)
                guard_judge_refused(judge, tick->refusals[i].action, tick->refusals[i].service);
            guard_judge_step(judge, tick, told, NULL);
            choose(chooser, tick->mono_ns);
        }
        at += len + 1;
    }
    guard_judge_free(judge);
    free(chooser);
    free(line);
    free(tick);
    free(values);
    return 0;
}
