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
#include "guard/policy_step.h"

#include <math.h>
#include <string.h>

static const int64_t MINUTE_NS = 60 * NS_PER_S;
static const int64_t LEARN_EVERY_NS = 10 * NS_PER_S;
static const uint64_t LEARN_ANSWERS_MIN = 20;
static const int64_t TRIAL_NS = 120 * NS_PER_S;  /* for an unknown tier to show what it does */
static const int64_t WANTED_NS = 300 * NS_PER_S; /* for one that a rule asked for to come up */
static const double BUSY_S = 30;                 /* how far back "busy" reaches */
enum { PATIENCE_MAX = 8, SOON = 4 };             /* soon: within so many times up_after */

struct policy_state policy_init(void)
{
    return (struct policy_state){
        .current = -1, .backlog = NAN, .busy_ratio = NAN, .patience = 1, .trial = -1, .wanted = -1};
}

static size_t recent_switches(const struct policy_state *state, int64_t now_ns)
{
    size_t recent = 0;
    for (size_t k = 0; k < state->switch_count && k < POLICY_SWITCHES_MAX; k++)
        recent += now_ns - state->switches_ns[k] < MINUTE_NS;
    return recent;
}

/* ---- what was learned, and calm ---- */

static void learn(struct policy_step *step)
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

/* By Little's law a share of the time over a rate is what one request takes. The mean of the looks
 * so far, then the older ones fade. */
static void note_busy(struct policy_step *step)
{
    struct policy_state *state = step->state;
    const int64_t now_ns = step->input->now_ns;
    if (state->current < 0)
        return;
    const struct policy_seen *seen = &step->input->tiers[state->current];
    const double busy = seen->in_flight + seen->waiting >= 1 ? 1 : 0;
    if (isnan(state->busy_ratio)) {
        state->busy_ratio = busy;
        state->busy_since_ns = state->busy_ns = now_ns;
        return;
    }
    const double age_s = (double)(now_ns - state->busy_ns) / NS_PER_S;
    const double whole_s = (double)(now_ns - state->busy_since_ns) / NS_PER_S;
    if (age_s > 0)
        state->busy_ratio +=
            (busy - state->busy_ratio) * fmax(1 - exp(-age_s / BUSY_S), age_s / (whole_s + age_s));
    state->busy_ns = now_ns;
}

static void note_calm(struct policy_step *step)
{
    int64_t *since = step->state->calm_since_ns;
    for (int t = 0; t < policy_count(step); t++) {
        bool there = policy_is_usable(step, t) || step->input->tiers[t].power == POWER_COMING ||
                     step->input->tiers[t].power == POWER_OFF;
        bool calm = t != step->state->current && t != step->victim && there &&
                    step->fits[t].promises && step->fits[t].could;
        if (!calm)
            since[t] = 0;
        else if (since[t] == 0)
            since[t] = step->input->now_ns;
    }
}

/* ---- the target ---- */

/* The most accurate one that keeps the limit now; a better one than the current only after calm,
 * here too. -1: none. */
static int find_keeping(const struct policy_step *step)
{
    int current = step->state->current;
    bool stays = current >= 0 && policy_is_usable(step, current) && current != step->victim;
    for (int t = 0; t < policy_count(step); t++) {
        bool better = stays && t < current;
        if (t != current && t != step->victim && policy_is_usable(step, t) && step->fits[t].keeps &&
            (!better || (policy_is_calm(step, t) && step->fits[t].room)))
            return t;
    }
    return -1;
}

static int find_smallest(const struct policy_step *step)
{
    for (int t = policy_count(step) - 1; t >= 0; t--)
        if (t != step->victim && policy_is_usable(step, t))
            return t;
    return step->victim >= 0 && policy_is_usable(step, step->victim) ? step->victim : -1;
}

static void add_fit(struct policy_step *step, int t)
{
    policy_fit_add_why(&step->reason, step->state, step->front, step->input, &step->fits[t],
                       (size_t)t);
}

