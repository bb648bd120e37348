/* The order that a bound is a statement about: candidate B covers fact A when no knob of B can be
 * better for memory than A's.
 *
 * "Above" compares every knob of every service: a later start finds what the earlier ones left. A
 * smaller value is never assumed to fail, since a failure of one service may be cured by another's
 * smaller demand. But the service that is started first finds the device as it is without any of
 * ours, so that nobody else's knobs can cure or explain its failure: only its own are compared.
 * "Below" is about one server's own share, so only its own knobs count; whether it is a share (more
 * of it cures) or a demand (more of it harms) is what the engine's table says:
 * gpu_memory_utilization is more memory taken of the device and more room inside.
 *
 * Rejected: a model of how many MiB each setting takes. It would be right most of the time, and a
 * candidate that would have worked is then never seen. */
#include "study/bounds.h"

#include <math.h>

/* Compares by what a knob takes of the device: < 0 when b takes less than a. */
static bool compare_memory(const struct spec_knob *knob, int a, int b, int *ret_order)
{
    if (a == b) {
        *ret_order = 0;
        return true;
    }
    if (knob->memory == MEMORY_NONE || a < 0 || b < 0)
        return false;
    double left = knob->values[a].number, right = knob->values[b].number;
    if (isnan(left) || isnan(right))
        return false;
    int order = (right > left) - (right < left);
    *ret_order = knob->memory == MEMORY_LESS ? -order : order;
    return true;
}

/* A bound is known of trials alone in which every service was started anew, in the file's order;
 * what is run for each request is not there while others start. */
static bool was_alone(const struct spec_study *study, size_t service)
{
    for (size_t i = 0; i < service; i++)
        if (!study->services[i].by_request)
            return false;
    return true;
}

static bool covers_above(const struct spec_study *study, size_t service,
                         const struct spec_candidate *a, const struct spec_candidate *b)
{
    bool alone = was_alone(study, service);
    for (size_t k = 0; k < study->knob_count; k++) {
        int order = 0;
        if (alone && study->knobs[k].service != service)
            continue;
        if (!compare_memory(&study->knobs[k], a->index[k], b->index[k], &order) || order < 0)
            return false;
    }
    return true;
}

static bool covers_below(const struct spec_study *study, size_t service,
                         const struct spec_candidate *a, const struct spec_candidate *b)
{
    for (size_t k = 0; k < study->knob_count; k++) {
        const struct spec_knob *knob = &study->knobs[k];
        int order = 0;
        if (knob->service != service)
            continue;
        if (!compare_memory(knob, a->index[k], b->index[k], &order))
            return false;
        /* A share that grew, or a demand that shrank, may be the cure. */
        if (knob->memory == MEMORY_SHARE ? order > 0 : order < 0)
            return false;
    }
    return true;
}

bool study_bound_covers(const struct spec_study *study, const struct history_trial *fact,
                        spec_code code)
{
    if (fact->bound == BOUND_NOTHING || code == fact->code)
        return false;
    struct spec_candidate a = spec_candidate_decode(study, fact->code);
    struct spec_candidate b = spec_candidate_decode(study, code);
    return fact->bound == BOUND_ABOVE_FAILS ? covers_above(study, fact->bound_service, &a, &b)
                                            : covers_below(study, fact->bound_service, &a, &b);
}
