/* What guard knows, for Prometheus.
 *
 * Percentiles are a summary's quantiles: like those of its client libraries they are of a sliding
 * window. A summary's _count and _sum would be counts since the beginning, which nobody keeps here:
 * they are left out, and how many values the window holds is a gauge beside it (..._window_values).
 *
 * What is unknown has no sample. Rejected: NaN, which no threshold trips on and which spoils every
 * sum; and 0, which lies. A series that ends is what absent() and staleness are made for.
 *
 * A metric that several sources can tell has one series for each, and one with source="best": what
 * a rule without a source means. Words (placement, fault, tier) are one series for each word of
 * their set, 1 for the present one.
 *
 * A service's own figures are of the server that its `watch:` names; its tiers and arms beside that
 * one stand in the same families with a label more (status_servers.c).
 *
 * The two forms differ in little: OpenMetrics names a counter's family without "_total", knows
 * units and infos, and ends with a mark; the names of samples are the same.
 *
 * Invariant: a family's samples stand together, and names do not depend on the study. */
#include "guard/openmetrics_line.h"
#include "guard/status_inside.h"

#include "base/clock.h"

#include <math.h>
#include <string.h>
#include <time.h>

/* Of what a tick holds; its help is guard_metric_infos'. */
static const struct line_family metrics[GUARD_METRIC_COUNT_] = {
    [GUARD_LATENCY] = {"spica_service_latency_seconds", FAMILY_SUMMARY, "seconds", NULL},
    [GUARD_FIRST] = {"spica_service_first_token_seconds", FAMILY_SUMMARY, "seconds", NULL},
    [GUARD_QUEUE] = {"spica_service_queue_seconds", FAMILY_SUMMARY, "seconds", NULL},
    [GUARD_RATE] = {"spica_service_requests_per_second", FAMILY_GAUGE, NULL, NULL},
    [GUARD_ERRORS] = {"spica_service_error_ratio", FAMILY_GAUGE, "ratio", NULL},
    [GUARD_IN_FLIGHT] = {"spica_service_in_flight_requests", FAMILY_GAUGE, NULL, NULL},
    [GUARD_WAITING] = {"spica_service_waiting_requests", FAMILY_GAUGE, NULL, NULL},
    [GUARD_UP] = {"spica_service_up", FAMILY_GAUGE, NULL, NULL},
    [GUARD_PLACEMENT] = {"spica_service_placement", FAMILY_GAUGE, NULL, NULL},
    [GUARD_MEMORY] = {"spica_service_memory_bytes", FAMILY_GAUGE, "bytes", NULL},
    [GUARD_GROWTH] = {"spica_service_memory_growth_bytes_per_second", FAMILY_GAUGE, NULL, NULL},
    [GUARD_RESTARTS] = {"spica_service_restarts", FAMILY_COUNTER, NULL, NULL},
    [GUARD_OOM] = {"spica_service_out_of_memory", FAMILY_COUNTER, NULL, NULL},
    [GUARD_SPARE] = {"spica_service_spare_capacity", FAMILY_GAUGE, NULL, NULL},
    [GUARD_TIER] = {"spica_service_tier", FAMILY_GAUGE, NULL, NULL},
    [GUARD_DEVICE_USED] = {"spica_device_memory_used_bytes", FAMILY_GAUGE, "bytes", NULL},
    [GUARD_DEVICE_FREE] = {"spica_device_memory_free_bytes", FAMILY_GAUGE, "bytes", NULL},
    [GUARD_DEVICE_FULL_IN] = {"spica_device_memory_full_in_seconds", FAMILY_GAUGE, "seconds", NULL},
    [GUARD_DEVICE_BUSY] = {"spica_device_busy_ratio", FAMILY_GAUGE, "ratio", NULL},
    [GUARD_DEVICE_THROTTLED] = {"spica_device_throttled", FAMILY_GAUGE, NULL, NULL},
    [GUARD_DEVICE_FAULT] = {"spica_device_fault", FAMILY_GAUGE, NULL, NULL},
    [GUARD_PROXY_UP] = {"spica_proxy_up", FAMILY_GAUGE, NULL, NULL},
    [GUARD_DISK_FREE] = {"spica_guard_disk_free_bytes", FAMILY_GAUGE, "bytes", NULL},
    [GUARD_CHANGED_VERSIONS] = {"spica_guard_changed_versions", FAMILY_GAUGE, NULL, NULL},
    [GUARD_CHANGED_NEIGHBOURS] = {"spica_guard_changed_neighbours", FAMILY_GAUGE, NULL, NULL},
    [GUARD_CHANGED_LOAD] = {"spica_guard_changed_load", FAMILY_GAUGE, NULL, NULL},
};

