/* One look: the same watching as the daemon's, for some seconds, and a table.
 *
 * It ends as soon as everybody who can be asked has answered or failed to and is known to be on its
 * device or not, at the latest a little after the last probe's deadline. A number that stands on
 * one probe is shown as what it is: its count stands beside it, and a percentile that so few values
 * can't carry is "-".
 *
 * What is wrong is said below the table in words. What can't be seen from here (a journal that may
 * not be read) is no fault of a service; it is said too, and does not make it wrong. But no data is
 * never fine: what is not known is named where it would else say that nothing is wrong. Probes that
 * were asked for and can't be sent are wrong: the study's file promises what is not done. */
#include "guard/daemon.h"

#include "base/cancel.h"
#include "base/clock.h"
#include "base/json.h"
#include "base/text.h"

#include <errno.h>
#include <math.h>
#include <string.h>

static const int64_t LEAST_NS = 3 * NS_PER_S, STEP_NS = NS_PER_S / 4, SLACK_NS = 5 * NS_PER_S;
enum { TEXT_MAX = 256 << 10, WIDTH = 80, SAID_MAX = 64 };

struct said {
    char *items[SAID_MAX]; /* owned */
    size_t count;
};

struct once {
    const struct spec_study *study;
    struct guard_lookout lookout;
    struct guard_tick tick; /* the last */
    struct said wrong, unknown;
    double looked_s;
};

/* ---- looking ---- */

static void PRINTF_LIKE(2, 3) add_said(struct said *said, const char *format, ...)
{
    va_list args;
    char text[1024];
    AUTO(buf_done) struct buf safe = BUF_INIT(4096);
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    text_add_escaped(&safe, TEXT_TERMINAL, text, strlen(text), sizeof text);
    for (size_t k = 0; k < said->count; k++)
        if (strcmp(said->items[k], buf_text(&safe)) == 0)
            return;
    if (said->count < SAID_MAX)
        said->items[said->count++] = buf_take(&safe);
}

static void free_said(struct said *said)
{
    for (size_t k = 0; k < said->count; k++)
        free(said->items[k]);
    said->count = 0;
}

/* Those that the state below does not show. */
static bool is_wrong(enum guard_event_kind kind)
{
    return kind == EVENT_OOM_DEVICE || kind == EVENT_OOM_KERNEL || kind == EVENT_XID ||
           kind == EVENT_RESTARTED || kind == EVENT_HANGS;
}

static void tell_event(struct once *once, const struct guard_event *event)
{
    bool known = event->service >= 0;
    if (is_wrong(event->kind))
        add_said(&once->wrong, "%s%s%s", known ? once->study->services[event->service].name : "",
                 known ? ": " : "", event->text);
}

static int64_t longest_ns(const struct spec_study *study)
{
    int64_t longest = 0;
    for (size_t i = 0; i < study->service_count; i++)
        if (study->guard->watches[i].probe_within_ns > longest &&
            study->guard->watches[i].probe_rps > 0)
            longest = study->guard->watches[i].probe_within_ns;
    return longest;
}

static bool look(struct once *once, struct err *err)
{
    const int64_t began_ns = clock_now_ns();
    const int64_t end_ns = began_ns + LEAST_NS + longest_ns(once->study) + SLACK_NS;
    int64_t due_ns = began_ns, now_ns = began_ns;
    while (now_ns < end_ns) {
        if (now_ns >= due_ns) {
            guard_watch_tick(once->lookout.watch, now_ns, clock_now_wall_us(), &once->tick);
            due_ns = now_ns + STEP_NS;
            for (size_t k = 0; k < once->tick.event_count; k++)
                tell_event(once, &once->tick.events[k]);
            if (now_ns - began_ns >= LEAST_NS && guard_watch_has_looked(once->lookout.watch))
                break;
        }
        int r = sd_event_run(once->lookout.event, (uint64_t)((due_ns - now_ns) / NS_PER_US) + 1000);
        if (r < 0 && r != -EINTR)
            return err_set(err, ERR_INTERNAL, "the event loop: %s", strerror(-r));
        if (cancel_level() != CANCEL_NONE)
            return err_set(err, ERR_STOPPED, "stopped while looking");
        now_ns = clock_now_ns();
    }
    once->looked_s = (double)(now_ns - began_ns) / NS_PER_S;
    return true;
}

/* ---- what is wrong ---- */

