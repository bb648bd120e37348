/* One holder, whoever it is and however it ends; the file's text decides nothing. */
#include "device/lock.h"

#include "fake_proc.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>

static char *folder; /* where SPICA_LOCK_DIR points: made anew by every test */

static int set_up(void **state)
{
    (void)state;
    folder = check_make_folder();
    return setenv("SPICA_LOCK_DIR", folder, 1);
}

static int tear_down(void **state)
{
    (void)state;
    check_remove_folder(folder);
    return unsetenv("SPICA_LOCK_DIR");
}

/* A process that holds the lock until it is killed. */
static pid_t start_holder(const char *detail)
{
    int fds[2];
    char done = 0;
    assert_int_equal(pipe(fds), 0);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        struct err err = ERR_INIT;
        struct device_lock *lock = NULL;
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (!device_lock_take("cpu", "cpu-1", "night-run", &lock, &err))
            _exit(1);
        if (detail)
            device_lock_describe(lock, detail);
        if (write(fds[1], &done, 1) == 1)
            pause();
        _exit(0);
    }
    close(fds[1]);
    assert_int_equal(read(fds[0], &done, 1), 1);
    close(fds[0]);
    return child;
}

static void test_two_processes(void **state)
{
    (void)state;
    struct err err = ERR_INIT;
    struct device_lock *lock = NULL;
    struct device_lock_holder holder = {.pid = 42};
    char expected[128];
    assert_false(device_lock_held("cpu-1", &holder));
    assert_int_equal(holder.pid, 42);
    pid_t child = start_holder("trial 3");
    assert_false(device_lock_take("cpu", "cpu-1", "mine", &lock, &err));
    assert_int_equal(err.code, ERR_BUSY);
    snprintf(expected, sizeof expected,
             "cpu is busy: trial 3 of \"night-run\" holds it (pid %d, since ", (int)child);
    assert_int_equal(strncmp(err.text, expected, strlen(expected)), 0);
    assert_non_null(strstr(err.text, "). Wait, or: spica run --wait"));
    assert_null(lock);
    assert_true(device_lock_held("cpu-1", &holder));
    assert_int_equal(holder.pid, child);
    assert_string_equal(holder.study, "night-run");
    assert_string_equal(holder.detail, "trial 3");
    assert_true(holder.since_wall_us > 0);
    /* Another device is another lock. */
    err = ERR_INIT;
    assert_true(device_lock_take("cpu", "cpu-2", "mine", &lock, &err));
    lock = device_lock_release(lock);
    /* Killed outright, it leaves its text and no lock. */
    kill(child, SIGKILL);
    waitpid(child, NULL, 0);
    assert_false(device_lock_held("cpu-1", &holder));
    assert_true(device_lock_take("cpu", "cpu-1", "mine", &lock, &err));
    /* Two descriptors of one process exclude each other as well. */
    struct device_lock *second = NULL;
    assert_false(device_lock_take("cpu", "cpu-1", "again", &second, &err));
    snprintf(expected, sizeof expected, "cpu is busy: \"mine\" holds it (pid %d", (int)getpid());
    assert_int_equal(strncmp(err.text, expected, strlen(expected)), 0);
    lock = device_lock_release(lock);
    assert_null(lock);
    assert_null(device_lock_release(NULL));
    err = ERR_INIT;
    assert_true(device_lock_take("cpu", "cpu-1", "again", &second, &err));
    device_lock_release(second);
}

/* A program that is exec'd while the lock is held does not get it. */
static void test_not_inherited(void **state)
{
    (void)state;
    struct err err = ERR_INIT;
    struct device_lock *lock = NULL;
    assert_true(device_lock_take("cpu", "cpu-1", "mine", &lock, &err));
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        execlp("sleep", "sleep", "30", (char *)NULL);
        _exit(1);
    }
    /* Until the exec the child has the descriptor too. */
    char exe[64], link[256] = "";
    snprintf(exe, sizeof exe, "/proc/%d/exe", (int)child);
    for (int i = 0; i < 5000 && !strstr(link, "bin/"); i++) {
        ssize_t len = readlink(exe, link, sizeof link - 1);
        link[len > 0 ? len : 0] = '\0';
        usleep(1000);
    }
    device_lock_release(lock);
    struct device_lock_holder holder;
    bool held = device_lock_held("cpu-1", &holder);
    kill(child, SIGKILL);
    waitpid(child, NULL, 0);
    assert_false(held);
}

