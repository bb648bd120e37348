/* A split in the daemon: counts, judges, acts, keeps.
 *
 * Each request is counted at once, and so is the test's evidence; what follows from it is done at
 * the next step, a tick later, where files and HAProxy may be touched. What run time has decided is
 * on disk before HAProxy hears of it, so a guard that dies between does it again: setting the same
 * weights twice changes nothing. A disk that takes nothing holds up no stop: HAProxy hears of it
 * all the same, and the file is written when it can be (split_follow.c).
 *
 * Rejected: setting weights from add() (a log line would wait for a socket); asking HAProxy for its
 * counts (it has no latency per arm and request).
 *
 * Invariant: no step ends without having tried all that is due; the first failure is told. */
#include "guard/split.h"

#include "base/clock.h"
#include "base/text.h"
#include "guard/split_alone.h"
#include "guard/split_inside.h"
#include "guard/split_words.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static const int64_t KEEP_EVERY_NS = 5 * NS_PER_S;
static const int64_t RETRY_FIRST_NS = NS_PER_S, RETRY_LAST_NS = 30 * NS_PER_S;
static const int64_t BUSY_FOR_NS = 30 * NS_PER_S; /* so long it is nothing to speak of */

enum { BUSY_TRIES = 5 }; /* of 2 s: who holds the lock for longer stands still */

void split_setup_tell(const struct guard_split_setup *setup, enum guard_event_kind kind,
                      int service, const char *format, va_list args)
{
    struct guard_event event = {.kind = kind, .service = service};
    vsnprintf(event.text, sizeof event.text, format, args);
    if (setup->tell)
        setup->tell(setup->context, &event);
}

void split_tell(struct guard_split *split, enum guard_event_kind kind, const char *format, ...)
{
    const struct guard_split_setup *setup = &split->setup;
    va_list args;
    va_start(args, format);
    split_setup_tell(setup, kind, (int)setup->study->guard->fronts[setup->front].service, format,
                     args);
    va_end(args);
}

/* ---- beginning and end ---- */

bool guard_split_new(const struct guard_split_setup *setup, struct guard_split **ret_split,
                     struct err *err)
{
    struct guard_split *made = calloc(1, sizeof *made);
    if (!made)
        abort();
    AUTO(guard_split_free) struct guard_split *split = made;
    split->setup = *setup;
    split->split = &setup->study->guard->fronts[setup->front].split;
    for (size_t i = 0; i < SPEC_ARMS_MAX; i++)
        split->places[i] = split_place_new();
    split->path = guard_split_path(setup->folder, setup->study, setup->front);
    const struct stats_anytime_options options = guard_split_options(split->split);
    split->test = stats_anytime_new(&options);
    guard_split_kept_init(&split->kept, split->split, clock_now_wall_us());
    bool found = false;
    if (!split_read_first(split, &found, err))
        return false;
    split->reference = guard_reference_new(setup);
    split->words = (struct stats_interval){NAN, NAN};
    split_adopt(split);
    split->dirty = !found;
    if (setup->proxy)
        proxy_set_hurried(setup->proxy);
    *ret_split = TAKE(split);
    return true;
}

struct guard_split *guard_split_free(struct guard_split *split)
{
    struct err ignored = ERR_INIT;
    if (!split)
        return NULL;
    if (split->dirty && !split_keep(split, &ignored))
        split->dirty = false; /* the last seconds are lost, as by a kill */
    guard_reference_free(split->reference);
    for (size_t i = 0; i < SPEC_ARMS_MAX; i++)
        split_place_done(&split->places[i]);
    guard_split_kept_done(&split->kept);
    stats_anytime_free(split->test);
    free(split->path);
    free(split);
    return NULL;
}

void guard_split_follow(struct guard_split *split)
{
    guard_reference_free(split->reference);
    split->reference = guard_reference_new(&split->setup);
    for (size_t i = 0; i < SPEC_ARMS_MAX; i++)
        split_place_follow(&split->places[i]);
}

/* ---- one request ---- */

static enum stats_anytime_fate fate_of(const struct proxy_request *request)
{
    switch (request->end) {
    case PROXY_SERVER_ERROR:
    case PROXY_CUT:
    case PROXY_UNSERVED:
        return ANYTIME_FAILED;
    case PROXY_CLIENT:
        return ANYTIME_LEFT;
    case PROXY_OK:
    case PROXY_REFUSED: /* answered as it should be: the request was wrong */
    case PROXY_END_COUNT_:
        return ANYTIME_ANSWERED;
    }
    return ANYTIME_ANSWERED;
}

