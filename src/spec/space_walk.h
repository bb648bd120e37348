/* How space.c and candidate.c see a candidate while its knobs are decided; nobody else includes
 * this. */
#pragma once

#include "spec/space.h"

/* Lookup for expr_eval over knobs; the context is a struct spec_view. */
struct spec_view {
    const struct spec_study *study;
    const struct spec_candidate *candidate;
};
struct expr_operand spec_view_lookup(const void *context, size_t id);

/* Does the knob's condition hold, given the earlier ones? */
static inline bool spec_knob_active(const struct spec_view *view, size_t knob)
{
    const struct expr *when = view->study->knobs[knob].when;
    return !when || expr_eval(when, spec_view_lookup, view) == EXPR_TRUE;
}

/* Digits of a code: "inactive" is 0 where it can happen. */
static inline uint64_t spec_knob_radix(const struct spec_knob *knob)
{
    return knob->value_count + (knob->when ? 1 : 0);
}
static inline uint64_t spec_knob_digit(const struct spec_knob *knob, int index)
{
    int digit = index + (knob->when ? 1 : 0); /* inactive is -1 */
    return (uint64_t)digit;
}
