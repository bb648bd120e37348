/* What the two targets of systemd share. */
#pragma once

#include "promote/target.h"
#include "promote/world.h"

/* The service's unit. ERR_INPUT: there is none (names the nearest), or systemd does not take its
 * files. */
NODISCARD bool promote_unit_read(struct promote_context *context, size_t service,
                                 struct host_unit *ret_unit, struct host_config *ret_config,
                                 struct err *err);
/* Its own file, its drop-ins and its files of variables but for `except` become witnesses. */
NODISCARD bool promote_unit_witnesses(struct promote_context *context,
                                      const struct host_config *config, const char *except,
                                      struct err *err);
/* Its drop-ins as they will be once ours is written (NULL: we write none); NULL at the end. */
const char *const *promote_drop_ins(struct promote_context *context,
                                    const struct host_config *config, const char *ours);
/* What a process of the service has to have: "NAME=value", or "NAME" for one that must not be set.
 */
const char *const *promote_expected(struct promote_context *context,
                                    const struct promote_variables *variables);
/* The file says what it should, and has not changed: was the unit's process started with it? One
 * that is older than the file, or runs with something else, was not. */
bool promote_unit_runs_with(struct promote_context *context, const struct host_unit *unit,
                            const struct host_config *config, const char *path,
                            const char *const *variables, const char *const *exec);
/* Does the text of a unit, of an environment file (`key` NULL) give this variable? */
bool promote_unit_sets(const char *text, const char *key, const char *name);
bool promote_unit_has(const char *text, const char *key);
/* Has it an empty "KEY="? */
bool promote_unit_resets(const char *text, const char *key);
/* The file's text, "" when it can't be read; in the plan's arena. */
const char *promote_unit_text(struct promote_context *context, const char *path);
