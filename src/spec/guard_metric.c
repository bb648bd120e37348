/* What guard may know, as one table, and every name that follows from it for one study.
 *
 * The refs of a study are written out once and everything else is an index into them: a rule's
 * variable, a tick's value, a recording's key, a line of /metrics. Rejected: a value that carries
 * metric, source, service and quantile along, and is looked up: ten thousand strings compared for
 * each tick of a day that is replayed.
 *
 * A ref without a source means the best there is at that moment, so a rule written before HAProxy
 * stood in front goes on to mean "what our users feel" after.
 *
 * Invariant: the order depends on nothing but the study's services and devices; no two refs have
 * the same name (spec/load_guard.c refuses a study that would need it). */
#include "spec/guard_metric.h"

#include "spec/guard.h"
#include "spec/study.h"

#include <assert.h>
#include <math.h>
#include <string.h>

const char *const guard_source_names[SOURCE_COUNT_] = {
    [SOURCE_NONE] = "",
    [SOURCE_REQUESTS] = "requests",
    [SOURCE_ENGINE] = "engine",
    [SOURCE_PROBE] = "probe",
};

/* Which source is the best: what clients feel, seen by HAProxy, before what the server or a probe
 * says. But HAProxy does not see tokens, only heads, so of the first token it is asked last; and
 * requests wait in HAProxy, then in the server: neither sees the other's queue. */
#define TIME .unit = EXPR_UNIT_SECONDS, .sources = true, .quantiles = true
#define NUMBER .unit = EXPR_UNIT_PLAIN
#define CLIENTS_FIRST .best = {SOURCE_REQUESTS, SOURCE_ENGINE, SOURCE_PROBE}
#define SERVER_FIRST .best = {SOURCE_ENGINE, SOURCE_PROBE, SOURCE_REQUESTS}
#define LARGER .best = {SOURCE_ENGINE, SOURCE_REQUESTS}, .largest = true
const struct guard_metric_info guard_metric_infos[GUARD_METRIC_COUNT_] = {
    [GUARD_LATENCY] = {"latency", SCOPE_SERVICE, TIME, CLIENTS_FIRST,
                       .help = "time to the whole answer"},
    [GUARD_FIRST] = {"first", SCOPE_SERVICE, TIME, SERVER_FIRST,
                     .help = "time to the first token, or to the first byte of the answer"},
    [GUARD_QUEUE] = {"queue", SCOPE_SERVICE, TIME, LARGER,
                     .help = "time that requests waited before a server took them"},
    [GUARD_RATE] = {"rate", SCOPE_SERVICE, NUMBER, .sources = true, CLIENTS_FIRST,
                    .help = "requests per second"},
    [GUARD_ERRORS] = {"errors", SCOPE_SERVICE, NUMBER, .sources = true, CLIENTS_FIRST,
                      .help =
                          "share of requests that failed, those that the client ended left out"},
    [GUARD_IN_FLIGHT] = {"in_flight", SCOPE_SERVICE, NUMBER, .sources = true, LARGER,
                         .help = "requests being answered now"},
    [GUARD_WAITING] = {"waiting", SCOPE_SERVICE, NUMBER, .sources = true, LARGER,
                       .help = "requests that wait for a server now"},
    [GUARD_UP] = {"up", SCOPE_SERVICE, NUMBER, .help = "1: it runs and its port accepts; else 0"},
    [GUARD_PLACEMENT] = {"placement", SCOPE_SERVICE, EXPR_UNIT_TEXT,
                         .help = "where it computes: gpu, cpu, partial or unproven"},
    [GUARD_MEMORY] = {"memory", SCOPE_SERVICE, EXPR_UNIT_BYTES,
                      .help = "memory that it holds on its device"},
    [GUARD_GROWTH] = {"growth", SCOPE_SERVICE, EXPR_UNIT_BYTE_RATE, .help = "trend of its memory"},
    [GUARD_RESTARTS] = {"restarts", SCOPE_SERVICE, NUMBER, .help = "restarts since guard began"},
    [GUARD_OOM] = {"oom", SCOPE_SERVICE, NUMBER,
                   .help = "times it ran out of memory since guard began, of any kind"},
    [GUARD_SPARE] = {"spare", SCOPE_SERVICE, NUMBER,
                     .help = "requests per second, or clients, that still fit into the capacity "
                             "which the study measured"},
    [GUARD_TIER] = {"tier", SCOPE_SERVICE, EXPR_UNIT_TEXT,
                    .help = "the tier that takes new requests"},
    [GUARD_DEVICE_USED] = {"memory.used", SCOPE_DEVICE, EXPR_UNIT_BYTES,
                           .help = "memory of the device in use, by whomever"},
    [GUARD_DEVICE_FREE] = {"memory.free", SCOPE_DEVICE, EXPR_UNIT_BYTES,
                           .help = "memory of the device that is free"},
    [GUARD_DEVICE_FULL_IN] = {"memory.full_in", SCOPE_DEVICE, EXPR_UNIT_SECONDS,
                              .help = "time until its memory is full at the present trend; unknown "
                                      "while it does not grow"},
    [GUARD_DEVICE_BUSY] = {"busy", SCOPE_DEVICE, NUMBER, .help = "share of the time it computes"},
    [GUARD_DEVICE_THROTTLED] = {"throttled", SCOPE_DEVICE, NUMBER,
                                .help = "1: its clocks are held down by heat or power; else 0"},
    [GUARD_DEVICE_FAULT] = {"fault", SCOPE_DEVICE, EXPR_UNIT_TEXT,
                            .help = "none, lost, xid (the driver's error) or mismatch (library and "
                                    "module of different versions)"},
    [GUARD_PROXY_UP] = {"up", SCOPE_PROXY, NUMBER, .help = "1: HAProxy answers; else 0"},
    [GUARD_DISK_FREE] = {"disk.free", SCOPE_GUARD, EXPR_UNIT_BYTES,
                         .help = "free where guard records"},
    [GUARD_CHANGED_VERSIONS] = {"changed.versions", SCOPE_GUARD, NUMBER,
                                .help = "1: the driver or an engine is another version than the "
                                        "study measured; else 0"},
    [GUARD_CHANGED_NEIGHBOURS] = {"changed.neighbours", SCOPE_GUARD, NUMBER,
                                  .help = "1: others hold more or less of the devices than in the "
                                          "study, or a declared neighbour does not run; else 0"},
    [GUARD_CHANGED_LOAD] = {"changed.load", SCOPE_GUARD, NUMBER,
                            .help = "1: in the busiest ten minutes of the last day more than 1.25 "
                                    "times the study's requests came, or less than half; else 0"},
};
#undef TIME
#undef NUMBER
#undef CLIENTS_FIRST
#undef SERVER_FIRST
#undef LARGER

