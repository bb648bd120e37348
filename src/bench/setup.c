/* Options to plan. The load's keys are bound by the study file's table (spec/load_alone.h) and made
 * into a stream by load_stream_of(), so that what a study can ask for can be asked for here.
 *
 * Defaults are chosen for somebody who says nothing: one client in a closed loop, 30 s, a warm-up
 * of a tenth of that (5 s at most), built-in prompts. Where there is no sensible default (clips for
 * a speech protocol) one line says what to give. */
#include "bench/setup.h"

#include "base/buf.h"
#include "base/clock.h"
#include "load/upstream.h"
#include "load/url.h"
#include "stats/quantile.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

static const int64_t WINDOW_NS = 30 * NS_PER_S, WARMUP_MAX_NS = 5 * NS_PER_S;
static const int64_t LIMITED_NS = 24 * 3600 * NS_PER_S; /* where the number of requests ends it */

/* The part of the protocol's path that `path` lacks, or NULL when it is another path. */
static const char *rest_of_path(const char *path, const char *whole)
{
    size_t len = strlen(path);
    while (len > 0 && path[len - 1] == '/')
        len--;
    if (strncmp(path, whole, len) != 0 || (whole[len] != '/' && whole[len] != '\0'))
        return NULL;
    return whole + len;
}

const char *bench_url_complete(const char *url, const struct spec_protocol *protocol,
                               struct arena *arena)
{
    const char *scheme_end = strstr(url, "://");
    if (!protocol->path)
        return arena_strdup(arena, url);
    const char *scheme = scheme_end ? "" : "http://";
    const char *host = scheme_end ? scheme_end + 3 : url;
    size_t host_len = strcspn(host, "/?#");
    const char *path = host + host_len;
    const char *rest = rest_of_path(path, protocol->path);
    if (!rest)
        return arena_printf(arena, "%s%s", scheme, url);
    size_t path_len = strlen(path);
    while (path_len > 0 && path[path_len - 1] == '/')
        path_len--;
    return arena_printf(arena, "%s%.*s%s", scheme, (int)(path + path_len - url), url, rest);
}

static bool load_clips(const struct bench_options *options, struct arena *arena,
                       struct bench_setup *setup, struct err *err)
{
    if (options->prompt || setup->load.prompts)
        return err_set(err, ERR_INPUT, "%s sends audio: no prompts, but --corpus FOLDER",
                       options->protocol->name);
    if (!setup->load.corpus)
        return err_set(err, ERR_INPUT,
                       "%s sends audio: give --corpus FOLDER, with .wav, .flac or .ogg files and "
                       "the transcript of each in a .txt beside it",
                       options->protocol->name);
    if (!corpus_load(arena, "", &setup->load, &setup->corpus, err))
        return false;
    setup->sending =
        arena_printf(arena, "%zu clips of %s%s", setup->corpus.clip_count, setup->load.corpus,
                     setup->corpus.all_transcribed ? "" : ", not all with a transcript");
    return true;
}

/* Where the load's shape says itself what is sent; NULL: it does not. */
static const char *sent_by_shape(const struct spec_shape *shape, struct arena *arena)
{
    if (shape->trace)
        return arena_printf(arena, "what %s says", shape->trace);
    if (shape->mix_count > 0)
        return arena_printf(arena, "a mix of %zu files", shape->mix_count);
    return shape->prompt_tokens.kind != SPREAD_NONE ? "made-up prompts" : NULL;
}

static bool load_prompts(const struct bench_options *options, struct arena *arena,
                         struct bench_setup *setup, struct err *err)
{
    struct corpus *corpus = &setup->corpus;
    if (setup->load.corpus)
        return err_set(err, ERR_INPUT, "%s sends no audio: --prompts FILE instead of --corpus",
                       options->protocol->name);
    setup->sending = sent_by_shape(&setup->load.shape, arena);
    if (options->prompt && (setup->load.prompts || setup->sending))
        return err_set(err, ERR_INPUT, "--prompt beside other prompts: give one of them");
    /* Whatever is sent, lengths may be drawn from files. */
    if (!corpus_load(arena, "", &setup->load, corpus, err))
        return false;
    if (setup->load.prompts && !setup->sending)
        setup->sending =
            arena_printf(arena, "%zu prompts of %s", corpus->prompt_count, setup->load.prompts);
    if (setup->sending)
        return true;
    corpus->prompt_count = options->prompt ? 1 : bench_prompt_count;
    corpus->prompts = arena_array(arena, corpus->prompt_count, sizeof *corpus->prompts);
    if (options->prompt)
        corpus->prompts[0].prompt = options->prompt;
    else
        memcpy(corpus->prompts, bench_prompts, bench_prompt_count * sizeof *bench_prompts);
    setup->sending = options->prompt
                         ? "one prompt"
                         : arena_printf(arena, "%zu built-in prompts", bench_prompt_count);
    return true;
}

