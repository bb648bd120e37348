/* What `spica promote` and `spica rollback` have in common: who we are, progress, the result. */
#pragma once

#include "cli/command.h"
#include "promote/apply.h"

#include <jansson.h>

struct cli_promotion {
    FILE *talk; /* progress: stdout, stderr when stdout is JSON */
    bool color;
    const struct promote_plan *plan; /* for the services' names; NULL: not known */
    json_t *steps, *checks;          /* owned: what was told */
    size_t passed, unknown, failed;  /* checks */
    bool undoing;                    /* a check failed: what follows is the way back */
};

struct cli_promotion cli_promotion_init(bool json, const struct promote_plan *plan);
void cli_promotion_done(struct cli_promotion *promotion);
AUTO_FN(struct cli_promotion, cli_promotion_done)
/* Borrows the promotion. */
struct promote_events cli_promotion_events(struct cli_promotion *promotion);

extern const char *const cli_promotion_outcomes[]; /* "promoted", "rolled back", ... */
/* Exit status of `promote`: 0, 7, 8. */
int cli_promotion_status(enum promote_outcome outcome);

/* "root", "anna (by sudo)". */
void cli_promotion_add_user(struct buf *buf);
/* Path of the newest audit record beside the results' folder, owned; NULL: none. */
char *cli_promotion_record(const char *folder);
/* outcome, verified, why, downtime_s, rollback_after_s, steps, checks, record, set in `object`. */
void cli_promotion_add_json(json_t *object, const struct cli_promotion *promotion,
                            const struct promote_result *result, const char *folder);
/* The block at the end. `undo`: what undoes it, NULL: nothing does. */
void cli_promotion_print(const struct cli_promotion *promotion, const struct promote_result *result,
                         const char *folder, const char *undo);
NODISCARD bool cli_promotion_dump(const json_t *object, struct err *err);
/* Once production was changed, the last word on stdout: the JSON (NULL: none), and all that was
 * printed. Who read it may be gone; that is told on stderr and leaves the exit status alone. */
void cli_promotion_end(const json_t *object);

/* The study file and its results' folder (absolute), found by a file, a NAME.spica folder, or
 * nothing. */
struct cli_study {
    struct spec_study *study; /* owned */
    char *folder;             /* owned */
};
void cli_study_done(struct cli_study *found);
AUTO_FN(struct cli_study, cli_study_done)
NODISCARD bool cli_study_find(const char *name, const char *out, struct cli_study *ret_found,
                              struct err *err);
