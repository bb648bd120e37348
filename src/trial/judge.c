/* What beats what, in this order:
 *
 * 1. A service that ended, never came up or was never heard: the earliest in start order speaks,
 * for what follows it is often its consequence. Log signature and exit status together name the
 * cause; a signature alone names nothing while the service lives.
 * 2. A failed first request, then where it computed: latency of a model in the wrong place is worth
 * nothing.
 *    (A declared neighbour that ended during the trial stands here too: it may be our doing, and a
 *    setting that may kill what has to stay is no setting.)
 * 3. Our own instrument and the surroundings: a disturbed window says nothing about the candidate.
 * It stands behind 1 and 2, since no disturbance turns a crash into a healthy run.
 * 4. Answers: silent, wrong, failed.
 * 5. The goal.
 *
 * Rejected: scoring rules with weights. Nobody at 2 a.m. can replay a weight. */
#include "trial/judge.h"

#include "base/buf.h"
#include "spec/metric.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

enum { EXAMPLE_MAX = 400 }; /* bytes of an answer that are evidence enough */

static struct judgement verdict_of(enum verdict verdict, int service, const char *summary)
{
    return (struct judgement){
        .verdict = verdict, .service = service, .fitness = NAN, .summary = summary};
}

static void add_evidence(struct judgement *j, const char *service, const char *kind,
                         const char *text)
{
    if (!text || !*text || j->evidence_count == ARRAY_LEN(j->evidence))
        return;
    j->evidence[j->evidence_count++] = (struct store_evidence){service, kind, text};
}

static const char *exit_text(const struct judge_service *s, struct arena *arena)
{
    if (s->term_signal)
        return arena_printf(arena, "ended by SIG%s",
                            sigabbrev_np(s->term_signal) ? sigabbrev_np(s->term_signal) : "?");
    return arena_printf(arena, "exit status %d", s->exit_code);
}

/* What a cause in the log makes of a service that has ended. Causes that explain no end (where a
 * model computed) leave it a crash in its own last words. */
static const struct cause_rule {
    enum verdict start, load;
    bool explains;
    bool rules_out; /* whoever has these settings meets it again */
} cause_rules[CAUSE_COUNT_] = {
    [CAUSE_NONE] = {VERDICT_CRASHED_START, VERDICT_CRASHED_LOAD},
    [CAUSE_OOM] = {VERDICT_OOM_START, VERDICT_OOM_LOAD, .explains = true},
    [CAUSE_OOM_HOST] = {VERDICT_OOM_HOST, VERDICT_OOM_HOST, .explains = true},
    [CAUSE_REFUSED] = {VERDICT_REFUSED, VERDICT_REFUSED, .explains = true},
    [CAUSE_PORT_BUSY] = {VERDICT_ENV_FAULT, VERDICT_ENV_FAULT, .explains = true},
    [CAUSE_MISSING_LIBRARY] = {VERDICT_ENV_FAULT, VERDICT_ENV_FAULT, .explains = true,
                               .rules_out = true},
    [CAUSE_MISSING_WEIGHTS] = {VERDICT_ENV_FAULT, VERDICT_ENV_FAULT, .explains = true,
                               .rules_out = true},
    [CAUSE_BAD_WEIGHTS] = {VERDICT_ENV_FAULT, VERDICT_ENV_FAULT, .explains = true,
                           .rules_out = true},
    [CAUSE_CPU_FALLBACK] = {VERDICT_CRASHED_START, VERDICT_CRASHED_LOAD},
    [CAUSE_PARTIAL_OFFLOAD] = {VERDICT_CRASHED_START, VERDICT_CRASHED_LOAD},
    [CAUSE_START_RACE] = {VERDICT_CRASHED_START, VERDICT_CRASHED_LOAD, .explains = true},
    [CAUSE_DEVICE_LOST] = {VERDICT_ENV_FAULT, VERDICT_ENV_FAULT, .explains = true},
    [CAUSE_DISK_FULL] = {VERDICT_ENV_FAULT, VERDICT_ENV_FAULT, .explains = true},
    [CAUSE_GENERIC] = {VERDICT_CRASHED_START, VERDICT_CRASHED_LOAD, .explains = true},
};

static enum signature_cause cause_of(const struct judge_service *s)
{
    return s->has_match ? s->match.signature->cause : CAUSE_NONE;
}

