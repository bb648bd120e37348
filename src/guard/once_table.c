/* What one look has seen, as a table of 80 columns and as JSON.
 *
 * A line for each source that has seen a service's requests, its whole answers first; times to the
 * first token and in a queue stand below, where that source knows them: three more columns of times
 * would not fit a terminal. "-": unknown, or too few values to carry that percentile. */
#include "guard/once_inside.h"

#include "base/json.h"
#include "base/text.h"

#include <math.h>
#include <string.h>

const struct guard_value *guard_once_value(const struct once *once, size_t i,
                                           enum guard_metric metric, enum guard_source source,
                                           double quantile)
{
    size_t count = 0;
    const struct guard_metric_ref *refs = guard_watch_refs(once->lookout.watch, &count);
    for (size_t k = 0; k < count; k++)
        if (refs[k].metric == metric && refs[k].index == i && refs[k].source == source &&
            (isnan(quantile) || fabs(refs[k].quantile - quantile) < 1e-6))
            return &once->tick.values[k];
    return NULL;
}

static void add_cell(struct buf *text, int width, const char *cell)
{
    int columns = (int)text_columns(cell);
    buf_addf(text, "%s%*s ", cell, width > columns ? width - columns : 0, "");
}

static void add_right(struct buf *text, int width, const char *cell)
{
    int columns = (int)text_columns(cell);
    buf_addf(text, "%*s%s ", width > columns ? width - columns : 0, "", cell);
}

static void add_time(struct buf *text, const struct guard_value *value)
{
    AUTO(buf_done) struct buf cell = BUF_INIT(64);
    if (value && !isnan(value->number))
        text_add_duration(&cell, value->number);
    else
        buf_add(&cell, "-");
    add_right(text, 7, buf_text(&cell));
}

/* Of an engine's window that may be many. */
static void add_count(struct buf *text, uint64_t count)
{
    char cell[32];
    bool many = count >= 10000;
    snprintf(cell, sizeof cell, "%llu%s", (unsigned long long)(many ? count / 1000 : count),
             many ? "k" : "");
    add_right(text, 4, cell);
}

static void add_numbers(struct buf *text, const struct once *once, size_t i,
                        enum guard_source source)
{
    static const double quantiles[] = {0.50, 0.95, 0.99};
    char cell[32];
    uint64_t count = 0;
    for (size_t q = 0; q < ARRAY_LEN(quantiles); q++) {
        const struct guard_value *value =
            guard_once_value(once, i, GUARD_LATENCY, source, quantiles[q]);
        count = value ? value->count : 0;
        add_time(text, value);
    }
    add_count(text, count);
    add_cell(text, 8, guard_source_names[source]);
    const struct guard_value *errors = guard_once_value(once, i, GUARD_ERRORS, source, NAN);
    if (errors && !isnan(errors->number))
        snprintf(cell, sizeof cell, "%.0f%%", 100 * errors->number);
    else
        snprintf(cell, sizeof cell, "-");
    add_right(text, 4, cell);
}

/* Below a source's latencies, where it knows them: the columns are the same. */
static void add_parts(struct buf *text, const struct once *once, size_t i, enum guard_source source)
{
    static const struct {
        enum guard_metric metric;
        const char *word;
    } parts[] = {{GUARD_FIRST, "first"}, {GUARD_QUEUE, "queue"}};
    static const double quantiles[] = {0.50, 0.95, 0.99};
    for (size_t p = 0; p < ARRAY_LEN(parts); p++) {
        const struct guard_value *values[ARRAY_LEN(quantiles)];
        bool known = false;
        for (size_t q = 0; q < ARRAY_LEN(quantiles); q++) {
            values[q] = guard_once_value(once, i, parts[p].metric, source, quantiles[q]);
            known |= values[q] && !isnan(values[q]->number);
        }
        if (!known)
            continue;
        buf_addf(text, "\n%22s%7s ", "", parts[p].word);
        for (size_t q = 0; q < ARRAY_LEN(quantiles); q++)
            add_time(text, values[q]);
        add_count(text, values[0]->count);
    }
}

