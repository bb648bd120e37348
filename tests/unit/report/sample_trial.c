/* How the numbers of one trial come about: a candidate's settings give a factor to the latency of
 * each service; a request's latency is that factor times a log-normal-like draw; every cold start
 * has its own luck of a few percent. Metrics are computed from the requests with the functions that
 * trials use, so that a script can compare the report with the rows. */
#include "sample_fill.h"
#include "sample_gpu.h"

#include "base/rng.h"
#include "load/record.h"
#include "spec/metric.h"
#include "stats/binomial.h"
#include "stats/desirability.h"
#include "stats/quantile.h"

#include <math.h>
#include <string.h>

enum { CLIPS = 8, WORDS_PER_CLIP = 25 };

bool sample_is_gpu(const struct sample_filler *f)
{
    return f->options->story == SAMPLE_GPU;
}

const char *sample_knob_name(const struct sample_filler *f, int i)
{
    static const char *const names[2][3] = {
        {"stt.model", "stt.threads", "llm.slots"},
        {"stt.model", "stt.visible", "llm.gpu_memory_utilization"}};
    return names[sample_is_gpu(f)][i];
}

const char *sample_text(const struct sample_filler *f, const char *usual, const char *weird)
{
    return f->options->story == SAMPLE_WEIRD ? weird : usual;
}

static double knob(const struct sample_filler *f, const struct spec_candidate *c, const char *name)
{
    int i = spec_study_knob(f->study, name);
    const struct spec_value *value = spec_candidate_value(f->study, c, (size_t)i);
    return isnan(value->number) ? strcmp(value->label, "base") == 0 : value->number;
}

static double stt_scale_s(const struct sample_filler *f, const struct spec_candidate *c)
{
    if (f->options->story == SAMPLE_BASELINE_BEST)
        return 0.15;
    double slow = f->options->story == SAMPLE_INFEASIBLE ? 40 : 1;
    double base = knob(f, c, "stt.model") > 0 ? 0.16 : 0.06;
    if (sample_is_gpu(f))
        base *= 0.5;
    return slow * base * (knob(f, c, sample_knob_name(f, 1)) > 1 ? 1 : 1.5) *
           (1 + 0.05 * knob(f, c, sample_knob_name(f, 2)));
}

static void add_metric(struct sample_filler *f, const char *service, const char *mode,
                       enum metric metric, enum metric_stat stat, double value,
                       struct stats_interval interval, size_t count)
{
    if (isnan(value) || f->metric_count == SAMPLE_METRICS_MAX)
        return;
    f->metrics[f->metric_count++] = (struct store_metric){service,
                                                          mode,
                                                          metric_facts(metric)->name,
                                                          metric_stat_name(stat),
                                                          value,
                                                          interval.low,
                                                          interval.high,
                                                          (int64_t)count};
}

static void add_distribution(struct sample_filler *f, const char *service, const char *mode,
                             enum metric metric, double *values, size_t n)
{
    static const enum metric_stat stats[] = {STAT_P50, STAT_P90, STAT_P95, STAT_P99};
    stats_sort(values, n);
    for (size_t i = 0; i < ARRAY_LEN(stats) && n > 0; i++) {
        double q = metric_stat_quantile(stats[i]);
        add_metric(f, service, mode, metric, stats[i], stats_quantile(values, n, q),
                   stats_quantile_interval(values, n, q, 0.95), n);
    }
}

struct draws {
    const char *service, *mode;
    bool audio, small_model; /* the small model errs more */
    double scale_s, luck;
    size_t count;
};

