/* Programs and scripts that a promotion runs as whoever runs spica, mostly root: whose are they,
 * and are they still those that were approved? Private to promote/. */
#pragma once

#include "promote/plan.h"

/* May only root and we change what is run by this name? Everything on the way to it counts:
 * folders, links and their owners, the file. ERR_INPUT says what others could change. */
NODISCARD bool promote_program_check(const char *path, struct err *err);

/* The file that an argument names ("FILE", "--option=FILE"): a script, or what one reads; at most
 * 64 MiB: what is longer is data. Owned by the caller; NULL: it names none. */
char *promote_program_argument(const char *folder, const char *word);

/* Asked right before it is run: the program and the files among its arguments that the plan has
 * read are still the same, and nobody else's. ERR_PROBLEM names the one that is not. */
NODISCARD bool promote_program_same(const struct promote_plan *plan, const char *const *argv,
                                    struct err *err);
