/* What opens, what is refused and in which words, and reading where nothing may be written. */
#include "check.h"

#include "made.h"
#include "store/read.h"

#include <sqlite3.h>
#include <sys/stat.h>
#include <sys/wait.h>

static void make_sql(const char *path, const char *sql)
{
    sqlite3 *db = NULL;
    assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db, sql, NULL, NULL, NULL), SQLITE_OK);
    sqlite3_close(db);
}

static void make_bytes(const char *path, const char *bytes, size_t len)
{
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    assert_int_equal(fwrite(bytes, 1, len, file), len);
    fclose(file);
}

/* Meant for an event loop: 13 of READ's waits would be longer than this test may take. */
static void waits_for_nobody(void **state)
{
    (void)state;
    char *folder = check_make_folder();
    AUTO(free) char *path = NULL;
    sqlite3 *holder = NULL;
    struct store *store = NULL;
    struct err err = ERR_INIT;
    assert_true(asprintf(&path, "%s/study.db", folder) > 0);
    assert_true(store_open(path, STORE_CREATE, &store, &err));
    store_close(store);
    assert_int_equal(sqlite3_open(path, &holder), SQLITE_OK);
    assert_int_equal(
        sqlite3_exec(holder, "PRAGMA locking_mode = EXCLUSIVE; BEGIN EXCLUSIVE", NULL, NULL, NULL),
        SQLITE_OK);
    for (int i = 0; i < 13; i++) {
        err = ERR_INIT;
        assert_false(store_open_soon(path, &store, &err));
        assert_int_equal(err.code, ERR_BUSY);
    }
    sqlite3_close(holder);
    assert_true(store_open_soon(path, &store, &err));
    store_close(store);
    check_remove_folder(folder);
}

static void creates_folders_and_reopens(void **state)
{
    (void)state;
    char *folder = check_make_folder();
    AUTO(free) char *deep = NULL;
    assert_true(asprintf(&deep, "%s/a/b/study.db", folder) > 0);
    for (int i = 0; i < 2; i++) {
        AUTO(store_close) struct store *store = NULL;
        struct err err = ERR_INIT;
        assert_true(store_open(deep, STORE_CREATE, &store, &err));
    }
    for (int mode = STORE_WRITE; mode <= STORE_READ; mode++) {
        AUTO(store_close) struct store *store = NULL;
        struct err err = ERR_INIT;
        assert_true(store_open(deep, (enum store_mode)mode, &store, &err));
    }
    check_remove_folder(folder);
}

static void refuses_what_is_not_a_study(void **state)
{
    (void)state;
    static const struct {
        const char *name, *sql, *bytes;
        enum store_mode mode;
        enum err_code code;
        const char *says;
    } rows[] = {
        {"missing, read", NULL, NULL, STORE_READ, ERR_MISSING, "no such file"},
        {"missing, write", NULL, NULL, STORE_WRITE, ERR_MISSING, "no such file"},
        {"text", NULL,
         "this is not a database, and long enough to be looked at as one: 0123456789"
         "0123456789012345678901234567890123456789",
         STORE_READ, ERR_INPUT, "not a study's file"},
        {"text, create", NULL,
         "this is not a database, and long enough to be looked at: 0123456789"
         "0123456789012345678901234567890123456789",
         STORE_CREATE, ERR_INPUT, "not a study's file"},
        {"empty, read", NULL, "", STORE_READ, ERR_INPUT, "empty"},
        {"empty, write", NULL, "", STORE_WRITE, ERR_INPUT, "empty"},
        {"another database", "CREATE TABLE x (y)", NULL, STORE_CREATE, ERR_INPUT, "something else"},
        {"another application", "CREATE TABLE x (y); PRAGMA application_id = 99", NULL, STORE_READ,
         ERR_INPUT, "something else"},
        {"newer, read",
         "CREATE TABLE x (y); PRAGMA application_id = 1397770563; PRAGMA user_version "
         "= 7",
         NULL, STORE_READ, ERR_INPUT, "newer spica (file version 7)"},
        {"newer, create",
         "CREATE TABLE x (y); PRAGMA application_id = 1397770563; PRAGMA "
         "user_version = 7",
         NULL, STORE_CREATE, ERR_INPUT, "up to version 1"},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        char *folder = check_make_folder();
        AUTO(free) char *path = made_path(folder);
        if (rows[i].sql)
            make_sql(path, rows[i].sql);
        if (rows[i].bytes)
            make_bytes(path, rows[i].bytes, strlen(rows[i].bytes));
        struct store *store = NULL;
        struct err err = ERR_INIT;
        CHECK_ROW(i, rows[i].name, !store_open(path, rows[i].mode, &store, &err));
        CHECK_ROW(i, rows[i].name, store == NULL);
        if (err.code != rows[i].code || !strstr(err.text, rows[i].says) || strchr(err.text, '\n'))
            fail_msg("row %zu (%s): code %d, \"%s\"", i, rows[i].name, err.code, err.text);
        check_remove_folder(folder);
    }
}

