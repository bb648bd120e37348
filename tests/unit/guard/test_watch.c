/* The pure parts of watching: placement from one look to the next, requests in a window, events. */
#include "guard/watch_events.h"
#include "guard/watch_place.h"
#include "guard/watch_requests.h"

#include "base/auto.h"
#include "base/clock.h"

#include "check.h"

#include <math.h>

/* ---- placement ---- */

struct sight {
    int s, up_s;
    bool another;
    enum device_listed listed;
    int proof; /* enum placement; -1: no probe ended */
    enum placement word;
    const char *expected; /* "cpu", "placed", "" */
    int answered;         /* nothing of the last known answer lies before this; 0 */
    double cpu_s;         /* of its tree */
    double probed_s;      /* sent then, answered, not proven; 0: none */
};

#define NO DEVICE_LISTED_NO
#define YES DEVICE_LISTED_YES

static void run_sights(const char *name, const struct sight *sights, size_t count)
{
    struct guard_place place = {0};
    for (size_t i = 0; i < count; i++) {
        const struct sight *s = &sights[i];
        struct device_proof proof = {.placement = (enum placement)s->proof,
                                     .evidence = {"one", "two"}};
        struct guard_sighting sighting = {.now_ns = s->s * NS_PER_S,
                                          .up_ns = s->up_s * NS_PER_S,
                                          .another = s->another,
                                          .listed = s->listed,
                                          .cpu_ns = (int64_t)(s->cpu_s * 1e9),
                                          .cpu_at_ns = s->listed == NO ? s->s * NS_PER_S : 0,
                                          .answered_ns = s->answered * NS_PER_S,
                                          .probed_ns = (int64_t)(s->probed_s * 1e9),
                                          .device = "gpu0",
                                          .proof = s->proof >= 0 ? &proof : NULL};
        struct guard_place_turn turn = guard_place_step(&place, &sighting);
        CHECK_ROW_TEXT(i, name, turn.on_cpu ? "cpu" : turn.placed ? "placed" : "", s->expected);
        CHECK_ROW(i, name, place.word == s->word);
    }
}

static void test_falls_to_the_cpu(void **state)
{
    (void)state;
    const struct sight sights[] = {
        {1, 1, true, YES, -1, PLACEMENT_UNPROVEN, ""},
        {2, 1, false, YES, PLACEMENT_GPU, PLACEMENT_GPU, ""},
        {3, 1, false, YES, PLACEMENT_UNPROVEN, PLACEMENT_GPU, ""}, /* proven once is proven */
        {4, 0, false, NO, -1, PLACEMENT_UNPROVEN, ""},
        {6, 6, true, NO, -1, PLACEMENT_UNPROVEN, ""}, /* back, and not listed */
        {9, 6, false, NO, -1, PLACEMENT_UNPROVEN, "", 6},
        {11, 6, false, NO, -1, PLACEMENT_CPU, "cpu", 6},
        {12, 6, false, NO, -1, PLACEMENT_CPU, "", 6}, /* once */
        {15, 15, true, NO, -1, PLACEMENT_UNPROVEN, "", 6},
        {20, 15, false, NO, -1, PLACEMENT_UNPROVEN, "", 6}, /* each process by itself */
        {21, 15, false, NO, -1, PLACEMENT_CPU, "cpu", 16},
        {22, 22, true, YES, -1, PLACEMENT_UNPROVEN, ""},
        {23, 22, false, YES, PLACEMENT_GPU, PLACEMENT_GPU, "placed"},
        {24, 22, false, YES, PLACEMENT_GPU, PLACEMENT_GPU, ""},
    };
    run_sights("falls", sights, ARRAY_LEN(sights));
}

static void test_listed_is_not_computing(void **state)
{
    (void)state;
    const struct sight sights[] = {
        {1, 1, true, YES, -1, PLACEMENT_UNPROVEN, ""},
        {2, 1, false, YES, PLACEMENT_CPU, PLACEMENT_CPU, "cpu"},
        {3, 1, false, YES, -1, PLACEMENT_CPU, ""},
        {4, 1, false, YES, PLACEMENT_GPU, PLACEMENT_GPU, "placed"},
        {5, 1, false, YES, PLACEMENT_PARTIAL, PLACEMENT_PARTIAL, "cpu"},
    };
    run_sights("listed", sights, ARRAY_LEN(sights));
}

