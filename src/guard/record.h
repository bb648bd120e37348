/* Inside guard/: ticks on disk, bounded: FOLDER.guard.jsonl and, once that is full, the one before
 * it as FOLDER.guard.jsonl.1. Both together never take more than they may. */
#pragma once

#include "base/err.h"
#include "guard/watch_events.h"

struct guard_record; /* opaque */
/* "NAME.spica.guard.jsonl", absolute; the caller owns it. */
char *guard_record_path(const char *folder);
/* `bytes`: of both files; 0: *ret_record NULL, nothing is recorded. A disk that is full is no
 * error. */
NODISCARD bool guard_record_open(const char *folder, int64_t bytes,
                                 struct guard_record **ret_record, struct err *err);
struct guard_record *guard_record_close(struct guard_record *record); /* returns NULL */
AUTO_FN(struct guard_record, guard_record_close)

/* A line without its end that each file begins with from now on, since it is needed to read the
 * ticks: written before the next one. Left out where it would take more than half of a file. */
void guard_record_set_head(struct guard_record *record, const char *head);
/* A tick's line, or none of it. What can't be written is left out; that it begins to be so, and
 * that it is over, goes into `events`. While the disk is full it is tried every ten seconds. */
void guard_record_add(struct guard_record *record, const struct guard_tick *tick,
                      const struct guard_metric_ref *refs, size_t count,
                      struct guard_events *events);
/* Free where it records; NaN unknown. */
double guard_record_free_bytes(const char *folder);
