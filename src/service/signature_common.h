/* The parts of the scan: the table for all programs, and what is read around a match. */
#pragma once

#include "service/signature.h"

extern const struct service_signature signature_common[]; /* ends with a NULL text */

/* Fills numbers, hint and stage of a match whose line is set; `after` is where its text ends. */
void signature_explain(const char *log, size_t len, size_t after, struct signature_match *match);
