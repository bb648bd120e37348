/* Inside doctor/ only: what a running service has printed, where that can be read. */
#pragma once

#include "doctor/facts.h"

/* Looks for the line that says why it is not on the GPU; fills log, log_from, log_cause, log_line.
 * `journal`: may the system's journal be asked? */
void doctor_log_read(const char *root, struct doctor_service *service, bool journal);
/* The same over a text; for tests. */
void doctor_log_scan(struct doctor_service *service, const char *text, size_t len);
