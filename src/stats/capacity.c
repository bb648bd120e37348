/* The search as a table of levels and their votes: what comes next follows from the table alone,
 * so that there is no state that could disagree with what was seen.
 *
 * A level stands as met or missed by the majority of its windows; one window is enough to go on,
 * the two ends of the answer need two that agree. So one lucky or spoilt window costs some windows
 * more and no wrong answer: an end that falls at its second look moves the bracket, and the search
 * goes on from there. Rejected: stochastic approximation (Robbins and Monro), which needs no
 * bracket but hundreds of windows; and a fit of the whole curve, which supposes its shape.
 *
 * A level that stays undecided at its longest window counts by its own value: a service of one
 * request in five seconds would otherwise have no capacity at all. The answer says so (`unsure`).
 * What no window of any length decides counts so at once: looking longer would cost seven times the
 * time, and end the search by its budget, for nothing.
 *
 * Invariant: whatever is told, the search ends after limits.windows windows. */
#include "stats/capacity.h"

#include "base/text.h"

#include <assert.h>
#include <math.h>
#include <string.h>

enum { SEEN_TWICE = 2, VOTES_MAX = 4, SIGNIFICANT_DIGITS = 3 };

static const char *const level_names[LEVEL_COUNT_] = {
    [LEVEL_MET] = "met",
    [LEVEL_LEANS_MET] = "leans met",
    [LEVEL_LEANS_MISSED] = "leans missed",
    [LEVEL_MISSED] = "missed",
    [LEVEL_DISTURBED] = "disturbed",
    [LEVEL_OWN_LIMIT] = "own limit",
    [LEVEL_ENDED] = "ended",
};

static const char *const end_names[CAPACITY_END_COUNT_] = {
    [CAPACITY_OPEN] = "open",           [CAPACITY_FOUND] = "found",
    [CAPACITY_MOST] = "most",           [CAPACITY_LEAST] = "least",
    [CAPACITY_OWN_LIMIT] = "own limit", [CAPACITY_ENDED] = "ended",
    [CAPACITY_DISTURBED] = "disturbed", [CAPACITY_BUDGET] = "budget",
};

const char *stats_level_name(enum stats_level level)
{
    return level_names[level];
}

const char *stats_capacity_end_name(enum stats_capacity_end end)
{
    return end_names[end];
}

int stats_capacity_end_from_name(const char *name)
{
    return name ? text_index(end_names, CAPACITY_END_COUNT_, name) : -1;
}

struct stats_capacity stats_capacity_init(const struct stats_capacity_limits *limits)
{
    assert(limits->least > 0 && limits->least <= limits->start && limits->start <= limits->most);
    return (struct stats_capacity){.limits = *limits};
}

enum standing { STANDS_NOWHERE, STANDS_MET, STANDS_MISSED, STANDS_BEYOND_US };

static enum standing standing_of(const struct stats_capacity_level *l)
{
    if (l->beyond_us >= SEEN_TWICE)
        return STANDS_BEYOND_US;
    if (l->met != l->missed)
        return l->met > l->missed ? STANDS_MET : STANDS_MISSED;
    /* A level that goes to and fro is not one to rely on. */
    return l->met + l->missed >= VOTES_MAX ? STANDS_MISSED : STANDS_NOWHERE;
}

static struct stats_capacity_level *find(struct stats_capacity *capacity, double level)
{
    for (size_t i = 0; i < capacity->level_count; i++)
        if (capacity->levels[i].level == level)
            return &capacity->levels[i];
    return NULL;
}

/* The smallest level that failed, and the largest below it that met; NULL: none. */
static const struct stats_capacity_level *high_end(const struct stats_capacity *capacity)
{
    const struct stats_capacity_level *high = NULL;
    for (size_t i = 0; i < capacity->level_count; i++) {
        const struct stats_capacity_level *l = &capacity->levels[i];
        enum standing standing = standing_of(l);
        if ((standing == STANDS_MISSED || standing == STANDS_BEYOND_US) &&
            (!high || l->level < high->level))
            high = l;
    }
    return high;
}

static const struct stats_capacity_level *low_end(const struct stats_capacity *capacity,
                                                  const struct stats_capacity_level *high)
{
    const struct stats_capacity_level *low = NULL;
    for (size_t i = 0; i < capacity->level_count; i++) {
        const struct stats_capacity_level *l = &capacity->levels[i];
        if (standing_of(l) == STANDS_MET && (!high || l->level < high->level) &&
            (!low || l->level > low->level))
            low = l;
    }
    return low;
}

/* A rate is asked for in figures that can be read: 18.7, not 18.68154169. */
static double shaped(const struct stats_capacity_limits *limits, double level)
{
    if (limits->whole) {
        level = round(level);
    } else {
        double scale = pow(10, SIGNIFICANT_DIGITS - 1 - floor(log10(level)));
        level = round(level * scale) / scale;
    }
    return fmin(fmax(level, limits->least), limits->most);
}

static bool near_enough(const struct stats_capacity_limits *limits, double low, double high)
{
    double step = limits->resolution_ratio * low;
    return high - low <= (limits->whole ? fmax(1, floor(step)) : step);
}

static double between(const struct stats_capacity_limits *limits, double low, double high)
{
    double middle = limits->whole ? floor((low + high) / 2) : sqrt(low * high);
    return shaped(limits, middle);
}

/* What of an end is still to be seen. A level that met is looked at longer the second time: a queue
 * that only grows needs time to show. */
