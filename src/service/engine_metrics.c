/* One pass over the page, line by line, with a table of the names that are known.
 *
 * A name is matched whole: the same family has a "_created" gauge beside its "_total", which holds
 * a time of 1.8e9 s, and histograms whose names begin alike. Names changed over the years
 * (gpu_cache_usage_perc became kv_cache_usage_perc), so several lead to one number; a page that has
 * both says the same thing twice, which a maximum survives.
 *
 * A library was rejected: of the format only name, labels to be passed over, and a number are
 * needed. Exemplars, time stamps, comments and "# EOF" stand behind or beside those. */
#include "service/engine_metrics.h"

#include "base/auto.h"
#include "base/text.h"

#include <ctype.h>
#include <math.h>
#include <string.h>

enum combine { COMBINE_MAX, COMBINE_SUM };

#define FIELD(member) offsetof(struct engine_metrics, member)
static const struct family {
    const char *name;
    size_t field;
    enum combine combine;
    double max; /* more can't be */
} families[] = {
    {"vllm:kv_cache_usage_perc", FIELD(kv_cache_ratio), COMBINE_MAX, 1},
    {"vllm:gpu_cache_usage_perc", FIELD(kv_cache_ratio), COMBINE_MAX, 1}, /* until 0.10 */
    {"vllm:num_preemptions_total", FIELD(preemptions), COMBINE_SUM, 1e18},
    {"vllm:num_requests_running", FIELD(requests_running), COMBINE_SUM, 1e18},
    {"vllm:num_requests_waiting", FIELD(requests_waiting), COMBINE_SUM, 1e18},
    {"vllm:prompt_tokens_total", FIELD(prompt_tokens), COMBINE_SUM, 1e18},
    {"vllm:generation_tokens_total", FIELD(generation_tokens), COMBINE_SUM, 1e18},
    {"llamacpp:kv_cache_usage_ratio", FIELD(kv_cache_ratio), COMBINE_MAX, 1}, /* until 2025 */
    {"llamacpp:requests_processing", FIELD(requests_running), COMBINE_SUM, 1e18},
    {"llamacpp:requests_deferred", FIELD(requests_waiting), COMBINE_SUM, 1e18},
    {"llamacpp:prompt_tokens_total", FIELD(prompt_tokens), COMBINE_SUM, 1e18},
    {"llamacpp:tokens_predicted_total", FIELD(generation_tokens), COMBINE_SUM, 1e18},
};

static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\r';
}

static const char *skip_blanks(const char *at, const char *end)
{
    while (at < end && is_blank(*at))
        at++;
    return at;
}

/* Behind "{a="x\"}",b=""}"; NULL when it does not end in this line. A label's text may hold any
 * character, with quotes and backslashes behind a backslash. */
static const char *skip_labels(const char *at, const char *end)
{
    bool quoted = false;
    for (; at < end; at++) {
        if (quoted && *at == '\\' && at + 1 < end)
            at++;
        else if (*at == '"')
            quoted = !quoted;
        else if (!quoted && *at == '}')
            return at + 1;
    }
    return NULL;
}

/* False for "NaN", "+Inf", and what is no number: there is nothing to be known from them. */
static bool read_value(const char *at, const char *end, double *ret_value)
{
    char text[64];
    size_t len = 0;
    while (at + len < end && !is_blank(at[len]) && len + 1 < sizeof text)
        len++;
    if (len == 0 || (at + len < end && !is_blank(at[len])))
        return false;
    memcpy(text, at, len);
    text[len] = '\0';
    return text_to_double(text, ret_value);
}

static const struct family *find_family(const char *name, size_t len)
{
    for (size_t i = 0; i < ARRAY_LEN(families); i++)
        if (strlen(families[i].name) == len && memcmp(families[i].name, name, len) == 0)
            return &families[i];
    return NULL;
}

static void note(struct engine_metrics *metrics, const struct family *family, double value)
{
    double *sum = (double *)(void *)((char *)metrics + family->field);
    if (!(value >= 0 && value <= family->max))
        return;
    if (isnan(*sum))
        *sum = value;
    else
        *sum = family->combine == COMBINE_SUM ? *sum + value : fmax(*sum, value);
}

static void read_line(const char *at, const char *end, struct engine_metrics *metrics)
{
    const char *name = skip_blanks(at, end);
    const char *stop = name;
    while (stop < end && (isalnum((unsigned char)*stop) || *stop == '_' || *stop == ':'))
        stop++;
    const struct family *family = find_family(name, (size_t)(stop - name));
    if (!family)
        return;
    stop = skip_blanks(stop, end);
    if (stop < end && *stop == '{')
        stop = skip_labels(stop, end);
    double value;
    if (stop && read_value(skip_blanks(stop, end), end, &value))
        note(metrics, family, value);
}

void engine_metrics_parse(const char *text, size_t len, struct engine_metrics *ret_metrics)
{
    struct engine_metrics metrics = {NAN, NAN, NAN, NAN, NAN, NAN};
    const char *end = text + len;
    for (const char *at = text; at < end;) {
        const char *newline = memchr(at, '\n', (size_t)(end - at));
        const char *stop = newline ? newline : end;
        read_line(at, stop, &metrics);
        at = stop + 1;
    }
    *ret_metrics = metrics;
}