static const char *const scope_labels[] = {[SCOPE_SERVICE] = "service",
                                           [SCOPE_DEVICE] = "device",
                                           [SCOPE_PROXY] = NULL,
                                           [SCOPE_GUARD] = NULL};

/* ---- what a tick holds ---- */

static const char *scope_value(const struct guard_status *status,
                               const struct guard_metric_ref *ref)
{
    switch (guard_metric_infos[ref->metric].scope) {
    case SCOPE_SERVICE:
        return status->study->services[ref->index].name;
    case SCOPE_DEVICE:
        return status->study->devices[ref->index];
    default:
        return NULL;
    }
}

static const char *source_value(const struct guard_metric_ref *ref)
{
    return ref->source == SOURCE_NONE ? "best" : guard_source_names[ref->source];
}

/* "placement" of "spica_service_placement". */
static const char *last_word(const char *name)
{
    return strrchr(name, '_') + 1;
}

static void add_words(struct line_out *out, const struct line_family *family,
                      const struct guard_metric_ref *ref, const struct guard_value *value,
                      struct line_label scope)
{
    for (size_t i = 0; value->text && ref->words && ref->words[i]; i++) {
        const struct line_label labels[LINE_LABELS_MAX] = {
            scope, {last_word(family->name), ref->words[i]}};
        openmetrics_line_sample(out, family, labels, strcmp(ref->words[i], value->text) == 0);
    }
}

static void add_value(struct line_out *out, const struct line_family *family, size_t i)
{
    const struct guard_metric_ref *ref = &out->status->study->guard->metrics[i];
    const struct guard_metric_info *info = &guard_metric_infos[ref->metric];
    const struct guard_value *value = &out->status->values[i];
    const struct line_label scope = {scope_labels[info->scope], scope_value(out->status, ref)};
    char quantile[16];
    if (info->unit == EXPR_UNIT_TEXT) {
        add_words(out, family, ref, value, scope);
        return;
    }
    snprintf(quantile, sizeof quantile, "%g", ref->quantile);
    const struct line_label labels[LINE_LABELS_MAX] = {
        scope,
        {info->sources ? "source" : NULL, source_value(ref)},
        {info->quantiles ? "quantile" : NULL, quantile},
    };
    openmetrics_line_sample(out, family, labels, value->number);
}

/* How many values a window holds: the same for all quantiles, so of the first of them. */
static void add_window(struct line_out *out, enum guard_metric metric)
{
    const struct spec_guard *guard = out->status->study->guard;
    char name[96], help[256];
    const char *base = metrics[metric].name;
    int len =
        (int)strlen(base) - (metrics[metric].unit ? (int)strlen(metrics[metric].unit) + 1 : 0);
    snprintf(name, sizeof name, "%.*s_window_values", len, base);
    snprintf(help, sizeof help, "how many values of the window stand behind %s", base);
    const struct line_family family = {name, FAMILY_GAUGE, NULL, help};
    openmetrics_line_head(out, &family, help);
    for (size_t i = 0; i < guard->metric_count; i++) {
        const struct guard_metric_ref *ref = &guard->metrics[i];
        bool first = isnan(ref->quantile) || i == 0 || guard->metrics[i - 1].metric != metric ||
                     guard->metrics[i - 1].source != ref->source;
        const struct line_label labels[LINE_LABELS_MAX] = {
            {"service", scope_value(out->status, ref)}, {"source", source_value(ref)}};
        if (ref->metric == metric && first && !isnan(out->status->values[i].number))
            openmetrics_line_sample(out, &family, labels, (double)out->status->values[i].count);
    }
}

static void add_metrics(struct line_out *out)
{
    const struct spec_guard *guard = out->status->study->guard;
    for (int m = 0; m < GUARD_METRIC_COUNT_; m++) {
        openmetrics_line_head(out, &metrics[m], guard_metric_infos[m].help);
        for (size_t i = 0; i < guard->metric_count; i++)
            if ((int)guard->metrics[i].metric == m)
                add_value(out, &metrics[m], i);
        guard_status_expose_servers(out, &metrics[m], (enum guard_metric)m);
        if (guard_metric_infos[m].quantiles || m == GUARD_ERRORS)
            add_window(out, (enum guard_metric)m);
    }
}