static void test_late_listing_is_no_fall(void **state)
{
    (void)state;
    const struct sight sights[] = {
        {1, 1, true, NO, -1, PLACEMENT_UNPROVEN, ""},
        {4, 1, false, YES, -1, PLACEMENT_UNPROVEN, ""},
        {8, 1, false, DEVICE_LISTED_UNKNOWN, -1, PLACEMENT_UNPROVEN, ""}, /* the driver is silent */
        {30, 1, false, DEVICE_LISTED_UNKNOWN, -1, PLACEMENT_UNPROVEN, ""},
        {31, 1, false, NO, -1, PLACEMENT_UNPROVEN, ""},     /* counted from here */
        {37, 1, false, NO, -1, PLACEMENT_UNPROVEN, "", 30}, /* that was before */
        {38, 1, false, NO, -1, PLACEMENT_CPU, "cpu", 32},
        {39, 1, false, YES, -1, PLACEMENT_UNPROVEN, "placed"},
    };
    run_sights("late", sights, ARRAY_LEN(sights));
}

/* Expected: a server that unloads by itself is neither on the CPU, however long nobody asks it, nor
 * proven; loading is work and is followed by the listing; who works or answers while it is not
 * listed is found as soon as before. Before: on the CPU after five idle seconds. */
static void test_unloaded_is_no_fall(void **state)
{
    (void)state;
    const struct sight unloads[] = {
        {1, 1, true, YES, -1, PLACEMENT_UNPROVEN, ""},
        {2, 1, false, YES, PLACEMENT_GPU, PLACEMENT_GPU, ""},
        {3, 1, false, NO, -1, PLACEMENT_GPU, "", 1, 9},
        {8, 1, false, NO, -1, PLACEMENT_UNPROVEN, "", 1, 9},
        {3600, 1, false, NO, -1, PLACEMENT_UNPROVEN, "", 1, 100}, /* 2.5 % of a core */
        {3601, 1, false, NO, -1, PLACEMENT_UNPROVEN, "", 1, 100.9},
        {3603, 1, false, NO, -1, PLACEMENT_UNPROVEN, "", 1, 102.5}, /* it loads */
        {3605, 1, false, YES, -1, PLACEMENT_UNPROVEN, "", 1, 0},
        {3606, 1, false, YES, PLACEMENT_GPU, PLACEMENT_GPU, "", 1, 0},
        {3900, 1, false, NO, -1, PLACEMENT_GPU, "", 3604, 105},
        {3905, 1, false, NO, -1, PLACEMENT_UNPROVEN, "", 3604, 105},
        {3906, 1, false, NO, -1, PLACEMENT_UNPROVEN, "", 3604, 105.9},
        {3907, 1, false, NO, -1, PLACEMENT_UNPROVEN, "", 3604, 106.8}, /* it works */
        {3911, 1, false, NO, -1, PLACEMENT_UNPROVEN, "", 3604, 106.8},
        {3912, 1, false, NO, -1, PLACEMENT_CPU, "cpu", 3604, 106.8},
        {4000, 1, false, NO, -1, PLACEMENT_CPU, "", 3604, 106.8}, /* at rest, as it was */
        {4001, 1, false, YES, -1, PLACEMENT_UNPROVEN, "placed", 3604, 0},
    };
    const struct sight answers[] = {
        {1, 1, true, NO, -1, PLACEMENT_UNPROVEN, "", 0, 4},
        {60, 1, false, NO, -1, PLACEMENT_UNPROVEN, "", 0, 4}, /* lazy: not asked yet */
        {62, 1, false, NO, -1, PLACEMENT_UNPROVEN, "", 61, 4.01},
        {66, 1, false, NO, -1, PLACEMENT_CPU, "cpu", 61, 4.01},
    };
    const struct sight proven[] = {
        {1, 1, true, NO, -1, PLACEMENT_UNPROVEN, ""},
        {2, 1, false, NO, PLACEMENT_CPU, PLACEMENT_CPU, "cpu"}, /* a probe needs no more */
        {60, 1, false, NO, -1, PLACEMENT_CPU, ""},
        {61, 61, true, NO, -1, PLACEMENT_UNPROVEN, "", 0, 0.4},
        {62, 61, false, NO, -1, PLACEMENT_UNPROVEN, "", 0, 1.2},
        {63, 61, false, NO, -1, PLACEMENT_UNPROVEN, "", 0, 2.0}, /* no probe, and it works */
        {68, 61, false, NO, -1, PLACEMENT_CPU, "cpu", 0, 2.0},
    };
    /* Before: five bursts in a night were "it computes on the CPU", and a restart by a rule. */
    const struct sight bursts[] = {
        {1, 1, true, YES, -1, PLACEMENT_UNPROVEN, ""},
        {100, 1, false, NO, -1, PLACEMENT_UNPROVEN, "", 0, 10.0},
        {101, 1, false, NO, -1, PLACEMENT_UNPROVEN, "", 0, 10.5},
        {102, 1, false, NO, -1, PLACEMENT_UNPROVEN, "", 0, 10.5},
        {899, 1, false, NO, -1, PLACEMENT_UNPROVEN, "", 0, 10.5},
        {900, 1, false, NO, -1, PLACEMENT_UNPROVEN, "", 0, 11.0},
        {1799, 1, false, NO, -1, PLACEMENT_UNPROVEN, "", 0, 11.0},
        {1800, 1, false, NO, -1, PLACEMENT_UNPROVEN, "", 0, 11.9},
        {1809, 1, false, NO, -1, PLACEMENT_UNPROVEN, "", 0, 11.9},
        {1815, 1, false, NO, -1, PLACEMENT_UNPROVEN, "", 0, 11.9}, /* not a second of one request */
        {1816, 1, false, NO, -1, PLACEMENT_UNPROVEN, "", 0, 12.5},
        {1824, 1, false, NO, -1, PLACEMENT_UNPROVEN, "", 0, 12.5},
        {1825, 1, false, NO, -1, PLACEMENT_UNPROVEN, "", 0, 13.0}, /* soon after one another */
        {1830, 1, false, NO, -1, PLACEMENT_CPU, "cpu", 0, 13.0},
    };
    run_sights("unloads", unloads, ARRAY_LEN(unloads));
    run_sights("bursts", bursts, ARRAY_LEN(bursts));
    run_sights("answers", answers, ARRAY_LEN(answers));
    run_sights("proven", proven, ARRAY_LEN(proven));
}

