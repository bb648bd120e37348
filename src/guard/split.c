/* A split in the daemon: counts, judges, acts, keeps.
 *
 * Each request is counted at once, and so is the test's evidence; what follows from it is done at
 * the next step, a tick later, where files and HAProxy may be touched. What run time has decided is
 * on disk before HAProxy hears of it, so a guard that dies between does it again: setting the same
 * weights twice changes nothing.
 *
 * Before anything is written the file is looked at: `spica split` may have decided since. Then its
 * decision holds, and the few seconds of counts that only this process has are dropped, which costs
 * evidence and never adds any.
 *
 * Rejected: setting weights from add() (a log line would wait for a socket); asking HAProxy for its
 * counts (it has no latency per arm and request).
 *
 * Invariant: the revision in memory is the one on disk, or an adoption is due. */
#include "guard/split.h"

#include "base/clock.h"
#include "base/text.h"
#include "guard/split_decide.h"
#include "guard/split_reference.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static const int64_t KEEP_EVERY_NS = 5 * NS_PER_S;
static const int64_t RETRY_FIRST_NS = NS_PER_S, RETRY_LAST_NS = 30 * NS_PER_S;
static const int64_t BUSY_FOR_NS = 30 * NS_PER_S; /* so long it is nothing to speak of */

struct guard_split {
    struct guard_split_setup setup;
    const struct spec_split *split;
    char *path; /* owned */
    struct guard_split_kept kept;
    struct stats_anytime *test;        /* owned */
    struct guard_reference *reference; /* owned; NULL: none */
    bool dirty;                        /* counted since it was kept */
    bool weights_due;                  /* HAProxy was not told yet */
    bool judged;    /* the harm that is known was acted on, or said in a dry run */
    bool said_fine; /* likewise of no harm */
    bool failing;   /* told already */
    bool lost;      /* the file was none of ours and was set aside: to be told */
    int64_t keep_ns, retry_ns, retry_wait_ns;
    int64_t busy_ns; /* since when another changes HAProxy's settings; 0: none does */
};

static void tell(struct guard_split *split, const char *format, ...) PRINTF_LIKE(2, 3);
static void tell(struct guard_split *split, const char *format, ...)
{
    struct guard_event event = {
        .kind = EVENT_ACTED,
        .service = (int)split->setup.study->guard->fronts[split->setup.front].service};
    va_list args;
    va_start(args, format);
    vsnprintf(event.text, sizeof event.text, format, args);
    va_end(args);
    if (split->setup.tell)
        split->setup.tell(split->setup.context, &event);
}

/* ---- beginning and end ---- */

static void adopt(struct guard_split *split)
{
    stats_anytime_resume(split->test, &split->kept.sums);
    split->judged = split->kept.state != SPLIT_RUNNING;
    split->said_fine = split->kept.sums.no_harm;
    split->weights_due = true;
    split->dirty = false;
}

/* What was known of the arms is gone: whether the second does harm may have been known. So nobody
 * begins a new test by himself: a person looks at the file, and says how it goes on. */
static bool set_aside(struct guard_split *split, struct err *err)
{
    AUTO(fd) int lock = -1;
    struct err again = ERR_INIT;
    bool found = false;
    if (!guard_split_lock(split->path, &lock, err))
        return false;
    if (guard_split_kept_read(split->path, split->split, &split->kept, &found, &again))
        return true; /* `spica split` has written a good one meanwhile */
    if (!guard_split_kept_set_aside(split->path, err))
        return false;
    const char *slash = strrchr(split->path, '/');
    split->kept.state = SPLIT_UNJUDGED;
    snprintf(split->kept.why, sizeof split->kept.why,
             "what was known was damaged and stands in %.120s.bad; weights as in the study file",
             slash ? slash + 1 : split->path);
    split->lost = true;
    return true;
}

static bool is_damaged(const struct err *err)
{
    return err->code == ERR_INPUT || err->code == ERR_LIMIT;
}

static bool read_first(struct guard_split *split, bool *ret_found, struct err *err)
{
    struct err why = ERR_INIT;
    if (guard_split_kept_read(split->path, split->split, &split->kept, ret_found, &why))
        return true;
    if (is_damaged(&why))
        return set_aside(split, err);
    *err = why;
    return false;
}