static bool has_numbers(const struct once *once, size_t i, enum guard_source source)
{
    const struct guard_subject *subject = guard_watch_subject(once->lookout.watch, i);
    const struct guard_value *errors = guard_once_value(once, i, GUARD_ERRORS, source, NAN);
    const struct guard_value *latency = guard_once_value(once, i, GUARD_LATENCY, source, 0.5);
    return (errors && errors->count > 0) || (latency && latency->count > 0) ||
           (source == SOURCE_PROBE && subject->probes > 0);
}

static void add_where(struct buf *text, const struct once *once, size_t i)
{
    const struct guard_subject *subject = guard_watch_subject(once->lookout.watch, i);
    const char *device =
        once->study->devices[spec_candidate_device(once->study, &once->lookout.candidate, i)];
    char cell[64];
    if (subject->watch->kind == WATCH_NOTHING)
        snprintf(cell, sizeof cell, "unwatched");
    else if (subject->life.presence != PRESENCE_UP)
        snprintf(cell, sizeof cell, "%s",
                 subject->life.presence == PRESENCE_DOWN     ? "DOWN"
                 : subject->life.presence == PRESENCE_COMING ? "starting"
                                                             : "unknown");
    else if (subject->spec->on == ON_CPU)
        snprintf(cell, sizeof cell, "cpu");
    else if (subject->place.word == PLACEMENT_GPU)
        snprintf(cell, sizeof cell, "%.8s", device);
    else if (subject->place.word == PLACEMENT_UNPROVEN)
        snprintf(cell, sizeof cell, "%.8s?", device);
    else
        snprintf(cell, sizeof cell, subject->place.word == PLACEMENT_CPU ? "CPU" : "partly CPU");
    add_cell(text, 10, cell);
}

static void add_service(struct buf *text, const struct once *once, size_t i)
{
    const struct guard_subject *subject = guard_watch_subject(once->lookout.watch, i);
    const struct guard_memory_view *memory =
        guard_memory_service(guard_watch_memory(once->lookout.watch), i);
    AUTO(buf_done) struct buf cell = BUF_INIT(64);
    char name[64];
    int64_t restarts =
        subject->life.restarts >= 0 ? subject->life.restarts : (int64_t)subject->history.restarts;
    snprintf(name, sizeof name, "%.8s", subject->spec->name);
    add_cell(text, 8, name);
    add_where(text, once, i);
    text_add_bytes(&cell, memory->bytes);
    add_right(text, 9, isnan(memory->bytes) ? "?" : buf_text(&cell));
    int shown = 0;
    for (int s = SOURCE_REQUESTS; s < SOURCE_COUNT_; s++) {
        if (!has_numbers(once, i, (enum guard_source)s))
            continue;
        if (shown++ > 0)
            buf_addf(text, "\n%30s", "");
        add_numbers(text, once, i, (enum guard_source)s);
        if (shown == 1)
            buf_addf(text, "%3lld %3llu", (long long)restarts,
                     (unsigned long long)subject->ends.count);
        add_parts(text, once, i, (enum guard_source)s);
    }
    if (shown == 0)
        buf_addf(text, "%7s %7s %7s %4s %-8s %4s %3lld %3llu", "-", "-", "-", "0", "no data", "-",
                 (long long)restarts, (unsigned long long)subject->ends.count);
    buf_addc(text, '\n');
}

static void add_device(struct buf *text, const struct once *once, size_t d)
{
    const struct guard_device_view *view =
        guard_memory_device(guard_watch_memory(once->lookout.watch), d);
    add_cell(text, 9, once->study->devices[d]);
    buf_add(text, "used ");
    text_add_bytes(text, view->used_bytes);
    buf_add(text, "  free ");
    text_add_bytes(text, view->free_bytes);
    if (!isnan(view->busy_ratio))
        buf_addf(text, "  busy %.0f %%", 100 * view->busy_ratio);
    if (view->throttled > 0)
        buf_addf(text, "  slowed: %s", view->throttle_words);
    if (view->fault > FAULT_NONE)
        buf_addf(text, "  %s", guard_fault_names[view->fault]);
    buf_addc(text, '\n');
}

