/* The searches for how much a service can take, of each candidate's last trial that has any: the
 * winner's first, then the baseline's, then the others'. And the one place that puts an answer into
 * words, so that no two outputs disagree about what "at least" means. */
#include "report/build.h"

#include "stats/capacity.h"

#include <math.h>
#include <string.h>

static void add_searches(struct report_builder *b, const struct store_trial *trial,
                         const struct report_candidate *candidate)
{
    for (size_t i = 0; i < trial->capacity_count; i++) {
        struct report_capacity *c = &b->view->capacities[b->view->capacity_count++];
        *c = (struct report_capacity){
            .candidate = candidate, .trial = trial->number, .found = &trial->capacities[i]};
        for (size_t k = 0; k < trial->capacity_point_count; k++) {
            if (trial->capacity_points[k].search != (int)i)
                continue;
            c->points = c->points ? c->points : &trial->capacity_points[k];
            c->point_count++;
        }
    }
}

/* The last trial of a candidate with a search. */
static const struct store_trial *trial_of(const struct report_view *view,
                                          const struct report_candidate *candidate)
{
    const struct store_trial *last = NULL;
    for (size_t i = 0; i < view->trial_count; i++)
        if (view->trials[i].candidate == candidate && view->trials[i].trial->capacity_count)
            last = view->trials[i].trial;
    return last;
}

void report_build_capacities(struct report_builder *b)
{
    struct report_view *view = b->view;
    size_t most = 0;
    for (size_t i = 0; i < view->trial_count; i++)
        most += view->trials[i].trial->capacity_count;
    view->capacities = arena_array(b->arena, most, sizeof *view->capacities);
    const struct report_candidate *first[] = {view->winner ? view->winner->candidate : NULL,
                                              view->baseline ? view->baseline->candidate : NULL};
    for (size_t i = 0; i < ARRAY_LEN(first); i++) {
        const struct store_trial *trial =
            first[i] && (i == 0 || first[i] != first[0]) ? trial_of(view, first[i]) : NULL;
        if (trial)
            add_searches(b, trial, first[i]);
    }
    for (size_t i = 0; i < view->candidate_count; i++) {
        const struct report_candidate *candidate = &view->candidates[i];
        const struct store_trial *trial = trial_of(view, candidate);
        if (trial && candidate != first[0] && candidate != first[1])
            add_searches(b, trial, candidate);
    }
}

const struct report_capacity *report_capacity_clients(const struct report_view *view,
                                                      const struct report_candidate *candidate,
                                                      const char *service)
{
    for (size_t i = 0; i < view->capacity_count; i++) {
        const struct report_capacity *c = &view->capacities[i];
        if (c->candidate == candidate && strcmp(c->found->of, "concurrency") == 0 &&
            strcmp(c->found->service, service) == 0)
            return c;
    }
    return NULL;
}

void report_add_level(struct buf *buf, const struct store_capacity *found, double level)
{
    if (strcmp(found->of, "concurrency") == 0)
        buf_addf(buf, "%.0f %s", level, level == 1 ? "client" : "clients");
    else
        metric_add_value(buf, UNIT_PER_SECOND, level);
}

/* What stands around the answer, by how the search ended; `after` NULL: that it is too much. */
static const struct {
    const char *before, *between, *after;
    bool tells_high;
} phrases[CAPACITY_END_COUNT_] = {
    [CAPACITY_OPEN] = {"at least ", "; the search was not finished", "", false},
    [CAPACITY_FOUND] = {"", "; ", NULL, true},
    [CAPACITY_MOST] = {"at least ", ", the most that was tried", "", false},
    [CAPACITY_LEAST] = {"", "; ", NULL, true},
    [CAPACITY_OWN_LIMIT] = {"at least ", "; at ", " we could not follow ourselves", true},
    [CAPACITY_ENDED] = {"", "; it did not survive ", "", true},
    [CAPACITY_DISTURBED] = {"at least ", "; what comes next could not be measured", "", false},
    [CAPACITY_BUDGET] = {"at least ", ", less than ", "; its time was over", true},
};

static const char *too_much(const struct store_capacity *found, double level)
{
    if (strcmp(found->of, "concurrency") != 0)
        return " is too much";
    return level == 1 ? " is too many" : " are too many";
}

void report_add_capacity(struct buf *buf, const struct store_capacity *found)
{
    int end = stats_capacity_end_from_name(found->end);
    if (end < 0)
        end = CAPACITY_OPEN;
    if (isnan(found->low)) {
        buf_add(buf, isnan(found->high) ? "unknown" : "not even ");
        if (!isnan(found->high))
            report_add_level(buf, found, found->high);
        buf_add(buf, end == CAPACITY_ENDED ? ", which it did not survive" : "");
    } else {
        buf_add(buf, phrases[end].before);
        report_add_level(buf, found, found->low);
        bool tells_high = phrases[end].tells_high && !isnan(found->high);
        if (tells_high || !phrases[end].tells_high)
            buf_add(buf, phrases[end].between);
        if (tells_high) {
            report_add_level(buf, found, found->high);
            buf_add(buf, phrases[end].after ? phrases[end].after : too_much(found, found->high));
        }
    }
    buf_add(buf, found->unsure ? " (not certain at 95 %)" : "");
}