/* Where it is meant to be: on the CPU a service that belongs there is in its place. */
static void add_wants(struct line_out *out)
{
    static const struct line_family wants = {"spica_service_wants_gpu", FAMILY_GAUGE, NULL,
                                             "1: the study has it on a GPU; 0: on the CPU"};
    const struct spec_study *study = out->status->study;
    openmetrics_line_head(out, &wants, wants.help);
    for (size_t i = 0; i < study->service_count; i++)
        openmetrics_line_sample(
            out, &wants, (struct line_label[LINE_LABELS_MAX]){{"service", study->services[i].name}},
            study->services[i].on == ON_GPU);
}

/* ---- rules, events, actions ---- */

static void add_rules(struct line_out *out)
{
    static const struct line_family state = {"spica_guard_rule_state", FAMILY_GAUGE, NULL,
                                             "1: the rule is in this state; else 0"};
    static const struct line_family alarms = {"spica_guard_alarms", FAMILY_COUNTER, NULL,
                                              "alarms of a rule since guard began"};
    const struct guard_status *status = out->status;
    size_t count = status->judge ? guard_judge_rules(status->judge) : 0;
    openmetrics_line_head(out, &state, state.help);
    for (size_t i = 0; i < count; i++) {
        struct guard_standing standing;
        guard_judge_standing(status->judge, i, &standing);
        for (int s = 0; s < STATE_COUNT_; s++) {
            const struct line_label labels[LINE_LABELS_MAX] = {
                {"rule", standing.rule},
                {standing.service ? "service" : NULL, standing.service},
                {standing.device ? "device" : NULL, standing.device},
                {"severity", standing.minor ? "minor" : "grave"},
                {"state", guard_state_names[s]}};
            openmetrics_line_sample(out, &state, labels, (int)standing.state == s);
        }
    }
    openmetrics_line_head(out, &alarms, alarms.help);
    for (size_t i = 0; i < status->rule_count; i++) {
        const struct status_rule *rule = &status->rules[i];
        const char *service =
            rule->service >= 0 ? status->study->services[rule->service].name : NULL;
        const struct line_label labels[LINE_LABELS_MAX] = {{"rule", rule->name},
                                                           {service ? "service" : NULL, service}};
        openmetrics_line_sample(out, &alarms, labels, (double)rule->alarms);
    }
}

static void add_counts(struct line_out *out)
{
    static const struct line_family events = {"spica_guard_events", FAMILY_COUNTER, NULL,
                                              "what happened since guard began, by kind"};
    static const struct line_family lost = {"spica_guard_events_lost", FAMILY_COUNTER, NULL,
                                            "events that one tick had no room for"};
    static const struct line_family acts = {
        "spica_guard_actions", FAMILY_COUNTER, NULL,
        "what decisions asked for, and what they would have, were it allowed"};
    const struct guard_status *status = out->status;
    openmetrics_line_head(out, &events, events.help);
    for (int i = 0; i < EVENT_COUNT_; i++)
        openmetrics_line_sample(
            out, &events, (struct line_label[LINE_LABELS_MAX]){{"event", guard_event_names[i]}},
            (double)status->event_counts[i]);
    openmetrics_line_single(out, &lost, (double)status->events_lost);
    openmetrics_line_head(out, &acts, acts.help);
    for (int i = 0; i < ACTION_COUNT_; i++) {
        const struct line_label begun[LINE_LABELS_MAX] = {{"action", spec_action_names[i]},
                                                          {"outcome", "asked"}};
        const struct line_label withheld[LINE_LABELS_MAX] = {{"action", spec_action_names[i]},
                                                             {"outcome", "withheld"}};
        openmetrics_line_sample(out, &acts, begun, (double)status->begun[i]);
        openmetrics_line_sample(out, &acts, withheld, (double)status->withheld[i]);
    }
}

/* ---- HAProxy's servers, splits ---- */

enum server_figure {
    SERVER_USABLE,
    SERVER_WEIGHT,
    SERVER_IN_FLIGHT,
    SERVER_WAITING,
    SERVER_REQUESTS,
    SERVER_ERRORS,
    SERVER_COUNT_
};
static const struct line_family servers[SERVER_COUNT_] = {
    [SERVER_USABLE] = {"spica_proxy_server_usable", FAMILY_GAUGE, NULL,
                       "1: HAProxy sends it requests, were it chosen; else 0"},
    [SERVER_WEIGHT] = {"spica_proxy_server_weight", FAMILY_GAUGE, NULL,
                       "its weight, as HAProxy counts it now"},
    [SERVER_IN_FLIGHT] = {"spica_proxy_server_in_flight_requests", FAMILY_GAUGE, NULL,
                          "requests that it answers now"},
    [SERVER_WAITING] = {"spica_proxy_server_waiting_requests", FAMILY_GAUGE, NULL,
                        "requests that wait for it now"},
    [SERVER_REQUESTS] = {"spica_proxy_server_requests", FAMILY_COUNTER, NULL,
                         "requests since HAProxy began"},
    [SERVER_ERRORS] = {"spica_proxy_server_errors", FAMILY_COUNTER, NULL,
                       "of them those that failed"},
};