static void fills_an_empty_file(void **state)
{
    (void)state;
    char *folder = check_make_folder();
    AUTO(free) char *path = made_path(folder);
    make_bytes(path, "", 0);
    AUTO(store_close) struct store *store = made_store(folder);
    assert_non_null(store);
    check_remove_folder(folder);
}

static void reads_beside_a_writer(void **state)
{
    (void)state;
    char *folder = check_make_folder();
    AUTO(free) char *path = made_path(folder);
    AUTO(arena_free) struct arena *arena = arena_new();
    AUTO(store_close) struct store *writer = made_store(folder);
    struct err err = ERR_INIT;
    struct store_trial trial = made_trial(arena, 1, 10);
    assert_true(store_trial_add(writer, &trial, &err));
    AUTO(store_close) struct store *reader = NULL;
    assert_true(store_open(path, STORE_READ, &reader, &err));
    /* A reader stays in the instant in which it opened. */
    trial = made_trial(arena, 2, 10);
    assert_true(store_trial_add(writer, &trial, &err));
    struct store_trial *trials = NULL;
    size_t count = 0;
    assert_true(store_read_trials(reader, arena, true, &trials, &count, &err));
    assert_int_equal(count, 1);
    reader = store_close(reader);
    assert_true(store_open(path, STORE_READ, &reader, &err));
    assert_true(store_read_trials(reader, arena, true, &trials, &count, &err));
    assert_int_equal(count, 2);
    check_remove_folder(folder);
}

/* Root may write everywhere, so the reading is done by a child without privileges. Exit status: 0
 * read, 1 refused, 2 anything else. */
static int read_as_nobody(const char *path, struct err *ret_err, int fd)
{
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        if (geteuid() == 0 && (setgid(65534) != 0 || setuid(65534) != 0))
            _exit(2);
        struct store *store = NULL;
        struct err err = ERR_INIT;
        bool found = false;
        struct store_study study;
        bool read = store_open(path, STORE_READ, &store, &err) &&
                    store_study_get(store, &found, &study, &err) && found &&
                    strcmp(study.name, "night") == 0;
        store_close(store);
        ssize_t n = write(fd, &err, sizeof err);
        _exit(n == (ssize_t)sizeof err ? !read : 2);
    }
    int status = 0;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(pread(fd, ret_err, sizeof *ret_err, 0), sizeof *ret_err);
    return WEXITSTATUS(status);
}

static void reads_in_a_read_only_folder(void **state)
{
    (void)state;
    char *folder = check_make_folder();
    AUTO(free) char *path = made_path(folder);
    AUTO(free) char *wal = NULL;
    assert_true(asprintf(&wal, "%s-wal", path) > 0);
    FILE *answer = tmpfile();
    assert_non_null(answer);
    struct err err = ERR_INIT;
    store_close(made_store(folder));
    assert_int_equal(chmod(folder, 0555), 0);
    assert_int_equal(chmod(path, 0444), 0);
    int status = read_as_nobody(path, &err, fileno(answer));
    if (status != 0)
        fail_msg("status %d: %s", status, err.text);
    /* With results that are still in the -wal file the database alone would be half the truth. */
    assert_int_equal(chmod(folder, 0755), 0);
    make_bytes(wal, "0123456789", 10);
    assert_int_equal(chmod(wal, 0444), 0);
    assert_int_equal(chmod(folder, 0555), 0);
    rewind(answer);
    status = read_as_nobody(path, &err, fileno(answer));
    assert_int_equal(status, 1);
    if (!strstr(err.text, "copy the folder"))
        fail_msg("%s", err.text);
    assert_int_equal(chmod(folder, 0755), 0);
    fclose(answer);
    check_remove_folder(folder);
}

static void survives_a_damaged_file(void **state)
{
    (void)state;
    char *folder = check_make_folder();
    AUTO(free) char *path = made_path(folder);
    AUTO(arena_free) struct arena *arena = arena_new();
    struct store *writer = made_store(folder);
    struct err err = ERR_INIT;
    for (int64_t n = 1; n <= 20; n++) {
        struct store_trial trial = made_trial(arena, n, 50);
        assert_true(store_trial_add(writer, &trial, &err));
    }
    store_close(writer);
    FILE *file = fopen(path, "r+");
    assert_non_null(file);
    for (long at = 5000; at < 400000; at += 997) {
        fseek(file, at, SEEK_SET);
        fputc(0xa5, file);
    }
    fclose(file);
    AUTO(store_close) struct store *store = NULL;
    struct store_trial *trials = NULL;
    size_t count = 0;
    bool read = store_open(path, STORE_READ, &store, &err) &&
                store_read_trials(store, arena, true, &trials, &count, &err);
    assert_false(read);
    assert_false(strchr(err.text, '\n') != NULL);
    check_remove_folder(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(creates_folders_and_reopens),
        cmocka_unit_test(waits_for_nobody),
        cmocka_unit_test(refuses_what_is_not_a_study),
        cmocka_unit_test(fills_an_empty_file),
        cmocka_unit_test(reads_beside_a_writer),
        cmocka_unit_test(reads_in_a_read_only_folder),
        cmocka_unit_test(survives_a_damaged_file),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
