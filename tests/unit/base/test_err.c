/* The first cause wins, wrapping puts the deed before it, and nothing ever overflows. */
#include "base/err.h"

#include "check.h"

#include <errno.h>

static void test_first_cause_wins(void **state)
{
    (void)state;
    struct err err = ERR_INIT;
    assert_false(err_is_set(&err));
    assert_false(err_set(&err, ERR_INPUT, "line %d: %s", 7, "no such knob"));
    assert_false(err_set(&err, ERR_INTERNAL, "later"));
    errno = EIO;
    assert_false(err_sys(&err, "later still"));
    assert_true(err_is_set(&err));
    assert_int_equal(err.code, ERR_INPUT);
    assert_int_equal(err.sys, 0);
    assert_string_equal(err.text, "line 7: no such knob");
}

static void test_sys_keeps_errno(void **state)
{
    (void)state;
    struct err err = ERR_INIT;
    errno = ENOSPC;
    assert_false(err_sys(&err, "writing %s", "a.db"));
    assert_int_equal(err.code, ERR_INTERNAL);
    assert_int_equal(err.sys, ENOSPC);
    assert_string_equal(err.text, "writing a.db: No space left on device");
}

static void test_wrap(void **state)
{
    (void)state;
    struct err err = ERR_INIT;
    assert_false(err_wrap(&err, "nothing to wrap"));
    assert_false(err_is_set(&err));
    assert_string_equal(err.text, "");
    err_set(&err, ERR_LIMIT, "longer than %d bytes", 10);
    assert_false(err_wrap(&err, "reading %s", "study.yaml"));
    assert_false(err_wrap(&err, "starting"));
    assert_int_equal(err.code, ERR_LIMIT);
    assert_string_equal(err.text, "starting: reading study.yaml: longer than 10 bytes");
}

static void test_long_text_is_cut_at_its_end(void **state)
{
    (void)state;
    struct err err = ERR_INIT;
    char big[4 * sizeof err.text];
    memset(big, 'x', sizeof big - 1);
    big[sizeof big - 1] = '\0';
    err_set(&err, ERR_INTERNAL, "%s", big);
    assert_int_equal(strlen(err.text), sizeof err.text - 1);
    err_wrap(&err, "deed");
    assert_int_equal(strlen(err.text), sizeof err.text - 1);
    assert_memory_equal(err.text, "deed: xxx", 9);
    err_wrap(&err, "%s", big);
    assert_int_equal(strlen(err.text), sizeof err.text - 1);

    struct err sys = ERR_INIT;
    errno = EIO;
    err_sys(&sys, "%s", big);
    assert_int_equal(strlen(sys.text), sizeof sys.text - 1);
}

static void test_no_err_is_allowed(void **state)
{
    (void)state;
    assert_false(err_set(NULL, ERR_INPUT, "dropped"));
    assert_false(err_sys(NULL, "dropped"));
    assert_false(err_wrap(NULL, "dropped"));
    assert_false(err_is_set(NULL));
}

static void test_exit_status(void **state)
{
    (void)state;
    static const struct {
        enum err_code code;
        int status;
    } rows[] = {
        {ERR_NONE, 0},    {ERR_INTERNAL, 1}, {ERR_INPUT, 2}, {ERR_INFEASIBLE, 3}, {ERR_BUSY, 4},
        {ERR_STOPPED, 5}, {ERR_PROBLEM, 6},  {ERR_LIMIT, 1}, {ERR_MISSING, 2},    {99, 1},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        CHECK_ROW(i, "status", err_exit_status(rows[i].code) == rows[i].status);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_first_cause_wins),
        cmocka_unit_test(test_sys_keeps_errno),
        cmocka_unit_test(test_wrap),
        cmocka_unit_test(test_long_text_is_cut_at_its_end),
        cmocka_unit_test(test_no_err_is_allowed),
        cmocka_unit_test(test_exit_status),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
