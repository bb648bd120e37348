/* Word errors of both arms on the same recordings.
 *
 * Real requests have no transcript, so what an arm hears is known only of recordings that have one.
 * Some of the study's are kept, spread over the corpus; one of them, drawn by lot, goes to the
 * first arm and then to the second, straight to their ports: HAProxy's log does not see them, so
 * they are in no latency that is compared. A clip is counted by its place, and errors of the two
 * arms are compared clip by clip, so that what is hard for both cancels. A clip's chance goes with
 * its words: then the mean of the pairs is the word error rate of all kept clips, however often
 * each comes.
 *
 * Rejected: one after the other. Then no pair is chance but for what the servers make of it, and a
 * difference that the order makes looks like one of the arms.
 *
 * Invariant: at most one request is under way, and nobody waits for it. */
#include "guard/split_reference.h"

#include "base/clock.h"
#include "base/rng.h"
#include "load/worker.h"
#include "trial/live.h"

#include <malloc.h>
#include <math.h>
#include <string.h>

enum { CLIP_BYTES_MAX = 4 << 20 };
static const int64_t WITHIN_NS = 60 * NS_PER_S; /* no answer by then is a failure */

struct guard_reference {
    const struct spec_study *study;
    size_t service;
    struct arena *arena; /* owned */
    enum stats_normaliser normaliser;
    struct corpus clips, one; /* in the arena; `one`: the clip under way */
    size_t places[GUARD_SPLIT_CLIPS_MAX];
    uint64_t words[GUARD_SPLIT_CLIPS_MAX], all_words;
    struct stats_anytime_pairs_options options;
    struct live *live[2]; /* owned, one for each arm */
    struct load_stream streams[2];
    struct corpus *corpora;
    struct load_plan plan;
    struct load_worker *worker; /* owned; NULL: nothing is under way */
    int64_t every_ns, due_ns;
    size_t clip, arm;   /* of the one under way, or asked last */
    double first_ratio; /* words that the first arm had wrong of this clip; NaN: no answer */
};

/* Evenly spread, as many as fit. */
static void keep_clips(struct guard_reference *reference, const struct corpus *whole)
{
    struct corpus *clips = &reference->clips;
    size_t most =
        whole->clip_count < GUARD_SPLIT_CLIPS_MAX ? whole->clip_count : GUARD_SPLIT_CLIPS_MAX;
    size_t bytes = 0;
    clips->clips = arena_array(reference->arena, most, sizeof *clips->clips);
    for (size_t i = 0; i < most; i++) {
        const struct corpus_clip *clip = &whole->clips[i * whole->clip_count / most];
        if (!clip->transcript || bytes + clip->len > CLIP_BYTES_MAX)
            continue;
        const struct stats_wer right =
            stats_wer_count(reference->normaliser, clip->transcript, clip->transcript);
        if (right.reference_words == 0)
            continue;
        reference->all_words += right.reference_words;
        reference->words[clips->clip_count] = right.reference_words;
        void *copy = arena_alloc(reference->arena, clip->len + 1);
        memcpy(copy, clip->data, clip->len);
        bytes += clip->len;
        struct corpus_clip *kept = &clips->clips[clips->clip_count];
        reference->places[clips->clip_count++] = i;
        *kept = *clip;
        kept->data = copy;
        kept->name = arena_strdup(reference->arena, clip->name);
        kept->transcript = arena_strdup(reference->arena, clip->transcript);
    }
}

static bool load_clips(struct guard_reference *reference)
{
    AUTO(arena_free) struct arena *whole = arena_new();
    struct corpus corpus = {0};
    struct err ignored = ERR_INIT; /* the daemon's own probes say what is wrong with a corpus */
    if (!corpus_load(whole, "", &reference->study->services[reference->service].load, &corpus,
                     &ignored))
        return false;
    keep_clips(reference, &corpus);
    return reference->clips.clip_count > 0;
}

static void open_arms(struct guard_reference *reference, const struct guard_split_setup *setup)
{
    const struct spec_split *split = &setup->study->guard->fronts[setup->front].split;
    reference->corpora =
        arena_array(reference->arena, setup->study->service_count, sizeof *reference->corpora);
    reference->corpora[reference->service] = reference->clips;
    for (size_t arm = 0; arm < 2; arm++) {
        struct live_options options = {.study = setup->study,
                                       .candidate = setup->candidate,
                                       .corpora = reference->corpora,
                                       .rate_rps = 1,
                                       .window_ns = NS_PER_S};
        options.services[reference->service] =
            (struct live_service){.here = true, .port = split->arms[arm].port};
        reference->live[arm] = live_new(&options, reference->arena);
        live_stream(reference->live[arm], reference->service, &reference->streams[arm]);
    }
}

const char *guard_reference_missing(const struct spec_study *study, size_t front,
                                    double reference_rps)
{
    const struct spec_service *service = &study->services[study->guard->fronts[front].service];
    if (!service->load.given || !service->load.corpus)
        return "its load has no corpus of recordings; how fast it answers and whether it does is "
               "compared, not what it says";
    if (service->load.after || service->by_request)
        return "it can't be asked with a recording over HTTP by itself";
    if (!(reference_rps > 0))
        return "probe: is 0 for it, so no reference clips are sent";
    return NULL;
}

