/* How the numbers come about: a candidate's settings give a factor to the latency of each service;
 * a request's latency is that factor times a log-normal-like draw; every cold start has its own
 * luck of a few percent. Metrics are computed from the requests with the functions that trials use,
 * so that a script can compare the report with the rows. */
#include "sample.h"

#include "base/clock.h"
#include "base/digest.h"
#include "base/json.h"
#include "base/rng.h"
#include "load/record.h"
#include "spec/metric.h"
#include "spec/space.h"
#include "spec/study.h"
#include "stats/binomial.h"
#include "stats/desirability.h"
#include "stats/quantile.h"
#include "stats/summary.h"

#include <math.h>
#include <string.h>

static const char study_head[] = "study: voice\n"
                                 "device: cpu\n"
                                 "services:\n"
                                 "  stt:\n"
                                 "    role: stt\n"
                                 "    command: [/bin/stt, \"{model}\", \"{threads}\", \"{port}\"]\n"
                                 "    protocol: openai-transcriptions\n"
                                 "    on: cpu\n"
                                 "    knobs:\n"
                                 "      model: [base, tiny.en]\n"
                                 "      threads: [1, 2]\n"
                                 "  llm:\n"
                                 "    role: llm\n"
                                 "    command: [/bin/llm, \"{slots}\", \"{port}\"]\n"
                                 "    protocol: openai-chat\n"
                                 "    on: cpu\n"
                                 "    knobs:\n";
static const char study_tail[] = "load:\n"
                                 "  stt: {corpus: speech, concurrency: 1}\n"
                                 "  llm: {prompts: prompts.jsonl, rate: 2/s, arrivals: poisson}\n"
                                 "measure: {warmup: 4s, window: 30s, repeats: 4}\n"
                                 "goal:\n"
                                 "  optimise:\n"
                                 "    stt.latency.p95: {good: 50ms, bad: 2s, weight: 2}\n"
                                 "    llm.tokens_per_s: {good: 100, bad: 10}\n"
                                 "    stt.wer: {good: 2%, bad: 40%}\n"
                                 "  require: [\"stt.errors == 0\", \"stt.latency.p95 < 1500ms\"]\n"
                                 "baseline: {stt.model: base, stt.threads: 2, llm.slots: 1}\n"
                                 "search: {strategy: tournament, trials: 24, finalists: 2}\n"
                                 "seed: 7\n";

static const struct spec_protocol transcriptions = {
    .name = "openai-transcriptions", .help = "", .sources = SOURCE_AUDIO | SOURCE_ANY, .path = "/"};
static const struct spec_protocol chat = {
    .name = "openai-chat", .help = "", .sources = SOURCE_TEXT | SOURCE_ANY, .path = "/"};
static const struct spec_protocol *const protocols[] = {&transcriptions, &chat};
static const char *const strategies[] = {"grid", "random", "tournament"};
static const struct spec_catalog catalog = {
    .protocols = protocols, .protocol_count = 2, .strategies = strategies, .strategy_count = 3};

enum { CLIPS = 8, WORDS_PER_CLIP = 25, FINAL_RUNS = 4, METRICS_MAX = 96 };

const struct spec_catalog *sample_catalog(void)
{
    return &catalog;
}

struct filler {
    struct store *store;
    const struct sample_options *options;
    const struct spec_study *study;
    struct err *err;
    int64_t number;
    size_t requests;
    struct arena *arena; /* of the trial under way */
    struct store_metric metrics[METRICS_MAX];
    size_t metric_count;
    struct store_service services[2];
    struct store_phase phases[3];
    struct store_evidence evidence[2];
    double fitness; /* of the last trial */
};

struct wish { /* what a trial shall become */
    struct spec_candidate candidate;
    const char *purpose;
    int round, repeat;
    int64_t retry_of;
    const char *verdict; /* NULL: what its numbers say */
    const char *summary, *evidence;
};

static double knob(const struct filler *f, const struct spec_candidate *c, const char *name)
{
    int i = spec_study_knob(f->study, name);
    const struct spec_value *value = spec_candidate_value(f->study, c, (size_t)i);
    return isnan(value->number) ? strcmp(value->label, "base") == 0 : value->number;
}