/* Its place must be taken by another. */
static int replace(struct policy_step *step)
{
    int current = step->state->current, target = find_keeping(step);
    if (target < 0)
        target = find_smallest(step);
    step->choice.forced = true;
    if (current >= 0 && current == step->victim && policy_is_usable(step, current)) {
        buf_addf(&step->reason, "the memory of %s is needed: ", step->front->tiers[current].name);
        policy_add_memory(step);
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

/* At least, by all that is known of it; fmax passes over the NaN. */
static double predicted_s(const struct policy_step *step, int t)
{
    const struct policy_fit *fit = &step->fits[t];
    double seen_s = t == step->state->current ? step->input->tiers[t].latency_s : NAN;
    return fmax(fmax(fit->wait_s, seen_s), fmax(fit->now.latency_s, fit->now.least_s));
}

/* The smallest is the quickest, unless it was measured to be slower than this one is now: small
 * models have answers that they think over again and again. */
static int find_quickest(const struct policy_step *step)
{
    int current = step->state->current, smallest = find_smallest(step);
    if (smallest != current && policy_is_usable(step, current) && current != step->victim &&
        predicted_s(step, smallest) >= predicted_s(step, current))
        return current;
    return smallest;
}

static int go_down(struct policy_step *step)
{
    int current = step->state->current, target = find_keeping(step);
    bool kept = target >= 0;
    if (!kept)
        target = find_quickest(step);
    add_fit(step, current);
    if (target == current) {
        step->held = HELD_SMALLEST;
        buf_addf(&step->reason, "; no other tier keeps it, and %s",
                 current == find_smallest(step) ? "this is the smallest" : "none is quicker");
    } else if (!kept)
        buf_add(&step->reason, "; none keeps it, this is the smallest");
    return target;
}

static int go_up(struct policy_step *step)
{
    int current = step->state->current;
    for (int t = 0; t < current; t++) {
        if (!policy_is_usable(step, t) || !policy_is_calm(step, t) || !step->fits[t].room)
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
static int obey(struct policy_step *step)
{
    struct policy_state *state = step->state;
    int current = state->current;
    if (step->input->wish < 0)
        for (int t = current + 1; t < policy_count(step); t++)
            if (t != step->victim && policy_is_usable(step, t)) {
                buf_add(&step->reason, "a rule asks for a smaller tier");
                memset(state->calm_since_ns, 0, sizeof state->calm_since_ns);
                state->wanted = -1;
                return t;
            }
    for (int t = current - 1; t >= 0 && step->input->wish > 0; t--)
        if (t != step->victim && step->fits[t].room && step->fits[t].why != WHY_RATE &&
            (policy_is_usable(step, t) || step->input->tiers[t].power == POWER_OFF)) {
            state->wanted = t;
            state->wanted_until_ns = step->input->now_ns + WANTED_NS;
            break;
        }
    int t = state->wanted;
    if (t < 0 || t >= current || step->input->now_ns >= state->wanted_until_ns) {
        state->wanted = -1;
        return current;
    }
    if (!policy_is_usable(step, t) || t == step->victim)
        return current; /* not yet */
    buf_add(&step->reason, "a rule asks for a better tier");
    state->wanted = -1;
    state->trial = t;
    state->trial_until_ns = step->input->now_ns + TRIAL_NS;
    step->up = true;
    return t;
}

static int find_target(struct policy_step *step)
{
    int current = step->state->current;
    if (current < 0 || !policy_is_usable(step, current) || current == step->victim)
        return replace(step);
    if (!step->fits[current].keeps)
        return go_down(step);
    int target = obey(step);
    return target != current ? target : go_up(step);
}

/* ---- the step ---- */

static bool is_within_bound(const struct policy_step *step)
{
    size_t recent = recent_switches(step->state, step->input->now_ns);
    size_t bound = (size_t)step->front->switches_per_minute;
    bound = bound < POLICY_SWITCHES_MAX ? bound : POLICY_SWITCHES_MAX;
    /* One is left for the way back. */
    return step->up && bound > 1 ? recent + 1 < bound : recent < bound;
}

static void note_switch(struct policy_step *step, int target)
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
    state->backlog = state->busy_ratio = NAN;
    memset(state->calm_since_ns, 0, sizeof state->calm_since_ns);
}

/* Another reason than at the last step? What goes on is not said again. */
static bool is_news(struct policy_step *step, bool moved)
{
    bool news = moved || step->choice.start >= 0 || step->choice.stop >= 0 ||
                (step->held != HELD_NOT && (int)step->held != step->state->held);
    step->state->held = (int)step->held;
    return news;
}

static void begin(struct policy_step *step)
{
    struct policy_state *state = step->state;
    int current = step->input->current;
    if (current >= 0 && current < policy_count(step) && current != state->current) {
        bool first = state->current < 0 && step->front->tiers[current].curve.count == 0;
        state->current = current; /* somebody else set it, or our switch did not come about */
        state->backlog = state->busy_ratio = NAN;
        if (first) {
            state->trial = current;
            state->trial_until_ns = step->input->now_ns + TRIAL_NS;
        }
    }
    learn(step);
    note_busy(step);
    policy_fit_all(state, step->front, step->input, step->fits);
    step->victim = policy_find_victim(step);
    note_calm(step);
}

static void finish(struct policy_step *step, int before, bool moved)
{
    struct policy_choice *choice = &step->choice;
    const struct policy_tier *tiers = step->front->tiers;
    if (is_news(step, moved)) {
        char head[96] = "";
        if (moved)
            snprintf(head, sizeof head, "%.40s -> %.40s: ", before >= 0 ? tiers[before].name : "?",
                     tiers[choice->tier].name);
        snprintf(choice->reason, sizeof choice->reason, "%s%.*s", head,
                 (int)(sizeof choice->reason - strlen(head) - 1), buf_text(&step->reason));
    }
    int t = choice->tier;
    choice->predicted_s = t >= 0 ? step->fits[t].now.latency_s : NAN;
    step->state->backlog = t >= 0 ? step->fits[t].backlog : NAN;
    buf_done(&step->reason);
}

struct policy_choice policy_step(struct policy_state *state, const struct policy_front *front,
                                 const struct policy_input *input)
{
    struct policy_step step = {.state = state,
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
    policy_choose_stop(&step);
    if (step.choice.stop < 0)
        policy_choose_start(&step);
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
