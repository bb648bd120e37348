/* A rule in words: its numbers with their units, their source and how many they stand on, then the
 * threshold as the file has it. The same words in the log, in /status, and on a terminal.
 *
 * A plain comparison reads as a sentence ("stt.latency.p95 412 ms of 57 requests > 300 ms"); of
 * anything longer the values come first and the expression follows in parentheses. */
#include "guard/judge_inside.h"

#include "base/text.h"
#include "spec/metric.h"

#include <ctype.h>
#include <math.h>
#include <string.h>

bool guard_judge_is_known(const struct guard_metric_ref *ref, const struct guard_value *value,
                          uint64_t at_least)
{
    if (ref->words)
        return value->text != NULL;
    if (isnan(value->number))
        return false;
    const bool counted = !isnan(ref->quantile) || ref->metric == GUARD_ERRORS;
    return !counted || value->count >= at_least;
}

static enum metric_unit unit_of(enum guard_metric metric)
{
    switch (metric) {
    case GUARD_ERRORS:
    case GUARD_DEVICE_BUSY:
        return UNIT_RATIO;
    case GUARD_RATE:
        return UNIT_PER_SECOND;
    default:
        break;
    }
    switch (guard_metric_infos[metric].unit) {
    case EXPR_UNIT_SECONDS:
        return UNIT_SECONDS;
    case EXPR_UNIT_BYTES:
        return UNIT_BYTES;
    case EXPR_UNIT_BYTE_RATE:
        return UNIT_BYTES_PER_SECOND;
    default:
        return UNIT_COUNT;
    }
}

static void add_count(struct buf *buf, const struct guard_value *value)
{
    static const char *const of[SOURCE_COUNT_] = {[SOURCE_NONE] = "",
                                                  [SOURCE_REQUESTS] = " requests",
                                                  [SOURCE_ENGINE] = " by the engine",
                                                  [SOURCE_PROBE] = " probes"};
    if (value->count == 0)
        return;
    buf_add(buf, " of ");
    text_add_grouped(buf, (int64_t)value->count);
    buf_add(buf, of[value->source]);
}

static void add_value(struct buf *buf, const struct guard_metric_ref *ref,
                      const struct guard_value *value)
{
    buf_addf(buf, "%s ", ref->name);
    if (ref->words)
        buf_add(buf, value->text ? value->text : "unknown");
    else
        metric_add_value(buf, unit_of(ref->metric), value->number);
    add_count(buf, value);
}

/* At most so many bytes, and no half character. */
static void add_cut(struct buf *buf, const char *text, size_t most)
{
    size_t len = strlen(text), cut = len < most ? len : most;
    while (cut > 0 && cut < len && ((unsigned char)text[cut] & 0xC0) == 0x80)
        cut--;
    buf_addf(buf, "%.*s%s", (int)cut, text, cut < len ? "..." : "");
}

static struct expr_operand nothing(const void *context, size_t id)
{
    (void)context;
    (void)id;
    return (struct expr_operand){.kind = EXPR_UNKNOWN};
}

/* " > 300 ms", where the comparison begins with the figure and ends with a number. */
static bool add_threshold(struct buf *buf, const struct guard_metric_ref *ref,
                          const struct expr *expr)
{
    struct expr_operand left, right;
    const char *op = NULL;
    const size_t len = strlen(ref->name);
    const char *text = expr_text(expr);
    const char *after = text + len;
    if (strncmp(text, ref->name, len) != 0 || !expr_sides(expr, nothing, NULL, &left, &op, &right))
        return false;
    after += strspn(after, " \t\n");
    if (strncmp(after, op, strlen(op)) != 0 || right.kind == EXPR_UNKNOWN)
        return false;
    if (strcmp(op, "==") == 0)
        return true; /* "stt.placement cpu" says it */
    if (right.kind == EXPR_TEXT) {
        buf_addf(buf, " %s %s", op, right.text);
        return true;
    }
    buf_addf(buf, " %s ", op);
    metric_add_value(buf, unit_of(ref->metric), right.number);
    return true;
}

