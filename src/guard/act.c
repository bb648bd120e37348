/* The actor: from a decision to what is begun.
 *
 * oomd's users were angry about actions wider than announced; so each action here is one verb on
 * one named thing, refused with its reason when anything about it is in doubt, and told in full
 * when it is over. The judge has decided what may be done; this looks again at what only the
 * machine knows (is the driver there, is somebody else at it) and at limits that outlive guard.
 *
 * Rejected: acting in the loop with timeouts. Every timeout is a moment without watching, and the
 * watchdog would end a guard that waits for systemd while it mends a service.
 *
 * Invariant: of what is not named under `act:` nothing is ever begun, whatever a decision says. */
#include "guard/act_inside.h"

#include "base/clock.h"
#include "base/file.h"

#include <string.h>

/* ---- how each is begun ---- */

static void begin_notify(struct guard_actor *actor, const struct guard_decision *decision,
                         enum spec_action action)
{
    (void)action;
    act_notify_add(actor, decision);
}

static void begin_tier(struct guard_actor *actor, const struct guard_decision *decision,
                       enum spec_action action)
{
    char text[200] = "";
    bool done = actor->setup.tier && decision->service >= 0 &&
                actor->setup.tier(actor->setup.context, (size_t)decision->service, action, text,
                                  sizeof text);
    if (!done && !text[0])
        snprintf(text, sizeof text, "there are no tiers");
    if (!done || text[0])
        act_tell(actor, decision->service, decision->rule, done, "%s%s: %s",
                 spec_action_names[action], done ? "" : " not done", text);
}

static void begin_change(struct guard_actor *actor, const struct guard_decision *decision,
                         enum spec_action action)
{
    struct act_change change = {.action = action,
                                .service = action == ACTION_RESTART ? decision->service : -1};
    snprintf(change.rule, sizeof change.rule, "%s", decision->rule);
    snprintf(change.why, sizeof change.why, "%s", decision->text);
    if (action == ACTION_RESTUDY && actor->has_restudy && actor->restudy.state != RESTUDY_DONE)
        act_tell(actor, -1, decision->rule, false, "restudy not begun twice: one is %s",
                 actor->restudy.state == RESTUDY_QUEUED ? "queued" : "running");
    else
        act_change_add(actor, &change);
}

static const struct {
    void (*begin)(struct guard_actor *actor, const struct guard_decision *decision,
                  enum spec_action action);
    const char *would; /* for --dry-run */
} actions[ACTION_COUNT_] = {
    [ACTION_NOTIFY] = {begin_notify, "run the notify command"},
    [ACTION_TIER_DOWN] = {begin_tier, "switch to a smaller tier"},
    [ACTION_TIER_UP] = {begin_tier, "switch to a better tier"},
    [ACTION_RESTART] = {begin_change, "restart it"},
    [ACTION_ROLLBACK] = {begin_change, "roll the last promotion back"},
    [ACTION_RESTUDY] = {begin_change, "queue a new study"},
};

static void say_would(struct guard_actor *actor, const struct guard_decision *decision,
                      enum spec_action action)
{
    const struct spec_study *study = actor->setup.study;
    const struct act_change change = {.action = action, .service = decision->service};
    const char *refusal = action == ACTION_RESTART ? act_change_refusal(actor, &change) : NULL;
    const char *unit =
        action == ACTION_RESTART && !refusal ? study->guard->watches[decision->service].unit : NULL;
    if (refusal)
        act_tell(actor, decision->service, decision->rule, false, "%s would not be done: %s",
                 spec_action_names[action], refusal);
    else
        act_tell(actor, decision->service, decision->rule, false, "%s: would %s%s%s (--dry-run)",
                 spec_action_names[action], actions[action].would, unit ? ": " : "",
                 unit ? unit : "");
}

