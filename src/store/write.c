/* A finished trial becomes rows, all of them or none.
 *
 * One transaction, and statements prepared once: some 300,000 request rows a second. Repeated texts
 * are given ids by one look-up each, and not even that for a pointer seen a moment ago in the same
 * trial. Rejected: keeping ids from trial to trial, which would outlive a transaction that was
 * rolled back. Requests are written in order of service, mode, part and sequence, whatever order
 * their answers came in. */
#include "store/sql.h"

#include <assert.h>
#include <math.h>
#include <string.h>

enum write_sql {
    FIND_TEXT,
    ADD_TEXT,
    ADD_TRIAL,
    ADD_PHASE,
    ADD_EVIDENCE,
    ADD_READING,
    ADD_SERVICE,
    ADD_LOG,
    ADD_METRIC,
    ADD_REQUIREMENT,
    ADD_UTTERANCE,
    ADD_CAPACITY,
    ADD_CAPACITY_POINT,
    ADD_STREAM,
    ADD_REQUEST,
    WRITE_SQL_COUNT_
};

static const char *const write_sql[WRITE_SQL_COUNT_] = {
    [FIND_TEXT] = "SELECT id FROM text WHERE body = ?",
    [ADD_TEXT] = "INSERT INTO text (body) VALUES (?)",
    [ADD_TRIAL] = "INSERT INTO trial (number, candidate, purpose, round, repeat, retry_of, verdict,"
                  " service, summary, ruled_out, bound, fitness, started_wall_us, duration_s,"
                  " window_s,"
                  " contention_ratio, lateness_p99_s, worker_cpu_s, own_cpu_s, cold,"
                  " workers, stall_p99_s, stall_max_s)"
                  " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
    [ADD_PHASE] = "INSERT INTO phase (trial, position, name, start_s, duration_s, outcome)"
                  " VALUES (?, ?, ?, ?, ?, ?)",
    [ADD_EVIDENCE] = "INSERT INTO evidence (trial, position, service, kind, body)"
                     " VALUES (?, ?, ?, ?, ?)",
    [ADD_READING] = "INSERT INTO reading (trial, position, phase, service, device, name, value,"
                    " source, words) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
    [ADD_SERVICE] = "INSERT INTO service (trial, position, name, engine, version, command,"
                    " environment, settings, started_in_trial, ready_s, first_request_s,"
                    " idle_memory_bytes, peak_memory_bytes, cpu_s, exit_code, signal, placement,"
                    " placement_evidence, host_memory_bytes, device)"
                    " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
    [ADD_LOG] = "INSERT INTO log (trial, service, body) VALUES (?, ?, ?)",
    [ADD_METRIC] = "INSERT INTO metric (trial, position, service, mode, metric, stat, value, low,"
                   " high, count, method) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
    [ADD_REQUIREMENT] = "INSERT INTO requirement (trial, position, service, body, allowed,"
                        " requests, over, worth, answer, counted)"
                        " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
    [ADD_UTTERANCE] = "INSERT INTO utterance (trial, position, service, item, heard, words,"
                      " substitutions, deletions, insertions, reference, hypothesis)"
                      " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
    [ADD_CAPACITY] = "INSERT INTO capacity (trial, position, service, kind, metric, beside,"
                     " outcome, low, high, unsure, broke, memory_bytes, seconds)"
                     " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
    [ADD_CAPACITY_POINT] = "INSERT INTO capacity_point (trial, position, search, level, outcome,"
                           " window_s, early, requests, failed, p50, p50_low, p50_high, p95,"
                           " p95_low, p95_high, answered_rps, good_rps, broke)"
                           " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
    [ADD_STREAM] = "INSERT INTO stream (trial, service, mode) VALUES (?, ?, ?)",
    [ADD_REQUEST] = "INSERT INTO request (stream, position, part, sequence, item, error,"
                    " http_status, intended_ns, sent_ns, first_byte_ns, first_token_ns,"
                    " last_token_ns, done_ns, tokens, tokens_exact, audio_s, answer, word_errors,"
                    " words, held_back, turn_start_ns, session, turn, first_content_ns)"
                    " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?,"
                    " ?)",
};
static_assert((int)WRITE_SQL_COUNT_ <= STORE_WRITE_STATEMENTS, "room for all statements");

