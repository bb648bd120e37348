/* Trials read back, each table in one pass.
 *
 * All details of all trials are read in the order of the table's key and dealt out to the trials by
 * walking both lists together; a query per trial and table would be 10,000 queries for 2,000
 * trials. One trial is the same walk with a range of one number. Logs and requests stay in the file
 * until asked for. */
#include "store/read.h"
#include "store/sql.h"

#include <assert.h>
#include <math.h>
#include <string.h>

/* An arena array that doubles. */
struct list {
    char *items;
    size_t count, capacity, size;
};

static void *list_add(struct list *list, struct arena *arena)
{
    if (list->count == list->capacity) {
        size_t capacity = list->capacity ? 2 * list->capacity : 32;
        char *items = arena_array(arena, capacity, list->size);
        if (list->count)
            __builtin_memcpy(items, list->items, list->count * list->size);
        list->items = items;
        list->capacity = capacity;
    }
    return list->items + list->count++ * list->size;
}

struct reader {
    struct store *store;
    struct arena *arena;
    struct store_texts texts;
    int64_t first, last; /* numbers of trials to read */
    struct list trials;
};

/* How a table's row becomes an element of one of a trial's lists. Column 0 is the trial. */
struct detail {
    const char *sql;
    size_t size;
    bool (*read)(struct reader *r, sqlite3_stmt *s, void *ret, struct err *err);
    void (*attach)(struct store_trial *trial, const void *items, size_t count);
};

static bool text_of(struct reader *r, sqlite3_stmt *s, int column, const char **ret,
                    struct err *err)
{
    return store_texts_get(&r->texts, s, column, ret, err);
}

static bool read_phase(struct reader *r, sqlite3_stmt *s, void *ret, struct err *err)
{
    struct store_phase *phase = ret;
    phase->start_s = store_sql_real(s, 2);
    phase->duration_s = store_sql_real(s, 3);
    phase->outcome = store_sql_text(s, 4, r->arena);
    return text_of(r, s, 1, &phase->name, err);
}

static void attach_phases(struct store_trial *trial, const void *items, size_t count)
{
    trial->phases = items;
    trial->phase_count = count;
}

static bool read_evidence(struct reader *r, sqlite3_stmt *s, void *ret, struct err *err)
{
    struct store_evidence *evidence = ret;
    evidence->text = store_sql_text(s, 3, r->arena);
    return text_of(r, s, 1, &evidence->service, err) && text_of(r, s, 2, &evidence->kind, err);
}

static void attach_evidence(struct store_trial *trial, const void *items, size_t count)
{
    trial->evidence = items;
    trial->evidence_count = count;
}

static bool read_reading(struct reader *r, sqlite3_stmt *s, void *ret, struct err *err)
{
    struct store_reading *reading = ret;
    reading->value = store_sql_real(s, 5);
    reading->words = store_sql_text(s, 7, r->arena);
    return text_of(r, s, 1, &reading->phase, err) && text_of(r, s, 2, &reading->service, err) &&
           text_of(r, s, 3, &reading->device, err) && text_of(r, s, 4, &reading->name, err) &&
           text_of(r, s, 6, &reading->source, err);
}

static void attach_readings(struct store_trial *trial, const void *items, size_t count)
{
    trial->readings = items;
    trial->reading_count = count;
}

static bool read_service(struct reader *r, sqlite3_stmt *s, void *ret, struct err *err)
{
    struct store_service *service = ret;
    *service = (struct store_service){
        .command = store_sql_text(s, 4, r->arena),
        .started_in_trial = store_sql_int(s, 7, 0),
        .ready_s = store_sql_real(s, 8),
        .first_request_s = store_sql_real(s, 9),
        .idle_memory_bytes = store_sql_real(s, 10),
        .peak_memory_bytes = store_sql_real(s, 11),
        .cpu_s = store_sql_real(s, 12),
        .exit_code = (int)store_sql_int(s, 13, -1),
        .signal = (int)store_sql_int(s, 14, 0),
        .placement_evidence = store_sql_text(s, 16, r->arena),
        .host_memory_bytes = store_sql_real(s, 17),
    };
    return text_of(r, s, 1, &service->name, err) && text_of(r, s, 2, &service->engine, err) &&
           text_of(r, s, 3, &service->version, err) &&
           text_of(r, s, 5, &service->environment, err) &&
           text_of(r, s, 6, &service->settings, err) &&
           text_of(r, s, 15, &service->placement, err) && text_of(r, s, 18, &service->device, err);
}

