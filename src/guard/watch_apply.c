/* proxy_apply() in a child.
 *
 * It waits: up to 20 s for who changes HAProxy's settings just now, 20 s for its check, half a
 * minute and more for a unit that starts. The daemon's loop may stand still for none of it, or the
 * watchdog ends guard in the middle. The child has a `struct proxy` of its own; all that it leaves
 * is on disk, where the parent's proxy_open() finds it.
 *
 * Rejected: a step function out of proxy_apply(): each of its waits would become a state, for the
 * one caller that can't wait. Invariant: a child that does not end is killed, and what it had begun
 * is taken up by the next one (proxy/state.c keeps what is due). */
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
