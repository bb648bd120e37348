/* A stat is read whole or not at all, whatever the program calls itself. */
#include "device/proc.h"

#include "fake_proc.h"

#define TAIL " 0 -1 4194304 1 0 0 0 7 5 3 2 20 0 1 0 82927 3133440 394"

static void test_names(void **state)
{
    (void)state;
    static const struct {
        const char *text, *comm;
        pid_t pid, ppid;
    } rows[] = {
        {"12855 (cat) R 12847 12847 11846" TAIL, "cat", 12855, 12847},
        {"7 (a) b (c) S 1 7 7" TAIL, "a) b (c", 7, 1},
        {"7 (a) R 2 3 4) S 1 7 7" TAIL, "a) R 2 3 4", 7, 1},
        {"7 () S 1 7 7" TAIL, "", 7, 1},
        {"7 ()) S 1 7 7" TAIL, ")", 7, 1},
        {"7 ( ) S 1 7 7" TAIL, " ", 7, 1},
        {"7 (two\nlines) S 1 7 7" TAIL, "two\nlines", 7, 1},
        {"7 (\xff\x1b[2J) S 1 7 7" TAIL, "\xff\x1b[2J", 7, 1},
        {"7 (kworker/u8:1-events_unbound) I 2 0 0" TAIL, "kworker/u8:1-events_unbound", 7, 2},
        {"7 (dying) X 0 -1 -1" TAIL, "dying", 7, 0},
        {"2147483647 (last) S 1 7 7" TAIL, "last", 2147483647, 1},
        {"7 (1234567890123456789012345678901234567890123456789012345678901234567890) S 1 7 7" TAIL,
         "123456789012345678901234567890123456789012345678901234567890123", 7, 1},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct proc_stat stat;
        CHECK_ROW(i, rows[i].text, proc_parse_stat(rows[i].text, &stat));
        CHECK_ROW_TEXT(i, rows[i].text, stat.comm, rows[i].comm);
        CHECK_ROW(i, rows[i].text, stat.pid == rows[i].pid && stat.ppid == rows[i].ppid);
        CHECK_ROW(i, rows[i].text, stat.start_ticks == 82927);
        CHECK_ROW(i, rows[i].text, stat.cpu_ns == 120 * INT64_C(1000000));
        CHECK_ROW(i, rows[i].text, stat.reaped_cpu_ns == 50 * INT64_C(1000000));
    }
}

static void test_refused(void **state)
{
    (void)state;
    static const char *const rows[] = {
        "",
        "\n",
        "7",
        "7 (",
        "7 (a",
        "7 )a(",
        "7 )",
        "(a) S 1 7 7" TAIL,
        "0 (a) S 1 7 7" TAIL,
        "-7 (a) S 1 7 7" TAIL,
        "2147483648 (a) S 1 7 7" TAIL,
        "99999999999999999999999 (a) S 1 7 7" TAIL,
        "7 (a)S 1 7 7" TAIL,
        "7 (a) 1 1 7 7" TAIL,
        "7 (a) SS 1 7 7" TAIL,
        "7 (a) S x 7 7" TAIL,
        "7 (a) S  1 7 7" TAIL,
        "7 (a) S +1 7 7" TAIL,
        "7 (a) S -1 7 7" TAIL,
        "7 (a) S - 7 7" TAIL,
        "7 (a) S 99999999999 7 7" TAIL,
        "7 (a) S 1 99999999999 7" TAIL,
        "7 (a) S 1 7 -2" TAIL,
        /* more CPU time than any clock counted, or less than none */
        "7 (a) S 1 7 7 0 -1 0 1 0 0 0 9223372036854775807 5 3 2 20 0 1 0 1 2 3",
        "7 (a) S 1 7 7 0 -1 0 1 0 0 0 5 18446744073709551615 3 2 20 0 1 0 1 2 3",
        "7 (a) S 1 7 7 0 -1 0 1 0 0 0 5 5 -3 2 20 0 1 0 1 2 3",
        "7 (a) S 1 7 7 0 -1 0 1 0 0 0 5 5 3 2 20 0 1 0 99999999999999999999 2 3",
        "7 (a) S 1 7 7 0 -1 0 1 0 0 0 5 5 3 2 20 0 1 0 -1 2 3",
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct proc_stat stat = {.pid = 42};
        CHECK_ROW(i, rows[i], !proc_parse_stat(rows[i], &stat));
        CHECK_ROW(i, rows[i], stat.pid == 42);
    }
}

