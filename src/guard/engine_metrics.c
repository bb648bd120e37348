/* A page of metrics, read once from its beginning to its end by a table of the names that count.
 *
 * service/engine_metrics.c reads five gauges for a trial's record; here histograms are wanted,
 * whose buckets are told apart by a label. A general parser (every family, every label) was
 * rejected: of a page of 5,000 lines some fifty are looked at, and the fewer bytes are interpreted
 * the fewer can do harm.
 *
 * Two labels are read, "le" and "finished_reason". Whatever else stands there (engine="0",
 * model_name=...) is summed over, which is right for counts.
 *
 * vLLM's "request_success" counts all that ended, and that label says how: "error" is the server's
 * own failure, which clients get as a 500, "abort" was ended by the client (vllm/v1/engine, as of
 * 2026). A version that has no series for "error" does not say how many failed, and that is
 * unknown, not none.
 *
 * Buckets with the same bound are one; the list is kept in order. Invariant: bounds rise and totals
 * don't fall, whatever the page said: a total below the one before it is raised to it. */
#include "guard/engine_metrics.h"

#include "base/auto.h"
#include "base/text.h"

#include <ctype.h>
#include <math.h>
#include <string.h>

enum what { WHAT_BUCKET, WHAT_RUNNING, WHAT_WAITING, WHAT_REQUESTS, WHAT_TOKENS };

static const struct family {
    const char *name;
    enum what what;
    enum guard_engine_histogram_kind histogram;
    double unit_s; /* of the bounds */
} families[] = {
    {"vllm:e2e_request_latency_seconds_bucket", WHAT_BUCKET, ENGINE_LATENCY, 1},
    {"vllm:time_to_first_token_seconds_bucket", WHAT_BUCKET, ENGINE_FIRST, 1},
    {"vllm:request_queue_time_seconds_bucket", WHAT_BUCKET, ENGINE_QUEUE, 1},
    {"vllm:num_requests_running", WHAT_RUNNING, 0, 0},
    {"vllm:num_requests_waiting", WHAT_WAITING, 0, 0},
    {"vllm:request_success_total", WHAT_REQUESTS, 0, 0},
    {"vllm:prompt_tokens_total", WHAT_TOKENS, 0, 0},
    {"vllm:generation_tokens_total", WHAT_TOKENS, 0, 0},
    {"sglang:e2e_request_latency_seconds_bucket", WHAT_BUCKET, ENGINE_LATENCY, 1},
    {"sglang:time_to_first_token_seconds_bucket", WHAT_BUCKET, ENGINE_FIRST, 1},
    {"sglang:queue_time_seconds_bucket", WHAT_BUCKET, ENGINE_QUEUE, 1},
    {"sglang:num_running_reqs", WHAT_RUNNING, 0, 0},
    {"sglang:num_queue_reqs", WHAT_WAITING, 0, 0},
    {"sglang:prompt_tokens_total", WHAT_TOKENS, 0, 0},
    {"sglang:generation_tokens_total", WHAT_TOKENS, 0, 0},
    {"tgi_request_duration_bucket", WHAT_BUCKET, ENGINE_LATENCY, 1},
    {"tgi_request_queue_duration_bucket", WHAT_BUCKET, ENGINE_QUEUE, 1},
    {"tgi_queue_size", WHAT_WAITING, 0, 0},
    /* llama-server has gauges alone, as of 2025; forks give it vLLM-like histograms. */
    {"llamacpp:request_duration_seconds_bucket", WHAT_BUCKET, ENGINE_LATENCY, 1},
    {"llamacpp:time_to_first_token_seconds_bucket", WHAT_BUCKET, ENGINE_FIRST, 1},
    {"llamacpp:requests_processing", WHAT_RUNNING, 0, 0},
    {"llamacpp:requests_deferred", WHAT_WAITING, 0, 0},
    {"llamacpp:prompt_tokens_total", WHAT_TOKENS, 0, 0},
    {"llamacpp:tokens_predicted_total", WHAT_TOKENS, 0, 0},
};

enum end { END_WELL, END_ERROR, END_LEFT };
struct labels {
    double bound; /* "le"; NaN */
    enum end end; /* "finished_reason" */
};
static const struct {
    const char *reason;
    enum end end;
} reasons[] = {{"error", END_ERROR}, {"abort", END_LEFT}};

static const double COUNT_MAX = 1e15; /* more is no count */

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

static bool is_name(char c)
{
    return isalnum((unsigned char)c) || c == '_' || c == ':';
}

/* "+Inf" and numbers; a NaN is none. */
static bool read_number(const char *at, size_t len, double *ret_value)
{
    char text[64];
    if (len == 0 || len >= sizeof text)
        return false;
    memcpy(text, at, len);
    text[len] = '\0';
    if (strcmp(text, "+Inf") == 0 || strcmp(text, "Inf") == 0) {
        *ret_value = INFINITY;
        return true;
    }
    return text_to_double(text, ret_value);
}

static bool is_text(const char *at, size_t len, const char *text)
{
    return strlen(text) == len && memcmp(at, text, len) == 0;
}

