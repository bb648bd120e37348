/* Opening a study's results for reading, named in whatever way is at hand. */
#pragma once

#include "base/arena.h"
#include "store/store.h"

struct cli_results {
    struct arena *arena;
    struct store *store;
    const char *folder; /* in the arena */
};

/* The results' folder of that name, which need not exist. */
NODISCARD bool cli_find_folder(const char *name, const char *out, struct arena *arena,
                               const char **ret_folder, struct err *err);

/* `name`: a study file, a NAME.spica folder, a study.db, or NULL: the only *.spica folder here.
 * `out` overrides where a study file's results are. */
NODISCARD bool cli_open_results(const char *name, const char *out, struct cli_results *ret_results,
                                struct err *err);
void cli_close_results(struct cli_results *results);
