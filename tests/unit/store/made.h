/* Trials for the tests of the store, of any size, all texts and numbers derived from the number. */
#pragma once

#include "base/arena.h"
#include "store/store.h"

/* Everything in the arena; texts that repeat, and some that do not. `requests` per service. */
struct store_trial made_trial(struct arena *arena, int64_t number, size_t requests);
struct store_study made_study(void);
/* A new store in the folder; aborts the test on failure. */
struct store *made_store(const char *folder);
char *made_path(const char *folder);
