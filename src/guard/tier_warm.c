/* The request that warms a tier up: a trial's probe, from the study's corpus and with the tier's
 * own values. One request at a time; whoever waits looks again.
 *
 * Rejected: guard/probe.h's prober, which asks each watched service by its clock and at one port; a
 * tier is asked for as long as it comes up, and there are several of one service.
 *
 * Invariant: a worker under way ends at its deadline, or with us. */
#include "guard/tier_warm.h"

#include "base/clock.h"
#include "load/worker.h"
#include "spec/guard.h"
#include "study/study.h"
#include "trial/live.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static const int64_t SLACK_NS = 5 * NS_PER_S; /* for our own worker */

struct tier_warm {
    const struct spec_study *study; /* borrowed */
    size_t service;
    struct arena *arena; /* owned */
    struct live *live;   /* owned */
    struct load_plan plan;
    struct load_worker *worker; /* owned; NULL: none is under way */
    char salt[48];
    unsigned number;
    int64_t asked_ns;
    bool answered;
    double latency_s;
    char words[128];
};

struct tier_warm *tier_warm_new(const struct spec_study *study, size_t service, int port,
                                const struct spec_candidate *candidate,
                                const struct corpus *corpora)
{
    const struct spec_service *spec = &study->services[service];
    if (!corpora || !spec->load.given || spec->by_request)
        return NULL;
    struct tier_warm *warm = calloc(1, sizeof *warm);
    if (!warm)
        abort();
    warm->study = study;
    warm->service = service;
    warm->arena = arena_new();
    struct live_options live = {.study = study,
                                .candidate = candidate,
                                .corpora = corpora,
                                .rate_rps = 1,
                                .window_ns = NS_PER_S};
    live.services[service] = (struct live_service){.here = true, .port = port};
    warm->live = live_new(&live, warm->arena);
    warm->plan = (struct load_plan){
        .stream_count = 1, .seed = study->seed, .salt = warm->salt, .probe = true};
    struct load_stream *stream = &warm->plan.streams[0];
    live_stream(warm->live, service, stream);
    stream->reuse_connection = false;
    stream->shape = (struct spec_shape){0}; /* a prompt as it is: drawn lengths need whole files */
    warm->plan.window_ns = stream->timeout_ns;
    return warm;
}

struct tier_warm *tier_warm_free(struct tier_warm *warm)
{
    if (warm) {
        load_worker_free(warm->worker);
        live_free(warm->live);
        arena_free(warm->arena);
        free(warm);
    }
    return NULL;
}

bool tier_warm_is_asking(const struct tier_warm *warm)
{
    return warm->worker != NULL;
}

int64_t tier_warm_within_ns(const struct tier_warm *warm)
{
    return warm->plan.window_ns;
}

void tier_warm_forget(struct tier_warm *warm)
{
    warm->worker = load_worker_free(warm->worker);
    warm->words[0] = '\0';
}

void tier_warm_ask(struct tier_warm *warm, int64_t now_ns)
{
    struct err err = ERR_INIT;
    snprintf(warm->salt, sizeof warm->salt, "warm %u", warm->number++);
    warm->answered = false;
    warm->latency_s = NAN;
    warm->asked_ns = now_ns;
    if (!load_worker_start(&warm->plan, &warm->worker, &err))
        snprintf(warm->words, sizeof warm->words, "%.120s", err.text);
}

static void read_answer(struct tier_warm *warm, const struct load_result *result)
{
    warm->answered = result->record.error == LOAD_OK;
    if (warm->answered)
        warm->latency_s = load_latency_s(&result->record);
    else
        snprintf(warm->words, sizeof warm->words, "%s%s%.90s",
                 load_error_name(result->record.error), result->text ? ": " : "",
                 result->text ? result->text : "");
}

enum tier_warmth tier_warm_look(struct tier_warm *warm, int64_t now_ns, double *ret_latency_s)
{
    struct load_result result;
    bool late = now_ns - warm->asked_ns > warm->plan.window_ns + SLACK_NS;
    while (warm->worker) {
        enum load_news news = load_worker_next(warm->worker, &result);
        if (news == LOAD_NEWS_NONE && !late)
            return WARMTH_WAITING;
        if (news == LOAD_NEWS_RESULT)
            read_answer(warm, &result);
        else
            warm->worker = load_worker_free(warm->worker);
    }
    *ret_latency_s = warm->latency_s;
    return warm->answered ? WARMTH_ANSWERED : WARMTH_FAILED;
}

const char *tier_warm_words(const struct tier_warm *warm)
{
    return warm->words;
}

static void keep_one(struct arena *arena, const struct corpus *from, struct corpus *to)
{
    if (from->clip_count > 0) {
        struct corpus_clip *clip = arena_alloc(arena, sizeof *clip);
        void *data = arena_alloc(arena, from->clips[0].len + 1);
        memcpy(data, from->clips[0].data, from->clips[0].len);
        *clip = from->clips[0];
        clip->name = arena_strdup(arena, clip->name);
        clip->transcript = arena_strdup(arena, clip->transcript);
        clip->data = data;
        to->clips = clip;
        to->clip_count = 1;
    }
    if (from->prompt_count > 0) {
        struct corpus_prompt *prompt = arena_alloc(arena, sizeof *prompt);
        *prompt = from->prompts[0];
        prompt->prompt = arena_strdup(arena, prompt->prompt);
        prompt->messages = arena_strdup(arena, prompt->messages);
        prompt->inputs = arena_strdup(arena, prompt->inputs);
        to->prompts = prompt;
        to->prompt_count = 1;
    }
}

const struct corpus *tier_warm_corpora(const struct spec_study *study, struct arena *arena)
{
    AUTO(arena_free) struct arena *whole = arena_new();
    struct corpus *all = NULL, *kept = NULL;
    struct err ignored = ERR_INIT;
    if (!study_load_corpora(study, whole, &all, &ignored))
        return NULL;
    kept = arena_array(arena, study->service_count, sizeof *kept);
    for (size_t f = 0; f < study->guard->front_count; f++) {
        size_t i = study->guard->fronts[f].service;
        kept[i] = (struct corpus){.all_transcribed = all[i].all_transcribed};
        keep_one(arena, &all[i], &kept[i]);
    }
    return kept;
}
