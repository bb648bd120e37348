/* Probes.
 *
 * A probe is a trial's probe: the same request, made from the study's corpus and the candidate that
 * runs, sent by the same worker, proven by the same two usages around it. What differs is who
 * waits. A trial does, guard must not: the worker is a child with a descriptor on our loop.
 *
 * Each service is asked by its own clock, with the first question at a different moment, so that
 * probes of several services don't come as one burst. A service that has just come (back) is asked
 * at once: whether it computes where it should is known seconds after a restart. One that hangs has
 * one request in it, never two.
 *
 * Only the first clips of a corpus are kept: the whole of one may be hundreds of MiB, and a probe
 * is no sample of the load. Rejected: a thread with its own client (a second HTTP client to trust),
 * GET /health (says nothing, see any list of dead engines). */
#include "guard/probe.h"

#include "base/clock.h"
#include "load/worker.h"
#include "study/study.h"
#include "trial/live.h"

#include <malloc.h>
#include <math.h>
#include <string.h>

enum { ITEMS_MAX = 8, ITEM_BYTES_MAX = 4 << 20 };
static const int64_t WORKER_SLACK_NS = 5 * NS_PER_S;
static const int64_t RETRY_NS = 2 * NS_PER_S; /* our own part failed, or nothing was proven yet */
enum { EAGER_PROBES = 3 };

struct asking { /* of one service */
    struct guard_prober *prober;
    size_t service;
    bool able;
    struct load_plan plan;              /* must stay while the worker lives */
    struct load_worker *worker;         /* owned; NULL: nothing is under way */
    sd_event_source *source, *deadline; /* owned */
    int64_t due_ns, every_ns;
    int eager; /* so many more are sent soon, until its placement is proven */
    int burst; /* so many more are sent at once */
    char salt[48];
    uint64_t number;
    pid_t root;
    size_t device;
    bool proving, got;
    struct device_usage before;
    struct guard_probe probe;
};

struct guard_prober {
    struct guard_prober_setup setup;
    struct arena *arena;    /* owned */
    struct live *live;      /* owned */
    struct corpus *corpora; /* in the arena */
    struct asking *askings; /* owned, one for each service */
};

/* ---- what is sent ---- */

static void keep_clips(struct arena *arena, const struct corpus *from, struct corpus *to)
{
    size_t bytes = 0;
    to->clips = arena_array(arena, ITEMS_MAX, sizeof *to->clips);
    to->all_transcribed = from->all_transcribed;
    for (size_t i = 0; i < from->clip_count && to->clip_count < ITEMS_MAX; i++) {
        const struct corpus_clip *clip = &from->clips[i];
        if (to->clip_count > 0 && bytes + clip->len > ITEM_BYTES_MAX)
            continue;
        void *copy = arena_alloc(arena, clip->len + 1);
        memcpy(copy, clip->data, clip->len);
        bytes += clip->len;
        to->clips[to->clip_count] = *clip;
        to->clips[to->clip_count].name = arena_strdup(arena, clip->name);
        to->clips[to->clip_count].transcript = arena_strdup(arena, clip->transcript);
        to->clips[to->clip_count++].data = copy;
    }
}

static void keep_prompts(struct arena *arena, const struct corpus *from, struct corpus *to)
{
    to->prompts = arena_array(arena, ITEMS_MAX, sizeof *to->prompts);
    for (size_t i = 0; i < from->prompt_count && to->prompt_count < ITEMS_MAX; i++) {
        const struct corpus_prompt *prompt = &from->prompts[i];
        to->prompts[to->prompt_count++] =
            (struct corpus_prompt){.prompt = arena_strdup(arena, prompt->prompt),
                                   .messages = arena_strdup(arena, prompt->messages),
                                   .inputs = arena_strdup(arena, prompt->inputs),
                                   .max_tokens = prompt->max_tokens};
    }
    /* A load whose texts are all made up has no prompts of its own. */
    if (to->prompt_count == 0)
        to->prompts[to->prompt_count++] =
            (struct corpus_prompt){.prompt = "Please say hello.", .max_tokens = 8};
}

static bool load_some(struct guard_prober *prober, struct err *err)
{
    const struct spec_study *study = prober->setup.study;
    AUTO(arena_free) struct arena *whole = arena_new();
    struct corpus *corpora = NULL;
    if (!study_load_corpora(study, whole, &corpora, err))
        return false;
    prober->corpora = arena_array(prober->arena, study->service_count, sizeof *prober->corpora);
    for (size_t i = 0; i < study->service_count; i++) {
        keep_clips(prober->arena, &corpora[i], &prober->corpora[i]);
        keep_prompts(prober->arena, &corpora[i], &prober->corpora[i]);
    }
    return true;
}

