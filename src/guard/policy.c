/* The tier for new requests.
 *
 * Down at once: one look that shows that the current tier will not keep the limit is enough, and it
 * goes to the most accurate tier that does; where none does, to the smallest. Up slowly: a better
 * tier must have promised to keep it with margin for as long as `up_after` without a break, and
 * that is doubled each time going up has proved wrong soon. Switches per minute are bounded; a
 * better tier must leave one for the way back. A tier that HAProxy can't use, or whose memory is
 * needed, is left whatever the bound says.
 *
 * Memory: when what is free (less what others are about to take) is under the reserve, the largest
 * tier that need not be resident goes first, the current one too: it is left, drained and only then
 * stopped. One at a time, since freed memory takes a while to be seen.
 *
 * Rejected: a controller that regulates a share of requests between tiers. Two tiers at once cost
 * the memory of both, and nobody could tell from its log why a request was answered by which.
 *
 * Invariants: the only usable tier is never left or stopped. No tier is started whose peak is
 * unknown or does not fit with the reserve. Unforced switches within a minute never exceed the
 * bound. In steady input the choice settles, and on no worse a tier with less load or more free
 * memory. */
#include "guard/policy.h"

#include "base/clock.h"
#include "base/text.h"
#include "guard/policy_fit.h"

#include <math.h>
#include <string.h>

static const int64_t MINUTE_NS = 60 * NS_PER_S;
static const int64_t LEARN_EVERY_NS = 10 * NS_PER_S;
static const uint64_t LEARN_ANSWERS_MIN = 20;
static const int64_t TRIAL_NS = 120 * NS_PER_S;  /* for an unknown tier to show what it does */
static const int64_t WANTED_NS = 300 * NS_PER_S; /* for one that a rule asked for to come up */
static const int64_t UNUSED_NS = 600 * NS_PER_S; /* then a tier that need not run is stopped */
enum { PATIENCE_MAX = 8, SOON = 4 };             /* soon: within so many times up_after */

enum held { HELD_NOT, HELD_BOUND, HELD_SMALLEST, HELD_NONE_USABLE };

struct step {
    struct policy_state *state;
    const struct policy_front *front;
    const struct policy_input *input;
    struct policy_fit fits[SPEC_TIERS_MAX];
    int victim;     /* whose memory is needed; -1 */
    bool up;        /* the target is a better one */
    enum held held; /* why nothing is done */
    struct policy_choice choice;
    struct buf reason;
};

struct policy_state policy_init(void)
{
    return (struct policy_state){
        .current = -1, .backlog = NAN, .patience = 1, .trial = -1, .wanted = -1};
}

static bool is_usable(const struct step *step, int t)
{
    const struct policy_seen *seen = &step->input->tiers[t];
    return seen->power == POWER_ON && seen->usable;
}

static int count(const struct step *step)
{
    return (int)step->front->count;
}

static size_t recent_switches(const struct policy_state *state, int64_t now_ns)
{
    size_t recent = 0;
    for (size_t k = 0; k < state->switch_count && k < POLICY_SWITCHES_MAX; k++)
        recent += now_ns - state->switches_ns[k] < MINUTE_NS;
    return recent;
}

/* ---- what was learned, and calm ---- */

static void learn(struct step *step)
{
    struct policy_state *state = step->state;
    int64_t now_ns = step->input->now_ns;
    if (state->current < 0 || now_ns - state->learned_ns < LEARN_EVERY_NS)
        return;
    const struct policy_seen *seen = &step->input->tiers[state->current];
    if (seen->answers < LEARN_ANSWERS_MIN)
        return;
    policy_learned_add(&state->learned[state->current], seen->mean_rps, seen->most_rps,
                       seen->latency_s, now_ns);
    state->learned_ns = now_ns;
}

static void note_calm(struct step *step)
{
    int64_t *since = step->state->calm_since_ns;
    for (int t = 0; t < count(step); t++) {
        bool there = is_usable(step, t) || step->input->tiers[t].power == POWER_COMING ||
                     step->input->tiers[t].power == POWER_OFF;
        bool calm = t != step->state->current && t != step->victim && there &&
                    step->fits[t].promises && step->fits[t].could;
        if (!calm)
            since[t] = 0;
        else if (since[t] == 0)
            since[t] = step->input->now_ns;
    }
}

static bool is_calm(const struct step *step, int t)
{
    const struct policy_state *state = step->state;
    return state->calm_since_ns[t] && step->fits[t].certain &&
           step->input->now_ns - state->calm_since_ns[t] >=
               step->front->up_after_ns * state->patience;
}

/* ---- memory ---- */

static double size_of(const struct step *step, int t)
{
    double held = step->input->tiers[t].held_bytes, peak = step->front->tiers[t].peak_bytes;
    return !isnan(held) ? held : !isnan(peak) ? peak : 0;
}

