/* The runtime of choosing tiers: each step looks, asks the policy, and does its word.
 *
 * The order within a step matters. First what has come of earlier starts and stops; then the
 * policy's choice; then its switch; and only after the switch has been made is a tier drained, so
 * that at no moment a tier that takes new requests is the one being stopped. A switch that HAProxy
 * refused is told, and the next look shows the policy where it stands.
 *
 * Nothing is kept on disk here: which tier is the current one is HAProxy's to know (and proxy/'s to
 * keep), what runs is systemd's. So a guard that is killed and started again goes on from what is.
 *
 * While HAProxy does not answer units are looked at all the same (what is starting, warming or
 * draining comes to its end), and memory that others need is given back by tiers that are not the
 * current one. While another changes HAProxy's settings nothing is waited for: the next step
 * chooses anew, as if this one had not been.
 *
 * Fronts on one device are stepped one after the other, each with what the ones before it have done
 * (policy_share.c). While the driver of a front's device is lost or mismatched its tiers are left
 * as they are, those under way too: requests may still be moved, nothing is started or stopped.
 * Likewise while others have spoken for its units (tier_hold.h), but that what comes up is judged
 * as ever.
 *
 * Dry run: the policy plays against itself. Its choices are told with "would", and its own state
 * takes them as done; starts and stops are told once in a while, since nothing comes of them. */
#include "guard/tiers_inside.h"

#include "base/clock.h"
#include "guard/policy_fit.h"

#include <string.h>

static const int64_t SAID_AGAIN_NS = 600 * NS_PER_S;
static const int64_t SAID_ONCE_NS = 60 * NS_PER_S;
static const int64_t READY_AGAIN_NS = 10 * NS_PER_S;

static struct front *front_of(const struct guard_tiers *tiers, size_t index)
{
    for (size_t i = 0; i < tiers->count; i++)
        if (tiers->fronts[i].index == index)
            return &tiers->fronts[i];
    return NULL;
}

/* ---- telling ---- */

static const char *service_name(const struct guard_tiers *tiers, const struct front *front)
{
    return tiers->options.study->services[front->spec->service].name;
}

static void tell_as(const struct guard_tiers *tiers, const struct front *front,
                    enum guard_event_kind kind, const char *head, const char *text)
{
    struct guard_event event = {.kind = kind, .service = (int)front->spec->service};
    snprintf(event.text, sizeof event.text, "%s%.230s", head, text);
    if (tiers->tell)
        tiers->tell(tiers->context, &event);
}

/* What fails at each look is said once a minute. */
static void tell(const struct guard_tiers *tiers, struct front *front, const char *text)
{
    int64_t now_ns = front->input.now_ns;
    if (strncmp(front->said, text, sizeof front->said - 1) == 0 &&
        now_ns - front->said_ns < SAID_ONCE_NS)
        return;
    snprintf(front->said, sizeof front->said, "%s", text);
    front->said_ns = now_ns;
    tell_as(tiers, front, EVENT_ACTED, tiers->options.dry_run ? "would: " : "", text);
}

/* What is known of each tier, once. */
static void tell_study(struct guard_tiers *tiers)
{
    if (tiers->told)
        return;
    tiers->told = true;
    for (size_t i = 0; i < tiers->count; i++)
        for (size_t t = 0; t < tiers->fronts[i].policy.count; t++) {
            struct front *front = &tiers->fronts[i];
            AUTO(buf_done) struct buf text = BUF_INIT(1024);
            tier_study_add_words(&front->studied[t], &front->policy.tiers[t],
                                 front->policy.quantile, tiers->note, &text);
            tell(tiers, front, buf_text(&text));
        }
}

/* ---- a step ---- */

static const struct proxy_server *server_of(const struct proxy_view *view,
                                            const struct front *front, size_t t)
{
    const struct proxy_front *seen = view ? &view->fronts[front->index] : NULL;
    return seen && t < seen->server_count ? &seen->servers[t] : NULL;
}

static int current_of(const struct proxy_view *view, const struct front *front)
{
    const char *name = view ? view->fronts[front->index].tier : NULL;
    for (size_t t = 0; name && t < front->policy.count; t++)
        if (strcmp(front->policy.tiers[t].name, name) == 0)
            return (int)t;
    return -1;
}

