/* Everything by which applying and undoing touch the machine, as a table: a test puts a model of
 * systemd in its place, and can be killed after any operation. Private to promote/. */
#pragma once

#include "promote/apply.h"

struct promote_hands {
    void *context;
    /* A FILE step's file: is it so; make it so (the step's folder is made before and removed after,
     * where the step says that it makes it). */
    bool (*file_is)(void *context, const struct promote_step *step,
                    const struct promote_bytes *bytes);
    bool (*file_put)(void *context, const struct promote_step *step,
                     const struct promote_bytes *bytes, struct err *err);
    /* May we do that step at all? Asked of each before anything is touched, without doing it; false
     * says what is in the way. */
    bool (*may)(void *context, const struct promote_step *step, struct err *err);
    bool (*reload)(void *context, enum host_scope scope, struct err *err);
    /* A RESTART step's unit: has systemd read what was meant; is it up; is its process younger than
     * that; start it anew and wait until it is ready. */
    bool (*unit_check)(void *context, const struct promote_step *step, struct err *err);
    bool (*unit_is_up)(void *context, const struct promote_step *step, bool *ret_up,
                       struct err *err);
    bool (*unit_is_younger)(void *context, const struct promote_step *step, int64_t wall_us);
    bool (*unit_restart)(void *context, const struct promote_step *step, enum host_heed heed,
                         struct err *err);
    /* What its next start would bring (promote/edited.h); also where that can't be asked. */
    const char *(*unit_edited)(void *context, const struct promote_step *step,
                               const char *const *except, struct arena *arena);
    /* A unit that hangs on one of ours (promote/along.h): started where it is down. */
    bool (*unit_raise)(void *context, const struct promote_step *step, enum host_heed heed,
                       struct err *err);
    bool (*run)(void *context, const char *const *argv, const struct promote_plan *plan,
                int64_t within_ns, enum host_heed heed, struct err *err);
    bool (*verify)(void *context, const struct promote_plan *plan, bool load,
                   void (*tell)(void *context, const struct promote_check *check),
                   void *tell_context, struct promote_checks *ret_checks, struct err *err);
    bool (*write_journal)(void *context, const char *path, const struct promote_journal *journal,
                          struct err *err);
};

extern const struct promote_hands promote_hands_real;

NODISCARD bool promote_apply_by(const struct promote_hands *hands, const struct promote_plan *plan,
                                const char *folder, const char *user,
                                const struct promote_events *events,
                                struct promote_result *ret_result, struct err *err);
NODISCARD bool promote_undo_by(const struct promote_hands *hands, const char *folder,
                               const char *user, const char *why, struct promote_accept accept,
                               const struct promote_events *events,
                               struct promote_result *ret_result, struct err *err);
