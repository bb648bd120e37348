/* Why a trial failed, in the numbers that the failing service itself gave.
 *
 * A hint is what a log signature took from the log ("asked 63.72 GiB, 56.18 GiB free"): it says
 * more than the class of the failure, which the verdict beside it names already. Whose memory it
 * stood beside is added when the hint speaks of what was free, since that is the next question. */
#include "report/report.h"
#include "report/words.h"

#include <math.h>
#include <string.h>

static const double NOTICED_BYTES = 64 << 20;

const char *report_hint(const struct store_trial *trial, const char **ret_service)
{
    for (size_t i = 0; i < trial->evidence_count; i++) {
        const struct store_evidence *e = &trial->evidence[i];
        if (e->kind && e->text && *e->text && strcmp(e->kind, "hint") == 0) {
            *ret_service = e->service;
            return e->text;
        }
    }
    return NULL;
}

static const char *name_of(const struct spec_neighbour *neighbour)
{
    return neighbour->unit      ? neighbour->unit
           : neighbour->command ? neighbour->command
           : neighbour->pid     ? "a process by pid"
                                : "memory nobody is seen to hold";
}

static void add_names(struct buf *buf, const struct spec_study *study)
{
    for (size_t i = 0; i < study->neighbour_count; i++) {
        const struct spec_neighbour *n = &study->neighbours[i];
        buf_add(buf, i ? ", " : "");
        if (n->pid && !n->unit && !n->command)
            buf_addf(buf, "pid %lld", (long long)n->pid);
        else
            report_add_text(buf, TEXT_TERMINAL, name_of(n));
    }
}

void report_add_neighbours(struct buf *buf, const struct spec_study *study, double bytes)
{
    bool one = study->neighbour_count == 1;
    if (study->neighbour_count == 0)
        return;
    add_names(buf, study);
    if (!isnan(bytes)) {
        buf_addc(buf, ' ');
        text_add_bytes(buf, bytes);
        buf_add(buf, one ? "" : " together");
    }
    buf_add(buf, one ? " (stays)" : " (stay)");
}

/* Held by neighbours before the trial, over all its devices. */
double report_neighbour_bytes(const struct store_trial *trial)
{
    double sum = NAN;
    for (size_t i = 0; i < trial->reading_count; i++) {
        const struct store_reading *r = &trial->readings[i];
        if (r->service || strcmp(r->phase, "before") != 0 || strcmp(r->name, "neighbours") != 0)
            continue;
        sum = isnan(sum) ? r->value : sum + r->value;
    }
    return sum;
}

static bool ends_in(const char *text, const char *word)
{
    size_t a = strlen(text), b = strlen(word);
    return a >= b && strcmp(text + a - b, word) == 0;
}

void report_add_reason(struct buf *buf, const struct spec_study *study,
                       const struct store_trial *trial)
{
    const char *service = NULL, *hint = report_hint(trial, &service);
    if (!hint) {
        report_add_text(buf, TEXT_TERMINAL, trial->summary);
        return;
    }
    if (service) {
        report_add_text(buf, TEXT_TERMINAL, service);
        buf_add(buf, ": ");
    }
    report_add_text(buf, TEXT_TERMINAL, hint);
    if (study->neighbour_count && ends_in(hint, "free") &&
        report_neighbour_bytes(trial) > NOTICED_BYTES) {
        buf_add(buf, " beside ");
        add_names(buf, study);
    }
}

static const struct store_service *service_of(const struct store_trial *trial, const char *name)
{
    for (size_t i = 0; i < trial->service_count; i++)
        if (strcmp(trial->services[i].name, name) == 0)
            return &trial->services[i];
    return NULL;
}

static bool was_on(const struct report_side *side, size_t runs, const char *service,
                   const char *device)
{
    for (size_t i = 0; i < runs; i++) {
        const struct store_service *s = service_of(side->runs[i], service);
        if (s && s->device && strcmp(s->device, device) == 0)
            return true;
    }
    return false;
}