/* What a living service says of itself: in its log, or else in the answers of failed requests, for
 * a front whose runner was killed may log nothing of it. */
static const struct service_signature *own_words(const struct judge_service *s)
{
    struct signature_match match;
    if (cause_of(s) != CAUSE_NONE && cause_of(s) != CAUSE_GENERIC)
        return s->match.signature;
    bool said =
        s->first_error && signature_scan(NULL, s->first_error, strlen(s->first_error), &match);
    return said ? match.signature : s->has_match ? s->match.signature : NULL;
}

/* The kernel's own count, as it stands or as a runtime tells it, or its log: beats any words, for a
 * runner that was killed may blame something else. NULL: neither. */
static const char *host_kill(const struct judge_service *s)
{
    return s->oom_kills > 0                  ? "killed at its memory limit"
           : s->kernel_oom || s->runtime_oom ? "killed by the kernel for memory"
                                             : NULL;
}

static void add_memory_evidence(struct judgement *j, const struct judge_service *s,
                                struct arena *arena)
{
    if (s->oom_kills > 0)
        add_evidence(j, s->name, "cgroup",
                     arena_printf(arena, "oom_kill %d in its memory group", s->oom_kills));
    if (s->runtime_oom)
        add_evidence(j, s->name, "runtime", "State.OOMKilled of its container is true");
    if (s->kernel_oom)
        add_evidence(j, s->name, "kernel", "the kernel log names a process of its tree");
}

/* The log's own numbers if it has any ("asked 55.43 GiB, 44.36 GiB free"), else the signature's
 * meaning; a refused flag is named, and the stage in which memory ran out. */
static const char *meaning_of(const struct judge_service *s, struct arena *arena)
{
    const struct signature_match *match = &s->match;
    if (match->hint[0])
        return match->hint;
    if (match->stage)
        return arena_printf(arena, "%s while %s", match->signature->meaning, match->stage);
    return match->flag[0] ? arena_printf(arena, "%s: %s", match->signature->meaning, match->flag)
                          : match->signature->meaning;
}

static struct judgement judge_ended(const struct judge_service *s, int index, struct arena *arena)
{
    bool start = s->phase == PHASE_START;
    const struct cause_rule *rule = &cause_rules[cause_of(s)];
    enum verdict verdict = start ? rule->start : rule->load;
    const char *why = rule->explains ? meaning_of(s, arena) : NULL;
    if (host_kill(s)) {
        verdict = VERDICT_OOM_HOST;
        why = host_kill(s);
    }
    const char *ended = exit_text(s, arena);
    const char *when = start                     ? "before it was ready"
                       : s->phase == PHASE_PROBE ? "at its first request"
                       : s->phase == PHASE_CAPACITY && s->detail
                           ? s->detail /* "at concurrency 32" */
                           : "under load";
    const char *summary = why ? arena_printf(arena, "%s: %s (%s %s)", s->name, why, ended, when)
                              : arena_printf(arena, "%s: %s %s%s%s", s->name, ended, when,
                                             s->last_line && *s->last_line ? "; last words: " : "",
                                             s->last_line ? s->last_line : "");
    struct judgement j = verdict_of(verdict, index, summary);
    j.rules_out = verdict == VERDICT_ENV_FAULT && rule->rules_out;
    if (verdict == VERDICT_OOM_START && s->has_match)
        j.bound = s->match.signature->bound;
    add_evidence(&j, s->name, "hint", s->has_match && s->match.hint[0] ? s->match.hint : NULL);
    add_evidence(&j, s->name, "exit", ended);
    add_evidence(&j, s->name, "capacity", s->phase == PHASE_CAPACITY ? when : NULL);
    add_evidence(&j, s->name, "log", s->has_match ? s->match_line : s->last_line);
    add_memory_evidence(&j, s, arena);
    return j;
}

/* Memory as the reason why a living service is not ready, silent or full of errors: the child of a
 * living parent was killed, or the log says so. False: it is not the reason. */
