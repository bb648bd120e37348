/* The part of a verification that sends requests: one to each service, with proof of where it was
 * computed, then a window on all of them. trial/live.h measures; here it becomes checks.
 *
 * What would be a verdict of a trial is a failed check. Only our own instrument's is not: a window
 * in which we ourselves were late is repeated, and when the last one was late as well, nothing is
 * known, which is not passed. */
#include "promote/verifying.h"

#include "base/cancel.h"
#include "base/clock.h"
#include "base/text.h"
#include "study/study.h"

#include <inttypes.h>
#include <string.h>

enum { WINDOWS_MAX = 3 };

static void say_timed_out(struct verifying *v, const char *what)
{
    v->timed_out = true;
    snprintf(v->down, sizeof v->down, "%s within the %.0f s of production.verify (within)", what,
             (double)v->study->promotion.within_ns / NS_PER_S);
}

/* Asked while services are asked: what is not seen by the deadline is not seen. */
static bool may_go_on(void *context, size_t *ret_service)
{
    struct verifying *v = context;
    if (clock_now_ns() < v->deadline_ns)
        return verifying_fine(v, ret_service);
    say_timed_out(v, "it was not over");
    *ret_service = 0;
    return false;
}

bool verifying_open_live(struct verifying *v, struct err *err)
{
    const struct spec_study *study = v->study;
    struct live_options options = {
        .study = study,
        .candidate = &v->candidate,
        .devices = v->devices,
        .rate_rps = study->promotion.probe_rate_rps > 0 ? study->promotion.probe_rate_rps : 1,
        .warmup_ns = study->measure.warmup_ns,
        .window_ns = study->promotion.window_ns > 0 ? study->promotion.window_ns : 30 * NS_PER_S,
        .fine = may_go_on,
        .context = v,
    };
    bool any = false;
    for (size_t k = 0; k < v->subject_count; k++)
        any = any || v->subjects[k].asked;
    if (!any)
        return true;
    if (!study_load_corpora(study, v->arena, &v->corpora, err))
        return false;
    for (size_t d = 0; d < study->device_count; d++)
        if (!device_open(study->devices[d], "/proc", &v->devices[d], err))
            return err_wrap(err, "verifying");
    options.corpora = v->corpora;
    for (size_t k = 0; k < v->subject_count; k++) {
        struct verifying_subject *s = &v->subjects[k];
        if (s->asked)
            options.services[s->service] = (struct live_service){
                .here = true,
                .port = s->alive.port,
                .root = promote_alive_anchor(&s->alive) ? s->alive.anchor : 0,
            };
    }
    v->live = live_new(&options, v->arena);
    return true;
}

/* ---- one request, and where it was computed ---- */

/* In a trial's words where it has failed, so that reports and records are searched by one word. */
static const char *placement_word(enum placement placement, enum promote_answer answer)
{
    static const enum verdict verdicts[PLACEMENT_COUNT_] = {
        [PLACEMENT_UNPROVEN] = VERDICT_PLACEMENT_UNPROVEN,
        [PLACEMENT_CPU] = VERDICT_CPU_FALLBACK,
        [PLACEMENT_PARTIAL] = VERDICT_PARTIAL_OFFLOAD,
    };
    return answer == PROMOTE_FAILED ? verdict_facts(verdicts[placement])->name
                                    : device_placement_names[placement];
}

static void say_placement(struct verifying *v, const struct verifying_subject *s,
                          const struct live_probe *probe)
{
    const struct device_proof *proof = &probe->proof;
    const struct spec_service *spec = &v->study->services[s->service];
    const char *device =
        v->study->devices[spec_candidate_device(v->study, &v->candidate, (size_t)s->service)];
    bool known = s->alive.anchor > 0;
    bool well = spec->on == ON_GPU ? proof->placement == PLACEMENT_GPU
                                   : proof->placement != PLACEMENT_UNPROVEN;
    enum promote_answer answer = well                            ? PROMOTE_PASSED
                                 : spec->on == ON_GPU && v->load ? PROMOTE_FAILED
                                                                 : PROMOTE_UNKNOWN;
    verifying_add(
        v, CHECK_PLACEMENT, s->service, answer, MAY_BE_UNKNOWN, "%s: %s%s, asked for %s%s%s%s%s",
        s->name, known ? "" : "its process can't be told, so ",
        placement_word(proof->placement, answer), device, proof->evidence[0][0] ? ": " : "",
        proof->evidence[0], proof->evidence[1][0] ? "; " : "", proof->evidence[1]);
}

static void say_probe(struct verifying *v, const struct verifying_subject *s,
                      const struct live_probe *probe)
{
    AUTO(buf_done) struct buf words = BUF_INIT(512);
    if (probe->words)
        text_add_escaped(&words, TEXT_TERMINAL, probe->words, strlen(probe->words), 200);
    if (probe->answered) {
        verifying_add(v, CHECK_PROBE, s->service, PROMOTE_PASSED, MUST_BE_KNOWN,
                      "%s: one request answered in %.0f ms", s->name, 1e3 * probe->latency_s);
        return;
    }
    /* What ran before may know its model by another name: it answers, and that is all we know. */
    bool answers = !v->load && probe->error == LOAD_HTTP_STATUS && probe->http_status < 500;
    verifying_add(v, CHECK_PROBE, s->service, answers ? PROMOTE_UNKNOWN : PROMOTE_FAILED,
                  answers ? MAY_BE_UNKNOWN : MUST_BE_KNOWN,
                  "%s: one request was not answered%s%s%s%s", s->name, probe->error ? ": " : "",
                  probe->error ? load_error_name(probe->error) : "", words.len ? ": " : "",
                  buf_text(&words));
}