static void test_texts(void **state)
{
    (void)state;
    static const struct {
        const char *text, *message; /* what others see while the lock is held with this text */
    } rows[] = {
        {"", "cpu is busy: another copy of spica holds it. Wait, or: spica run --wait"},
        {"garbage", "cpu is busy: another copy of spica holds it. Wait, or: spica run --wait"},
        {"[1]", "cpu is busy: another copy of spica holds it. Wait, or: spica run --wait"},
        {"{\"pid\": 7}", "cpu is busy: another copy of spica holds it (pid 7). Wait, or: spica run "
                         "--wait"},
        {"{\"pid\": -7, \"study\": \"s\"}",
         "cpu is busy: \"s\" holds it. Wait, or: spica run --wait"},
        {"{\"pid\": \"x\", \"study\": 3, \"since\": {}}",
         "cpu is busy: another copy of spica holds it. Wait, or: spica run --wait"},
        {"{\"pid\": 7, \"study\": \"a\\u001b[2Jb\\nc\", \"detail\": null}x{{",
         "cpu is busy: \"a\\x1b[2Jb c\" holds it (pid 7). Wait, or: spica run --wait"},
        {"{\"pid\": 7, \"study\": \"s\", \"since\": 99999999999999999}",
         "cpu is busy: \"s\" holds it (pid 7, since 5138-11-16 09:46). Wait, or: spica run --wait"},
    };
    setenv("TZ", "UTC", 1);
    tzset();
    struct err err = ERR_INIT;
    struct device_lock *lock = NULL, *second = NULL;
    char path[256];
    snprintf(path, sizeof path, "%s/cpu-1.lock", folder);
    assert_true(device_lock_take("cpu", "cpu-1", "mine", &lock, &err));
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct err busy = ERR_INIT;
        assert_int_equal(truncate(path, 0), 0);
        fake_text(folder, "cpu-1.lock", rows[i].text);
        CHECK_ROW(i, rows[i].text, !device_lock_take("cpu", "cpu-1", "x", &second, &busy));
        CHECK_ROW_TEXT(i, rows[i].text, busy.text, rows[i].message);
    }
    device_lock_release(lock);
    /* The same texts on a free lock block nobody, and are replaced. */
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        fake_text(folder, "cpu-1.lock", rows[i].text);
        CHECK_ROW(i, rows[i].text, device_lock_take("cpu", "cpu-1", "new", &lock, &err));
        struct device_lock_holder holder;
        CHECK_ROW(i, rows[i].text, device_lock_held("cpu-1", &holder));
        CHECK_ROW_TEXT(i, rows[i].text, holder.study, "new");
        CHECK_ROW(i, rows[i].text, holder.pid == getpid());
        lock = device_lock_release(lock);
    }
}

static void test_long_words(void **state)
{
    (void)state;
    struct err err = ERR_INIT;
    struct device_lock *lock = NULL;
    char study[5000];
    memset(study, 'x', sizeof study - 1);
    study[sizeof study - 1] = '\0';
    memcpy(study + 126, "\xc3\xa9", 2); /* a character that would be cut in the middle */
    assert_true(device_lock_take("cpu", "cpu-1", study, &lock, &err));
    struct device_lock_holder holder;
    assert_true(device_lock_held("cpu-1", &holder));
    assert_int_equal(holder.study[0] == '\0' || strlen(holder.study) == 126, 1);
    device_lock_release(lock);
}

static void test_folder_made(void **state)
{
    (void)state;
    struct err err = ERR_INIT;
    struct device_lock *lock = NULL;
    char path[256];
    struct stat st;
    snprintf(path, sizeof path, "%s/a/b", folder);
    setenv("SPICA_LOCK_DIR", path, 1);
    mode_t old = umask(077);
    assert_true(device_lock_take("cpu", "../up/x y", "mine", &lock, &err));
    umask(old);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 07777, 01777);
    snprintf(path, sizeof path, "%s/a/b/_._up_x_y.lock", folder);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0666);
    device_lock_release(lock);
}

