/* proxy_apply() in a child: at the beginning, and when an HAProxy that guard runs itself has died.
 *
 * It waits: up to 20 s for who changes HAProxy's settings just now, 20 s for its check, half a
 * minute and more for a unit that starts. The daemon's loop may stand still for none of it, or the
 * watchdog ends guard in the middle. The child has a `struct proxy` of its own; all that it leaves
 * is on disk, where the parent's proxy_open() finds it.
 *
 * Rejected: a step function out of proxy_apply(): each of its waits would become a state, for the
 * one caller that can't wait. Invariant: a child that does not end is killed, and what it had begun
 * is taken up by the next one (proxy/state.c keeps what is due).
 *
 * Under systemd, or run by others, HAProxy has somebody who starts it again, and guard keeps its
 * hands off; so does it when somebody has said `spica proxy STUDY stop`. That is no action of
 * `act:`: whoever lets guard run HAProxy has asked for it. */
#include "guard/watch_apply.h"

#include "base/clock.h"
#include "guard/act_child.h"
#include "proxy/proxy.h"

#include <stdio.h>
#include <stdlib.h>

static const int64_t WITHIN_NS = 180 * NS_PER_S;

struct guard_apply {
    const struct spec_study *study; /* borrowed */
    struct guard_child *child;      /* owned */
    enum guard_applied state;
    char why[240];
};

static void work(void *context, struct guard_said *said)
{
    const struct guard_apply *apply = context;
    AUTO(proxy_close) struct proxy *proxy = NULL;
    struct err err = ERR_INIT;
    bool reloaded = false;
    said->done = proxy_open(apply->study, &proxy, &err) && proxy_apply(proxy, &reloaded, &err);
    snprintf(said->text, sizeof said->text, "%.230s", err.text);
}

static void on_ended(void *owner, const struct guard_said *said)
{
    struct guard_apply *apply = owner;
    apply->state = said && said->done ? APPLY_DONE : APPLY_FAILED;
    snprintf(apply->why, sizeof apply->why, "%s",
             said ? said->text : "it did not end, and was killed");
}

bool guard_apply_start(const struct spec_study *study, struct sd_event *event,
                       struct guard_apply **ret_apply, struct err *err)
{
    struct guard_apply *made = calloc(1, sizeof *made);
    if (!made)
        abort();
    AUTO(guard_apply_free) struct guard_apply *apply = made;
    apply->study = study;
    const struct guard_child_job job = {
        .work = work, .context = apply, .within_ns = WITHIN_NS, .ended = on_ended, .owner = apply};
    if (!guard_child_start(event, &job, &apply->child, err))
        return err_wrap(err, "applying HAProxy's configuration");
    *ret_apply = TAKE(apply);
    return true;
}

struct guard_apply *guard_apply_free(struct guard_apply *apply)
{
    if (apply) {
        guard_child_free(apply->child);
        free(apply);
    }
    return NULL;
}

enum guard_applied guard_apply_look(const struct guard_apply *apply, const char **ret_why)
{
    *ret_why = apply->why;
    return apply->state;
}

/* ---- kept running ---- */

static const int64_t REVIVE_AFTER_NS = 5 * NS_PER_S, REVIVE_MOST_NS = 300 * NS_PER_S;

static int64_t back_off(unsigned tries)
{
    int64_t wait_ns = REVIVE_AFTER_NS;
    for (unsigned i = 0; i < tries && wait_ns < REVIVE_MOST_NS; i++)
        wait_ns *= 2;
    return wait_ns < REVIVE_MOST_NS ? wait_ns : REVIVE_MOST_NS;
}

/* Its success is told by who sees it answer. */
static void take_outcome(struct guard_revive *revive, int64_t now_ns, struct guard_events *events)
{
    const char *why = "";
    enum guard_applied state = guard_apply_look(revive->apply, &why);
    if (state == APPLY_UNDER_WAY)
        return;
    const int64_t wait_ns = back_off(revive->tries);
    if (state == APPLY_FAILED)
        guard_events_add(events, EVENT_ACTED, -1,
                         "HAProxy could not be started again: %.140s; tried again in %lld s", why,
                         (long long)(wait_ns / NS_PER_S));
    revive->apply = guard_apply_free(revive->apply);
    revive->next_ns = now_ns + wait_ns;
}

void guard_revive_step(struct guard_revive *revive, const struct spec_study *study,
                       struct sd_event *event, bool up, int64_t now_ns, struct guard_events *events)
{
    struct err err = ERR_INIT;
    if (revive->apply)
        take_outcome(revive, now_ns, events);
    if (up) {
        revive->down_ns = 0;
        revive->tries = 0;
        return;
    }
    if (revive->down_ns == 0) {
        revive->down_ns = now_ns;
        revive->next_ns = now_ns + REVIVE_AFTER_NS;
    }
    if (revive->apply || now_ns < revive->next_ns)
        return;
    revive->tries++;
    revive->next_ns = now_ns + back_off(revive->tries);
    if (guard_apply_start(study, event, &revive->apply, &err))
        guard_events_add(events, EVENT_ACTED, -1,
                         "HAProxy, which guard runs, has not answered for %lld s: started again "
                         "(attempt %u)",
                         (long long)((now_ns - revive->down_ns) / NS_PER_S), revive->tries);
    else
        guard_events_add(events, EVENT_ACTED, -1, "HAProxy could not be started again: %.180s",
                         err.text);
}

void guard_revive_done(struct guard_revive *revive)
{
    revive->apply = guard_apply_free(revive->apply);
}
