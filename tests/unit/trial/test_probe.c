/* Where a service computes is decided within 3 s of its first answer: as an order of events, with
 * each look as long as it may be. */
#include "trial/run.h"

#include "check.h"

#define MS INT64_C(1000000)

static void test_decided_in_time(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        int64_t request_ms;
        bool again;
        bool contradicted;
    } rows[] = {
        {"a few milliseconds", 15, true},
        {"half a second", 500, true},
        {"a second: its samples are there, if ever", 1000, false},
        {"slower than all the time there is", 4000, false},
        {"that slow, and its CPU time speaks against it", 4000, true, true},
    };
    const int64_t answered_ns = 7000 * MS, look_ns = DEVICE_PROVE_WITHIN_MS * MS;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        int64_t request_ns = rows[i].request_ms * MS, now_ns = answered_ns + look_ns;
        const struct device_proof proof = {.contradicted = rows[i].contradicted};
        bool again = run_may_probe_again(&proof, answered_ns, now_ns, request_ns);
        CHECK_ROW(i, rows[i].name, again == rows[i].again);
        if (rows[i].contradicted)
            continue; /* 3 s of the other request's answer */
        if (again)
            now_ns += request_ns + look_ns;
        CHECK_ROW(i, rows[i].name, now_ns - answered_ns <= 3000 * MS);
    }
    /* A driver whose calls took long leaves no time for another. */
    const struct device_proof unproven = {0};
    assert_false(run_may_probe_again(&unproven, answered_ns, answered_ns + 2000 * MS, 15 * MS));
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_decided_in_time)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
