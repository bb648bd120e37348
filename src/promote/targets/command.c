/* The user's own way into production: one command that applies, one that undoes it. What they do is
 * theirs; which programs they are is in the plan, with their digests, so that a script edited after
 * the approval is not the one that was approved.
 *
 * Nothing says whether production is already so: the commands are run each time. */
#include "promote/target.h"

static bool plan_command(struct promote_context *context, size_t service, struct err *err)
{
    const struct spec_production *p = &context->plan->study->production[service];
    struct promote_step *step = NULL;
    if (!promote_step_add(context, PROMOTE_COMMAND, (int)service, &step, err) ||
        !promote_own_command(context, service, &p->apply, &step->run, err) ||
        !promote_own_command(context, service, &p->rollback, &step->undo, err))
        return false;
    if (p->verify.count && !promote_own_command(context, service, &p->verify, &step->verify, err))
        return false;
    step->within_ns = p->within_ns;
    promote_step_set_port(context, service, step);
    step->downtime_s = context->restart_s[service];
    step->why = "a command of your own, run as you";
    return true;
}

const struct promote_target promote_target_command = {PRODUCTION_COMMAND, plan_command};