void guard_split_add(struct guard_split *split, const struct proxy_request *request)
{
    struct guard_split_kept *kept = &split->kept;
    int assigned = request->missed ? request->assigned : request->server;
    if (request->front != split->setup.front || assigned < 0 ||
        (size_t)assigned >= kept->arm_count || request->pinned)
        return; /* who pinned an arm was not assigned to it */
    size_t at = (size_t)assigned;
    struct guard_split_arm *arm = &kept->arms[at];
    enum stats_anytime_fate fate = fate_of(request);
    /* The client was answered, by another arm: this one has failed, and that other's time is no
     * measure of what was sent to it. */
    if (request->missed && fate == ANYTIME_ANSWERED)
        fate = ANYTIME_FAILED;
    arm->requests += fate != ANYTIME_LEFT;
    arm->failed += fate == ANYTIME_FAILED;
    arm->left += fate == ANYTIME_LEFT;
    /* A refused one is answered at once: it says nothing of how fast the arm works. */
    bool timed = fate == ANYTIME_ANSWERED && request->end == PROXY_OK && request->total_s > 0;
    if (timed)
        stats_sketch_add(arm->latency, request->total_s);
    split->dirty = true;
    if (kept->state == SPLIT_FULL && at == kept->second && request->end != PROXY_REFUSED)
        guard_split_alone_count(&kept->alone, fate, request->total_s);
    if (kept->state != SPLIT_RUNNING || (at != 0 && at != kept->second) ||
        (request->end == PROXY_REFUSED && !request->missed) || (fate == ANYTIME_ANSWERED && !timed))
        return;
    stats_anytime_add(split->test, at == 0 ? ANYTIME_A : ANYTIME_B, fate, request->total_s);
}

/* ---- acting ---- */

static void weights_of(const struct guard_split_kept *kept, int weights[SPEC_ARMS_MAX])
{
    for (size_t i = 0; i < SPEC_ARMS_MAX; i++)
        weights[i] = i < kept->arm_count ? kept->arms[i].weight : 0;
}

static bool set_weights(struct guard_split *split, int64_t now_ns, struct err *err)
{
    int weights[SPEC_ARMS_MAX];
    struct err why = ERR_INIT;
    if (split->setup.dry_run || !split->setup.proxy) {
        split->weights_due = false;
        return true;
    }
    if (now_ns < split->retry_ns)
        return true;
    weights_of(&split->kept, weights);
    if (proxy_set_weights(split->setup.proxy, split->setup.front, weights, &why)) {
        split->weights_due = false;
        split->retry_wait_ns = split->busy_ns = 0;
        return true;
    }
    split->busy_ns = why.code != ERR_BUSY ? 0 : split->busy_ns ? split->busy_ns : now_ns;
    if (split->busy_ns && now_ns - split->busy_ns < BUSY_FOR_NS)
        return true; /* the next step tries again */
    int64_t wait_ns = split->retry_wait_ns > 0 ? 2 * split->retry_wait_ns : RETRY_FIRST_NS;
    split->retry_wait_ns = wait_ns < RETRY_LAST_NS ? wait_ns : RETRY_LAST_NS;
    split->retry_ns = now_ns + split->retry_wait_ns;
    return err_set(err, why.code, "its weights are held back: %s", why.text);
}

/* Another program that holds the lock is waited for, a while; a disk that takes nothing is not. */
static bool stop_harm(struct guard_split *split, int64_t wall_us, struct err *err)
{
    AUTO(buf_done) struct buf why = BUF_INIT(4096);
    AUTO(fd) int lock = -1;
    struct err disk = ERR_INIT;
    bool followed = false;
    split->kept.sums = *stats_anytime_sums(split->test);
    guard_split_add_verdict(&split->kept, split->split, &why);
    if (split->setup.dry_run) {
        split_tell(split, EVENT_ACTED, "split would be stopped: %s", buf_text(&why));
        split->judged = true;
        return true;
    }
    bool locked = guard_split_lock(split->path, &lock, &disk);
    if (!locked && disk.code == ERR_BUSY && split->busy++ < BUSY_TRIES) {
        *err = disk;
        return false;
    }
    bool fine = locked && split_follow(split, &followed, &disk);
    if (followed)
        return true;
    const uint64_t on = split->unsaved ? split->unsaved_on : split->kept.revision;
    if (!guard_split_order(&split->kept, split->split, SPLIT_STOP, false, buf_text(&why), wall_us,
                           err))
        return false;
    fine = fine && split_write(split, &disk);
    split->judged = split->weights_due = true;
    split->retry_ns = 0;
    split->busy = 0;
    split->unsaved = !fine;
    split->unsaved_on = on;
    split->dirty = split->dirty || !fine;
    if (fine)
        split_tell(split, EVENT_ACTED, "split stopped, all to %s: %s", split->kept.arms[0].name,
                   buf_text(&why));
    else
        split_tell(split, EVENT_ACTED,
                   "split stopped, all to %s: not kept yet (%.60s), tried again: %s",
                   split->kept.arms[0].name, disk.text, buf_text(&why));
    return true;
}

