/* A file is the old one or the new one, and a failed write leaves nothing behind. */
#include "base/file.h"

#include "base/buf.h"

#include "check.h"

#include <dirent.h>
#include <sys/stat.h>

static int set_up(void **state)
{
    *state = check_make_folder();
    return 0;
}

static int tear_down(void **state)
{
    check_remove_folder(*state);
    return 0;
}

static size_t count_entries(const char *folder)
{
    size_t count = 0;
    DIR *dir = opendir(folder);
    assert_non_null(dir);
    for (const struct dirent *entry = readdir(dir); entry; entry = readdir(dir))
        count += strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0;
    closedir(dir);
    return count;
}

static void assert_content(const char *path, const char *expected)
{
    struct err err = ERR_INIT;
    AUTO(buf_done) struct buf buf = BUF_INIT(1000);
    assert_true(buf_read_file(&buf, path, &err));
    assert_string_equal(buf_text(&buf), expected);
}

static mode_t mode_of(const char *path)
{
    struct stat st;
    assert_int_equal(stat(path, &st), 0);
    return st.st_mode & 0777;
}

static void test_write(void **state)
{
    AUTO(free) char *path = file_join(*state, "report.json");
    struct err err = ERR_INIT;
    mode_t mask = umask(027);
    assert_true(file_write_atomic(path, "one", 3, &err));
    assert_int_equal(mode_of(path), 0640);
    assert_int_equal(chmod(path, 0600), 0);
    assert_true(file_write_atomic(path, "second", 6, &err));
    umask(mask);
    assert_content(path, "second");
    assert_int_equal(mode_of(path), 0600);
    assert_true(file_write_atomic(path, "", 0, &err));
    assert_content(path, "");
    assert_int_equal(count_entries(*state), 1);
}

static void test_failed_write_leaves_nothing(void **state)
{
    /* The target is a folder with something in it: only the rename, the last step, can fail. */
    AUTO(free) char *target = file_join(*state, "taken");
    AUTO(free) char *inside = file_join(target, "inside");
    struct err err = ERR_INIT;
    assert_true(file_make_folders(inside, &err));
    assert_false(file_write_atomic(target, "x", 1, &err));
    assert_int_equal(err.code, ERR_INTERNAL);
    assert_non_null(strstr(err.text, target));
    assert_int_equal(count_entries(*state), 1);
    assert_true(file_exists(inside));

    struct err no_folder = ERR_INIT;
    AUTO(free) char *nowhere = file_join(*state, "missing/file");
    assert_false(file_write_atomic(nowhere, "x", 1, &no_folder));
    assert_int_equal(no_folder.code, ERR_INTERNAL);
}

static void test_stale_temporary_is_no_obstacle(void **state)
{
    AUTO(free) char *path = file_join(*state, "a");
    AUTO(free) char *stale = NULL;
    assert_true(asprintf(&stale, "%s.%ld-0.tmp", path, (long)getpid()) > 0);
    struct err err = ERR_INIT;
    assert_true(file_write_atomic(stale, "left by a crash", 15, &err));
    assert_true(file_write_atomic(path, "new", 3, &err));
    assert_content(path, "new");
    assert_content(stale, "left by a crash");
}

static void test_make_folders(void **state)
{
    static const char *const rows[] = {"a", "a/b/c", "a/b/c", "d//e/", "./f/."};
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        AUTO(free) char *path = file_join(*state, rows[i]);
        struct err err = ERR_INIT;
        CHECK_ROW(i, rows[i], file_make_folders(path, &err));
        CHECK_ROW(i, rows[i], file_exists(path));
    }
    AUTO(free) char *file = file_join(*state, "file");
    AUTO(free) char *below = file_join(file, "below");
    struct err is_file = ERR_INIT, in_file = ERR_INIT, root = ERR_INIT;
    assert_true(file_write_atomic(file, "", 0, &is_file));
    assert_false(file_make_folders(file, &is_file));
    assert_int_equal(is_file.code, ERR_INTERNAL);
    assert_false(file_make_folders(below, &in_file));
    assert_true(file_make_folders("/", &root));
}

static void test_join(void **state)
{
    (void)state;
    static const struct {
        const char *folder, *name, *path;
    } rows[] = {
        {"a", "b", "a/b"},   {"a/", "b", "a/b"}, {"/", "b", "/b"},          {"a", "/b", "/b"},
        {"", "b", "b"},      {NULL, "b", "b"},   {"a", "~/b", "/home/x/b"}, {"a", "~", "/home/x"},
        {"a", "~b", "a/~b"}, {"a", "", "a"},
    };
    setenv("HOME", "/home/x", 1);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        AUTO(free) char *path = file_join(rows[i].folder, rows[i].name);
        CHECK_ROW_TEXT(i, rows[i].name, path, rows[i].path);
    }
}

static void test_folder(void **state)
{
    (void)state;
    static const struct {
        const char *path, *folder;
    } rows[] = {{"a/b", "a"},          {"a", "."}, {"/a", "/"}, {"/", "/"},
                {"a/b/c.yaml", "a/b"}, {"", "."}};
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        AUTO(free) char *folder = file_folder(rows[i].path);
        CHECK_ROW_TEXT(i, rows[i].path, folder, rows[i].folder);
    }
}

static void test_absolute(void **state)
{
    (void)state;
    AUTO(free) char *here = getcwd(NULL, 0), *expected = file_join(here, "a/b");
    AUTO(free) char *same = file_absolute("/a/b"), *made = file_absolute("a/b");
    assert_string_equal(same, "/a/b");
    assert_string_equal(made, expected);
}

static void make_program(const char *folder, const char *name, mode_t mode)
{
    struct err err = ERR_INIT;
    AUTO(free) char *path = file_join(folder, name);
    AUTO(free) char *parent = file_folder(path);
    assert_true(file_make_folders(parent, &err));
    assert_true(file_write_atomic(path, "#!/bin/sh\n", 10, &err));
    assert_int_equal(chmod(path, mode), 0);
}

static void test_find_program(void **state)
{
    const char *folder = *state;
    make_program(folder, "one/tool", 0644); /* may not be executed: passed over */
    make_program(folder, "two/tool", 0755);
    make_program(folder, "two/dir/x", 0755);
    AUTO(free) char *search = NULL;
    assert_true(asprintf(&search, "%s/one:/nonexistent:%s/two", folder, folder) > 0);
    setenv("PATH", search, 1);
    static const struct {
        const char *name, *found; /* below the folder; NULL: none */
    } rows[] = {
        {"tool", "two/tool"}, {"two/tool", "two/tool"},
        {"one/tool", NULL},   {"./two/tool", "./two/tool"},
        {"dir", NULL},        {"nothing", NULL},
        {"", NULL},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        AUTO(free) char *found = file_find_program(rows[i].name, folder);
        AUTO(free) char *expected = rows[i].found ? file_join(folder, rows[i].found) : NULL;
        if (expected)
            CHECK_ROW_TEXT(i, rows[i].name, found, expected);
        else
            CHECK_ROW(i, rows[i].name, !found);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_write, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_failed_write_leaves_nothing, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_stale_temporary_is_no_obstacle, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_make_folders, set_up, tear_down),
        cmocka_unit_test(test_join),
        cmocka_unit_test(test_folder),
        cmocka_unit_test(test_absolute),
        cmocka_unit_test_setup_teardown(test_find_program, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