bool report_add_devices(struct buf *buf, const struct report_side *side, const char *service)
{
    bool proven = side->run_count > 0, any = false;
    for (size_t i = 0; i < side->run_count; i++) {
        const struct store_service *s = service_of(side->runs[i], service);
        proven = proven && s && s->placement && strcmp(s->placement, "gpu") == 0;
        if (!s || !s->device || was_on(side, i, service, s->device))
            continue;
        buf_add(buf, any ? ", " : "");
        report_add_text(buf, TEXT_TERMINAL, s->device);
        any = true;
    }
    if (!any)
        buf_add(buf, "unknown");
    return proven;
}

void report_add_bound(struct buf *buf, const struct report_view *view, size_t index)
{
    const struct report_bound *bound = &view->bounds[index];
    const struct store_trial *trial = bound->trial;
    buf_add(buf, view->bounds_at_least ? "at least " : "");
    text_add_grouped(buf, bound->count);
    buf_addf(buf, " candidate%s ", bound->count == 1 ? "" : "s");
    if (strcmp(trial->bound, "above") == 0) {
        buf_addf(buf, "that ask%s for no less memory", bound->count == 1 ? "s" : "");
    } else {
        buf_addf(buf, "that leave%s ", bound->count == 1 ? "s" : "");
        report_add_text(buf, TEXT_TERMINAL, trial->service ? trial->service : "the service");
        buf_add(buf, " no more memory");
    }
    buf_addf(buf, " %s not run: #%lld failed so (", bound->count == 1 ? "was" : "were",
             (long long)trial->number);
    report_add_reason(buf, view->study, trial);
    buf_addc(buf, ')');
}

static const char *place_of(const struct store_trial *trial, const char *service)
{
    const struct store_service *s = service_of(trial, service);
    if (!s || !s->placement)
        return "where it ran";
    return strcmp(s->placement, "cpu") == 0       ? "on the CPU"
           : strcmp(s->placement, "partial") == 0 ? "partly on the CPU"
                                                  : "where it ran";
}

void report_add_fallback(struct buf *buf, const struct report_fallback *f)
{
    report_add_text(buf, TEXT_TERMINAL, f->metric->service);
    buf_addf(buf, " %s: latency p50 ", place_of(f->trial, f->metric->service));
    text_add_duration(buf, f->metric->value);
    buf_addf(buf, " (n=%lld)", (long long)f->metric->count);
    if (!f->twin) {
        buf_add(buf, "; no trial of the same other settings shows it on the GPU");
        return;
    }
    double factor = f->metric->value / f->twin_metric->value;
    buf_add(buf, ", ");
    if (factor >= 10)
        buf_addf(buf, "%.0f times ", factor);
    else
        buf_addf(buf, "%.1f times ", factor);
    buf_add(buf, "the GPU's ");
    text_add_duration(buf, f->twin_metric->value);
    buf_addf(buf, " (#%lld", (long long)f->twin->number);
    if (*f->twin_changes) {
        buf_add(buf, ", ");
        report_add_text(buf, TEXT_TERMINAL, f->twin_changes);
    }
    buf_add(buf, strcmp(f->twin_metric->mode, "alone") == 0 ? ", alone)" : ", beside the others)");
}

void report_add_kept(struct buf *buf, const struct report_view *view)
{
    double saved_s = 0;
    size_t times = 0, unknown = 0;
    size_t before = buf->len;
    for (size_t s = 0; s < view->study->service_count; s++) {
        const struct report_kept *kept = &view->kept[s];
        if (kept->times == 0)
            continue;
        buf_add(buf, buf->len > before ? ", " : "");
        report_add_text(buf, TEXT_TERMINAL, kept->service);
        buf_addf(buf, " in %zu trial%s (", kept->times, kept->times == 1 ? "" : "s");
        text_add_duration(buf, kept->saved_s);
        buf_addc(buf, ')');
        times += kept->times;
        unknown += kept->unknown;
        saved_s += kept->saved_s;
    }
    if (times == 0)
        return;
    buf_add(buf, ": ");
    text_add_duration(buf, saved_s);
    buf_add(buf, " of starts saved");
    if (unknown)
        buf_addf(buf, ", and %zu starts of unknown length", unknown);
}
