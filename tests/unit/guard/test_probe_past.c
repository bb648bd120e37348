/* What a probe's end says: a full server is slow and does not hang, a dead one behind a living
 * front is found by three errors. */
#include "check.h"

#include "guard/probe.h"
#include "guard/probe_past.h"

#include "base/clock.h"

struct step {
    int sent_s, ended_s;
    enum load_error error;
    int status;
    int answered_s; /* another was, then or later; 0: that was not seen */
    enum guard_probe_turn turn;
    pid_t process; /* 0: 7 */
    bool ours;
    int moved_s; /* its counts */
    int age_s;   /* of the process; 0: an hour, -1: unknown */
};

#define WELL LOAD_OK, 200
#define HTTP(status) LOAD_HTTP_STATUS, (status)
#define LATE LOAD_TIMEOUT, 0
#define NOTHING PROBE_SAYS_NOTHING

static void run(const char *name, int up_s, const struct step *steps, size_t count)
{
    struct guard_probe_past past = {0};
    for (size_t i = 0; i < count; i++) {
        const struct step *s = &steps[i];
        const struct guard_probe probe = {.error = s->error,
                                          .ours = s->ours,
                                          .http_status = s->status,
                                          .hung = s->error == LOAD_TIMEOUT,
                                          .sent_ns = s->sent_s * NS_PER_S};
        const struct guard_probe_scene scene = {.now_ns = s->ended_s * NS_PER_S,
                                                .within_ns = 8 * NS_PER_S,
                                                .process = s->process ? s->process : 7,
                                                .up_ns = up_s * NS_PER_S,
                                                .age_ns = s->age_s < 0 ? -1
                                                          : s->age_s   ? s->age_s * NS_PER_S
                                                                       : 3600 * NS_PER_S,
                                                .answered_ns = s->answered_s * NS_PER_S,
                                                .moved_ns = s->moved_s * NS_PER_S};
        CHECK_ROW(i, name, guard_probe_step(&past, &probe, &scene) == s->turn);
    }
}

/* Before: "hangs", each time. */
static void test_late(void **state)
{
    (void)state;
    const struct step steps[] = {
        {10, 18, LATE, 0, PROBE_HANGS},  /* nobody else can be seen */
        {20, 28, LATE, 12, PROBE_HANGS}, /* others were answered, before it was sent */
        {30, 38, LATE, 31, PROBE_HANGS}, /* or just after: then it froze */
        {40, 48, LATE, 42, PROBE_SLOW},  /* it is full */
        {50, 58, LATE, 58, PROBE_SLOW},
        {60, 68, LATE, 58, PROBE_HANGS},
        {70, 71, WELL, 0, NOTHING},
        {80, 88, LATE, 0, PROBE_SLOW, .moved_s = 85},
        {90, 98, LATE, 0, PROBE_HANGS, .moved_s = 91},
    };
    run("late", 1, steps, ARRAY_LEN(steps));
}

/* Before: "hangs", of a Whisper whose first answer took 3 s, with a deadline of 2 s. */
static void test_first_answer(void **state)
{
    (void)state;
    const struct step cold[] = {
        {10, 18, LATE, 0, NOTHING, .age_s = 30},
        {60, 68, LATE, 0, NOTHING, .age_s = 80},
        {62, 70, LATE, 0, PROBE_HANGS, .age_s = 82}, /* a minute after it was up */
    };
    const struct step warm[] = {
        {10, 18, LATE, 0, NOTHING, .age_s = 30},
        {20, 21, WELL, 0, NOTHING, .age_s = 33},
        {30, 38, LATE, 0, PROBE_HANGS, .age_s = 50},
        {40, 48, LATE, 0, NOTHING, .age_s = 12, .process = 8}, /* another process is cold again */
    };
    const struct step old[] = {
        {10, 18, LATE, 0, PROBE_HANGS}, /* guard began, it was there for long */
        {20, 28, LATE, 0, PROBE_HANGS, .age_s = -1},
        {30, 38, LATE, 0, PROBE_HANGS, .age_s = 361},
    };
    run("cold", 1, cold, ARRAY_LEN(cold));
    run("warm", 1, warm, ARRAY_LEN(warm));
    run("old", 1, old, ARRAY_LEN(old));
}