/* One trial's writing. Parameters are bound in the order of the statement's columns: `at` counts.
 */
struct writer {
    struct store *store;
    struct err *err;
    bool failed;
    sqlite3_stmt *row;
    int at;
    struct {
        const char *text;
        int64_t id;
    } seen[256]; /* by address; valid for this trial */
};

static sqlite3_stmt *statement(struct writer *w, enum write_sql which)
{
    sqlite3_stmt **slot = &w->store->statements[which];
    if (!*slot && sqlite3_prepare_v3(w->store->db, write_sql[which], -1, SQLITE_PREPARE_PERSISTENT,
                                     slot, NULL) != SQLITE_OK)
        w->failed = !store_sql_fail(w->store, "preparing to write", w->err);
    return *slot;
}

static void begin_row(struct writer *w, enum write_sql which)
{
    w->row = w->failed ? NULL : statement(w, which);
    w->at = 1;
}

static void end_row(struct writer *w)
{
    if (w->failed)
        return;
    assert(w->at == sqlite3_bind_parameter_count(w->row) + 1);
    int code = sqlite3_step(w->row);
    if (code != SQLITE_DONE)
        w->failed = !store_sql_fail(w->store, "writing", w->err);
    sqlite3_reset(w->row);
}

static void add_int(struct writer *w, int64_t value)
{
    sqlite3_bind_int64(w->row, w->at++, value);
}

/* NULL where the value means unknown. */
static void add_int_unless(struct writer *w, bool unknown, int64_t value)
{
    if (unknown)
        sqlite3_bind_null(w->row, w->at++);
    else
        sqlite3_bind_int64(w->row, w->at++, value);
}

static void add_time(struct writer *w, int64_t ns)
{
    add_int_unless(w, ns == STORE_NEVER, ns);
}

static void add_real(struct writer *w, double value)
{
    if (isnan(value))
        sqlite3_bind_null(w->row, w->at++);
    else
        sqlite3_bind_double(w->row, w->at++, value);
}

static void add_text(struct writer *w, const char *text)
{
    sqlite3_bind_text(w->row, w->at++, text, -1, SQLITE_STATIC);
}

static int64_t find_or_add(struct writer *w, const char *text)
{
    sqlite3_stmt *find = statement(w, FIND_TEXT), *add = statement(w, ADD_TEXT);
    if (w->failed)
        return 0;
    sqlite3_bind_text(find, 1, text, -1, SQLITE_STATIC);
    int code = sqlite3_step(find);
    int64_t id = code == SQLITE_ROW ? sqlite3_column_int64(find, 0) : 0;
    sqlite3_reset(find);
    if (id != 0)
        return id;
    if (code == SQLITE_DONE) {
        sqlite3_bind_text(add, 1, text, -1, SQLITE_STATIC);
        code = sqlite3_step(add);
    }
    if (code == SQLITE_DONE)
        id = sqlite3_last_insert_rowid(w->store->db);
    else
        w->failed = !store_sql_fail(w->store, "writing", w->err);
    sqlite3_reset(add);
    return id;
}

/* The id of a text; 0 for NULL, and after a failure. */
static int64_t text_id(struct writer *w, const char *text)
{
    if (!text || w->failed)
        return 0;
    size_t at = ((uintptr_t)text >> 3 ^ (uintptr_t)text >> 11) % ARRAY_LEN(w->seen);
    if (w->seen[at].text != text) {
        int64_t id = find_or_add(w, text);
        w->seen[at].text = text;
        w->seen[at].id = id;
    }
    return w->seen[at].id;
}