static void attach_services(struct store_trial *trial, const void *items, size_t count)
{
    trial->services = items;
    trial->service_count = count;
}

static bool read_metric(struct reader *r, sqlite3_stmt *s, void *ret, struct err *err)
{
    struct store_metric *metric = ret;
    metric->value = store_sql_real(s, 5);
    metric->low = store_sql_real(s, 6);
    metric->high = store_sql_real(s, 7);
    metric->count = store_sql_int(s, 8, 0);
    return text_of(r, s, 1, &metric->service, err) && text_of(r, s, 2, &metric->mode, err) &&
           text_of(r, s, 3, &metric->metric, err) && text_of(r, s, 4, &metric->stat, err) &&
           text_of(r, s, 9, &metric->method, err);
}

static void attach_metrics(struct store_trial *trial, const void *items, size_t count)
{
    trial->metrics = items;
    trial->metric_count = count;
}

static bool read_requirement(struct reader *r, sqlite3_stmt *s, void *ret, struct err *err)
{
    struct store_requirement *requirement = ret;
    requirement->allowed = store_sql_real(s, 3);
    requirement->requests = store_sql_int(s, 4, 0);
    requirement->over = store_sql_int(s, 5, 0);
    requirement->worth = store_sql_real(s, 6);
    return text_of(r, s, 1, &requirement->service, err) &&
           text_of(r, s, 2, &requirement->text, err) &&
           text_of(r, s, 7, &requirement->answer, err) && text_of(r, s, 8, &requirement->of, err);
}

static void attach_requirements(struct store_trial *trial, const void *items, size_t count)
{
    trial->requirements = items;
    trial->requirement_count = count;
}

static bool read_utterance(struct reader *r, sqlite3_stmt *s, void *ret, struct err *err)
{
    struct store_utterance *u = ret;
    int64_t *const counts[] = {&u->item,          &u->heard,     &u->words,
                               &u->substitutions, &u->deletions, &u->insertions};
    for (size_t k = 0; k < ARRAY_LEN(counts); k++)
        *counts[k] = store_sql_int(s, 2 + (int)k, 0);
    return text_of(r, s, 1, &u->service, err) && text_of(r, s, 8, &u->reference, err) &&
           text_of(r, s, 9, &u->hypothesis, err);
}

static void attach_utterances(struct store_trial *trial, const void *items, size_t count)
{
    trial->utterances = items;
    trial->utterance_count = count;
}

static bool read_capacity(struct reader *r, sqlite3_stmt *s, void *ret, struct err *err)
{
    struct store_capacity *capacity = ret;
    *capacity = (struct store_capacity){
        .beside = store_sql_int(s, 4, 0) != 0,
        .low = store_sql_real(s, 6),
        .high = store_sql_real(s, 7),
        .unsure = store_sql_int(s, 8, 0) != 0,
        .broke = store_sql_text(s, 9, r->arena),
        .memory_bytes = store_sql_real(s, 10),
        .seconds = store_sql_real(s, 11),
    };
    return text_of(r, s, 1, &capacity->service, err) && text_of(r, s, 2, &capacity->of, err) &&
           text_of(r, s, 3, &capacity->metric, err) && text_of(r, s, 5, &capacity->end, err);
}

static void attach_capacities(struct store_trial *trial, const void *items, size_t count)
{
    trial->capacities = items;
    trial->capacity_count = count;
}

static bool read_capacity_point(struct reader *r, sqlite3_stmt *s, void *ret, struct err *err)
{
    struct store_capacity_point *point = ret;
    *point = (struct store_capacity_point){
        .search = (int)store_sql_int(s, 1, 0),
        .level = store_sql_real(s, 2),
        .window_s = store_sql_real(s, 4),
        .early = store_sql_int(s, 5, 0) != 0,
        .requests = store_sql_int(s, 6, 0),
        .failed = store_sql_int(s, 7, 0),
        .p50 = store_sql_real(s, 8),
        .p50_low = store_sql_real(s, 9),
        .p50_high = store_sql_real(s, 10),
        .p95 = store_sql_real(s, 11),
        .p95_low = store_sql_real(s, 12),
        .p95_high = store_sql_real(s, 13),
        .answered_rps = store_sql_real(s, 14),
        .good_rps = store_sql_real(s, 15),
        .broke = store_sql_text(s, 16, r->arena),
    };
    return text_of(r, s, 3, &point->outcome, err);
}

static void attach_capacity_points(struct store_trial *trial, const void *items, size_t count)
{
    trial->capacity_points = items;
    trial->capacity_point_count = count;
}