static double stt_scale_s(const struct filler *f, const struct spec_candidate *c)
{
    if (f->options->story == SAMPLE_BASELINE_BEST)
        return 0.15;
    double slow = f->options->story == SAMPLE_INFEASIBLE ? 40 : 1;
    double base = knob(f, c, "stt.model") > 0 ? 0.16 : 0.06;
    return slow * base * (knob(f, c, "stt.threads") > 1 ? 1 : 1.5) *
           (1 + 0.05 * knob(f, c, "llm.slots"));
}

static const char *text_of(const struct filler *f, const char *usual, const char *weird)
{
    return f->options->story == SAMPLE_WEIRD ? weird : usual;
}

static void add_metric(struct filler *f, const char *service, const char *mode, enum metric metric,
                       enum metric_stat stat, double value, struct stats_interval interval,
                       size_t count)
{
    if (isnan(value) || f->metric_count == METRICS_MAX)
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

static void add_distribution(struct filler *f, const char *service, const char *mode,
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

static void fill_request(struct filler *f, const struct draws *d, struct rng *rng, size_t i,
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
        .text = d->audio ? text_of(f, "what was heard", "<script>alert(1)</script> |`*_") : NULL,
        .word_errors = wrong,
        .words = d->audio ? WORDS_PER_CLIP : -1,
    };
}

static size_t add_stream(struct filler *f, const struct draws *d, struct store_request *requests)
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

static size_t add_streams(struct filler *f, const struct wish *w, struct store_request *requests)
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

static void fill_service(struct filler *f, size_t i, const struct wish *w, bool measured)
{
    double memory = (i ? 180e6 : 90e6 + 120e6 * knob(f, &w->candidate, "stt.model")) +
                    1e6 * (double)(f->number % 5);
    f->services[i] = (struct store_service){
        .name = i ? "llm" : "stt",
        .engine = NULL,
        .version = i ? "b4719" : "1.7.4",
        .command = text_of(f, i ? "/bin/llm 1 9002" : "/bin/stt base 2 9001",
                           "/bin/stt '\033[31m' | `reboot` $(x)"),
        .environment = "{\"OMP_NUM_THREADS\":\"2\"}",
        .settings = "",
        .started_in_trial = f->number,
        .ready_s = 0.8 + 0.4 * (double)i,
        .first_request_s = 0.31,
        .idle_memory_bytes = memory * 0.8,
        .peak_memory_bytes = measured ? memory : NAN,
        .cpu_s = measured ? 21 : NAN,
        .exit_code = -1,
        .placement = measured ? "cpu" : NULL,
        .placement_evidence = measured ? "no GPU in this machine; CPU time grew by 0.31 s" : NULL,
        .log = text_of(f, "loaded the model\nlistening\n",
                       "\033]0;owned\007 \xff\xfe \xe2\x80\xae log"),
    };
    const struct stats_interval none = {NAN, NAN};
    if (!measured)
        return;
    add_metric(f, f->services[i].name, "shared", METRIC_MEMORY, STAT_VALUE, memory, none, 1);
    add_metric(f, f->services[i].name, "shared", METRIC_MEMORY_GROWTH, STAT_VALUE,
               f->options->story == SAMPLE_SMALL && i ? 3e6 : 2e4, none, 30);
    add_metric(f, f->services[i].name, "shared", METRIC_CPU, STAT_VALUE, 0.7, none, 1);
    add_metric(f, f->services[i].name, "shared", METRIC_READY, STAT_VALUE, f->services[i].ready_s,
               none, 1);
}

static double metric_value(const struct filler *f, struct metric_ref ref)
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

static double fitness_of(const struct filler *f)
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

static void judge_trial(struct filler *f, const struct wish *w, struct store_trial *t)
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

static bool add_trial(struct filler *f, const struct wish *w)
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
    for (size_t i = 0; i < 2; i++)
        fill_service(f, i, w, measured);
    f->phases[0] = (struct store_phase){"start", 0, 2, measured ? NULL : "failed"};
    f->phases[1] = (struct store_phase){"measure", 6, 30, NULL};
    f->phases[2] = (struct store_phase){"stop", 36, 0.4, NULL};
    f->evidence[0] = (struct store_evidence){"stt", "log", w->evidence};
    struct store_trial t = {
        .number = f->number,
        .candidate = buf_text(&text),
        .purpose = w->purpose,
        .round = w->round,
        .repeat = w->repeat,
        .retry_of = w->retry_of,
        .service = w->verdict ? "stt" : NULL,
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
        .evidence_count = w->evidence ? 1 : 0,
        .services = f->services,
        .service_count = 2,
        .metrics = f->metrics,
        .metric_count = f->metric_count,
        .requests = requests,
        .request_count = n,
    };
    judge_trial(f, w, &t);
    f->fitness = t.fitness;
    return store_trial_add(f->store, &t, f->err);
}

