/* The table of metrics, and quantities as people write and read them.
 *
 * Values stay in base units (seconds, bytes, ratios) from the wire to the store; only these two
 * functions, one for each way, know how a person says them. A time without a unit is refused rather
 * than guessed: "500" as milliseconds and as seconds are both common, and a wrong guess would
 * make a requirement that nothing can fail. */
#include "spec/metric.h"

#include "base/text.h"

#include <assert.h>
#include <inttypes.h>
#include <math.h>
#include <string.h>

static const struct metric_facts table[] = {
    [METRIC_LATENCY] = {"latency", UNIT_SECONDS, .distribution = true, .source = SOURCE_ANY,
                        .meaning = "time from the intended send to the answer's last byte"},
    [METRIC_TTFT] = {"ttft", UNIT_SECONDS, .distribution = true,
                     .source = SOURCE_TEXT | SOURCE_SPEECH,
                     .meaning =
                         "time from the intended send to the first text, or the first byte of "
                         "sound"},
    [METRIC_CONTENT] = {"content", UNIT_SECONDS, .distribution = true, .source = SOURCE_TEXT,
                        .meaning = "time from the intended send to the first text of the answer "
                                   "itself, thinking left out"},
    [METRIC_TURN] = {"turn", UNIT_SECONDS, .distribution = true, .source = SOURCE_TURN,
                     .meaning = "time from the end of speech (the intended send of the chain's "
                                "first request) to this service's first text or sound"},
    [METRIC_TURN_ERRORS] = {"turn_errors", UNIT_COUNT, .source = SOURCE_TURN,
                            .meaning = "turns begun in the window that never came to this "
                                       "service's first text or sound, whichever step failed"},
    [METRIC_ITL] = {"itl", UNIT_SECONDS, .distribution = true, .source = SOURCE_TEXT,
                    .meaning = "gap between successive text events of one answer"},
    [METRIC_RTF] = {"rtf", UNIT_RATIO, .distribution = true, .source = SOURCE_AUDIO | SOURCE_SPEECH,
                    .meaning = "latency over the duration of the audio sent, or spoken"},
    [METRIC_TOKENS_PER_S] = {"tokens_per_s", UNIT_PER_SECOND, .higher_is_better = true,
                             .source = SOURCE_TEXT,
                             .meaning = "output tokens answered in the window, per second"},
    [METRIC_REQUESTS_PER_S] = {"requests_per_s", UNIT_PER_SECOND, .higher_is_better = true,
                               .source = SOURCE_ANY,
                               .meaning = "requests completed in the window, per second"},
    [METRIC_WER] = {"wer", UNIT_RATIO, .source = SOURCE_AUDIO,
                    .meaning = "word error rate, all words of the window pooled"},
    [METRIC_ERRORS] = {"errors", UNIT_COUNT, .source = SOURCE_ANY,
                       .meaning = "failed requests in the window"},
    [METRIC_ERROR_RATIO] = {"error_ratio", UNIT_RATIO, .source = SOURCE_ANY,
                            .meaning = "failed requests over all requests of the window"},
    [METRIC_MEMORY] = {"memory", UNIT_BYTES, .source = SOURCE_ANY,
                       .meaning =
                           "peak memory of the service's process tree on its device: GPU memory, "
                           "or PSS on a CPU box"},
    [METRIC_CPU] = {"cpu", UNIT_COUNT, .source = SOURCE_ANY, .meaning = "cores used in the window"},
    [METRIC_READY] = {"ready", UNIT_SECONDS, .source = SOURCE_ANY,
                      .meaning = "time from start to ready"},
    [METRIC_FIRST_REQUEST] = {"first_request", UNIT_SECONDS, .source = SOURCE_ANY,
                              .meaning = "latency of the very first request after ready"},
    [METRIC_MEMORY_IDLE] = {"memory_idle", UNIT_BYTES, .source = SOURCE_ANY,
                            .meaning = "memory on its device after the start, before the first "
                                       "request"},
    [METRIC_MEMORY_GROWTH] = {"memory_growth", UNIT_BYTES_PER_SECOND, .source = SOURCE_ANY,
                              .meaning = "growth of its memory on its device under load: a leak, "
                                         "or a cache that fills"},
    [METRIC_HOST_MEMORY] = {"host_memory", UNIT_BYTES, .source = SOURCE_ANY,
                            .meaning = "peak memory of the process tree in the machine's RAM "
                                       "(PSS), wherever it computes"},
    [METRIC_GOODPUT] = {"goodput", UNIT_PER_SECOND, .higher_is_better = true, .source = SOURCE_ANY,
                        .meaning = "requests completed in the window that kept every limit on "
                                   "times that is required, per second"},
    [METRIC_GOODPUT_RATIO] = {"goodput_ratio", UNIT_RATIO, .higher_is_better = true,
                              .source = SOURCE_ANY,
                              .meaning = "requests that kept every limit on times that is "
                                         "required, over all requests of the window"},
};
static_assert(ARRAY_LEN(table) == METRIC_COUNT_, "one row per metric");

