/* A plan as JSON, for pipelines: docs/PROMOTE.md says what each member means. */
#pragma once

#include "promote/plan.h"

#include <jansson.h>

/* All that is shown of a plan, secrets as digests; without "id" until the plan has one. New
 * reference. */
json_t *promote_plan_json(const struct promote_plan *plan);
/* The word of a step's service, "stt"; NULL: none. */
const char *promote_service_name(const struct promote_plan *plan, int service);
/* The change of a file as a unified diff, secrets hidden. */
void promote_step_add_diff(struct buf *buf, const struct promote_plan *plan,
                           const struct promote_step *step);
/* Down for how long: the sum of the steps' measured restarts, of units that are up; NaN: one of
 * them is unknown. */
double promote_plan_downtime_s(const struct promote_plan *plan);
