/* A front without a usable server, as it is told from what HAProxy says of its servers. */
#include "check.h"

#include "device/proc.h"
#include "guard/watch_proxy.h"

static const struct {
    const char *name;
    bool up, first, second; /* HAProxy; its two servers */
    int event;              /* -1: none */
} looks[] = {
    {"all well", true, true, true, -1},
    {"one is enough", true, false, true, -1},
    {"a moment without one", true, false, false, -1},
    {"was none", true, true, true, -1},
    {"none", true, false, false, -1},
    {"none again", true, false, false, EVENT_UNSERVED},
    {"said once", true, false, false, -1},
    {"HAProxy is not known", false, false, false, -1},
    {"still none", true, false, false, -1},
    {"one", true, false, true, EVENT_SERVED},
    {"said once", true, true, true, -1},
};

static void test_looks(void **state)
{
    (void)state;
    struct spec_front front = {.service = 3};
    const struct spec_guard guard = {.fronts = &front, .front_count = 1};
    unsigned counts[SPEC_FRONTS_MAX] = {0};
    struct proxy_view *view = calloc(1, sizeof *view);
    assert_non_null(view);
    view->fronts[0].server_count = 2;
    for (size_t i = 0; i < ARRAY_LEN(looks); i++) {
        struct guard_events events = {0};
        view->up = looks[i].up;
        view->fronts[0].servers[0].usable = looks[i].first;
        view->fronts[0].servers[1].usable = looks[i].second;
        guard_unserved_tell(counts, &guard, view, &events);
        CHECK_ROW(i, looks[i].name, events.count == (looks[i].event >= 0 ? 1 : 0));
        if (looks[i].event >= 0) {
            CHECK_ROW(i, looks[i].name, (int)events.items[0].kind == looks[i].event);
            assert_int_equal(events.items[0].service, 3);
        }
    }
    free(view);
}

static const struct {
    const char *name;
    bool up, by_apply;
    int64_t pid, uptime_s, parent, parent_start; /* parent 0: not known */
    int event;                                   /* -1: none */
    const char *says;
} turns[] = {
    {"first look", true, false, 10, 5, 9, 1, -1, NULL},
    {"goes on", true, false, 10, 6, 9, 1, -1, NULL},
    {"reloaded by others: the same master", true, false, 12, 1, 9, 1, -1, NULL},
    {"reloaded by us", true, true, 13, 1, 9, 1, -1, NULL},
    {"restarted by others", true, false, 22, 1, 21, 7, EVENT_PROXY_RESTARTED, "was restarted by"},
    {"the master's number is another's", true, false, 23, 1, 21, 8, EVENT_PROXY_RESTARTED,
     "was restarted by"},
    {"no parent to be seen", true, false, 24, 1, 0, 0, EVENT_PROXY_RESTARTED,
     "restarted or reloaded"},
    {"nor before", true, false, 25, 1, 21, 8, EVENT_PROXY_RESTARTED, "restarted or reloaded"},
    {"the same number, younger", true, false, 25, 0, 31, 9, -1, NULL}, /* a second is no proof */
    {"goes on", true, false, 25, 60, 31, 9, -1, NULL},
    {"the same number again", true, false, 25, 2, 41, 9, EVENT_PROXY_RESTARTED, "was restarted by"},
    {"does not answer", false, false, 0, 0, 0, 0, EVENT_PROXY_DOWN, "does not answer"},
    {"said once", false, false, 0, 0, 0, 0, -1, NULL},
    {"answers again", true, false, 25, 9, 41, 9, EVENT_PROXY_RESTARTED, "answers again"},
    {"goes on", true, false, 25, 10, 41, 9, -1, NULL},
};

static void test_turns(void **state)
{
    (void)state;
    struct guard_proxy_past past = {0};
    struct proxy_view *view = calloc(1, sizeof *view);
    assert_non_null(view);
    for (size_t i = 0; i < ARRAY_LEN(turns); i++) {
        struct guard_events events = {0};
        const struct proc_stat parent = {.pid = (pid_t)turns[i].parent,
                                         .start_ticks = turns[i].parent_start};
        *view = (struct proxy_view){.up = turns[i].up,
                                    .by_apply = turns[i].by_apply,
                                    .pid = turns[i].pid,
                                    .uptime_s = turns[i].uptime_s};
        guard_proxy_tell(&past, view, turns[i].parent ? &parent : NULL, &events);
        CHECK_ROW(i, turns[i].name, events.count == (turns[i].event >= 0 ? 1 : 0));
        if (turns[i].event >= 0) {
            CHECK_ROW(i, turns[i].name, (int)events.items[0].kind == turns[i].event);
            CHECK_ROW(i, turns[i].name, strstr(events.items[0].text, turns[i].says) != NULL);
        }
    }
    free(view);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_looks), cmocka_unit_test(test_turns)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