static bool judge_memory(const struct judge_service *s, int index, bool start, struct arena *arena,
                         struct judgement *ret)
{
    const struct service_signature *words = own_words(s);
    enum signature_cause cause = words ? words->cause : CAUSE_NONE;
    if (host_kill(s) || cause == CAUSE_OOM_HOST)
        *ret = verdict_of(VERDICT_OOM_HOST, index,
                          arena_printf(arena,
                                       s->by_request
                                           ? "%s: a run of it was killed for memory"
                                           : "%s: alive, but a process of it was killed for memory",
                                       s->name));
    else if (cause == CAUSE_OOM)
        *ret = verdict_of(start ? VERDICT_OOM_START : VERDICT_OOM_LOAD, index,
                          arena_printf(arena, "%s: %s%s", s->name, words->meaning,
                                       s->by_request ? " in a run of it" : ", but it stays alive"));
    else
        return false;
    add_memory_evidence(ret, s, arena);
    return true;
}

/* Some engines print why and stay; the words then name the cause. */
static struct judgement judge_not_ready(const struct judge_service *s, int index,
                                        struct arena *arena)
{
    struct judgement j;
    if (cause_of(s) == CAUSE_REFUSED)
        return verdict_of(VERDICT_REFUSED, index,
                          arena_printf(arena, "%s: %s", s->name, meaning_of(s, arena)));
    if (judge_memory(s, index, true, arena, &j))
        return j;
    return verdict_of(VERDICT_NOT_READY, index,
                      arena_printf(arena, "%s: not ready in time, %s", s->name, s->detail));
}

static struct judgement judge_not_up(const struct judge_service *s, int index, struct arena *arena)
{
    struct judgement j;
    switch (s->end) {
    case SERVICE_ENDED:
        return judge_ended(s, index, arena);
    case SERVICE_KEEPER_LOST:
        j = verdict_of(
            VERDICT_INSTRUMENT, index,
            arena_printf(arena, "%s: our own keeper of it was killed from outside", s->name));
        break;
    case SERVICE_UNSTARTABLE:
        j = verdict_of(VERDICT_ENV_FAULT, index,
                       arena_printf(arena, "%s: can't be started: %s", s->name, s->detail));
        j.rules_out = true;
        break;
    case SERVICE_PORT_TAKEN:
        j = verdict_of(
            VERDICT_ENV_FAULT, index,
            arena_printf(arena, "%s: every port tried was taken: %s", s->name, s->detail));
        break;
    case SERVICE_UNTRUSTED: /* whatever its settings are; nothing was sent to it */
        j = verdict_of(VERDICT_ENV_FAULT, index,
                       arena_printf(arena, "%s: no secure connection %s", s->name, s->detail));
        j.rules_out = true;
        break;
    case SERVICE_NOT_READY:
        j = judge_not_ready(s, index, arena);
        break;
    default: /* SERVICE_SILENT */
        if (!judge_memory(s, index, false, arena, &j))
            j = verdict_of(VERDICT_HUNG, index,
                           arena_printf(arena,
                                        "%s: ready, but its first request was never answered",
                                        s->name));
        break;
    }
    add_evidence(&j, s->name, "seen", s->detail);
    add_evidence(&j, s->name, "log", s->has_match ? s->match_line : s->last_line);
    return j;
}

static bool judge_placement(const struct judge_facts *f, const struct judge_service *s, int index,
                            struct arena *arena, struct judgement *ret)
{
    bool due = s->probed || f->measured; /* measured without a probe is unproven */
    if (!due || s->on != ON_GPU || s->proof.placement == PLACEMENT_GPU)
        return false;
    static const enum verdict verdicts[PLACEMENT_COUNT_] = {
        [PLACEMENT_UNPROVEN] = VERDICT_PLACEMENT_UNPROVEN,
        [PLACEMENT_CPU] = VERDICT_CPU_FALLBACK,
        [PLACEMENT_PARTIAL] = VERDICT_PARTIAL_OFFLOAD,
    };
    *ret = verdict_of(verdicts[s->proof.placement], index,
                      arena_printf(arena, "%s: asked for the GPU; %s", s->name,
                                   s->probed ? s->proof.evidence[0] : "it was never probed"));
    add_evidence(ret, s->name, "placement", s->proof.evidence[0]);
    add_evidence(ret, s->name, "placement", s->proof.evidence[1]);
    add_evidence(ret, s->name, "environment", s->overridden);
    return true;
}

