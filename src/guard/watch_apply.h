/* Inside guard/: HAProxy's configuration written, checked and taken over by a child, since that can
 * take longer than the watchdog allows a tick. */
#pragma once

#include "base/err.h"
#include "spec/study.h"

struct sd_event;

struct guard_apply; /* opaque: one proxy_apply() under way */
NODISCARD bool guard_apply_start(const struct spec_study *study, struct sd_event *event,
                                 struct guard_apply **ret_apply, struct err *err);
/* Returns NULL. One that is under way goes on by itself. */
struct guard_apply *guard_apply_free(struct guard_apply *apply);
AUTO_FN(struct guard_apply, guard_apply_free)

enum guard_applied { APPLY_UNDER_WAY, APPLY_DONE, APPLY_FAILED };
/* *ret_why, borrowed: of one that failed. It gets on while the loop runs. */
enum guard_applied guard_apply_look(const struct guard_apply *apply, const char **ret_why);