/* Expected: of a new process that has answered a probe unlisted two looks tell; of one that still
 * loads (its probe waits or is refused), or that is listed late, nothing is said; and what was
 * answered later, or before it was unlisted, has the old bound. Before: eight seconds and more from
 * a restart on. */
static void test_a_new_process_that_answers(void **state)
{
    (void)state;
    const struct sight answers[] = {
        {1, 1, true, NO, -1, PLACEMENT_UNPROVEN, ""},
        {2, 1, false, NO, PLACEMENT_UNPROVEN, PLACEMENT_UNPROVEN, "", 0, 0, 1.01},
        {3, 1, false, NO, -1, PLACEMENT_CPU, "cpu", 0, 0, 1.01},
        {4, 1, false, NO, -1, PLACEMENT_CPU, "", 0, 0, 3.2},
    };
    const struct sight loads[] = {
        {1, 1, true, NO, -1, PLACEMENT_UNPROVEN, "", 0, 0.1},
        {2, 1, false, NO, -1, PLACEMENT_UNPROVEN, "", 0, 1.0},
        {5, 1, false, NO, -1, PLACEMENT_UNPROVEN, "", 0, 1.1}, /* it is asked, and waits */
        {6, 1, false, YES, -1, PLACEMENT_UNPROVEN, "", 0, 0, 1.01},
        {7, 1, false, YES, PLACEMENT_GPU, PLACEMENT_GPU, "", 0, 0, 1.01},
    };
    const struct sight unloads[] = {
        {1, 1, true, NO, -1, PLACEMENT_UNPROVEN, ""},
        {2, 1, false, YES, -1, PLACEMENT_UNPROVEN, "", 0, 0, 1.01},
        {3, 1, false, NO, -1, PLACEMENT_UNPROVEN, "", 0, 0, 1.01},
        {9, 1, false, NO, -1, PLACEMENT_UNPROVEN, "", 0, 0, 1.01},
    };
    const struct sight later[] = {
        {1, 1, true, NO, -1, PLACEMENT_UNPROVEN, ""},
        {11, 1, false, NO, -1, PLACEMENT_UNPROVEN, "", 0, 0, 10.5},
        {15, 1, false, NO, -1, PLACEMENT_UNPROVEN, "", 0, 0, 10.5},
        {16, 1, false, NO, -1, PLACEMENT_CPU, "cpu", 0, 0, 10.5},
    };
    run_sights("answers new", answers, ARRAY_LEN(answers));
    run_sights("loads new", loads, ARRAY_LEN(loads));
    run_sights("unloads new", unloads, ARRAY_LEN(unloads));
    run_sights("later", later, ARRAY_LEN(later));
}

/* ---- requests ---- */

