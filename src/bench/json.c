/* A run as JSON: every number that the table shows, in base units, with intervals of 95 %. NaN is
 * null, absent is what this protocol does not tell. `spica_bench` is the version of this shape. */
#include "bench/run.h"

#include "base/clock.h"
#include "bench/results.h"
#include "bench/setup.h"

#include <math.h>

static json_t *number_json(struct bench_number n)
{
    json_t *json = json_pack("{s:o}", "value", json_real_or_null(n.value));
    if (n.exact)
        return json;
    json_object_set_new(json, "low", json_real_or_null(n.low));
    json_object_set_new(json, "high", json_real_or_null(n.high));
    if (n.alike)
        json_object_set_new(json, "correlated", json_true());
    if (n.refused)
        json_object_set_new(json, "needs", json_integer((json_int_t)n.needed));
    return json;
}

static json_t *series_json(struct bench_series *series, bool with_intervals)
{
    json_t *json = json_pack("{s:I}", "count", (json_int_t)series->count);
    for (int stat = STAT_VALUE + 1; stat < STAT_COUNT_; stat++) {
        struct bench_number n = bench_series_number(series, (enum metric_stat)stat, BENCH_INTERVAL);
        if (!with_intervals)
            n.low = n.high = NAN;
        json_object_set_new(json, metric_stat_name((enum metric_stat)stat), number_json(n));
    }
    return json;
}

static json_t *distribution_json(struct bench_results *results, enum metric metric)
{
    json_t *json = json_object();
    size_t count = 0;
    for (int stat = STAT_VALUE + 1; stat < STAT_COUNT_; stat++) {
        struct bench_number n =
            bench_measure(results, metric, (enum metric_stat)stat, BENCH_INTERVAL);
        count = n.count;
        json_object_set_new(json, metric_stat_name((enum metric_stat)stat), number_json(n));
    }
    json_object_set_new(json, "count", json_integer((json_int_t)count));
    return json;
}

static json_t *metrics_json(const struct bench_run *run)
{
    json_t *all = json_object();
    const unsigned sources = bench_sources(run->setup);
    for (int m = 0; m < METRIC_COUNT_; m++) {
        enum metric metric = (enum metric)m;
        const struct metric_facts *facts = metric_facts(metric);
        bool of_good = metric == METRIC_GOODPUT || metric == METRIC_GOODPUT_RATIO;
        if (!bench_measures(sources, metric) || (of_good && !run->results->limits.any))
            continue;
        if (facts->distribution) {
            json_object_set_new(all, facts->name, distribution_json(run->results, metric));
            continue;
        }
        struct bench_number n = bench_measure(run->results, metric, STAT_VALUE, BENCH_INTERVAL);
        json_t *json = number_json(n);
        json_object_set_new(json, "count", json_integer((json_int_t)n.count));
        json_object_set_new(all, facts->name, json);
    }
    return all;
}

static json_t *errors_json(const struct bench_results *r)
{
    json_t *all = json_object();
    for (int e = LOAD_OK + 1; e < LOAD_ERROR_COUNT_; e++) {
        if (r->errors[e] == 0)
            continue;
        json_t *one = json_pack("{s:I, s:o}", "count", (json_int_t)r->errors[e], "example",
                                json_text_or_null(r->examples[e]));
        if (r->http_status[e])
            json_object_set_new(one, "http_status", json_integer(r->http_status[e]));
        json_object_set_new(all, load_error_name((enum load_error)e), one);
    }
    return all;
}

/* 0: none was set. */
static json_t *limit_or_null(int limit)
{
    return limit > 0 ? json_integer(limit) : json_null();
}

/* After which rules words are compared, as `normalise` says it. */
static const char *words_name(enum stats_normaliser normaliser)
{
    return spec_words_names[normaliser == NORMALISER_PLAIN ? WORDS_PLAIN : WORDS_ENGLISH];
}

static json_t *load_json(const struct bench_setup *setup)
{
    const struct load_stream *s = &setup->plan.streams[0];
    json_t *json = json_pack("{s:s, s:o, s:i, s:o, s:f, s:b, s:s, s:o, s:I}", "arrivals",
                             spec_arrivals_names[s->arrivals], "rate_rps",
                             json_real_or_null(s->rate_rps > 0 ? s->rate_rps : NAN), "concurrency",
                             s->concurrency, "max_tokens", limit_or_null(s->max_tokens),
                             "timeout_s", (double)s->timeout_ns / NS_PER_S, "reuse_connection",
                             s->reuse_connection, "sends", setup->sending, "model",
                             json_text_or_null(s->model), "seed", (json_int_t)setup->plan.seed);
    if (s->protocol->sends_audio)
        json_object_set_new(json, BENCH_NORMALISE, json_string(words_name(s->normaliser)));
    /* As written: what of the load's shape has no member above shows here. */
    json_t *asked = json_object();
    for (size_t i = 0; i < setup->pair_count; i++)
        json_object_set_new(asked, setup->pairs[i].key, json_text_or_null(setup->pairs[i].text));
    json_object_set_new(json, "asked", asked);
    return json;
}

