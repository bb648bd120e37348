/* Changes of the machine, one after the other.
 *
 * Each is noted on disk before it is begun and again when it has ended, by the child that does it:
 * a disk that takes long holds up nobody else. What can't be noted is done all the same and said: a
 * full disk is no reason to leave a service down, and the limits in memory hold. What the child
 * refuses to begin is taken out again: a unit that somebody has stopped for an hour must not have
 * used up the restarts that it needs after. So does what is not begun for what an earlier guard did
 * in the hour, which the judge knows nothing of: it would ask, and count, until its own limit holds
 * back what is allowed again. Those that never can be done are left to that limit.
 *
 * While one waits for its turn its reason may pass away; it is then forgotten. What is refused is
 * told like what is done: an operator reads why nothing happened. */
#include "guard/act_inside.h"

#include "base/clock.h"

#include <string.h>

enum { RESTUDY_PER_HOUR = 1 };

static const struct spec_guard *guard_of(const struct guard_actor *actor)
{
    return actor->setup.study->guard;
}

static const char *service_name(const struct guard_actor *actor, int service)
{
    return service >= 0 ? actor->setup.study->services[service].name : "";
}

/* ---- why not ---- */

static const char *const no_unit[] = {
    [WATCH_NOTHING] = "the service is not watched",
    [WATCH_UNIT] = NULL,
    [WATCH_PID] = "it is watched by its pid: nobody knows how to start it again",
    [WATCH_CONTAINER] =
        "it is a container: give it a unit (podman generate systemd) and watch that",
    [WATCH_PORT] = "it is watched by its port: nobody knows how to start it again",
};

static bool is_broken(const char *fault)
{
    return fault && (strcmp(fault, "lost") == 0 || strcmp(fault, "mismatch") == 0);
}

/* Of its own device; of any where a knob says which. */
static bool driver_is_gone(const struct guard_actor *actor, const struct spec_service *service)
{
    if (service->on != ON_GPU)
        return false;
    for (size_t i = 0; i < SPEC_DEVICES_MAX; i++)
        if (is_broken(actor->faults[i]) && (service->device_knob >= 0 || service->device == i))
            return true;
    return false;
}

static const char driver_gone[] =
    "the device's driver is lost or mismatched: a service that is stopped now would not come back";

/* It stops and starts whatever was promoted: one service that would not come back is enough. */
static const char *rollback_refusal(const struct guard_actor *actor, int service)
{
    const struct spec_study *study = actor->setup.study;
    (void)service;
    for (size_t i = 0; i < study->service_count; i++)
        if (driver_is_gone(actor, &study->services[i]))
            return driver_gone;
    return NULL;
}

static const char *restart_refusal(const struct guard_actor *actor, int service)
{
    if (service < 0 || (size_t)service >= actor->setup.study->service_count)
        return "the rule concerns no single service";
    if (driver_is_gone(actor, &actor->setup.study->services[service]))
        return driver_gone;
    return no_unit[guard_of(actor)->watches[service].kind];
}

static const char *(*const refusals[ACTION_COUNT_])(const struct guard_actor *actor,
                                                    int service) = {
    [ACTION_RESTART] = restart_refusal,
    [ACTION_ROLLBACK] = rollback_refusal,
};

const char *act_change_refusal(const struct guard_actor *actor, const struct act_change *change)
{
    if (!guard_of(actor)->limits[change->action].allowed)
        return "not named under act:";
    return refusals[change->action] ? refusals[change->action](actor, change->service) : NULL;
}

static bool may(const struct guard_actor *actor, const struct act_change *change, char *why,
                size_t size)
{
    struct spec_guard_limit limit = guard_of(actor)->limits[change->action];
    const char *refusal = act_change_refusal(actor, change);
    if (refusal) {
        snprintf(why, size, "%s", refusal);
        return false;
    }
    if (change->action == ACTION_RESTUDY && limit.per_hour == 0)
        limit.per_hour = RESTUDY_PER_HOUR; /* the file has hours of the day instead */
    return change->resumed || guard_kept_may(&actor->kept, &limit, change->action,
                                             service_name(actor, change->service), clock_now_ns(),
                                             clock_now_wall_us(), why, size);
}

/* ---- in the child ---- */

static void restart(const struct guard_actor *actor, const struct act_change *change,
                    struct guard_said *said)
{
    const struct spec_watch *watch = &guard_of(actor)->watches[change->service];
    struct guard_restart_work work = {watch->unit, watch->user, actor->setup.folder};
    guard_work_restart(&work, said);
}

static void rollback(const struct guard_actor *actor, const struct act_change *change,
                     struct guard_said *said)
{
    struct guard_rollback_work work = {actor->setup.folder, change->rule, change->resumed};
    guard_work_rollback(&work, said);
}

static void queue_restudy(const struct guard_actor *actor, const struct act_change *change,
                          struct guard_said *said)
{
    struct guard_restudy_work work = {.folder = actor->setup.folder,
                                      .hours = guard_of(actor)->restudy,
                                      .restudy = {.asked_wall_us = clock_now_wall_us()}};
    snprintf(work.restudy.rule, sizeof work.restudy.rule, "%s", change->rule);
    snprintf(work.restudy.why, sizeof work.restudy.why, "%s", change->why);
    guard_work_queue_restudy(&work, said);
}

static void (*const works[ACTION_COUNT_])(const struct guard_actor *actor,
                                          const struct act_change *change,
                                          struct guard_said *said) = {
    [ACTION_RESTART] = restart,
    [ACTION_ROLLBACK] = rollback,
    [ACTION_RESTUDY] = queue_restudy,
};

