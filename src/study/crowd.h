/* A study with copies of its services beside it, for --show-contention. Pure. */
#pragma once

#include "spec/space.h"

/* The candidate alone, frozen (no knobs), in *ret_study: its services in their order, then of each
 * service `i` copies[i] copies called "NAME~2", "NAME~3", ..., all second ones before the third
 * ones. ret_origin[k]: of which service the k-th is (a copy, or itself). What is new is in `arena`,
 * the rest is borrowed from `study`. The sum is at most SPEC_SERVICES_MAX. */
void study_crowd_build(const struct spec_study *study, const struct spec_candidate *candidate,
                       const size_t *copies, struct arena *arena, struct spec_study *ret_study,
                       size_t ret_origin[SPEC_SERVICES_MAX]);
