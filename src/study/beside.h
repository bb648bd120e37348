/* What declared neighbours have held in the stored trials, for whoever goes on with the study and
 * for its end. See trial/beside.c. */
#pragma once

#include "base/arena.h"
#include "base/json.h"
#include "spec/study.h"
#include "store/store.h"

/* *ret_most: per device of study->devices the most in any trial, 0 when none is known; in `arena`.
 * `store` may be NULL: nothing is known. */
NODISCARD bool study_beside_most(struct store *store, const struct spec_study *study,
                                 struct arena *arena, const double **ret_most, struct err *err);
/* Has the decision's candidate room beside that, by every counted run of its final? NULL: yes, but
 * for noise, or it can't be told; else words, in `arena`. `devices`: of all lanes. */
const char *study_beside_lacks(const json_t *decision, const struct store_trial *trials,
                               size_t count, const char *const *devices, size_t device_count,
                               struct arena *arena);
