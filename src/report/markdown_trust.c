/* "Can I trust it?": how certain, how often and how undisturbed it was measured, what was not
 * checked, on which machine. Bounds stand beside what was measured against them. */
#include "report/finding.h"
#include "report/markdown.h"
#include "report/words.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

static const enum text_target MD = TEXT_MARKDOWN;

static void add_machine(struct buf *buf, const struct report_view *view)
{
    const struct store_study *s = &view->stored;
    buf_add(buf, "- Machine: ");
    report_add_text(buf, MD, s->device_name ? s->device_name : "unknown device");
    if (s->cores > 0 && !(s->device_name && strstr(s->device_name, "core")))
        buf_addf(buf, ", %d cores", s->cores);
    if (!isnan(s->memory_bytes)) {
        buf_add(buf, ", ");
        text_add_bytes(buf, s->memory_bytes);
    }
    if (s->device_versions && *s->device_versions) {
        buf_add(buf, "; ");
        report_add_text(buf, MD, s->device_versions);
    }
    buf_add(buf, ". Measured by spica ");
    report_add_text(buf, MD, s->spica_version ? s->spica_version : "of unknown version");
    buf_add(buf, ".\n");
}

static void add_quality(struct buf *buf, const struct report_view *view)
{
    buf_add(buf, "- Other load on the machine: ");
    if (isnan(view->worst_contention))
        buf_add(buf, "unknown");
    else
        buf_addf(buf, "at most %.1f %% of the core time in the runs of the final",
                 100 * view->worst_contention);
    buf_addf(buf, " (a run over %.0f %% does not count).\n",
             100 * view->study->measure.contention_ratio);
    buf_add(buf, "- Our own lateness when sending: p99 ");
    if (isnan(view->worst_lateness_s)) {
        buf_add(buf, "unknown");
    } else {
        buf_add(buf, "at most ");
        text_add_duration(buf, view->worst_lateness_s);
    }
    buf_add(buf, " (a run over ");
    text_add_duration(buf, (double)view->study->measure.lateness_ns / 1e9);
    buf_add(buf, ", or over 1 % of the median latency if that is more, does not count).\n");
    if (view->most_workers > 1)
        buf_addf(buf, "- Sent by %d workers, since one was too late.\n", view->most_workers);
}

static void add_proof(struct buf *buf, const struct report_view *view)
{
    const struct report_side *side = view->winner ? view->winner : view->baseline;
    if (!side || side->run_count == 0)
        return;
    if (spec_study_on_gpu(view->study))
        return; /* has a section of its own */
    for (size_t i = 0; i < side->runs[0]->service_count; i++) {
        const struct store_service *s = &side->runs[0]->services[i];
        buf_add(buf, "- Where ");
        report_add_text(buf, MD, s->name);
        buf_addf(buf, " ran: %s", s->placement ? s->placement : "not probed");
        if (s->placement_evidence) {
            buf_add(buf, " (");
            report_add_text(buf, MD, s->placement_evidence);
            buf_addc(buf, ')');
        }
        if (s->version) {
            buf_add(buf, ", version ");
            report_add_text(buf, MD, s->version);
        }
        buf_add(buf, ".\n");
    }
}

static void add_verdicts(struct buf *buf, const struct report_view *view)
{
    buf_addf(buf, "- Trials: %zu: ", view->trial_count);
    report_add_verdict_counts(buf, view);
    buf_add(buf, ". Requests stored: ");
    text_add_grouped(buf, view->requests);
    buf_add(buf, ".\n");
}

/* What was not checked, and what was not started anew. */
static void add_method(struct buf *buf, const struct report_view *view)
{
    AUTO(buf_done) struct buf kept = BUF_INIT(4096);
    report_add_kept(&kept, view);
    if (kept.len) {
        buf_add(buf, "- Restarts: the runs of the final were cold starts, every service new. While "
                     "exploring, services whose settings did not change stayed up: ");
        report_add_text(buf, MD, buf_text(&kept));
        buf_add(buf, ".\n");
    }
    for (size_t s = 0; s < view->study->service_count; s++) {
        if (!view->study->services[s].answers_unchecked)
            continue;
        buf_add(buf, "- **Answers of ");
        report_add_text(buf, MD, view->study->services[s].name);
        buf_add(buf, " were not checked** (`answers: unchecked`): its texts may be nonsense. That "
                     "requests succeeded, tokens were counted and answers ended as they should was "
                     "checked.\n");
    }
}

static void add_neighbours(struct buf *buf, const struct report_view *view)
{
    AUTO(buf_done) struct buf text = BUF_INIT(8192);
    if (view->study->neighbour_count == 0)
        return;
    report_add_neighbours(&text, view->study,
                          view->trial_count ? report_neighbour_bytes(view->trials[0].trial) : NAN);
    buf_add(buf, "- Neighbours: ");
    report_add_text(buf, MD, buf_text(&text));
    buf_add(buf, ".\n");
}

/* Of a CPU box: a GPU's report has a table of its own. */
static void add_growth(struct buf *buf, const struct report_view *view)
{
    const struct report_side *side = view->winner ? view->winner : view->baseline;
    for (size_t k = 0; side && !spec_study_on_gpu(view->study) && k < view->measure_count; k++) {
        const struct report_measure *m = &view->measures[k];
        if (m->metric != METRIC_MEMORY_GROWTH ||
            !(side->shared[k].value > REPORT_GROWTH_BYTES_PER_S))
            continue;
        buf_add(buf, "- Memory of ");
        report_add_text(buf, MD, view->study->services[m->service].name);
        buf_add(buf, " grew under load by ");
        metric_add_value(buf, m->unit, side->shared[k].value);
        buf_add(buf, ": a leak, or a cache that fills?\n");
    }
}

void report_add_trust(struct buf *buf, const struct report_view *view)
{
    buf_add(buf, "## Can I trust it?\n\n");
    if (view->statement) {
        buf_add(buf, "- Certain? ");
        report_add_text(buf, MD, view->statement);
        buf_addc(buf, '\n');
    }
    if (!isnan(view->fitness_difference)) {
        buf_addf(buf, "- Fitness against the baseline, run by run: %+.3f",
                 view->fitness_difference);
        if (!isnan(view->fitness_difference_low) && !isnan(view->fitness_difference_high))
            buf_addf(buf, " [%+.3f, %+.3f]", view->fitness_difference_low,
                     view->fitness_difference_high);
        buf_add(buf, ".\n");
    }
    if (view->side_count) {
        buf_add(buf, "- Cold starts in the final, measured of tried:");
        AUTO(buf_done) struct buf scratch = BUF_INIT(64);
        for (size_t i = 0; i < view->side_count; i++)
            buf_addf(buf, "%s %s %zu of %zu", i ? "," : "", report_side_title(view, i, &scratch),
                     view->sides[i].run_count, view->sides[i].final_count);
        buf_add(buf, ".\n");
    }
    add_verdicts(buf, view);
    add_method(buf, view);
    if (view->side_count)
        add_quality(buf, view);
    report_add_steadiness(buf, view);
    add_proof(buf, view);
    add_growth(buf, view);
    add_machine(buf, view);
    add_neighbours(buf, view);
    buf_addf(buf, "- Study file: sha256 %.16s..., seed %" PRIu64 ".\n\n",
             view->stored.digest ? view->stored.digest : "unknown", view->stored.seed);
}
