/* Where a service runs in production. One file each in targets/, one line in the table: it turns
 * the winner's values for one service into steps. Reads files and asks systemd; changes nothing. */
#pragma once

#include "base/buf.h"
#include "promote/plan.h"

struct promote_world;
struct host_unit;
struct host_config;
struct promote_context {
    struct promote_plan *plan;
    const struct promote_world *world;
    struct host_manager *managers[HOST_SCOPE_COUNT_]; /* opened when first needed */
    double restart_s[SPEC_SERVICES_MAX];              /* measured start to ready; NaN unknown */
    const char *undo; /* "spica rollback STUDY", for the header of what is written */
    /* Of its unit and those that hang on it: what their next start would bring besides the plan, in
     * words; NULL: nothing (promote/edited.h) */
    const char *edited[SPEC_SERVICES_MAX];
    /* Of its unit, as promote_service_unit() was told; NULL: not asked yet */
    const struct host_unit *units[SPEC_SERVICES_MAX];
    const struct host_config *configs[SPEC_SERVICES_MAX];
    /* Units of the plan that systemd starts before its own; NULL: none, or not asked */
    const char *after[SPEC_SERVICES_MAX];
};
#define PROMOTE_DROP_IN "10-spica.conf"

struct promote_target {
    enum production_kind kind;
    NODISCARD bool (*plan)(struct promote_context *context, size_t service, struct err *err);
};
extern const struct promote_target *const promote_target_table[];
extern const size_t promote_target_count;
extern const struct promote_target promote_target_unit, promote_target_env_file,
    promote_target_compose, promote_target_kubernetes, promote_target_command;

/* ---- for targets; all texts are in the plan's arena ---- */

/* A step with everything zeroed but `kind` and `service` (-1: none); ERR_LIMIT when there are too
 * many. */
NODISCARD bool promote_step_add(struct promote_context *context, enum promote_kind kind,
                                int service, struct promote_step **ret_step, struct err *err);

struct promote_variable {
    const char *name;
    const char *value; /* NULL: taken away, also where the winner leaves it out */
    bool secret;       /* marked, or looks like one */
};
struct promote_variables {
    struct promote_variable *items;
    size_t count;
    bool secret; /* one of them is */
};
/* The production's variables with the winner's values and its port put in. ERR_INPUT: a value that
 * is not printable UTF-8. */
NODISCARD bool promote_variables(struct promote_context *context, size_t service,
                                 struct promote_variables *ret, struct err *err);
/* The same for a command, NULL at the end; what the winner leaves out is left out. `service`
 * SIZE_MAX for hooks. */
NODISCARD bool promote_command(struct promote_context *context, size_t service,
                               const struct spec_argv *argv, const char *const **ret_argv,
                               struct err *err);
/* Such a command that we run ourselves: its program found, absolute, and a witness, as is each
 * argument ("FILE", "--option=FILE") that is a file of at most 64 MiB: what is longer is data. */
NODISCARD bool promote_own_command(struct promote_context *context, size_t service,
                                   const struct spec_argv *argv, const char *const **ret_argv,
                                   struct err *err);

/* Lines of comment, "# ..." each: who wrote this, how to undo it. */
void promote_header_add(struct buf *buf, const struct promote_context *context, size_t service);
bool promote_header_is_there(const char *text);
/* As JSON and YAML read it. `dollar` is doubled (0: nothing is). */
void promote_quoted_add(struct buf *buf, const char *text, char dollar);

/* A file step: reads what is there (promote/safe_file.h) and compares; adds nothing when equal
 * (*ret_changed false). A file with secrets is made with mode 0600, others with 0644; one that is
 * there keeps its owner, and its mode but for a secret in a file that spica alone writes. */
enum promote_owned { PROMOTE_OURS, PROMOTE_SHARED };
struct promote_text {
    const char *path;
    const struct buf *text;
    enum promote_owned owned;
    bool secret;
};
NODISCARD bool promote_file_add(struct promote_context *context, size_t service,
                                const struct promote_text *file, bool *ret_changed,
                                struct err *err);
/* What is there now, NULL: nothing. Refuses what is unsafe. */
NODISCARD bool promote_file_text(struct promote_context *context, const char *path,
                                 const char **ret_text, struct err *err);
/* Nothing when there is no such file. */
NODISCARD bool promote_witness_add(struct promote_context *context, const char *path,
                                   struct err *err);
/* The same, also where there is no such file: it is not to come either. */
NODISCARD bool promote_witness_place(struct promote_context *context, const char *path,
                                     struct err *err);
/* The same of a file that a unit reads at its start (it may be a pattern): where not everybody may
 * read it, by its times instead of its bytes. */
NODISCARD bool promote_witness_variables(struct promote_context *context, const char *path,
                                         struct err *err);
/* A witness that we run, or that one of our programs reads: nobody else may be able to change it.
 */
NODISCARD bool promote_program_add(struct promote_context *context, const char *path,
                                   struct err *err);
/* Where the step's service answers once it is done, for whoever verifies without the study file. */
void promote_step_set_port(struct promote_context *context, size_t service,
                           struct promote_step *step);
/* The service's unit as the world tells of it, asked once for a plan. */
NODISCARD bool promote_service_unit(struct promote_context *context, size_t service,
                                    struct err *err);
/* A reload and the restart of the service's unit, which the caller may complete. */
NODISCARD bool promote_restart_add(struct promote_context *context, size_t service,
                                   const struct host_unit *unit, struct promote_step **ret_step,
                                   struct err *err);