static struct spec_candidate candidate(const struct filler *f, int model, int threads, int slots)
{
    struct spec_candidate c;
    for (size_t i = 0; i < SPEC_KNOBS_MAX; i++)
        c.index[i] = -1;
    c.index[spec_study_knob(f->study, "stt.model")] = model;
    c.index[spec_study_knob(f->study, "stt.threads")] = threads;
    c.index[spec_study_knob(f->study, "llm.slots")] = slots;
    return c;
}

static bool explore_few(struct filler *f)
{
    bool feasible = f->options->story != SAMPLE_INFEASIBLE;
    for (int i = 0; i < 8; i++) {
        struct wish w = {.candidate = candidate(f, i & 1, i >> 1 & 1, i >> 2 & 1),
                         .purpose = "explore",
                         .round = 1};
        if (i == 4) { /* base, one thread, two slots */
            w.verdict = "oom_start";
            w.summary = text_of(f,
                                "stt: asked for more memory than there is (exit status 1 before "
                                "it was ready)",
                                "**bold** <b>x</b> | a|b \033[2J `code` [l](u)");
            w.evidence = text_of(f, "ggml: failed to allocate 512 MiB", "\xe2\x80\xae evil \xff");
        } else if (i == 6) {
            w.verdict = "contended";
            w.summary = "31 % of the core time went elsewhere, 10 % allowed: backup (pid 812)";
        }
        if (!add_trial(f, &w))
            return false;
        if (i == 6) {
            w.verdict = w.summary = NULL;
            w.retry_of = f->number;
            if (!add_trial(f, &w))
                return false;
        }
    }
    for (int i = 0; i < 4 && feasible; i++) { /* round 2: the faster model goes on */
        struct wish w = {
            .candidate = candidate(f, 1, i & 1, i >> 1), .purpose = "explore", .round = 2};
        if (!add_trial(f, &w))
            return false;
    }
    return true;
}

static bool explore_many(struct filler *f)
{
    int slots = (int)f->study->knobs[spec_study_knob(f->study, "llm.slots")].value_count;
    for (size_t i = 0; i < f->options->trials; i++) {
        struct wish w = {.candidate = candidate(f, (int)(i & 1), (int)(i >> 1 & 1),
                                                (int)((i >> 2) % (size_t)slots)),
                         .purpose = "explore",
                         .round = 1};
        if (i % 50 == 7) {
            w.verdict = "crashed_load";
            w.summary = "stt: ended by SIGSEGV under load";
        }
        if (!add_trial(f, &w))
            return false;
    }
    return true;
}

/* Blocks of baseline and two finalists; `ret` has a row of fitness per racer. */
static bool run_final(struct filler *f, const struct spec_candidate racers[3],
                      double ret[3][FINAL_RUNS], int64_t ret_numbers[3][FINAL_RUNS])
{
    for (int repeat = 0; repeat < FINAL_RUNS; repeat++)
        for (int k = 0; k < 3; k++) {
            int racer = (k + repeat) % 3;
            struct wish w = {.candidate = racers[racer], .purpose = "final", .repeat = repeat + 1};
            if (!add_trial(f, &w))
                return false;
            ret[racer][repeat] = f->fitness;
            ret_numbers[racer][repeat] = f->number;
        }
    return true;
}

static bool put_decision(struct filler *f, json_t *decision)
{
    AUTO(free) char *text = json_dump_text(decision);
    json_decref(decision);
    return store_decision_put(f->store, text, f->err);
}

static json_t *text_json(const struct filler *f, const struct spec_candidate *c)
{
    AUTO(buf_done) struct buf text = BUF_INIT(65536);
    spec_candidate_add_text(&text, f->study, c);
    return json_string(buf_text(&text));
}

