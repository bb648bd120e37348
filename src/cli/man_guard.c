/* The part of spica-study(5) about what guard may know and what it says by itself: from the tables
 * that name the figures and judge the alarms. */
#include "cli/command.h"
#include "cli/man.h"

#include "guard/alarms.h"

#include <string.h>

static const char *unit_text(enum expr_unit unit)
{
    switch (unit) {
    case EXPR_UNIT_SECONDS:
        return "a time";
    case EXPR_UNIT_BYTES:
        return "a size";
    case EXPR_UNIT_BYTE_RATE:
        return "a size in a time, as in `12MiB/min`";
    case EXPR_UNIT_TEXT:
        return "a word";
    default:
        return "a number";
    }
}

static const char *prefix_of(enum guard_scope scope)
{
    static const char *const prefixes[] = {[SCOPE_SERVICE] = "SERVICE.",
                                           [SCOPE_DEVICE] = "DEVICE.",
                                           [SCOPE_PROXY] = "proxy.",
                                           [SCOPE_GUARD] = "guard."};
    return prefixes[scope];
}

/* "; the best is engine, else probe, else requests", "; the larger of engine and requests" */
static void add_best(struct buf *text, const struct guard_metric_info *info)
{
    const char *between = info->largest ? " and " : ", else ";
    if (info->sources)
        buf_add(text, info->largest ? "; the larger of " : "; the best is ");
    for (size_t s = 0; s < ARRAY_LEN(info->best) && info->best[s] != SOURCE_NONE; s++)
        buf_addf(text, "%s%s", s > 0 ? between : "", guard_source_names[info->best[s]]);
}

static void print_figures(void)
{
    man_section("FIGURES");
    man_text(
        "What the rules of `guard` name. Of latency, first and queue there are `.p50`, `.p95` and "
        "`.p99`, over the last `window`. What is known of requests comes from real ones as HAProxy "
        "logged them, from the engine's own metrics, or from guard's probes; "
        "`stt.latency.p95` is the best of the three that there is (which that is, each figure says "
        "below), "
        "`stt.requests.latency.p95`, `stt.engine.latency.p95` and `stt.probe.latency.p95` are one "
        "alone. A figure that nobody knows, or that stands on fewer values than the rule's "
        "`at_least`, is unknown.");
    for (int m = 0; m < GUARD_METRIC_COUNT_; m++) {
        const struct guard_metric_info *info = &guard_metric_infos[m];
        AUTO(buf_done) struct buf name = BUF_INIT(128), text = BUF_INIT(1024);
        buf_addf(&name, "%s%s", prefix_of(info->scope), info->word);
        buf_addf(&text, "%s. (%s%s", info->help, unit_text(info->unit),
                 info->quantiles ? "; say which percentile" : "");
        add_best(&text, info);
        buf_addc(&text, ')');
        man_item(buf_text(&name), NULL);
        man_text(buf_text(&text));
    }
}

static void print_alarms(void)
{
    man_section("ALARMS");
    man_text("What `spica guard` says without a rule. They are told by `notify`, where `act` names "
             "it, and do nothing else; but that production is not what was measured asks for "
             "`restudy` as well, where `act` names that: see which.");
    for (size_t i = 0; i < guard_alarm_kind_count; i++) {
        AUTO(buf_done) struct buf text = BUF_INIT(1024);
        buf_addf(&text, "%s.%s", guard_alarm_kinds[i].meaning,
                 guard_alarm_kinds[i].restudy ? " (Asks for `restudy`.)" : "");
        man_item(guard_alarm_kinds[i].name, NULL);
        man_text(buf_text(&text));
    }
}

void cli_print_man_guard(void)
{
    print_figures();
    print_alarms();
}
