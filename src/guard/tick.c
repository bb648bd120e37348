/* A tick as a line of JSON: names as they stand in rules, so that a person reads a recording with
 * the same words, and jq works.
 *
 * A number is written so that it reads back as the same double: 6 digits where those do (which is
 * why guard_tick_number exists), else 17. Rejected: always 6 digits. A value that was judged just
 * over its threshold would be recorded as just on it, and a replay would tell another story.
 *
 * An event's service is written by name: a recording outlives the order of the study file. */
#include "guard/tick.h"

#include "base/text.h"
#include "guard/policy_record.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

const char *const guard_event_names[EVENT_COUNT_] = {
    [EVENT_OOM_DEVICE] = "oom-device",
    [EVENT_OOM_KERNEL] = "oom-kernel",
    [EVENT_DOWN] = "down",
    [EVENT_UP] = "up",
    [EVENT_RESTARTED] = "restarted",
    [EVENT_HANGS] = "hangs",
    [EVENT_OVERLOADED] = "overloaded",
    [EVENT_FAILS] = "fails",
    [EVENT_ANSWERS] = "answers",
    [EVENT_ON_CPU] = "on-cpu",
    [EVENT_PLACED] = "placed",
    [EVENT_XID] = "xid",
    [EVENT_XID_OVER] = "xid-over",
    [EVENT_DRIVER_LOST] = "driver-lost",
    [EVENT_PROXY_RESTARTED] = "proxy-restarted",
    [EVENT_PROXY_DOWN] = "proxy-down",
    [EVENT_CLOCK_STEP] = "clock-step",
    [EVENT_LOG_FLOOD] = "log-flood",
    [EVENT_LOG_LOST] = "log-lost",
    [EVENT_LOG_READ] = "log-read",
    [EVENT_DISK_FULL] = "disk-full",
    [EVENT_NO_RECORD] = "no-record",
    [EVENT_DISK_WRITES] = "disk-writes",
    [EVENT_NEIGHBOUR] = "neighbour",
    [EVENT_VERSIONS] = "versions",
    [EVENT_OTHER_NEIGHBOURS] = "other-neighbours",
    [EVENT_OTHER_LOAD] = "other-load",
    [EVENT_UNSERVED] = "unserved",
    [EVENT_SERVED] = "served",
    [EVENT_ARM_DOUBT] = "arm-doubt",
    [EVENT_ARM_SOUND] = "arm-sound",
    [EVENT_TIER_STAYS] = "tier-stays",
    [EVENT_TIER_GONE] = "tier-gone",
    [EVENT_ACTED] = "acted",
    [EVENT_SETTING] = "setting",
};

double guard_tick_number(double value)
{
    char text[40];
    if (!isfinite(value))
        return NAN;
    snprintf(text, sizeof text, "%.6g", value);
    return strtod(text, NULL);
}

const char *guard_tick_word(const struct guard_metric_ref *ref, const char *text)
{
    for (size_t i = 0; text && ref->words && ref->words[i]; i++)
        if (strcmp(ref->words[i], text) == 0)
            return ref->words[i];
    return NULL;
}

bool guard_tick_begins(const char *line, size_t len)
{
    while (len > 0 && strchr("\r\n ", line[len - 1]))
        len--;
    return len == strlen(GUARD_TICK_BEGINS) && memcmp(line, GUARD_TICK_BEGINS, len) == 0;
}

void guard_tick_add_number(struct buf *buf, double value)
{
    char text[40];
    snprintf(text, sizeof text, "%.6g", value);
    if (strtod(text, NULL) != value)
        snprintf(text, sizeof text, "%.17g", value);
    buf_add(buf, text);
}

static void add_string(struct buf *buf, const char *text)
{
    buf_addc(buf, '"');
    for (; *text; text++) {
        unsigned char c = (unsigned char)*text;
        if (c == '"' || c == '\\')
            buf_addc(buf, '\\');
        if (c < 0x20)
            buf_addf(buf, "\\u%04x", c);
        else
            buf_addc(buf, *text);
    }
    buf_addc(buf, '"');
}

