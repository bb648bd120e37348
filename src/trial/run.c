/* A load plan from a candidate, and the worker that sends it: what a probe and a window share. */
#include "trial/live.h"
#include "trial/run.h"

#include "base/cancel.h"
#include "base/clock.h"
#include "service/stray.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/* What a service that follows another is asked when it is probed, before there are answers. */
static struct corpus_prompt first_words = {.prompt = "Please turn on the light in the kitchen."};
static const struct corpus said_first = {.prompts = &first_words, .prompt_count = 1};

static const int64_t DEATH_NOTICE_NS = NS_PER_S / 2;

/* Protocol settings with their placeholders filled in. */
static const struct spec_setting *expand_settings(struct attempt *attempt, size_t i,
                                                  size_t *ret_count)
{
    const struct spec_load *load = &attempt->study->services[i].load;
    struct spec_setting *out = arena_array(attempt->arena, load->setting_count, sizeof *out);
    size_t count = 0;
    for (size_t k = 0; k < load->setting_count; k++) {
        AUTO(buf_done) struct buf text = BUF_INIT(65536);
        if (!spec_setting_expand(attempt->study, &attempt->request->candidate, i,
                                 load->settings[k].text, attempt->runner->services[i].launch.port,
                                 attempt->runner->services[i].launch.scratch, &text))
            continue;
        out[count] = load->settings[k];
        out[count++].text = arena_strdup(attempt->arena, buf_text(&text));
    }
    *ret_count = count;
    return out;
}

static void set_url(struct attempt *attempt, size_t i, const char *path, struct load_stream *stream)
{
    const struct spec_service *spec = &attempt->study->services[i];
    const struct load_site site = {attempt->runner->services[i].launch.port, &spec->tls};
    AUTO(buf_done) struct buf url = BUF_INIT(8192);
    if (!spec->by_request)
        load_site_add_url(&site, load_protocol_scheme(stream->protocol), path, &url,
                          &stream->address);
    stream->url = arena_strdup(attempt->arena, buf_text(&url));
    stream->ca = spec->tls.ca;
}

void run_fill_stream(struct attempt *attempt, size_t i, struct load_stream *stream)
{
    const struct spec_service *spec = &attempt->study->services[i];
    const struct spec_protocol *protocol =
        spec_candidate_protocol(attempt->study, &attempt->request->candidate, i);
    const char *path = spec->protocol_path ? spec->protocol_path : protocol->path;
    size_t setting_count = 0;
    const struct spec_setting *settings = expand_settings(attempt, i, &setting_count);
    *stream = load_stream_of(spec->name, &spec->load);
    stream->protocol = load_protocol_find(protocol->name);
    stream->model = attempt->runner->services[i].launch.model;
    stream->unchecked = spec->answers_unchecked;
    stream->settings = settings;
    stream->setting_count = setting_count;
    AUTO(buf_done) struct buf named = BUF_INIT(4096); /* the model may stand in the path */
    load_stream_add_path(stream, path, &named);
    stream->program = spec->by_request ? &attempt->runner->services[i].program : NULL;
    set_url(attempt, i, buf_text(&named), stream);
    stream->corpus = spec->load.after ? &said_first : &attempt->runner->options.corpora[i];
    /* That it is there was checked before the first trial. */
    stream->api_key = spec->load.api_key_env ? getenv(spec->load.api_key_env) : NULL;
    live_soften(attempt, i, stream);
}

bool run_finish(struct attempt *attempt, struct run *run, enum wait_end end, size_t ended,
                struct err *err)
{
    if (end == WAIT_CANCEL)
        return err_set(err, ERR_STOPPED, "stopped during trial %" PRId64, attempt->request->number);
    run->service_ended = end == WAIT_SERVICE;
    run->ended = ended;
    run->report = *load_worker_report(attempt->worker);
    if (end == WAIT_TIME && !run->report.complete && !run->report.failure[0])
        snprintf(run->report.failure, sizeof run->report.failure, "it did not end in time");
    return true;
}

void run_begin(struct attempt *attempt, struct run *run, struct load_worker *worker)
{
    run->pid_count = load_worker_pids(worker, run->pids);
    for (size_t i = 0; i < run->pid_count; i++)
        service_child_add(run->pids[i]);
    attempt->worker = worker;
    attempt->answers = run->answers;
    for (size_t s = 0; s < run->plan.stream_count; s++)
        for (size_t i = 0; i < attempt->study->service_count; i++) {
            struct running *running = &attempt->runner->services[i];
            if (running->by_request && run->plan.streams[s].program == &running->program)
                running->root = load_worker_runner(worker, s);
        }
}

void run_end(struct attempt *attempt, const struct run *run)
{
    /* The worker has forgotten those that are reaped. */
    for (size_t i = 0; i < run->pid_count; i++)
        service_child_remove(run->pids[i]);
    for (size_t i = 0; i < attempt->study->service_count; i++)
        if (attempt->runner->services[i].by_request)
            attempt->runner->services[i].root = 0;
    attempt->worker = NULL;
    attempt->answers = NULL;
}

bool run_died_with_service(struct attempt *attempt, const struct answer_list *answers,
                           size_t *ret_ended)
{
    if (answers->count == 0)
        return false;
    enum load_error error = answers->items[answers->count - 1].record.error;
    return (error == LOAD_CLOSED || error == LOAD_CONNECT || error == LOAD_TRUNCATED) &&
           attempt_wait(attempt, clock_now_ns() + DEATH_NOTICE_NS, ret_ended) == WAIT_SERVICE;
}
