/* What the study says will change: each number of the report's headline, before and after, with its
 * interval and the change in the report's own words, so that a plan promises what the report says
 * and nothing else. "Now" is the baseline as it was measured, not production as it is.
 *
 * Memory is compared by the largest peak of each service over its measured runs, added up: services
 * peak at different moments, so it is what must be free to be safe. */
#include "promote/draft.h"

#include "report/words.h"

#include <math.h>
#include <string.h>

double promote_peak_bytes(const struct report_side *side, const char *service)
{
    double peak = NAN;
    for (size_t i = 0; side && i < side->run_count; i++)
        for (size_t k = 0; k < side->runs[i]->service_count; k++) {
            const struct store_service *s = &side->runs[i]->services[k];
            if (strcmp(s->name, service) == 0)
                peak = fmax(peak, s->peak_memory_bytes); /* fmax passes over NaN */
        }
    return peak;
}

static double sum_peaks(const struct spec_study *study, const struct report_side *side)
{
    double sum = 0;
    for (size_t i = 0; i < study->service_count; i++)
        sum += promote_peak_bytes(side, study->services[i].name);
    return sum;
}

static const char *change_words(struct promote_draft *draft, const struct report_measure *measure,
                                size_t index)
{
    AUTO(buf_done) struct buf text = BUF_INIT(4096);
    if (draft->then->against && draft->now && draft->now != draft->then)
        report_add_change(&text, measure, &draft->then->against[index]);
    return arena_strdup(draft->context.plan->arena, buf_text(&text));
}

void promote_expect(struct promote_draft *draft)
{
    struct promote_plan *plan = draft->context.plan;
    const struct report_view *view = draft->view;
    plan->expectations = arena_array(plan->arena, view->measure_count, sizeof *plan->expectations);
    for (size_t i = 0; i < view->measure_count; i++) {
        const struct report_measure *m = &view->measures[i];
        if (!m->headline)
            continue;
        const struct report_number *then = &draft->then->shared[i];
        plan->expectations[plan->expectation_count++] = (struct promote_expectation){
            .metric = arena_strdup(plan->arena, m->name),
            .unit = (int)m->unit,
            .now = draft->now ? draft->now->shared[i].value : NAN,
            .kind = (int)then->kind,
            .runs = then->runs,
            .then = then->value,
            .then_low = then->low,
            .then_high = then->high,
            .words = change_words(draft, m, i),
        };
    }
    plan->memory_before_bytes = draft->now ? sum_peaks(plan->study, draft->now) : NAN;
    plan->memory_after_bytes = sum_peaks(plan->study, draft->then);
}