static void test_folder_refused(void **state)
{
    (void)state;
    static const char *const names[] = {"file", "link", "file/below", "dangling"};
    char path[256];
    fake_text(folder, "file", "");
    snprintf(path, sizeof path, "%s/link", folder);
    assert_int_equal(symlink("/tmp", path), 0);
    snprintf(path, sizeof path, "%s/dangling", folder);
    assert_int_equal(symlink("nowhere", path), 0);
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        struct err err = ERR_INIT;
        struct device_lock *lock = NULL;
        struct device_lock_holder holder;
        snprintf(path, sizeof path, "%s/%s", folder, names[i]);
        setenv("SPICA_LOCK_DIR", path, 1);
        CHECK_ROW(i, names[i], !device_lock_take("cpu", "cpu-1", "mine", &lock, &err));
        CHECK_ROW(i, err.text, strstr(err.text, "set SPICA_LOCK_DIR to a folder"));
        CHECK_ROW(i, err.text, strstr(err.text, path) && err.code == ERR_INTERNAL);
        CHECK_ROW(i, names[i], !device_lock_held("cpu-1", &holder));
    }
}

/* What stands at the lock's name may be another's trap: nothing is written through it. */
static void test_file_refused(void **state)
{
    (void)state;
    char path[256], target[256], text[16] = "";
    snprintf(path, sizeof path, "%s/cpu-1.lock", folder);
    snprintf(target, sizeof target, "%s/victim", folder);
    fake_text(folder, "victim", "precious");
    for (int i = 0; i < 4; i++) {
        struct err err = ERR_INIT;
        struct device_lock *lock = NULL;
        int made = i == 0   ? symlink(target, path)
                   : i == 1 ? link(target, path)
                   : i == 2 ? mkfifo(path, 0666)
                            : mkdir(path, 0777);
        assert_int_equal(made, 0);
        CHECK_ROW(i, "trap", !device_lock_take("cpu", "cpu-1", "mine", &lock, &err));
        CHECK_ROW(i, err.text, strstr(err.text, "can't use the lock file"));
        assert_int_equal(remove(path), 0);
    }
    FILE *file = fopen(target, "r");
    assert_non_null(file);
    assert_int_equal(fread(text, 1, sizeof text - 1, file), 8);
    fclose(file);
    assert_string_equal(text, "precious");
}

/* Somebody who cleans the folder up while the lock is held takes it away from the holder, but two
 * who come after that do not both get it. */
static void test_file_removed(void **state)
{
    (void)state;
    struct err err = ERR_INIT;
    struct device_lock *lock = NULL, *second = NULL, *third = NULL;
    char path[256];
    snprintf(path, sizeof path, "%s/cpu-1.lock", folder);
    assert_true(device_lock_take("cpu", "cpu-1", "first", &lock, &err));
    assert_int_equal(unlink(path), 0);
    assert_true(device_lock_take("cpu", "cpu-1", "second", &second, &err));
    device_lock_describe(lock, "trial 9"); /* writes to nobody's file */
    assert_false(device_lock_take("cpu", "cpu-1", "third", &third, &err));
    assert_non_null(strstr(err.text, "\"second\" holds it"));
    device_lock_release(lock);
    device_lock_release(second);
}

/* Two instances side by side; the whole card beside neither, whoever comes first. */
static void test_parts(void **state)
{
    (void)state;
    struct err err = ERR_INIT;
    struct device_lock *one = NULL, *two = NULL, *whole = NULL;
    char expected[128];
    fake_text(folder, "GPU-a.lock", "{\"pid\": 7, \"study\": \"killed\"}");
    assert_true(device_lock_take_part("MIG-1", "MIG-1", "GPU-a", "first", &one, &err));
    assert_true(device_lock_take_part("MIG-2", "MIG-2", "GPU-a", "second", &two, &err));
    assert_false(device_lock_take_part("MIG-2", "MIG-2", "GPU-a", "third", &whole, &err));
    assert_int_equal(err.code, ERR_BUSY);
    assert_non_null(strstr(err.text, "MIG-2 is busy: \"second\" holds it (pid "));
    err = ERR_INIT;
    assert_false(device_lock_take("gpu0", "GPU-a", "whole", &whole, &err));
    assert_int_equal(err.code, ERR_BUSY);
    assert_string_equal(err.text, "gpu0 is busy: another copy of spica holds it. Wait, or: spica "
                                  "run --wait");
    one = device_lock_release(one);
    err = ERR_INIT;
    assert_false(device_lock_take("gpu0", "GPU-a", "whole", &whole, &err));
    two = device_lock_release(two);
    err = ERR_INIT;
    assert_true(device_lock_take("gpu0", "GPU-a", "whole", &whole, &err));
    assert_false(device_lock_take_part("MIG-1", "MIG-1", "GPU-a", "first", &one, &err));
    snprintf(expected, sizeof expected, "MIG-1 is busy: \"whole\" holds it (pid %d, since ",
             (int)getpid());
    assert_int_equal(strncmp(err.text, expected, strlen(expected)), 0);
    device_lock_release(whole);
    err = ERR_INIT;
    assert_true(device_lock_take_part("MIG-1", "MIG-1", "", "no parent", &one, &err));
    device_lock_release(one);
}

