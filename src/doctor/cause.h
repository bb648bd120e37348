/* Inside doctor/ (and its tests): from facts to problems, each with its likely cause and the fix.
 * Pure: no clock, no files. */
#pragma once

#include "doctor/facts.h"

/* Where a service computes, as far as the facts say. */
enum doctor_place doctor_cause_place(const struct doctor_report *report,
                                     const struct doctor_service *service);
/* Does its log name a library that it lacks? Writes cause and fix. */
bool doctor_cause_library(const struct doctor_service *service, struct doctor_problem *problem);
/* Why it is not on the GPU: writes cause and fix; false when nothing says that it should be and
 * can't. */
bool doctor_cause_find(const struct doctor_report *report, const struct doctor_service *service,
                       struct doctor_problem *problem);
/* Fills report->problems from everything else. */
void doctor_cause_judge(struct doctor_report *report);
/* What a service would hold on a card, roughly; NaN when nothing tells. */
double doctor_cause_need_bytes(const struct doctor_service *service);