static void say_fine(struct guard_split *split)
{
    AUTO(buf_done) struct buf text = BUF_INIT(4096);
    split->kept.sums = *stats_anytime_sums(split->test);
    guard_split_add_verdict(&split->kept, split->split, &text);
    split->said_fine = true;
    split_tell(split, EVENT_ACTED, "split: %s", buf_text(&text));
}

static uint64_t references(const struct guard_split_kept *kept)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < kept->arm_count; i++)
        sum += kept->arms[i].references;
    return sum;
}

/* Sends a clip that is due; what both arms made of them is weighed when there is a new answer. */
static void look_at_words(struct guard_split *split, int64_t now_ns)
{
    guard_reference_step(split->reference, &split->kept, now_ns);
    const uint64_t answers = references(&split->kept);
    if (answers == split->words_of)
        return;
    split->dirty = true;
    split->words_of = answers;
    split->words = guard_split_wer_certain(&split->kept);
}

enum { DOUBT_WORDS = 1, DOUBT_SLOWER = 2, DOUBT_PLACE = 4 }; /* the last one shifted by the arm */

/* Who gets nothing harms nobody: that it is in the wrong place is a word and no alarm. At 100 % the
 * first arm gets nothing either, and is the way back: whoever switches it off is told so. */
static bool gets_nothing(const struct guard_split_kept *kept, size_t arm)
{
    return kept->arms[arm].weight == 0 &&
           (kept->state == SPLIT_STOPPED || kept->state == SPLIT_ABORTED);
}

static void tell_idle(struct guard_split *split)
{
    for (size_t i = 0; i < split->kept.arm_count; i++) {
        const unsigned bit = 1u << i;
        const bool idle = split->places[i].wrong && gets_nothing(&split->kept, i);
        if (idle && !(split->idle & bit))
            split_tell(split, EVENT_ACTED,
                       "split: %.40s, which gets no requests, is on the CPU: %s",
                       split->kept.arms[i].name, split->places[i].process.place.seen.evidence);
        split->idle = idle ? split->idle | bit : split->idle & ~bit;
    }
}

/* What the arms may be doubted for, though nothing was decided by it. Into `buf` what is not in
 * `told` yet. */
static unsigned add_doubts(const struct guard_split *split, unsigned told, struct buf *buf)
{
    const struct guard_split_kept *kept = &split->kept;
    const bool serves = kept->arms[kept->second].weight > 0;
    unsigned doubts = 0;
    AUTO(buf_done) struct buf unused = BUF_INIT(4096);
    for (size_t i = 0; i < kept->arm_count; i++) {
        const unsigned doubt = (unsigned)DOUBT_PLACE << i;
        if (!split->places[i].wrong || gets_nothing(kept, i))
            continue;
        doubts |= doubt;
        buf_addf(told & doubt ? &unused : buf, "%.40s must be on the GPU and is on the CPU: %s. ",
                 kept->arms[i].name, split->places[i].process.place.seen.evidence);
    }
    if (serves && split->words.low > 0) {
        doubts |= DOUBT_WORDS;
        guard_split_add_words(kept, &split->words, told & DOUBT_WORDS ? &unused : buf);
    }
    if (kept->state == SPLIT_FULL &&
        guard_split_alone_look(&kept->alone, split->split) == ALONE_SLOWER) {
        doubts |= DOUBT_SLOWER;
        guard_split_alone_add(kept, split->split, told & DOUBT_SLOWER ? &unused : buf);
    }
    return doubts;
}

