/* One trial in full, for a person who wants to know what really happened: when each phase ran, what
 * was started with which command and environment, where it ran and how that was proven, every
 * number shared beside alone, every error by kind. */
#include "report/finding.h"
#include "report/told.h"
#include "report/trial_sheet.h"
#include "report/words.h"

#include "base/clock.h"
#include "spec/metric.h"

#include <assert.h>
#include <inttypes.h>
#include <math.h>
#include <string.h>

enum { LABEL = 14, LONG_TEXT_MAX = 4000 };

static const char *keep(struct arena *arena, struct buf *buf)
{
    const char *text = arena_strdup(arena, buf_text(buf));
    buf_clear(buf);
    return text;
}

void report_print_field(const struct trial_sheet *sheet, const char *label, const char *text)
{
    if (!text || !*text)
        return;
    AUTO(buf_done) struct buf shown = BUF_INIT(5 * LONG_TEXT_MAX);
    text_add_escaped(&shown, TEXT_TERMINAL, text, strlen(text), LONG_TEXT_MAX);
    fprintf(sheet->out, "  %-*s", LABEL, label);
    report_print_wrapped(sheet->out, sheet->terminal, buf_text(&shown), LABEL + 2, LABEL + 2);
}

static void print_head(const struct trial_sheet *sheet)
{
    const struct store_trial *t = sheet->trial;
    char when[32];
    AUTO(buf_done) struct buf text = BUF_INIT(8192);
    buf_addf(&text, "trial %" PRId64 ": %s", t->number, t->verdict);
    report_print_painted(sheet->out, sheet->terminal, isnan(t->fitness) ? PAINT_BAD : PAINT_BOLD,
                         buf_text(&text));
    fputc('\n', sheet->out);
    report_print_field(sheet, "settings", t->candidate);
    buf_clear(&text);
    buf_addf(&text, "%s", t->purpose);
    if (t->round)
        buf_addf(&text, ", round %d", t->round);
    if (t->repeat)
        buf_addf(&text, ", run %d", t->repeat);
    if (t->retry_of)
        buf_addf(&text, ", again after trial %" PRId64, t->retry_of);
    buf_add(&text, t->cold ? ", every service started for it" : ", unchanged services stayed up");
    report_print_field(sheet, "purpose", buf_text(&text));
    report_print_field(sheet, "started", clock_format_wall(t->started_wall_us, when, sizeof when));
    buf_clear(&text);
    text_add_duration(&text, t->duration_s);
    buf_add(&text, ", of it measured ");
    text_add_duration(&text, t->window_s);
    report_print_field(sheet, "took", buf_text(&text));
    buf_clear(&text);
    if (isnan(t->fitness))
        buf_add(&text, "none: this verdict carries none");
    else
        buf_addf(&text, "%.3f", t->fitness);
    report_print_field(sheet, "fitness", buf_text(&text));
    report_print_field(sheet, "in short", t->summary);
    for (size_t i = 0; i < t->evidence_count; i++) {
        buf_clear(&text);
        buf_addf(&text, "%s%s%s: %s", t->evidence[i].service ? t->evidence[i].service : "",
                 t->evidence[i].service ? " " : "", t->evidence[i].kind ? t->evidence[i].kind : "",
                 t->evidence[i].text ? t->evidence[i].text : "");
        report_print_field(sheet, "evidence", buf_text(&text));
    }
    report_print_field(sheet, "rules out", t->ruled_out);
}

static void print_surroundings(const struct trial_sheet *sheet)
{
    const struct store_trial *t = sheet->trial;
    AUTO(buf_done) struct buf text = BUF_INIT(1024);
    if (t->window_s <= 0)
        return;
    metric_add_value(&text, UNIT_RATIO, t->contention_ratio);
    report_print_field(sheet, "other load", buf_text(&text));
    buf_clear(&text);
    text_add_duration(&text, t->lateness_p99_s);
    if (t->stall_max_s > 0) {
        buf_add(&text, "; the longest standstill ");
        text_add_duration(&text, t->stall_max_s);
    }
    if (t->workers > 1)
        buf_addf(&text, "; sent by %d workers", t->workers);
    report_print_field(sheet, "our lateness",
                       arena_printf(sheet->arena, "p99 %s", buf_text(&text)));
    buf_clear(&text);
    buf_add(&text, "load worker ");
    text_add_duration(&text, t->worker_cpu_s);
    buf_add(&text, ", spica ");
    text_add_duration(&text, t->own_cpu_s);
    report_print_field(sheet, "our CPU time", buf_text(&text));
}