static const struct {
    const char *name;
    double quantile; /* NaN: none */
} stats[] = {
    [STAT_VALUE] = {"", NAN},   [STAT_P50] = {"p50", 0.50}, [STAT_P90] = {"p90", 0.90},
    [STAT_P95] = {"p95", 0.95}, [STAT_P99] = {"p99", 0.99}, [STAT_MEAN] = {"mean", NAN},
    [STAT_MIN] = {"min", NAN},  [STAT_MAX] = {"max", NAN},
};
static_assert(ARRAY_LEN(stats) == STAT_COUNT_, "one row per statistic");

const struct metric_facts *metric_facts(enum metric metric)
{
    assert((int)metric >= 0 && metric < METRIC_COUNT_);
    return &table[metric];
}

int metric_from_name(const char *name)
{
    for (int i = 0; name && i < METRIC_COUNT_; i++)
        if (strcmp(table[i].name, name) == 0)
            return i;
    return -1;
}

const char *metric_stat_name(enum metric_stat stat)
{
    return (int)stat >= 0 && stat < STAT_COUNT_ ? stats[stat].name : "";
}

int metric_stat_from_name(const char *name)
{
    for (int i = 0; name && i < STAT_COUNT_; i++)
        if (stats[i].name[0] && strcmp(stats[i].name, name) == 0)
            return i;
    return -1;
}

double metric_stat_quantile(enum metric_stat stat)
{
    return (int)stat >= 0 && stat < STAT_COUNT_ ? stats[stat].quantile : NAN;
}

/* The number before `suffix`, blanks between them allowed; the whole text when suffix is "". */
static bool number_before(const char *text, const char *suffix, double *ret_value)
{
    char copy[64];
    size_t len = strlen(text);
    size_t cut = strlen(suffix);
    if (len >= sizeof copy || len <= cut || !text_ends_with(text, suffix))
        return false;
    len -= cut;
    while (len > 0 && text[len - 1] == ' ')
        len--;
    memcpy(copy, text, len);
    copy[len] = '\0';
    return text_to_double(copy, ret_value);
}

static bool parse_seconds(const char *text, double *ret_value)
{
    int64_t ns = 0;
    double zero = 1;
    if (text_to_duration_ns(text, &ns))
        *ret_value = (double)ns / 1e9;
    else if (text_to_double(text, &zero) && zero == 0)
        *ret_value = 0; /* nothing needs no unit */
    else
        return false;
    return true;
}

static bool parse_bytes(const char *text, double *ret_value)
{
    int64_t bytes = 0;
    if (!text_to_bytes(text, &bytes))
        return false;
    *ret_value = (double)bytes;
    return true;
}

