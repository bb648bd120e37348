/* Prints /metrics of a guard that knows a value for everything there is, for tests/checks/
 * test_metrics.py: "text" or "openmetrics" is the argument. Values are odd on purpose. With
 * "alarms" the names of guard's own alarms, with "events" those of events. */
#include "check.h"

#include "made_study.h"

#include "guard/alarms.h"
#include "guard/status.h"

#include <math.h>

static void fill(struct made_study *made)
{
    for (size_t i = 0; i < made->guard.metric_count; i++) {
        const struct guard_metric_ref *ref = &made->guard.metrics[i];
        bool one = ref->metric == GUARD_UP || ref->metric == GUARD_PROXY_UP;
        made->values[i] = (struct guard_value){.number = one ? 1 : 0.1 * (double)(i + 1),
                                               .text = ref->words ? ref->words[0] : NULL,
                                               .count = 57,
                                               .source = ref->source};
    }
}

static void fill_proxy(struct guard_status *status)
{
    struct proxy_view view = {.up = true, .pid = 7, .uptime_s = 60};
    struct guard_status_split split = {.verdict = "undecided", .arm_count = 2};
    view.fronts[0].tier = "base";
    view.fronts[0].servers[0] = (struct proxy_server){"base", true, false, 100, 3, 1, 1234, 5};
    view.fronts[0].servers[1] = (struct proxy_server){"tiny", true, true, 0, 0, 0, 99, 0};
    view.fronts[0].server_count = 2;
    split.arms[0] =
        (struct guard_status_arm){"now", 90, 900, 2, 0.1, 0.2, 0.3, 0.07, NAN, NULL, false};
    split.arms[1] =
        (struct guard_status_arm){"next", 10, 100, 0, 0.11, 0.21, 0.31, 0.08, 2e9, "gpu", false};
    const struct guard_kinds kinds = {.total = {[1] = 3, [2] = 1}};
    guard_status_kinds(status, 0, SOURCE_REQUESTS, &kinds);
    guard_status_kinds(status, 1, SOURCE_PROBE, &kinds);
    const struct guard_tier_standing tiers[] = {{"base", true, TIER_ON, 0.2, 1e9, "gpu"},
                                                {"tiny", false, TIER_FAILED, NAN, 3e8, "cpu"}};
    const struct guard_server servers[] = {
        {0, 0, "tiny", false, 1, 2, 1, NAN, NULL, "unit tiny.service"},
        {0, 0, "next", true, NAN, NAN, 0, NAN, NULL, "systemd does not answer"},
    };
    guard_status_tiers(status, 0, tiers, 2, "");
    guard_status_proxy(status, &view);
    guard_status_split(status, 0, &split);
    guard_status_servers(status, servers, 2);
}

static bool print_names(const char *what)
{
    for (size_t i = 0; strcmp(what, "alarms") == 0 && i < guard_alarm_kind_count; i++)
        puts(guard_alarm_kinds[i].name);
    for (size_t i = 0; strcmp(what, "events") == 0 && i < EVENT_COUNT_; i++)
        puts(guard_event_names[i]);
    return strcmp(what, "alarms") == 0 || strcmp(what, "events") == 0;
}

int main(int argc, char **argv)
{
    if (argc > 1 && print_names(argv[1]))
        return 0;
    struct made_study *made = made_study_new("/nowhere");
    made->study.name = "odd \"name\" \\ {x} \n ü";
    struct guard_judge *judge = guard_judge_new(&made->study);
    struct guard_status *status = guard_status_new(&made->study, judge, false);
    struct guard_decision decision = {.rule = "a \"rule\" \\ \xff", .to = STATE_ALARM};
    struct buf text = BUF_INIT(1 << 22);
    struct guard_tick tick;
    fill(made);
    tick = made_tick(made);
    guard_status_tick(status, &tick);
    guard_status_decision(status, &decision);
    fill_proxy(status);
    guard_openmetrics_write(
        status, argc > 1 && strcmp(argv[1], "openmetrics") == 0 ? EXPOSE_OPENMETRICS : EXPOSE_TEXT,
        &text);
    fputs(buf_text(&text), stdout);
    buf_done(&text);
    guard_status_free(status);
    guard_judge_free(judge);
    made_study_free(made);
    return 0;
}
