/* Once is "soon", twice is "now", and no signal beyond that does more. */
#include "base/cancel.h"

#include "base/auto.h"

#include "check.h"

#include <signal.h>

static void test_signals_raise(void **state)
{
    (void)state;
    static const struct {
        int first, second;
    } rows[] = {{SIGINT, SIGINT}, {SIGTERM, SIGINT}, {SIGHUP, SIGTERM}};
    cancel_install();
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        cancel_reset();
        CHECK_ROW(i, "none", cancel_level() == CANCEL_NONE);
        raise(rows[i].first);
        CHECK_ROW(i, "soon", cancel_level() == CANCEL_SOON);
        raise(rows[i].second);
        CHECK_ROW(i, "now", cancel_level() == CANCEL_NOW);
        raise(rows[i].second);
        CHECK_ROW(i, "still now", cancel_level() == CANCEL_NOW);
    }
    cancel_reset();
}

static void test_raise_by_hand(void **state)
{
    (void)state;
    cancel_raise();
    assert_int_equal(cancel_level(), CANCEL_SOON);
    cancel_raise();
    cancel_raise();
    assert_int_equal(cancel_level(), CANCEL_NOW);
    cancel_reset();
    assert_int_equal(cancel_level(), CANCEL_NONE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_signals_raise),
        cmocka_unit_test(test_raise_by_hand),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
