/* "stt.latency.p95": which number of which service, checked against what its protocol can show.
 * With several engines, all of them must be able to: a metric that half of the candidates lack
 * compares nothing. */
#include "spec/loader.h"

#include "base/text.h"

#include <string.h>

/* Seen from outside, without a request. */
static bool needs_load(enum metric metric)
{
    return metric != METRIC_MEMORY && metric != METRIC_CPU && metric != METRIC_READY &&
           metric != METRIC_MEMORY_IDLE && metric != METRIC_HOST_MEMORY;
}

static bool service_has(const struct spec_service *s, enum metric metric)
{
    const struct spec_protocol *all[SPEC_PROTOCOLS_MAX];
    size_t count = spec_service_protocols(s, all, SPEC_PROTOCOLS_MAX);
    if (metric == METRIC_WER && s->answers_unchecked)
        return false;
    if (!needs_load(metric))
        return true;
    for (size_t i = 0; i < count; i++)
        if (!(spec_load_sources(all[i], &s->load) & metric_facts(metric)->source))
            return false;
    return s->load.given && count > 0;
}

static void add_metrics(struct buf *buf, const struct spec_service *s)
{
    const char *between = "";
    for (int i = 0; i < METRIC_COUNT_; i++) {
        if (!service_has(s, i))
            continue;
        buf_addf(buf, "%s%s", between, metric_facts(i)->name);
        between = ", ";
    }
}

static bool fail_metric(const struct spec_service *s, const char *text, const char *name,
                        struct err *err)
{
    struct buf has = BUF_INIT(400);
    int metric = metric_from_name(name);
    const char *example = s->load.given ? "latency.p95" : "memory";
    add_metrics(&has, s);
    if (metric == METRIC_WER && s->answers_unchecked)
        err_set(err, ERR_INPUT,
                "\"%s\": the answers of %s are unchecked, so its words are compared with nothing",
                text, s->name);
    else if (metric >= 0 && !s->load.given)
        err_set(err, ERR_INPUT, "\"%s\": %s has no load, so no %s; it has %s", text, s->name, name,
                buf_text(&has));
    else
        err_set(err, ERR_INPUT, "\"%s\": there is no metric \"%s\"; %s has %s (%s.%s)", text, name,
                s->name, buf_text(&has), s->name, example);
    buf_done(&has);
    return false;
}

static bool fail_service(const struct spec_study *study, const char *text, const char *name,
                         struct err *err)
{
    const char *names[SPEC_SERVICES_MAX] = {NULL};
    for (size_t i = 0; i < study->service_count; i++)
        names[i] = study->services[i].name;
    const char *near = text_nearest(names, study->service_count, name);
    return err_set(err, ERR_INPUT, "\"%s\": there is no service \"%s\"%s%s%s", text, name,
                   near ? "; did you mean " : "", near ? near : "", near ? "?" : "");
}

static bool read_stat(const char *text, const char *service, const char *metric, const char *name,
                      bool distribution, enum metric_stat *ret_stat, struct err *err)
{
    int stat = name ? metric_stat_from_name(name) : STAT_VALUE;
    if (!distribution && name)
        return err_set(err, ERR_INPUT, "\"%s\": %s is a single value: write %s.%s", text, metric,
                       service, metric);
    if (distribution && !name)
        return err_set(err, ERR_INPUT,
                       "\"%s\": say which: %s.%s.p50, p90, p95, p99, mean, min, max", text, service,
                       metric);
    if (stat < 0)
        return err_set(err, ERR_INPUT,
                       "\"%s\": there is no statistic \"%s\"; there are p50, p90, p95, p99, mean, "
                       "min, max",
                       text, name);
    *ret_stat = (enum metric_stat)stat;
    return true;
}

static bool fail_shape(const char *text, struct err *err)
{
    char shown[SPEC_SHOWN_SIZE];
    return err_set(err, ERR_INPUT,
                   "\"%s\" is no metric: SERVICE.METRIC.STATISTIC, as in "
                   "stt.latency.p95",
                   spec_shown(text, shown));
}

/* Up to four parts of a copy; a fourth means that there are too many. */
static size_t split(char *copy, char *parts[4])
{
    size_t count = 0;
    for (char *at = copy; at && count < 4;) {
        parts[count++] = at;
        at = strchr(at, '.');
        if (at)
            *at++ = '\0';
    }
    return count;
}

bool spec_metric_ref_parse(const struct spec_study *study, const char *text,
                           struct metric_ref *ret_ref, struct err *err)
{
    static const char allowed[] = "abcdefghijklmnopqrstuvwxyz0123456789_.";
    char copy[128];
    char *parts[4] = {NULL};
    size_t len = strlen(text);
    if (len >= sizeof copy || strspn(text, allowed) != len)
        return fail_shape(text, err);
    memcpy(copy, text, len + 1);
    size_t count = split(copy, parts);
    if (count < 2 || count > 3)
        return fail_shape(text, err);
    int service = spec_study_service(study, parts[0]);
    if (service < 0)
        return fail_service(study, text, parts[0], err);
    const struct spec_service *s = &study->services[service];
    int metric = metric_from_name(parts[1]);
    if (metric < 0 || !service_has(s, (enum metric)metric))
        return fail_metric(s, text, parts[1], err);
    struct metric_ref ref = {.service = (size_t)service, .metric = (enum metric)metric};
    if (!read_stat(text, s->name, parts[1], parts[2], metric_facts(ref.metric)->distribution,
                   &ref.stat, err))
        return false;
    *ret_ref = ref;
    return true;
}

const char *spec_metric_ref_name(const struct spec_study *study, struct metric_ref ref)
{
    const char *stat = metric_stat_name(ref.stat);
    return arena_printf(study->arena, "%s.%s%s%s", study->services[ref.service].name,
                        metric_facts(ref.metric)->name, stat[0] ? "." : "", stat);
}