bool guard_split_new(const struct guard_split_setup *setup, struct guard_split **ret_split,
                     struct err *err)
{
    struct guard_split *made = calloc(1, sizeof *made);
    if (!made)
        abort();
    AUTO(guard_split_free) struct guard_split *split = made;
    split->setup = *setup;
    split->split = &setup->study->guard->fronts[setup->front].split;
    split->path = guard_split_path(setup->folder, setup->study, setup->front);
    const struct stats_anytime_options options = guard_split_options(split->split);
    split->test = stats_anytime_new(&options);
    guard_split_kept_init(&split->kept, split->split, clock_now_wall_us());
    bool found = false;
    if (!read_first(split, &found, err))
        return false;
    adopt(split);
    split->dirty = !found;
    split->reference = guard_reference_new(setup);
    if (setup->proxy)
        proxy_set_hurried(setup->proxy);
    *ret_split = TAKE(split);
    return true;
}

static bool keep(struct guard_split *split, struct err *err);

struct guard_split *guard_split_free(struct guard_split *split)
{
    struct err ignored = ERR_INIT;
    if (!split)
        return NULL;
    if (split->dirty && !keep(split, &ignored))
        split->dirty = false; /* the last seconds are lost, as by a kill */
    guard_reference_free(split->reference);
    guard_split_kept_done(&split->kept);
    stats_anytime_free(split->test);
    free(split->path);
    free(split);
    return NULL;
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
    if (kept->state != SPLIT_RUNNING || (at != 0 && at != kept->second) ||
        (request->end == PROXY_REFUSED && !request->missed) || (fate == ANYTIME_ANSWERED && !timed))
        return;
    stats_anytime_add(split->test, at == 0 ? ANYTIME_A : ANYTIME_B, fate, request->total_s);
}

/* ---- keeping ---- */

/* Under the lock: takes over what another program has decided. */
static bool follow(struct guard_split *split, bool *ret_followed, struct err *err)
{
    struct guard_split_kept now = {0};
    struct err why = ERR_INIT;
    bool found = false;
    *ret_followed = false;
    if (!guard_split_kept_read(split->path, split->split, &now, &found, &why)) {
        if (is_damaged(&why) && guard_split_kept_set_aside(split->path, err)) {
            tell(split, "split: its file was damaged and is set aside (.bad); written anew");
            split->dirty = true;
            return true;
        }
        *err = why;
        return false;
    }
    split->dirty = split->dirty || !found;
    if (!found || now.revision == split->kept.revision) {
        guard_split_kept_done(&now);
        return true;
    }
    guard_split_kept_done(&split->kept);
    split->kept = now;
    adopt(split);
    *ret_followed = true;
    tell(split, "split %s by another program (%s): %s %d %%", guard_split_state_names[now.state],
         now.why, now.arms[now.second].name, now.arms[now.second].weight);
    return true;
}

static bool write_kept(struct guard_split *split, struct err *err)
{
    split->kept.sums = *stats_anytime_sums(split->test);
    if (!guard_split_kept_write(split->path, split->split, &split->kept, err))
        return err_wrap(err, "keeping it");
    split->dirty = false;
    return true;
}

static bool keep(struct guard_split *split, struct err *err)
{
    AUTO(fd) int lock = -1;
    bool followed;
    return guard_split_lock(split->path, &lock, err) && follow(split, &followed, err) &&
           (followed || !split->dirty || write_kept(split, err));
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
    if (split->setup.dry_run || !split->setup.proxy) {
        split->weights_due = false;
        return true;
    }
    if (now_ns < split->retry_ns)
        return true;
    weights_of(&split->kept, weights);
    if (proxy_set_weights(split->setup.proxy, split->setup.front, weights, err)) {
        split->weights_due = false;
        split->retry_wait_ns = split->busy_ns = 0;
        return true;
    }
    split->busy_ns = err->code != ERR_BUSY ? 0 : split->busy_ns ? split->busy_ns : now_ns;
    if (split->busy_ns && now_ns - split->busy_ns < BUSY_FOR_NS) {
        *err = ERR_INIT;
        return true; /* the next step tries again */
    }
    int64_t wait_ns = split->retry_wait_ns > 0 ? 2 * split->retry_wait_ns : RETRY_FIRST_NS;
    split->retry_wait_ns = wait_ns < RETRY_LAST_NS ? wait_ns : RETRY_LAST_NS;
    split->retry_ns = now_ns + split->retry_wait_ns;
    return err_wrap(err, "its weights are held back");
}

