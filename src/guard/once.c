/* One look: the same watching as the daemon's, for some seconds, and a table.
 *
 * It ends as soon as everybody who can be asked has answered or failed to and is known to be on its
 * device or not, at the latest a little after the last probe's deadline. A number that stands on
 * one probe is shown as what it is: its count stands beside it, and a percentile that so few values
 * can't carry is "-".
 *
 * What is wrong is said below the table in words. What can't be seen from here (a journal that may
 * not be read) is no fault of a service; it is said too, and does not make it wrong. But no data is
 * never fine: what is not known is named where it would else say that nothing is wrong. Probes that
 * were asked for and can't be sent are wrong: the study's file promises what is not done.
 *
 * The file's rules are judged by the judge itself, tick by tick (once_rules.c). */
#include "guard/once_inside.h"

#include "base/cancel.h"
#include "base/clock.h"
#include "base/text.h"
#include "guard/record.h"

#include <errno.h>
#include <math.h>
#include <string.h>

static const int64_t LEAST_NS = 3 * NS_PER_S, STEP_NS = NS_PER_S / 4, SLACK_NS = 5 * NS_PER_S;
enum { WIDTH = 80 };

/* ---- looking ---- */

void guard_once_say(struct once_said *said, const char *format, ...)
{
    va_list args;
    char text[1024];
    AUTO(buf_done) struct buf safe = BUF_INIT(4096);
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    text_add_escaped(&safe, TEXT_TERMINAL, text, strlen(text), sizeof text);
    for (size_t k = 0; k < said->count; k++)
        if (strcmp(said->items[k], buf_text(&safe)) == 0)
            return;
    if (said->count < ONCE_SAID_MAX)
        said->items[said->count++] = buf_take(&safe);
}

static void free_said(struct once_said *said)
{
    for (size_t k = 0; k < said->count; k++)
        free(said->items[k]);
    said->count = 0;
}

/* Those that the state below does not show. */
static bool is_wrong(enum guard_event_kind kind)
{
    return kind == EVENT_OOM_DEVICE || kind == EVENT_OOM_KERNEL || kind == EVENT_XID ||
           kind == EVENT_RESTARTED || kind == EVENT_HANGS;
}

static void tell_event(struct once *once, const struct guard_event *event)
{
    bool known = event->service >= 0;
    if (known && event->kind == EVENT_UNSERVED)
        snprintf(once->unserved[event->service], sizeof once->unserved[0], "%s", event->text);
    if (known && event->kind == EVENT_SERVED)
        once->unserved[event->service][0] = '\0';
    if (is_wrong(event->kind) && !guard_memory_xid_is_nobodys(event->text))
        guard_once_say(&once->wrong, "%s%s%s",
                       known ? once->study->services[event->service].name : "", known ? ": " : "",
                       event->text);
}

static int64_t longest_ns(const struct spec_study *study)
{
    int64_t longest = 0;
    for (size_t i = 0; i < study->service_count; i++)
        if (study->guard->watches[i].probe_within_ns > longest &&
            study->guard->watches[i].probe_rps > 0)
            longest = study->guard->watches[i].probe_within_ns;
    return longest;
}

static bool look(struct once *once, struct err *err)
{
    const int64_t began_ns = clock_now_ns();
    const int64_t end_ns = began_ns + LEAST_NS + longest_ns(once->study) + SLACK_NS;
    int64_t due_ns = began_ns, now_ns = began_ns;
    while (now_ns < end_ns) {
        if (now_ns >= due_ns) {
            guard_watch_tick(once->lookout.watch, now_ns, clock_now_wall_us(), &once->tick);
            due_ns = now_ns + STEP_NS;
            for (size_t k = 0; k < once->tick.event_count; k++)
                tell_event(once, &once->tick.events[k]);
            guard_once_judge_rules(once);
            if (now_ns - began_ns >= LEAST_NS && guard_watch_has_looked(once->lookout.watch))
                break;
        }
        int r = sd_event_run(once->lookout.event, (uint64_t)((due_ns - now_ns) / NS_PER_US) + 1000);
        if (r < 0 && r != -EINTR)
            return err_set(err, ERR_INTERNAL, "the event loop: %s", strerror(-r));
        if (cancel_level() != CANCEL_NONE)
            return err_set(err, ERR_STOPPED, "stopped while looking");
        now_ns = clock_now_ns();
    }
    once->looked_s = (double)(now_ns - began_ns) / NS_PER_S;
    return true;
}

/* ---- what is wrong ---- */

static void judge_service(struct once *once, size_t i)
{
    const struct guard_subject *subject = guard_watch_subject(once->lookout.watch, i);
    const char *name = subject->spec->name;
    if (subject->watch->kind == WATCH_NOTHING)
        return;
    if (subject->life.aside)
        guard_once_say(&once->unknown, "whether %s would come up (%s)", name, subject->life.why);
    else if (subject->life.presence == PRESENCE_UNKNOWN)
        guard_once_say(&once->wrong, "%s: it can't be told whether it runs: %s", name,
                       subject->life.why);
    else if (subject->life.presence != PRESENCE_UP)
        guard_once_say(&once->wrong, "%s is %s: %s", name,
                       subject->life.presence == PRESENCE_COMING ? "not up yet" : "down",
                       subject->life.why);
    if (subject->life.presence != PRESENCE_UP)
        return;
    if (subject->place.word == PLACEMENT_CPU || subject->place.word == PLACEMENT_PARTIAL)
        guard_once_say(&once->wrong, "%s computes %s: %s", name,
                       subject->place.word == PLACEMENT_CPU ? "on the CPU" : "partly on the CPU",
                       subject->place.evidence);
    const char *no_probe = guard_watch_no_probe(once->lookout.watch, i);
    if (no_probe && no_probe[0])
        guard_once_say(&once->wrong, "%s: no probe could be sent: %s", name, no_probe);
    if (subject->probe_words[0] && !subject->probe_ours && !subject->hung_ns)
        guard_once_say(&once->wrong, "%s: a request was not answered: %s", name,
                       subject->probe_words);
}

