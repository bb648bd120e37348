/* Manners around SQLite: its failures in words that tell what to do, columns in which NULL is
 * unknown, and texts by id.
 *
 * Rejected: a wrapper that hides SQLite. Statements are SQL and rows are stepped in plain sight;
 * here stands only what would else be written at every call. */
#include "store/sql.h"

#include <errno.h>
#include <math.h>
#include <string.h>

/* SQLite reports a full disk as SQLITE_FULL, but as an I/O error when it was the shared-memory file
 * that could not grow. */
static bool is_disk_full(int code, int sys)
{
    return code == SQLITE_FULL || sys == ENOSPC || sys == EDQUOT;
}

bool store_sql_fail_handle(sqlite3 *db, const char *path, const char *doing, struct err *err)
{
    int code = sqlite3_errcode(db) & 0xff;
    int sys = sqlite3_system_errno(db);
    if (is_disk_full(code, sys))
        return err_set(err, ERR_INTERNAL,
                       "disk full: %s: %s: nothing of this was stored; free space and run again",
                       path, doing);
    switch (code) {
    case SQLITE_NOTADB:
        return err_set(err, ERR_INPUT, "%s: not a study's file", path);
    case SQLITE_CORRUPT:
        return err_set(err, ERR_INPUT, "%s: damaged (%s); sqlite3 '%s' .recover may save its rows",
                       path, sqlite3_errmsg(db), path);
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
        return err_set(err, ERR_BUSY, "%s: another program is writing to it", path);
    case SQLITE_READONLY:
    case SQLITE_PERM:
        return err_set(err, ERR_INTERNAL, "%s: %s: it or its folder is read-only", path, doing);
    default:
        return err_set(err, ERR_INTERNAL, "%s: %s: %s%s%s", path, doing, sqlite3_errmsg(db),
                       sys ? ": " : "", sys ? strerror(sys) : "");
    }
}

bool store_sql_fail(struct store *store, const char *doing, struct err *err)
{
    return store_sql_fail_handle(store->db, store->path, doing, err);
}

bool store_sql_prepare(struct store *store, const char *sql, sqlite3_stmt **ret_statement,
                       struct err *err)
{
    sqlite3_stmt *statement = NULL;
    if (sqlite3_prepare_v2(store->db, sql, -1, &statement, NULL) != SQLITE_OK)
        return store_sql_fail(store, "preparing a statement", err);
    *ret_statement = statement;
    return true;
}

bool store_sql_step(struct store *store, sqlite3_stmt *statement, bool *ret_row, struct err *err)
{
    int code = sqlite3_step(statement);
    if (code != SQLITE_ROW && code != SQLITE_DONE)
        return store_sql_fail(store, "reading", err);
    *ret_row = code == SQLITE_ROW;
    return true;
}

bool store_sql_exec(struct store *store, const char *sql, const char *doing, struct err *err)
{
    return sqlite3_exec(store->db, sql, NULL, NULL, NULL) == SQLITE_OK ||
           store_sql_fail(store, doing, err);
}

/* IMMEDIATE: takes the write lock now, so that nothing read within can be outdated at the commit.
 */
bool store_sql_begin(struct store *store, struct err *err)
{
    return store_sql_exec(store, "BEGIN IMMEDIATE", "beginning to write", err);
}

bool store_sql_commit(struct store *store, struct err *err)
{
    return store_sql_exec(store, "COMMIT", "writing", err);
}

void store_sql_rollback(struct store *store)
{
    if (!sqlite3_get_autocommit(store->db))
        sqlite3_exec(store->db, "ROLLBACK", NULL, NULL, NULL);
}

const char *store_sql_text(sqlite3_stmt *statement, int column, struct arena *arena)
{
    return arena_strdup(arena, (const char *)sqlite3_column_text(statement, column));
}

double store_sql_real(sqlite3_stmt *statement, int column)
{
    return sqlite3_column_type(statement, column) == SQLITE_NULL
               ? NAN
               : sqlite3_column_double(statement, column);
}

int64_t store_sql_int(sqlite3_stmt *statement, int column, int64_t otherwise)
{
    return sqlite3_column_type(statement, column) == SQLITE_NULL
               ? otherwise
               : sqlite3_column_int64(statement, column);
}

bool store_texts_init(struct store_texts *texts, struct store *store, struct arena *arena,
                      struct err *err)
{
    *texts = (struct store_texts){.store = store, .arena = arena, .capacity = 256};
    texts->slots = arena_array(arena, texts->capacity, sizeof *texts->slots);
    return store_sql_prepare(store, "SELECT body FROM text WHERE id = ?", &texts->statement, err);
}

void store_texts_done(struct store_texts *texts)
{
    sqlite3_finalize(texts->statement);
    texts->statement = NULL;
}

/* Open addressing; ids start at 1, so that 0 marks a free slot. */
static struct store_text_slot *find_slot(struct store_text_slot *slots, size_t capacity, int64_t id)
{
    size_t at = (size_t)((uint64_t)id * UINT64_C(0x9e3779b97f4a7c15) >> 32) & (capacity - 1);
    while (slots[at].id != 0 && slots[at].id != id)
        at = (at + 1) & (capacity - 1);
    return &slots[at];
}

static void grow(struct store_texts *texts)
{
    size_t capacity = 2 * texts->capacity;
    struct store_text_slot *slots = arena_array(texts->arena, capacity, sizeof *slots);
    for (size_t i = 0; i < texts->capacity; i++)
        if (texts->slots[i].id != 0)
            *find_slot(slots, capacity, texts->slots[i].id) = texts->slots[i];
    texts->slots = slots;
    texts->capacity = capacity;
}

bool store_texts_get(struct store_texts *texts, sqlite3_stmt *statement, int column,
                     const char **ret_text, struct err *err)
{
    int64_t id = store_sql_int(statement, column, 0);
    if (id == 0) {
        *ret_text = NULL;
        return true;
    }
    struct store_text_slot *slot = find_slot(texts->slots, texts->capacity, id);
    if (slot->id == 0) {
        bool row = false;
        sqlite3_reset(texts->statement);
        sqlite3_bind_int64(texts->statement, 1, id);
        if (!store_sql_step(texts->store, texts->statement, &row, err))
            return false;
        if (!row)
            return err_set(err, ERR_INPUT, "%s: damaged: text %lld is missing", texts->store->path,
                           (long long)id);
        *slot = (struct store_text_slot){id, store_sql_text(texts->statement, 0, texts->arena)};
        sqlite3_reset(texts->statement);
        if (2 * ++texts->count > texts->capacity) {
            *ret_text = slot->text;
            grow(texts);
            return true;
        }
    }
    *ret_text = slot->text;
    return true;
}

bool store_texts_find(struct store *store, const char *text, int64_t *ret_id, struct err *err)
{
    AUTO(sqlite3_finalize) sqlite3_stmt *statement = NULL;
    bool row = false;
    if (!store_sql_prepare(store, "SELECT id FROM text WHERE body = ?", &statement, err))
        return false;
    sqlite3_bind_text(statement, 1, text, -1, SQLITE_STATIC);
    if (!store_sql_step(store, statement, &row, err))
        return false;
    *ret_id = row ? sqlite3_column_int64(statement, 0) : 0;
    return true;
}