/* HAProxy, or who keeps its settings. One that is busy is no news, and asked again at once. */
static void not_told(const struct guard_tiers *tiers, struct front *front, const char *what,
                     const struct err *err, int64_t *told_ns)
{
    char text[240];
    if (err->code == ERR_BUSY) {
        *told_ns = 0;
        return;
    }
    snprintf(text, sizeof text, "%.60s: %.170s", what, err->text);
    tell(tiers, front, text);
}

/* No other one than `t` can answer, as HAProxy and we see it. */
static bool is_last(const struct front *front, const struct proxy_view *view, size_t t)
{
    for (size_t other = 0; other < front->policy.count; other++) {
        const struct proxy_server *server = server_of(view, front, other);
        if (other != t && tier_unit_power(front->units[other]) == TIER_ON && server &&
            server->usable && !server->drained)
            return false;
    }
    return true;
}

/* One that has failed, and that nobody needs any more. */
static void leave(struct guard_tiers *tiers, struct front *front, size_t t, const char *text,
                  int64_t now_ns)
{
    const char *name = front->policy.tiers[t].name;
    struct err err = ERR_INIT;
    if (!proxy_set_server(tiers->options.proxy, front->index, name, PROXY_DRAIN, &err))
        return not_told(tiers, front, "draining failed", &err, &front->stop_said_ns[t]);
    tell(tiers, front, text); /* once: a step that is refused is made again */
    tier_unit_drain(front->units[t], DRAIN_PATIENT, now_ns);
}

static void tell_death(const struct guard_tiers *tiers, const struct front *front, size_t t,
                       enum guard_event_kind kind)
{
    char text[240];
    snprintf(text, sizeof text,
             "%.40s is down and does not come back: %.100s is failed, or restarts again and again",
             front->policy.tiers[t].name, front->spec->tiers[t].unit);
    tell_as(tiers, front, kind, "",
            kind == EVENT_ARM_DOUBT ? text : "its tiers are well again, or stopped by somebody");
}

/* Once, and once more when it is over. */
static void note_by_hand(const struct guard_tiers *tiers, struct front *front, size_t t,
                         const struct proxy_server *server)
{
    const char *name = front->policy.tiers[t].name;
    char text[240];
    if (!server || server->by_hand == front->by_hand[t])
        return;
    front->by_hand[t] = server->by_hand;
    if (server->by_hand)
        snprintf(text, sizeof text,
                 "%.40s was drained by hand: neither used nor started until \"spica proxy STUDY "
                 "ready %.40s %.40s\"",
                 name, service_name(tiers, front), name);
    else
        snprintf(text, sizeof text, "%.40s is no longer drained by hand: it may be used", name);
    tell_as(tiers, front, EVENT_ACTED, "", text);
}

static void look_at_units(struct guard_tiers *tiers, struct front *front,
                          const struct proxy_view *view, int64_t now_ns)
{
    for (size_t t = 0; t < front->policy.count; t++) {
        const struct tier_look look = {.server = server_of(view, front, t),
                                       .current = (int)t == current_of(view, front),
                                       .last = is_last(front, view, t),
                                       .frozen = front->frozen != NULL,
                                       .held = front->held[0] != '\0',
                                       .paused =
                                           tier_hold_paused(&tiers->hold, &front->spec->tiers[t])};
        char text[240] = "";
        enum guard_event_kind kind;
        note_by_hand(tiers, front, t, look.server);
        enum tier_turn turn = tier_unit_step(front->units[t], &look, now_ns, text, sizeof text);
        if (turn != TURN_NONE && turn != TURN_LEFT && turn != TURN_STAYS)
            tell(tiers, front, text);
        if (tier_doubt_note(&front->doubt, t, turn, front->units[t], &kind))
            tell_as(tiers, front, kind, "",
                    turn == TURN_FAILED ? text : "its tiers are well again");
        if (front->missed[t] &&
            tier_doubt_note_death(&front->doubt, t, front->units[t], now_ns, &kind))
            tell_death(tiers, front, t, kind);
        const char *stay = tier_doubt_note_stay(&front->doubt, t, front->units[t], now_ns, &kind);
        if (stay)
            tell_as(tiers, front, kind, "", stay);
        if (turn == TURN_LEFT)
            leave(tiers, front, t, text, now_ns);
        struct err err = ERR_INIT;
        bool due =
            now_ns - front->ready_ns[t] >= READY_AGAIN_NS || turn == TURN_CAME || turn == TURN_KEPT;
        if (due && tier_unit_wants_ready(front->units[t], turn) && !tiers->options.dry_run) {
            front->ready_ns[t] = now_ns;
            if (!proxy_set_server(tiers->options.proxy, front->index, front->policy.tiers[t].name,
                                  PROXY_READY, &err))
                not_told(tiers, front, "it may be used again", &err, &front->ready_ns[t]);
        }
    }
}

