/* Errors by kind, as they are shown: in /status and /metrics.
 *
 * A ratio says that something is wrong, a kind what: nobody took the request, the server answered
 * an error, was cut off, or the client was refused or left. Each source has its own words, those of
 * its own table: HAProxy's log those of proxy_end_names, a probe those of load_error_name(). Two of
 * HAProxy's kinds are in no error ratio ("client left", "refused": nobody's fault here); they are
 * shown all the same, since a wave of them is worth a look. Rejected: one set of words for both. A
 * probe knows a dozen ways to fail, and HAProxy five.
 *
 * Every kind has its series from the beginning, at 0: increase() of one that begins with its first
 * error would miss it. */
#include "guard/openmetrics_line.h"
#include "guard/status_inside.h"

#include "load/record.h"

#include <assert.h>

static_assert((int)LOAD_ERROR_COUNT_ <= (int)GUARD_KINDS_MAX, "each kind has its place");
static_assert((int)PROXY_END_COUNT_ <= (int)GUARD_KINDS_MAX, "each kind has its place");

const char *guard_kind_name(enum guard_source source, size_t kind)
{
    if (source == SOURCE_REQUESTS && kind > PROXY_OK && kind < PROXY_END_COUNT_)
        return proxy_end_names[kind];
    if (source == SOURCE_PROBE && kind > LOAD_OK && kind < LOAD_ERROR_COUNT_ && kind != LOAD_RELOAD)
        return load_error_name((enum load_error)kind);
    return NULL;
}

void guard_status_kinds(struct guard_status *status, size_t service, enum guard_source source,
                        const struct guard_kinds *kinds)
{
    struct status_kinds *into = &status->kinds[service * SOURCE_COUNT_ + source];
    into->told = true;
    into->kinds = *kinds;
}

static const struct status_kinds *find(const struct guard_status *status, size_t service,
                                       int source)
{
    const struct status_kinds *found = &status->kinds[service * SOURCE_COUNT_ + (size_t)source];
    return found->told ? found : NULL;
}

static json_t *source_json(const struct guard_kinds *kinds, enum guard_source source)
{
    json_t *object = json_object();
    for (size_t k = 0; k < GUARD_KINDS_MAX; k++) {
        const char *name = guard_kind_name(source, k);
        if (name)
            json_object_set_new(object, name,
                                json_pack("{s:I, s:I}", "window", (json_int_t)kinds->window[k],
                                          "total", (json_int_t)kinds->total[k]));
    }
    return object;
}

json_t *guard_status_kinds_json(const struct guard_status *status)
{
    json_t *services = json_object();
    for (size_t i = 0; i < status->study->service_count; i++) {
        json_t *sources = json_object();
        for (int s = SOURCE_REQUESTS; s < SOURCE_COUNT_; s++) {
            const struct status_kinds *found = find(status, i, s);
            if (found)
                json_object_set_new(sources, guard_source_names[s],
                                    source_json(&found->kinds, (enum guard_source)s));
        }
        json_object_set_new(services, status->study->services[i].name, sources);
    }
    return services;
}

void guard_status_expose_kinds(struct line_out *out)
{
    static const struct line_family family = {
        "spica_service_errors", FAMILY_COUNTER, NULL,
        "requests that did not end well since guard began, by how they ended"};
    const struct guard_status *status = out->status;
    openmetrics_line_head(out, &family, family.help);
    for (size_t i = 0; i < status->study->service_count; i++)
        for (int s = SOURCE_REQUESTS; s < SOURCE_COUNT_; s++) {
            const struct status_kinds *found = find(status, i, s);
            for (size_t k = 0; found && k < GUARD_KINDS_MAX; k++) {
                const char *name = guard_kind_name((enum guard_source)s, k);
                const struct line_label labels[LINE_LABELS_MAX] = {
                    {"service", status->study->services[i].name},
                    {"source", guard_source_names[s]},
                    {"kind", name}};
                if (name)
                    openmetrics_line_sample(out, &family, labels, (double)found->kinds.total[k]);
            }
        }
}