static void fill_request(struct sample_filler *f, const struct draws *d, struct rng *rng, size_t i,
                         struct store_request *r)
{
    int64_t item = (int64_t)(i % CLIPS);
    double gap_s = 30.0 / (double)d->count;
    int64_t intended = (int64_t)((double)i * gap_s * 1e9);
    double latency_s = d->scale_s * d->luck * (0.8 + 0.25 * rng_exponential(rng, 1));
    int64_t wrong = d->audio ? (item * 3 + 1) % 4 + (d->small_model && item % 3 == 0) : -1;
    bool failed = !d->audio && i % 37 == 36;
    *r = (struct store_request){
        .service = d->service,
        .mode = d->mode,
        .part = LOAD_WINDOW,
        .sequence = (int64_t)i,
        .item = item,
        .error = failed ? "timeout" : NULL,
        .http_status = failed ? 0 : 200,
        .intended_ns = intended,
        .sent_ns = intended + 20000,
        .first_byte_ns = failed ? STORE_NEVER : intended + (int64_t)(latency_s * 4e8),
        .first_token_ns = d->audio || failed ? STORE_NEVER : intended + (int64_t)(latency_s * 4e8),
        .last_token_ns = d->audio || failed ? STORE_NEVER : intended + (int64_t)(latency_s * 1e9),
        .done_ns = intended + (int64_t)(latency_s * 1e9),
        .tokens = d->audio || failed ? -1 : 64,
        .tokens_exact = true,
        .audio_s = d->audio ? 3.0 + (double)item : NAN,
        .text =
            d->audio ? sample_text(f, "what was heard", "<script>alert(1)</script> |`*_") : NULL,
        .word_errors = wrong,
        .words = d->audio ? WORDS_PER_CLIP : -1,
    };
}

static size_t add_stream(struct sample_filler *f, const struct draws *d,
                         struct store_request *requests)
{
    AUTO(free) double *latency = calloc(d->count + 1, sizeof *latency);
    AUTO(free) double *ttft = calloc(d->count + 1, sizeof *ttft);
    char stream[96];
    snprintf(stream, sizeof stream, "trial %lld %s %s", (long long)f->number, d->service, d->mode);
    struct rng rng = rng_init(f->study->seed, stream);
    double errors = 0, words = 0;
    size_t ok = 0, failed = 0;
    const struct stats_interval none = {NAN, NAN};
    for (size_t i = 0; i < d->count; i++) {
        fill_request(f, d, &rng, i, &requests[i]);
        if (requests[i].error) {
            failed++;
            continue;
        }
        latency[ok] = (double)(requests[i].done_ns - requests[i].intended_ns) / 1e9;
        if (!d->audio)
            ttft[ok] = (double)(requests[i].first_token_ns - requests[i].intended_ns) / 1e9;
        errors += (double)requests[i].word_errors;
        words += (double)requests[i].words;
        ok++;
    }
    add_distribution(f, d->service, d->mode, METRIC_LATENCY, latency, ok);
    if (!d->audio) {
        add_distribution(f, d->service, d->mode, METRIC_TTFT, ttft, ok);
        add_metric(f, d->service, d->mode, METRIC_TOKENS_PER_S, STAT_VALUE,
                   64.0 / (d->scale_s * d->luck * 8), none, d->count);
    } else {
        add_metric(f, d->service, d->mode, METRIC_WER, STAT_VALUE, errors / words, none, d->count);
    }
    add_metric(f, d->service, d->mode, METRIC_REQUESTS_PER_S, STAT_VALUE, (double)d->count / 30,
               none, d->count);
    add_metric(f, d->service, d->mode, METRIC_ERRORS, STAT_VALUE, (double)failed, none, d->count);
    add_metric(f, d->service, d->mode, METRIC_ERROR_RATIO, STAT_VALUE,
               (double)failed / (double)d->count, stats_binomial_interval(failed, d->count, 0.95),
               d->count);
    return d->count;
}

static size_t add_streams(struct sample_filler *f, const struct sample_wish *w,
                          struct store_request *requests)
{
    struct rng rng = rng_init(f->study->seed + (uint64_t)f->number, "luck");
    double luck = 0.97 + 0.06 * rng_unit(&rng), stt = stt_scale_s(f, &w->candidate);
    bool final = strcmp(w->purpose, "final") == 0;
    size_t half = f->requests / (final ? 4 : 2), n = 0;
    bool small = knob(f, &w->candidate, "stt.model") <= 0;
    struct draws all[] = {
        {"stt", "shared", true, small, stt, luck, half},
        {"llm", "shared", false, false, 0.3, luck, half},
        {"stt", "alone", true, small, 0.7 * stt, luck, final ? half : 0},
        {"llm", "alone", false, false, 0.25, luck, final ? half : 0},
    };
    for (size_t i = 0; i < ARRAY_LEN(all); i++)
        if (all[i].count)
            n += add_stream(f, &all[i], requests + n);
    return n;
}