static void set_times(const struct bench_options *options, struct bench_setup *setup)
{
    struct load_plan *plan = &setup->plan;
    setup->timed = options->window_ns > 0 || options->requests == 0;
    plan->window_ns = options->window_ns > 0 ? options->window_ns : WINDOW_NS;
    int64_t tenth_ns = plan->window_ns / 10;
    if (options->warmup_ns >= 0)
        plan->warmup_ns = options->warmup_ns;
    else if (setup->timed)
        plan->warmup_ns = tenth_ns < WARMUP_MAX_NS ? tenth_ns : WARMUP_MAX_NS;
    if (!setup->timed)
        plan->window_ns = LIMITED_NS;
    /* Whoever waits for an answer is waited for: the timeout ends what does not come. */
    plan->drain_ns = setup->load.timeout_ns + NS_PER_S;
}

const char *bench_target(const struct bench_setup *setup, struct arena *arena)
{
    AUTO(buf_done) struct buf text = BUF_INIT(2 * LOAD_URL_MAX);
    load_url_add_shown(setup->plan.streams[0].url, &text);
    return arena_strdup(arena, buf_text(&text));
}

/* What is asked, as people are told: a URL, or the program that is run. */
static bool name_target(const struct bench_options *options, struct arena *arena,
                        struct load_stream *stream, struct err *err)
{
    if (!options->protocol->runs_program) {
        stream->url = bench_url_complete(options->url, options->protocol, arena);
        return true;
    }
    stream->url = load_stream_setting(stream, "command");
    return stream->url ||
           err_set(err, ERR_INPUT,
                   "%s runs a program for each request: give it, as in --option "
                   "command='PROGRAM %s'",
                   options->protocol->name, stream->protocol->sends_audio ? "{audio}" : "{prompt}");
}

/* Rejected: the seed's alone. A server that stays up between two runs with the same seed would have
 * every prompt of the second in its prefix cache, and a regression would read as a gain. */
static bool set_text_salt(const struct bench_options *options, struct arena *arena,
                          struct bench_setup *setup, struct err *err)
{
    enum { GIVEN_MAX = 64 };
    setup->text_salt = options->text_salt;
    if (!setup->text_salt)
        setup->text_salt = arena_printf(arena, "%" PRId64, clock_now_wall_us());
    else if (!*setup->text_salt || strlen(setup->text_salt) > GIVEN_MAX)
        return err_set(err, ERR_INPUT, "--text-salt: must be a text of 1 to %d bytes", GIVEN_MAX);
    bench_setup_say_anew(setup, 0, arena);
    return true;
}

unsigned bench_sources(const struct bench_setup *setup)
{
    return spec_load_sources(setup->plan.streams[0].protocol->spec, &setup->load);
}

void bench_setup_say_anew(struct bench_setup *setup, int again, struct arena *arena)
{
    setup->plan.text_salt =
        again ? arena_printf(arena, "%s, %d", setup->text_salt, again + 1) : setup->text_salt;
}

bool bench_setup_make(const struct bench_options *options, const struct spec_catalog *catalog,
                      struct arena *arena, struct bench_setup **ret_setup, struct err *err)
{
    struct bench_setup *setup = arena_alloc(arena, sizeof *setup);
    const struct load_protocol *protocol = load_protocol_find(options->protocol->name);
    if (options->load)
        setup->load = *options->load;
    else if (!spec_load_alone(catalog, options->protocol, options->pairs, options->pair_count,
                              arena, &setup->load, err))
        return false;
    if (options->requests > 0 && options->warmup_ns > 0)
        return err_set(err, ERR_INPUT,
                       "--requests counts from the first one: leave --warmup out, or give --for");
    if (!(protocol->sends_audio ? load_clips : load_prompts)(options, arena, setup, err))
        return false;
    set_times(options, setup);
    setup->pairs = options->pairs;
    setup->pair_count = options->pair_count;
    setup->plan.seed = options->seed;
    setup->plan.workers = options->workers;
    setup->workers_fixed = options->workers > 0;
    setup->plan.salt = "bench";
    if (!set_text_salt(options, arena, setup, err))
        return false;
    setup->plan.stream_count = 1;
    struct load_stream *stream = &setup->plan.streams[0];
    *stream = load_stream_of("the service", &setup->load);
    stream->protocol = protocol;
    if (!name_target(options, arena, stream, err))
        return false;
    stream->model = options->model;
    stream->unchecked = options->unchecked;
    stream->ca = options->ca;
    AUTO(buf_done) struct buf url = BUF_INIT(8192);
    load_stream_add_path(stream, stream->url, &url); /* the model may stand in the path */
    if (!options->protocol->runs_program && !url.over)
        stream->url = arena_strdup(arena, buf_text(&url));
    if (options->protocol->needs_model && !load_stream_model(stream))
        return err_set(err, ERR_INPUT, "%s needs a model: give --model NAME",
                       options->protocol->name);
    if (options->api_key_env && !load_upstream_key(options->api_key_env, &stream->api_key, err))
        return err_wrap(err, "--api-key-env");
    stream->corpus = &setup->corpus;
    stream->request_limit = options->requests;
    *ret_setup = setup;
    return true;
}

