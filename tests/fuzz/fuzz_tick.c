/* A recording's line is any bytes: reading ends; what is read is finite or unknown, of a fixed set
 * of words, and valid UTF-8; judging it and a second reading of what is written again agree. */
#include "base/text.h"
#include "guard/judge.h"

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
    "  watch: {stt: {unit: w, port: 8000}, llm: {port: 8001}}\n"
    "  rules:\n"
    "    - {name: slow, when: stt.latency.p95 > 300ms, do: [notify, restart]}\n"
    "    - {name: odd, when: stt.tier != base or llm.errors > 5%, for: 1s}\n"
    "  act: {notify: , restart: }\n"
    "  fronts: {stt: {port: 1, tiers: {base: {port: 2}, tiny: {port: 3}}}}\n";

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
    check(values && again);
    guard_tick_write(tick, g->metrics, g->metric_count, &line);
    check(guard_tick_read(buf_text(&line), line.len, g->metrics, g->metric_count, values, again,
                          &err));
    for (size_t i = 0; i < g->metric_count; i++)
        check((isnan(values[i].number) && isnan(tick->values[i].number)) ||
              values[i].number == tick->values[i].number);
    check(again->event_count == tick->event_count);
    free(values);
    free(again);
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
    char *line = malloc(size ? size : 1); /* exactly so long, for the sanitizer */
    check(values && tick && line);
    if (size)
        memcpy(line, data, size);
    for (size_t at = 0; at < size;) {
        const char *end = memchr(line + at, '\n', size - at);
        const size_t len = end ? (size_t)(end - line) - at : size - at;
        if (guard_tick_read(line + at, len, g->metrics, g->metric_count, values, tick, NULL)) {
            check_tick(g, tick);
            check_again(g, tick);
            guard_judge_step(judge, tick, told, NULL);
        }
        at += len + 1;
    }
    guard_judge_free(judge);
    free(line);
    free(tick);
    free(values);
    return 0;
}