static json_t *instrument_json(const struct bench_run *run)
{
    struct bench_results *r = run->results;
    double p99_s, bound_s;
    bool late = bench_is_late(r, &p99_s, &bound_s);
    return json_pack("{s:o, s:o, s:o, s:f, s:b, s:o, s:o, s:o, s:i, s:i}", "lateness_p50_s",
                     json_real_or_null(r->report.lateness_p50_s), "lateness_p99_s",
                     json_real_or_null(p99_s), "lateness_max_s",
                     json_real_or_null(r->report.lateness_max_s), "lateness_bound_s", bound_s,
                     "late", late, "stall_p99_s", json_real_or_null(r->report.stall_p99_s),
                     "stall_max_s", json_real_or_null(r->report.stall_max_s), "worker_cpu_s",
                     json_real_or_null((double)r->report.cpu_ns / NS_PER_S), "workers",
                     run->setup->plan.workers > 1 ? run->setup->plan.workers : 1, "tried_again",
                     run->tried_again);
}

static json_t *steady_json(struct bench_results *results)
{
    const struct stats_drift drift = bench_drift(results);
    const struct window_cut *cut = &results->cut_off;
    if (results->moving || results->latency.count == 0)
        return json_null();
    return json_pack("{s:b, s:o, s:o, s:o, s:b, s:I, s:o}", "drifting", results->unsteady != NULL,
                     "why", json_text_or_null(results->unsteady), "p50_first_third",
                     json_real_or_null(drift.first), "p50_last_third",
                     json_real_or_null(drift.last), "settled", cut->settled, "warmup_requests_cut",
                     (json_int_t)cut->count, "warmup_cut_s",
                     json_real_or_null(cut->count ? cut->seconds : 0));
}

static json_t *requirements_json(const struct bench_run *run)
{
    json_t *all = json_array();
    for (size_t i = 0; i < run->requirement_count; i++)
        json_array_append_new(all, json_pack("{s:o, s:s, s:o}", "text",
                                             json_text_or_null(run->requirements[i].text), "answer",
                                             bench_answer_names[run->judgements[i].answer], "why",
                                             json_text_or_null(run->judgements[i].why)));
    return all;
}

static json_t *worst_json(const struct bench_run *run)
{
    const struct bench_results *r = run->results;
    size_t items[BENCH_WORST_MAX];
    size_t count = bench_heard_worst(r, items, ARRAY_LEN(items));
    json_t *all = json_array();
    for (size_t i = 0; i < count; i++) {
        const struct stats_wer *wer = &r->wer[items[i]];
        json_array_append_new(
            all, json_pack("{s:I, s:I, s:I, s:I, s:I, s:I, s:o, s:o}", "item", (json_int_t)items[i],
                           "times", (json_int_t)r->heard[items[i]].times, "words",
                           (json_int_t)wer->reference_words, "substitutions",
                           (json_int_t)wer->substitutions, "deletions", (json_int_t)wer->deletions,
                           "insertions", (json_int_t)wer->insertions, "said",
                           json_text_or_null(bench_said(run->setup, items[i])), "heard",
                           json_text_or_null(r->heard[items[i]].text)));
    }
    return all;
}

static json_t *prompts_sent_json(const struct bench_sent *sent)
{
    const struct bench_repeats all = bench_sent_repeats(sent);
    if (all.prompts == 0)
        return json_null();
    return json_pack("{s:I, s:I, s:I, s:b}", "prompts", (json_int_t)all.prompts, "least_times",
                     (json_int_t)all.least, "most_times", (json_int_t)all.most, "may_be_cached",
                     all.most > 1);
}

json_t *bench_json(const struct bench_run *run)
{
    static const char *const ends[] = {[BENCH_WHOLE] = "whole",
                                       [BENCH_STOPPED] = "stopped",
                                       [BENCH_DECIDED] = "decided",
                                       [BENCH_BROKEN] = "broken"};
    struct bench_results *r = run->results;
    const struct load_stream *stream = &run->setup->plan.streams[0];
    AUTO(arena_free) struct arena *arena = arena_new();
    char started[32];
    clock_format_wall(run->started_wall_us, started, sizeof started);
    json_t *json = json_pack(
        "{s:i, s:s, s:s, s:s, s:o, s:o, s:s, s:o, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:o}",
        "spica_bench", 1, "version", SPICA_VERSION, "started", started, "protocol",
        stream->protocol->spec->name, "url", json_text_or_null(bench_target(run->setup, arena)),
        "load", load_json(run->setup), "ended", ends[r->end], "window_s",
        json_real_or_null(r->window_s), "warmup_requests", (json_int_t)r->warmups, "requests",
        (json_int_t)r->requests, "answered", (json_int_t)r->ok, "cut", (json_int_t)r->cut,
        "held_back", (json_int_t)r->held_back, "reloads", (json_int_t)r->reloads, "bytes",
        (json_int_t)r->bytes, "first_request_s", json_real_or_null(run->first_request_s));
    json_object_set_new(json, "text_salt", json_text_or_null(run->text_salt));
    json_object_set_new(json, "prompts_sent", prompts_sent_json(run->sent));
    json_object_set_new(json, "metrics", metrics_json(run));
    json_object_set_new(json, "uncorrected_latency", series_json(&r->service, true));
    json_object_set_new(json, "tokens_exact", json_boolean(r->tokens_exact));
    json_object_set_new(json, "itl_left_out", json_integer((json_int_t)r->gaps_left_out));
    json_object_set_new(json, "errors", errors_json(r));
    json_object_set_new(json, "steady", steady_json(r));
    json_object_set_new(json, "instrument", instrument_json(run));
    if (r->heard)
        json_object_set_new(json, "worst_utterances", worst_json(run));
    if (run->requirement_count)
        json_object_set_new(json, "requirements", requirements_json(run));
    if (run->comparison)
        json_object_set_new(json, "comparison", bench_compare_json(run->comparison));
    return json;
}
