/* Rows go in whole, unknown as NULL, repeated texts once. */
#include "check.h"

#include "made.h"
#include "store/read.h"

#include <sqlite3.h>

static int64_t ask(const char *folder, const char *sql)
{
    AUTO(free) char *path = made_path(folder);
    sqlite3 *db = NULL;
    sqlite3_stmt *statement = NULL;
    assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
    if (sqlite3_prepare_v2(db, sql, -1, &statement, NULL) != SQLITE_OK)
        fail_msg("%s: %s", sql, sqlite3_errmsg(db));
    assert_int_equal(sqlite3_step(statement), SQLITE_ROW);
    int64_t value = sqlite3_column_int64(statement, 0);
    sqlite3_finalize(statement);
    sqlite3_close(db);
    return value;
}

static void writes_every_row(void **state)
{
    (void)state;
    static const struct {
        const char *sql;
        int64_t expected;
    } rows[] = {
        {"SELECT count(*) FROM trial", 3},
        {"SELECT count(*) FROM request", 3 * 2 * 40},
        {"SELECT count(*) FROM stream", 3 * 2},
        {"SELECT count(*) FROM requests WHERE error = 'timeout'", 3 * 2 * 4},
        {"SELECT count(*) FROM request WHERE done_ns IS NULL", 3 * 2 * 4},
        {"SELECT count(*) FROM requests WHERE service = 'stt' AND first_token_ns IS NOT NULL", 0},
        {"SELECT count(*) FROM requests WHERE service = 'llm' AND first_token_ns IS NULL", 0},
        {"SELECT count(*) FROM requests WHERE service = 'stt' AND tokens_exact IS NOT NULL", 0},
        {"SELECT count(*) FROM text WHERE body = 'good morning'", 1},
        {"SELECT count(*) FROM trial WHERE contention_ratio IS NULL", 3},
        {"SELECT count(*) FROM trial WHERE retry_of IS NULL AND service IS NULL", 3},
        {"SELECT count(*) FROM metric WHERE value IS NULL", 3},
        {"SELECT count(*) FROM log", 3},
        {"SELECT count(*) FROM phase WHERE outcome IS NULL", 3},
        {"SELECT count(*) FROM service WHERE exit_code IS NULL AND signal = 9", 3},
        {"SELECT min(intended_ns) FROM request", -500},
        /* Whatever order answers came in: by sequence. */
        {"SELECT count(*) FROM request r JOIN request s ON s.stream = r.stream AND s.position ="
         " r.position + 1 WHERE s.part = r.part AND s.sequence <= r.sequence",
         0},
        {"SELECT count(*) FROM pragma_foreign_key_check", 0},
        /* Turns stand with their session; without sessions each request is one of its own. */
        {"SELECT count(*) FROM requests WHERE service = 'stt' AND session = sequence AND turn = 0",
         3 * 40},
        {"SELECT count(*) FROM requests WHERE service = 'llm' AND 2 * session + turn = sequence",
         3 * 40},
        {"SELECT count(*) FROM requirements WHERE counted = 'words'", 3},
    };
    char *folder = check_make_folder();
    struct store *store = made_store(folder);
    AUTO(arena_free) struct arena *arena = arena_new();
    struct err err = ERR_INIT;
    for (int64_t n = 1; n <= 3; n++) {
        struct store_trial trial = made_trial(arena, n, 40);
        if (!store_trial_add(store, &trial, &err))
            fail_msg("%s", err.text);
    }
    store_close(store);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        int64_t value = ask(folder, rows[i].sql);
        if (value != rows[i].expected)
            fail_msg("row %zu: %s: is %lld, expected %lld", i, rows[i].sql, (long long)value,
                     (long long)rows[i].expected);
    }
    check_remove_folder(folder);
}

/* Number taken, a retry of a trial that is not there: all of it or nothing. */
static void refuses_a_trial_whole(void **state)
{
    (void)state;
    char *folder = check_make_folder();
    struct store *store = made_store(folder);
    AUTO(arena_free) struct arena *arena = arena_new();
    struct err err = ERR_INIT;
    struct store_trial trial = made_trial(arena, 1, 5);
    assert_true(store_trial_add(store, &trial, &err));
    assert_false(store_trial_add(store, &trial, &err));
    assert_int_equal(err.code, ERR_INTERNAL);
    assert_non_null(strstr(err.text, "storing trial 1"));
    struct err second = ERR_INIT;
    trial = made_trial(arena, 2, 5);
    trial.retry_of = 77;
    trial.candidate = "never to be seen";
    assert_false(store_trial_add(store, &trial, &second));
    /* The store goes on. */
    struct err third = ERR_INIT;
    trial = made_trial(arena, 2, 5);
    trial.retry_of = 1;
    assert_true(store_trial_add(store, &trial, &third));
    store_close(store);
    assert_int_equal(ask(folder, "SELECT count(*) FROM trial"), 2);
    assert_int_equal(ask(folder, "SELECT count(*) FROM text WHERE body = 'never to be seen'"), 0);
    check_remove_folder(folder);
}

static void writes_a_trial_of_nothing(void **state)
{
    (void)state;
    char *folder = check_make_folder();
    AUTO(store_close) struct store *store = made_store(folder);
    struct err err = ERR_INIT;
    struct store_trial trial = {
        .number = 1, .candidate = "", .purpose = "explore", .verdict = "crashed_start"};
    if (!store_trial_add(store, &trial, &err))
        fail_msg("%s", err.text);
    check_remove_folder(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(writes_every_row),
        cmocka_unit_test(refuses_a_trial_whole),
        cmocka_unit_test(writes_a_trial_of_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
