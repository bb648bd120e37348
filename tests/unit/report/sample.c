/* The stories: which candidates are tried, what becomes of them, and the decision at the end. */
#include "sample_fill.h"
#include "sample_gpu.h"

#include "base/json.h"
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

enum { FINAL_RUNS = 4 };

const struct spec_catalog *sample_catalog(void)
{
    return &catalog;
}

static struct spec_candidate candidate(const struct sample_filler *f, int model, int threads,
                                       int slots)
{
    struct spec_candidate c;
    for (size_t i = 0; i < SPEC_KNOBS_MAX; i++)
        c.index[i] = -1;
    const int values[] = {model, threads, slots};
    for (int i = 0; i < 3; i++)
        c.index[spec_study_knob(f->study, sample_knob_name(f, i))] = values[i];
    return c;
}

static bool explore_few(struct sample_filler *f)
{
    bool feasible = f->options->story != SAMPLE_INFEASIBLE;
    for (int i = 0; i < 8; i++) {
        struct sample_wish w = {.candidate = candidate(f, i & 1, i >> 1 & 1, i >> 2 & 1),
                                .purpose = "explore",
                                .round = 1};
        if (i == 4) { /* base, one thread, two slots */
            w.verdict = "oom_start";
            w.summary =
                sample_text(f,
                            "stt: asked for more memory than there is (exit status 1 before "
                            "it was ready)",
                            "**bold** <b>x</b> | a|b \033[2J `code` [l](u)");
            w.evidence =
                sample_text(f, "ggml: failed to allocate 512 MiB", "\xe2\x80\xae evil \xff");
        } else if (i == 6) {
            w.verdict = "contended";
            w.summary = "31 % of the core time went elsewhere, 10 % allowed: backup (pid 812)";
        }
        if (!sample_add_trial(f, &w))
            return false;
        if (i == 6) {
            w.verdict = w.summary = NULL;
            w.retry_of = f->number;
            if (!sample_add_trial(f, &w))
                return false;
        }
    }
    for (int i = 0; i < 4 && feasible; i++) { /* round 2: the faster model goes on */
        struct sample_wish w = {
            .candidate = candidate(f, 1, i & 1, i >> 1), .purpose = "explore", .round = 2};
        if (!sample_add_trial(f, &w))
            return false;
    }
    return true;
}

/* base and tiny.en beside 0.3 and 0.5, then what fails: a share too small for its cache, one larger
 * than what is free, and Whisper with CUDA_VISIBLE_DEVICES emptied. */
static bool explore_gpu(struct sample_filler *f)
{
    const struct sample_wish wishes[] = {
        {.candidate = candidate(f, 1, 0, 1)},
        {.candidate = candidate(f, 0, 0, 1), .llm_since = 2},
        {.candidate = candidate(f, 1, 0, 2)},
        {.candidate = candidate(f, 1, 0, 0),
         .verdict = "oom_start",
         .service = "llm",
         .summary =
             "llm: the context does not fit into the cache (exit status 1 before it was ready)",
         .hint = "needs 24,576 tokens of cache, has 18,304",
         .evidence = "ValueError: The model's max seq len (24576) is larger than ...",
         .bound = "below"},
        {.candidate = candidate(f, 1, 0, 3),
         .verdict = "oom_start",
         .service = "llm",
         .summary =
             "llm: less memory is free than its share of the device (exit status 1 before it "
             "was ready)",
         .hint = "asked 63.72 GiB, 57.10 GiB free",
         .evidence = "ValueError: Free memory on device cuda:0 (57.1/79.65 GiB) ...",
         .bound = "above"},
        {.candidate = candidate(f, 1, 1, 2),
         .verdict = "cpu_fallback",
         .summary = "stt: asked for the GPU; its process is not listed on gpu0 (1 other is)",
         .evidence = "Device=cpu"},
    };
    for (size_t i = 0; i < ARRAY_LEN(wishes); i++) {
        struct sample_wish w = wishes[i];
        w.purpose = "explore";
        w.round = 1;
        if (!sample_add_trial(f, &w))
            return false;
    }
    return store_event_add(f->store, 2, "contention", sample_gpu_contention, f->err);
}

static bool explore_many(struct sample_filler *f)
{
    int slots = (int)f->study->knobs[spec_study_knob(f->study, "llm.slots")].value_count;
    for (size_t i = 0; i < f->options->trials; i++) {
        struct sample_wish w = {.candidate = candidate(f, (int)(i & 1), (int)(i >> 1 & 1),
                                                       (int)((i >> 2) % (size_t)slots)),
                                .purpose = "explore",
                                .round = 1};
        if (i % 50 == 7) {
            w.verdict = "crashed_load";
            w.summary = "stt: ended by SIGSEGV under load";
        }
        if (!sample_add_trial(f, &w))
            return false;
    }
    return true;
}

