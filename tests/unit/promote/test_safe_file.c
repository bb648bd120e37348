/* Files of production: what is refused, and what stays when writing fails. */
#include "check.h"

#include "promote/safe_file.h"

#include "base/file.h"

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <sys/xattr.h>

static char *folder;

static int set_up(void **state)
{
    (void)state;
    umask(022);
    folder = check_make_folder();
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    check_remove_folder(folder);
    return 0;
}

static char *path_of(const char *name)
{
    return file_join(folder, name);
}

static void write_file(const char *name, const char *text)
{
    AUTO(free) char *path = path_of(name);
    struct err err = ERR_INIT;
    assert_true(file_write_atomic(path, text, strlen(text), &err));
}

static struct promote_bytes bytes_of(const char *text)
{
    return (struct promote_bytes){.there = true,
                                  .data = text,
                                  .len = strlen(text),
                                  .mode = 0640,
                                  .uid = geteuid(),
                                  .gid = getegid()};
}

/* How many entries the folder has, with hidden ones. */
static int count_entries(const char *name)
{
    AUTO(free) char *path = path_of(name);
    DIR *dir = opendir(path);
    int count = -2;
    assert_non_null(dir);
    for (; readdir(dir); count++)
        ;
    closedir(dir);
    return count;
}

static bool can_read(const char *name, struct promote_bytes *ret_bytes, struct err *err)
{
    static struct arena *arena;
    AUTO(free) char *path = name[0] == '/' ? strdup(name) : path_of(name);
    arena = arena_free(arena);
    arena = arena_new();
    *err = ERR_INIT;
    bool good = promote_file_read(arena, path, ret_bytes, err);
    if (!good)
        arena = arena_free(arena);
    return good;
}

static void test_round_trip(void **state)
{
    static const char odd[] = "a\0b\n\xff";
    AUTO(free) char *path = path_of("\xc3\xa9 x%n.conf");
    AUTO(arena_free) struct arena *arena = arena_new();
    struct promote_bytes now, none = {0}, bytes = bytes_of("");
    struct err err = ERR_INIT;
    (void)state;
    bytes.data = odd;
    bytes.len = sizeof odd - 1;
    assert_true(promote_file_read(arena, path, &now, &err));
    assert_false(now.there);
    assert_true(promote_file_is(path, &none));
    assert_true(promote_file_put(path, &bytes, &err));
    assert_true(promote_file_put(path, &bytes, &err));
    assert_true(promote_file_read(arena, path, &now, &err));
    assert_int_equal(now.len, bytes.len);
    assert_memory_equal(now.data, odd, bytes.len);
    assert_int_equal(now.mode, 0640);
    assert_true(promote_file_is(path, &bytes));
    bytes.mode = 0600; /* the mode alone is a change */
    assert_false(promote_file_is(path, &bytes));
    assert_true(promote_file_put(path, &bytes, &err));
    assert_true(promote_file_is(path, &bytes));
    assert_int_equal(count_entries("."), 1);
    assert_true(promote_file_put(path, &none, &err));
    assert_true(promote_file_put(path, &none, &err));
    assert_int_equal(count_entries("."), 0);
}

static void make_link(const char *to, const char *name)
{
    AUTO(free) char *path = path_of(name);
    assert_int_equal(symlink(to, path), 0);
}

static void make_folder(const char *name, mode_t mode)
{
    AUTO(free) char *path = path_of(name);
    assert_int_equal(mkdir(path, 0755), 0);
    assert_int_equal(chmod(path, mode), 0);
}

static void give_away(const char *name)
{
    AUTO(free) char *path = path_of(name);
    assert_int_equal(chown(path, 12345, 12345), 0);
}