static bool decide(struct filler *f)
{
    /* The baseline last, as study/ writes them. */
    const struct spec_candidate racers[3] = {candidate(f, 1, 1, 0), candidate(f, 1, 0, 0),
                                             candidate(f, 0, 1, 0)};
    double fitness[3][FINAL_RUNS];
    int64_t numbers[3][FINAL_RUNS];
    bool wins = f->options->story != SAMPLE_BASELINE_BEST;
    if (!run_final(f, racers, fitness, numbers))
        return false;
    struct stats_effect effect = stats_paired_difference(fitness[0], fitness[2], FINAL_RUNS, 0.95);
    json_t *list = json_array();
    for (int i = 0; i < 3; i++) {
        struct stats_summary s = stats_summary_of(fitness[i], FINAL_RUNS);
        json_t *trials = json_array();
        for (int k = 0; k < FINAL_RUNS; k++)
            json_array_append_new(trials, json_integer(numbers[i][k]));
        json_array_append_new(list, json_pack("{s:o, s:o, s:i, s:f, s:f, s:f, s:n}", "candidate",
                                              text_json(f, &racers[i]), "trials", trials, "ok",
                                              FINAL_RUNS, "fitness_mean", s.mean, "fitness_low",
                                              s.min, "fitness_high", s.max, "eliminated"));
    }
    return put_decision(
        f, json_pack("{s:s, s:o, s:o, s:f, s:o, s:{s:{s:f, s:f, s:f}}, s:i, s:i, s:s, s:s}",
                     "outcome", wins ? "winner" : "baseline_best", "winner",
                     wins ? text_json(f, &racers[0]) : json_null(), "baseline",
                     text_json(f, &racers[2]), "confidence", 0.95, "finalists", list, "comparison",
                     "fitness_difference", "value", effect.estimate, "low", effect.interval.low,
                     "high", effect.interval.high, "explored", 8, "feasible", 8, "reason",
                     wins ? "certainly better than the baseline in the final's blocks"
                          : "no finalist is certainly better than the baseline",
                     "statement", "compared with it and 2 finalists only."));
}

static bool decide_infeasible(struct filler *f)
{
    const struct spec_candidate baseline = candidate(f, 0, 1, 0);
    return put_decision(
        f, json_pack("{s:s, s:n, s:o, s:f, s:[], s:{s:{s:n, s:n, s:n}}, s:i, s:i, s:s, s:s}",
                     "outcome", "infeasible", "winner", "baseline", text_json(f, &baseline),
                     "confidence", 0.95, "finalists", "comparison", "fitness_difference", "value",
                     "low", "high", "explored", 8, "feasible", 8, "reason",
                     "no candidate met every requirement", "statement",
                     "8 of 8 candidates were tried; none met the requirements."));
}

static bool put_study(struct filler *f)
{
    struct store_study row = {.name = f->study->name,
                              .path = f->study->path,
                              .digest = f->study->digest,
                              .text = f->study->text,
                              .device_id = "cpu",
                              .device_name =
                                  text_of(f, "Example CPU @ 2.0 GHz", "CPU <i>|`\033[0m"),
                              .device_versions = "Linux 6.1",
                              .spica_version = "0.1.0",
                              .seed = f->study->seed,
                              .created_wall_us = INT64_C(1764000000000000),
                              .cores = 2,
                              .memory_bytes = 4e9};
    return store_study_put(f->store, &row, f->err);
}

static bool tell_story(struct filler *f)
{
    const struct wish baseline = {.candidate = candidate(f, 0, 1, 0), .purpose = "baseline"};
    if (!put_study(f) || !store_event_add(f->store, 1, "started", "{}", f->err) ||
        !add_trial(f, &baseline) || !(f->options->trials ? explore_many(f) : explore_few(f)))
        return false;
    switch (f->options->story) {
    case SAMPLE_UNFINISHED:
        return store_event_add(f->store, 2, "stopped", "{}", f->err);
    case SAMPLE_INFEASIBLE:
        return decide_infeasible(f);
    default:
        return decide(f);
    }
}

bool sample_fill(struct store *store, const struct sample_options *options, struct err *err)
{
    AUTO(buf_done) struct buf text = BUF_INIT(65536);
    AUTO(spec_study_free) struct spec_study *study = NULL;
    buf_add(&text, study_head);
    buf_add(&text, options->trials ? "      slots: {from: 1, to: 500, step: 1}\n"
                                   : "      slots: [1, 2]\n");
    buf_add(&text, study_tail);
    if (!spec_study_parse("/studies/voice.yaml", buf_text(&text), text.len, &catalog, &study, err))
        return false;
    struct filler f = {.store = store, .options = options, .study = study, .err = err};
    f.requests = options->requests ? options->requests : options->story == SAMPLE_SMALL ? 24 : 160;
    return tell_story(&f);
}
