/* GPUs as JSON, for report.json and winner.json: placement with both pieces of evidence, memory per
 * service, readings of the cards; and what was left out or kept up. docs/REPORT.md names each. */
#include "report/markdown.h"
#include "report/winner.h"
#include "report/words.h"

#include <math.h>
#include <string.h>

static const char *const gauge_names[GAUGE_COUNT_] = {
    [GAUGE_FREE_BEFORE] = "free_before_bytes",
    [GAUGE_FREE_IDLE] = "free_idle_bytes",
    [GAUGE_FREE_LEAST] = "free_least_bytes",
    [GAUGE_FREE_AFTER] = "free_after_bytes",
    [GAUGE_NEIGHBOURS] = "neighbours_bytes",
    [GAUGE_STRANGERS] = "strangers_bytes",
    [GAUGE_BUSY] = "busy_ratio",
    [GAUGE_TEMPERATURE] = "temperature_celsius",
    [GAUGE_POWER] = "power_watt",
    [GAUGE_POWER_LIMIT] = "power_limit_watt",
    [GAUGE_SM_CLOCK] = "sm_clock_hz",
};

static json_t *span_json(const struct report_span *span)
{
    return json_pack("{s:o, s:o, s:o, s:I}", "value", json_real_or_null(span->mean), "low",
                     json_real_or_null(span->low), "high", json_real_or_null(span->high), "runs",
                     (json_int_t)span->runs);
}

json_t *report_cards_json(const struct report_side *side)
{
    json_t *list = json_array();
    for (size_t i = 0; i < side->card_count; i++) {
        const struct report_card *card = &side->cards[i];
        json_t *object = json_object();
        json_object_set_new(object, "device", json_text_or_null(card->device));
        for (int g = 0; g < GAUGE_COUNT_; g++)
            json_object_set_new(object, gauge_names[g], span_json(&card->gauges[g]));
        json_object_set_new(object, "throttled_runs",
                            card->throttle_known ? json_integer((json_int_t)card->throttled)
                                                 : json_null());
        json_object_set_new(object, "throttle", json_text_or_null(card->throttle));
        json_object_set_new(object, "noted_runs", json_integer((json_int_t)card->noted));
        json_object_set_new(object, "notes", json_text_or_null(card->notes));
        json_array_append_new(list, object);
    }
    return list;
}

/* The first run's proof of each service. */
json_t *report_placement_json(const struct report_side *side)
{
    json_t *list = json_array();
    const struct store_trial *run = side->run_count ? side->runs[0] : NULL;
    for (size_t i = 0; run && i < run->service_count; i++) {
        const struct store_service *s = &run->services[i];
        const struct store_reading *saw =
            report_reading(run, NULL, s->name, "probe", "CUDA_VISIBLE_DEVICES");
        json_t *object = json_object();
        json_object_set_new(object, "service", json_text_or_null(s->name));
        json_object_set_new(object, "placement", json_text_or_null(s->placement));
        json_object_set_new(object, "evidence", json_text_or_null(s->placement_evidence));
        json_object_set_new(object, "engine", json_text_or_null(s->engine));
        json_object_set_new(object, "version", json_text_or_null(s->version));
        if (spec_device_is_gpu(s->device)) {
            json_object_set_new(object, "device", json_text_or_null(s->device));
            json_object_set_new(object, "cuda_visible_devices",
                                json_text_or_null(saw ? saw->words : NULL));
        }
        json_array_append_new(list, object);
    }
    return list;
}

static json_t *bounds_json(const struct report_view *view)
{
    json_t *list = json_array();
    for (size_t i = 0; i < view->bound_count; i++) {
        const struct report_bound *bound = &view->bounds[i];
        AUTO(buf_done) struct buf reason = BUF_INIT(4096);
        report_add_reason(&reason, view->study, bound->trial);
        json_array_append_new(list,
                              json_pack("{s:I, s:o, s:o, s:I, s:b, s:o}", "trial",
                                        (json_int_t)bound->trial->number, "bound",
                                        json_text_or_null(bound->trial->bound), "service",
                                        json_text_or_null(bound->trial->service), "candidates",
                                        (json_int_t)bound->count, "at_least", view->bounds_at_least,
                                        "reason", json_text_or_null(buf_text(&reason))));
    }
    return list;
}

static json_t *kept_json(const struct report_view *view)
{
    json_t *list = json_array();
    for (size_t s = 0; s < view->study->service_count; s++) {
        const struct report_kept *kept = &view->kept[s];
        if (kept->times)
            json_array_append_new(list, json_pack("{s:o, s:I, s:o, s:I}", "service",
                                                  json_text_or_null(kept->service), "trials",
                                                  (json_int_t)kept->times, "saved_s",
                                                  json_real_or_null(kept->saved_s),
                                                  "unknown_starts", (json_int_t)kept->unknown));
    }
    return list;
}

static json_t *fallbacks_json(const struct report_view *view)
{
    json_t *list = json_array();
    for (size_t i = 0; i < view->fallback_count; i++) {
        const struct report_fallback *f = &view->fallbacks[i];
        json_array_append_new(
            list,
            json_pack("{s:I, s:o, s:o, s:I, s:o, s:o, s:o}", "trial", (json_int_t)f->trial->number,
                      "service", json_text_or_null(f->metric->service), "latency_p50_s",
                      json_real_or_null(f->metric->value), "count", (json_int_t)f->metric->count,
                      "gpu_trial", f->twin ? json_integer(f->twin->number) : json_null(),
                      "gpu_mode", json_text_or_null(f->twin ? f->twin_metric->mode : NULL),
                      "gpu_latency_p50_s",
                      json_real_or_null(f->twin ? f->twin_metric->value : NAN)));
    }
    return list;
}

static json_t *crowd_value_json(const struct report_crowd_value *v)
{
    return json_pack("{s:o, s:o, s:o}", "value", json_real_or_null(v->value), "low",
                     json_real_or_null(v->low), "high", json_real_or_null(v->high));
}

static json_t *crowd_json(const struct report_crowd *crowd)
{
    if (!crowd)
        return json_null();
    json_t *rows = json_object();
    for (size_t i = 0; i < crowd->row_count; i++)
        json_object_set_new(rows, crowd->rows[i].name,
                            json_pack("{s:o, s:o, s:o}", "alone",
                                      crowd_value_json(&crowd->rows[i].alone), "crowded",
                                      crowd_value_json(&crowd->rows[i].crowded), "ratio",
                                      crowd_value_json(&crowd->rows[i].ratio)));
    return json_pack("{s:o, s:o, s:I, s:o, s:o}", "candidate", json_text_or_null(crowd->candidate),
                     "device", json_text_or_null(crowd->device), "copies",
                     (json_int_t)crowd->copies, "window_s", json_real_or_null(crowd->window_s),
                     "metrics", rows);
}

void report_set_device_json(json_t *root, const struct report_view *view)
{
    json_object_set_new(root, "not_run_for_memory", bounds_json(view));
    json_object_set_new(root, "services_kept_up", kept_json(view));
    json_object_set_new(root, "contention", crowd_json(view->crowd));
    json_object_set_new(root, "compared", report_compared_json(view));
    json_object_set_new(root, "wrong_place", fallbacks_json(view));
}
