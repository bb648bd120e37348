/* HAProxy's configuration, applied by a child while the loop goes on. */
#include "guard/watch_apply.h"

#include "base/clock.h"
#include "spec/guard.h"

#include "check.h"

#include <systemd/sd-event.h>

static void test_a_failed_one_says_why_and_the_loop_goes_on(void **state)
{
    (void)state;
    struct spec_tier tiers[] = {{.name = "base", .port = 8101}};
    struct spec_front front = {.port = 8089, .tiers = tiers, .tier_count = 1};
    struct spec_guard guard = {.given = true,
                               .fronts = &front,
                               .front_count = 1,
                               .proxy = {.given = true, .folder = "/dev/null/none"}};
    struct spec_service service = {.name = "stt"};
    const struct spec_study study = {
        .name = "s", .services = &service, .service_count = 1, .guard = &guard};
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_failed_one_says_why_and_the_loop_goes_on),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