static void print_phases(const struct trial_sheet *sheet)
{
    AUTO(buf_done) struct buf text = BUF_INIT(8192);
    struct report_grid grid = {
        .arena = sheet->arena, .column_count = 4, .right = {[1] = true, [2] = true}};
    if (sheet->trial->phase_count == 0)
        return;
    fputs("\nphases\n", sheet->out);
    for (size_t i = 0; i < sheet->trial->phase_count; i++) {
        const struct store_phase *phase = &sheet->trial->phases[i];
        struct grid_row *row = report_grid_add(&grid);
        row->cells[0] = phase->name;
        buf_addf(&text, "at %.1f s", phase->start_s);
        row->cells[1] = keep(sheet->arena, &text);
        text_add_duration(&text, phase->duration_s);
        row->cells[2] = keep(sheet->arena, &text);
        report_add_text(&text, TEXT_TERMINAL, phase->outcome);
        row->cells[3] = keep(sheet->arena, &text);
    }
    report_grid_print(&grid, sheet->out, sheet->terminal, 2);
}

static void add_environment(struct buf *text, const char *json)
{
    AUTO_JSON json_t *object = json ? json_loads(json, 0, NULL) : NULL;
    const char *name;
    json_t *value;
    json_object_foreach(object, name, value)
        buf_addf(text, "%s%s=%s", text->len ? " " : "", name,
                 json_is_string(value) ? json_string_value(value) : "?");
}

static void print_memory(const struct trial_sheet *sheet, const struct store_service *s)
{
    AUTO(buf_done) struct buf text = BUF_INIT(256);
    if (isnan(s->peak_memory_bytes) && isnan(s->idle_memory_bytes))
        return;
    text_add_bytes(&text, s->idle_memory_bytes);
    buf_add(&text, " idle, at most ");
    text_add_bytes(&text, s->peak_memory_bytes);
    const struct store_metric *growth = NULL;
    for (size_t i = 0; i < sheet->trial->metric_count; i++) {
        const struct store_metric *m = &sheet->trial->metrics[i];
        if (strcmp(m->service, s->name) == 0 && strcmp(m->mode, "shared") == 0 &&
            strcmp(m->metric, metric_facts(METRIC_MEMORY_GROWTH)->name) == 0)
            growth = m;
    }
    if (growth && growth->value > REPORT_GROWTH_BYTES_PER_S) {
        buf_add(&text, ", grew by ");
        metric_add_value(&text, UNIT_BYTES_PER_SECOND, growth->value);
        buf_add(&text, ": leak or cache?");
    }
    if (spec_device_is_gpu(s->device) && !isnan(s->host_memory_bytes)) {
        buf_add(&text, "; of the host at most ");
        text_add_bytes(&text, s->host_memory_bytes);
    }
    report_print_field(sheet, "memory", buf_text(&text));
}

static void print_start(const struct trial_sheet *sheet, const struct store_service *s)
{
    AUTO(buf_done) struct buf text = BUF_INIT(512);
    if (s->started_in_trial && s->started_in_trial != sheet->trial->number)
        buf_addf(&text, "up since trial %" PRId64, s->started_in_trial);
    else if (!isnan(s->ready_s)) {
        buf_add(&text, "ready after ");
        text_add_duration(&text, s->ready_s);
        buf_add(&text, ", very first request ");
        text_add_duration(&text, s->first_request_s);
    }
    report_print_field(sheet, "start", buf_text(&text));
    buf_clear(&text);
    if (s->signal)
        buf_addf(&text, "by signal %d", s->signal);
    else if (s->exit_code >= 0)
        buf_addf(&text, "exit status %d", s->exit_code);
    report_print_field(sheet, "ended itself", buf_text(&text));
}

static void print_services(const struct trial_sheet *sheet)
{
    for (size_t i = 0; i < sheet->trial->service_count; i++) {
        const struct store_service *s = &sheet->trial->services[i];
        AUTO(buf_done) struct buf text = BUF_INIT(65536);
        report_add_text(&text, TEXT_TERMINAL, s->name);
        fputc('\n', sheet->out);
        report_print_painted(sheet->out, sheet->terminal, PAINT_BOLD, buf_text(&text));
        fputc('\n', sheet->out);
        buf_clear(&text);
        buf_addf(&text, "%s%s%s", s->engine ? s->engine : "", s->engine && s->version ? " " : "",
                 s->version ? s->version : "");
        report_print_field(sheet, "engine", buf_text(&text));
        report_print_field(sheet, "command", s->command);
        buf_clear(&text);
        add_environment(&text, s->environment);
        report_print_field(sheet, "environment", buf_text(&text));
        print_start(sheet, s);
        report_print_field(sheet, "ran on", s->placement);
        report_print_proof(sheet, s);
        report_print_read_back(sheet, s);
        print_memory(sheet, s);
    }
}

