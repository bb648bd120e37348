/* What is required of a level that no request by itself can break: gaps, means, rates, several
 * metrics at once. Pure but for the arena. */
#pragma once

#include "base/arena.h"
#include "spec/expr.h"
#include "spec/study.h"
#include "stats/capacity.h"
#include "store/row.h"

/* Is it what the window was (an extreme, a count), and no estimate of anything? */
bool capacity_is_exact(enum metric metric, enum metric_stat stat);
/* What one requirement says: LEVEL_MET or LEVEL_MISSED where it is certain, else it leans as the
 * value does. A value that is unknown leans to missed. */
enum stats_level capacity_lean(enum expr_truth by_value, bool certain);

/* All requirements of `rest` by a window's rows (mode "shared"), on top of `outcome`: the worst
 * counts. *ret_longer_helps: may a longer window decide some of what leans (`outcome` too)?
 * *ret_broke, in the arena: the requirement that is the reason, with its numbers; untouched where
 * none of these is. */
enum stats_level capacity_judge_rest(const struct spec_study *rest,
                                     const struct store_metric *metrics, size_t count,
                                     enum stats_level outcome, struct arena *arena,
                                     bool *ret_longer_helps, const char **ret_broke);