/* Looks the id up before it binds: the look-up is another statement, so that w->row must stay. */
static void add_shared(struct writer *w, const char *text)
{
    int64_t id = text_id(w, text);
    add_int_unless(w, id == 0, id);
}

static void write_trial(struct writer *w, const struct store_trial *t)
{
    begin_row(w, ADD_TRIAL);
    add_int(w, t->number);
    add_shared(w, t->candidate);
    add_shared(w, t->purpose);
    add_int(w, t->round);
    add_int(w, t->repeat);
    add_int_unless(w, t->retry_of == 0, t->retry_of);
    add_shared(w, t->verdict);
    add_shared(w, t->service);
    add_text(w, t->summary);
    add_shared(w, t->ruled_out);
    add_shared(w, t->bound);
    add_real(w, t->fitness);
    add_int(w, t->started_wall_us);
    add_real(w, t->duration_s);
    add_real(w, t->window_s);
    add_real(w, t->contention_ratio);
    add_real(w, t->lateness_p99_s);
    add_real(w, t->worker_cpu_s);
    add_real(w, t->own_cpu_s);
    add_int(w, t->cold);
    add_int_unless(w, t->workers == 0, t->workers);
    add_real(w, t->stall_p99_s);
    add_real(w, t->stall_max_s);
    end_row(w);
}

static void write_phases(struct writer *w, const struct store_trial *t)
{
    for (size_t i = 0; i < t->phase_count && !w->failed; i++) {
        const struct store_phase *phase = &t->phases[i];
        begin_row(w, ADD_PHASE);
        add_int(w, t->number);
        add_int(w, (int64_t)i);
        add_shared(w, phase->name);
        add_real(w, phase->start_s);
        add_real(w, phase->duration_s);
        add_text(w, phase->outcome);
        end_row(w);
    }
}

static void write_evidence(struct writer *w, const struct store_trial *t)
{
    for (size_t i = 0; i < t->evidence_count && !w->failed; i++) {
        begin_row(w, ADD_EVIDENCE);
        add_int(w, t->number);
        add_int(w, (int64_t)i);
        add_shared(w, t->evidence[i].service);
        add_shared(w, t->evidence[i].kind);
        add_text(w, t->evidence[i].text);
        end_row(w);
    }
}

static void write_readings(struct writer *w, const struct store_trial *t)
{
    for (size_t i = 0; i < t->reading_count && !w->failed; i++) {
        const struct store_reading *reading = &t->readings[i];
        begin_row(w, ADD_READING);
        add_int(w, t->number);
        add_int(w, (int64_t)i);
        add_shared(w, reading->phase);
        add_shared(w, reading->service);
        add_shared(w, reading->device);
        add_shared(w, reading->name);
        add_real(w, reading->value);
        add_shared(w, reading->source);
        add_text(w, reading->words);
        end_row(w);
    }
}

static void write_log(struct writer *w, int64_t trial, const struct store_service *service)
{
    begin_row(w, ADD_LOG);
    add_int(w, trial);
    add_shared(w, service->name);
    add_text(w, service->log);
    end_row(w);
}

static void write_services(struct writer *w, const struct store_trial *t)
{
    for (size_t i = 0; i < t->service_count && !w->failed; i++) {
        const struct store_service *s = &t->services[i];
        begin_row(w, ADD_SERVICE);
        add_int(w, t->number);
        add_int(w, (int64_t)i);
        add_shared(w, s->name);
        add_shared(w, s->engine);
        add_shared(w, s->version);
        add_text(w, s->command);
        add_shared(w, s->environment);
        add_shared(w, s->settings);
        add_int_unless(w, s->started_in_trial == 0, s->started_in_trial);
        add_real(w, s->ready_s);
        add_real(w, s->first_request_s);
        add_real(w, s->idle_memory_bytes);
        add_real(w, s->peak_memory_bytes);
        add_real(w, s->cpu_s);
        add_int_unless(w, s->exit_code < 0, s->exit_code);
        add_int_unless(w, s->signal == 0, s->signal);
        add_shared(w, s->placement);
        add_text(w, s->placement_evidence);
        add_real(w, s->host_memory_bytes);
        add_shared(w, s->device);
        end_row(w);
        if (s->log)
            write_log(w, t->number, s);
    }
}

