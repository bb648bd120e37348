/* Opening a study's file, and refusing everything that is not one.
 *
 * WAL, so that reports read while a study writes; synchronous FULL, because a trial costs a minute
 * and a sync a millisecond. A reader holds one snapshot from opening to closing: all its numbers
 * are of one instant, whatever is written meanwhile.
 *
 * WAL readers need the -shm file beside the database, which nobody can make in a read-only folder.
 * There the file is read as "immutable", but only when no -wal file with content stands beside it:
 * then the file alone is the whole truth. Rejected: immutable for all readers, which would read
 * garbage while a study runs. */
#include "store/schema.h"
#include "store/sql.h"

#include "base/file.h"

#include <assert.h>
#include <errno.h>
#include <string.h>
#include <sys/stat.h>

static const int BUSY_MS = 10000, SOON_MS = 100;

struct store *store_close(struct store *store)
{
    if (!store)
        return NULL;
    for (size_t i = 0; i < STORE_WRITE_STATEMENTS; i++)
        sqlite3_finalize(store->statements[i]);
    sqlite3_close(store->db);
    arena_free(store->study);
    arena_free(store->history);
    free(store->path);
    free(store);
    return NULL;
}

static bool read_pragma(struct store *store, const char *sql, int64_t *ret_value, struct err *err)
{
    AUTO(sqlite3_finalize) sqlite3_stmt *statement = NULL;
    bool row = false;
    if (!store_sql_prepare(store, sql, &statement, err) ||
        !store_sql_step(store, statement, &row, err))
        return false;
    *ret_value = row ? sqlite3_column_int64(statement, 0) : 0;
    return true;
}

/* Version 0: a file without anything in it, as it is before it was made, or when making it was
 * interrupted. */
static bool read_version(struct store *store, int64_t *ret_version, struct err *err)
{
    int64_t id = 0, version = 0, tables = 0;
    if (!read_pragma(store, "PRAGMA application_id", &id, err) ||
        !read_pragma(store, "PRAGMA user_version", &version, err) ||
        !read_pragma(store, "SELECT count(*) FROM sqlite_schema", &tables, err))
        return false;
    bool empty = id == 0 && version == 0 && tables == 0;
    if (!empty && id != STORE_APPLICATION_ID)
        return err_set(err, ERR_INPUT, "%s: not a study's file (a database of something else)",
                       store->path);
    if (version > STORE_VERSION)
        return err_set(err, ERR_INPUT,
                       "%s: written by a newer spica (file version %lld); spica %s reads up to "
                       "version %d",
                       store->path, (long long)version, SPICA_VERSION, STORE_VERSION);
    *ret_version = version;
    return true;
}

static bool migrate_within(struct store *store, struct err *err)
{
    int64_t version = 0;
    char pragmas[96];
    /* Again, now under the write lock: another process may have been faster. */
    if (!read_version(store, &version, err))
        return false;
    for (; version < STORE_VERSION; version++) {
        snprintf(pragmas, sizeof pragmas, "PRAGMA application_id = %d; PRAGMA user_version = %lld",
                 STORE_APPLICATION_ID, (long long)version + 1);
        if (!store_sql_exec(store, store_schema_steps[version], "making its tables", err) ||
            !store_sql_exec(store, pragmas, "making its tables", err))
            return false;
    }
    return store_sql_commit(store, err);
}

static bool migrate(struct store *store, struct err *err)
{
    if (!store_sql_begin(store, err))
        return false;
    bool done = migrate_within(store, err);
    store_sql_rollback(store);
    return done;
}

static bool set_up_writer(struct store *store, struct err *err)
{
    int64_t version = 0;
    if (!read_version(store, &version, err))
        return false;
    if (version == 0 && store->mode != STORE_CREATE)
        return err_set(err, ERR_INPUT, "%s: not a study's file (it is empty)", store->path);
    if (!store_sql_exec(store,
                        "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;"
                        "PRAGMA foreign_keys = ON",
                        "opening", err))
        return false;
    return version == STORE_VERSION || migrate(store, err);
}

static bool set_up_reader(struct store *store, struct err *err)
{
    int64_t version = 0;
    if (!store_sql_exec(store, "PRAGMA query_only = ON; BEGIN", "opening", err) ||
        !read_version(store, &version, err))
        return false;
    if (version == 0)
        return err_set(err, ERR_INPUT, "%s: not a study's file (it is empty)", store->path);
    if (version < STORE_VERSION)
        return err_set(
            err, ERR_INPUT,
            "%s: written by an older spica (file version %lld, now %d); spica run brings "
            "it up to date",
            store->path, (long long)version, STORE_VERSION);
    return true;
}

static bool has_unmerged_wal(const char *path)
{
    struct buf wal = BUF_INIT(STORE_PATH_MAX);
    struct stat st;
    buf_addf(&wal, "%s-wal", path);
    bool has = stat(buf_text(&wal), &st) == 0 && st.st_size > 0;
    buf_done(&wal);
    return has;
}