/* Before: never said with less than ten values in a window. */
static void test_errors_in_a_row(void **state)
{
    (void)state;
    const struct step steps[] = {
        {10, 11, WELL, 0, NOTHING},
        {20, 21, HTTP(500), 0, NOTHING, .moved_s = 20}, /* by this probe */
        {30, 31, LOAD_CLOSED, 0, 0, NOTHING},
        {40, 41, HTTP(503), 0, PROBE_FAILS, .moved_s = 40},
        {50, 51, HTTP(500), 0, NOTHING}, /* once */
        {60, 61, HTTP(500), 0, NOTHING, .ours = true},
        {70, 71, WELL, 0, PROBE_ANSWERED},
        {80, 81, HTTP(500), 0, NOTHING},
        {90, 91, HTTP(500), 0, NOTHING},
        {100, 101, WELL, 0, NOTHING},
        {110, 111, HTTP(500), 0, NOTHING},
        {120, 121, HTTP(500), 0, NOTHING},
        {130, 131, HTTP(500), 0, NOTHING, .process = 8}, /* another process */
        {140, 141, HTTP(500), 0, NOTHING, .process = 8},
        {150, 151, HTTP(500), 0, PROBE_FAILS, .process = 8},
    };
    run("errors", 1, steps, ARRAY_LEN(steps));
}

static void test_what_is_no_failure(void **state)
{
    (void)state;
    const struct step refused[] = {
        {10, 11, HTTP(404), 0, NOTHING},
        {20, 21, HTTP(422), 0, NOTHING},
        {30, 31, HTTP(429), 0, NOTHING},
        {40, 41, HTTP(404), 0, NOTHING},
    };
    const struct step loading[] = {
        {10, 11, HTTP(503), 0, NOTHING},   {20, 21, HTTP(503), 0, NOTHING},
        {30, 31, HTTP(503), 0, NOTHING},   {280, 281, HTTP(503), 0, NOTHING},
        {310, 311, HTTP(503), 0, NOTHING}, /* no model loads for so long */
        {320, 321, HTTP(503), 0, NOTHING}, {330, 331, HTTP(503), 0, PROBE_FAILS},
    };
    const struct step shedding[] = {
        {10, 11, WELL, 0, NOTHING},       {20, 21, HTTP(503), 20, NOTHING},
        {30, 31, HTTP(503), 31, NOTHING}, {40, 41, HTTP(503), 41, NOTHING},
        {50, 51, HTTP(503), 45, NOTHING}, /* and then it dies */
        {60, 61, HTTP(503), 45, NOTHING}, {70, 71, HTTP(503), 45, PROBE_FAILS},
    };
    run("refused", 1, refused, ARRAY_LEN(refused));
    run("loading", 1, loading, ARRAY_LEN(loading));
    run("shedding", 1, shedding, ARRAY_LEN(shedding));
}

/* Ticks and probes of the same period: each tick sends one, whether it is a hair early or late. */
static void test_next(void **state)
{
    (void)state;
    int64_t due_ns = 300 * NS_PER_MS;
    int sent = 0;
    for (int tick = 0; tick < 600; tick++) {
        const int64_t now_ns = tick * NS_PER_S + (tick * 7919 % 13 - 6) * 100000;
        if (now_ns < due_ns)
            continue;
        sent++;
        due_ns = guard_probe_next(due_ns, now_ns, NS_PER_S);
        assert_true(due_ns > now_ns && due_ns <= now_ns + NS_PER_S);
    }
    assert_int_equal(sent, 599);
    assert_true(guard_probe_next(0, 10 * NS_PER_S, 3 * NS_PER_S) == 12 * NS_PER_S);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_next),
        cmocka_unit_test(test_late),
        cmocka_unit_test(test_first_answer),
        cmocka_unit_test(test_errors_in_a_row),
        cmocka_unit_test(test_what_is_no_failure),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
