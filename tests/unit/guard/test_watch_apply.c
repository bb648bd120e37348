/* HAProxy's configuration, applied by a child while the loop goes on. */
#include "guard/watch_apply.h"

#include "base/clock.h"
#include "spec/guard.h"

#include "check.h"

#include <systemd/sd-event.h>

/* One that can't be applied: its folder can't be made. */
static struct spec_tier tiers[] = {{.name = "base", .port = 8101}};
static struct spec_front front = {.port = 8089, .tiers = tiers, .tier_count = 1};
static struct spec_guard guard = {.given = true,
                                  .fronts = &front,
                                  .front_count = 1,
                                  .proxy = {.given = true, .folder = "/dev/null/none"}};
static struct spec_service service = {.name = "stt"};
static const struct spec_study study = {
    .name = "s", .services = &service, .service_count = 1, .guard = &guard};

static void test_a_failed_one_says_why_and_the_loop_goes_on(void **state)
{
    (void)state;
    struct guard_apply *apply = NULL;
    struct err err = ERR_INIT;
    sd_event *event = NULL;
    const char *why = "";
    assert_true(sd_event_new(&event) >= 0);
    if (!guard_apply_start(&study, event, &apply, &err))
        fail_msg("%s", err.text);
    assert_int_equal(guard_apply_look(apply, &why), APPLY_UNDER_WAY);
    int64_t end_ns = clock_now_ns() + 60 * NS_PER_S;
    while (guard_apply_look(apply, &why) == APPLY_UNDER_WAY && clock_now_ns() < end_ns)
        assert_true(sd_event_run(event, 1000000) >= 0);
    assert_int_equal(guard_apply_look(apply, &why), APPLY_FAILED);
    assert_non_null(strstr(why, "/dev/null/none"));
    guard_apply_free(apply);
    guard_apply_free(NULL);
    sd_event_unref(event);
}

/* Attempts at 5 s, and after waits that double, while it is down; none once it is up. */
static void test_kept_running(void **state)
{
    (void)state;
    static const int seconds[] = {5, 15, 35, 75, 155, 315, 615, 915};
    struct guard_revive revive = {0};
    struct guard_events events = {0};
    sd_event *event = NULL;
    size_t attempts = 0;
    assert_true(sd_event_new(&event) >= 0);
    for (int s = 0; s <= 1000; s++) {
        const unsigned before = revive.tries;
        events = (struct guard_events){0};
        guard_revive_step(&revive, &study, event, false, (1 + s) * NS_PER_S, &events);
        int64_t end_ns = clock_now_ns() + 60 * NS_PER_S;
        const char *why = "";
        while (revive.apply && guard_apply_look(revive.apply, &why) == APPLY_UNDER_WAY &&
               clock_now_ns() < end_ns)
            assert_true(sd_event_run(event, 1000000) >= 0);
        if (revive.tries == before)
            continue;
        CHECK_ROW(attempts, "attempt", attempts < ARRAY_LEN(seconds) && s == seconds[attempts]);
        CHECK_ROW(attempts, "said", strstr(events.items[0].text, "started again") != NULL);
        attempts++;
        guard_revive_step(&revive, &study, event, false, (1 + s) * NS_PER_S, &events);
        CHECK_ROW(attempts, "why", strstr(events.items[1].text, "/dev/null/none") != NULL);
    }
    assert_int_equal(attempts, ARRAY_LEN(seconds));
    guard_revive_step(&revive, &study, event, true, 2000 * NS_PER_S, &events);
    assert_int_equal(revive.tries, 0);
    guard_revive_step(&revive, &study, event, true, 2100 * NS_PER_S, &events);
    assert_null(revive.apply);
    guard_revive_done(&revive);
    sd_event_unref(event);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_failed_one_says_why_and_the_loop_goes_on),
        cmocka_unit_test(test_kept_running),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
