/* What the files of store/ share: the open file and small manners around SQLite. Nobody outside
 * store/ includes this. */
#pragma once

#include "base/arena.h"
#include "base/err.h"
#include "store/store.h"

#include <sqlite3.h>

enum { STORE_WRITE_STATEMENTS = 24, STORE_PATH_MAX = 4096 };

struct store {
    sqlite3 *db; /* owned */
    char *path;  /* owned */
    enum store_mode mode;
    int busy_ms; /* as long as SQLite waits for others */
    sqlite3_stmt
        *statements[STORE_WRITE_STATEMENTS]; /* owned; write.c's, prepared when first used */
    struct arena *study;                     /* owned: texts of store_study_get */
    struct arena *history;                   /* owned: texts of the last store_history */
};

/* Sets err from what SQLite says last; "disk full" and the like in words that tell what to do.
 * Returns false. */
bool store_sql_fail(struct store *store, const char *doing, struct err *err);
/* The same for a handle that never became a store. */
bool store_sql_fail_handle(sqlite3 *db, const char *path, const char *doing, struct err *err);

/* A statement of one use; the caller finalises it with AUTO(sqlite3_finalize). */
NODISCARD bool store_sql_prepare(struct store *store, const char *sql, sqlite3_stmt **ret_statement,
                                 struct err *err);
AUTO_FN(sqlite3_stmt, sqlite3_finalize)

/* One row: true and *ret_row false at the end. */
NODISCARD bool store_sql_step(struct store *store, sqlite3_stmt *statement, bool *ret_row,
                              struct err *err);
NODISCARD bool store_sql_exec(struct store *store, const char *sql, const char *doing,
                              struct err *err);
/* A transaction for writing; rollback is silent and fine when there is none. */
NODISCARD bool store_sql_begin(struct store *store, struct err *err);
NODISCARD bool store_sql_commit(struct store *store, struct err *err);
void store_sql_rollback(struct store *store);

/* Copies of a column: NULL gives NULL, NaN, or `otherwise`. */
const char *store_sql_text(sqlite3_stmt *statement, int column, struct arena *arena);
double store_sql_real(sqlite3_stmt *statement, int column);
int64_t store_sql_int(sqlite3_stmt *statement, int column, int64_t otherwise);

/* Texts by id, each copied once into an arena however many rows refer to it. */
struct store_texts {
    struct store *store;
    struct arena *arena;     /* borrowed */
    sqlite3_stmt *statement; /* owned */
    struct store_text_slot {
        int64_t id;
        const char *text;
    } * slots; /* in the arena */
    size_t count, capacity;
};
NODISCARD bool store_texts_init(struct store_texts *texts, struct store *store, struct arena *arena,
                                struct err *err);
void store_texts_done(struct store_texts *texts);
static inline void store_texts_done_auto_(struct store_texts *texts)
{
    store_texts_done(texts);
}
/* The text that a column refers to; NULL for NULL. False: the file is damaged, err says so. */
NODISCARD bool store_texts_get(struct store_texts *texts, sqlite3_stmt *statement, int column,
                               const char **ret_text, struct err *err);
/* The id of a text, or 0 when it is not in the file at all. */
NODISCARD bool store_texts_find(struct store *store, const char *text, int64_t *ret_id,
                                struct err *err);
