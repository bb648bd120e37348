/* Inside trial/: declared neighbours on a GPU during a trial. See beside.c. */
#pragma once

#include "device/sample.h"
#include "trial/attempt.h"

/* Before anything is started, from the sample of device `d` that "before" is stored from. */
void beside_begin(struct attempt *attempt, size_t d, const struct device_ours *ours,
                  const struct device_sample *sample);
/* Every sample while the trial runs. */
void beside_sample(struct attempt *attempt, size_t d, const struct device_sample *sample);
void beside_window_begin(struct attempt *attempt, size_t d);
/* Into facts: whether their memory moved in the window just over. */
void beside_window_end(struct attempt *attempt, size_t d);
/* Into facts, once all is over: whether they grew, whose process on the card is gone, and whether
 * what was measured would have fitted beside the most that they have held. */
void beside_end(struct attempt *attempt);