static int usable_count(const struct step *step)
{
    int usable = 0;
    for (int t = 0; t < count(step); t++)
        usable += is_usable(step, t);
    return usable;
}

static int find_victim(const struct step *step)
{
    int victim = -1;
    if (!policy_is_pressed(step->front, step->input) || usable_count(step) == 0)
        return -1;
    for (int t = 0; t < count(step); t++) {
        const struct policy_tier *tier = &step->front->tiers[t];
        enum policy_power power = step->input->tiers[t].power;
        if (power == POWER_GOING)
            return -1; /* its memory is on its way back */
        bool last = is_usable(step, t) && usable_count(step) == 1;
        if (tier->managed && !tier->resident && !last && power != POWER_OFF &&
            (victim < 0 || size_of(step, t) > size_of(step, victim)))
            victim = t;
    }
    return victim;
}

static void add_memory(struct step *step)
{
    buf_add(&step->reason, "free ");
    text_add_bytes(&step->reason, step->input->free_bytes);
    if (step->input->owed_bytes > 0) {
        buf_add(&step->reason, ", of which others take ");
        text_add_bytes(&step->reason, step->input->owed_bytes);
    }
    buf_add(&step->reason, ", reserve ");
    text_add_bytes(&step->reason, step->front->reserve_bytes);
}

/* ---- the target ---- */

/* The most accurate one that keeps the limit now; a better one than the current only after calm,
 * here too. -1: none. */
static int find_keeping(const struct step *step)
{
    int current = step->state->current;
    bool stays = current >= 0 && is_usable(step, current) && current != step->victim;
    for (int t = 0; t < count(step); t++) {
        bool better = stays && t < current;
        if (t != current && t != step->victim && is_usable(step, t) && step->fits[t].keeps &&
            (!better || (is_calm(step, t) && step->fits[t].room)))
            return t;
    }
    return -1;
}

static int find_smallest(const struct step *step)
{
    for (int t = count(step) - 1; t >= 0; t--)
        if (t != step->victim && is_usable(step, t))
            return t;
    return step->victim >= 0 && is_usable(step, step->victim) ? step->victim : -1;
}

static void add_fit(struct step *step, int t)
{
    policy_fit_add_why(&step->reason, step->state, step->front, step->input, &step->fits[t],
                       (size_t)t);
}

/* Its place must be taken by another. */
static int replace(struct step *step)
{
    int current = step->state->current, target = find_keeping(step);
    if (target < 0)
        target = find_smallest(step);
    step->choice.forced = true;
    if (current >= 0 && current == step->victim && is_usable(step, current)) {
        buf_addf(&step->reason, "the memory of %s is needed: ", step->front->tiers[current].name);
        add_memory(step);
    } else if (current >= 0)
        buf_addf(&step->reason, "%s is not usable", step->front->tiers[current].name);
    else
        buf_add(&step->reason, "the first choice");
    if (target < 0)
        step->held = HELD_NONE_USABLE;
    if (target < 0 || target == current) {
        step->choice.forced = false;
        return current;
    }
    return target;
}

static int go_down(struct step *step)
{
    int current = step->state->current, target = find_keeping(step);
    bool kept = target >= 0;
    if (!kept)
        target = find_smallest(step);
    add_fit(step, current);
    if (target == current) {
        step->held = HELD_SMALLEST;
        buf_add(&step->reason, "; no other tier keeps it, and this is the smallest");
    } else if (!kept)
        buf_add(&step->reason, "; none keeps it, this is the smallest");
    return target;
}

static int go_up(struct step *step)
{
    int current = step->state->current;
    for (int t = 0; t < current; t++) {
        if (!is_usable(step, t) || !is_calm(step, t) || !step->fits[t].room)
            continue;
        const struct policy_fit *fit = &step->fits[t];
        buf_addf(&step->reason, "%s keeps p%g ", step->front->tiers[t].name,
                 100 * step->front->quantile);
        text_add_duration(&step->reason, fit->high_s);
        buf_addf(&step->reason, " at up to %.3g requests/s, limit ", fit->high_rps);
        text_add_duration(&step->reason, step->front->limit_s);
        buf_add(&step->reason, ", calm for ");
        text_add_duration(&step->reason,
                          (double)(step->input->now_ns - step->state->calm_since_ns[t]) / NS_PER_S);
        step->up = true;
        return t;
    }
    return current;
}

