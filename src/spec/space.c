/* Walking and counting candidates: knobs are decided from the first to the last, and a constraint
 * is evaluated at the knob that decides its last name, so that a whole subtree falls at once.
 *
 * Counting does not list. What lies below a partial candidate depends only on those decided knobs
 * that a later condition or constraint still names (the live ones); partial candidates that agree
 * on them have equally many continuations, which is remembered per depth. A million candidates of
 * six knobs with one constraint across two of them cost about a hundred visits. Where everything is
 * live, as with one constraint over all knobs, it is plain enumeration, some 10^7 candidates a
 * second.
 *
 * Rejected: inclusion and exclusion over constraints, decision diagrams. Both are faster in cases
 * that no study has, and neither fits on two pages.
 *
 * A number of steps bounds every search that loading a file starts, so that no file can hang it; a
 * search that gives up says so, and never says "impossible". */
#include "spec/space.h"

#include "spec/loader.h"
#include "spec/space_walk.h"

#include <assert.h>
#include <string.h>

enum {
    COUNT_STEPS = 10000000,
    FEASIBLE_STEPS = 2000000,
    MEMO_SLOTS_MAX = 1 << 21, /* 24 bytes each */
};

struct memo_slot {
    uint64_t key, count;
    size_t depth; /* plus 1; 0: free */
};

struct walk {
    struct spec_candidate candidate;
    struct spec_view view;
    const bool *enabled;               /* per constraint; NULL: all */
    uint64_t live[SPEC_KNOBS_MAX + 1]; /* knobs below the depth that something later names */
    uint64_t limit;                    /* counting may stop here */
    uint64_t steps, step_max;
    bool gave_up;
    struct memo_slot *memo;
    size_t memo_slots, memo_used;
};

static bool is_enabled(const struct walk *w, size_t constraint)
{
    return !w->enabled || w->enabled[constraint];
}

static uint64_t names_below(const struct expr *expr, size_t depth)
{
    uint64_t mask = 0;
    for (size_t i = 0; i < depth; i++)
        if (expr_uses(expr, i))
            mask |= UINT64_C(1) << i;
    return mask;
}

static void walk_init(struct walk *w, const struct spec_study *study, const bool *enabled)
{
    *w = (struct walk){.enabled = enabled, .limit = UINT64_MAX, .step_max = UINT64_MAX};
    w->view = (struct spec_view){.study = study, .candidate = &w->candidate};
    for (size_t i = 0; i < SPEC_KNOBS_MAX; i++)
        w->candidate.index[i] = -1;
    for (size_t depth = 0; depth <= study->knob_count; depth++) {
        for (size_t k = depth; k < study->knob_count; k++)
            if (study->knobs[k].when)
                w->live[depth] |= names_below(study->knobs[k].when, depth);
        for (size_t c = 0; c < study->constraint_count; c++)
            if (is_enabled(w, c) && expr_needs(study->constraints[c].expr) > depth)
                w->live[depth] |= names_below(study->constraints[c].expr, depth);
    }
}

static void walk_done(struct walk *w)
{
    free(w->memo);
}

/* The constraints whose last knob was just decided. Unknown does not forbid. */
static bool holds(const struct walk *w, size_t knob)
{
    const struct spec_study *study = w->view.study;
    for (size_t c = 0; c < study->constraint_count; c++) {
        const struct expr *expr = study->constraints[c].expr;
        if (expr_needs(expr) == knob + 1 && is_enabled(w, c) &&
            expr_eval(expr, spec_view_lookup, &w->view) == EXPR_FALSE)
            return false;
    }
    return true;
}

/* ---- memory of counts ---- */

/* Live knobs as one number; it fits because the code of a whole candidate does. */
static uint64_t live_key(const struct walk *w, size_t depth)
{
    uint64_t key = 0;
    for (size_t i = 0; i < depth; i++) {
        const struct spec_knob *knob = &w->view.study->knobs[i];
        if (w->live[depth] >> i & 1)
            key = key * spec_knob_radix(knob) + spec_knob_digit(knob, w->candidate.index[i]);
    }
    return key;
}

