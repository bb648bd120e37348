/* Inside guard/: HAProxy's configuration written, checked and taken over by a child, since that can
 * take longer than the watchdog allows a tick; and HAProxy started again when it dies. */
#pragma once

#include "base/err.h"
#include "guard/watch_events.h"
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

/* An HAProxy that we run ourselves has nobody else who starts it again when it dies. Zeroed at
 * first. */
struct guard_revive {
    int64_t down_ns, next_ns;  /* since when, 0: it is up; when the next attempt may begin */
    unsigned tries;            /* since it was up */
    struct guard_apply *apply; /* owned; NULL: none is under way */
};
/* Each tick. Started after 5 s without an answer, then with a back-off that doubles up to five
 * minutes; each attempt, and how it failed, is an event. */
void guard_revive_step(struct guard_revive *revive, const struct spec_study *study,
                       struct sd_event *event, bool up, int64_t now_ns,
                       struct guard_events *events);
void guard_revive_done(struct guard_revive *revive);