const char *report_metric_text(const struct trial_sheet *sheet, const struct store_metric *m)
{
    if (!m)
        return "";
    int metric = metric_from_name(m->metric);
    double q = metric_stat_quantile((enum metric_stat)metric_stat_from_name(m->stat));
    struct report_measure measure = {.unit = metric < 0 ? UNIT_COUNT
                                                        : metric_facts((enum metric)metric)->unit};
    struct report_number number = {.kind = NUMBER_QUANTILE,
                                   .value = m->value,
                                   .low = m->low,
                                   .high = m->high,
                                   .count = m->count};
    if (!isnan(q) && !stats_quantile_allowed((size_t)m->count, q))
        number.value = NAN;
    if (metric >= 0 && strcmp(m->mode, "shared") == 0 &&
        report_told_hides(sheet->trial, (enum metric)metric))
        number.value = NAN;
    AUTO(buf_done) struct buf text = BUF_INIT(512);
    report_add_value(&text, &measure, &number);
    AUTO(buf_done) struct buf interval = BUF_INIT(256);
    report_add_interval(&interval, &measure, &number);
    if (interval.len)
        buf_addf(&text, " %s", buf_text(&interval));
    return keep(sheet->arena, &text);
}

static const struct store_metric *find_metric(const struct store_trial *t,
                                              const struct store_metric *like, const char *mode)
{
    for (size_t i = 0; i < t->metric_count; i++) {
        const struct store_metric *m = &t->metrics[i];
        if (strcmp(m->mode, mode) == 0 && strcmp(m->service, like->service) == 0 &&
            strcmp(m->metric, like->metric) == 0 && strcmp(m->stat, like->stat) == 0)
            return m;
    }
    return NULL;
}

static void add_metric_row(const struct trial_sheet *sheet, struct report_grid *grid,
                           const struct store_metric *m, bool shared)
{
    AUTO(buf_done) struct buf text = BUF_INIT(1024);
    struct grid_row *row = report_grid_add(grid);
    buf_addf(&text, "%s.%s%s%s", m->service, m->metric, *m->stat ? "." : "", m->stat);
    AUTO(buf_done) struct buf shown = BUF_INIT(4096);
    report_add_text(&shown, TEXT_TERMINAL, buf_text(&text));
    row->cells[0] = keep(sheet->arena, &shown);
    row->cells[1] = shared ? report_metric_text(sheet, m) : "";
    row->cells[2] = arena_printf(sheet->arena, "%" PRId64, m->count);
    row->cells[3] = report_metric_text(sheet, shared ? find_metric(sheet->trial, m, "alone") : m);
    row->cells[4] = m->method ? m->method : "";
}

static void print_capacities(const struct trial_sheet *sheet)
{
    const struct store_trial *t = sheet->trial;
    if (t->capacity_count)
        fputs("\ncapacity\n", sheet->out);
    for (size_t i = 0; i < t->capacity_count; i++) {
        AUTO(buf_done) struct buf text = BUF_INIT(8192);
        report_add_text(&text, TEXT_TERMINAL, t->capacities[i].service);
        buf_add(&text, t->capacities[i].beside ? ": " : " alone: ");
        report_add_capacity(&text, &t->capacities[i]);
        fputs("  ", sheet->out);
        report_print_wrapped(sheet->out, sheet->terminal, buf_text(&text), 2, 4);
        for (size_t k = 0; k < t->capacity_point_count; k++) {
            const struct store_capacity_point *p = &t->capacity_points[k];
            if (p->search != (int)i)
                continue;
            buf_clear(&text);
            report_add_level(&text, &t->capacities[i], p->level);
            buf_addf(&text, ": %s", p->outcome);
            if (p->broke) {
                buf_add(&text, ", ");
                report_add_text(&text, TEXT_TERMINAL, p->broke);
            }
            fputs("    ", sheet->out);
            report_print_wrapped(sheet->out, sheet->terminal, buf_text(&text), 4, 6);
        }
    }
}

static void print_metrics(const struct trial_sheet *sheet)
{
    const struct store_trial *t = sheet->trial;
    struct report_grid grid = {.arena = sheet->arena, .column_count = 4, .right = {[2] = true}};
    bool any = false;
    for (size_t i = 0; i < t->metric_count; i++) {
        grid.column_count = t->metrics[i].method ? 5 : grid.column_count;
        any = any || strcmp(t->metrics[i].mode, "fallback") != 0;
    }
    if (!any)
        return;
    struct grid_row *head = report_grid_add(&grid);
    head->cells[0] = "metric";
    head->cells[1] = "beside the others";
    head->cells[2] = "n";
    head->cells[3] = "alone";
    head->cells[4] = "interval by";
    head->paint = PAINT_BOLD;
    for (size_t i = 0; i < t->metric_count; i++) {
        bool shared = strcmp(t->metrics[i].mode, "shared") == 0;
        if (strcmp(t->metrics[i].mode, "fallback") == 0)
            continue; /* has a table of its own */
        if (shared || !find_metric(t, &t->metrics[i], "shared"))
            add_metric_row(sheet, &grid, &t->metrics[i], shared);
    }
    fputc('\n', sheet->out);
    report_grid_print(&grid, sheet->out, sheet->terminal, 2);
}