/* Worth remembering only where several partial candidates share a key. */
static bool is_remembered(const struct walk *w, size_t depth)
{
    uint64_t decided = depth >= 64 ? UINT64_MAX : (UINT64_C(1) << depth) - 1;
    return depth > 0 && w->live[depth] != decided;
}

static struct memo_slot *memo_find(struct memo_slot *memo, size_t slots, size_t depth, uint64_t key)
{
    assert(memo && slots > 0);
    uint64_t hash = (key ^ (uint64_t)depth << 57) * UINT64_C(0x9E3779B97F4A7C15);
    size_t at = (size_t)(hash >> 20) & (slots - 1);
    while (memo[at].depth && (memo[at].depth != depth + 1 || memo[at].key != key))
        at = (at + 1) & (slots - 1);
    return &memo[at];
}

/* Room for one more, or false when the memory has its full size. */
static bool memo_grow(struct walk *w)
{
    size_t slots = w->memo_slots ? 2 * w->memo_slots : 1024;
    assert(w->memo || !w->memo_slots);
    if (w->memo_used * 2 < w->memo_slots)
        return true;
    if (slots > MEMO_SLOTS_MAX)
        return false;
    struct memo_slot *memo = calloc(slots, sizeof *memo);
    if (!memo)
        abort();
    for (size_t i = 0; i < w->memo_slots; i++)
        if (w->memo[i].depth)
            *memo_find(memo, slots, w->memo[i].depth - 1, w->memo[i].key) = w->memo[i];
    free(w->memo);
    w->memo = memo;
    w->memo_slots = slots;
    return true;
}

static void memo_put(struct walk *w, size_t depth, uint64_t key, uint64_t count)
{
    if (!memo_grow(w))
        return;
    *memo_find(w->memo, w->memo_slots, depth, key) =
        (struct memo_slot){.key = key, .count = count, .depth = depth + 1};
    w->memo_used++;
}

/* ---- counting ---- */

static uint64_t count_from(struct walk *w, size_t depth)
{
    const struct spec_study *study = w->view.study;
    if (depth == study->knob_count)
        return 1;
    const bool remembered = is_remembered(w, depth);
    const uint64_t key = remembered ? live_key(w, depth) : 0;
    if (remembered && w->memo) {
        const struct memo_slot *slot = memo_find(w->memo, w->memo_slots, depth, key);
        if (slot->depth)
            return slot->count;
    }
    const bool active = spec_knob_active(&w->view, depth);
    const int first = active ? 0 : -1, end = active ? (int)study->knobs[depth].value_count : 0;
    uint64_t total = 0;
    for (int i = first; i < end; i++) {
        w->candidate.index[depth] = i;
        if (++w->steps > w->step_max)
            w->gave_up = true;
        else if (holds(w, depth))
            total += count_from(w, depth + 1);
        if (w->gave_up || total >= w->limit)
            return total;
    }
    if (remembered)
        memo_put(w, depth, key, total);
    return total;
}

uint64_t spec_space_count(const struct spec_study *study)
{
    struct walk w;
    walk_init(&w, study, NULL);
    w.step_max = COUNT_STEPS;
    uint64_t count = count_from(&w, 0);
    walk_done(&w);
    return w.gave_up ? UINT64_MAX : count;
}

uint64_t spec_space_combinations(const struct spec_study *study)
{
    uint64_t product = 1;
    for (size_t i = 0; i < study->knob_count; i++)
        if (__builtin_mul_overflow(product, study->knobs[i].value_count, &product))
            return UINT64_MAX;
    return product;
}

