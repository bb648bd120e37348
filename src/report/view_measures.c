/* Which numbers a report shows. What the goal asks for comes first, as it stands in the study file;
 * then, service by service, what everybody asks for of a service that does this kind of work. The
 * short tables show the key ones, the long tables and the JSON show all. */
#include "report/build.h"

#include <string.h>

struct standard {
    enum metric metric;
    enum metric_stat stat;
    bool key;
    bool gpu; /* only of a service that may be on a GPU: elsewhere it says nothing new */
};

static const struct standard standards[] = {
    {METRIC_LATENCY, STAT_P50, false, false},
    {METRIC_LATENCY, STAT_P95, true, false},
    {METRIC_LATENCY, STAT_P99, false, false},
    {METRIC_TTFT, STAT_P50, false, false},
    {METRIC_TTFT, STAT_P95, true, false},
    {METRIC_TURN, STAT_P50, true, false},
    {METRIC_TURN, STAT_P95, true, false},
    {METRIC_TURN_ERRORS, STAT_VALUE, true, false},
    {METRIC_ITL, STAT_P50, false, false},
    {METRIC_ITL, STAT_P95, false, false},
    {METRIC_RTF, STAT_P50, false, false},
    {METRIC_TOKENS_PER_S, STAT_VALUE, true, false},
    {METRIC_REQUESTS_PER_S, STAT_VALUE, false, false},
    {METRIC_WER, STAT_VALUE, true, false},
    {METRIC_ERRORS, STAT_VALUE, true, false},
    {METRIC_ERROR_RATIO, STAT_VALUE, false, false},
    {METRIC_MEMORY, STAT_VALUE, true, false},
    {METRIC_CPU, STAT_VALUE, false, false},
    {METRIC_READY, STAT_VALUE, false, false},
    {METRIC_FIRST_REQUEST, STAT_VALUE, false, false},
    {METRIC_MEMORY_IDLE, STAT_VALUE, false, true},
    {METRIC_MEMORY_GROWTH, STAT_VALUE, false, false},
    {METRIC_HOST_MEMORY, STAT_VALUE, false, true},
};

static bool is_about_requests(enum metric metric)
{
    return metric != METRIC_MEMORY && metric != METRIC_CPU && metric != METRIC_READY &&
           metric != METRIC_MEMORY_IDLE && metric != METRIC_HOST_MEMORY;
}

bool report_is_on_gpu(const struct spec_study *study, size_t service)
{
    const struct spec_service *s = &study->services[service];
    if (s->device_knob < 0)
        return spec_device_is_gpu(study->devices[s->device]);
    const struct spec_knob *knob = &study->knobs[s->device_knob];
    for (size_t i = 0; i < knob->value_count; i++)
        if (spec_device_is_gpu(knob->values[i].label))
            return true;
    return false;
}

/* What the protocols of a service offer; an engine may be a knob, so that there can be several. */
static unsigned sources_of(const struct spec_service *service)
{
    unsigned sources = SOURCE_ANY;
    if (service->protocol)
        return sources | spec_load_sources(service->protocol, &service->load);
    for (size_t i = 0; i < service->engine_use_count; i++)
        if (service->engine_uses[i].protocol)
            sources |= spec_load_sources(service->engine_uses[i].protocol, &service->load);
    return sources;
}

static bool is_there(const struct report_view *view, struct metric_ref ref)
{
    for (size_t i = 0; i < view->measure_count; i++) {
        const struct report_measure *m = &view->measures[i];
        if (m->service == ref.service && m->metric == ref.metric && m->stat == ref.stat)
            return true;
    }
    return false;
}

static void add(struct report_builder *b, struct metric_ref ref, bool key,
                const struct spec_objective *objective)
{
    struct report_view *view = b->view;
    if (is_there(view, ref))
        return;
    const struct metric_facts *facts = metric_facts(ref.metric);
    const char *stat = metric_stat_name(ref.stat);
    const char *service =
        ref.service == REPORT_ALL_SERVICES ? "all" : view->study->services[ref.service].name;
    view->measures[view->measure_count++] = (struct report_measure){
        .service = ref.service,
        .metric = ref.metric,
        .stat = ref.stat,
        .name = arena_printf(b->arena, "%s.%s%s%s", service, facts->name, *stat ? "." : "", stat),
        .unit = facts->unit,
        .higher_is_better = facts->higher_is_better,
        .key = key,
        .objective = objective,
        .headline = objective || ref.service == REPORT_ALL_SERVICES ||
                    (key && view->study->objective_count == 0),
    };
}

void report_build_measures(struct report_builder *b)
{
    const struct spec_study *study = b->view->study;
    size_t most = study->objective_count + study->metric_ref_count +
                  study->service_count * ARRAY_LEN(standards) + 1;
    b->view->measures = arena_array(b->arena, most, sizeof *b->view->measures);
    for (size_t i = 0; i < study->objective_count; i++)
        add(b, study->objectives[i].metric, true, &study->objectives[i]);
    for (size_t s = 0; s < study->service_count; s++) {
        unsigned sources = sources_of(&study->services[s]);
        for (size_t i = 0; i < ARRAY_LEN(standards); i++) {
            const struct standard *standard = &standards[i];
            bool asked = study->services[s].load.given || !is_about_requests(standard->metric);
            if ((standard->gpu && !report_is_on_gpu(study, s)) ||
                (standard->metric == METRIC_WER && study->services[s].answers_unchecked))
                continue;
            if (asked && (metric_facts(standard->metric)->source & sources))
                add(b, (struct metric_ref){s, standard->metric, standard->stat}, standard->key,
                    NULL);
        }
    }
    for (size_t i = 0; i < study->metric_ref_count; i++)
        add(b, study->metric_refs[i], true, NULL);
    if (study->service_count > 1)
        add(b, (struct metric_ref){REPORT_ALL_SERVICES, METRIC_MEMORY, STAT_VALUE}, true, NULL);
}

size_t report_memory_measure(const struct report_view *view)
{
    size_t service = view->study->service_count > 1 ? REPORT_ALL_SERVICES : 0;
    for (size_t i = 0; i < view->measure_count; i++)
        if (view->measures[i].metric == METRIC_MEMORY && view->measures[i].service == service)
            return view->measures[i].objective ? view->measure_count : i;
    return view->measure_count;
}