static bool judge_surroundings(const struct judge_facts *f, struct arena *arena,
                               struct judgement *ret)
{
    if (f->worker_failure) {
        *ret = verdict_of(VERDICT_INSTRUMENT, -1,
                          arena_printf(arena, "the load worker failed: %s", f->worker_failure));
        return true;
    }
    if (f->readings_failure) { /* contention is not known then */
        *ret = verdict_of(VERDICT_INSTRUMENT, -1, f->readings_failure);
        return true;
    }
    if (f->device_contention) {
        *ret = verdict_of(VERDICT_CONTENDED, -1, f->device_contention);
        add_evidence(ret, NULL, "device", f->device_contention);
        return true;
    }
    if (f->neighbour_left) {
        *ret = verdict_of(
            VERDICT_CONTENDED, -1,
            arena_printf(arena, "%s ended during the trial, its front lives", f->neighbour_left));
        add_evidence(ret, NULL, "neighbour", f->neighbour_left);
        return true;
    }
    if (f->no_room) { /* no disturbance: what they have held is held against the next try as well */
        *ret = verdict_of(VERDICT_NO_ROOM, -1, f->no_room);
        add_evidence(ret, NULL, "neighbour", f->no_room);
        return true;
    }
    if (f->contention_ratio > f->contention_bound) {
        *ret =
            verdict_of(VERDICT_CONTENDED, -1,
                       arena_printf(arena,
                                    "%.0f %% of the core time went elsewhere, %.0f %% "
                                    "allowed%s%s",
                                    100 * f->contention_ratio, 100 * f->contention_bound,
                                    f->contenders ? ": " : "", f->contenders ? f->contenders : ""));
        add_evidence(ret, NULL, "steal",
                     isnan(f->steal_ratio)
                         ? "hypervisor steal unknown"
                         : arena_printf(arena, "hypervisor steal %.1f %%", 100 * f->steal_ratio));
        add_evidence(ret, NULL, "processes", f->contenders);
        return true;
    }
    if (f->lateness_p99_s > f->lateness_bound_s) {
        *ret = verdict_of(VERDICT_INSTRUMENT, -1,
                          arena_printf(arena, "our own sends were late: p99 %.2f ms, bound %.2f ms",
                                       1e3 * f->lateness_p99_s, 1e3 * f->lateness_bound_s));
        return true;
    }
    if (f->stall_p99_s > f->lateness_bound_s) {
        *ret = verdict_of(VERDICT_INSTRUMENT, -1,
                          arena_printf(arena,
                                       "our own load worker was not running when it should have "
                                       "been: its loop was late by p99 %.2f ms, bound %.2f ms",
                                       1e3 * f->stall_p99_s, 1e3 * f->lateness_bound_s));
        return true;
    }
    return false;
}

static const char *error_list(const struct judge_service *s, struct arena *arena)
{
    AUTO(buf_done) struct buf text = BUF_INIT(512);
    for (int e = LOAD_OK + 1; e < LOAD_ERROR_COUNT_; e++)
        if (s->errors[e])
            buf_addf(&text, "%s%" PRIu64 " %s", text.len ? ", " : "", s->errors[e],
                     load_error_name((enum load_error)e));
    if (s->first_http_status && s->first_http_status != 200)
        buf_addf(&text, " (status %d)", s->first_http_status);
    return arena_strdup(arena, buf_text(&text));
}

static bool judge_silence(const struct judge_facts *f, const struct judge_service *s, int index,
                          struct arena *arena, struct judgement *ret)
{
    uint64_t waiting = s->errors[LOAD_TIMEOUT] + s->errors[LOAD_UNFINISHED];
    bool never = s->ok == 0 && waiting == s->requests;
    bool since = s->ok > 0 && waiting > 0 && s->silent_s > f->window_s / 2;
    if (s->requests == 0 || !(never || since))
        return false;
    if (!judge_memory(s, index, false, arena, ret))
        *ret = verdict_of(VERDICT_HUNG, index,
                          never ? arena_printf(arena, "%s: %sanswered none of %" PRIu64 " requests",
                                               s->name, s->by_request ? "" : "alive, ", s->requests)
                                : arena_printf(arena, "%s: %ssilent for the last %.0f s", s->name,
                                               s->by_request ? "" : "alive, but ", s->silent_s));
    add_evidence(ret, s->name, "requests", error_list(s, arena));
    add_evidence(ret, s->name, "log", s->has_match ? s->match_line : s->last_line);
    return true;
}