bool verifying_probe(struct verifying *v, struct verifying_subject *s, struct err *err)
{
    struct live_probe probe;
    if (!v->study->services[s->service].load.given) {
        verifying_add(v, CHECK_PROBE, s->service, PROMOTE_UNKNOWN, MAY_BE_UNKNOWN,
                      "%s: the study puts no load on it, so there is no request to send", s->name);
        return true;
    }
    if (!v->load && cancel_level() != CANCEL_NONE) {
        verifying_add(v, CHECK_PROBE, s->service, PROMOTE_UNKNOWN, MAY_BE_UNKNOWN,
                      "%s: not asked, since we are to stop", s->name);
        return true;
    }
    if (!live_probe(v->live, (size_t)s->service, &probe, err))
        return false;
    if (probe.ended) {
        verifying_note_down(v);
        return true;
    }
    say_probe(v, s, &probe);
    if (!v->failed)
        say_placement(v, s, &probe);
    return true;
}

/* ---- a window ---- */

static void say_missed(struct verifying *v, const struct live_requirement *r, double late_s)
{
    const int service = r->answer.service;
    if (r->answer.truth == EXPR_MAYBE)
        verifying_add(v, CHECK_LOAD, service, PROMOTE_UNKNOWN, MUST_BE_KNOWN,
                      "%s: it could not be measured", r->answer.text);
    else if (r->doubtful)
        verifying_add(v, CHECK_LOAD, service, PROMOTE_UNKNOWN, MUST_BE_KNOWN,
                      "%s, and our own worst delay was %.0f ms, in each of several windows",
                      r->answer.text, 1e3 * late_s);
    else
        verifying_add(v, CHECK_LOAD, service, PROMOTE_FAILED, MUST_BE_KNOWN, "%s", r->answer.text);
}

static void say_requirements(struct verifying *v, const struct live_load *load)
{
    for (size_t k = 0; k < load->requirement_count && !v->failed; k++) {
        const struct live_requirement *r = &load->requirements[k];
        int service = r->answer.service;
        if (!r->here)
            verifying_add(v, CHECK_LOAD, service, PROMOTE_UNKNOWN, MAY_BE_UNKNOWN,
                          "not looked at, it names a service that is not promoted: %s",
                          expr_text(v->study->requirements[k].expr));
        else if (r->answer.truth == EXPR_TRUE)
            verifying_add(v, CHECK_LOAD, service, PROMOTE_PASSED, MUST_BE_KNOWN, "%s",
                          r->answer.text);
        else if (!r->shown)
            verifying_add(v, CHECK_LOAD, service, PROMOTE_UNKNOWN, MAY_BE_UNKNOWN,
                          "a gentle load on a running service can't show it: %s",
                          expr_text(v->study->requirements[k].expr));
        else
            say_missed(v, r, load->late_s);
    }
}

static void say_load(struct verifying *v, const struct live_load *load)
{
    const struct judgement *j = &load->judgement;
    if (j->verdict != VERDICT_OK) {
        bool unknown = j->verdict == VERDICT_INSTRUMENT;
        verifying_add(v, CHECK_LOAD, j->service, unknown ? PROMOTE_UNKNOWN : PROMOTE_FAILED,
                      MUST_BE_KNOWN, "%s: %.400s", verdict_facts(j->verdict)->name, j->summary);
        return;
    }
    say_requirements(v, load);
    if (!v->failed)
        verifying_add(v, CHECK_LOAD, -1, PROMOTE_PASSED, MUST_BE_KNOWN,
                      "%" PRIu64 " requests within %.0f s, %" PRIu64 " failed", load->requests,
                      (double)v->study->promotion.window_ns / NS_PER_S, load->failed);
}

static bool loads_anything(const struct verifying *v)
{
    for (size_t k = 0; k < v->subject_count; k++)
        if (v->subjects[k].asked && v->study->services[v->subjects[k].service].load.given)
            return true;
    return false;
}

/* Nothing is known of the services when our own part failed, or when what they missed may be our
 * own lateness. */
static bool is_doubtful(const struct live_load *load)
{
    bool doubtful = load->judgement.verdict == VERDICT_INSTRUMENT;
    for (size_t k = 0; k < load->requirement_count; k++) {
        const struct live_requirement *r = &load->requirements[k];
        doubtful = doubtful || (r->here && r->shown && r->doubtful);
    }
    return doubtful;
}

/* Another window decides what this one can't tell. */
bool verifying_load(struct verifying *v, struct err *err)
{
    const int64_t span_ns = v->study->promotion.window_ns + v->study->measure.warmup_ns;
    struct live_load load;
    if (!loads_anything(v))
        return true;
    /* A window that can't end would only keep users on what is then undone. */
    if (clock_now_ns() > v->deadline_ns - span_ns) {
        say_timed_out(v, "there was no time left for the window");
        verifying_note_down(v);
        return true;
    }
    for (int window = 1;; window++) {
        if (!live_load(v->live, &load, err))
            return false;
        if (load.ended) {
            verifying_note_down(v);
            return true;
        }
        if (!is_doubtful(&load) || window == WINDOWS_MAX ||
            clock_now_ns() >= v->deadline_ns - span_ns)
            break;
    }
    say_load(v, &load);
    return true;
}