static double server_figure(const struct proxy_server *server, enum server_figure figure)
{
    const double figures[SERVER_COUNT_] = {
        [SERVER_USABLE] = server->usable,
        [SERVER_WEIGHT] = server->weight,
        [SERVER_IN_FLIGHT] = (double)server->in_flight,
        [SERVER_WAITING] = (double)server->waiting,
        [SERVER_REQUESTS] = (double)server->total,
        [SERVER_ERRORS] = (double)server->errors,
    };
    return figures[figure];
}

static const char *front_service(const struct guard_status *status, size_t front)
{
    return status->study->services[status->study->guard->fronts[front].service].name;
}

static void add_servers(struct line_out *out)
{
    const struct guard_status *status = out->status;
    bool seen = status->has_proxy && status->proxy.up;
    for (int f = 0; f < SERVER_COUNT_; f++) {
        openmetrics_line_head(out, &servers[f], servers[f].help);
        for (size_t i = 0; seen && i < status->study->guard->front_count; i++)
            for (size_t s = 0; s < status->proxy.fronts[i].server_count; s++) {
                const struct proxy_server *server = &status->proxy.fronts[i].servers[s];
                const struct line_label labels[LINE_LABELS_MAX] = {
                    {"service", front_service(status, i)}, {"server", server->name}};
                openmetrics_line_sample(out, &servers[f], labels,
                                        server_figure(server, (enum server_figure)f));
            }
    }
}

/* Of fronts whose tiers guard chooses. */
static void add_tiers(struct line_out *out)
{
    static const struct line_family power = {
        "spica_tier_power", FAMILY_GAUGE, NULL,
        "1: the tier's server is in this state (on: warm and in its place); else 0"};
    const struct guard_status *status = out->status;
    openmetrics_line_head(out, &power, power.help);
    for (size_t i = 0; i < status->study->guard->front_count; i++)
        for (size_t t = 0; t < status->fronts[i].tier_count; t++)
            for (int p = 0; p < TIER_POWER_COUNT_; p++) {
                const struct guard_tier_standing *tier = &status->fronts[i].tiers[t];
                const struct line_label labels[LINE_LABELS_MAX] = {
                    {"service", front_service(status, i)},
                    {"tier", tier->name},
                    {"power", guard_tier_power_names[p]}};
                openmetrics_line_sample(out, &power, labels, (int)tier->power == p);
            }
}

enum arm_figure { ARM_WEIGHT, ARM_REQUESTS, ARM_ERRORS, ARM_P50, ARM_P95, ARM_P99, ARM_WER };
static double arm_figure(const struct guard_status_arm *arm, int figure)
{
    const double figures[] = {
        [ARM_WEIGHT] = arm->weight / 100.0,
        [ARM_REQUESTS] = (double)arm->requests,
        [ARM_ERRORS] = (double)arm->errors,
        [ARM_P50] = arm->p50_s,
        [ARM_P95] = arm->p95_s,
        [ARM_P99] = arm->p99_s,
        [ARM_WER] = arm->wer_ratio,
    };
    return figures[figure];
}

/* All figures of an arm, then the next one's: samples of one summary stand together. */
static void add_arms(struct line_out *out, const struct line_family *family, enum arm_figure first,
                     enum arm_figure last)
{
    static const char *const quantiles[] = {
        [ARM_P50] = "0.5", [ARM_P95] = "0.95", [ARM_P99] = "0.99", [ARM_WER] = NULL};
    const struct guard_status *status = out->status;
    openmetrics_line_head(out, family, family->help);
    for (size_t i = 0; i < status->study->guard->front_count; i++)
        for (size_t a = 0; a < status->fronts[i].split.arm_count; a++)
            for (int figure = (int)first; figure <= (int)last; figure++) {
                const struct guard_status_arm *arm = &status->fronts[i].split.arms[a];
                const char *quantile = quantiles[figure];
                const struct line_label labels[LINE_LABELS_MAX] = {
                    {"service", front_service(status, i)},
                    {"arm", arm->name},
                    {quantile ? "quantile" : NULL, quantile}};
                openmetrics_line_sample(out, family, labels, arm_figure(arm, figure));
            }
}