#define OF_TRIALS " WHERE trial BETWEEN ?1 AND ?2 ORDER BY trial, position"

static const struct detail details[] = {
    {"SELECT trial, name, start_s, duration_s, outcome FROM phase" OF_TRIALS,
     sizeof(struct store_phase), read_phase, attach_phases},
    {"SELECT trial, service, kind, body FROM evidence" OF_TRIALS, sizeof(struct store_evidence),
     read_evidence, attach_evidence},
    {"SELECT trial, phase, service, device, name, value, source, words FROM reading" OF_TRIALS,
     sizeof(struct store_reading), read_reading, attach_readings},
    {"SELECT trial, name, engine, version, command, environment, settings, started_in_trial,"
     " ready_s, first_request_s, idle_memory_bytes, peak_memory_bytes, cpu_s, exit_code, signal,"
     " placement, placement_evidence, host_memory_bytes, device FROM service" OF_TRIALS,
     sizeof(struct store_service), read_service, attach_services},
    {"SELECT trial, service, mode, metric, stat, value, low, high, count, method FROM "
     "metric" OF_TRIALS,
     sizeof(struct store_metric), read_metric, attach_metrics},
    {"SELECT trial, service, body, allowed, requests, over, worth, answer, counted FROM "
     "requirement" OF_TRIALS,
     sizeof(struct store_requirement), read_requirement, attach_requirements},
    {"SELECT trial, service, item, heard, words, substitutions, deletions, insertions, reference,"
     " hypothesis FROM utterance" OF_TRIALS,
     sizeof(struct store_utterance), read_utterance, attach_utterances},
    {"SELECT trial, service, kind, metric, beside, outcome, low, high, unsure, broke,"
     " memory_bytes, seconds FROM capacity" OF_TRIALS,
     sizeof(struct store_capacity), read_capacity, attach_capacities},
    {"SELECT trial, search, level, outcome, window_s, early, requests, failed, p50, p50_low,"
     " p50_high, p95, p95_low, p95_high, answered_rps, good_rps, broke FROM "
     "capacity_point" OF_TRIALS,
     sizeof(struct store_capacity_point), read_capacity_point, attach_capacity_points},
};

static const char select_trials[] =
    "SELECT number, candidate, purpose, round, repeat, retry_of, verdict, service, summary,"
    " ruled_out, fitness, started_wall_us, duration_s, window_s, contention_ratio, lateness_p99_s,"
    " worker_cpu_s, own_cpu_s, cold, bound, workers, stall_p99_s, stall_max_s FROM trial WHERE "
    "number BETWEEN ?1 AND ?2 ORDER BY "
    "number";

static const char select_events[] = "SELECT wall_us, kind, detail FROM event ORDER BY id";
static const char select_log[] =
    "SELECT body FROM log WHERE trial = ? AND service = (SELECT id FROM text WHERE body = ?)";

static bool prepare_range(struct reader *r, const char *sql, sqlite3_stmt **ret, struct err *err)
{
    if (!store_sql_prepare(r->store, sql, ret, err))
        return false;
    sqlite3_bind_int64(*ret, 1, r->first);
    sqlite3_bind_int64(*ret, 2, r->last);
    return true;
}

static bool read_trial(struct reader *r, sqlite3_stmt *s, struct store_trial *ret, struct err *err)
{
    *ret = (struct store_trial){
        .number = sqlite3_column_int64(s, 0),
        .round = sqlite3_column_int(s, 3),
        .repeat = sqlite3_column_int(s, 4),
        .retry_of = store_sql_int(s, 5, 0),
        .summary = store_sql_text(s, 8, r->arena),
        .fitness = store_sql_real(s, 10),
        .started_wall_us = sqlite3_column_int64(s, 11),
        .duration_s = store_sql_real(s, 12),
        .window_s = store_sql_real(s, 13),
        .contention_ratio = store_sql_real(s, 14),
        .lateness_p99_s = store_sql_real(s, 15),
        .worker_cpu_s = store_sql_real(s, 16),
        .own_cpu_s = store_sql_real(s, 17),
        .cold = sqlite3_column_int(s, 18) != 0,
        .workers = (int)store_sql_int(s, 20, 0),
        .stall_p99_s = store_sql_real(s, 21),
        .stall_max_s = store_sql_real(s, 22),
    };
    return text_of(r, s, 1, &ret->candidate, err) && text_of(r, s, 2, &ret->purpose, err) &&
           text_of(r, s, 6, &ret->verdict, err) && text_of(r, s, 7, &ret->service, err) &&
           text_of(r, s, 9, &ret->ruled_out, err) && text_of(r, s, 19, &ret->bound, err);
}

