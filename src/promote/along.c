/* Who hangs on the units of a plan.
 *
 * The plan names them behind each restart, since a person approves that too; here they are one
 * list, so that one which hangs on two of ours is looked after once. One that is restarted by a
 * step of its own is that step's.
 *
 * Rejected: asking systemd again after the restart. What was stopped along with a unit that does
 * not start is not up any more, and so would not be in the answer. */
#include "promote/along.h"

#include <string.h>

static bool has_step(const struct promote_plan *plan, enum host_scope scope, const char *unit)
{
    for (size_t i = 0; i < plan->step_count; i++)
        if (plan->steps[i].kind == PROMOTE_RESTART && plan->steps[i].scope == scope &&
            strcmp(plan->steps[i].unit, unit) == 0)
            return true;
    return false;
}

static bool is_listed(const struct promote_along *along, enum host_scope scope, const char *unit)
{
    for (size_t i = 0; i < along->count; i++)
        if (along->units[i].scope == scope && strcmp(along->units[i].unit, unit) == 0)
            return true;
    return false;
}

static void add(struct promote_along *along, enum host_scope scope, const char *unit)
{
    along->over = along->over || along->count == PROMOTE_ALONG_MAX;
    if (!along->over)
        along->units[along->count++] = (struct promote_step){
            .kind = PROMOTE_RESTART, .service = -1, .scope = scope, .unit = unit, .was_up = true};
}

void promote_along_list(const struct promote_plan *plan, struct arena *arena,
                        struct promote_along *ret_along)
{
    ret_along->count = 0;
    ret_along->over = false;
    for (size_t i = 0; i < plan->step_count; i++) {
        const struct promote_step *step = &plan->steps[i];
        if (step->kind != PROMOTE_RESTART || !step->was_up || !step->dependents)
            continue;
        for (const char *at = step->dependents; *at;) {
            size_t len = strcspn(at, ", ");
            const char *unit = arena_strndup(arena, at, len);
            if (len && !has_step(plan, step->scope, unit) &&
                !is_listed(ret_along, step->scope, unit))
                add(ret_along, step->scope, unit);
            at += len + strspn(at + len, ", ");
        }
    }
}