static void add_splits(struct line_out *out)
{
    static const struct line_family weight = {"spica_split_arm_weight_ratio", FAMILY_GAUGE, "ratio",
                                              "share of the requests that an arm of a split gets"};
    static const struct line_family requests = {
        "spica_split_arm_requests", FAMILY_COUNTER, NULL,
        "requests of an arm since the split began, or was advanced last"};
    static const struct line_family errors = {"spica_split_arm_errors", FAMILY_COUNTER, NULL,
                                              "of them those that failed"};
    static const struct line_family latency = {"spica_split_arm_latency_seconds", FAMILY_SUMMARY,
                                               "seconds", "time to the whole answer of an arm"};
    static const struct line_family wer = {"spica_split_arm_word_error_ratio", FAMILY_GAUGE,
                                           "ratio", "word errors of an arm on the reference clips"};
    add_arms(out, &weight, ARM_WEIGHT, ARM_WEIGHT);
    add_arms(out, &requests, ARM_REQUESTS, ARM_REQUESTS);
    add_arms(out, &errors, ARM_ERRORS, ARM_ERRORS);
    add_arms(out, &latency, ARM_P50, ARM_P99);
    add_arms(out, &wer, ARM_WER, ARM_WER);
}

/* ---- guard itself ---- */

static double own_memory_bytes(void)
{
    unsigned long pages = 0, resident = 0;
    FILE *file = fopen("/proc/self/statm", "re");
    bool good = file && fscanf(file, "%lu %lu", &pages, &resident) == 2;
    if (file)
        fclose(file);
    return good ? (double)resident * (double)sysconf(_SC_PAGESIZE) : NAN;
}

static void add_guard(struct line_out *out)
{
    static const struct line_family info = {"spica_guard", FAMILY_INFO, NULL,
                                            "which guard this is, and for which study"};
    static const struct line_family begun = {"spica_guard_start_time_seconds", FAMILY_GAUGE,
                                             "seconds", "when guard began, since 1970"};
    static const struct line_family tick = {"spica_guard_tick_time_seconds", FAMILY_GAUGE,
                                            "seconds", "when guard last looked, since 1970"};
    static const struct line_family ticks = {"spica_guard_ticks", FAMILY_COUNTER, NULL,
                                             "how often guard has looked since it began"};
    static const struct line_family well = {"spica_guard_well", FAMILY_GAUGE, NULL,
                                            "1: guard looks as often as it should; else 0"};
    static const struct line_family dry = {"spica_guard_dry_run", FAMILY_GAUGE, NULL,
                                           "1: guard only says what it would do; else 0"};
    static const struct line_family cpu = {"spica_guard_cpu_seconds", FAMILY_COUNTER, "seconds",
                                           "CPU time that guard itself has used"};
    static const struct line_family memory = {"spica_guard_memory_bytes", FAMILY_GAUGE, "bytes",
                                              "memory that guard itself holds"};
    const struct guard_status *status = out->status;
    openmetrics_line_head(out, &info, info.help);
    openmetrics_line_sample(out, &info,
                            (struct line_label[LINE_LABELS_MAX]){{"version", SPICA_VERSION},
                                                                 {"study", status->study->name}},
                            1);
    openmetrics_line_single(out, &begun, (double)status->begun_wall_us / 1e6);
    openmetrics_line_single(out, &tick,
                            status->ticks > 0 ? (double)status->tick_wall_us / 1e6 : NAN);
    openmetrics_line_single(out, &ticks, (double)status->ticks);
    openmetrics_line_single(out, &well, guard_status_well(status, clock_now_ns()));
    openmetrics_line_single(out, &dry, status->dry_run);
    openmetrics_line_single(out, &cpu, (double)clock_cpu_ns() / NS_PER_S);
    openmetrics_line_single(out, &memory, own_memory_bytes());
}

void guard_openmetrics_write(const struct guard_status *status, enum guard_exposition form,
                             struct buf *buf)
{
    struct line_out out = {status, form, buf};
    add_guard(&out);
    add_metrics(&out);
    add_wants(&out);
    guard_status_expose_kinds(&out);
    add_rules(&out);
    add_counts(&out);
    add_servers(&out);
    add_tiers(&out);
    add_splits(&out);
    if (form == EXPOSE_OPENMETRICS)
        buf_add(buf, "# EOF\n");
}