static void add_uri(struct buf *uri, const char *path)
{
    buf_add(uri, "file:");
    for (const char *at = path; *at; at++) {
        if (*at == '?' || *at == '#' || *at == '%')
            buf_addf(uri, "%%%02x", (unsigned char)*at);
        else
            buf_addc(uri, *at);
    }
}

static bool open_handle(struct store *store, bool immutable, struct err *err)
{
    static const int flags[] = {
        [STORE_CREATE] = SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE,
        [STORE_WRITE] = SQLITE_OPEN_READWRITE,
        [STORE_READ] = SQLITE_OPEN_READONLY,
    };
    struct buf uri = BUF_INIT(3 * STORE_PATH_MAX + 32);
    add_uri(&uri, store->path);
    if (immutable)
        buf_add(&uri, "?immutable=1");
    int code = sqlite3_open_v2(buf_text(&uri), &store->db,
                               flags[store->mode] | SQLITE_OPEN_URI | SQLITE_OPEN_EXRESCODE, NULL);
    buf_done(&uri);
    if (code != SQLITE_OK)
        return store_sql_fail(store, "opening", err);
    sqlite3_busy_timeout(store->db, store->busy_ms);
    /* What a file says is not trusted to run code of ours or to reach beyond its own rows. */
    sqlite3_db_config(store->db, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, NULL);
    sqlite3_db_config(store->db, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
    return store->mode == STORE_READ ? set_up_reader(store, err) : set_up_writer(store, err);
}

static bool open_immutable(struct store *store, struct err *err)
{
    if (has_unmerged_wal(store->path))
        return err_set(err, ERR_INPUT,
                       "%s: its last trials are still in %s-wal, and its folder is read-only: copy "
                       "the folder to where you may write",
                       store->path, store->path);
    sqlite3_close(TAKE(store->db));
    return open_handle(store, true, err);
}

/* A writer that was killed before the file was in WAL mode leaves a rollback journal, which no
 * reader may roll back. Whoever may write does it first: what was half written is then gone, as it
 * would be after the next run. */
static void roll_back(const struct store *store)
{
    sqlite3 *db = NULL;
    AUTO(buf_done) struct buf uri = BUF_INIT(3 * STORE_PATH_MAX + 32);
    add_uri(&uri, store->path);
    if (sqlite3_open_v2(buf_text(&uri), &db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_URI, NULL) ==
        SQLITE_OK) {
        sqlite3_busy_timeout(db, store->busy_ms);
        sqlite3_exec(db, "SELECT 1 FROM sqlite_schema", NULL, NULL, NULL);
    }
    sqlite3_close(db);
}

static bool open_reader(struct store *store, struct err *err)
{
    struct err first = ERR_INIT;
    bool opened = open_handle(store, false, &first);
    if (!opened && sqlite3_extended_errcode(store->db) == SQLITE_READONLY_ROLLBACK) {
        roll_back(store);
        sqlite3_close(TAKE(store->db));
        first = ERR_INIT;
        opened = open_handle(store, false, &first);
    }
    if (opened)
        return true;
    int code = sqlite3_errcode(store->db) & 0xff;
    bool no_side_files = code == SQLITE_CANTOPEN || code == SQLITE_READONLY;
    if (no_side_files && access(store->path, R_OK) == 0)
        return open_immutable(store, err);
    if (err)
        *err = first;
    return false;
}

static bool check_path(const char *path, enum store_mode mode, struct err *err)
{
    struct stat st;
    if (strlen(path) >= STORE_PATH_MAX)
        return err_set(err, ERR_INPUT, "%.60s...: the path is too long", path);
    if (stat(path, &st) == 0)
        return S_ISREG(st.st_mode) || err_set(err, ERR_INPUT, "%s: not a file", path);
    if (errno != ENOENT && errno != ENOTDIR)
        return err_sys(err, "opening %s", path);
    if (mode != STORE_CREATE)
        return err_set(err, ERR_MISSING, "%s: no such file: no study has run there yet", path);
    AUTO(free) char *folder = file_folder(path);
    return file_make_folders(folder, err);
}

static bool open_within(const char *path, enum store_mode mode, int busy_ms,
                        struct store **ret_store, struct err *err)
{
    static_assert(STORE_VERSION >= 1, "version 0 is an empty file");
    if (!check_path(path, mode, err))
        return false;
    AUTO(store_close) struct store *store = calloc(1, sizeof *store);
    if (!store)
        abort();
    store->mode = mode;
    store->busy_ms = busy_ms;
    store->path = strdup(path);
    if (!store->path)
        abort();
    if (mode == STORE_READ ? !open_reader(store, err) : !open_handle(store, false, err))
        return false;
    *ret_store = TAKE(store);
    return true;
}

bool store_open(const char *path, enum store_mode mode, struct store **ret_store, struct err *err)
{
    return open_within(path, mode, BUSY_MS, ret_store, err);
}

bool store_open_soon(const char *path, struct store **ret_store, struct err *err)
{
    return open_within(path, STORE_READ, SOON_MS, ret_store, err);
}