static void weigh_devices(struct guard_tiers *tiers, int64_t now_ns)
{
    const struct spec_study *study = tiers->options.study;
    struct tier_memory_ours ours[SPEC_DEVICES_MAX] = {{0}};
    bool used[SPEC_DEVICES_MAX] = {false};
    for (size_t i = 0; i < tiers->count; i++)
        for (size_t t = 0; t < tiers->fronts[i].policy.count; t++) {
            struct tier_unit *unit = tiers->fronts[i].units[t];
            size_t d = tier_unit_device(unit);
            used[d] = true;
            ours[d].bytes += tier_unit_ours(unit, tiers->memories[d].moved, now_ns);
            ours[d].least_bytes += tier_unit_ours_least(unit);
        }
    for (size_t d = 0; d < study->device_count; d++)
        if (used[d])
            tier_memory_step(&tiers->memories[d],
                             tiers->options.devices ? tiers->options.devices[d] : NULL, ours[d],
                             now_ns);
}

static void fill_input(struct guard_tiers *tiers, struct front *front,
                       const struct proxy_view *view, int64_t now_ns)
{
    /* Tiers of one front share a device, in every sane file. */
    const struct tier_memory *memory = &tiers->memories[tier_unit_device(front->units[0])];
    bool as_decided = !view || tiers->options.dry_run;
    int current =
        as_decided && front->state.current >= 0 ? front->state.current : current_of(view, front);
    front->input = (struct policy_input){.now_ns = now_ns,
                                         .current = current,
                                         .free_bytes = memory->free_bytes,
                                         .owed_bytes = memory->owed_bytes,
                                         .wish = view ? front->wish : 0,
                                         .frozen = front->frozen || front->held[0]};
    if (view) {
        front->wish = 0;
        tier_load_look(front->load, &view->fronts[front->index], view->pid, now_ns);
    }
    tier_load_fill(front->load, current >= 0 ? current : front->state.current, now_ns,
                   &front->input);
    for (size_t t = 0; t < front->policy.count; t++) {
        tier_unit_fill(front->units[t], now_ns, &front->input.tiers[t]);
        front->input.tiers[t].resting |= front->by_hand[t];
    }
}

/* ---- doing it ---- */

static bool do_switch(struct guard_tiers *tiers, struct front *front, int64_t now_ns,
                      struct err *err)
{
    const char *name = front->policy.tiers[front->choice.tier].name;
    if (!tiers->options.dry_run && !proxy_set_tier(tiers->options.proxy, front->index, name, err))
        return err_wrap(err, "switching to %.40s failed", name);
    tier_load_switched(front->load, now_ns);
    return true;
}

/* `view` NULL: HAProxy sends nobody. Should it come back, the tier takes requests, and is kept. */
static bool do_stop(struct guard_tiers *tiers, struct front *front, const struct proxy_view *view,
                    int64_t now_ns)
{
    size_t t = (size_t)front->choice.stop;
    const char *name = front->policy.tiers[t].name;
    struct err err = ERR_INIT;
    char text[80];
    front->stop_said_ns[t] = now_ns;
    if (tiers->options.dry_run)
        return true;
    if (!view || proxy_set_server(tiers->options.proxy, front->index, name, PROXY_DRAIN, &err)) {
        tier_unit_drain(front->units[t],
                        front->choice.for_memory ? DRAIN_FOR_MEMORY : DRAIN_PATIENT, now_ns);
        return true;
    }
    snprintf(text, sizeof text, "draining %.40s failed", name);
    not_told(tiers, front, text, &err, &front->stop_said_ns[t]);
    return false;
}

/* One that is drained in peace while memory gets short. */
static void hurry_drains(struct front *front, int64_t now_ns)
{
    if (!policy_is_pressed(&front->policy, &front->input))
        return;
    for (size_t t = 0; t < front->policy.count; t++)
        if (tier_unit_power(front->units[t]) == TIER_DRAINING)
            tier_unit_drain(front->units[t], DRAIN_FOR_MEMORY, now_ns);
}

