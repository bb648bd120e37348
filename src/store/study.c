/* What belongs to the study as a whole: its one row, its history for the search, its events and its
 * decision. Append-only too: a decision that is taken again (after more trials) is a further row,
 * and the last one counts. Of the study's own row the
 * list of devices alone may grow at its end, when a run has more lanes than all before it. */
#include "store/sql.h"

#include "spec/metric.h"

#include <string.h>

static const char insert_study[] =
    "INSERT INTO study (id, name, path, digest, body, device_id, device_name, device_versions,"
    " spica_version, seed, created_wall_us, cores, memory_bytes)"
    " VALUES (1, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)";
static const char select_study[] =
    "SELECT name, path, digest, body, device_id, device_name, device_versions, spica_version, seed,"
    " created_wall_us, cores, memory_bytes FROM study";
static const char widen_study[] = "UPDATE study SET device_id = ?, device_name = ?"
                                  " WHERE substr(?1, 1, length(device_id)) = device_id";
static const char select_history[] =
    "SELECT number, candidate, purpose, verdict, summary, ruled_out, round, repeat, retry_of,"
    " fitness, duration_s, window_s, cold, service, bound, workers,"
    " (SELECT group_concat(s.body, ' ') FROM metric JOIN text s ON s.id = metric.service"
    " JOIN text h ON h.id = method JOIN text o ON o.id = mode WHERE metric.trial = trial.number"
    " AND h.body = '" METRIC_BY_EVENTS "' AND o.body = 'shared') FROM trial ORDER BY number";
static const char insert_event[] = "INSERT INTO event (wall_us, kind, detail) VALUES (?, ?, ?)";
static const char insert_decision[] = "INSERT INTO decision (body) VALUES (?)";
static const char select_decision[] = "SELECT body FROM decision ORDER BY id DESC LIMIT 1";

/* Steps a statement that writes one row, in a transaction of its own. */
static bool write_row(struct store *store, sqlite3_stmt *statement, const char *doing,
                      struct err *err)
{
    return sqlite3_step(statement) == SQLITE_DONE || store_sql_fail(store, doing, err);
}

bool store_study_put(struct store *store, const struct store_study *study, struct err *err)
{
    AUTO(sqlite3_finalize) sqlite3_stmt *s = NULL;
    if (!store_sql_prepare(store, insert_study, &s, err))
        return false;
    const char *const texts[] = {
        study->name,      study->path,        study->digest,          study->text,
        study->device_id, study->device_name, study->device_versions, study->spica_version};
    int at = 1;
    for (size_t i = 0; i < ARRAY_LEN(texts); i++)
        sqlite3_bind_text(s, at++, texts[i], -1, SQLITE_STATIC);
    /* SQLite's integers are signed: a seed of 64 bits comes back through the same cast. */
    sqlite3_bind_int64(s, at++, (int64_t)study->seed);
    sqlite3_bind_int64(s, at++, study->created_wall_us);
    sqlite3_bind_int64(s, at++, study->cores);
    sqlite3_bind_double(s, at++, study->memory_bytes);
    return write_row(store, s, "storing the study", err);
}

bool store_study_widen(struct store *store, const char *device_id, const char *device_name,
                       struct err *err)
{
    AUTO(sqlite3_finalize) sqlite3_stmt *s = NULL;
    if (!store_sql_prepare(store, widen_study, &s, err))
        return false;
    sqlite3_bind_text(s, 1, device_id, -1, SQLITE_STATIC);
    sqlite3_bind_text(s, 2, device_name, -1, SQLITE_STATIC);
    return write_row(store, s, "storing the study's devices", err);
}

bool store_study_get(struct store *store, bool *ret_found, struct store_study *ret_study,
                     struct err *err)
{
    AUTO(sqlite3_finalize) sqlite3_stmt *s = NULL;
    bool row = false;
    if (!store_sql_prepare(store, select_study, &s, err) || !store_sql_step(store, s, &row, err))
        return false;
    *ret_found = row;
    if (!row)
        return true;
    if (!store->study)
        store->study = arena_new();
    struct arena *arena = store->study;
    *ret_study = (struct store_study){
        .name = store_sql_text(s, 0, arena),
        .path = store_sql_text(s, 1, arena),
        .digest = store_sql_text(s, 2, arena),
        .text = store_sql_text(s, 3, arena),
        .device_id = store_sql_text(s, 4, arena),
        .device_name = store_sql_text(s, 5, arena),
        .device_versions = store_sql_text(s, 6, arena),
        .spica_version = store_sql_text(s, 7, arena),
        .seed = (uint64_t)sqlite3_column_int64(s, 8),
        .created_wall_us = sqlite3_column_int64(s, 9),
        .cores = sqlite3_column_int(s, 10),
        .memory_bytes = store_sql_real(s, 11),
    };
    return true;
}

