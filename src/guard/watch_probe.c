/* A probe's end, put down where it belongs: in the window, as the proof of where it was computed,
 * and as an event where it says more than its own time (guard/probe_past.h). */
#include "guard/watch_inside.h"

#include "base/clock.h"
#include "base/text.h"

#include <math.h>
#include <string.h>

/* Of which of its front's servers is what is watched? -1: of none, so HAProxy's log says nothing of
 * it. */
static int server_of(const struct guard_watch *watch, const struct guard_subject *subject)
{
    if (subject->front < 0 || subject->watch->port <= 0)
        return -1;
    const struct spec_front *front = &watch->study->guard->fronts[subject->front];
    for (size_t t = 0; t < front->tier_count; t++)
        if (front->tiers[t].port == subject->watch->port)
            return (int)t;
    for (size_t a = 0; a < front->split.count; a++)
        if (front->split.arms[a].port == subject->watch->port)
            return (int)a;
    return -1;
}

/* By HAProxy's log. */
static int64_t answered_ns(const struct guard_watch *watch, const struct guard_subject *subject)
{
    const int server = server_of(watch, subject);
    return server >= 0 && subject->request_window
               ? guard_requests_well_ns(subject->request_window, (size_t)server)
               : 0;
}

static bool others_are_seen(const struct guard_watch *watch, size_t i)
{
    const struct guard_subject *subject = &watch->subjects[i];
    return (watch->engines && guard_engines_asks(watch->engines, i)) ||
           (server_of(watch, subject) >= 0 && watch->traffic &&
            guard_traffic_is_read(watch->traffic));
}

static void tell(struct guard_watch *watch, size_t i, enum guard_probe_turn turn)
{
    struct guard_subject *subject = &watch->subjects[i];
    const double within_s = (double)subject->watch->probe_within_ns / NS_PER_S;
    switch (turn) {
    case PROBE_HANGS:
        subject->hung_ns = clock_now_ns();
        guard_events_add(&watch->events, EVENT_HANGS, (int)i,
                         others_are_seen(watch, i)
                             ? "no answer to one request within %.1f s, though its port accepts; "
                               "none to others was seen meanwhile"
                             : "does not answer its probe within %.1f s, though its port accepts: "
                               "full or hanging, its queue is not known",
                         within_s);
        break;
    case PROBE_SLOW:
        guard_events_add(&watch->events, EVENT_OVERLOADED, (int)i,
                         "no answer to one request within %.1f s, others were answered meanwhile: "
                         "more comes than it can answer",
                         within_s);
        break;
    case PROBE_FAILS:
        guard_events_add(&watch->events, EVENT_FAILS, (int)i,
                         "%d probes in a row were answered with an error, the last with %.150s",
                         GUARD_FAILS_IN_A_ROW, subject->probe_words);
        break;
    case PROBE_ANSWERED:
        guard_events_add(&watch->events, EVENT_ANSWERS, (int)i, "a probe was answered again");
        break;
    case PROBE_SAYS_NOTHING:
        break;
    }
}

static void note_words(struct guard_subject *subject, const struct guard_probe *probe)
{
    AUTO(buf_done) struct buf words = BUF_INIT(800);
    text_add_escaped(&words, TEXT_TERMINAL, probe->words, strlen(probe->words), 120);
    snprintf(subject->probe_words, sizeof subject->probe_words, "%s%s%.120s",
             load_error_name(probe->error), words.len ? ": " : "", buf_text(&words));
}

/* One that was only slow counts as a client who left: at least that long, and no failure. So does
 * one whose error is no failure of the service (our request is wrong for what runs, or it still
 * loads), without a time: nothing is known by it, which is not that all is well. */
static struct guard_request request_of(const struct guard_probe *probe, bool slow, bool failure,
                                       int64_t now_ns)
{
    const bool well = probe->error == LOAD_OK;
    return (struct guard_request){.counted = probe->error != LOAD_RELOAD,
                                  .failed = failure && !slow,
                                  .left = slow || (!well && !failure),
                                  .kind = probe->error,
                                  .latency_s = slow   ? (double)(now_ns - probe->sent_ns) / NS_PER_S
                                               : well ? probe->latency_s
                                                      : NAN,
                                  .first_s = well ? probe->first_s : NAN,
                                  .queue_s = NAN};
}

void guard_watch_probe(void *context, size_t i, const struct guard_probe *probe)
{
    struct guard_watch *watch = context;
    struct guard_subject *subject = &watch->subjects[i];
    const struct guard_probe_scene scene = {.now_ns = clock_now_ns(),
                                            .within_ns = subject->watch->probe_within_ns,
                                            .process = subject->life.main.pid,
                                            .up_ns = subject->up_ns,
                                            .age_ns = proc_age_ns(&subject->life.main),
                                            .answered_ns = answered_ns(watch, subject),
                                            .moved_ns = subject->engine.moved_ns};
    subject->probes++;
    subject->probes_ours += probe->ours;
    subject->probe_ours = probe->ours;
    subject->probe_words[0] = '\0';
    if (probe->ours) {
        snprintf(subject->probe_words, sizeof subject->probe_words, "our own probe failed: %.150s",
                 probe->words);
        return;
    }
    const bool failure = guard_probe_is_failure(&subject->probe_past, probe, &scene);
    const enum guard_probe_turn turn = guard_probe_step(&subject->probe_past, probe, &scene);
    const struct guard_request request =
        request_of(probe, turn == PROBE_SLOW, failure, scene.now_ns);
    guard_requests_add(subject->probe_window, scene.now_ns, &request);
    if (probe->error == LOAD_OK) {
        subject->proof = probe->proof;
        subject->has_proof = true;
        if (probe->proof.placement != PLACEMENT_GPU && !probe->listed)
            subject->probe_elsewhere_ns = probe->sent_ns;
        subject->hung_ns = 0;
    } else {
        note_words(subject, probe);
    }
    if (subject->life.presence == PRESENCE_UP)
        tell(watch, i, turn);
}