static bool judge_answers(const struct judge_service *s, int index, struct arena *arena,
                          struct judgement *ret)
{
    uint64_t unreadable = s->errors[LOAD_MALFORMED] + s->errors[LOAD_EMPTY];
    uint64_t shapeless = s->unchecked ? 0 : s->degenerate + s->repeating;
    double limit = isnan(s->max_wer) ? JUDGE_WER_LIMIT : s->max_wer;
    const char *summary = NULL;
    if (unreadable * 20 > s->requests)
        summary = arena_printf(arena,
                               "%s: %" PRIu64 " of %" PRIu64
                               " answers were empty or not what the protocol says",
                               s->name, unreadable, s->requests);
    else if (shapeless * 20 > s->ok)
        summary =
            arena_printf(arena, "%s: %" PRIu64 " of %" PRIu64 " answers only repeat themselves",
                         s->name, shapeless, s->ok);
    else if (!s->unchecked && s->wer_words >= 20 && s->wer > limit)
        summary = arena_printf(arena, "%s: word error rate %.0f %% over the limit of %.0f %%",
                               s->name, 100 * s->wer, 100 * limit);
    if (!summary)
        return false;
    *ret = verdict_of(VERDICT_BAD_ANSWERS, index, summary);
    const char *example = s->bad_example ? s->bad_example : s->first_error;
    add_evidence(ret, s->name, "answer",
                 example ? arena_strndup(arena, example, EXAMPLE_MAX) : NULL);
    return true;
}

/* Some requests that made the server load its model anew are dropped from the sample; where they
 * are many, what was measured is whoever throws the model out, and the window is repeated. */
static bool judge_reloads(const struct judge_service *s, int index, struct arena *arena,
                          struct judgement *ret)
{
    uint64_t reloads = s->errors[LOAD_RELOAD];
    if (reloads == 0 || (double)reloads <= JUDGE_ERROR_RATIO * (double)s->requests)
        return false;
    *ret = verdict_of(VERDICT_CONTENDED, index,
                      arena_printf(arena,
                                   "%s: loaded its model anew for %" PRIu64 " of %" PRIu64
                                   " requests, so something throws it out",
                                   s->name, reloads, s->requests));
    add_evidence(ret, s->name, "requests", error_list(s, arena));
    return true;
}

static bool judge_errors(const struct judge_facts *f, const struct judge_service *s, int index,
                         struct arena *arena, struct judgement *ret)
{
    uint64_t failed = s->requests - s->ok - s->errors[LOAD_RELOAD];
    bool required = !f->goal.met && f->goal.failed_on_errors && f->goal.failed_service == index;
    if (failed == 0 || !(required || (double)failed > JUDGE_ERROR_RATIO * (double)s->requests))
        return false;
    /* What is run for each request also starts with each: its first one is its start. */
    bool start = s->by_request && !f->measured;
    if (!judge_memory(s, index, start, arena, ret))
        *ret = verdict_of(VERDICT_ERRORS, index,
                          arena_printf(arena, "%s: %" PRIu64 " of %" PRIu64 " requests failed: %s",
                                       s->name, failed, s->requests, error_list(s, arena)));
    add_evidence(ret, s->name, "requests", error_list(s, arena));
    add_evidence(ret, s->name, "answer",
                 s->first_error ? arena_strndup(arena, s->first_error, EXAMPLE_MAX) : NULL);
    add_evidence(ret, s->name, "log", s->has_match ? s->match_line : NULL);
    return true;
}

/* The device itself: lost, or held by strangers before anything was started. */
static bool judge_device(const struct judge_facts *f, struct judgement *ret)
{
    if (f->device_fault) {
        *ret = verdict_of(VERDICT_ENV_FAULT, -1, f->device_fault);
        add_evidence(ret, NULL, "device", f->device_fault);
        return true;
    }
    if (f->dirty) {
        *ret = verdict_of(VERDICT_DEVICE_DIRTY, -1, f->dirty);
        add_evidence(ret, NULL, "device", f->dirty);
        return true;
    }
    return false;
}