static bool read_history_row(struct store_texts *texts, sqlite3_stmt *s,
                             struct store_history_row *ret, struct err *err)
{
    *ret = (struct store_history_row){
        .number = sqlite3_column_int64(s, 0),
        .summary = store_sql_text(s, 4, texts->arena),
        .round = sqlite3_column_int(s, 6),
        .repeat = sqlite3_column_int(s, 7),
        .retry_of = store_sql_int(s, 8, 0),
        .fitness = store_sql_real(s, 9),
        .duration_s = store_sql_real(s, 10),
        .window_s = store_sql_real(s, 11),
        .cold = sqlite3_column_int(s, 12) != 0,
        .workers = (int)store_sql_int(s, 15, 1),
        .by_events = store_sql_text(s, 16, texts->arena),
    };
    return store_texts_get(texts, s, 1, &ret->candidate, err) &&
           store_texts_get(texts, s, 2, &ret->purpose, err) &&
           store_texts_get(texts, s, 3, &ret->verdict, err) &&
           store_texts_get(texts, s, 5, &ret->ruled_out, err) &&
           store_texts_get(texts, s, 13, &ret->service, err) &&
           store_texts_get(texts, s, 14, &ret->bound, err);
}

bool store_history(struct store *store, struct store_history_row **ret_rows, size_t *ret_count,
                   struct err *err)
{
    AUTO(sqlite3_finalize) sqlite3_stmt *s = NULL;
    AUTO(store_texts_done) struct store_texts texts = {0};
    store->history = arena_free(store->history);
    store->history = arena_new();
    if (!store_sql_prepare(store, select_history, &s, err) ||
        !store_texts_init(&texts, store, store->history, err))
        return false;
    AUTO(free) struct store_history_row *rows = NULL;
    size_t count = 0, capacity = 0;
    for (;;) {
        bool row = false;
        if (!store_sql_step(store, s, &row, err))
            return false;
        if (count == capacity) {
            capacity = capacity ? 2 * capacity : 64;
            rows = reallocarray(rows, capacity, sizeof *rows);
            if (!rows)
                abort();
        }
        if (!row)
            break;
        if (!read_history_row(&texts, s, &rows[count++], err))
            return false;
    }
    *ret_rows = TAKE(rows);
    *ret_count = count;
    return true;
}

bool store_event_add(struct store *store, int64_t wall_us, const char *kind, const char *detail,
                     struct err *err)
{
    AUTO(sqlite3_finalize) sqlite3_stmt *s = NULL;
    if (!store_sql_prepare(store, insert_event, &s, err))
        return false;
    sqlite3_bind_int64(s, 1, wall_us);
    sqlite3_bind_text(s, 2, kind, -1, SQLITE_STATIC);
    sqlite3_bind_text(s, 3, detail, -1, SQLITE_STATIC);
    return write_row(store, s, "storing an event", err);
}

bool store_decision_put(struct store *store, const char *json, struct err *err)
{
    AUTO(sqlite3_finalize) sqlite3_stmt *s = NULL;
    if (!store_sql_prepare(store, insert_decision, &s, err))
        return false;
    sqlite3_bind_text(s, 1, json, -1, SQLITE_STATIC);
    return write_row(store, s, "storing the decision", err);
}

static const char withdrawn[] = "null"; /* JSON, as every body */

bool store_decision_withdraw(struct store *store, struct err *err)
{
    return store_decision_put(store, withdrawn, err);
}

bool store_decision_get(struct store *store, char **ret_json, struct err *err)
{
    AUTO(sqlite3_finalize) sqlite3_stmt *s = NULL;
    bool row = false;
    if (!store_sql_prepare(store, select_decision, &s, err) || !store_sql_step(store, s, &row, err))
        return false;
    const char *body = row ? (const char *)sqlite3_column_text(s, 0) : withdrawn;
    char *json = strcmp(body, withdrawn) != 0 ? strdup(body) : NULL;
    if (!json && strcmp(body, withdrawn) != 0)
        abort();
    *ret_json = json;
    return true;
}
