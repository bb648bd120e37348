/* The searches for how much a service can take, for report.json (docs/REPORT.md). */
#include "report/view.h"

#include <string.h>

static json_t *point_json(const struct store_capacity_point *p)
{
    json_t *object = json_pack(
        "{s:o, s:o, s:o, s:b, s:I, s:I, s:o}", "level", json_real_or_null(p->level), "verdict",
        json_text_or_null(p->outcome), "window_s", json_real_or_null(p->window_s), "early",
        p->early, "requests", (json_int_t)p->requests, "failed", (json_int_t)p->failed, "broke",
        json_text_or_null(p->broke));
    const struct {
        const char *key;
        double value;
    } reals[] = {
        {"p50", p->p50},
        {"p50_low", p->p50_low},
        {"p50_high", p->p50_high},
        {"p95", p->p95},
        {"p95_low", p->p95_low},
        {"p95_high", p->p95_high},
        {"answered_per_s", p->answered_rps},
        {"good_per_s", p->good_rps},
    };
    for (size_t i = 0; i < ARRAY_LEN(reals); i++)
        json_object_set_new(object, reals[i].key, json_real_or_null(reals[i].value));
    return object;
}

json_t *report_capacity_json(const struct report_capacity *c)
{
    const struct store_capacity *f = c->found;
    json_t *points = json_array();
    AUTO(buf_done) struct buf text = BUF_INIT(1024);
    report_add_capacity(&text, f);
    for (size_t i = 0; i < c->point_count; i++)
        json_array_append_new(points, point_json(&c->points[i]));
    json_t *object =
        json_pack("{s:o, s:I, s:o, s:o, s:b, s:o, s:o}", "candidate",
                  json_text_or_null(c->candidate ? c->candidate->text : NULL), "trial",
                  (json_int_t)c->trial, "service", json_text_or_null(f->service), "of",
                  json_text_or_null(f->of), "beside", f->beside, "outcome",
                  json_text_or_null(f->end), "text", json_text_or_null(buf_text(&text)));
    json_object_set_new(object, "met", json_real_or_null(f->low));
    json_object_set_new(object, "missed", json_real_or_null(f->high));
    json_object_set_new(object, "unsure", json_boolean(f->unsure));
    json_object_set_new(object, "broke", json_text_or_null(f->broke));
    json_object_set_new(object, "metric", json_text_or_null(f->metric));
    json_object_set_new(object, "memory_bytes", json_real_or_null(f->memory_bytes));
    json_object_set_new(object, "duration_s", json_real_or_null(f->seconds));
    json_object_set_new(object, "points", points);
    return object;
}

json_t *report_capacities_json(const struct report_view *view)
{
    json_t *array = json_array();
    for (size_t i = 0; i < view->capacity_count; i++)
        json_array_append_new(array, report_capacity_json(&view->capacities[i]));
    return array;
}
