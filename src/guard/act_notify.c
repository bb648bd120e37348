/* Telling somebody: the `notify:` command, once for each decision that asks for it.
 *
 * When much goes wrong at once there is more to tell than may run side by side. So a notice waits
 * for its turn, the gravest first, in a queue that is bounded: when it is full the least grave
 * goes, the oldest of them, and that is said. A command that failed (the network is as sick as the
 * services) is run again, each time after twice as long. Of one rule the notices keep their order:
 * nobody is told that it is over before being told that it began.
 *
 * Rejected: dropping what finds no free place. The judge has counted it as told, and does not ask
 * again for as long as the alarm stands.
 *
 * Invariant: every notice ends in exactly one word: told, given up, or dropped. */
#include "guard/act_inside.h"

#include "base/arena.h"
#include "base/clock.h"
#include "base/text.h"

#include <string.h>

static const int64_t NOTIFY_WITHIN_NS = 30 * NS_PER_S, AGAIN_NS = 10 * NS_PER_S;

/* {rule}, {state} and {text} in one word of the command; anything else stays. */
static const char *fill(struct arena *arena, const char *word,
                        const struct guard_decision *decision)
{
    const struct {
        const char *name, *text;
    } names[] = {{"{rule}", decision->rule},
                 {"{state}", guard_state_names[decision->to]},
                 {"{text}", decision->text}};
    AUTO(buf_done) struct buf filled = BUF_INIT(8192);
    while (*word) {
        size_t i = 0;
        while (i < ARRAY_LEN(names) && !text_starts_with(word, names[i].name))
            i++;
        if (i < ARRAY_LEN(names)) {
            text_add_escaped(&filled, TEXT_TERMINAL, names[i].text, strlen(names[i].text), 1000);
            word += strlen(names[i].name);
        } else {
            buf_addc(&filled, *word);
            word += 1 + (word[0] == '{' && word[1] == '{');
        }
    }
    return arena_strdup(arena, buf_text(&filled));
}

static void fill_notify(struct act_notify *notify, struct guard_actor *actor,
                        const struct guard_decision *decision)
{
    const struct spec_study *study = actor->setup.study;
    const struct spec_guard *guard = study->guard;
    struct arena *arena = arena_new();
    const char **argv = arena_array(arena, guard->notify_count + 1, sizeof *argv);
    for (size_t i = 0; i < guard->notify_count; i++)
        argv[i] = fill(arena, guard->notify[i].text ? guard->notify[i].text : "", decision);
    argv[guard->notify_count] = NULL;
    *notify = (struct act_notify){.arena = arena,
                                  .work = {argv, study->folder, NOTIFY_WITHIN_NS},
                                  .actor = actor,
                                  .service = decision->service,
                                  .severity = decision->severity,
                                  .order = ++actor->notices};
    snprintf(notify->rule, sizeof notify->rule, "%s", decision->rule);
}

/* ---- the queue ---- */

static bool waits(const struct act_notify *notify)
{
    return notify->arena && !notify->child;
}

static void leave(struct act_notify *notify)
{
    notify->child = guard_child_free(notify->child);
    notify->arena = arena_free(notify->arena);
}

static size_t running(const struct guard_actor *actor)
{
    size_t count = 0;
    for (size_t i = 0; i < ACT_NOTIFIES_MAX; i++)
        count += actor->notifies[i].child != NULL;
    return count;
}

/* An earlier one of the same rule is still to be told. */
static bool is_behind(const struct guard_actor *actor, const struct act_notify *notify)
{
    for (size_t i = 0; i < ACT_NOTIFIES_MAX; i++) {
        const struct act_notify *other = &actor->notifies[i];
        if (other->arena && other->order < notify->order && other->service == notify->service &&
            strcmp(other->rule, notify->rule) == 0)
            return true;
    }
    return false;
}

static bool is_before(const struct act_notify *a, const struct act_notify *b)
{
    return a->severity != b->severity ? a->severity > b->severity : a->order < b->order;
}

static struct act_notify *find_next(struct guard_actor *actor, int64_t now_ns)
{
    struct act_notify *best = NULL;
    for (size_t i = 0; i < ACT_NOTIFIES_MAX; i++) {
        struct act_notify *notify = &actor->notifies[i];
        if (waits(notify) && notify->due_ns <= now_ns && !is_behind(actor, notify) &&
            (!best || is_before(notify, best)))
            best = notify;
    }
    return best;
}

/* The oldest of the least grave. */
static struct act_notify *find_least(struct guard_actor *actor)
{
    struct act_notify *least = NULL;
    for (size_t i = 0; i < ACT_NOTIFIES_MAX; i++) {
        struct act_notify *notify = &actor->notifies[i];
        if (waits(notify) &&
            (!least || notify->severity < least->severity ||
             (notify->severity == least->severity && notify->order < least->order)))
            least = notify;
    }
    return least;
}

/* A place of the queue. NULL: all that wait are graver. */
static struct act_notify *find_place(struct guard_actor *actor,
                                     const struct guard_decision *decision)
{
    for (size_t i = 0; i < ACT_NOTIFIES_MAX; i++)
        if (!actor->notifies[i].arena)
            return &actor->notifies[i];
    struct act_notify *least = find_least(actor);
    if (!least || least->severity > decision->severity)
        return NULL;
    act_tell(actor, least->service, least->rule, false,
             "notify: not told of %.80s: dropped, %d notices wait", least->rule, ACT_NOTIFIES_MAX);
    leave(least);
    return least;
}

