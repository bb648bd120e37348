/* Inside doctor/ (and its tests): which processes are servers that we know. */
#pragma once

#include "doctor/facts.h"

/* Fills report->services with kind, pid, members, argv, owner, in order of their pids. */
NODISCARD bool doctor_find(const char *root, struct doctor_report *report, struct err *err);
/* The kind that a command line is of; NULL. `exe` (the program's file) may be "". For tests. */
const struct doctor_kind *doctor_find_kind(char *const *argv, const char *exe);