static void judge_service(struct once *once, size_t i)
{
    const struct guard_subject *subject = guard_watch_subject(once->lookout.watch, i);
    const char *name = subject->spec->name;
    if (subject->watch->kind == WATCH_NOTHING)
        return;
    if (subject->life.presence == PRESENCE_UNKNOWN)
        add_said(&once->wrong, "%s: it can't be told whether it runs: %s", name, subject->life.why);
    else if (subject->life.presence != PRESENCE_UP)
        add_said(&once->wrong, "%s is %s: %s", name,
                 subject->life.presence == PRESENCE_COMING ? "not up yet" : "down",
                 subject->life.why);
    if (subject->life.presence != PRESENCE_UP)
        return;
    if (subject->place.word == PLACEMENT_CPU || subject->place.word == PLACEMENT_PARTIAL)
        add_said(&once->wrong, "%s computes %s: %s", name,
                 subject->place.word == PLACEMENT_CPU ? "on the CPU" : "partly on the CPU",
                 subject->place.evidence);
    const char *no_probe = guard_watch_no_probe(once->lookout.watch, i);
    if (no_probe && no_probe[0])
        add_said(&once->wrong, "%s: no probe could be sent: %s", name, no_probe);
    if (subject->probe_words[0] && !subject->probe_ours && !subject->hung_ns)
        add_said(&once->wrong, "%s: a request was not answered: %s", name, subject->probe_words);
}

static void judge(struct once *once)
{
    const struct proxy_view *proxy = guard_watch_proxy_view(once->lookout.watch);
    for (size_t i = 0; i < once->study->service_count; i++)
        judge_service(once, i);
    for (size_t d = 0; d < once->study->device_count; d++) {
        const struct guard_device_view *view =
            guard_memory_device(guard_watch_memory(once->lookout.watch), d);
        if (view->fault == FAULT_LOST || view->fault == FAULT_MISMATCH)
            add_said(&once->wrong, "%s can't be used: %s", once->study->devices[d],
                     view->fault_text);
        if (view->throttled > 0)
            add_said(&once->wrong, "%s is slowed down: %s", once->study->devices[d],
                     view->throttle_words);
    }
    if (proxy && !proxy->up && guard_watch_proxy(once->lookout.watch))
        add_said(&once->wrong, "HAProxy does not answer on its socket");
}

/* ---- what is not known ---- */

static const struct guard_value *find_value(const struct once *once, size_t i,
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

static void doubt_service(struct once *once, size_t i)
{
    const struct guard_subject *subject = guard_watch_subject(once->lookout.watch, i);
    const char *name = subject->spec->name;
    bool timed = false;
    if (subject->watch->kind == WATCH_NOTHING) {
        add_said(&once->unknown, "%s, which is not watched", name);
        return;
    }
    if (subject->life.presence != PRESENCE_UP)
        return; /* is wrong */
    for (int s = SOURCE_REQUESTS; s < SOURCE_COUNT_; s++) {
        const struct guard_value *value =
            find_value(once, i, GUARD_LATENCY, (enum guard_source)s, 0.5);
        timed |= value && !isnan(value->number);
    }
    if (!timed)
        add_said(&once->unknown, "how fast %s answers (%s)", name,
                 subject->watch->probe_rps <= 0                  ? "it is not probed"
                 : !guard_watch_no_probe(once->lookout.watch, i) ? "it has no load to ask with"
                 : subject->probes > subject->probes_ours        ? "too few answers"
                                                                 : "no probe was sent");
    if (subject->spec->on == ON_GPU && subject->place.word == PLACEMENT_UNPROVEN)
        add_said(&once->unknown, "whether %s computes on its device", name);
}

static void doubt(struct once *once)
{
    const struct guard_watch *watch = once->lookout.watch;
    for (size_t i = 0; i < once->study->service_count; i++)
        doubt_service(once, i);
    for (size_t d = 0; d < once->study->device_count; d++) {
        const struct guard_device_view *view = guard_memory_device(guard_watch_memory(watch), d);
        if (isnan(view->free_bytes) && view->fault != FAULT_LOST && view->fault != FAULT_MISMATCH)
            add_said(&once->unknown, "the memory of %s", once->study->devices[d]);
    }
    if (once->study->guard->front_count > 0 && !guard_watch_proxy(watch))
        add_said(&once->unknown, "whether HAProxy is up");
    if (guard_watch_missing(watch)[0])
        add_said(&once->unknown, "what can't be seen from here");
}

/* ---- the table ---- */

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
    add_right(text, 6, buf_text(&cell));
}