/* Out of memory while others took some: theirs may be what was lacking. */
static struct judgement blame_others(const struct judge_facts *f, struct judgement j,
                                     struct arena *arena)
{
    if ((j.verdict != VERDICT_OOM_START && j.verdict != VERDICT_OOM_LOAD) || !f->others_grew)
        return j;
    add_evidence(&j, NULL, "device", f->others_grew);
    j.summary = arena_printf(arena, "%s; %s", f->others_grew, j.summary);
    j.verdict = VERDICT_CONTENDED;
    j.bound = BOUND_NONE;
    j.service = -1;
    return j;
}

static struct judgement judge_all(const struct judge_facts *f, struct arena *arena)
{
    struct judgement j;
    int n = (int)f->service_count;
    if (judge_device(f, &j))
        return j;
    for (int i = 0; i < n; i++)
        if (f->services[i].end != SERVICE_UP)
            return blame_others(f, judge_not_up(&f->services[i], i, arena), arena);
    if (!f->measured && f->worker_failure && judge_surroundings(f, arena, &j))
        return j; /* nobody was asked, so nothing is known of an answer or a place */
    /* A probe that got a wrong answer ends a trial before any window. It proves no placement: who
     * found no memory for the first request computed nowhere. */
    for (int i = 0; i < n && !f->measured; i++)
        if (judge_silence(f, &f->services[i], i, arena, &j) ||
            judge_answers(&f->services[i], i, arena, &j) ||
            judge_errors(f, &f->services[i], i, arena, &j))
            return blame_others(f, j, arena);
    for (int i = 0; i < n; i++)
        if (judge_placement(f, &f->services[i], i, arena, &j))
            return j;
    if (f->harmed) {
        j = verdict_of(VERDICT_NEIGHBOUR_HARMED, -1,
                       arena_printf(arena, "%s ended during the trial", f->harmed));
        add_evidence(&j, NULL, "neighbour", f->harmed);
        return j;
    }
    if (judge_surroundings(f, arena, &j))
        return j;
    for (int i = 0; i < n; i++)
        if (judge_reloads(&f->services[i], i, arena, &j))
            return j;
    for (int i = 0; i < n; i++)
        if (judge_silence(f, &f->services[i], i, arena, &j))
            return blame_others(f, j, arena);
    for (int i = 0; i < n; i++)
        if (judge_answers(&f->services[i], i, arena, &j))
            return j;
    for (int i = 0; i < n; i++)
        if (judge_errors(f, &f->services[i], i, arena, &j))
            return blame_others(f, j, arena);
    if (!f->measured)
        return verdict_of(VERDICT_INSTRUMENT, -1,
                          "the window was not measured, and nothing says why");
    if (!f->goal.met) {
        j = verdict_of(VERDICT_SLOW, f->goal.failed_service, f->goal.failed);
        j.fitness = 0;
        return j;
    }
    j = verdict_of(VERDICT_OK, -1, "");
    j.fitness = f->goal.fitness;
    return j;
}

struct judgement judge_trial(const struct judge_facts *f, struct arena *arena)
{
    struct judgement j = judge_all(f, arena);
    /* A window that can't be shown to have been undisturbed does not pass in silence. */
    if (f->measured && isnan(f->contention_ratio))
        add_evidence(&j, NULL, "contention", "contention unknown: a reading was missing");
    if (f->measured)
        add_evidence(&j, NULL, "device", f->others_unknown);
    for (size_t i = 0; i < f->service_count; i++)
        add_evidence(&j, f->services[i].name, "start race", f->services[i].start_race);
    if (f->measured)
        add_evidence(&j, NULL, "early", f->left_early);
    for (size_t i = 0; f->measured && i < f->service_count; i++) {
        add_evidence(&j, f->services[i].name, "warm-up", f->services[i].warmup);
        add_evidence(&j, f->services[i].name, "not steady", f->services[i].unsteady);
        if (f->services[i].gaps_left_out)
            add_evidence(&j, f->services[i].name, "gaps",
                         arena_printf(arena,
                                      "%" PRIu64 " gaps between text events are in no quantile of "
                                      "itl: an answer's first %d are kept",
                                      f->services[i].gaps_left_out, LOAD_GAPS_MAX));
    }
    if (f->measured && isnan(f->lateness_p99_s))
        add_evidence(&j, NULL, "lateness",
                     "our own lateness is unknown: no send was on our own time");
    return j;
}