/* Cut anywhere before the blank after the last field we use, nothing is believed. */
static void test_cut(void **state)
{
    (void)state;
    static const char whole[] = "7 (a) b) S 1 7 7 0 -1 0 1 0 0 0 7 5 3 2 20 0 1 0 82927 31 394\n";
    size_t last = (size_t)(strstr(whole, "82927 ") + 6 - whole);
    for (size_t len = 0; len < sizeof whole; len++) {
        char text[sizeof whole] = "";
        struct proc_stat stat;
        memcpy(text, whole, len);
        CHECK_ROW(len, "cut", proc_parse_stat(text, &stat) == (len >= last));
    }
}

static void test_huge_unused_fields(void **state)
{
    (void)state;
    struct proc_stat stat;
    assert_true(proc_parse_stat("7 (a) S 1 7 7 0 -1 99999999999999999999999 18446744073709551615 0 "
                                "0 0 7 5 3 2 -20 0 1 0 1 18446744073709551615 3",
                                &stat));
    assert_int_equal(stat.cpu_ns, 120000000);
}

static void test_read(void **state)
{
    (void)state;
    char *root = check_make_folder();
    struct proc_stat stat;
    fake_stat(root, &(struct fake_process){.pid = 7, .ppid = 1, .comm = "a) b (c", .state = 'Z'});
    fake_text(root, "8/stat", "7 (wrong) S 1 7 7" TAIL);
    fake_text(root, "9/stat", "");
    fake_text(root, "10/comm", "no stat\n");
    assert_true(proc_read_stat(root, 7, &stat));
    assert_string_equal(stat.comm, "a) b (c");
    assert_int_equal(stat.state, 'Z');
    for (pid_t pid = 8; pid <= 11; pid++)
        assert_false(proc_read_stat(root, pid, &stat));
    assert_false(proc_read_stat(root, 0, &stat));
    assert_false(proc_read_stat(root, -7, &stat));
    assert_false(proc_read_stat("/nonexistent", 7, &stat));
    assert_true(proc_read_stat("/proc", getpid(), &stat));
    assert_int_equal(stat.ppid, getppid());
    check_remove_folder(root);
}

static void test_all(void **state)
{
    (void)state;
    char *root = check_make_folder();
    struct err err = ERR_INIT;
    AUTO(free) struct proc_stat *list = NULL;
    size_t count = 99;
    assert_true(proc_all(root, &list, &count, &err));
    assert_int_equal(count, 0);
    for (int pid = 300; pid > 0; pid--)
        fake_stat(root, &(struct fake_process){.pid = pid, .ppid = pid / 2});
    fake_text(root, "self/stat", "1 (x) S 0 1 1" TAIL);
    fake_text(root, "12a/stat", "12 (x) S 0 1 1" TAIL);
    fake_text(root, "99999999999/stat", "1 (x) S 0 1 1" TAIL);
    fake_text(root, "400/vanished", "");
    free(TAKE(list));
    assert_true(proc_all(root, &list, &count, &err));
    assert_int_equal(count, 300);
    for (size_t i = 0; i < count; i++)
        CHECK_ROW(i, "sorted by pid", list[i].pid == (pid_t)i + 1);
    assert_false(proc_all("/nonexistent", &list, &count, &err));
    assert_int_equal(err.code, ERR_INTERNAL);
    check_remove_folder(root);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_names), cmocka_unit_test(test_refused),
        cmocka_unit_test(test_cut),   cmocka_unit_test(test_huge_unused_fields),
        cmocka_unit_test(test_read),  cmocka_unit_test(test_all),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
