/* Two texts as a unified diff (Myers 1986), with three lines of context. Bounded: texts that differ
 * in more than some thousand lines are shown as removed and added. */
#pragma once

#include "base/buf.h"

/* NULL: no such file. Adds nothing when they are equal. */
void promote_diff_add(struct buf *buf, const char *path, const char *before, const char *after);