void guard_actor_do(struct guard_actor *actor, const struct guard_decision *decision)
{
    const struct spec_guard *guard = actor->setup.study->guard;
    act_log_decision(actor, decision);
    if (decision->to == STATE_FINE || decision->to == STATE_NO_DATA)
        act_change_forget(actor, decision->rule);
    for (int i = 0; i < ACTION_COUNT_; i++) {
        enum spec_action action = (enum spec_action)i;
        if (!(decision->actions & (1U << i)))
            continue;
        if (!guard->limits[i].allowed)
            act_tell(actor, decision->service, decision->rule, false,
                     "%s not done: not named under act:", spec_action_names[i]);
        else if (actor->setup.dry_run)
            say_would(actor, decision, action);
        else
            actions[i].begin(actor, decision, action);
    }
}

/* ---- what an earlier guard left ---- */

static void say_left(struct guard_actor *actor, struct guard_act *act)
{
    char when[32];
    int service = spec_study_service(actor->setup.study, act->service);
    act->ended = true;
    if (act->action == ACTION_ROLLBACK && !actor->setup.dry_run) {
        struct act_change change = {.action = ACTION_ROLLBACK, .service = -1, .resumed = true};
        snprintf(change.rule, sizeof change.rule, "of an earlier guard");
        act_change_add(actor, &change);
        return;
    }
    act_tell(actor, service, "", false,
             "%s%s%s was begun at %s by a guard that ended meanwhile; it counts and is not begun "
             "again",
             spec_action_names[act->action], act->service[0] ? " of " : "", act->service,
             clock_format_wall(act->wall_us, when, sizeof when));
}

static void say_all_left(struct guard_actor *actor)
{
    struct err ignored = ERR_INIT;
    size_t count = 0;
    for (size_t i = 0; i < actor->kept.count; i++)
        if (!actor->kept.acts[i].ended) {
            say_left(actor, &actor->kept.acts[i]);
            count++;
        }
    if (count > 0) /* so that it is said once; else the next guard says it again */
        (void)!guard_kept_write(&actor->kept, &ignored);
}

void guard_actor_see(struct guard_actor *actor, const struct guard_tick *tick)
{
    const struct spec_guard *guard = actor->setup.study->guard;
    for (size_t i = 0; i < guard->metric_count; i++)
        if (guard->metrics[i].metric == GUARD_DEVICE_FAULT &&
            guard->metrics[i].index < SPEC_DEVICES_MAX)
            actor->faults[guard->metrics[i].index] = tick->values[i].text;
    act_change_tell_refused(actor);
    if (actor->looked)
        return;
    actor->looked = true;
    for (size_t i = 0; i < ARRAY_LEN(actor->put_aside); i++)
        if (actor->put_aside[i][0])
            act_tell(actor, -1, "", false, "%s", actor->put_aside[i]);
    say_all_left(actor);
    act_minder_look(actor);
}

/* ---- its life ---- */

struct guard_actor *guard_actor_close(struct guard_actor *actor)
{
    if (!actor)
        return NULL;
    guard_child_free(actor->change);
    guard_child_free(actor->minder);
    act_notify_close(actor);
    sd_event_source_disable_unref(actor->timer);
    sd_event_unref(actor->event);
    guard_kept_done(&actor->kept);
    free(actor->study_path);
    free(actor->folder);
    free(actor);
    return NULL;
}

bool guard_actor_open(const struct guard_act_setup *setup, struct guard_actor **ret_actor,
                      struct err *err)
{
    struct guard_actor *made = calloc(1, sizeof *made);
    if (!made)
        abort();
    AUTO(guard_actor_close) struct guard_actor *actor = made;
    actor->folder = file_absolute(setup->folder);
    actor->setup = *setup;
    actor->setup.folder = actor->folder;
    actor->event = sd_event_ref(setup->event);
    actor->journal = act_has_journal();
    if (!guard_kept_open(actor->folder, &actor->kept, actor->put_aside[0],
                         sizeof actor->put_aside[0], err) ||
        !act_notify_open(actor, err) || !act_minder_open(actor, err))
        return false;
    *ret_actor = TAKE(actor);
    return true;
}

bool guard_actor_has_journal(const struct guard_actor *actor)
{
    return actor->journal;
}

size_t guard_actor_busy(const struct guard_actor *actor)
{
    return actor->queued + (actor->minder != NULL) + act_notify_busy(actor);
}