static void look_at_doubt(struct guard_split *split, int64_t now_ns)
{
    AUTO(buf_done) struct buf text = BUF_INIT(4096);
    const struct guard_split_kept *kept = &split->kept;
    for (size_t i = 0; i < kept->arm_count; i++)
        split_place_look(&split->places[i], &split->setup, i, now_ns);
    tell_idle(split);
    const unsigned told = split->doubts;
    split->doubts = add_doubts(split, told, &text);
    if (split->doubts & ~told)
        split_tell(split, EVENT_ARM_DOUBT, "%s", buf_text(&text));
    else if (told && !split->doubts)
        split_tell(split, EVENT_ARM_SOUND, "split: nothing speaks against %s now (%d %% of all)",
                   split->idle           ? "who gets requests"
                   : told >= DOUBT_PLACE ? "its arms"
                                         : kept->arms[kept->second].name,
                   kept->arms[kept->second].weight);
}

static bool does_harm(const struct guard_split *split)
{
    const struct guard_split_kept *kept = &split->kept;
    if (kept->pairs.harm && split->words.low > 0)
        return true;
    return kept->state == SPLIT_FULL
               ? guard_split_alone_look(&kept->alone, split->split) == ALONE_HARM
               : stats_anytime_sums(split->test)->harm;
}

static bool step(struct guard_split *split, int64_t now_ns, int64_t wall_us, struct err *err)
{
    bool ok = true;
    if (split->lost)
        split_tell(split, EVENT_ACTED, "split not judged: %s", split->kept.why);
    split->lost = false;
    look_at_words(split, now_ns);
    look_at_doubt(split, now_ns);
    if (!split->judged && does_harm(split))
        ok = stop_harm(split, wall_us, err);
    if (stats_anytime_sums(split->test)->no_harm && !split->said_fine)
        say_fine(split);
    if (now_ns >= split->keep_ns) {
        split->keep_ns = now_ns + KEEP_EVERY_NS;
        ok = split_keep(split, err) && ok;
    }
    return (!split->weights_due || set_weights(split, now_ns, err)) && ok;
}

/* A disk that is full, an HAProxy that is gone: told once, tried again and again. */
bool guard_split_step(struct guard_split *split, int64_t now_ns, int64_t wall_us, struct err *err)
{
    struct err why = ERR_INIT;
    if (step(split, now_ns, wall_us, &why)) {
        split->failing = split->failing && (split->weights_due || split->dirty);
        return true;
    }
    if (split->failing)
        return true;
    split->failing = true;
    *err = why;
    return false;
}

/* ---- status ---- */

static const char *place_of(const struct split_place *place)
{
    const bool asked = place->process.weighed_pid > 0 && place->process.place.pid > 0;
    return asked ? device_placement_names[place->process.place.seen.word] : NULL;
}

void guard_split_status(const struct guard_split *split, struct guard_status_split *ret_status)
{
    struct guard_status_split status = {.arm_count = split->kept.arm_count};
    struct guard_split_kept kept = split->kept; /* borrows its sketches */
    kept.sums = *stats_anytime_sums(split->test);
    AUTO(buf_done) struct buf text = BUF_INIT(4096);
    guard_split_add_verdict(&kept, split->split, &text);
    snprintf(status.text, sizeof status.text, "%s", buf_text(&text));
    buf_clear(&text);
    guard_split_add_words(&kept, &split->words, &text);
    guard_split_add_words_evidence(&kept, split->split, &text);
    snprintf(status.words, sizeof status.words, "%s", buf_text(&text));
    status.verdict = stats_anytime_verdict_names[guard_split_verdict(&kept, split->split)];
    for (size_t i = 0; i < kept.arm_count; i++) {
        struct guard_split_figures f = guard_split_figures(&kept.arms[i]);
        status.arms[i] =
            (struct guard_status_arm){.name = kept.arms[i].name,
                                      .weight = kept.arms[i].weight,
                                      .requests = kept.arms[i].requests,
                                      .errors = kept.arms[i].failed,
                                      .p50_s = f.p50_s,
                                      .p95_s = f.p95_s,
                                      .p99_s = f.p99_s,
                                      .wer_ratio = f.wer_ratio,
                                      .memory_bytes = split->places[i].process.held_bytes,
                                      .placement = place_of(&split->places[i]),
                                      .over = gets_nothing(&kept, i)};
    }
    *ret_status = status;
}