static struct sample_gpu_look look_of(const struct sample_filler *f, const struct sample_wish *w,
                                      bool measured)
{
    return (struct sample_gpu_look){
        .share = knob(f, &w->candidate, sample_knob_name(f, 2)),
        .small = knob(f, &w->candidate, "stt.model") <= 0,
        .emptied = w->candidate.index[spec_study_knob(f->study, "stt.visible")] == 1,
        .measured = measured,
        .llm_since = w->llm_since};
}

static void fill_service(struct sample_filler *f, size_t i, const struct sample_wish *w,
                         bool measured)
{
    const struct sample_gpu_look look =
        sample_is_gpu(f) ? look_of(f, w, measured) : (struct sample_gpu_look){.share = 0};
    double memory = sample_is_gpu(f)
                        ? sample_gpu_memory(&look, i == 1)
                        : (i ? 180e6 : 90e6 + 120e6 * knob(f, &w->candidate, "stt.model")) +
                              1e6 * (double)(f->number % 5);
    f->services[i] = (struct store_service){
        .name = i ? "llm" : "stt",
        .engine = NULL,
        .version = i ? "b4719" : "1.7.4",
        .command = sample_text(f, i ? "/bin/llm 1 9002" : "/bin/stt base 2 9001",
                               "/bin/stt '\033[31m' | `reboot` $(x)"),
        .environment = "{\"OMP_NUM_THREADS\":\"2\"}",
        .settings = "",
        .started_in_trial = f->number,
        .ready_s = 0.8 + 0.4 * (double)i,
        .first_request_s = 0.31,
        .idle_memory_bytes = memory * 0.8,
        .peak_memory_bytes = measured ? memory : NAN,
        .cpu_s = measured ? 21 : NAN,
        .host_memory_bytes = NAN,
        .exit_code = -1,
        .placement = sample_is_gpu(f) ? NULL
                     : measured       ? "cpu"
                                      : NULL,
        .placement_evidence = sample_is_gpu(f) ? NULL
                              : measured       ? "no GPU in this machine; CPU time grew by 0.31 s"
                                               : NULL,
        .log = sample_text(f, "loaded the model\nlistening\n",
                           "\033]0;owned\007 \xff\xfe \xe2\x80\xae log"),
    };
    const struct stats_interval none = {NAN, NAN};
    if (!measured)
        return;
    add_metric(f, f->services[i].name, "shared", METRIC_MEMORY, STAT_VALUE, memory, none, 1);
    if (sample_is_gpu(f)) {
        add_metric(f, f->services[i].name, "shared", METRIC_MEMORY_IDLE, STAT_VALUE, memory * 0.8,
                   none, 1);
        add_metric(f, f->services[i].name, "shared", METRIC_HOST_MEMORY, STAT_VALUE, 8e8, none, 1);
    }
    bool leaks = f->options->story == SAMPLE_SMALL || sample_is_gpu(f);
    add_metric(f, f->services[i].name, "shared", METRIC_MEMORY_GROWTH, STAT_VALUE,
               leaks && i ? 3e6 : 2e4, none, 30);
    add_metric(f, f->services[i].name, "shared", METRIC_CPU, STAT_VALUE, 0.7, none, 1);
    add_metric(f, f->services[i].name, "shared", METRIC_READY, STAT_VALUE, f->services[i].ready_s,
               none, 1);
}

static double metric_value(const struct sample_filler *f, struct metric_ref ref)
{
    const char *service = f->study->services[ref.service].name;
    for (size_t i = 0; i < f->metric_count; i++)
        if (strcmp(f->metrics[i].mode, "shared") == 0 &&
            strcmp(f->metrics[i].service, service) == 0 &&
            strcmp(f->metrics[i].metric, metric_facts(ref.metric)->name) == 0 &&
            strcmp(f->metrics[i].stat, metric_stat_name(ref.stat)) == 0)
            return f->metrics[i].value;
    return NAN;
}

