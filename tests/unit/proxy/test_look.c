/* What HAProxy says of itself, as text of any shape. */
#include "check.h"
#include "made.h"

static const char folder[] = "/tmp/voice.spica.proxy";

static const char stats[] = "# pxname,svname,qcur,scur,stot,econ,eresp,status,weight,hrsp_5xx,\n"
                            "spica.stt,FRONTEND,,5,9,,,OPEN,,0,\n"
                            "spica.stt.base,base,2,3,100,1,2,UP 1/3,1,4,\n"
                            "spica.stt.base,tiny,0,1,10,0,0,UP,1,0,\n"
                            "spica.stt.base,BACKEND,5,4,110,1,2,UP,1,4,\n"
                            "spica.stt.base.pin,base,1,1,7,0,0,UP,1,1,\n"
                            "spica.stt.tiny,tiny,0,2,20,0,0,DRAIN,0,0,\n"
                            "spica.stt.tiny,base,0,0,0,0,0,DOWN,1,0,\n"
                            "spica.llm.now,now,0,0,5,0,0,DOWN 1/2,1,0,\n"
                            "spica.llm.next,next,0,0,5,0,0,no check,1,0,\n"
                            "theirs,base,9,9,9,9,9,UP,1,9,\n\n";

/* Those who wait for a place stand in the backend's row, without a server. Before: nowhere, so that
 * with a bound (at_once) nobody ever waited. */
static void counts(void **state)
{
    struct made made;
    struct proxy_view view = {0};
    (void)state;
    made_init(&made, folder);
    proxy_stat_parse(&made.study, stats, sizeof stats - 1, &view);
    const struct proxy_server *base = &view.fronts[0].servers[0],
                              *tiny = &view.fronts[0].servers[1];
    assert_int_equal(base->in_flight, 4);
    assert_int_equal(base->waiting, 3 + 5);
    assert_int_equal(base->total, 107);
    assert_int_equal(base->errors, 8);
    assert_true(base->usable && !base->drained);
    assert_int_equal(tiny->in_flight, 3);
    assert_true(tiny->usable && tiny->drained);
    assert_int_equal(view.fronts[0].in_flight, 15);
    assert_false(view.fronts[1].servers[0].usable);
    assert_true(view.fronts[1].servers[1].usable);
}

static void maps(void **state)
{
    static const char text[] = "0x55d3 stt spica.stt.tiny\n0x55d4 llm.1 70\n0x55d5 llm.9 1\n\n";
    static const char *const wrong[] = {"0x1 stt spica.llm.now\n", "0x1 stt spica.stt.tiny.pin\n",
                                        "0x1 stt\n", "stt spica.stt.tiny", "0x1 stt nobody\n"};
    struct made made;
    struct proxy_view view = {0};
    (void)state;
    made_init(&made, folder);
    proxy_map_parse(&made.study, text, sizeof text - 1, &view);
    assert_string_equal(view.fronts[0].tier, "tiny");
    assert_int_equal(view.fronts[1].servers[0].weight, 70);
    assert_int_equal(view.fronts[1].servers[1].weight, 30);
    for (size_t i = 0; i < ARRAY_LEN(wrong); i++) {
        struct proxy_view none = {0};
        proxy_map_parse(&made.study, wrong[i], strlen(wrong[i]), &none);
        CHECK_ROW(i, wrong[i], none.fronts[0].tier == NULL);
    }
}

static void info(void **state)
{
    static const char text[] = "Name: HAProxy\nPid: 4711\nUptime: 0d\nUptime_sec: 42\n"
                               "DroppedLogs: 7\n\n";
    static const char *const wrong[] = {"", "Pid: \nUptime_sec: 1\n", "Pid: x1\nUptime_sec: 1\n",
                                        "Pid: 1\n", "Pid: 99999999999999999999\nUptime_sec: 1\n"};
    struct proxy_info info = {0};
    (void)state;
    assert_true(proxy_info_parse(text, sizeof text - 1, &info));
    assert_int_equal(info.pid, 4711);
    assert_int_equal(info.uptime_s, 42);
    assert_int_equal(info.dropped_logs, 7);
    for (size_t i = 0; i < ARRAY_LEN(wrong); i++)
        CHECK_ROW(i, wrong[i], !proxy_info_parse(wrong[i], strlen(wrong[i]), &info));
}

static void workers(void **state)
{
    static const char text[] = "#<PID> <type> <reloads>\n8624 master 1 [failed: 2] 0d\n# workers\n"
                               "8630 worker 0 0d\n# old workers\n8625 worker 1 0d\n# programs\n\n";
    int64_t pids[4];
    (void)state;
    assert_int_equal(proxy_workers_parse(text, sizeof text - 1, pids, 4), 2);
    assert_int_equal(pids[0], 8630);
    assert_int_equal(pids[1], 8625);
    assert_int_equal(proxy_workers_parse(text, sizeof text - 1, pids, 1), 1);
    assert_int_equal(proxy_failed_parse(text, sizeof text - 1), 2);
    assert_int_equal(proxy_failed_parse("[failed: ", 9), -1);
    assert_int_equal(proxy_failed_parse("", 0), -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(counts),
        cmocka_unit_test(maps),
        cmocka_unit_test(info),
        cmocka_unit_test(workers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