/* A paragraph, broken at blanks. */
static void add_wrapped(struct buf *text, const char *mark, const char *words, int width)
{
    int column = 2;
    buf_add(text, mark);
    while (*words) {
        size_t len = strcspn(words, " ");
        if (column > 2 && column + (int)len + 1 > width) {
            buf_add(text, "\n  ");
            column = 2;
        } else if (column > 2) {
            buf_addc(text, ' ');
            column++;
        }
        buf_addf(text, "%.*s", (int)len, words);
        column += (int)len;
        words += len;
        words += *words == ' ';
    }
    buf_addc(text, '\n');
}

/* "p50 within 200 ms, p95 is that or more": its times are no better than its buckets. */
static void add_buckets(struct buf *text, const struct once *once, size_t i, int width)
{
    static const struct {
        const char *word;
        double quantile;
    } quantiles[] = {{"p50", 0.50}, {"p95", 0.95}, {"p99", 0.99}};
    AUTO(buf_done) struct buf words = BUF_INIT(400);
    for (size_t q = 0; q < ARRAY_LEN(quantiles); q++) {
        const struct guard_value *value =
            guard_once_value(once, i, GUARD_LATENCY, SOURCE_ENGINE, quantiles[q].quantile);
        if (!value || !(value->bucket_s > 0))
            continue;
        if (words.len == 0)
            buf_addf(&words, "%s: the engine's times are known to a bucket of its histogram: ",
                     once->study->services[i].name);
        else
            buf_add(&words, ", ");
        buf_addf(&words, "%s ", quantiles[q].word);
        if (isinf(value->bucket_s))
            buf_add(&words, "is that or more");
        else {
            buf_add(&words, "within ");
            text_add_duration(&words, value->bucket_s);
        }
    }
    if (words.len > 0)
        add_wrapped(text, "· ", buf_text(&words), width);
}

static void add_verdict(struct buf *text, const struct once *once, int width)
{
    const size_t wrong = once->wrong.count;
    AUTO(buf_done) struct buf words = BUF_INIT(ONCE_TEXT_MAX);
    if (once->unknown.count == 0 && wrong == 0)
        buf_add(&words, "Nothing is wrong.");
    else if (wrong > 0)
        buf_addf(&words, "%zu thing%s wrong.", wrong, wrong == 1 ? " is" : "s are");
    else
        buf_add(&words, "Nothing wrong was seen;");
    for (size_t k = 0; k < once->unknown.count; k++)
        buf_addf(&words, "%s %s",
                 k > 0       ? ";"
                 : wrong > 0 ? " Not known:"
                             : " not known:",
                 once->unknown.items[k]);
    if (once->unknown.count > 0)
        buf_addc(&words, '.');
    add_wrapped(text, "", buf_text(&words), width);
}

void guard_once_add_table(struct buf *text, const struct once *once, int width)
{
    static const char head[] =
        "service  where         memory     p50     p95     p99    n source   errs rst oom\n";
    buf_addf(text, "%s: looked for %.1f s; taken to run: %s\n\n", once->study->name, once->looked_s,
             once->lookout.candidate_from);
    buf_add(text, head);
    for (size_t i = 0; i < once->study->service_count; i++)
        add_service(text, once, i);
    buf_addc(text, '\n');
    for (size_t d = 0; d < once->study->device_count; d++)
        add_device(text, once, d);
    buf_addc(text, '\n');
    for (size_t k = 0; k < once->wrong.count; k++)
        add_wrapped(text, "✗ ", once->wrong.items[k], width);
    for (size_t i = 0; i < once->study->service_count; i++)
        add_buckets(text, once, i, width);
    for (const char *line = guard_watch_missing(once->lookout.watch); *line;) {
        size_t len = strcspn(line, "\n");
        AUTO(free) char *copy = strndup(line, len);
        if (copy)
            add_wrapped(text, "· ", copy, width);
        line += len + (line[len] == '\n');
    }
    add_verdict(text, once, width);
}

