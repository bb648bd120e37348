/* A plan as a person sees it before approving. */
#pragma once

#include "promote/plan.h"
#include "report/report.h"

#include <stdio.h>

/* Everything the plan would do, in its order: each file as a unified diff, each unit, each command;
 * then what the study says will change, memory, what is not as it was measured, and the id. Lines
 * fit the terminal's width: longer ones go on in the next, indented. */
void promote_plan_show(const struct promote_plan *plan, FILE *out, struct report_terminal terminal);