/* What was refused did nobody anything, and is not held against the service. */
static void close_act(struct guard_actor *actor, bool refused)
{
    if (actor->act && refused)
        guard_kept_remove(&actor->kept, actor->act);
    else if (actor->act)
        actor->act->ended = true;
    actor->act = NULL;
}

static void work(void *context, struct guard_said *said)
{
    struct guard_actor *actor = context; /* a copy: this is the child */
    struct err err = ERR_INIT;
    bool noted = guard_kept_write(&actor->kept, &err);
    works[actor->queue[0].action](actor, &actor->queue[0], said);
    close_act(actor, said->refused);
    if (guard_kept_write(&actor->kept, &err) && noted)
        return;
    size_t len = strlen(said->text);
    snprintf(said->text + len, sizeof said->text - len, " (not noted: %.80s)", err.text);
}

/* ---- in the daemon ---- */

static void drop_first(struct guard_actor *actor)
{
    memmove(actor->queue, actor->queue + 1, --actor->queued * sizeof *actor->queue);
}

/* Killed in the middle: what it did only the machine knows. */
static void add_unknown_end(struct buf *text, const struct guard_actor *actor,
                            const struct act_change *change)
{
    const struct spec_watch *watch =
        change->service >= 0 ? &guard_of(actor)->watches[change->service] : NULL;
    buf_add(text, "its process was killed, so what it did is not known");
    if (change->action == ACTION_RESTART && watch && watch->unit)
        buf_addf(text, ": see systemctl %sstatus %s", watch->user ? "--user " : "", watch->unit);
    else if (change->action == ACTION_ROLLBACK)
        buf_add(text, ": `spica rollback` finishes it, or says that nothing is left to do");
}

static void on_end(void *owner, const struct guard_said *said)
{
    AUTO(buf_done) struct buf unknown = BUF_INIT(400);
    struct guard_actor *actor = owner;
    struct act_change change = actor->queue[0];
    actor->change = guard_child_free(actor->change);
    close_act(actor, said && said->refused);
    drop_first(actor);
    if (said && said->refused && actor->setup.refused && !change.resumed)
        actor->setup.refused(actor->setup.context, change.action, change.service);
    add_unknown_end(&unknown, actor, &change);
    act_tell(actor, change.service, change.rule, said && said->done, "%s: %s",
             spec_action_names[change.action], said ? said->text : buf_text(&unknown));
    if (change.action == ACTION_RESTUDY && said && said->done) {
        actor->tried_ns = 0; /* another request */
        act_minder_look(actor);
    }
    act_change_next(actor);
}

/* The judge must not be told from within a decision: with the next tick. */
static void give_back(struct guard_actor *actor, const struct act_change *change)
{
    if (!change->resumed && actor->refused_count < ARRAY_LEN(actor->refused))
        actor->refused[actor->refused_count++] =
            (struct guard_refusal){.action = change->action, .service = change->service};
}

void act_change_tell_refused(struct guard_actor *actor)
{
    for (size_t i = 0; i < actor->refused_count && actor->setup.refused; i++)
        actor->setup.refused(actor->setup.context, actor->refused[i].action,
                             actor->refused[i].service);
    actor->refused_count = 0;
}

/* False: refused, and told. */
static bool begin(struct guard_actor *actor)
{
    const struct act_change *change = &actor->queue[0];
    const char *name = service_name(actor, change->service);
    const struct guard_child_job job = {
        .work = work, .context = actor, .ended = on_end, .owner = actor};
    struct err err = ERR_INIT;
    char why[200];
    if (!may(actor, change, why, sizeof why)) {
        act_tell(actor, change->service, change->rule, false, "%s%s%s not done: %s",
                 spec_action_names[change->action], *name ? " of " : "", name, why);
        if (!act_change_refusal(actor, change)) /* the hour's limit, or a back-off */
            give_back(actor, change);
        return false;
    }
    actor->act = change->resumed ? NULL
                                 : guard_kept_add(&actor->kept, change->action, name,
                                                  clock_now_ns(), clock_now_wall_us());
    if (guard_child_start(actor->event, &job, &actor->change, &err))
        return true;
    close_act(actor, true);
    give_back(actor, change);
    act_tell(actor, change->service, change->rule, false, "%s not done: %.180s",
             spec_action_names[change->action], err.text);
    return false;
}

void act_change_next(struct guard_actor *actor)
{
    while (!actor->change && actor->queued > 0)
        if (!begin(actor))
            drop_first(actor);
}

void act_change_add(struct guard_actor *actor, const struct act_change *change)
{
    for (size_t i = 0; i < actor->queued; i++)
        if (actor->queue[i].action == change->action &&
            actor->queue[i].service == change->service) {
            act_tell(actor, change->service, change->rule, false, "%s not begun twice: one is %s",
                     spec_action_names[change->action],
                     i == 0 && actor->change ? "under way" : "waiting");
            return;
        }
    if (actor->queued == ACT_CHANGES_MAX) {
        act_tell(actor, change->service, change->rule, false, "%s not done: %d changes wait",
                 spec_action_names[change->action], ACT_CHANGES_MAX);
        return;
    }
    actor->queue[actor->queued++] = *change;
    act_change_next(actor);
}

void act_change_forget(struct guard_actor *actor, const char *rule)
{
    size_t left = actor->change ? 1 : 0;
    for (size_t i = left; i < actor->queued; i++) {
        struct act_change *change = &actor->queue[i];
        if (change->resumed || strcmp(change->rule, rule) != 0)
            actor->queue[left++] = *change;
        else
            act_tell(actor, change->service, change->rule, false, "%s not done: it is over",
                     spec_action_names[change->action]);
    }
    actor->queued = left;
}