/* What a rule asked for. */
static int obey(struct step *step)
{
    struct policy_state *state = step->state;
    int current = state->current;
    if (step->input->wish < 0)
        for (int t = current + 1; t < count(step); t++)
            if (t != step->victim && is_usable(step, t)) {
                buf_add(&step->reason, "a rule asks for a smaller tier");
                memset(state->calm_since_ns, 0, sizeof state->calm_since_ns);
                state->wanted = -1;
                return t;
            }
    for (int t = current - 1; t >= 0 && step->input->wish > 0; t--)
        if (t != step->victim && step->fits[t].room && step->fits[t].why != WHY_RATE &&
            (is_usable(step, t) || step->input->tiers[t].power == POWER_OFF)) {
            state->wanted = t;
            state->wanted_until_ns = step->input->now_ns + WANTED_NS;
            break;
        }
    int t = state->wanted;
    if (t < 0 || t >= current || step->input->now_ns >= state->wanted_until_ns) {
        state->wanted = -1;
        return current;
    }
    if (!is_usable(step, t) || t == step->victim)
        return current; /* not yet */
    buf_add(&step->reason, "a rule asks for a better tier");
    state->wanted = -1;
    state->trial = t;
    state->trial_until_ns = step->input->now_ns + TRIAL_NS;
    step->up = true;
    return t;
}

static int find_target(struct step *step)
{
    int current = step->state->current;
    if (current < 0 || !is_usable(step, current) || current == step->victim)
        return replace(step);
    if (!step->fits[current].keeps)
        return go_down(step);
    int target = obey(step);
    return target != current ? target : go_up(step);
}

/* ---- starting and stopping ---- */

/* `t` is off and may come: at once, or once others have made room. */
enum room { ROOM_NOW, ROOM_MADE };
static bool may_start(const struct step *step, int t, enum room room)
{
    return t >= 0 && step->input->tiers[t].power == POWER_OFF &&
           (step->fits[t].room || (room == ROOM_MADE && step->fits[t].could));
}

static int find_start(const struct step *step, enum room room)
{
    int chosen = step->choice.tier;
    for (int t = 0; t < count(step); t++)
        if (step->input->tiers[t].power == POWER_COMING ||
            step->input->tiers[t].power == POWER_GOING)
            return -1; /* one at a time: memory is counted when it has come, or gone */
    if (policy_is_pressed(step->front, step->input))
        return -1;
    bool none = usable_count(step) == 0, kept = !none && step->fits[chosen].keeps;
    for (int t = 0; t < count(step); t++)
        if (may_start(step, t, room) &&
            (!none && t < chosen ? is_calm(step, t) : !kept && step->fits[t].keeps))
            return t;
    for (int t = count(step) - 1; t >= 0 && none; t--)
        if (may_start(step, t, room))
            return t;
    return may_start(step, step->state->wanted, room) ? step->state->wanted : -1;
}

static int find_unused(struct step *step)
{
    int found = -1;
    for (int t = 0; t < count(step); t++) {
        const struct policy_tier *tier = &step->front->tiers[t];
        const struct policy_seen *seen = &step->input->tiers[t];
        int64_t *since = &step->state->unused_since_ns[t];
        if (!tier->managed || tier->resident || seen->power != POWER_ON || t == step->choice.tier ||
            seen->in_flight + seen->waiting > 0 || seen->pinned_ratio > 0)
            *since = 0;
        else if (*since == 0)
            *since = step->input->now_ns;
        else if (step->input->now_ns - *since >= UNUSED_NS)
            found = t;
    }
    return found;
}

/* The largest that is idle, for one that is to come; -1. */
static int find_idle(const struct step *step)
{
    int found = -1;
    for (int t = 0; t < count(step); t++)
        if (step->fits[t].idle && t != step->choice.tier &&
            (found < 0 || size_of(step, t) > size_of(step, found)))
            found = t;
    return found;
}

static void add_separator(struct step *step)
{
    buf_add(&step->reason, step->reason.len ? "; " : "");
}

static void stop(struct step *step, int t, const char *why)
{
    step->choice.stop = t;
    add_separator(step);
    buf_addf(&step->reason, "stopping %s (", step->front->tiers[t].name);
    text_add_bytes(&step->reason, size_of(step, t));
    buf_addf(&step->reason, ")%s", why);
}

static void choose_stop(struct step *step)
{
    int chosen = step->choice.tier, victim = step->victim, unused = find_unused(step);
    bool safe = chosen >= 0 && is_usable(step, chosen);
    if (victim >= 0 && victim != chosen && (safe || !is_usable(step, victim))) {
        bool said = step->choice.switched && step->choice.forced; /* why, and the numbers */
        stop(step, victim, said ? "" : " for memory: ");
        if (!said)
            add_memory(step);
        return;
    }
    if (!safe)
        return;
    if (unused >= 0) {
        stop(step, unused, ": unused for 10 min");
        step->state->unused_since_ns[unused] = 0;
        return;
    }
    int next = find_start(step, ROOM_MADE), idle = find_idle(step);
    if (next < 0 || step->fits[next].room || idle < 0)
        return;
    stop(step, idle, ", unused, to make room for ");
    buf_add(&step->reason, step->front->tiers[next].name);
}

