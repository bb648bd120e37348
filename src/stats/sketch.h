/* Quantiles of a stream of positive values in bounded memory, mergeable: counts of values by the
 * logarithm of their size. Any quantile of what was added is at most STATS_SKETCH_ERROR off, as a
 * ratio of the value (Masson, Rim and Lee 2019, "DDSketch"). Values below the least are counted as
 * the least, over the greatest as the greatest, and both are told. Merging loses nothing: a sketch
 * of all is the sum of sketches of parts. No heap while values are added. */
#pragma once

#include "base/auto.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define STATS_SKETCH_ERROR 0.01
#define STATS_SKETCH_LEAST 1e-6   /* s, for times: a microsecond */
#define STATS_SKETCH_GREATEST 1e5 /* more than a day */

struct stats_sketch; /* opaque */

struct stats_sketch *stats_sketch_new(void);
struct stats_sketch *stats_sketch_free(struct stats_sketch *sketch); /* returns NULL */
AUTO_FN(struct stats_sketch, stats_sketch_free)
size_t stats_sketch_bytes(void); /* of one, for budgets */

/* NaN is not counted; 0 and below count as the least. */
void stats_sketch_add(struct stats_sketch *sketch, double value);
void stats_sketch_add_many(struct stats_sketch *sketch, double value, uint64_t times);
void stats_sketch_merge(struct stats_sketch *into, const struct stats_sketch *from);
void stats_sketch_clear(struct stats_sketch *sketch);
uint64_t stats_sketch_count(const struct stats_sketch *sketch);
uint64_t stats_sketch_clamped(const struct stats_sketch *sketch); /* below least, over greatest */
/* NaN when it holds nothing. The q-quantile as stats_quantile() defines it, within the error. */
double stats_sketch_quantile(const struct stats_sketch *sketch, double q);
/* The value of that rank, from 0 on, within the error; NaN: there are not so many. */
double stats_sketch_rank(const struct stats_sketch *sketch, uint64_t rank);

/* For keeping one on disk: how often the i-th bucket was met, and the value that stands for it.
 * Adding that value so often to an empty sketch gives the same again (but for `clamped`). */
size_t stats_sketch_buckets(void);
uint64_t stats_sketch_bucket(const struct stats_sketch *sketch, size_t i, double *ret_value);