static bool stop_harm(struct guard_split *split, int64_t wall_us, struct err *err)
{
    AUTO(buf_done) struct buf why = BUF_INIT(4096);
    AUTO(fd) int lock = -1;
    bool followed;
    split->kept.sums = *stats_anytime_sums(split->test);
    guard_split_add_verdict(&split->kept, split->split, &why);
    if (split->setup.dry_run) {
        tell(split, "split would be stopped: %s", buf_text(&why));
        split->judged = true;
        return true;
    }
    if (!guard_split_lock(split->path, &lock, err) || !follow(split, &followed, err))
        return false;
    if (followed)
        return true;
    struct guard_split_kept before = split->kept;
    if (!guard_split_order(&split->kept, split->split, SPLIT_STOP, false, buf_text(&why), wall_us,
                           err))
        return false;
    if (!write_kept(split, err)) { /* nothing was decided; the next step tries again */
        split->kept = before;
        return false;
    }
    split->judged = true;
    split->weights_due = true;
    split->retry_ns = 0;
    tell(split, "split stopped, all to %s: %s", split->kept.arms[0].name, buf_text(&why));
    return true;
}

static void say_fine(struct guard_split *split)
{
    AUTO(buf_done) struct buf text = BUF_INIT(4096);
    split->kept.sums = *stats_anytime_sums(split->test);
    guard_split_add_verdict(&split->kept, split->split, &text);
    split->said_fine = true;
    tell(split, "split: %s", buf_text(&text));
}

static uint64_t references(const struct guard_split_kept *kept)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < kept->arm_count; i++)
        sum += kept->arms[i].references;
    return sum;
}

static bool step(struct guard_split *split, int64_t now_ns, int64_t wall_us, struct err *err)
{
    const struct stats_anytime_sums *sums = stats_anytime_sums(split->test);
    if (split->lost)
        tell(split, "split not judged: %s", split->kept.why);
    split->lost = false;
    uint64_t before = references(&split->kept);
    guard_reference_step(split->reference, &split->kept, now_ns);
    split->dirty = split->dirty || references(&split->kept) != before;
    if (sums->harm && !split->judged && !stop_harm(split, wall_us, err))
        return false;
    if (sums->no_harm && !split->said_fine)
        say_fine(split);
    if (now_ns >= split->keep_ns) {
        split->keep_ns = now_ns + KEEP_EVERY_NS;
        if (!keep(split, err))
            return false;
    }
    return !split->weights_due || set_weights(split, now_ns, err);
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

void guard_split_status(const struct guard_split *split, struct guard_status_split *ret_status)
{
    struct guard_status_split status = {.arm_count = split->kept.arm_count};
    struct guard_split_kept kept = split->kept; /* borrows its sketches */
    kept.sums = *stats_anytime_sums(split->test);
    AUTO(buf_done) struct buf text = BUF_INIT(4096);
    guard_split_add_verdict(&kept, split->split, &text);
    snprintf(status.text, sizeof status.text, "%s", buf_text(&text));
    status.verdict = stats_anytime_verdict_names[guard_split_answer(&kept, split->split).verdict];
    for (size_t i = 0; i < kept.arm_count; i++) {
        struct guard_split_figures f = guard_split_figures(&kept.arms[i]);
        status.arms[i] = (struct guard_status_arm){.name = kept.arms[i].name,
                                                   .weight = kept.arms[i].weight,
                                                   .requests = kept.arms[i].requests,
                                                   .errors = kept.arms[i].failed,
                                                   .p50_s = f.p50_s,
                                                   .p95_s = f.p95_s,
                                                   .p99_s = f.p99_s,
                                                   .wer_ratio = f.wer_ratio};
    }
    *ret_status = status;
}