static const struct {
    const char *name, *path, *why; /* why: part of the message, NULL: it is taken */
    bool root;                     /* can be tried as root only */
} refusals[] = {
    {"plain", "plain", NULL, false},
    {"missing", "missing", NULL, false},
    {"missing folder", "no/such/folder", NULL, false},
    {"symlink", "link", "link is a symlink", false},
    {"dangling symlink", "dangling", "dangling is a symlink", false},
    {"symlink to a folder", "linked/x", "linked is a symlink", false},
    {"group may write", "group/x", "group may be written by others", false},
    {"all may write", "world/x", "world may be written by others", false},
    {"sticky, the file itself", "sticky/x", "sticky may be written by others", false},
    {"sticky, higher up", "sticky/below/x", NULL, false},
    {"below one that all may write", "world/below/x", "world may be written by others", false},
    {"a folder", "group", "is not a regular file", false},
    {"a file as folder", "plain/x", "plain is not a folder", false},
    {"a pipe", "pipe", "is not a regular file", false},
    {"a device", "/dev/null", "is not a regular file", false},
    {"up", "group/../plain", "a part of the path", false},
    {"here", "./plain", "a part of the path", false},
    {"relative", "", "not the absolute path", false},
    {"large", "large", "too large", false},
    {"foreign file", "foreign", "foreign belongs to another user", true},
    {"foreign folder", "theirs/x", "theirs belongs to another user", true},
};

static void make_refusals(void)
{
    AUTO(free) char *pipe = path_of("pipe"), *large = path_of("large");
    write_file("plain", "x");
    make_link("plain", "link");
    make_link("nowhere", "dangling");
    make_folder("group", 0775);
    make_folder("world", 0757);
    make_folder("world/below", 0755);
    make_folder("sticky", 01777);
    make_folder("sticky/below", 0755);
    make_link("sticky/below", "linked");
    assert_int_equal(mkfifo(pipe, 0600), 0);
    write_file("large", "");
    assert_int_equal(truncate(large, PROMOTE_FILE_MAX + 1), 0);
    if (geteuid() == 0) {
        write_file("foreign", "x");
        give_away("foreign");
        make_folder("theirs", 0755);
        give_away("theirs");
    }
}

static void test_refusals(void **state)
{
    (void)state;
    make_refusals();
    for (size_t i = 0; i < ARRAY_LEN(refusals); i++) {
        struct err err = ERR_INIT;
        struct promote_bytes bytes;
        if (refusals[i].root && geteuid() != 0)
            continue;
        bool good = refusals[i].path[0] ? can_read(refusals[i].path, &bytes, &err)
                                        : promote_file_read(NULL, "plain", &bytes, &err);
        CHECK_ROW(i, refusals[i].name, good == !refusals[i].why);
        if (refusals[i].why) {
            CHECK_ROW(i, err.text, strstr(err.text, refusals[i].why) != NULL);
            CHECK_ROW(i, err.text, err.code == ERR_INPUT && !strchr(err.text, '\n'));
        }
        /* What can't be read can't be written. */
        AUTO(free) char *path = refusals[i].path[0] == '/' ? NULL : path_of(refusals[i].path);
        struct promote_bytes new = bytes_of("new");
        err = ERR_INIT;
        if (refusals[i].why && path && refusals[i].path[0])
            CHECK_ROW(i, refusals[i].name, !promote_file_put(path, &new, &err));
    }
    assert_true(can_read("plain", &(struct promote_bytes){0}, &(struct err){0}));
}

/* The disk is full (here: the process may write no more than that): the old file is whole, and
 * nothing else is there. */