static bool read_trial_rows(struct reader *r, struct err *err)
{
    AUTO(sqlite3_finalize) sqlite3_stmt *s = NULL;
    bool row = false;
    if (!prepare_range(r, select_trials, &s, err) || !store_sql_step(r->store, s, &row, err))
        return false;
    while (row) {
        if (!read_trial(r, s, list_add(&r->trials, r->arena), err) ||
            !store_sql_step(r->store, s, &row, err))
            return false;
    }
    return true;
}

/* The trials and the rows are in the same order: `at` only moves on. */
static bool deal_out(struct reader *r, const struct detail *detail, struct err *err)
{
    AUTO(sqlite3_finalize) sqlite3_stmt *s = NULL;
    bool row = false;
    if (!prepare_range(r, detail->sql, &s, err) || !store_sql_step(r->store, s, &row, err))
        return false;
    struct store_trial *trials = (struct store_trial *)r->trials.items;
    for (size_t at = 0; at < r->trials.count; at++) {
        struct list items = {.size = detail->size};
        while (row && sqlite3_column_int64(s, 0) == trials[at].number) {
            if (!detail->read(r, s, list_add(&items, r->arena), err) ||
                !store_sql_step(r->store, s, &row, err))
                return false;
        }
        detail->attach(&trials[at], items.items, items.count);
    }
    return !row || err_set(err, ERR_INPUT, "%s: damaged: rows of a trial that is not there",
                           r->store->path);
}

static bool read_range(struct reader *r, bool with_detail, struct err *err)
{
    r->trials.size = sizeof(struct store_trial);
    bool done = store_texts_init(&r->texts, r->store, r->arena, err) && read_trial_rows(r, err);
    for (size_t i = 0; done && with_detail && i < ARRAY_LEN(details); i++)
        done = deal_out(r, &details[i], err);
    store_texts_done(&r->texts);
    return done || err_wrap(err, "reading trials");
}

bool store_read_trial(struct store *store, struct arena *arena, int64_t number,
                      struct store_trial **ret_trial, struct err *err)
{
    struct reader r = {.store = store, .arena = arena, .first = number, .last = number};
    if (!read_range(&r, true, err))
        return false;
    *ret_trial = r.trials.count ? (struct store_trial *)r.trials.items : NULL;
    return true;
}

bool store_read_trials(struct store *store, struct arena *arena, bool with_detail,
                       struct store_trial **ret_trials, size_t *ret_count, struct err *err)
{
    struct reader r = {.store = store, .arena = arena, .first = INT64_MIN, .last = INT64_MAX};
    if (!read_range(&r, with_detail, err))
        return false;
    *ret_trials = (struct store_trial *)r.trials.items;
    *ret_count = r.trials.count;
    return true;
}

bool store_read_events(struct store *store, struct arena *arena, struct store_event **ret_events,
                       size_t *ret_count, struct err *err)
{
    AUTO(sqlite3_finalize) sqlite3_stmt *s = NULL;
    struct list events = {.size = sizeof(struct store_event)};
    bool row = false;
    if (!store_sql_prepare(store, select_events, &s, err) || !store_sql_step(store, s, &row, err))
        return false;
    while (row) {
        struct store_event *event = list_add(&events, arena);
        event->wall_us = sqlite3_column_int64(s, 0);
        event->kind = store_sql_text(s, 1, arena);
        event->detail = store_sql_text(s, 2, arena);
        if (!store_sql_step(store, s, &row, err))
            return false;
    }
    *ret_events = (struct store_event *)events.items;
    *ret_count = events.count;
    return true;
}

bool store_read_log(struct store *store, struct arena *arena, int64_t trial, const char *service,
                    const char **ret_log, struct err *err)
{
    AUTO(sqlite3_finalize) sqlite3_stmt *s = NULL;
    bool row = false;
    if (!store_sql_prepare(store, select_log, &s, err))
        return false;
    sqlite3_bind_int64(s, 1, trial);
    sqlite3_bind_text(s, 2, service, -1, SQLITE_STATIC);
    if (!store_sql_step(store, s, &row, err))
        return false;
    *ret_log = row ? store_sql_text(s, 0, arena) : NULL;
    return true;
}

bool store_trial_left_early(const struct store_trial *trial)
{
    for (size_t i = 0; i < trial->evidence_count; i++)
        if (trial->evidence[i].kind && strcmp(trial->evidence[i].kind, "early") == 0)
            return true;
    return false;
}
