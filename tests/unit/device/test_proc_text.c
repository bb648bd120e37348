/* A process's own words: names are matched whole, lengths are bounded. */
#include "device/proc.h"

#include "fake_proc.h"

static void check_text(char *is, const char *expected)
{
    if (expected)
        assert_string_equal(is, expected);
    else
        assert_null(is);
    free(is);
}

static void test_environ(void **state)
{
    (void)state;
    static const char text[] = "PATH=/bin\0XCUDA=no\0CUDA=a=b\0EMPTY=\0CUDA=second\0CUT";
    char *root = check_make_folder();
    fake_file(root, "7/environ", text, sizeof text - 1);
    fake_text(root, "8/environ", "");
    check_text(proc_environ(root, 7, "PATH"), "/bin");
    check_text(proc_environ(root, 7, "CUDA"), "a=b");
    check_text(proc_environ(root, 7, "EMPTY"), "");
    check_text(proc_environ(root, 7, "CUD"), NULL);
    check_text(proc_environ(root, 7, "CUT"), NULL);
    check_text(proc_environ(root, 7, "MISSING"), NULL);
    check_text(proc_environ(root, 8, "PATH"), NULL);
    check_text(proc_environ(root, 9, "PATH"), NULL);
    check_remove_folder(root);
    /* What the kernel gives is what a process was started with. */
    const char *path = getenv("PATH");
    check_text(proc_environ("/proc", getpid(), "PATH"), path);
}

static void test_cmdline(void **state)
{
    (void)state;
    static const struct {
        const char *bytes;
        size_t len;
        const char *text;
    } rows[] = {
        {"python3\0-m\0server\0", 18, "python3 -m server"},
        {"title\0\0\0\0", 9, "title"},
        {"no end", 6, "no end"},
        {"a\0\0b\0", 5, "a  b"},
        {"", 0, NULL},
        {"\0\0", 2, NULL},
    };
    char *root = check_make_folder();
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        fake_file(root, "7/cmdline", rows[i].bytes, rows[i].len);
        check_text(proc_cmdline(root, 7), rows[i].text);
    }
    char *huge = malloc(100000);
    memset(huge, 'x', 100000);
    fake_file(root, "7/cmdline", huge, 100000);
    AUTO(free) char *text = proc_cmdline(root, 7);
    assert_int_equal(strlen(text), 4096);
    free(huge);
    check_text(proc_cmdline(root, 8), NULL);
    check_remove_folder(root);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_environ),
        cmocka_unit_test(test_cmdline),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