static void take_label(struct labels *labels, const char *name, size_t name_len, const char *value,
                       size_t len)
{
    if (is_text(name, name_len, "le"))
        (void)read_number(value, len, &labels->bound);
    else if (is_text(name, name_len, "finished_reason"))
        for (size_t i = 0; i < ARRAY_LEN(reasons); i++)
            if (is_text(value, len, reasons[i].reason))
                labels->end = reasons[i].end;
}

/* Reads "{a="x\"}",le="0.5"}" from behind its brace; NULL when it does not end in this line. What
 * is not there is left alone. */
static const char *read_labels(const char *at, const char *end, struct labels *labels)
{
    while (at < end) {
        at = skip_blanks(at, end);
        if (at < end && *at == '}')
            return at + 1;
        const char *name = at;
        while (at < end && is_name(*at))
            at++;
        size_t name_len = (size_t)(at - name);
        at = skip_blanks(at, end);
        if (at == end || *at != '=')
            return NULL;
        at = skip_blanks(at + 1, end);
        if (at == end || *at != '"')
            return NULL;
        const char *value = ++at;
        while (at < end && *at != '"')
            at += *at == '\\' && at + 1 < end ? 2 : 1;
        if (at >= end)
            return NULL;
        take_label(labels, name, name_len, value, (size_t)(at - value));
        at = skip_blanks(at + 1, end);
        if (at < end && *at == ',')
            at++;
    }
    return NULL;
}

static const struct family *find_family(const char *name, size_t len)
{
    for (size_t i = 0; i < ARRAY_LEN(families); i++)
        if (strlen(families[i].name) == len && memcmp(families[i].name, name, len) == 0)
            return &families[i];
    return NULL;
}

static void add_bucket(struct guard_engine_histogram *histogram, double bound, double total)
{
    size_t at = 0;
    while (at < histogram->count && histogram->bounds[at] < bound)
        at++;
    if (at < histogram->count && histogram->bounds[at] == bound) {
        histogram->totals[at] += total;
        return;
    }
    if (histogram->count == GUARD_BUCKETS_MAX)
        return;
    size_t behind = histogram->count - at;
    memmove(&histogram->bounds[at + 1], &histogram->bounds[at], behind * sizeof(double));
    memmove(&histogram->totals[at + 1], &histogram->totals[at], behind * sizeof(double));
    histogram->bounds[at] = bound;
    histogram->totals[at] = total;
    histogram->count++;
}

static void add(double *sum, double value)
{
    *sum = isnan(*sum) ? value : *sum + value;
}

static void note(struct guard_engine_page *page, const struct family *family,
                 const struct labels *labels, double value)
{
    double *const ends[] = {
        [END_WELL] = &page->requests, [END_ERROR] = &page->errors, [END_LEFT] = &page->left};
    if (!(value >= 0 && value <= COUNT_MAX))
        return;
    switch (family->what) {
    case WHAT_BUCKET:
        if (labels->bound >= 0)
            add_bucket(&page->histograms[family->histogram], labels->bound * family->unit_s, value);
        break;
    case WHAT_RUNNING:
        add(&page->running, value);
        break;
    case WHAT_WAITING:
        add(&page->waiting, value);
        break;
    case WHAT_REQUESTS:
        add(ends[labels->end], value);
        break;
    case WHAT_TOKENS:
        add(&page->tokens, value);
        break;
    }
}

static void read_line(const char *at, const char *end, struct guard_engine_page *page)
{
    const char *name = skip_blanks(at, end), *stop = name;
    struct labels labels = {.bound = NAN, .end = END_WELL};
    double value = NAN;
    while (stop < end && is_name(*stop))
        stop++;
    const struct family *family = find_family(name, (size_t)(stop - name));
    if (!family)
        return;
    stop = skip_blanks(stop, end);
    if (stop < end && *stop == '{')
        stop = read_labels(stop + 1, end, &labels);
    if (!stop)
        return;
    const char *number = skip_blanks(stop, end), *after = number;
    while (after < end && !is_blank(*after))
        after++;
    if (read_number(number, (size_t)(after - number), &value))
        note(page, family, &labels, value);
}

/* A list without its last bucket, or with totals that fall, is put right or thrown away. */
static void settle(struct guard_engine_histogram *histogram)
{
    for (size_t i = 1; i < histogram->count; i++)
        histogram->totals[i] = fmax(histogram->totals[i], histogram->totals[i - 1]);
    if (histogram->count < 2 || !isinf(histogram->bounds[histogram->count - 1]))
        histogram->count = 0;
}

void guard_engine_parse(const char *text, size_t len, struct guard_engine_page *ret_page)
{
    struct guard_engine_page page = {
        .running = NAN, .waiting = NAN, .requests = NAN, .errors = NAN, .left = NAN, .tokens = NAN};
    const char *end = text + len;
    for (const char *at = text; at < end;) {
        const char *newline = memchr(at, '\n', (size_t)(end - at));
        const char *stop = newline ? newline : end;
        read_line(at, stop, &page);
        at = stop + 1;
    }
    for (int h = 0; h < ENGINE_HISTOGRAMS_; h++)
        settle(&page.histograms[h]);
    const struct guard_engine_histogram *latency = &page.histograms[ENGINE_LATENCY];
    if (isnan(page.requests) && latency->count > 0)
        page.requests = latency->totals[latency->count - 1];
    *ret_page = page;
}