static bool can_ask(const struct spec_study *study, size_t i)
{
    const struct spec_watch *watch = &study->guard->watches[i];
    return watch->kind != WATCH_NOTHING && watch->port > 0 && watch->probe_rps > 0 &&
           study->services[i].load.given && !study->services[i].by_request;
}

static void open_live(struct guard_prober *prober)
{
    const struct spec_study *study = prober->setup.study;
    struct live_options options = {.study = study,
                                   .candidate = prober->setup.candidate,
                                   .corpora = prober->corpora,
                                   .rate_rps = 1,
                                   .window_ns = NS_PER_S};
    for (size_t i = 0; i < study->service_count; i++)
        options.services[i] =
            (struct live_service){.here = can_ask(study, i), .port = study->guard->watches[i].port};
    prober->live = live_new(&options, prober->arena);
}

static void prepare(struct guard_prober *prober, size_t i, int64_t now_ns)
{
    const struct spec_study *study = prober->setup.study;
    const struct spec_watch *watch = &study->guard->watches[i];
    struct asking *asking = &prober->askings[i];
    asking->prober = prober;
    asking->service = i;
    asking->able = can_ask(study, i);
    if (!asking->able)
        return;
    struct load_stream *stream = &asking->plan.streams[0];
    live_stream(prober->live, i, stream);
    stream->timeout_ns = watch->probe_within_ns;
    stream->reuse_connection = false;
    /* Texts drawn by length come from files that are not kept: a probe takes a prompt as it is. */
    stream->shape = (struct spec_shape){0};
    asking->plan.stream_count = 1;
    asking->plan.seed = study->seed;
    asking->plan.salt = asking->salt;
    asking->plan.probe = true;
    asking->plan.window_ns = watch->probe_within_ns;
    asking->burst = prober->setup.burst > 1 ? prober->setup.burst - 1 : 0;
    asking->every_ns = (int64_t)(NS_PER_S / watch->probe_rps);
    asking->due_ns =
        now_ns + asking->every_ns * (int64_t)(i + 1) / (int64_t)(study->service_count + 1);
}

bool guard_prober_new(const struct guard_prober_setup *setup, struct guard_prober **ret_prober,
                      struct err *err)
{
    struct guard_prober *made = calloc(1, sizeof *made);
    if (!made)
        abort();
    AUTO(guard_prober_free) struct guard_prober *prober = made;
    prober->setup = *setup;
    prober->arena = arena_new();
    if (!load_some(prober, err))
        return err_wrap(err, "probes");
    malloc_trim(0); /* what was read and not kept */
    open_live(prober);
    prober->askings = calloc(setup->study->service_count, sizeof *prober->askings);
    if (!prober->askings)
        abort();
    for (size_t i = 0; i < setup->study->service_count; i++)
        prepare(prober, i, clock_now_ns());
    *ret_prober = TAKE(prober);
    return true;
}

static void let_go(struct asking *asking)
{
    asking->source = sd_event_source_disable_unref(asking->source);
    asking->deadline = sd_event_source_disable_unref(asking->deadline);
    asking->worker = load_worker_free(asking->worker);
}

struct guard_prober *guard_prober_free(struct guard_prober *prober)
{
    if (!prober)
        return NULL;
    for (size_t i = 0; prober->askings && i < prober->setup.study->service_count; i++)
        let_go(&prober->askings[i]);
    free(prober->askings);
    live_free(prober->live);
    arena_free(prober->arena);
    free(prober);
    return NULL;
}

bool guard_prober_asks(const struct guard_prober *prober, size_t i)
{
    return prober->askings[i].able;
}

int64_t guard_prober_waits_ns(const struct guard_prober *prober, size_t i, int64_t now_ns)
{
    const struct asking *asking = &prober->askings[i];
    return asking->worker ? now_ns - asking->probe.sent_ns : 0;
}

/* ---- its answer ---- */

static void prove(struct asking *asking)
{
    struct device *device = asking->prober->setup.devices[asking->device];
    struct device_usage after;
    if (!asking->proving || !device)
        return;
    device_usage(device, asking->root, &after);
    asking->probe.listed = after.listed == DEVICE_LISTED_YES;
    device_prove(device, &asking->before, &after, ON_GPU, &asking->probe.proof);
}

static void finish(struct asking *asking)
{
    struct guard_prober *prober = asking->prober;
    struct guard_probe *probe = &asking->probe;
    if (asking->got && !probe->ours)
        prove(asking);
    let_go(asking);
    if (asking->burst > 0 && !probe->hung) {
        asking->burst--;
        asking->due_ns = clock_now_ns();
    }
    bool proven = !asking->proving || probe->proof.placement != PLACEMENT_UNPROVEN;
    if (asking->eager > 0 && (!proven || probe->ours)) {
        asking->eager--;
        asking->due_ns = clock_now_ns() + RETRY_NS;
    }
    prober->setup.done(prober->setup.context, asking->service, probe);
}