static void judge(struct once *once)
{
    const struct proxy_view *proxy = guard_watch_proxy_view(once->lookout.watch);
    for (size_t i = 0; i < once->study->service_count; i++)
        judge_service(once, i);
    for (size_t d = 0; d < once->study->device_count; d++) {
        const struct guard_device_view *view =
            guard_memory_device(guard_watch_memory(once->lookout.watch), d);
        if (view->fault == FAULT_LOST || view->fault == FAULT_MISMATCH)
            guard_once_say(&once->wrong, "%s can't be used: %s", once->study->devices[d],
                           view->fault_text);
        if (view->throttled > 0)
            guard_once_say(&once->wrong, "%s is slowed down: %s", once->study->devices[d],
                           view->throttle_words);
    }
    if (proxy && !proxy->up && guard_watch_proxy(once->lookout.watch))
        guard_once_say(&once->wrong, "HAProxy does not answer on its socket");
    for (size_t i = 0; i < once->study->service_count; i++)
        if (once->unserved[i][0])
            guard_once_say(&once->wrong, "%s: %s", once->study->services[i].name,
                           once->unserved[i]);
    guard_once_tell_fronts(once);
    guard_once_tell_disk(once, guard_record_free_bytes(once->folder));
    guard_once_tell_rules(once);
}

/* ---- what is not known ---- */

static void doubt_service(struct once *once, size_t i)
{
    const struct guard_subject *subject = guard_watch_subject(once->lookout.watch, i);
    const char *name = subject->spec->name;
    bool timed = false;
    if (subject->watch->kind == WATCH_NOTHING) {
        guard_once_say(&once->unknown, "%s, which is not watched", name);
        return;
    }
    if (subject->life.presence != PRESENCE_UP)
        return; /* is wrong */
    for (int s = SOURCE_REQUESTS; s < SOURCE_COUNT_; s++) {
        const struct guard_value *value =
            guard_once_value(once, i, GUARD_LATENCY, (enum guard_source)s, 0.5);
        timed |= value && !isnan(value->number);
    }
    if (!timed)
        guard_once_say(&once->unknown, "how fast %s answers (%s)", name,
                       subject->watch->probe_rps <= 0 ? "it is not probed"
                       : !guard_watch_no_probe(once->lookout.watch, i)
                           ? "it has no load to ask with"
                       : subject->probes > subject->probes_ours ? "too few answers"
                                                                : "no probe was sent");
    if (subject->spec->on == ON_GPU && subject->place.word == PLACEMENT_UNPROVEN)
        guard_once_say(&once->unknown, "whether %s computes on its device", name);
}

static void doubt(struct once *once)
{
    const struct guard_watch *watch = once->lookout.watch;
    for (size_t i = 0; i < once->study->service_count; i++)
        doubt_service(once, i);
    for (size_t d = 0; d < once->study->device_count; d++) {
        const struct guard_device_view *view = guard_memory_device(guard_watch_memory(watch), d);
        if (isnan(view->free_bytes) && view->fault != FAULT_LOST && view->fault != FAULT_MISMATCH)
            guard_once_say(&once->unknown, "the memory of %s", once->study->devices[d]);
    }
    if (once->study->guard->front_count > 0 && !guard_watch_proxy(watch))
        guard_once_say(&once->unknown, "whether HAProxy is up");
    if (guard_watch_missing(watch)[0])
        guard_once_say(&once->unknown, "what can't be seen from here");
}

bool guard_once(const struct guard_options *options, FILE *out, bool *ret_wrong, struct err *err)
{
    struct once once = {.study = options->study, .folder = options->folder};
    AUTO(buf_done) struct buf text = BUF_INIT(ONCE_TEXT_MAX);
    bool ok = guard_lookout_open(options, GUARD_LOOKOUT_ONCE, NULL, NULL, &once.lookout, err);
    if (ok) {
        once.judge = guard_judge_new(once.study);
        guard_watch_set_disk(once.lookout.watch, guard_record_free_bytes(options->folder));
        ok = look(&once, err);
        if (ok) {
            judge(&once);
            doubt(&once);
            if (options->json)
                guard_once_add_json(&text, &once);
            else
                guard_once_add_table(&text, &once, options->width > 40 ? options->width : WIDTH);
            fputs(buf_text(&text), out);
            *ret_wrong = once.wrong.count > 0;
        }
        guard_lookout_close(&once.lookout);
    }
    guard_judge_free(once.judge);
    free_said(&once.wrong);
    free_said(&once.unknown);
    return ok;
}
