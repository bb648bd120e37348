/* Who says yes to a plan. */
#pragma once

#include "base/buf.h"
#include "promote/plan.h"

struct cli_approval {
    const char *id;   /* of --approve; NULL */
    const char *file; /* of --approved-file; NULL */
    bool may_ask;     /* on a terminal */
};

/* False (ERR_DECLINED): nobody said yes to exactly this plan; the message says how one can. How it
 * was approved is added to `ret_who`: "by prompt", "by Anna Example on 2026-11-26 (file)". */
NODISCARD bool cli_approval_get(const struct cli_approval *approval,
                                const struct promote_plan *plan, struct buf *ret_who,
                                struct err *err);
