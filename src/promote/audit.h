/* Who changed production, when, from what to what, and what was seen: one JSON file for each
 * promotion or rollback in "NAME.spica.promotions/" beside the study's folder, written once, on the
 * disk before the command says that it is done. Secrets as digests. */
#pragma once

#include "promote/apply.h"

#include <jansson.h>

/* Makes the folder, before anything is touched: a record that can't be written would undo the
 * promotion at its very end. ERR_INPUT when it is a link, which might lead root anywhere. */
NODISCARD bool promote_audit_prepare(const char *folder, struct err *err);
NODISCARD bool promote_audit_add(const char *folder, const struct promote_plan *plan,
                                 const struct promote_checks *checks,
                                 const struct promote_result *result, const char *user,
                                 struct err *err);
/* The name of the last record, in the arena; NULL: there is none. Who may not read the records gets
 * words that are no record's name: his plan is not the one of those who may. */
NODISCARD bool promote_audit_last(const char *folder, struct arena *arena, const char **ret_name,
                                  struct err *err);
/* Oldest first; new reference, an array. */
NODISCARD bool promote_audit_read(const char *folder, json_t **ret_records, struct err *err);