bool bench_setup_add_workers(struct load_plan *plan, const struct bench_setup *setup, int cores)
{
    enum { WORKERS_MOST = 4 }; /* as a study goes */
    int workers = plan->workers > 1 ? plan->workers : 1;
    if (setup->workers_fixed || 2 * workers > WORKERS_MOST || 2 * workers > cores)
        return false;
    plan->workers = 2 * workers;
    return true;
}

/* ---- the first request ---- */

static enum load_error first_error(const struct bench_results *results)
{
    for (int e = LOAD_OK + 1; e < LOAD_ERROR_COUNT_; e++)
        if (results->errors[e])
            return (enum load_error)e;
    return LOAD_OK;
}

static bool fail_probe(const struct bench_setup *setup, const struct bench_results *results,
                       struct err *err)
{
    const struct load_stream *stream = &setup->plan.streams[0];
    enum load_error error = first_error(results);
    const char *words = results->examples[error] ? results->examples[error] : "";
    const char *colon = *words ? ": " : "";
    AUTO(arena_free) struct arena *arena = arena_new();
    const char *target = bench_target(setup, arena);
    switch (error) {
    case LOAD_CONNECT:
        return err_set(err, ERR_PROBLEM, "%s %s%s%s",
                       stream->protocol->spec->runs_program ? "can't run" : "nothing answers at",
                       target, colon, words);
    case LOAD_TIMEOUT:
        return err_set(err, ERR_PROBLEM, "%s does not answer within its timeout of %g s", target,
                       (double)stream->timeout_ns / NS_PER_S);
    case LOAD_HTTP_STATUS:
        return err_set(err, ERR_PROBLEM, "%s answers with HTTP status %d%s%s%s", target,
                       results->http_status[error], colon, words,
                       results->http_status[error] == 404
                           ? " (is that the path, and the protocol right?)"
                           : "");
    default:
        return err_set(err, ERR_PROBLEM, "%s gives no %s answer (%s)%s%s", target,
                       stream->protocol->spec->name, load_error_name(error), colon, words);
    }
}

/* May it be chance? Then it is asked again. */
static bool is_final(const struct bench_results *results)
{
    enum load_error error = first_error(results);
    return error == LOAD_CONNECT || error == LOAD_TIMEOUT ||
           (error == LOAD_HTTP_STATUS && results->http_status[error] < 500);
}

bool bench_probe(const struct bench_setup *setup, int requests, struct load_record *ret_last,
                 struct err *err)
{
    enum { TRIES = 3 };
    AUTO(free) struct load_plan *plan = malloc(sizeof *plan);
    if (!plan)
        abort();
    *plan = setup->plan;
    /* Words of its own, or the window's first request would be one that was sent before. */
    char salt[LOAD_TEXT_SALT_MAX];
    snprintf(salt, sizeof salt, "%.80s before %" PRId64, setup->text_salt, clock_now_ns());
    plan->text_salt = salt;
    plan->workers = 1;
    plan->probe = true;
    plan->warmup_ns = plan->window_ns = plan->drain_ns = 0;
    struct load_stream *stream = &plan->streams[0];
    stream->request_limit = (uint64_t)requests;
    stream->concurrency = 1;
    stream->arrivals = ARRIVALS_CLOSED;
    for (int i = 0;; i++) {
        AUTO(bench_results_free) struct bench_results *results = NULL;
        if (!bench_window(plan, NULL, &results, err))
            return false;
        if (results->end == BENCH_STOPPED)
            return err_set(err, ERR_STOPPED, "stopped before anything was measured");
        if (results->end == BENCH_BROKEN)
            return err_set(err, ERR_INTERNAL, "the first request: %s", results->report.failure);
        if (results->ok > 0) {
            *ret_last = results->answers[results->answer_count - 1];
            return true;
        }
        if (is_final(results) || i + 1 == TRIES)
            return fail_probe(setup, results, err);
    }
}
