/* Requests that belong to each other though others lie between them: the turns of one session. What
 * they have in common (a long prompt, a slow cache) shows when the sessions stand one after the
 * other, and costs the sample as much of its worth as waiting behind one another does. */
#pragma once

#include "stats/series.h"

#include <stdint.h>

/* `in_time`: the values in the order of their requests; sessions[i] is whose request value i is of,
 * the same number in two runs being two sessions. NULL, or no session with two of them: as
 * stats/series.h has it. Else both orders are asked, and the answer is that of the one in which the
 * sample is worth less. */
struct stats_series_interval stats_sessions_quantile(const struct stats_series *in_time,
                                                     const uint32_t *sessions, double q,
                                                     double confidence);
double stats_sessions_worth(const struct stats_series *in_time, const uint32_t *sessions,
                            double limit);