/* "12MiB/min": no bare number, as with sizes, but nothing is nothing. */
static bool parse_byte_rate(const char *text, double *ret_value)
{
    static const struct {
        const char *suffix;
        double seconds;
    } spans[] = {{"/s", 1}, {"/min", 60}, {"/h", 3600}};
    double zero = 1;
    for (size_t i = 0; i < ARRAY_LEN(spans); i++) {
        char copy[64];
        int64_t bytes = 0;
        size_t len = strlen(text), cut = strlen(spans[i].suffix);
        if (len >= sizeof copy || !text_ends_with(text, spans[i].suffix))
            continue;
        memcpy(copy, text, len - cut);
        copy[len - cut] = '\0';
        if (!text_to_bytes(copy, &bytes))
            return false;
        *ret_value = (double)bytes / spans[i].seconds;
        return true;
    }
    if (!text_to_double(text, &zero) || zero != 0)
        return false;
    *ret_value = 0;
    return true;
}

static bool parse_ratio(const char *text, double *ret_value)
{
    double percent = 0;
    if (!number_before(text, "%", &percent))
        return text_to_double(text, ret_value);
    *ret_value = percent / 100;
    return true;
}

static bool parse_rate(const char *text, double *ret_value)
{
    double per_minute = 0;
    if (number_before(text, "/s", ret_value))
        return true;
    if (!number_before(text, "/min", &per_minute))
        return text_to_double(text, ret_value);
    *ret_value = per_minute / 60;
    return true;
}

bool metric_parse_quantity(enum metric_unit unit, const char *text, double *ret_value,
                           struct err *err)
{
    static const struct {
        bool (*parse)(const char *text, double *ret_value);
        const char *allowed;
    } units[] = {
        [UNIT_SECONDS] = {parse_seconds, "a time with its unit, as in 500ms or 2s"},
        [UNIT_BYTES] = {parse_bytes, "a size with its unit, as in 512MiB"},
        [UNIT_RATIO] = {parse_ratio, "a share, as in 5% or 0.05"},
        [UNIT_COUNT] = {text_to_double, "a number"},
        [UNIT_PER_SECOND] = {parse_rate, "a rate, as in 3/s or 3"},
        [UNIT_BYTES_PER_SECOND] = {parse_byte_rate, "a size in a time, as in 12MiB/min"},
    };
    double value = 0;
    if (!units[unit].parse(text, &value)) {
        struct buf shown = BUF_INIT(400);
        text_add_escaped(&shown, TEXT_TERMINAL, text, strlen(text), 60);
        err_set(err, ERR_INPUT, "\"%s\" is not %s", buf_text(&shown), units[unit].allowed);
        buf_done(&shown);
        return false;
    }
    *ret_value = value;
    return true;
}

/* Three significant digits, without an exponent below a million. */
static void add_number(struct buf *buf, double value)
{
    double size = fabs(value);
    if (size >= 999.5 && size < 1e15)
        text_add_grouped(buf, (int64_t)llround(value));
    else if (value == rint(value) && size < 1000)
        buf_addf(buf, "%.0f", value);
    else
        buf_addf(buf, "%.3g", value);
}

void metric_add_value(struct buf *buf, enum metric_unit unit, double value)
{
    if (isnan(value)) {
        buf_add(buf, "unknown");
        return;
    }
    switch (unit) {
    case UNIT_SECONDS:
        text_add_duration(buf, value);
        return;
    case UNIT_BYTES:
        text_add_bytes(buf, value);
        return;
    case UNIT_RATIO:
        buf_addf(buf, fabs(value) >= 0.9995 ? "%.0f %%" : "%.1f %%", value * 100);
        return;
    case UNIT_COUNT:
        add_number(buf, value);
        return;
    case UNIT_PER_SECOND:
        if (fabs(value) >= 99.95 || value == 0)
            add_number(buf, value);
        else
            buf_addf(buf, "%.3g", value);
        buf_add(buf, " /s");
        return;
    case UNIT_BYTES_PER_SECOND:
        text_add_bytes(buf, value * 60);
        buf_add(buf, "/min");
        return;
    }
}
