/* Inside trial/: the engines' own metrics at the two ends of a shared window, as readings. */
#pragma once

#include "trial/attempt.h"

void scrape_window_begin(struct attempt *attempt);
void scrape_window_end(struct attempt *attempt);