static const struct {
    const char *word;
    double quantile;
} quantiles[] = {{"p50", 0.50}, {"p95", 0.95}, {"p99", 0.99}};

static const char *const placements[] = {"gpu", "cpu", "partial", "unproven", NULL};
static const char *const faults[] = {"none", "lost", "xid", "mismatch", NULL};

struct list {
    const struct spec_study *study;
    struct arena *arena;
    struct guard_metric_ref *refs;
    size_t count;
};

/* Its front's tiers. */
static const char *const *tier_words(const struct list *list, size_t service)
{
    const struct spec_guard *g = list->study->guard;
    const char **words = arena_array(list->arena, SPEC_TIERS_MAX + 1, sizeof *words);
    for (size_t i = 0; g && i < g->front_count; i++)
        for (size_t t = 0; g->fronts[i].service == service && t < g->fronts[i].tier_count; t++)
            words[t] = g->fronts[i].tiers[t].name;
    return words;
}

static const char *const *words_of(const struct list *list, enum guard_metric metric, size_t index)
{
    switch (metric) {
    case GUARD_PLACEMENT:
        return placements;
    case GUARD_DEVICE_FAULT:
        return faults;
    case GUARD_TIER:
        return tier_words(list, index);
    default:
        return NULL;
    }
}

/* SOURCE_NONE stands first: the best there is. */
static void add_metric(struct list *list, enum guard_metric metric, size_t index,
                       const char *prefix)
{
    const struct guard_metric_info *info = &guard_metric_infos[metric];
    const size_t sources = info->sources ? SOURCE_COUNT_ : 1;
    const size_t shown = info->quantiles ? ARRAY_LEN(quantiles) : 1;
    for (size_t s = 0; s < sources; s++)
        for (size_t q = 0; q < shown; q++) {
            const char *source = guard_source_names[s];
            list->refs[list->count++] = (struct guard_metric_ref){
                .metric = metric,
                .source = (enum guard_source)s,
                .index = index,
                .quantile = info->quantiles ? quantiles[q].quantile : NAN,
                .words = words_of(list, metric, index),
                .name = arena_printf(list->arena, "%s.%s%s%s%s%s", prefix, source,
                                     source[0] ? "." : "", info->word, info->quantiles ? "." : "",
                                     info->quantiles ? quantiles[q].word : ""),
            };
        }
}

static void add_scope(struct list *list, enum guard_scope scope, size_t index, const char *prefix)
{
    for (int m = 0; m < GUARD_METRIC_COUNT_; m++)
        if (guard_metric_infos[m].scope == scope)
            add_metric(list, (enum guard_metric)m, index, prefix);
}

const struct guard_metric_ref *guard_metric_refs(const struct spec_study *study,
                                                 struct arena *arena, size_t *ret_count)
{
    enum { EACH_MAX = SOURCE_COUNT_ * ARRAY_LEN(quantiles) };
    const size_t things = study->service_count + study->device_count + 2;
    struct list list = {.study = study, .arena = arena};
    list.refs = arena_array(arena, things * GUARD_METRIC_COUNT_ * EACH_MAX, sizeof *list.refs);
    for (size_t i = 0; i < study->service_count; i++)
        add_scope(&list, SCOPE_SERVICE, i, study->services[i].name);
    for (size_t i = 0; i < study->device_count; i++)
        add_scope(&list, SCOPE_DEVICE, i, study->devices[i]);
    add_scope(&list, SCOPE_PROXY, 0, "proxy");
    add_scope(&list, SCOPE_GUARD, 0, "guard");
    assert(list.count <= things * GUARD_METRIC_COUNT_ * EACH_MAX);
    *ret_count = list.count;
    return list.refs;
}

long guard_metric_find(const struct guard_metric_ref *refs, size_t count, const char *name)
{
    for (size_t i = 0; i < count; i++)
        if (strcmp(refs[i].name, name) == 0)
            return (long)i;
    return -1;
}