static void test_full(void **state)
{
    AUTO(free) char *path = path_of("x");
    static char much[100000];
    struct promote_bytes old = bytes_of("old"), new = bytes_of("");
    struct err err = ERR_INIT;
    int status = 0;
    (void)state;
    memset(much, 'x', sizeof much);
    new.data = much;
    new.len = sizeof much;
    assert_true(promote_file_put(path, &old, &err));
    pid_t child = fork();
    if (child == 0) {
        struct rlimit limit = {4096, 4096};
        signal(SIGXFSZ, SIG_IGN);
        setrlimit(RLIMIT_FSIZE, &limit);
        bool failed = !promote_file_put(path, &new, &err) && err.code == ERR_INTERNAL;
        _exit(failed ? 0 : 1);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    assert_true(promote_file_is(path, &old));
    assert_int_equal(count_entries("."), 1);
}

/* Killed between writing and renaming: the next writing takes the rest away, whatever it writes. */
static void test_litter(void **state)
{
    AUTO(free) char *path = path_of("x.conf");
    struct promote_bytes old = bytes_of("old");
    struct err err = ERR_INIT;
    (void)state;
    assert_true(promote_file_put(path, &old, &err));
    write_file(".x.conf.spica-new", "half");
    assert_true(promote_file_put(path, &old, &err));
    assert_int_equal(count_entries("."), 1);
    write_file(".x.conf.spica-new", "half");
    assert_true(promote_file_put(path, &(struct promote_bytes){0}, &err));
    assert_int_equal(count_entries("."), 0);
}

static void test_folders(void **state)
{
    AUTO(free) char *path = path_of("x.service.d/10-spica.conf"), *deep = path_of("a/b/x");
    struct promote_bytes new = bytes_of("new");
    struct err err = ERR_INIT;
    struct stat st;
    bool there = true;
    (void)state;
    umask(077);
    assert_true(promote_folder_is_there(path, &there, &err) && !there);
    assert_false(promote_file_put(path, &new, &err));
    err = ERR_INIT;
    assert_true(promote_folder_make(path, &err));
    assert_true(promote_folder_make(path, &err));
    assert_true(promote_folder_is_there(path, &there, &err) && there);
    AUTO(free) char *made = path_of("x.service.d");
    assert_int_equal(stat(made, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0755);
    assert_true(promote_file_put(path, &new, &err));
    assert_true(promote_folder_drop(path, &err)); /* not empty: it stays */
    assert_true(promote_file_is(path, &new));
    assert_true(promote_file_put(path, &(struct promote_bytes){0}, &err));
    assert_true(promote_folder_drop(path, &err));
    assert_true(promote_folder_drop(path, &err));
    assert_int_equal(count_entries("."), 0);
    assert_false(promote_folder_make(deep, &err)); /* one level only */
    umask(022);
}

/* Labels, access lists and notes of a file are kept when it is written anew, and when it is put
 * back. */
static void test_attributes(void **state)
{
    AUTO(free) char *path = path_of("x");
    struct promote_bytes new = bytes_of("new"), old = bytes_of("old");
    struct err err = ERR_INIT;
    char value[16] = "";
    (void)state;
    write_file("x", "was");
    if (setxattr(path, "user.note", "kept", 4, 0) != 0)
        skip(); /* this file system has none */
    assert_true(promote_file_put(path, &new, &err));
    assert_true(promote_file_put(path, &old, &err));
    assert_int_equal(getxattr(path, "user.note", value, sizeof value), 4);
    assert_string_equal(value, "kept");
}

static void test_owner(void **state)
{
    AUTO(free) char *path = path_of("x.service.d/10-spica.conf");
    AUTO(free) char *in = path_of("x.service.d");
    struct err err = ERR_INIT;
    uid_t uid = 1;
    gid_t gid = 1;
    (void)state;
    assert_true(promote_folder_owner(path, &uid, &gid, &err)); /* of the folder above */
    assert_true(uid == geteuid() && gid == getegid());
    assert_int_equal(mkdir(in, 0755), 0);
    if (geteuid() != 0)
        skip();
    assert_int_equal(chown(in, 0, 54321), 0);
    assert_true(promote_folder_owner(path, &uid, &gid, &err) && uid == 0 && gid == 0);
    assert_int_equal(chmod(in, 02755), 0);
    assert_true(promote_folder_owner(path, &uid, &gid, &err) && uid == 0 && gid == 54321);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_round_trip, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_refusals, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_full, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_litter, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_folders, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_attributes, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_owner, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