static void add_numbers(struct buf *text, const struct once *once, size_t i,
                        enum guard_source source)
{
    static const double quantiles[] = {0.50, 0.95, 0.99};
    char cell[32];
    uint64_t count = 0;
    for (size_t q = 0; q < ARRAY_LEN(quantiles); q++) {
        const struct guard_value *value = find_value(once, i, GUARD_LATENCY, source, quantiles[q]);
        count = value ? value->count : 0;
        add_time(text, value);
    }
    snprintf(cell, sizeof cell, "%llu", (unsigned long long)count);
    add_right(text, 5, cell);
    add_cell(text, 8, guard_source_names[source]);
    const struct guard_value *errors = find_value(once, i, GUARD_ERRORS, source, NAN);
    if (errors && !isnan(errors->number))
        snprintf(cell, sizeof cell, "%.0f %%", 100 * errors->number);
    else
        snprintf(cell, sizeof cell, "-");
    add_right(text, 5, cell);
}

static bool has_numbers(const struct once *once, size_t i, enum guard_source source)
{
    const struct guard_subject *subject = guard_watch_subject(once->lookout.watch, i);
    const struct guard_value *errors = find_value(once, i, GUARD_ERRORS, source, NAN);
    const struct guard_value *latency = find_value(once, i, GUARD_LATENCY, source, 0.5);
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
        snprintf(cell, sizeof cell, "not watched");
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
    add_cell(text, 11, cell);
}

static void add_service(struct buf *text, const struct once *once, size_t i)
{
    const struct guard_subject *subject = guard_watch_subject(once->lookout.watch, i);
    const struct guard_memory_view *memory =
        guard_memory_service(guard_watch_memory(once->lookout.watch), i);
    AUTO(buf_done) struct buf cell = BUF_INIT(64);
    char name[64], number[32];
    int64_t restarts =
        subject->life.restarts >= 0 ? subject->life.restarts : (int64_t)subject->history.restarts;
    snprintf(name, sizeof name, "%.9s", subject->spec->name);
    add_cell(text, 9, name);
    add_where(text, once, i);
    text_add_bytes(&cell, memory->bytes);
    add_right(text, 9, isnan(memory->bytes) ? "?" : buf_text(&cell));
    int shown = 0;
    for (int s = SOURCE_REQUESTS; s < SOURCE_COUNT_; s++) {
        if (!has_numbers(once, i, (enum guard_source)s))
            continue;
        if (shown++ > 0)
            buf_addf(text, "\n%32s", "");
        add_numbers(text, once, i, (enum guard_source)s);
        if (shown > 1)
            continue;
        snprintf(number, sizeof number, "%lld", (long long)restarts);
        add_right(text, 3, number);
        snprintf(number, sizeof number, "%llu", (unsigned long long)subject->ends.count);
        add_right(text, 3, number);
    }
    if (shown == 0)
        buf_addf(text, "%6s %6s %6s %5s %-8s %5s %3lld %3llu", "-", "-", "-", "0", "no data", "-",
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
            find_value(once, i, GUARD_LATENCY, SOURCE_ENGINE, quantiles[q].quantile);
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
    AUTO(buf_done) struct buf words = BUF_INIT(TEXT_MAX);
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

static void add_table(struct buf *text, const struct once *once, int width)
{
    static const char head[] =
        "service   where          memory    p50    p95    p99     n source    errs rst oom\n";
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

static void add_json(struct buf *text, const struct once *once)
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

bool guard_once(const struct guard_options *options, FILE *out, bool *ret_wrong, struct err *err)
{
    struct once once = {.study = options->study};
    AUTO(buf_done) struct buf text = BUF_INIT(TEXT_MAX);
    bool ok = guard_lookout_open(options, GUARD_LOOKOUT_ONCE, NULL, NULL, &once.lookout, err);
    if (ok) {
        ok = look(&once, err);
        if (ok) {
            judge(&once);
            doubt(&once);
            if (options->json)
                add_json(&text, &once);
            else
                add_table(&text, &once, options->width > 40 ? options->width : WIDTH);
            fputs(buf_text(&text), out);
            *ret_wrong = once.wrong.count > 0;
        }
        guard_lookout_close(&once.lookout);
    }
    free_said(&once.wrong);
    free_said(&once.unknown);
    return ok;
}
