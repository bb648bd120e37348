/* What is shown: unknown is null or absent, outside text can't break a line, and no more is kept
 * than there is room for. */
#include "check.h"

#include "made_study.h"

#include "base/clock.h"
#include "base/json.h"
#include "guard/status.h"
#include "load/record.h"

#include <math.h>

struct stage {
    char *folder;
    struct made_study *made;
    struct guard_status *status;
};

static struct stage stage_new(void)
{
    struct stage stage = {.folder = check_make_folder()};
    stage.made = made_study_new(stage.folder);
    stage.status = guard_status_new(&stage.made->study, NULL, false);
    return stage;
}

static void stage_done(struct stage *stage)
{
    guard_status_free(stage->status);
    made_study_free(stage->made);
    check_remove_folder(stage->folder);
}

static json_t *read_status(const struct stage *stage)
{
    AUTO(buf_done) struct buf text = BUF_INIT(1 << 22);
    guard_status_write_json(stage->status, &text);
    json_t *object = json_loadb(buf_text(&text), text.len, 0, NULL);
    assert_non_null(object);
    return object;
}

static void tell_tick(struct stage *stage)
{
    struct guard_tick tick = made_tick(stage->made);
    tick.event_count = 1;
    tick.events[0] = (struct guard_event){.kind = EVENT_OOM_DEVICE, .service = 0};
    snprintf(tick.events[0].text, sizeof tick.events[0].text, "CUDA \"out of memory\"\n\xff");
    guard_status_tick(stage->status, &tick);
}

static struct guard_decision decision_of(const char *rule, enum guard_state from,
                                         enum guard_state to)
{
    struct guard_decision decision = {.wall_us = clock_now_wall_us(),
                                      .rule = rule,
                                      .service = 0,
                                      .from = from,
                                      .to = to,
                                      .actions = 1U << ACTION_NOTIFY,
                                      .withheld = 1U << ACTION_RESTART};
    snprintf(decision.text, sizeof decision.text, "p95 912 ms > 300 ms for 30 s");
    return decision;
}

static void test_json(void **state)
{
    (void)state;
    struct stage stage = stage_new();
    struct guard_decision decision = decision_of("slow", STATE_PENDING, STATE_ALARM);
    *made_value(stage.made, "stt.latency.p95") =
        (struct guard_value){.number = 0.912, .count = 57, .source = SOURCE_REQUESTS};
    *made_value(stage.made, "stt.first.p50") =
        (struct guard_value){.number = 0.43, .count = 57, .source = SOURCE_ENGINE, .bucket_s = 0.2};
    *made_value(stage.made, "stt.first.p95") = (struct guard_value){
        .number = 80, .count = 57, .source = SOURCE_ENGINE, .bucket_s = INFINITY};
    made_value(stage.made, "stt.placement")->text = "gpu";
    tell_tick(&stage);
    guard_status_decision(stage.status, &decision);
    AUTO_JSON json_t *object = read_status(&stage);
    const json_t *values = json_object_get(object, "values");
    const json_t *p95 = json_object_get(values, "stt.latency.p95");
    assert_true(json_get_real(p95, "value") == 0.912);
    assert_int_equal(json_get_int(p95, "count", 0), 57);
    assert_string_equal(json_get_text(p95, "source"), "requests");
    assert_null(json_object_get(p95, "bucket_s"));
    assert_true(json_get_real(json_object_get(values, "stt.first.p50"), "bucket_s") == 0.2);
    assert_true(
        json_is_null(json_object_get(json_object_get(values, "stt.first.p95"), "bucket_s")));
    assert_true(json_is_null(json_object_get(json_object_get(values, "llm.latency.p95"), "value")));
    assert_string_equal(json_get_text(json_object_get(values, "stt.placement"), "value"), "gpu");
    const json_t *last = json_array_get(json_object_get(object, "decisions"), 0);
    assert_string_equal(json_get_text(last, "to"), "alarm");
    assert_string_equal(json_string_value(json_array_get(json_object_get(last, "withheld"), 0)),
                        "restart");
    const json_t *event = json_array_get(json_object_get(object, "events"), 0);
    assert_string_equal(json_get_text(event, "service"), "stt");
    assert_true(json_is_null(json_object_get(object, "proxy")));
    stage_done(&stage);
}

