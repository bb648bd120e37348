/* Inside guard/: from what was seen to the values of a tick. Pure. */
#pragma once

#include "guard/watch.h"

struct guard_seen { /* what values are made from */
    const struct spec_study *study;
    const struct guard_subject *subjects;
    const struct guard_memory *memory;
    const struct proxy_view *proxy; /* NULL: there is none */
    bool requests_seen;             /* HAProxy's log is read */
    double disk_free_bytes;
    bool engine_asked[SPEC_SERVICES_MAX];
    const struct guard_capacities *capacities; /* borrowed */
    double changed[CHANGE_COUNT_]; /* is production not what was studied? 1, 0, NaN unknown */
};
/* Requests per second that come to a service now, by HAProxy or else by its engine; NaN unknown. A
 * probe's rate is our own. */
double guard_values_arrivals(const struct guard_seen *seen, size_t i);
void guard_values_fill(const struct guard_seen *seen, const struct guard_metric_ref *refs,
                       size_t count, struct guard_value *ret_values);
