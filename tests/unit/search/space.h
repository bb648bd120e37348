/* A small space made by hand: services, each with knobs of so many values, without a study file.
 * Shared by the tests of search/ and study/. */
#pragma once

#include "base/arena.h"
#include "spec/space.h"

#include <math.h>
#include <string.h>

struct space_knob {
    size_t service;
    size_t values;
};

/* A study in `arena`, with services "s0", "s1", ... and knobs "s0.k0", ... with values "v0", "v1",
 * ... */
static inline struct spec_study *space_study(struct arena *arena, size_t service_count,
                                             const struct space_knob *knobs, size_t knob_count)
{
    struct spec_study *study = arena_alloc(arena, sizeof *study);
    study->arena = arena;
    study->name = "space";
    study->path = "space.yaml";
    study->seed = 1;
    study->device = study->devices[0] = "cpu";
    study->device_count = study->lane_count = 1;
    study->services = arena_array(arena, service_count, sizeof *study->services);
    study->service_count = service_count;
    for (size_t i = 0; i < service_count; i++) {
        study->services[i].name = arena_printf(arena, "s%zu", i);
        study->services[i].engine_knob = study->services[i].device_knob = -1;
        study->services[i].load.given = true;
    }
    study->knobs = arena_array(arena, knob_count, sizeof *study->knobs);
    study->knob_count = knob_count;
    for (size_t k = 0; k < knob_count; k++) {
        struct spec_knob *knob = &study->knobs[k];
        knob->service = knobs[k].service;
        knob->name = arena_printf(arena, "k%zu", k);
        knob->full_name = arena_printf(arena, "s%zu.k%zu", knobs[k].service, k);
        knob->value_count = knobs[k].values;
        knob->values = arena_array(arena, knob->value_count, sizeof *knob->values);
        for (size_t v = 0; v < knob->value_count; v++)
            knob->values[v] =
                (struct spec_value){.label = arena_printf(arena, "v%zu", v), .number = NAN};
    }
    study->search.strategy = "tournament";
    study->search.finalists = 3;
    study->measure.repeats = 4;
    study->measure.window_ns = 30000000000;
    study->measure.warmup_ns = 5000000000;
    return study;
}

/* All codes of a space without conditions and constraints. */
static inline spec_code *space_codes(const struct spec_study *study, struct arena *arena,
                                     size_t *ret_count)
{
    size_t count = 1;
    for (size_t k = 0; k < study->knob_count; k++)
        count *= study->knobs[k].value_count;
    spec_code *codes = arena_array(arena, count, sizeof *codes);
    for (size_t i = 0; i < count; i++)
        codes[i] = i;
    *ret_count = count;
    return codes;
}