/* The newest are kept, and come first. */
static void test_recent(void **state)
{
    (void)state;
    struct stage stage = stage_new();
    for (int i = 0; i < 3 * GUARD_RECENT_MAX; i++) {
        struct guard_decision decision = decision_of("slow", STATE_PENDING, STATE_ALARM);
        snprintf(decision.text, sizeof decision.text, "%d", i);
        guard_status_decision(stage.status, &decision);
        tell_tick(&stage);
    }
    AUTO_JSON json_t *object = read_status(&stage);
    const json_t *decisions = json_object_get(object, "decisions");
    assert_int_equal(json_array_size(decisions), GUARD_RECENT_MAX);
    assert_string_equal(json_get_text(json_array_get(decisions, 0), "text"), "299");
    assert_int_equal(json_array_size(json_object_get(object, "events")), GUARD_RECENT_MAX);
    stage_done(&stage);
}

static void write_metrics(const struct stage *stage, enum guard_exposition form, struct buf *text)
{
    guard_openmetrics_write(stage->status, form, text);
    assert_false(text->over);
}

static const struct {
    const char *line;
    bool text, open; /* is it in that form? */
} lines[] = {
    {"spica_service_latency_seconds{service=\"stt\",source=\"requests\",quantile=\"0.95\"} 0.5\n",
     true, true},
    {"spica_service_latency_window_values{service=\"stt\",source=\"requests\"} 57\n", true, true},
    {"spica_service_latency_seconds{service=\"llm\"", false, false},
    {"spica_service_placement{service=\"stt\",placement=\"gpu\"} 1\n", true, true},
    {"spica_service_placement{service=\"stt\",placement=\"cpu\"} 0\n", true, true},
    {"spica_service_placement{service=\"llm\"", false, false},
    {"spica_service_tier{service=\"stt\",tier=\"tiny\"} 1\n", true, true},
    {"spica_device_fault{device=\"gpu0\",fault=\"none\"} 1\n", true, true},
    {"# TYPE spica_service_restarts_total counter\n", true, false},
    {"# TYPE spica_service_restarts counter\n", false, true},
    {"spica_service_restarts_total{service=\"stt\"} 3\n", true, true},
    {"# TYPE spica_guard info\n", false, true},
    {"# TYPE spica_guard_info gauge\n", true, false},
    {"# UNIT spica_service_latency_seconds seconds\n", false, true},
    {"# EOF\n", false, true},
    {"spica_guard_events_total{event=\"", true, true},
    {"spica_guard_alarms_total{rule=\"a \\\"b\\\" \\\\ \\\\x01\",service=\"stt\"} 2\n", true, true},
    {"spica_guard_actions_total{action=\"restart\",outcome=\"withheld\"} 4\n", true, true},
    {"nan", false, false},
    {"spica_proxy_server_usable{service=\"stt\",server=\"tiny\"} 1\n", true, true},
    {"spica_split_arm_weight_ratio{service=\"stt\",arm=\"now\"} 0.9", true, true},
};

static void test_metrics(void **state)
{
    (void)state;
    struct stage stage = stage_new();
    AUTO(buf_done) struct buf text = BUF_INIT(1 << 22), open = BUF_INIT(1 << 22);
    const char *rule = "a \"b\" \\ \x01";
    struct guard_decision decisions[] = {decision_of(rule, STATE_PENDING, STATE_ALARM),
                                         decision_of(rule, STATE_CLEARING, STATE_ALARM),
                                         decision_of(rule, STATE_FINE, STATE_PENDING),
                                         decision_of(rule, STATE_PENDING, STATE_ALARM)};
    struct proxy_view view = {.up = true};
    view.fronts[0].servers[0] = (struct proxy_server){.name = "tiny", .usable = true};
    view.fronts[0].server_count = 1;
    struct guard_status_split split = {.verdict = "undecided", .arm_count = 1};
    split.arms[0] = (struct guard_status_arm){"now", 90, 10, 1, 0.1, NAN, NAN, NAN};
    *made_value(stage.made, "stt.requests.latency.p95") =
        (struct guard_value){.number = 0.5, .count = 57, .source = SOURCE_REQUESTS};
    *made_value(stage.made, "stt.requests.latency.p50") =
        (struct guard_value){.number = 0.2, .count = 57, .source = SOURCE_REQUESTS};
    made_value(stage.made, "stt.placement")->text = "gpu";
    made_value(stage.made, "stt.tier")->text = "tiny";
    made_value(stage.made, "gpu0.fault")->text = "none";
    made_value(stage.made, "stt.restarts")->number = 3;
    tell_tick(&stage);
    for (size_t i = 0; i < ARRAY_LEN(decisions); i++)
        guard_status_decision(stage.status, &decisions[i]);
    guard_status_proxy(stage.status, &view);
    guard_status_split(stage.status, 0, &split);
    write_metrics(&stage, EXPOSE_TEXT, &text);
    write_metrics(&stage, EXPOSE_OPENMETRICS, &open);
    for (size_t i = 0; i < ARRAY_LEN(lines); i++) {
        CHECK_ROW(i, lines[i].line,
                  (strstr(buf_text(&text), lines[i].line) != NULL) == lines[i].text);
        CHECK_ROW(i, lines[i].line,
                  (strstr(buf_text(&open), lines[i].line) != NULL) == lines[i].open);
    }
    assert_string_equal(buf_text(&open) + open.len - 6, "# EOF\n");
    stage_done(&stage);
}

