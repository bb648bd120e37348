/* One look at what stands behind fronts: every tier and arm, what HAProxy thinks of them, splits,
 * and the disk that all is recorded on.
 *
 * A service's `watch:` names one of its servers. The others take traffic in the next minute, so a
 * look that is silent about them would call fine what is half broken. A tier that may be off (not
 * resident, chosen by guard's policy, stopped and not failed) is no fault; nor is the arm of a
 * split that somebody has aborted. A look is too short to prove where a server computes that
 * nobody probes: that is said as not known. */
#include "guard/once_inside.h"

#include "guard/policy_record.h"
#include "guard/split_kept.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static const double DISK_FULL_BYTES = 1 << 20; /* a minute of ticks, at most */

/* ---- splits ---- */

static void tell_state(struct once *once, const char *name, const struct guard_split_kept *kept)
{
    if (kept->state == SPLIT_STOPPED || kept->state == SPLIT_UNJUDGED)
        guard_once_say(&once->wrong, "%s's split is %s: %s", name,
                       guard_split_state_names[kept->state], kept->why);
}

/* As it is kept; SPLIT_STATE_COUNT_: not known, which is said. */
static enum guard_split_state tell_split(struct once *once, size_t f)
{
    const struct spec_front *front = &once->study->guard->fronts[f];
    const char *name = once->study->services[front->service].name;
    AUTO(free) char *path = guard_split_path(once->folder, once->study, f);
    AUTO(free) struct guard_split_kept *kept = calloc(1, sizeof *kept);
    enum guard_split_state state = SPLIT_STATE_COUNT_;
    struct err err = ERR_INIT;
    bool found = false;
    if (!kept)
        abort();
    guard_split_kept_init(kept, &front->split, 0);
    if (!guard_split_kept_read(path, &front->split, kept, &found, &err))
        guard_once_say(&once->wrong, "%s's split is not judged: %s", name, err.text);
    else if (!found)
        guard_once_say(&once->unknown, "what %s's split has found (guard has kept nothing of it)",
                       name);
    else
        state = kept->state;
    if (found)
        tell_state(once, name, kept);
    guard_split_kept_done(kept);
    return state;
}

/* ---- servers ---- */

struct server { /* one tier or arm */
    const char *what, *name;
    const struct proxy_server *seen; /* by HAProxy; NULL: not known */
    const struct guard_also *also;   /* NULL: it is the one that `watch:` names */
    bool may_be_off;
};

static const struct proxy_server *seen_of(const struct once *once, size_t f, const char *name)
{
    const struct proxy_view *view = guard_watch_proxy_view(once->lookout.watch);
    if (!view || !view->up)
        return NULL;
    const struct proxy_front *front = &view->fronts[f];
    for (size_t s = 0; s < front->server_count; s++)
        if (front->servers[s].name && strcmp(front->servers[s].name, name) == 0)
            return &front->servers[s];
    return NULL;
}

static const struct guard_also *also_of(const struct once *once, size_t service, const char *name)
{
    size_t count = 0;
    const struct guard_also *also = guard_watch_also(once->lookout.watch, &count);
    for (size_t k = 0; k < count; k++)
        if (also[k].service == service && strcmp(also[k].server, name) == 0)
            return &also[k];
    return NULL;
}

/* True: there is nothing more to say of it. */
static bool tell_life(struct once *once, const struct server *server)
{
    const struct guard_life *life = &server->also->life;
    const char *name = server->also->name;
    if (life->presence == PRESENCE_UP)
        return false;
    if (life->presence == PRESENCE_UNKNOWN)
        guard_once_say(&once->unknown, "whether %s runs (%s)", name, life->why);
    else if (!server->may_be_off || (life->presence == PRESENCE_DOWN && !life->stopped))
        guard_once_say(&once->wrong, "%s is %s: %s", name,
                       life->presence == PRESENCE_COMING ? "not up yet" : "down", life->why);
    return life->presence != PRESENCE_UNKNOWN;
}

static void tell_place(struct once *once, size_t service, const struct guard_also *also)
{
    if (once->study->services[service].on != ON_GPU || also->life.presence != PRESENCE_UP)
        return;
    if (also->wrong)
        guard_once_say(&once->wrong, "%s must be on the GPU and is on the CPU: %s", also->name,
                       also->process.place.seen.evidence);
    else
        guard_once_say(&once->unknown, "whether %s computes on its device", also->name);
}

static void tell_server(struct once *once, size_t service, const struct server *server)
{
    if (server->also && tell_life(once, server))
        return;
    if (server->seen && !server->seen->usable && !server->seen->drained && !server->may_be_off)
        guard_once_say(&once->wrong, "%s's %s %s: HAProxy can't use it",
                       once->study->services[service].name, server->what, server->name);
    if (server->also)
        tell_place(once, service, server->also);
}

static void tell_tiers(struct once *once, size_t f)
{
    const struct spec_front *front = &once->study->guard->fronts[f];
    for (size_t t = 0; t < front->tier_count; t++) {
        const struct spec_tier *tier = &front->tiers[t];
        const struct server server = {.what = "tier",
                                      .name = tier->name,
                                      .seen = seen_of(once, f, tier->name),
                                      .also = also_of(once, front->service, tier->name),
                                      .may_be_off = tier->unit && !tier->resident &&
                                                    policy_front_chooses(front)};
        tell_server(once, front->service, &server);
    }
}

static void tell_arms(struct once *once, size_t f, enum guard_split_state state)
{
    const struct spec_front *front = &once->study->guard->fronts[f];
    const bool over = state == SPLIT_STOPPED || state == SPLIT_ABORTED;
    for (size_t a = 0; a < front->split.count; a++) {
        const char *name = front->split.arms[a].name;
        const struct server server = {.what = "arm",
                                      .name = name,
                                      .seen = seen_of(once, f, name),
                                      .also = also_of(once, front->service, name),
                                      .may_be_off = over && a > 0};
        if (server.may_be_off && server.also && server.also->life.presence != PRESENCE_UP)
            continue; /* it gets nothing, and has no unit that could say how it ended */
        tell_server(once, front->service, &server);
    }
}

void guard_once_tell_fronts(struct once *once)
{
    const struct spec_guard *guard = once->study->guard;
    for (size_t f = 0; f < guard->front_count; f++) {
        tell_tiers(once, f);
        if (guard->fronts[f].split.count > 0)
            tell_arms(once, f, tell_split(once, f));
    }
}

/* ---- the disk ---- */

void guard_once_tell_disk(struct once *once, double free_bytes)
{
    if (isnan(free_bytes))
        guard_once_say(&once->unknown, "how much room the disk of the results has");
    else if (free_bytes < DISK_FULL_BYTES)
        guard_once_say(&once->wrong, "the disk of the results is full: nothing is recorded there");
}
