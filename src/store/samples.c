/* Raw values of requests: what quantiles, intervals and comparisons are computed from.
 *
 * One stream is one range of the clustered table. What a sample is stands in one table of
 * expressions, so that the report and the check script can quote it. Only successful requests of
 * the window count; a failed one has no latency, it is counted by kind instead. */
#include "store/read.h"
#include "store/sql.h"

#include "load/record.h"

#include <string.h>

#define OF_STREAM                                                                                  \
    " FROM request WHERE stream = (SELECT id FROM stream WHERE trial = ?1"                         \
    " AND service = (SELECT id FROM text WHERE body = ?2)"                                         \
    " AND mode = (SELECT id FROM text WHERE body = ?3)) AND part = ?4"
#define SAMPLE(expression)                                                                         \
    "SELECT " expression ", coalesce(session, sequence)" OF_STREAM                                 \
    " AND error IS NULL AND " expression " IS NOT NULL ORDER BY position"

static const char *const sample_sql[] = {
    [SAMPLE_LATENCY] = SAMPLE("(done_ns - intended_ns) / 1e9"),
    [SAMPLE_TTFT] = SAMPLE("(first_token_ns - intended_ns) / 1e9"),
    [SAMPLE_LATENESS] = SAMPLE("iif(held_back, NULL, (sent_ns - intended_ns) / 1e9)"),
    [SAMPLE_RTF] = SAMPLE("(done_ns - intended_ns) / 1e9 / audio_s"),
    [SAMPLE_CONTENT] = SAMPLE("(first_content_ns - intended_ns) / 1e9"),
    [SAMPLE_TURN] = SAMPLE("(first_token_ns - turn_start_ns) / 1e9"),
    [SAMPLE_SERVICE_TIME] = SAMPLE("(done_ns - sent_ns) / 1e9"),
};

static const char select_words[] =
    "SELECT item, word_errors, words, answer" OF_STREAM " AND words IS NOT NULL ORDER BY position";

/* By way of the streams of the trial and the index of failed requests. */
static const char select_errors[] =
    "SELECT service, mode, error, http_status, count(*)"
    " FROM stream JOIN request ON request.stream = stream.id"
    " WHERE trial = ?1 AND error IS NOT NULL AND part = ?2"
    " GROUP BY service, mode, error, http_status ORDER BY stream.id, count(*) DESC, error";

static bool prepare_stream(struct store *store, const char *sql, int64_t trial, const char *service,
                           const char *mode, sqlite3_stmt **ret, struct err *err)
{
    if (!store_sql_prepare(store, sql, ret, err))
        return false;
    sqlite3_bind_int64(*ret, 1, trial);
    sqlite3_bind_text(*ret, 2, service, -1, SQLITE_STATIC);
    sqlite3_bind_text(*ret, 3, mode, -1, SQLITE_STATIC);
    sqlite3_bind_int(*ret, 4, LOAD_WINDOW);
    return true;
}

/* Room for one more element of an arena array. */
static void *grow(struct arena *arena, void *items, size_t count, size_t *capacity, size_t size)
{
    if (count < *capacity)
        return items;
    size_t wanted = *capacity ? 2 * *capacity : 64;
    void *grown = arena_array(arena, wanted, size);
    if (count)
        memcpy(grown, items, count * size);
    *capacity = wanted;
    return grown;
}

bool store_read_values(struct store *store, struct arena *arena, int64_t trial, const char *service,
                       const char *mode, enum store_sample sample, struct store_values *ret_values,
                       struct err *err)
{
    AUTO(sqlite3_finalize) sqlite3_stmt *s = NULL;
    struct store_values values = {0};
    size_t capacity = 0, session_capacity = 0;
    bool row = false;
    if (!prepare_stream(store, sample_sql[sample], trial, service, mode, &s, err) ||
        !store_sql_step(store, s, &row, err))
        return false;
    while (row) {
        values.values = grow(arena, values.values, values.count, &capacity, sizeof(double));
        values.sessions =
            grow(arena, values.sessions, values.count, &session_capacity, sizeof(uint32_t));
        values.sessions[values.count] = (uint32_t)sqlite3_column_int64(s, 1);
        values.values[values.count++] = sqlite3_column_double(s, 0);
        if (!store_sql_step(store, s, &row, err))
            return false;
    }
    *ret_values = values;
    return true;
}

bool store_read_words(struct store *store, struct arena *arena, int64_t trial, const char *service,
                      struct store_words **ret_words, size_t *ret_count, struct err *err)
{
    AUTO(sqlite3_finalize) sqlite3_stmt *s = NULL;
    AUTO(store_texts_done) struct store_texts texts = {0};
    struct store_words *words = NULL;
    size_t count = 0, capacity = 0;
    bool row = false;
    if (!store_texts_init(&texts, store, arena, err) ||
        !prepare_stream(store, select_words, trial, service, "shared", &s, err) ||
        !store_sql_step(store, s, &row, err))
        return false;
    while (row) {
        words = grow(arena, words, count, &capacity, sizeof *words);
        struct store_words *one = &words[count++];
        *one = (struct store_words){
            .item = store_sql_int(s, 0, -1),
            .word_errors = store_sql_int(s, 1, 0),
            .words = sqlite3_column_int64(s, 2),
        };
        if (!store_texts_get(&texts, s, 3, &one->text, err) || !store_sql_step(store, s, &row, err))
            return false;
    }
    *ret_words = words;
    *ret_count = count;
    return true;
}

static bool read_error(struct store_texts *texts, sqlite3_stmt *s, struct store_error_count *ret,
                       struct err *err)
{
    ret->http_status = (int)store_sql_int(s, 3, 0);
    ret->count = sqlite3_column_int64(s, 4);
    return store_texts_get(texts, s, 0, &ret->service, err) &&
           store_texts_get(texts, s, 1, &ret->mode, err) &&
           store_texts_get(texts, s, 2, &ret->error, err);
}

bool store_read_errors(struct store *store, struct arena *arena, int64_t trial,
                       struct store_error_count **ret_counts, size_t *ret_count, struct err *err)
{
    AUTO(sqlite3_finalize) sqlite3_stmt *s = NULL;
    AUTO(store_texts_done) struct store_texts texts = {0};
    struct store_error_count *counts = NULL;
    size_t count = 0, capacity = 0;
    bool row = false;
    if (!store_texts_init(&texts, store, arena, err) ||
        !store_sql_prepare(store, select_errors, &s, err))
        return false;
    sqlite3_bind_int64(s, 1, trial);
    sqlite3_bind_int(s, 2, LOAD_WINDOW);
    if (!store_sql_step(store, s, &row, err))
        return false;
    while (row) {
        counts = grow(arena, counts, count, &capacity, sizeof *counts);
        if (!read_error(&texts, s, &counts[count++], err) || !store_sql_step(store, s, &row, err))
            return false;
    }
    *ret_counts = counts;
    *ret_count = count;
    return true;
}

bool store_count_requests(struct store *store, int64_t *ret_count, struct err *err)
{
    AUTO(sqlite3_finalize) sqlite3_stmt *s = NULL;
    bool row = false;
    if (!store_sql_prepare(store, "SELECT count(*) FROM request", &s, err) ||
        !store_sql_step(store, s, &row, err))
        return false;
    *ret_count = sqlite3_column_int64(s, 0);
    return true;
}