/* False: unknown in every way. A percentile that too few values carry still says how few. */
static bool add_value(struct buf *buf, const char *between, const struct guard_metric_ref *ref,
                      const struct guard_value *value)
{
    const bool known = ref->words ? value->text != NULL : isfinite(value->number);
    if (!known && value->count == 0)
        return false;
    buf_addf(buf, "%s\"%s\":", between, ref->name);
    if (ref->words) {
        add_string(buf, value->text ? value->text : "");
        return true;
    }
    const bool plain = value->count == 0 && value->source == SOURCE_NONE;
    buf_add(buf, plain ? "" : "[");
    if (known)
        guard_tick_add_number(buf, value->number);
    else
        buf_add(buf, "null");
    if (!plain)
        buf_addf(buf, ",%llu", (unsigned long long)value->count);
    if (value->source != SOURCE_NONE)
        buf_addf(buf, ",\"%s\"", guard_source_names[value->source]);
    buf_add(buf, plain ? "" : "]");
    return true;
}

static void add_service(struct buf *buf, int service, const struct guard_metric_ref *refs,
                        size_t count)
{
    for (size_t i = 0; i < count && service >= 0; i++)
        if (guard_metric_infos[refs[i].metric].scope == SCOPE_SERVICE &&
            refs[i].index == (size_t)service) {
            buf_addf(buf, ",\"s\":\"%.*s\"", (int)strcspn(refs[i].name, "."), refs[i].name);
            break;
        }
}

static void add_event(struct buf *buf, const struct guard_event *event,
                      const struct guard_metric_ref *refs, size_t count)
{
    buf_addf(buf, "{\"k\":\"%s\"", guard_event_names[event->kind]);
    add_service(buf, event->service, refs, count);
    buf_add(buf, ",\"x\":");
    add_string(buf, event->text);
    buf_addc(buf, '}');
}

static void add_unseen(struct buf *buf, const struct guard_tick *tick,
                       const struct guard_metric_ref *refs, size_t count)
{
    const char *between = ",\"u\":[";
    if (!tick->no_kernel_log && !tick->no_log && !tick->no_kills)
        return;
    if (tick->no_kernel_log) {
        buf_addf(buf, "%s{\"a\":\"kernel\"}", between);
        between = ",";
    }
    for (int i = 0; i < SPEC_SERVICES_MAX; i++)
        for (int kills = 0; kills <= 1; kills++)
            if ((kills ? tick->no_kills : tick->no_log) >> i & 1) {
                buf_addf(buf, "%s{\"a\":\"%s\"", between, kills ? "kills" : "log");
                add_service(buf, i, refs, count);
                buf_addc(buf, '}');
                between = ",";
            }
    buf_addc(buf, ']');
}

void guard_tick_write(const struct guard_tick *tick, const struct guard_metric_ref *refs,
                      size_t count, struct buf *buf)
{
    const char *between = "";
    buf_addf(buf, "{\"t\":%lld.%06lld,\"m\":%lld,\"v\":{", (long long)(tick->wall_us / 1000000),
             (long long)(tick->wall_us % 1000000), (long long)tick->mono_ns);
    for (size_t i = 0; i < count; i++)
        if (add_value(buf, between, &refs[i], &tick->values[i]))
            between = ",";
    buf_addc(buf, '}');
    for (size_t i = 0; i < tick->event_count; i++) {
        buf_add(buf, i ? "," : ",\"e\":[");
        add_event(buf, &tick->events[i], refs, count);
    }
    buf_add(buf, tick->event_count ? "]" : "");
    if (tick->events_lost)
        buf_addf(buf, ",\"l\":%u", tick->events_lost);
    for (size_t i = 0; i < tick->refusal_count; i++) {
        buf_addf(buf, "%s{\"a\":\"%s\"", i ? "," : ",\"r\":[",
                 spec_action_names[tick->refusals[i].action]);
        add_service(buf, tick->refusals[i].service, refs, count);
        buf_addc(buf, '}');
    }
    buf_add(buf, tick->refusal_count ? "]" : "");
    add_unseen(buf, tick, refs, count);
    if (tick->tiers && tick->tiers->count > 0) {
        buf_add(buf, ",\"p\":");
        policy_records_write(tick->tiers, buf);
    }
    buf_addc(buf, '}');
}
