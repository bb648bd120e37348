/* kill -9 of a writer in the middle of its transactions, fifty times on the same file: afterwards
 * the file is sound and holds whole trials only. */
#include "check.h"

#include "made.h"
#include "store/read.h"

#include "base/clock.h"
#include "base/rng.h"

#include <signal.h>
#include <sqlite3.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>

enum { KILLS = 50, REQUESTS = 150 };

static void write_until_killed(const char *path)
{
    struct store *store = NULL;
    struct err err = ERR_INIT;
    struct arena *arena = arena_new();
    struct store_history_row *rows = NULL;
    size_t count = 0;
    if (!store_open(path, STORE_WRITE, &store, &err) || !store_history(store, &rows, &count, &err))
        _exit(1);
    int64_t number = count ? rows[count - 1].number : 0;
    for (;;) {
        struct store_trial trial = made_trial(arena, ++number, REQUESTS);
        if (!store_trial_add(store, &trial, &err))
            _exit(1);
        arena_free(arena);
        arena = arena_new();
    }
}

static void check_sound(const char *path)
{
    sqlite3 *db = NULL;
    sqlite3_stmt *statement = NULL;
    assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
    assert_int_equal(sqlite3_prepare_v2(db, "PRAGMA integrity_check", -1, &statement, NULL),
                     SQLITE_OK);
    assert_int_equal(sqlite3_step(statement), SQLITE_ROW);
    assert_string_equal((const char *)sqlite3_column_text(statement, 0), "ok");
    sqlite3_finalize(statement);
    sqlite3_close(db);
}

static size_t check_whole(const char *path)
{
    AUTO(arena_free) struct arena *arena = arena_new();
    AUTO(store_close) struct store *store = NULL;
    struct err err = ERR_INIT;
    struct store_trial *trials = NULL;
    size_t count = 0;
    int64_t requests = 0;
    if (!store_open(path, STORE_READ, &store, &err) ||
        !store_read_trials(store, arena, true, &trials, &count, &err) ||
        !store_count_requests(store, &requests, &err))
        fail_msg("%s", err.text);
    assert_int_equal(requests, (int64_t)count * 2 * REQUESTS);
    for (size_t i = 0; i < count; i++) {
        assert_int_equal(trials[i].number, (int64_t)i + 1); /* none is missing in between */
        assert_int_equal(trials[i].phase_count, 2);
        assert_int_equal(trials[i].service_count, 2);
        assert_int_equal(trials[i].metric_count, 2);
    }
    return count;
}

static void killed_writers_leave_whole_trials(void **state)
{
    (void)state;
    char *folder = check_make_folder();
    AUTO(free) char *path = made_path(folder);
    store_close(made_store(folder));
    struct rng rng = rng_init(1, "kill");
    size_t before = 0;
    for (int i = 0; i < KILLS; i++) {
        pid_t pid = fork();
        assert_true(pid >= 0);
        if (pid == 0) {
            write_until_killed(path);
            _exit(1);
        }
        struct timespec pause = {0, (long)(rng_unit(&rng) * 15 * NS_PER_MS)};
        nanosleep(&pause, NULL);
        assert_int_equal(kill(pid, SIGKILL), 0);
        int status = 0;
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_true(WIFSIGNALED(status));
        size_t after = check_whole(path);
        assert_true(after >= before);
        before = after;
    }
    check_sound(path);
    assert_true(before > 0);
    check_remove_folder(folder);
}

/* A transaction of the old kind, cut after its pages have reached the file. */
static void die_in_a_rollback_journal(const char *path)
{
    sqlite3 *db = NULL;
    sqlite3_open(path, &db);
    sqlite3_exec(db,
                 "PRAGMA journal_mode = DELETE; PRAGMA cache_size = 2; PRAGMA cache_spill = 1;"
                 "BEGIN IMMEDIATE;"
                 "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 4000)"
                 " INSERT INTO event (wall_us, kind, detail) SELECT i, 'half', hex(zeroblob(200))"
                 " FROM n",
                 NULL, NULL, NULL);
    raise(SIGKILL);
    _exit(1);
}

/* Killed before the file was in WAL mode: a reader that may write finds what was there before. */
static void a_reader_finds_a_rollback_journal(void **state)
{
    (void)state;
    char *folder = check_make_folder();
    AUTO(free) char *path = made_path(folder);
    store_close(made_store(folder));
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0)
        die_in_a_rollback_journal(path);
    int status = 0;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFSIGNALED(status));
    AUTO(free) char *journal = NULL;
    assert_true(asprintf(&journal, "%s-journal", path) > 0);
    struct stat st;
    assert_int_equal(stat(journal, &st), 0);
    check_whole(path);
    assert_int_equal(stat(journal, &st), -1); /* rolled back, not passed over */
    check_sound(path);
    check_remove_folder(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(killed_writers_leave_whole_trials),
        cmocka_unit_test(a_reader_finds_a_rollback_journal),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