static double fitness_of(const struct sample_filler *f)
{
    double d[SPEC_OBJECTIVES_MAX], weights[SPEC_OBJECTIVES_MAX];
    for (size_t i = 0; i < f->study->objective_count; i++) {
        const struct spec_objective *o = &f->study->objectives[i];
        enum stats_scale scale =
            metric_facts(o->metric.metric)->unit == UNIT_SECONDS ? SCALE_LOG : SCALE_LINEAR;
        d[i] = stats_desirability(metric_value(f, o->metric), o->good, o->bad, scale);
        weights[i] = o->weight;
    }
    return stats_desirability_mean(d, weights, f->study->objective_count);
}

static void judge_trial(struct sample_filler *f, const struct sample_wish *w, struct store_trial *t)
{
    struct metric_ref p95 = f->study->objectives[0].metric;
    double latency_s = metric_value(f, p95);
    t->verdict = w->verdict ? w->verdict : latency_s < 1.5 ? "ok" : "slow";
    t->fitness = strcmp(t->verdict, "ok") == 0     ? fitness_of(f)
                 : strcmp(t->verdict, "slow") == 0 ? 0
                                                   : NAN;
    t->summary =
        w->summary ? w->summary
        : strcmp(t->verdict, "slow") == 0
            ? arena_printf(f->arena, "stt.latency.p95 is %.3g s, required < 1.50 s", latency_s)
            : "";
}

bool sample_add_trial(struct sample_filler *f, const struct sample_wish *w)
{
    AUTO(arena_free) struct arena *arena = arena_new();
    AUTO(buf_done) struct buf text = BUF_INIT(65536);
    bool measured = !w->verdict || strcmp(w->verdict, "contended") == 0;
    f->arena = arena;
    f->metric_count = 0;
    f->number++;
    spec_candidate_add_text(&text, f->study, &w->candidate);
    struct store_request *requests = arena_array(arena, f->requests + 4, sizeof *requests);
    size_t n = measured ? add_streams(f, w, requests) : 0;
    if (w->verdict && strcmp(w->verdict, "cpu_fallback") == 0)
        n = add_stream(f, &(struct draws){"stt", "fallback", true, true, 1.1, 1, 12}, requests);
    for (size_t i = 0; i < 2; i++)
        fill_service(f, i, w, measured);
    f->phases[0] = (struct store_phase){"start", 0, 2, measured ? NULL : "failed"};
    f->phases[1] = (struct store_phase){"measure", 6, 30, NULL};
    f->phases[2] = (struct store_phase){"stop", 36, 0.4, NULL};
    const char *blamed = w->service ? w->service : "stt";
    size_t said = 0;
    if (w->hint)
        f->evidence[said++] = (struct store_evidence){blamed, "hint", w->hint};
    if (w->evidence)
        f->evidence[said++] = (struct store_evidence){blamed, "log", w->evidence};
    struct store_trial t = {
        .number = f->number,
        .candidate = buf_text(&text),
        .purpose = w->purpose,
        .round = w->round,
        .repeat = w->repeat,
        .retry_of = w->retry_of,
        .service = w->verdict ? blamed : NULL,
        .bound = w->bound,
        .started_wall_us = INT64_C(1764000000000000) + f->number * 60000000,
        .duration_s = 38,
        .window_s = measured ? 30 : 0,
        .contention_ratio = measured ? 0.02 : NAN,
        .lateness_p99_s = measured ? 0.0002 : NAN,
        .worker_cpu_s = 0.4,
        .own_cpu_s = 0.1,
        .cold = true,
        .phases = f->phases,
        .phase_count = measured ? 3 : 1,
        .evidence = f->evidence,
        .evidence_count = said,
        .services = f->services,
        .service_count = 2,
        .metrics = f->metrics,
        .metric_count = f->metric_count,
        .requests = requests,
        .request_count = n,
    };
    if (sample_is_gpu(f)) {
        struct sample_gpu_look look = look_of(f, w, measured);
        sample_gpu_dress(&t, f->services, &look, arena);
    }
    judge_trial(f, w, &t);
    f->fitness = t.fitness;
    return store_trial_add(f->store, &t, f->err);
}