static bool wants_second_look(const struct stats_capacity *capacity,
                              const struct stats_capacity_level *l,
                              struct stats_capacity_probe *ret)
{
    if (standing_of(l) == STANDS_BEYOND_US || l->met + l->missed >= SEEN_TWICE)
        return false;
    bool longer = standing_of(l) == STANDS_MET && capacity->limits.stretch > 1;
    *ret = (struct stats_capacity_probe){l->level, longer ? 2 : 1};
    return true;
}

static bool over(struct stats_capacity *capacity, enum stats_capacity_end end)
{
    capacity->end = end;
    return false;
}

/* Nothing missed so far, or nothing met so far. */
static bool next_outside(struct stats_capacity *capacity, const struct stats_capacity_level *low,
                         const struct stats_capacity_level *high, struct stats_capacity_probe *ret)
{
    const struct stats_capacity_limits *limits = &capacity->limits;
    ret->stretch = 1;
    if (!low && !high) {
        ret->level = shaped(limits, limits->start);
        return true;
    }
    if (!high) {
        ret->level = shaped(limits, 2 * low->level);
        if (low->level < limits->most)
            return true;
        return wants_second_look(capacity, low, ret) || over(capacity, CAPACITY_MOST);
    }
    ret->level = shaped(limits, high->level / 2);
    if (high->level > limits->least)
        return true;
    return wants_second_look(capacity, high, ret) ||
           over(capacity,
                standing_of(high) == STANDS_BEYOND_US ? CAPACITY_OWN_LIMIT : CAPACITY_LEAST);
}

static bool next_by_table(struct stats_capacity *capacity, struct stats_capacity_probe *ret)
{
    const struct stats_capacity_limits *limits = &capacity->limits;
    for (size_t i = 0; i < capacity->level_count; i++) {
        const struct stats_capacity_level *l = &capacity->levels[i];
        if (standing_of(l) == STANDS_NOWHERE) { /* two windows contradict: a longer one decides */
            *ret = (struct stats_capacity_probe){l->level, limits->stretch > 1 ? 2 : 1};
            return true;
        }
    }
    const struct stats_capacity_level *high = high_end(capacity), *low = low_end(capacity, high);
    if (!low || !high)
        return next_outside(capacity, low, high, ret);
    double middle = between(limits, low->level, high->level);
    bool can_cut = middle > low->level && middle < high->level;
    if (can_cut && !near_enough(limits, low->level, high->level)) {
        *ret = (struct stats_capacity_probe){middle, 1};
        return true;
    }
    return wants_second_look(capacity, low, ret) || wants_second_look(capacity, high, ret) ||
           over(capacity,
                standing_of(high) == STANDS_BEYOND_US ? CAPACITY_OWN_LIMIT : CAPACITY_FOUND);
}

bool stats_capacity_next(struct stats_capacity *capacity, struct stats_capacity_probe *ret_probe)
{
    struct stats_capacity_probe probe = capacity->again;
    if (capacity->end != CAPACITY_OPEN)
        return false;
    if (capacity->windows >= capacity->limits.windows)
        return over(capacity, CAPACITY_BUDGET);
    if (probe.stretch == 0 && !next_by_table(capacity, &probe))
        return false;
    if (!find(capacity, probe.level)) {
        if (capacity->level_count == STATS_CAPACITY_LEVELS)
            return over(capacity, CAPACITY_BUDGET);
        capacity->levels[capacity->level_count++] =
            (struct stats_capacity_level){.level = probe.level};
    }
    capacity->last = capacity->again = probe;
    *ret_probe = probe;
    return true;
}

void stats_capacity_tell(struct stats_capacity *capacity, enum stats_level outcome,
                         bool longer_helps)
{
    struct stats_capacity_level *l = find(capacity, capacity->last.level);
    assert(l);
    capacity->windows++;
    if (outcome == LEVEL_DISTURBED) {
        if (++capacity->disturbed >= STATS_CAPACITY_DISTURBED_MAX)
            capacity->end = CAPACITY_DISTURBED;
        return;
    }
    capacity->disturbed = 0;
    bool leans = outcome == LEVEL_LEANS_MET || outcome == LEVEL_LEANS_MISSED;
    if (leans && longer_helps && 2 * capacity->last.stretch <= capacity->limits.stretch) {
        capacity->again.stretch = 2 * capacity->last.stretch;
        return;
    }
    capacity->again.stretch = 0;
    if (outcome == LEVEL_ENDED) {
        l->missed++;
        l->sure++;
        capacity->end = CAPACITY_ENDED;
    } else if (outcome == LEVEL_OWN_LIMIT) {
        l->beyond_us++;
        capacity->again.stretch = l->beyond_us < SEEN_TWICE ? capacity->last.stretch : 0;
    } else {
        l->met += outcome == LEVEL_MET || outcome == LEVEL_LEANS_MET;
        l->missed += outcome == LEVEL_MISSED || outcome == LEVEL_LEANS_MISSED;
        l->sure += !leans;
    }
}

struct stats_capacity_answer stats_capacity_answer(const struct stats_capacity *capacity)
{
    const struct stats_capacity_level *high = high_end(capacity), *low = low_end(capacity, high);
    if (capacity->end == CAPACITY_ENDED) {
        /* What kills it is no level, whatever was seen there before. */
        const double killed = capacity->last.level;
        low = high = NULL;
        for (size_t i = 0; i < capacity->level_count; i++) {
            const struct stats_capacity_level *l = &capacity->levels[i];
            if (l->level == killed)
                high = l;
            else if (l->level < killed && standing_of(l) == STANDS_MET &&
                     (!low || l->level > low->level))
                low = l;
        }
    }
    return (struct stats_capacity_answer){
        .end = capacity->end,
        .low = low ? low->level : NAN,
        .high = high ? high->level : NAN,
        .unsure = (low && low->sure == 0) || (high && high->sure == 0 && high->beyond_us == 0),
    };
}