/* Blocks of baseline and two finalists; `ret` has a row of fitness per racer. */
static bool run_final(struct sample_filler *f, const struct spec_candidate racers[3],
                      double ret[3][FINAL_RUNS], int64_t ret_numbers[3][FINAL_RUNS])
{
    for (int repeat = 0; repeat < FINAL_RUNS; repeat++)
        for (int k = 0; k < 3; k++) {
            int racer = (k + repeat) % 3;
            struct sample_wish w = {
                .candidate = racers[racer], .purpose = "final", .repeat = repeat + 1};
            if (!sample_add_trial(f, &w))
                return false;
            ret[racer][repeat] = f->fitness;
            ret_numbers[racer][repeat] = f->number;
        }
    return true;
}

static bool put_decision(struct sample_filler *f, json_t *decision)
{
    AUTO(free) char *text = json_dump_text(decision);
    json_decref(decision);
    return store_decision_put(f->store, text, f->err);
}

static json_t *text_json(const struct sample_filler *f, const struct spec_candidate *c)
{
    AUTO(buf_done) struct buf text = BUF_INIT(65536);
    spec_candidate_add_text(&text, f->study, c);
    return json_string(buf_text(&text));
}

static bool decide(struct sample_filler *f)
{
    /* The baseline last, as study/ writes them. */
    bool gpu = sample_is_gpu(f);
    const struct spec_candidate racers[3] = {gpu ? candidate(f, 1, 0, 1) : candidate(f, 1, 1, 0),
                                             gpu ? candidate(f, 1, 0, 2) : candidate(f, 1, 0, 0),
                                             gpu ? candidate(f, 0, 0, 2) : candidate(f, 0, 1, 0)};
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
                     "high", effect.interval.high, "explored", gpu ? 7 : 8, "feasible",
                     gpu ? 20 : 8, "reason",
                     wins ? "certainly better than the baseline in the final's blocks"
                          : "no finalist is certainly better than the baseline",
                     "statement", "compared with it and 2 finalists only."));
}

static bool decide_infeasible(struct sample_filler *f)
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

static bool put_study(struct sample_filler *f)
{
    struct store_study row = {
        .name = f->study->name,
        .path = f->study->path,
        .digest = f->study->digest,
        .text = f->study->text,
        .device_id = sample_is_gpu(f) ? "GPU-11" : "cpu",
        .device_name = sample_is_gpu(f)
                           ? "NVIDIA H100 80GB HBM3"
                           : sample_text(f, "Example CPU @ 2.0 GHz", "CPU <i>|`\033[0m"),
        .device_versions = sample_is_gpu(f) ? "driver 580.159.04, CUDA 13.0" : "Linux 6.1",
        .spica_version = "0.1.0",
        .seed = f->study->seed,
        .created_wall_us = INT64_C(1764000000000000),
        .cores = sample_is_gpu(f) ? 0 : 2,
        .memory_bytes = sample_is_gpu(f) ? 85520809984.0 : 4e9};
    return store_study_put(f->store, &row, f->err);
}

static bool tell_story(struct sample_filler *f)
{
    const struct sample_wish baseline = {.candidate = sample_is_gpu(f) ? candidate(f, 0, 0, 2)
                                                                       : candidate(f, 0, 1, 0),
                                         .purpose = "baseline"};
    if (!put_study(f) || !store_event_add(f->store, 1, "started", "{}", f->err) ||
        !sample_add_trial(f, &baseline) ||
        !(f->options->trials ? explore_many(f)
          : sample_is_gpu(f) ? explore_gpu(f)
                             : explore_few(f)))
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
    if (options->story == SAMPLE_GPU)
        buf_add(&text, sample_gpu_study);
    else
        buf_addf(&text, "%s%s%s", study_head,
                 options->trials ? "      slots: {from: 1, to: 500, step: 1}\n"
                                 : "      slots: [1, 2]\n",
                 study_tail);
    if (!spec_study_parse("/studies/voice.yaml", buf_text(&text), text.len, &catalog, &study, err))
        return false;
    struct sample_filler f = {.store = store, .options = options, .study = study, .err = err};
    f.requests = options->requests ? options->requests : options->story == SAMPLE_SMALL ? 24 : 160;
    return tell_story(&f);
}