static void take_record(struct asking *asking, const struct load_result *result)
{
    const struct load_record *record = &result->record;
    struct guard_probe *probe = &asking->probe;
    asking->got = true;
    probe->error = record->error;
    probe->http_status = record->http_status;
    probe->hung = record->error == LOAD_TIMEOUT || record->error == LOAD_UNFINISHED;
    probe->latency_s = load_latency_s(record);
    probe->first_s = record->error == LOAD_OK ? load_ttft_s(record) : NAN;
    if (record->error != LOAD_OK)
        snprintf(probe->words, sizeof probe->words, "%.150s", result->text ? result->text : "");
}

static int on_news(sd_event_source *source, int fd, uint32_t events, void *context)
{
    struct asking *asking = context;
    struct load_result result;
    (void)source;
    (void)fd;
    (void)events;
    for (;;) {
        enum load_news news = load_worker_next(asking->worker, &result);
        if (news == LOAD_NEWS_NONE)
            return 0;
        if (news == LOAD_NEWS_RESULT) {
            take_record(asking, &result);
            continue;
        }
        if (!asking->got) {
            asking->probe.ours = true;
            snprintf(asking->probe.words, sizeof asking->probe.words, "%.150s",
                     load_worker_report(asking->worker)->failure);
        }
        finish(asking);
        return 0;
    }
}

/* Our own worker hangs: the machine is out of breath, or worse. */
static int on_deadline(sd_event_source *source, uint64_t at_us, void *context)
{
    struct asking *asking = context;
    (void)source;
    (void)at_us;
    if (!asking->got) {
        asking->probe.ours = true;
        snprintf(asking->probe.words, sizeof asking->probe.words, "its worker did not end in time");
    }
    finish(asking);
    return 0;
}

/* ---- sending ---- */

static bool listen_to(struct asking *asking)
{
    sd_event *event = asking->prober->setup.event;
    const uint64_t within_us = (uint64_t)((asking->plan.window_ns + WORKER_SLACK_NS) / NS_PER_US);
    int r = sd_event_add_io(event, &asking->source, load_worker_fd(asking->worker), EPOLLIN,
                            on_news, asking);
    if (r >= 0)
        r = sd_event_add_time_relative(event, &asking->deadline, CLOCK_MONOTONIC, within_us, 0,
                                       on_deadline, asking);
    if (r >= 0) {
        (void)sd_event_source_set_description(asking->source, "probe");
        (void)sd_event_source_set_description(asking->deadline, "probe's deadline");
    }
    return r >= 0;
}

static void send_one(struct asking *asking, const struct guard_probe_subject *subject)
{
    struct guard_prober *prober = asking->prober;
    const struct spec_study *study = prober->setup.study;
    struct device *device = prober->setup.devices[subject->device];
    struct err err = ERR_INIT;
    asking->root = subject->root;
    asking->device = subject->device;
    asking->got = false;
    asking->probe =
        (struct guard_probe){.latency_s = NAN, .first_s = NAN, .sent_ns = clock_now_ns()};
    asking->proving = subject->root > 0 && device && study->services[asking->service].on == ON_GPU;
    if (asking->proving)
        device_usage(device, subject->root, &asking->before);
    snprintf(asking->salt, sizeof asking->salt, "guard %llu", (unsigned long long)asking->number++);
    if (!load_worker_start(&asking->plan, &asking->worker, &err) || !listen_to(asking)) {
        asking->probe.ours = true;
        snprintf(asking->probe.words, sizeof asking->probe.words, "%.150s",
                 err_is_set(&err) ? err.text : "its worker can't be waited for");
        finish(asking);
    }
}

/* From the plan and not from now: counted from now, a tick that comes a hair before the next one is
 * due would skip it, and one probe a tick be one in two. */
int64_t guard_probe_next(int64_t due_ns, int64_t now_ns, int64_t every_ns)
{
    return due_ns + ((now_ns - due_ns) / every_ns + 1) * every_ns;
}

void guard_prober_step(struct guard_prober *prober, int64_t now_ns,
                       const struct guard_probe_subject *subjects)
{
    for (size_t i = 0; i < prober->setup.study->service_count; i++) {
        struct asking *asking = &prober->askings[i];
        if (!asking->able)
            continue;
        if (subjects[i].another) {
            asking->due_ns = now_ns - asking->every_ns / 4; /* later ones between ticks */
            asking->eager = EAGER_PROBES;
        }
        if (!subjects[i].up || asking->worker || now_ns < asking->due_ns)
            continue;
        asking->due_ns = guard_probe_next(asking->due_ns, now_ns, asking->every_ns);
        send_one(asking, &subjects[i]);
    }
}