static void choose_start(struct step *step)
{
    const struct policy_tier *tiers = step->front->tiers;
    int start = find_start(step, ROOM_NOW);
    if (start < 0)
        return;
    step->choice.start = start;
    add_separator(step);
    buf_addf(&step->reason, "starting %s: its peak ", tiers[start].name);
    text_add_bytes(&step->reason, tiers[start].peak_bytes);
    buf_add(&step->reason, " fits: ");
    add_memory(step);
}

/* ---- the step ---- */

static bool is_within_bound(const struct step *step)
{
    size_t recent = recent_switches(step->state, step->input->now_ns);
    size_t bound = (size_t)step->front->switches_per_minute;
    bound = bound < POLICY_SWITCHES_MAX ? bound : POLICY_SWITCHES_MAX;
    /* One is left for the way back. */
    return step->up && bound > 1 ? recent + 1 < bound : recent < bound;
}

static void note_switch(struct step *step, int target)
{
    struct policy_state *state = step->state;
    int64_t now_ns = step->input->now_ns, soon_ns = SOON * step->front->up_after_ns;
    state->switches_ns[state->switch_count++ % POLICY_SWITCHES_MAX] = now_ns;
    if (step->up)
        state->up_ns = now_ns;
    else if (!step->choice.forced && state->up_ns) {
        bool wrong = now_ns - state->up_ns < soon_ns;
        state->patience = wrong ? state->patience * 2 : 1;
        state->patience = state->patience < PATIENCE_MAX ? state->patience : PATIENCE_MAX;
    }
    if (state->trial != target)
        state->trial = -1;
    state->current = target;
    state->backlog = NAN;
    memset(state->calm_since_ns, 0, sizeof state->calm_since_ns);
}

/* Another reason than at the last step? What goes on is not said again. */
static bool is_news(struct step *step, bool moved)
{
    bool news = moved || step->choice.start >= 0 || step->choice.stop >= 0 ||
                (step->held != HELD_NOT && (int)step->held != step->state->held);
    step->state->held = (int)step->held;
    return news;
}

static void begin(struct step *step)
{
    struct policy_state *state = step->state;
    int current = step->input->current;
    if (current >= 0 && current < count(step) && current != state->current) {
        bool first = state->current < 0 && step->front->tiers[current].curve.count == 0;
        state->current = current; /* somebody else set it, or our switch did not come about */
        state->backlog = NAN;
        if (first) {
            state->trial = current;
            state->trial_until_ns = step->input->now_ns + TRIAL_NS;
        }
    }
    learn(step);
    policy_fit_all(state, step->front, step->input, step->fits);
    step->victim = find_victim(step);
    note_calm(step);
}

static void finish(struct step *step, int before, bool moved)
{
    struct policy_choice *choice = &step->choice;
    const struct policy_tier *tiers = step->front->tiers;
    if (is_news(step, moved)) {
        char head[96] = "";
        if (moved)
            snprintf(head, sizeof head, "%.40s -> %.40s: ", before >= 0 ? tiers[before].name : "?",
                     tiers[choice->tier].name);
        snprintf(choice->reason, sizeof choice->reason, "%s%.*s", head,
                 (int)(sizeof choice->reason - sizeof head - 1), buf_text(&step->reason));
    }
    int t = choice->tier;
    choice->predicted_s = t >= 0 ? step->fits[t].now.latency_s : NAN;
    step->state->backlog = t >= 0 ? step->fits[t].backlog : NAN;
    buf_done(&step->reason);
}

struct policy_choice policy_step(struct policy_state *state, const struct policy_front *front,
                                 const struct policy_input *input)
{
    struct step step = {.state = state,
                        .front = front,
                        .input = input,
                        .choice = {.start = -1, .stop = -1},
                        .reason = BUF_INIT(4096)};
    begin(&step);
    int before = state->current, target = find_target(&step);
    bool moved = target != before;
    if (moved && !step.choice.forced && !is_within_bound(&step)) {
        buf_addf(&step.reason, "; held back: %zu switches in the last minute of at most %d",
                 recent_switches(state, input->now_ns), front->switches_per_minute);
        step.held = HELD_BOUND;
        moved = false;
        target = before;
    }
    step.choice.tier = target;
    step.choice.switched = moved;
    if (moved)
        note_switch(&step, target);
    else if (step.held == HELD_NOT)
        buf_clear(&step.reason);
    choose_stop(&step);
    if (step.choice.stop < 0)
        choose_start(&step);
    finish(&step, before, moved);
    return step.choice;
}

double policy_predict(const struct policy_state *state, const struct policy_front *front,
                      const struct policy_input *input, size_t tier)
{
    struct policy_fit fits[SPEC_TIERS_MAX];
    policy_fit_all(state, front, input, fits);
    return fits[tier].now.latency_s;
}