static bool do_start(struct guard_tiers *tiers, struct front *front, int64_t now_ns)
{
    struct tier_unit *unit = front->units[front->choice.start];
    char text[240];
    if (tiers->options.dry_run)
        tier_unit_rest(unit, now_ns, SAID_AGAIN_NS);
    else if (!tier_unit_start(unit, now_ns, text, sizeof text)) {
        tell(tiers, front, text);
        return false;
    }
    return true;
}

static void tell_barred(const struct guard_tiers *tiers, struct front *front)
{
    const char *why = front->frozen ? front->frozen : front->held;
    char text[240];
    if (strcmp(front->barred, why) == 0)
        return;
    snprintf(text, sizeof text,
             why[0] ? "%.150s: no tier is started or stopped until that is over"
                    : "tiers are started and stopped again",
             why);
    snprintf(front->barred, sizeof front->barred, "%s", why);
    tell(tiers, front, text);
}

/* Everything is seen before anything is chosen: fronts share devices. */
static void see_front(struct guard_tiers *tiers, size_t i, const struct proxy_view *view,
                      int64_t now_ns)
{
    struct front *front = &tiers->fronts[i];
    struct policy_seat *seat = &tiers->seats[i];
    fill_input(tiers, front, view, now_ns);
    tell_barred(tiers, front);
    hurry_drains(front, now_ns);
    seat->sight = view ? POLICY_SEES : POLICY_BLIND;
    seat->current = front->input.current >= 0 ? front->input.current : front->state.current;
    seat->stepped = false;
    seat->started = seat->stopped = -1;
}

/* That nothing can be done is one thing, whatever its numbers are with each request that comes. */
static bool is_held_again(struct front *front)
{
    const struct policy_choice *choice = &front->choice;
    const int held = front->state.held;
    const int64_t now_ns = front->input.now_ns;
    if (held == 0 || choice->switched || choice->start >= 0 || choice->stop >= 0)
        return false;
    if (held == front->held_said && now_ns - front->held_said_ns < SAID_ONCE_NS)
        return true;
    front->held_said = held;
    front->held_said_ns = now_ns;
    return false;
}

static void step_front(struct guard_tiers *tiers, size_t i, const struct proxy_view *view,
                       int64_t now_ns)
{
    struct front *front = &tiers->fronts[i];
    struct policy_seat *seat = &tiers->seats[i];
    seat->stepped = true;
    const struct policy_state before = front->state;
    const struct policy_choice *choice = &front->choice;
    struct err err = ERR_INIT;
    policy_input_round(&front->input, front->policy.count);
    front->choice = view ? policy_step(&front->state, &front->policy, &front->input)
                         : policy_step_blind(&front->state, &front->policy, &front->input);
    bool done = !choice->switched || do_switch(tiers, front, now_ns, &err);
    struct policy_record *record = &tiers->records.items[tiers->records.count++];
    *record = (struct policy_record){.front = front->index,
                                     .input = front->input,
                                     .sight = seat->sight,
                                     .undone = !done && err.code == ERR_BUSY,
                                     .choice = *choice};
    if (record->undone) {
        front->state = before; /* as if it had not been chosen */
        front->wish = front->input.wish;
        front->choice.tier = before.current;
        return;
    }
    bool repeats = tiers->options.dry_run && !choice->switched && choice->stop >= 0 &&
                   front->stop_said_ns[choice->stop] &&
                   now_ns - front->stop_said_ns[choice->stop] < SAID_AGAIN_NS;
    if (choice->reason[0] && !repeats && !is_held_again(front)) {
        memcpy(front->reason, choice->reason, sizeof front->reason);
        tell(tiers, front, choice->reason);
    }
    if (!done)
        tell(tiers, front, err.text);
    if (choice->stop >= 0 && done && !repeats && do_stop(tiers, front, view, now_ns))
        seat->stopped = choice->stop;
    if (choice->start >= 0 && do_start(tiers, front, now_ns))
        seat->started = choice->start;
}