struct guard_reference *guard_reference_new(const struct guard_split_setup *setup)
{
    size_t service = setup->study->guard->fronts[setup->front].service;
    if (!setup->candidate ||
        guard_reference_missing(setup->study, setup->front, setup->reference_rps))
        return NULL;
    struct guard_reference *reference = calloc(1, sizeof *reference);
    if (!reference)
        abort();
    reference->study = setup->study;
    reference->service = service;
    reference->arena = arena_new();
    reference->options =
        guard_split_pairs_options(&setup->study->guard->fronts[setup->front].split);
    reference->arm = 1;
    reference->every_ns = (int64_t)(NS_PER_S / setup->reference_rps);
    reference->normaliser = load_stream_of("", &setup->study->services[service].load).normaliser;
    bool any = load_clips(reference);
    malloc_trim(0); /* the whole corpus was read, some of it is kept */
    if (!any)
        return guard_reference_free(reference);
    open_arms(reference, setup);
    return reference;
}

struct guard_reference *guard_reference_free(struct guard_reference *reference)
{
    if (!reference)
        return NULL;
    load_worker_free(reference->worker);
    live_free(reference->live[0]);
    live_free(reference->live[1]);
    arena_free(reference->arena);
    free(reference);
    return NULL;
}

/* The lot of the `turn`-th pair is drawn by its number, so one that begins again where another was
 * killed goes on with it. */
static size_t draw_clip(const struct guard_reference *reference, uint64_t turn)
{
    char stream[64];
    snprintf(stream, sizeof stream, "reference clip %llu", (unsigned long long)turn);
    struct rng rng = rng_init(reference->study->seed, stream);
    uint64_t at = rng_below(&rng, reference->all_words);
    size_t clip = 0;
    while (at >= reference->words[clip])
        at -= reference->words[clip++];
    return clip;
}

/* An arm that gives no answer makes no pair: how often requests fail is counted of real ones. */
static void take(struct guard_reference *reference, const struct load_result *result,
                 struct guard_split_kept *kept)
{
    struct guard_split_arm *arm = &kept->arms[reference->arm == 0 ? 0 : kept->second];
    double ratio = NAN;
    arm->references++;
    if (result->record.error == LOAD_OK) {
        const size_t clip = reference->clip;
        struct stats_wer one = stats_wer_count(
            reference->normaliser, reference->clips.clips[clip].transcript, result->text);
        stats_wer_pool(&arm->clips[reference->places[clip]], &one);
        ratio = stats_wer_ratio(&one);
    } else {
        arm->references_failed++;
    }
    if (reference->arm == 0)
        reference->first_ratio = ratio;
    else
        stats_anytime_pairs_add(&kept->pairs, &reference->options, reference->first_ratio, ratio);
}

/* False: it is still under way. */
static bool collect(struct guard_reference *reference, struct guard_split_kept *kept,
                    int64_t now_ns)
{
    struct load_result result;
    enum load_news news = LOAD_NEWS_RESULT;
    while (news == LOAD_NEWS_RESULT) {
        news = load_worker_next(reference->worker, &result);
        if (news == LOAD_NEWS_RESULT)
            take(reference, &result, kept);
    }
    if (news == LOAD_NEWS_NONE && now_ns < reference->due_ns + 2 * WITHIN_NS)
        return false;
    /* Our own worker that failed says nothing of an arm. */
    reference->worker = load_worker_free(reference->worker);
    return true;
}

static void send_next(struct guard_reference *reference, const struct guard_split_kept *kept)
{
    struct load_stream *stream = &reference->plan.streams[0];
    struct err ignored = ERR_INIT; /* no process can be made: the next one may be */
    reference->arm = 1 - reference->arm;
    if (reference->arm == 0) {
        reference->clip = draw_clip(reference, kept->arms[0].references);
        reference->first_ratio = NAN;
    }
    *stream = reference->streams[reference->arm];
    reference->one = (struct corpus){.clips = &reference->clips.clips[reference->clip],
                                     .clip_count = 1,
                                     .all_transcribed = true};
    stream->corpus = &reference->one;
    stream->timeout_ns = WITHIN_NS;
    stream->reuse_connection = false;
    stream->shape = (struct spec_shape){0};
    reference->plan.stream_count = 1;
    reference->plan.seed = reference->study->seed;
    reference->plan.salt = "reference clips";
    reference->plan.probe = true;
    reference->plan.window_ns = WITHIN_NS;
    if (!load_worker_start(&reference->plan, &reference->worker, &ignored))
        reference->worker = NULL;
}

void guard_reference_step(struct guard_reference *reference, struct guard_split_kept *kept,
                          int64_t now_ns)
{
    if (!reference || (reference->worker && !collect(reference, kept, now_ns)))
        return;
    if (reference->due_ns == 0)
        reference->due_ns = now_ns + reference->every_ns;
    if (now_ns < reference->due_ns)
        return;
    reference->due_ns = now_ns + reference->every_ns;
    send_next(reference, kept);
}