static void write_metrics(struct writer *w, const struct store_trial *t)
{
    for (size_t i = 0; i < t->metric_count && !w->failed; i++) {
        const struct store_metric *m = &t->metrics[i];
        begin_row(w, ADD_METRIC);
        add_int(w, t->number);
        add_int(w, (int64_t)i);
        add_shared(w, m->service);
        add_shared(w, m->mode);
        add_shared(w, m->metric);
        add_shared(w, m->stat);
        add_real(w, m->value);
        add_real(w, m->low);
        add_real(w, m->high);
        add_int(w, m->count);
        add_shared(w, m->method);
        end_row(w);
    }
}

static void write_requirements(struct writer *w, const struct store_trial *t)
{
    for (size_t i = 0; i < t->requirement_count && !w->failed; i++) {
        const struct store_requirement *r = &t->requirements[i];
        begin_row(w, ADD_REQUIREMENT);
        add_int(w, t->number);
        add_int(w, (int64_t)i);
        add_shared(w, r->service);
        add_shared(w, r->text);
        add_real(w, r->allowed);
        add_int(w, r->requests);
        add_int(w, r->over);
        add_real(w, r->worth);
        add_shared(w, r->answer);
        add_shared(w, r->of ? r->of : "requests");
        end_row(w);
    }
}

static void write_utterances(struct writer *w, const struct store_trial *t)
{
    for (size_t i = 0; i < t->utterance_count && !w->failed; i++) {
        const struct store_utterance *u = &t->utterances[i];
        begin_row(w, ADD_UTTERANCE);
        add_int(w, t->number);
        add_int(w, (int64_t)i);
        add_shared(w, u->service);
        const int64_t counts[] = {u->item,          u->heard,     u->words,
                                  u->substitutions, u->deletions, u->insertions};
        for (size_t k = 0; k < sizeof counts / sizeof *counts; k++)
            add_int(w, counts[k]);
        add_shared(w, u->reference);
        add_shared(w, u->hypothesis);
        end_row(w);
    }
}

static void write_request(struct writer *w, int64_t stream, int64_t position,
                          const struct store_request *r)
{
    begin_row(w, ADD_REQUEST);
    add_int(w, stream);
    add_int(w, position);
    add_int(w, r->part);
    add_int(w, r->sequence);
    add_int(w, r->item);
    add_shared(w, r->error);
    add_int_unless(w, r->http_status == 0, r->http_status);
    add_time(w, r->intended_ns);
    add_time(w, r->sent_ns);
    add_time(w, r->first_byte_ns);
    add_time(w, r->first_token_ns);
    add_time(w, r->last_token_ns);
    add_time(w, r->done_ns);
    add_int_unless(w, r->tokens < 0, r->tokens);
    add_int_unless(w, r->tokens < 0, r->tokens_exact);
    add_real(w, r->audio_s);
    add_shared(w, r->text);
    add_int_unless(w, r->word_errors < 0, r->word_errors);
    add_int_unless(w, r->words < 0, r->words);
    add_int(w, r->held_back);
    add_time(w, r->turn_start_ns);
    bool alone = r->session == r->sequence && r->turn == 0; /* as the view reads NULL */
    add_int_unless(w, alone, r->session);
    add_int_unless(w, alone, r->turn);
    add_time(w, r->first_content_ns);
    end_row(w);
}

static int compare_int(int64_t a, int64_t b)
{
    return (a > b) - (a < b);
}

