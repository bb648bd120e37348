/* Readings of GPUs over the runs of a finalist, and restarts that were not needed.
 *
 * A card's reading is told as the mean of the runs with the least and the largest, like every other
 * number that a run has once; free memory at its least is the least of all runs, since the question
 * behind it is whether anything else would have fitted. A CPU box has no cards: its free memory
 * moves with the page cache and says little. */
#include "report/build.h"

#include "stats/summary.h"

#include <math.h>
#include <string.h>

static const struct {
    const char *phase, *name;
} sources[GAUGE_COUNT_] = {
    [GAUGE_FREE_BEFORE] = {"before", "free"},
    [GAUGE_FREE_IDLE] = {"start", "free"},
    [GAUGE_FREE_LEAST] = {"measure", "free, least"},
    [GAUGE_FREE_AFTER] = {"after", "free"},
    [GAUGE_NEIGHBOURS] = {"before", "neighbours"},
    [GAUGE_STRANGERS] = {"before", "strangers"},
    [GAUGE_BUSY] = {"measure", "busy mean"},
    [GAUGE_TEMPERATURE] = {"measure", "temperature"},
    [GAUGE_POWER] = {"measure", "power"},
    [GAUGE_POWER_LIMIT] = {"measure", "power_limit"},
    [GAUGE_SM_CLOCK] = {"measure", "sm_clock"},
};

static bool is_text(const char *a, const char *b)
{
    return a && b ? strcmp(a, b) == 0 : a == b;
}

const struct store_reading *report_reading(const struct store_trial *trial, const char *device,
                                           const char *service, const char *phase, const char *name)
{
    for (size_t i = 0; i < trial->reading_count; i++) {
        const struct store_reading *r = &trial->readings[i];
        if (strcmp(r->name, name) == 0 && strcmp(r->phase, phase) == 0 &&
            is_text(r->service, service) && (!device || is_text(r->device, device)))
            return r;
    }
    return NULL;
}

double report_gauge(const struct store_trial *trial, const char *device, enum report_gauge gauge)
{
    const struct store_reading *r =
        report_reading(trial, device, NULL, sources[gauge].phase, sources[gauge].name);
    return r ? r->value : NAN;
}

static void fill_notes(const struct store_trial *run, struct report_card *card)
{
    const struct store_reading *r = report_reading(run, card->device, NULL, "before", "notes");
    if (!r || !r->words)
        return;
    card->noted++;
    card->notes = r->words;
}

static void fill_card(struct report_builder *b, const struct report_side *side,
                      struct report_card *card)
{
    double *values = arena_array(b->arena, side->run_count + 1, sizeof *values);
    for (int g = 0; g < GAUGE_COUNT_; g++) {
        size_t known = 0;
        for (size_t i = 0; i < side->run_count; i++) {
            double value = report_gauge(side->runs[i], card->device, (enum report_gauge)g);
            if (!isnan(value))
                values[known++] = value;
        }
        struct stats_summary summary = stats_summary_of(values, known);
        card->gauges[g] = (struct report_span){summary.mean, summary.min, summary.max, known};
    }
    for (size_t i = 0; i < side->run_count; i++) {
        const struct store_reading *r =
            report_reading(side->runs[i], card->device, NULL, "measure", "throttle");
        fill_notes(side->runs[i], card);
        if (!r || isnan(r->value))
            continue;
        card->throttle_known++;
        if (!r->words || !*r->words)
            continue;
        card->throttled++;
        card->throttle = r->words;
    }
}

void report_build_cards(struct report_builder *b, struct report_side *side)
{
    const struct spec_study *study = b->view->study;
    side->cards = arena_array(b->arena, study->device_count + 1, sizeof *side->cards);
    for (size_t d = 0; d < study->device_count; d++) {
        struct report_card *card = &side->cards[side->card_count];
        *card = (struct report_card){.device = study->devices[d]};
        if (!spec_device_is_gpu(card->device))
            continue;
        fill_card(b, side, card);
        bool read = false;
        for (int g = 0; g < GAUGE_COUNT_; g++)
            read = read || card->gauges[g].runs > 0;
        side->card_count += read; /* a card that these runs did not use was not read */
    }
}

/* Start to ready of a service in the trial that started it; NaN: not stored. */
static double start_of(const struct report_view *view, const char *service, int64_t number)
{
    for (size_t i = 0; i < view->trial_count; i++) {
        const struct store_trial *t = view->trials[i].trial;
        for (size_t k = 0; t->number == number && k < t->service_count; k++)
            if (strcmp(t->services[k].name, service) == 0)
                return t->services[k].ready_s;
    }
    return NAN;
}

void report_build_kept(struct report_builder *b)
{
    struct report_view *view = b->view;
    view->kept = arena_array(b->arena, view->study->service_count + 1, sizeof *view->kept);
    for (size_t s = 0; s < view->study->service_count; s++) {
        struct report_kept *kept = &view->kept[s];
        *kept = (struct report_kept){.service = view->study->services[s].name};
        for (size_t i = 0; i < view->trial_count; i++) {
            const struct store_trial *t = view->trials[i].trial;
            for (size_t k = 0; k < t->service_count; k++) {
                const struct store_service *service = &t->services[k];
                if (strcmp(service->name, kept->service) != 0 || service->started_in_trial <= 0 ||
                    service->started_in_trial >= t->number)
                    continue;
                double ready_s = start_of(view, kept->service, service->started_in_trial);
                kept->times++;
                kept->unknown += isnan(ready_s);
                kept->saved_s += isnan(ready_s) ? 0 : ready_s;
            }
        }
    }
}
