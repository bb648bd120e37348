/* How slow it was where it should not have computed: latencies of a service that ran on the CPU
 * although it should have run on the GPU, beside those of the same service on the GPU.
 *
 * They are evidence of what such a mistake costs, and never fitness: the trial failed. The other
 * side is a trial whose services had the same settings, but for at most one knob of that service
 * (the one that misled it); a run of it alone is taken before one beside the others, as the service
 * in the wrong place was loaded alone. */
#include "report/build.h"

#include "spec/metric.h"

#include <math.h>
#include <string.h>

static const struct store_metric *latency(const struct store_trial *trial, const char *service,
                                          const char *mode)
{
    for (size_t i = 0; i < trial->metric_count; i++) {
        const struct store_metric *m = &trial->metrics[i];
        if (strcmp(m->service, service) == 0 && strcmp(m->mode, mode) == 0 &&
            strcmp(m->metric, metric_facts(METRIC_LATENCY)->name) == 0 &&
            strcmp(m->stat, metric_stat_name(STAT_P50)) == 0)
            return m;
    }
    return NULL;
}

static bool ran_on_gpu(const struct store_trial *trial, const char *service)
{
    for (size_t i = 0; i < trial->service_count; i++)
        if (strcmp(trial->services[i].name, service) == 0)
            return trial->services[i].placement && strcmp(trial->services[i].placement, "gpu") == 0;
    return false;
}

/* Knobs in which two candidates differ; -1: not only in one of that service. */
static int distance(const struct report_view *view, const struct report_candidate *a,
                    const struct report_candidate *b, const char *service, size_t *ret_knob)
{
    int differing = 0;
    for (size_t k = 0; k < view->study->knob_count; k++) {
        if (a->values.index[k] == b->values.index[k])
            continue;
        const struct spec_knob *knob = &view->study->knobs[k];
        if (strcmp(view->study->services[knob->service].name, service) != 0 || ++differing > 1)
            return -1;
        *ret_knob = k;
    }
    return differing;
}

static void find_twin(struct report_builder *b, const struct report_trial *t,
                      struct report_fallback *f)
{
    const struct report_view *view = b->view;
    const char *service = f->metric->service;
    int best = -1;
    for (size_t i = 0; i < view->trial_count; i++) {
        const struct report_trial *other = &view->trials[i];
        size_t knob = 0;
        if (!verdict_facts(other->verdict)->has_fitness || !other->candidate->parsed ||
            !t->candidate->parsed || !ran_on_gpu(other->trial, service))
            continue;
        int far = distance(view, t->candidate, other->candidate, service, &knob);
        const struct store_metric *alone = latency(other->trial, service, "alone");
        const struct store_metric *found = alone ? alone : latency(other->trial, service, "shared");
        int rank = far < 0 || !found ? -1 : 2 * (1 - far) + (alone != NULL);
        if (rank <= best)
            continue;
        best = rank;
        f->twin = other->trial;
        f->twin_metric = found;
        const struct spec_value *value =
            far ? spec_candidate_value(view->study, &other->candidate->values, knob) : NULL;
        f->twin_changes = value ? arena_printf(b->arena, "%s=%s",
                                               view->study->knobs[knob].full_name, value->label)
                                : "";
    }
}

void report_build_fallbacks(struct report_builder *b)
{
    struct report_view *view = b->view;
    view->fallbacks = arena_array(b->arena, view->trial_count + 1, sizeof *view->fallbacks);
    for (size_t i = 0; i < view->trial_count; i++) {
        const struct report_trial *t = &view->trials[i];
        for (size_t k = 0; k < t->trial->service_count; k++) {
            const struct store_metric *m =
                latency(t->trial, t->trial->services[k].name, "fallback");
            if (!m || isnan(m->value))
                continue;
            struct report_fallback *f = &view->fallbacks[view->fallback_count++];
            *f = (struct report_fallback){.trial = t->trial, .metric = m};
            find_twin(b, t, f);
            break; /* one service is at fault, and only it was loaded */
        }
    }
}

const struct report_fallback *report_find_fallback(const struct report_view *view,
                                                   const struct store_trial *trial)
{
    for (size_t i = 0; i < view->fallback_count; i++)
        if (view->fallbacks[i].trial == trial)
            return &view->fallbacks[i];
    return NULL;
}