void guard_tiers_step(struct guard_tiers *tiers, const struct proxy_view *view, int64_t now_ns,
                      void (*tell_event)(void *context, const struct guard_event *event),
                      void *context)
{
    if (tiers->count == 0)
        return;
    const struct proxy_view *seen = view && view->up ? view : NULL;
    tiers->tell = tell_event;
    tiers->context = context;
    tell_study(tiers);
    tier_hold_look(&tiers->hold, tiers->options.folder, now_ns);
    for (size_t i = 0; i < tiers->count; i++) {
        struct front *front = &tiers->fronts[i];
        tier_hold_words(&tiers->hold, front->spec, front->held, sizeof front->held);
        look_at_units(tiers, front, seen, now_ns);
    }
    /* Only then: of one that was found to be down its memory is back, and must be seen so. */
    weigh_devices(tiers, now_ns);
    for (size_t i = 0; i < tiers->count; i++)
        see_front(tiers, i, seen, now_ns);
    tiers->records.count = 0;
    for (size_t k = 0; k < tiers->count; k++) {
        const size_t i = policy_share_next(tiers->seats, tiers->count);
        policy_share_fill(tiers->seats, tiers->count, i);
        step_front(tiers, i, seen, now_ns);
    }
}

void guard_tiers_freeze(struct guard_tiers *tiers, size_t index, const char *why)
{
    struct front *front = front_of(tiers, index);
    if (front)
        front->frozen = why;
}

void guard_tiers_promoting(struct guard_tiers *tiers, bool under_way)
{
    tiers->hold.promoting = under_way;
}

struct policy_records *guard_tiers_records(struct guard_tiers *tiers)
{
    return tiers->count > 0 ? &tiers->records : NULL;
}

bool guard_tiers_head(const struct guard_tiers *tiers, struct buf *buf)
{
    const struct policy_front *fronts[SPEC_FRONTS_MAX] = {NULL};
    for (size_t i = 0; i < tiers->count; i++)
        fronts[tiers->fronts[i].index] = &tiers->fronts[i].policy;
    if (tiers->count > 0)
        policy_head_write(tiers->options.study, fronts, buf);
    return tiers->count > 0;
}

void guard_tiers_request(struct guard_tiers *tiers, const struct proxy_request *request,
                         int64_t now_ns)
{
    struct front *front = front_of(tiers, request->front);
    if (front)
        tier_load_request(front->load, request, now_ns);
}

bool guard_tiers_wish(void *context, size_t service, enum spec_action action, char *text,
                      size_t size)
{
    struct guard_tiers *tiers = context;
    for (size_t i = 0; i < tiers->count; i++) {
        struct front *front = &tiers->fronts[i];
        int current = front->state.current, down = action == ACTION_TIER_DOWN ? 1 : -1;
        if (front->spec->service != service)
            continue;
        int next = current + down;
        if (current < 0 || next < 0 || next >= (int)front->policy.count) {
            snprintf(text, size, "%.40s: there is no %s tier than %.40s",
                     service_name(tiers, front), down > 0 ? "smaller" : "better",
                     current < 0 ? "the unknown one" : front->policy.tiers[current].name);
            return false;
        }
        front->wish = -down;
        snprintf(text, size, "%.40s: from %.40s to %.40s with the next look, if it is there",
                 service_name(tiers, front), front->policy.tiers[current].name,
                 front->policy.tiers[next].name);
        return true;
    }
    snprintf(text, size, "no tiers are chosen for that service");
    return false;
}

/* ---- showing ---- */

const char *guard_tiers_current(const struct guard_tiers *tiers, size_t index)
{
    const struct front *front = front_of(tiers, index);
    return front && front->choice.tier >= 0 ? front->policy.tiers[front->choice.tier].name : NULL;
}

size_t guard_tiers_standing(const struct guard_tiers *tiers, size_t index,
                            struct guard_tier_standing ret_tiers[SPEC_TIERS_MAX],
                            const char **ret_text)
{
    const struct front *front = front_of(tiers, index);
    if (!front)
        return 0;
    for (size_t t = 0; t < front->policy.count; t++)
        ret_tiers[t] = (struct guard_tier_standing){
            .name = front->policy.tiers[t].name,
            .current = (int)t == front->choice.tier,
            .power = tier_unit_power(front->units[t]),
            .predicted_s = policy_predict(&front->state, &front->policy, &front->input, t),
            .memory_bytes = front->input.tiers[t].held_bytes,
            .placement = tier_unit_place(front->units[t]),
        };
    *ret_text = front->reason;
    return front->policy.count;
}