/* False only when it is certain that there is none. */
static bool may_exist(const struct spec_study *study, const bool *enabled)
{
    struct walk w;
    walk_init(&w, study, enabled);
    w.limit = 1;
    w.step_max = FEASIBLE_STEPS;
    uint64_t count = count_from(&w, 0);
    walk_done(&w);
    return w.gave_up || count > 0;
}

bool spec_check_feasible(struct spec_loader *l)
{
    const struct spec_study *study = l->study;
    if (study->constraint_count == 0 || may_exist(study, NULL))
        return true;
    bool *enabled = arena_array(l->arena, study->constraint_count, sizeof *enabled);
    for (size_t c = 0; c < study->constraint_count; c++) {
        enabled[c] = true;
        bool possible = may_exist(study, enabled);
        enabled[c] = false;
        if (!possible)
            return spec_fail(l, study->constraints[c].place, "constraints",
                             "\"%s\" excludes every candidate",
                             spec_quote(l, expr_text(study->constraints[c].expr)));
    }
    for (size_t c = 0; c < study->constraint_count; c++) {
        enabled[c] = true;
        if (!may_exist(study, enabled))
            return spec_fail(l, study->constraints[c].place, "constraints",
                             "\"%s\" together with those above it excludes every candidate",
                             spec_quote(l, expr_text(study->constraints[c].expr)));
    }
    return true;
}

/* ---- visiting ---- */

/* Its memory holds only subtrees without a candidate, which are not entered twice. */
struct visitor {
    struct walk walk;
    spec_visit visit;
    void *context;
    uint64_t visited;
};

static bool visit_from(struct visitor *v, size_t depth, spec_code code)
{
    struct walk *w = &v->walk;
    const struct spec_study *study = w->view.study;
    if (depth == study->knob_count) {
        v->visited++;
        return v->visit(v->context, code);
    }
    const bool remembered = is_remembered(w, depth);
    const uint64_t key = remembered ? live_key(w, depth) : 0, before = v->visited;
    if (remembered && w->memo && memo_find(w->memo, w->memo_slots, depth, key)->depth)
        return true;
    const struct spec_knob *knob = &study->knobs[depth];
    const bool active = spec_knob_active(&w->view, depth);
    const int first = active ? 0 : -1, end = active ? (int)knob->value_count : 0;
    for (int i = first; i < end; i++) {
        w->candidate.index[depth] = i;
        const spec_code next = code * spec_knob_radix(knob) + spec_knob_digit(knob, i);
        if (holds(w, depth) && !visit_from(v, depth + 1, next))
            return false;
    }
    if (remembered && v->visited == before)
        memo_put(w, depth, key, 0);
    return true;
}

void spec_space_each(const struct spec_study *study, spec_visit visit, void *context)
{
    struct visitor v = {.visit = visit, .context = context};
    walk_init(&v.walk, study, NULL);
    visit_from(&v, 0, 0);
    walk_done(&v.walk);
}

struct list {
    spec_code *codes;
    size_t count;
};

static bool list_add(void *context, spec_code code)
{
    struct list *list = context;
    list->codes[list->count++] = code;
    return true;
}

bool spec_space_list(const struct spec_study *study, uint64_t max, spec_code **ret_codes,
                     size_t *ret_count, struct err *err)
{
    const uint64_t count = spec_space_count(study); /* far cheaper than finding out by listing */
    if (count == UINT64_MAX)
        return err_set(err, ERR_LIMIT, "too many candidates to count");
    if (count > max)
        return err_set(err, ERR_LIMIT, "%llu candidates, at most %llu can be listed",
                       (unsigned long long)count, (unsigned long long)max);
    struct list list = {.codes = calloc(count + 1, sizeof *list.codes)};
    if (!list.codes)
        return err_set(err, ERR_LIMIT, "no memory for %llu candidates", (unsigned long long)count);
    spec_space_each(study, list_add, &list);
    *ret_codes = list.codes;
    *ret_count = list.count;
    return true;
}