/* ---- one attempt ---- */

static void fail(struct act_notify *notify, const char *why)
{
    struct guard_actor *actor = notify->actor;
    int64_t wait_ns = actor->setup.notify_again_ns > 0 ? actor->setup.notify_again_ns : AGAIN_NS;
    if (notify->failures++ == ACT_NOTIFY_AGAIN_MAX) {
        act_tell(actor, notify->service, notify->rule, false, "notify: %.150s; given up after %d",
                 why, notify->failures);
        leave(notify);
        return;
    }
    wait_ns <<= notify->failures - 1;
    notify->due_ns = clock_now_ns() + wait_ns;
    act_tell(actor, notify->service, notify->rule, false,
             "notify: %.150s; tried again in %.0f s (%d of %d)", why, (double)wait_ns / NS_PER_S,
             notify->failures, ACT_NOTIFY_AGAIN_MAX);
}

static void on_notified(void *owner, const struct guard_said *said)
{
    struct act_notify *notify = owner;
    struct guard_actor *actor = notify->actor;
    notify->child = guard_child_free(notify->child);
    if (said && said->done) {
        act_tell(actor, notify->service, notify->rule, true, "notify: %s", said->text);
        leave(notify);
    } else {
        fail(notify, said ? said->text : "not told: the command was killed");
    }
    act_notify_next(actor);
}

static void begin(struct act_notify *notify)
{
    struct guard_actor *actor = notify->actor;
    struct err err = ERR_INIT;
    char why[200];
    const struct guard_child_job job = {.work = guard_work_notify,
                                        .context = &notify->work,
                                        .within_ns = NOTIFY_WITHIN_NS + 5 * NS_PER_S,
                                        .ended = on_notified,
                                        .owner = notify};
    if (guard_child_start(actor->event, &job, &notify->child, &err))
        return;
    snprintf(why, sizeof why, "not told: %.180s", err.text);
    fail(notify, why);
}

/* ---- when ---- */

static int on_again(sd_event_source *source, uint64_t usec, void *context)
{
    (void)source;
    (void)usec;
    act_notify_next(context);
    return 0;
}

/* For the first that waits for its time. Those that wait for a place are begun when one ends. */
static void wake_later(struct guard_actor *actor, int64_t now_ns)
{
    int64_t due_ns = INT64_MAX;
    for (size_t i = 0; i < ACT_NOTIFIES_MAX; i++) {
        const struct act_notify *notify = &actor->notifies[i];
        if (waits(notify) && notify->due_ns > now_ns && notify->due_ns < due_ns)
            due_ns = notify->due_ns;
    }
    if (due_ns == INT64_MAX)
        return;
    sd_event_source_set_time(actor->again, (uint64_t)(due_ns / NS_PER_US) + 1);
    sd_event_source_set_enabled(actor->again, SD_EVENT_ONESHOT);
}

void act_notify_next(struct guard_actor *actor)
{
    int64_t now_ns = clock_now_ns();
    while (running(actor) < ACT_NOTIFIES_AT_ONCE) {
        struct act_notify *next = find_next(actor, now_ns);
        if (!next)
            break;
        begin(next); /* it runs, or has a later time, or is given up */
    }
    wake_later(actor, now_ns);
}

/* Without a command the journal, or what the daemon prints, is the notice. */
void act_notify_add(struct guard_actor *actor, const struct guard_decision *decision)
{
    if (actor->setup.study->guard->notify_count == 0)
        return;
    struct act_notify *place = find_place(actor, decision);
    if (!place) {
        act_tell(actor, decision->service, decision->rule, false,
                 "notify: not told of %.80s: dropped, %d graver notices wait", decision->rule,
                 ACT_NOTIFIES_MAX);
        return;
    }
    fill_notify(place, actor, decision);
    act_notify_next(actor);
}

/* ---- its life ---- */

bool act_notify_open(struct guard_actor *actor, struct err *err)
{
    int r = sd_event_add_time(actor->event, &actor->again, CLOCK_MONOTONIC, 0, 0, on_again, actor);
    if (r >= 0)
        r = sd_event_source_set_enabled(actor->again, SD_EVENT_OFF);
    if (r >= 0)
        r = sd_event_source_set_description(actor->again, "notices that failed");
    return r >= 0 || err_set(err, ERR_INTERNAL, "a timer for notices: %s", strerror(-r));
}

void act_notify_close(struct guard_actor *actor)
{
    for (size_t i = 0; i < ACT_NOTIFIES_MAX; i++) {
        struct act_notify *notify = &actor->notifies[i];
        if (waits(notify))
            act_tell(actor, notify->service, notify->rule, false,
                     "notify: not told of %.80s: guard ends", notify->rule);
        leave(notify);
    }
    sd_event_source_disable_unref(actor->again);
}

size_t act_notify_busy(const struct guard_actor *actor)
{
    size_t busy = 0;
    for (size_t i = 0; i < ACT_NOTIFIES_MAX; i++)
        busy += actor->notifies[i].arena != NULL;
    return busy;
}