static void test_requests(void **state)
{
    (void)state;
    struct guard_requests *requests = guard_requests_new(60 * NS_PER_S, 0);
    struct guard_requests_view view;
    guard_requests_read(requests, 0, &view);
    assert_true(isnan(view.error_ratio) && view.requests == 0);
    for (int i = 0; i < 20; i++) {
        const struct guard_request well = {
            .counted = true, .latency_s = 0.2, .first_s = 0.1, .queue_s = 0};
        const struct guard_request failed = {
            .counted = true, .failed = true, .latency_s = 0.001, .first_s = NAN, .queue_s = NAN};
        const struct guard_request left = {.counted = false, .failed = true, .latency_s = 9};
        guard_requests_add(requests, i * NS_PER_S, &well);
        if (i % 4 == 0) {
            guard_requests_add(requests, i * NS_PER_S, &failed);
            guard_requests_add(requests, i * NS_PER_S, &left);
        }
    }
    guard_requests_read(requests, 20 * NS_PER_S, &view);
    assert_int_equal(view.requests, 25);
    assert_true(fabs(view.error_ratio - 0.2) < 1e-9);
    assert_int_equal(view.latency.values, 20); /* a failure is not fast, it has no latency */
    assert_true(fabs(view.latency.p50 - 0.2) < 0.2 * 2 * STATS_SKETCH_ERROR);
    guard_requests_read(requests, 200 * NS_PER_S, &view);
    assert_true(view.requests == 0 && isnan(view.error_ratio) && view.rate_rps == 0);
    guard_requests_free(requests);
}

/* Of each kind: how many in the window, and since guard began. Leaving is a kind, and no failure.
 */
static void test_kinds(void **state)
{
    (void)state;
    struct guard_requests *requests = guard_requests_new(60 * NS_PER_S, 0);
    struct guard_requests_view view;
    for (int i = 0; i < 100; i++) {
        const struct guard_request request = {.counted = true,
                                              .failed = i % 4 == 2,
                                              .left = i % 4 == 3,
                                              .kind = (size_t)(i % 4 < 2 ? 0 : i % 4),
                                              .latency_s = 0.2,
                                              .first_s = NAN,
                                              .queue_s = NAN};
        guard_requests_add(requests, i * NS_PER_S / 4, &request);
    }
    guard_requests_read(requests, 25 * NS_PER_S, &view);
    assert_true(view.kinds.window[2] == 25 && view.kinds.total[2] == 25);
    assert_true(view.kinds.window[3] == 25 && view.kinds.window[0] == 0);
    assert_true(fabs(view.error_ratio - 25.0 / 75) < 1e-9);
    guard_requests_restart(requests, 30 * NS_PER_S); /* a counter goes on */
    guard_requests_read(requests, 31 * NS_PER_S, &view);
    assert_true(view.kinds.window[2] == 0 && view.kinds.total[2] == 25);
    guard_requests_free(requests);
}

/* ---- events ---- */

static void test_events(void **state)
{
    (void)state;
    struct guard_events events = {0};
    struct guard_tick tick = {0};
    char *hostile = malloc(5000);
    assert_non_null(hostile);
    memset(hostile, '\xc3', 4999);
    hostile[4999] = '\0';
    guard_events_add(&events, EVENT_OOM_DEVICE, 0, "line\nwith\x1b[31m %s", hostile);
    guard_events_add(&events, EVENT_OOM_DEVICE, 0, "again");
    guard_events_add(&events, EVENT_OOM_DEVICE, 1, "another's");
    free(hostile);
    for (int i = 0; i < 40; i++)
        guard_events_add(&events, EVENT_NEIGHBOUR, -1, "%d", i);
    guard_events_take(&events, &tick);
    assert_int_equal(tick.event_count, GUARD_EVENTS_MAX);
    assert_int_equal(tick.events_lost, 40 - (GUARD_EVENTS_MAX - 2));
    assert_true(strlen(tick.events[0].text) < sizeof tick.events[0].text);
    assert_null(strchr(tick.events[0].text, '\n'));
    assert_null(strchr(tick.events[0].text, '\x1b'));
    assert_int_equal(tick.events[1].service, 1);
    guard_events_take(&events, &tick);
    assert_true(tick.event_count == 0 && tick.events_lost == 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_falls_to_the_cpu),
        cmocka_unit_test(test_listed_is_not_computing),
        cmocka_unit_test(test_unloaded_is_no_fall),
        cmocka_unit_test(test_a_new_process_that_answers),
        cmocka_unit_test(test_late_listing_is_no_fall),
        cmocka_unit_test(test_requests),
        cmocka_unit_test(test_kinds),
        cmocka_unit_test(test_events),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