static bool print_errors(struct store *store, const struct trial_sheet *sheet, struct err *err)
{
    struct store_error_count *counts = NULL;
    size_t count = 0;
    if (!store_read_errors(store, sheet->arena, sheet->trial->number, &counts, &count, err))
        return false;
    if (count)
        fputs("\nfailed requests of the windows\n", sheet->out);
    for (size_t i = 0; i < count; i++) {
        AUTO(buf_done) struct buf text = BUF_INIT(1024);
        buf_addf(&text, "%" PRId64 " %s", counts[i].count, counts[i].error);
        if (counts[i].http_status)
            buf_addf(&text, " (status %d)", counts[i].http_status);
        buf_addf(&text, ", %s", counts[i].mode);
        AUTO(buf_done) struct buf name = BUF_INIT(1024);
        report_add_text(&name, TEXT_TERMINAL, counts[i].service);
        report_print_field(sheet, buf_text(&name), buf_text(&text));
    }
    return true;
}

/* The same service in its right place is in another trial: the whole view is needed. */
static void print_wrong_place(struct store *store, const struct spec_catalog *catalog,
                              const struct trial_sheet *sheet)
{
    struct report_view *view = NULL;
    struct err err = ERR_INIT; /* without a view there is nothing to set beside them */
    if (!report_has_fallback(sheet->trial))
        return;
    const struct report_fallback *fallback = NULL;
    if (report_view_build(store, catalog, sheet->arena, &view, &err))
        for (size_t i = 0; i < view->fallback_count; i++)
            if (view->fallbacks[i].trial->number == sheet->trial->number)
                fallback = &view->fallbacks[i];
    report_print_fallback(sheet, fallback);
}

static bool find_trial(struct store *store, struct arena *arena, int64_t number,
                       struct store_trial **ret_trial, struct err *err)
{
    if (!store_read_trial(store, arena, number, ret_trial, err))
        return false;
    return *ret_trial ||
           err_set(err, ERR_MISSING, "there is no trial %" PRId64 " in this study", number);
}

bool report_print_trial(struct store *store, const struct spec_catalog *catalog, int64_t number,
                        FILE *out, struct report_terminal terminal, struct err *err)
{
    AUTO(arena_free) struct arena *arena = arena_new();
    struct store_trial *trial = NULL;
    if (!find_trial(store, arena, number, &trial, err))
        return false;
    assert(trial);
    struct trial_sheet sheet = {.trial = trial, .out = out, .terminal = terminal, .arena = arena};
    print_head(&sheet);
    print_surroundings(&sheet);
    print_phases(&sheet);
    report_print_cards(&sheet);
    print_services(&sheet);
    print_metrics(&sheet);
    report_print_findings(&sheet);
    print_capacities(&sheet);
    print_wrong_place(store, catalog, &sheet);
    return print_errors(store, &sheet, err);
}

static bool has_service(const struct store_trial *trial, const char *name)
{
    for (size_t i = 0; i < trial->service_count; i++)
        if (strcmp(trial->services[i].name, name) == 0)
            return true;
    return false;
}

/* Lines stay lines; everything else in them is made harmless. */
bool report_print_log(struct store *store, int64_t number, const char *service, FILE *out,
                      struct err *err)
{
    AUTO(arena_free) struct arena *arena = arena_new();
    struct store_trial *trial = NULL;
    const char *log = NULL;
    if (!find_trial(store, arena, number, &trial, err) ||
        !store_read_log(store, arena, number, service, &log, err))
        return false;
    if (!log)
        return err_set(err, ERR_MISSING, "trial %" PRId64 " has no %s %.60s", number,
                       has_service(trial, service) ? "log of" : "service", service);
    for (const char *at = log; *at;) {
        size_t len = strcspn(at, "\n");
        AUTO(buf_done) struct buf line = BUF_INIT(64 << 20);
        text_add_escaped(&line, TEXT_TERMINAL, at, len, len);
        fprintf(out, "%s\n", buf_text(&line));
        at += len + (at[len] == '\n');
    }
    return true;
}
