/* Inside doctor/ (and its tests): the GPUs and who holds what on them. */
#pragma once

#include "doctor/facts.h"

/* Fills driver, driver_fault, cards with their holders, and of each service found before:
 * listed and card_bytes. Without a driver the report says so; that is no error. */
void doctor_cards_read(const char *root, const char *library, struct doctor_report *report);