/* Before anything has happened each rule has its counter, and says how grave it is. */
static void test_rules(void **state)
{
    (void)state;
    struct stage stage = stage_new();
    AUTO(buf_done) struct buf text = BUF_INIT(1 << 22);
    struct guard_judge *judge = guard_judge_new(&stage.made->study);
    struct guard_status *status = guard_status_new(&stage.made->study, judge, false);
    static const char *const wanted[] = {
        "spica_guard_alarms_total{rule=\"down\",service=\"stt\"} 0\n",
        "spica_guard_alarms_total{rule=\"device full soon\"} 0\n",
        "{rule=\"down\",service=\"stt\",severity=\"grave\",state=\"alarm\"} 0\n",
        "{rule=\"restarted\",service=\"stt\",severity=\"minor\",state=\"alarm\"} 0\n",
    };
    guard_openmetrics_write(status, EXPOSE_TEXT, &text);
    for (size_t i = 0; i < ARRAY_LEN(wanted); i++)
        CHECK_ROW(i, wanted[i], strstr(buf_text(&text), wanted[i]) != NULL);
    guard_status_free(status);
    guard_judge_free(judge);
    stage_done(&stage);
}

/* Before: a ratio alone, though operators were sent to /status for the kinds. */
static void test_errors_by_kind(void **state)
{
    (void)state;
    struct stage stage = stage_new();
    AUTO(buf_done) struct buf text = BUF_INIT(1 << 22);
    const struct guard_kinds requests = {.window = {[PROXY_CUT] = 2},
                                         .total = {[PROXY_CUT] = 7, [PROXY_UNSERVED] = 1}};
    const struct guard_kinds probes = {.total = {[LOAD_TIMEOUT] = 4}};
    guard_status_kinds(stage.status, 0, SOURCE_REQUESTS, &requests);
    guard_status_kinds(stage.status, 1, SOURCE_PROBE, &probes);
    AUTO_JSON json_t *object = read_status(&stage);
    const json_t *errors = json_object_get(object, "errors");
    const json_t *kinds = json_object_get(json_object_get(errors, "stt"), "requests");
    assert_int_equal(json_object_size(kinds), PROXY_END_COUNT_ - 1);
    assert_int_equal(json_get_int(json_object_get(kinds, "cut"), "window", -1), 2);
    assert_int_equal(json_get_int(json_object_get(kinds, "cut"), "total", -1), 7);
    assert_int_equal(json_get_int(json_object_get(kinds, "client left"), "total", -1), 0);
    kinds = json_object_get(json_object_get(errors, "llm"), "probe");
    assert_int_equal(json_get_int(json_object_get(kinds, "timeout"), "total", -1), 4);
    assert_null(json_object_get(json_object_get(errors, "llm"), "requests"));
    write_metrics(&stage, EXPOSE_TEXT, &text);
    static const char *const wanted[] = {
        "spica_service_errors_total{service=\"stt\",source=\"requests\",kind=\"cut\"} 7\n",
        "spica_service_errors_total{service=\"stt\",source=\"requests\",kind=\"refused\"} 0\n",
        "spica_service_errors_total{service=\"llm\",source=\"probe\",kind=\"timeout\"} 4\n",
    };
    for (size_t i = 0; i < ARRAY_LEN(wanted); i++)
        CHECK_ROW(i, wanted[i], strstr(buf_text(&text), wanted[i]) != NULL);
    assert_null(strstr(buf_text(&text), "service=\"stt\",source=\"probe\",kind"));
    assert_null(strstr(buf_text(&text), "kind=\"ok\""));
    stage_done(&stage);
}

/* Expected: a tier and an arm beside the watched server, in the families of services, with what
 * their fronts know of them; what was put aside, and what gets nothing, is not down. Before: none
 * of it, and a tier that memory had ended was counted nowhere. */