static void add_of_file(struct buf *buf, const struct guard_judge *judge,
                        const struct judge_rule *rule)
{
    const struct guard_metric_ref *refs = judge->study->guard->metrics;
    for (size_t i = 0; i < rule->use_count && buf->len < 200; i++) {
        buf_add(buf, i ? ", " : "");
        add_value(buf, &refs[rule->uses[i]], &judge->values[rule->uses[i]]);
    }
    const enum guard_state state = rule->state.state;
    const bool holds = state == STATE_PENDING || state == STATE_ALARM;
    if (rule->use_count == 1 && holds && add_threshold(buf, &refs[rule->uses[0]], rule->spec->when))
        return;
    buf_add(buf, holds ? " (" : " (not ");
    add_cut(buf, expr_text(rule->spec->when), 120);
    buf_addc(buf, ')');
}

static void add_of_alarm(struct buf *buf, const struct guard_judge *judge,
                         const struct judge_rule *rule)
{
    const struct guard_alarm *alarm = rule->alarm;
    const enum guard_state state = rule->state.state;
    const bool bad = state == STATE_PENDING || state == STATE_ALARM;
    const char *between = "";
    if (alarm->who) {
        buf_add(buf, alarm->who);
        between = ": ";
    }
    if ((alarm->latched || (bad && alarm->kind->tells)) && alarm->text[0]) {
        buf_add(buf, between);
        add_cut(buf, alarm->text, 200);
        between = ", ";
    }
    if (rule->use_count) {
        buf_add(buf, between);
        add_value(buf, &judge->study->guard->metrics[alarm->shown], &judge->values[alarm->shown]);
        between = ", ";
    }
    if (bad)
        buf_addf(buf, "%s%s", between, alarm->kind->meaning);
    else if (!between[0])
        buf_add(buf, "nothing");
}

void guard_judge_add_evidence(struct buf *buf, const struct guard_judge *judge,
                              const struct judge_rule *rule)
{
    if (rule->alarm)
        add_of_alarm(buf, judge, rule);
    else
        add_of_file(buf, judge, rule);
}

void guard_judge_add_unknown(struct buf *buf, const struct guard_judge *judge,
                             const struct judge_rule *rule)
{
    const uint64_t at_least = rule->spec ? rule->spec->at_least : 0;
    const char *between = "";
    if (rule->alarm && rule->alarm->unseen) {
        buf_addf(buf, "%s%s%s", rule->alarm->who ? rule->alarm->who : "",
                 rule->alarm->who ? ": " : "", rule->alarm->unseen);
        return;
    }
    for (size_t i = 0; i < rule->use_count && buf->len < 200; i++) {
        const struct guard_metric_ref *ref = &judge->study->guard->metrics[rule->uses[i]];
        const struct guard_value *value = &judge->values[rule->uses[i]];
        if (guard_judge_is_known(ref, value, at_least))
            continue;
        buf_addf(buf, "%s%s ", between, ref->name);
        if (value->count > 0 && value->count < at_least)
            buf_addf(buf, "stands on %llu of at least %llu", (unsigned long long)value->count,
                     (unsigned long long)at_least);
        else
            buf_add(buf, "unknown");
        between = ", ";
    }
    if (!between[0])
        buf_add(buf, "unknown");
}

void guard_judge_add_end(struct buf *buf, const struct judge_rule *rule)
{
    const struct expr *until = rule->spec ? rule->spec->until : NULL;
    if (!rule->spec)
        return;
    buf_add(buf, "; over when ");
    if (!until)
        buf_add(buf, "not ");
    add_cut(buf, expr_text(until ? until : rule->spec->when), 100);
    if (rule->times.clear_ns > 0) {
        buf_add(buf, " for ");
        text_add_duration(buf, (double)rule->times.clear_ns / 1e9);
    }
}