/* Of another user, and another container: told; nothing is decided by it. */
static void test_whose(void **state)
{
    (void)state;
    static const struct {
        const char *words, *message;
    } rows[] = {
        {"\"user\": \"www\"", "\"s\" holds it (pid 7, user www). Wait"},
        {"\"namespace\": \"pid:[1]\"", "\"s\" holds it (pid 7 of another container). Wait"},
        {"\"namespace\": \"pid:[1]\", \"user\": \"a\\nb\"",
         "\"s\" holds it (pid 7 of another container, user a b). Wait"},
        {"\"namespace\": 3, \"user\": 4", "\"s\" holds it (pid 7). Wait"},
    };
    struct err err = ERR_INIT;
    struct device_lock *lock = NULL, *second = NULL;
    assert_true(device_lock_take("cpu", "cpu-1", "mine", &lock, &err));
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct err busy = ERR_INIT;
        char text[256];
        snprintf(text, sizeof text, "{\"pid\": 7, \"study\": \"s\", %s}", rows[i].words);
        fake_text(folder, "cpu-1.lock", text);
        CHECK_ROW(i, rows[i].words, !device_lock_take("cpu", "cpu-1", "x", &second, &busy));
        CHECK_ROW(i, busy.text, strstr(busy.text, rows[i].message));
    }
    device_lock_release(lock);
}

/* Runs as a user without rights; its exit status: 0 taken, 1 busy, 2 neither. */
static int take_as_nobody(void)
{
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        struct err err = ERR_INIT;
        struct device_lock *lock = NULL;
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        umask(077);
        if (setgid(65534) != 0 || setuid(65534) != 0)
            _exit(3);
        bool taken = device_lock_take("cpu", "cpu-1", "theirs", &lock, &err);
        _exit(taken ? 0 : err.code == ERR_BUSY ? 1 : 2);
    }
    int status = 0;
    waitpid(child, &status, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 4;
}

static void test_other_user(void **state)
{
    (void)state;
    struct err err = ERR_INIT;
    struct device_lock *lock = NULL;
    char path[256];
    if (geteuid() != 0) {
        print_message("skipped: only root can become another user\n");
        skip();
    }
    assert_int_equal(chmod(folder, 0755), 0);
    snprintf(path, sizeof path, "%s/shared", folder);
    setenv("SPICA_LOCK_DIR", path, 1);
    assert_true(device_lock_take("cpu", "cpu-1", "mine", &lock, &err));
    assert_int_equal(take_as_nobody(), 1);
    device_lock_release(lock);
    assert_int_equal(take_as_nobody(), 0); /* our file, their turn */
    snprintf(path, sizeof path, "%s/shared/cpu-1.lock", folder);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(take_as_nobody(), 0); /* their file, made under a strict umask: ours too */
    assert_true(device_lock_take("cpu", "cpu-1", "mine", &lock, &err));
    assert_int_equal(take_as_nobody(), 1);
    device_lock_release(lock);
    /* A file that they can't write: said, never run without a lock. */
    assert_int_equal(chmod(path, 0600), 0);
    assert_int_equal(chown(path, 0, 0), 0);
    assert_int_equal(take_as_nobody(), 2);
}

/* Everybody's folder without the sticky bit: whoever renames the file there gets a second lock. */
static void test_folder_open(void **state)
{
    (void)state;
    struct err err = ERR_INIT;
    struct device_lock *lock = NULL;
    assert_int_equal(chmod(folder, 0777), 0);
    assert_false(device_lock_take("cpu", "cpu-1", "mine", &lock, &err));
    assert_non_null(strstr(err.text, "anybody may replace what stands in it (chmod +t it"));
    assert_int_equal(chmod(folder, 01777), 0);
    err = ERR_INIT;
    assert_true(device_lock_take("cpu", "cpu-1", "mine", &lock, &err));
    device_lock_release(lock);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_two_processes, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_not_inherited, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_texts, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_long_words, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_folder_made, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_folder_refused, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_file_refused, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_file_removed, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_parts, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_whose, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_other_user, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_folder_open, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
