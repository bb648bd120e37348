/* What `spica run --show-contention` measured: one candidate alone and beside copies of itself, as
 * its event holds it (docs/REPORT.md). The last event of the kind counts. A damaged one is left
 * out: it answers a question beside the study's own. */
#include "report/build.h"

#include "base/json.h"

#include <math.h>
#include <string.h>

static struct report_crowd_value value_of(const json_t *row, const char *key)
{
    const json_t *value = json_object_get(row, key);
    return (struct report_crowd_value){json_get_real(value, "value"), json_get_real(value, "low"),
                                       json_get_real(value, "high")};
}

static void add_row(struct report_builder *b, struct report_crowd *crowd, const json_t *row)
{
    const char *name = json_get_text(row, "metric"), *stat = json_get_text(row, "stat");
    const char *service = json_get_text(row, "service");
    int metric = name ? metric_from_name(name) : -1;
    if (metric < 0 || !service)
        return;
    crowd->rows[crowd->row_count++] = (struct report_crowd_row){
        .name = arena_printf(b->arena, "%s %s%s%s", service, name, stat && *stat ? " " : "",
                             stat ? stat : ""),
        .unit = metric_facts((enum metric)metric)->unit,
        .alone = value_of(row, "alone"),
        .crowded = value_of(row, "crowded"),
        .ratio = value_of(row, "ratio"),
    };
}

static void add_service(struct report_builder *b, struct report_crowd *crowd, const json_t *item)
{
    const char *name = json_get_text(item, "service"), *why = json_get_text(item, "why_no_more");
    if (name)
        crowd->services[crowd->service_count++] = (struct report_crowd_service){
            arena_strdup(b->arena, name), json_get_int(item, "copies", 0),
            arena_strdup(b->arena, why)};
}

static struct report_crowd *crowd_of(struct report_builder *b, const char *detail)
{
    AUTO_JSON json_t *json = detail ? json_loads(detail, 0, NULL) : NULL;
    const json_t *rows = json_object_get(json, "metrics");
    const json_t *services = json_object_get(json, "services");
    if (json_array_size(rows) == 0)
        return NULL;
    struct report_crowd *crowd = arena_alloc(b->arena, sizeof *crowd);
    *crowd = (struct report_crowd){
        .candidate = arena_strdup(b->arena, json_get_text(json, "candidate")),
        .device = arena_strdup(b->arena, json_get_text(json, "device")),
        .copies = json_get_int(json, "copies", 0),
        .window_s = json_get_real(json, "window_s"),
    };
    crowd->rows = arena_array(b->arena, json_array_size(rows), sizeof *crowd->rows);
    crowd->services = arena_array(b->arena, json_array_size(services) + 1, sizeof *crowd->services);
    for (size_t i = 0; i < json_array_size(rows); i++)
        add_row(b, crowd, json_array_get(rows, i));
    for (size_t i = 0; i < json_array_size(services); i++)
        add_service(b, crowd, json_array_get(services, i));
    return crowd;
}

void report_build_crowd(struct report_builder *b, const struct store_event *events, size_t count)
{
    for (size_t i = count; i-- > 0 && !b->view->crowd;)
        if (strcmp(events[i].kind, "contention") == 0)
            b->view->crowd = crowd_of(b, events[i].detail);
}
