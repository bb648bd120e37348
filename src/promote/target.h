/* Where a service runs in production. One file each in targets/, one line in the table: it turns
 * the winner's values for one service into steps. Reads files and asks systemd; changes nothing. */
#pragma once

#include "promote/plan.h"

struct promote_context {
    struct promote_plan *plan;
    struct host_manager *managers[HOST_SCOPE_COUNT_]; /* opened when first needed */
    double restart_s[SPEC_SERVICES_MAX];              /* measured start to ready; NaN unknown */
};

struct promote_target {
    enum production_kind kind;
    NODISCARD bool (*plan)(struct promote_context *context, size_t service, struct err *err);
};
extern const struct promote_target *const promote_target_table[];
extern const size_t promote_target_count;

/* For targets. A step is added with everything zeroed; NULL when there are too many. */
struct promote_step *promote_step_add(struct promote_context *context, enum promote_kind kind,
                                      int service, struct err *err);
/* The production's variable or argument with the winner's values and its port put in. */
NODISCARD bool promote_expand(struct promote_context *context, size_t service, const char *text,
                              const char **ret_text, struct err *err);
/* A file step: reads what is there (promote/safe_file.h) and compares; adds nothing when equal. */
NODISCARD bool promote_file_add(struct promote_context *context, size_t service, const char *path,
                                const char *data, size_t len, const char *why, struct err *err);
NODISCARD bool promote_restart_add(struct promote_context *context, size_t service,
                                   struct err *err);