/* ---- JSON ---- */

static json_t *service_json(const struct once *once, size_t i)
{
    const struct guard_subject *subject = guard_watch_subject(once->lookout.watch, i);
    static const char *const states[PRESENCE_COUNT_] = {"unknown", "down", "starting", "up"};
    char where[128];
    guard_watch_where(subject->watch, where, sizeof where);
    bool gpu = subject->spec->on == ON_GPU && subject->life.presence == PRESENCE_UP;
    json_t *json = json_pack(
        "{s:s, s:s, s:s, s:s, s:o, s:o, s:I, s:I}", "name", subject->spec->name, "found_by", where,
        "state", states[subject->life.presence], "why", subject->life.why, "placement",
        json_text_or_null(gpu ? device_placement_names[subject->place.word] : NULL), "evidence",
        json_text_or_null(gpu && subject->place.evidence[0] ? subject->place.evidence : NULL),
        "process", (json_int_t)subject->life.main.pid, "restarts",
        (json_int_t)subject->life.restarts);
    if (!json)
        abort();
    return json;
}

static json_t *values_json(const struct once *once)
{
    size_t count = 0;
    const struct guard_metric_ref *refs = guard_watch_refs(once->lookout.watch, &count);
    json_t *values = json_object();
    for (size_t k = 0; k < count; k++) {
        const struct guard_value *value = &once->tick.values[k];
        if (isnan(value->number) && !value->text)
            continue;
        json_t *one = json_object();
        json_object_set_new(one, "value",
                            value->text ? json_string(value->text) : json_real(value->number));
        if (value->count)
            json_object_set_new(one, "count", json_integer((json_int_t)value->count));
        if (value->source)
            json_object_set_new(one, "source", json_string(guard_source_names[value->source]));
        if (value->bucket_s > 0)
            json_object_set_new(one, "bucket_s", json_real_or_null(value->bucket_s));
        json_object_set_new(values, refs[k].name, one);
    }
    return values;
}

void guard_once_add_json(struct buf *text, const struct once *once)
{
    AUTO_JSON json_t *root =
        json_pack("{s:s, s:i, s:s, s:f, s:s}", "format", "spica guard look", "version", 1, "study",
                  once->study->name, "looked_s", once->looked_s, "taken_to_run",
                  once->lookout.candidate_from);
    json_t *services = json_array(), *wrong = json_array(), *missing = json_array();
    json_t *unknown = json_array();
    for (size_t i = 0; i < once->study->service_count; i++)
        json_array_append_new(services, service_json(once, i));
    for (size_t k = 0; k < once->wrong.count; k++)
        json_array_append_new(wrong, json_text_or_null(once->wrong.items[k]));
    for (size_t k = 0; k < once->unknown.count; k++)
        json_array_append_new(unknown, json_text_or_null(once->unknown.items[k]));
    for (const char *line = guard_watch_missing(once->lookout.watch); *line;) {
        size_t len = strcspn(line, "\n");
        AUTO(free) char *copy = strndup(line, len);
        json_array_append_new(missing, json_text_or_null(copy));
        line += len + (line[len] == '\n');
    }
    json_object_set_new(root, "services", services);
    json_object_set_new(root, "values", values_json(once));
    json_object_set_new(root, "wrong", wrong);
    json_object_set_new(root, "not_known", unknown);
    json_object_set_new(root, "not_seen", missing);
    AUTO(free) char *line = json_dump_text(root);
    buf_addf(text, "%s\n", line);
}
