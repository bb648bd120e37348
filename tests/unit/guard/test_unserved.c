/* A front without a usable server, as it is told from what HAProxy says of its servers. */
#include "check.h"

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

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_looks)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