static void test_servers(void **state)
{
    (void)state;
    struct stage stage = stage_new();
    AUTO(buf_done) struct buf text = BUF_INIT(1 << 22);
    const struct guard_tier_standing tiers[] = {{"base", true, TIER_ON, NAN, 2e9, "gpu"},
                                                {"tiny", false, TIER_FAILED, NAN, 3e8, "cpu"},
                                                {"mini", false, TIER_OFF, NAN, NAN, "gpu"}};
    const struct guard_status_split split = {
        .verdict = "harm",
        .arms = {{.name = "now", .memory_bytes = 5e8, .placement = "gpu"},
                 {.name = "next", .memory_bytes = NAN, .over = true}},
        .arm_count = 2};
    const struct guard_server servers[] = {
        {0, 0, "tiny", false, 1, 2, 1, NAN, NULL, "tiny.service is active"},
        {0, 0, "mini", false, NAN, NAN, 0, NAN, NULL, "put aside"},
        {0, 0, "now", true, 1, 0, 0, 7e8, NULL, ""},
        {0, 0, "next", true, 0, 0, 3, NAN, NULL, "port closed"},
        {1, 0, "lost", false, 0, 0, 0, NAN, "cpu", "w.service failed"},
    };
    *made_value(stage.made, "stt.up") = (struct guard_value){.number = 1};
    tell_tick(&stage);
    guard_status_tiers(stage.status, 0, tiers, 3, "");
    guard_status_split(stage.status, 0, &split);
    guard_status_servers(stage.status, servers, ARRAY_LEN(servers));
    static const struct {
        const char *line;
        bool there;
    } rows[] = {
        {"spica_service_up{service=\"stt\"} 1\n", true},
        {"spica_service_up{service=\"stt\",tier=\"tiny\"} 1\n", true},
        {"spica_service_up{service=\"stt\",tier=\"base\"}", false}, /* it is the watched one */
        {"spica_service_up{service=\"stt\",tier=\"mini\"}", false},
        {"spica_service_up{service=\"stt\",arm=\"now\"} 1\n", true},
        {"spica_service_up{service=\"stt\",arm=\"next\"}", false},
        {"spica_service_up{service=\"llm\",tier=\"lost\"} 0\n", true},
        {"spica_service_out_of_memory_total{service=\"stt\",tier=\"tiny\"} 1\n", true},
        {"spica_service_out_of_memory_total{service=\"stt\",tier=\"mini\"} 0\n", true},
        {"spica_service_out_of_memory_total{service=\"stt\",arm=\"next\"} 3\n", true},
        {"spica_service_restarts_total{service=\"stt\",tier=\"tiny\"} 2\n", true},
        {"spica_service_restarts_total{service=\"stt\",tier=\"mini\"}", false},
        {"spica_service_memory_bytes{service=\"stt\",tier=\"tiny\"} 300000000\n", true},
        {"spica_service_memory_bytes{service=\"stt\",tier=\"mini\"}", false},
        {"spica_service_memory_bytes{service=\"stt\",arm=\"now\"} 700000000\n", true},
        {"spica_service_placement{service=\"stt\",tier=\"tiny\",placement=\"cpu\"} 1\n", true},
        {"spica_service_placement{service=\"stt\",tier=\"tiny\",placement=\"gpu\"} 0\n", true},
        {"spica_service_placement{service=\"stt\",tier=\"mini\"", false},
        {"spica_service_placement{service=\"stt\",arm=\"now\",placement=\"gpu\"} 1\n", true},
        {"spica_service_placement{service=\"llm\",tier=\"lost\"", false},
    };
    write_metrics(&stage, EXPOSE_TEXT, &text);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        CHECK_ROW(i, rows[i].line,
                  (strstr(buf_text(&text), rows[i].line) != NULL) == rows[i].there);
    AUTO_JSON json_t *object = read_status(&stage);
    const json_t *list = json_object_get(object, "servers");
    assert_int_equal(json_array_size(list), ARRAY_LEN(servers));
    const json_t *tiny = json_array_get(list, 0), *mini = json_array_get(list, 1);
    assert_string_equal(json_get_text(tiny, "service"), "stt");
    assert_string_equal(json_get_text(tiny, "tier"), "tiny");
    assert_string_equal(json_get_text(tiny, "placement"), "cpu");
    assert_true(json_is_true(json_object_get(tiny, "up")));
    assert_int_equal(json_get_real(tiny, "out_of_memory"), 1);
    assert_true(json_is_null(json_object_get(mini, "up")));
    assert_true(json_is_null(json_object_get(mini, "restarts")));
    assert_string_equal(json_get_text(mini, "why"), "put aside");
    assert_string_equal(json_get_text(json_array_get(list, 3), "arm"), "next");
    assert_true(json_is_null(json_object_get(json_array_get(list, 3), "up")));
    stage_done(&stage);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rules),   cmocka_unit_test(test_json),
        cmocka_unit_test(test_recent),  cmocka_unit_test(test_errors_by_kind),
        cmocka_unit_test(test_metrics), cmocka_unit_test(test_servers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