static int compare_requests(const void *a, const void *b)
{
    const struct store_request *left = *(const struct store_request *const *)a;
    const struct store_request *right = *(const struct store_request *const *)b;
    int order = strcmp(left->service, right->service);
    if (order == 0)
        order = strcmp(left->mode, right->mode);
    if (order == 0)
        order = compare_int(left->part, right->part);
    if (order == 0)
        order = compare_int(left->sequence, right->sequence);
    return order ? order : (left > right) - (left < right);
}

static int64_t write_stream(struct writer *w, int64_t trial, const struct store_request *request)
{
    begin_row(w, ADD_STREAM);
    add_int(w, trial);
    add_shared(w, request->service);
    add_shared(w, request->mode);
    end_row(w);
    return w->failed ? 0 : sqlite3_last_insert_rowid(w->store->db);
}

static void write_requests(struct writer *w, const struct store_trial *t)
{
    AUTO(free) const struct store_request **order = calloc(t->request_count + 1, sizeof(*order));
    if (!order)
        abort();
    for (size_t i = 0; i < t->request_count; i++)
        order[i] = &t->requests[i];
    qsort(order, t->request_count, sizeof(*order), compare_requests);
    int64_t stream = 0, position = 0;
    for (size_t i = 0; i < t->request_count && !w->failed; i++) {
        if (i == 0 || strcmp(order[i]->service, order[i - 1]->service) != 0 ||
            strcmp(order[i]->mode, order[i - 1]->mode) != 0) {
            stream = write_stream(w, t->number, order[i]);
            position = 0;
        }
        write_request(w, stream, position++, order[i]);
    }
}

static void write_capacities(struct writer *w, const struct store_trial *t)
{
    for (size_t i = 0; i < t->capacity_count && !w->failed; i++) {
        const struct store_capacity *c = &t->capacities[i];
        begin_row(w, ADD_CAPACITY);
        add_int(w, t->number);
        add_int(w, (int64_t)i);
        add_shared(w, c->service);
        add_shared(w, c->of);
        add_shared(w, c->metric);
        add_int(w, c->beside);
        add_shared(w, c->end);
        add_real(w, c->low);
        add_real(w, c->high);
        add_int(w, c->unsure);
        add_text(w, c->broke);
        add_real(w, c->memory_bytes);
        add_real(w, c->seconds);
        end_row(w);
    }
}

static void write_capacity_points(struct writer *w, const struct store_trial *t)
{
    for (size_t i = 0; i < t->capacity_point_count && !w->failed; i++) {
        const struct store_capacity_point *p = &t->capacity_points[i];
        begin_row(w, ADD_CAPACITY_POINT);
        add_int(w, t->number);
        add_int(w, (int64_t)i);
        add_int(w, p->search);
        add_real(w, p->level);
        add_shared(w, p->outcome);
        add_real(w, p->window_s);
        add_int(w, p->early);
        add_int(w, p->requests);
        add_int(w, p->failed);
        const double reals[] = {p->p50,     p->p50_low,  p->p50_high,     p->p95,
                                p->p95_low, p->p95_high, p->answered_rps, p->good_rps};
        for (size_t k = 0; k < sizeof reals / sizeof *reals; k++)
            add_real(w, reals[k]);
        add_text(w, p->broke);
        end_row(w);
    }
}

bool store_trial_add(struct store *store, const struct store_trial *trial, struct err *err)
{
    assert(store->mode != STORE_READ);
    if (!store_sql_begin(store, err))
        return err_wrap(err, "storing trial %lld", (long long)trial->number);
    struct writer w = {.store = store, .err = err};
    write_trial(&w, trial);
    write_phases(&w, trial);
    write_evidence(&w, trial);
    write_readings(&w, trial);
    write_services(&w, trial);
    write_metrics(&w, trial);
    write_requirements(&w, trial);
    write_utterances(&w, trial);
    write_capacities(&w, trial);
    write_capacity_points(&w, trial);
    write_requests(&w, trial);
    if (w.failed || !store_sql_commit(store, err)) {
        store_sql_rollback(store);
        return err_wrap(err, "storing trial %lld", (long long)trial->number);
    }
    return true;
}
