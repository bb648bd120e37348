/* The variables of our own environment that decide what a command does, whatever its words say:
 * which Docker, which cluster, which programs. */
#pragma once

#include "promote/plan.h"

/* Those that are set now, "NAME=value", by name; NULL at the end. In the arena. */
const char *const *promote_surroundings_now(struct arena *arena);
/* Is each of them one that is looked at? NULL: none is there. */
bool promote_surroundings_are(const char *const *variables);
/* From here on ours are these and no others of the kind; NULL: as they are. */
void promote_surroundings_take(const char *const *variables);
/* "NAME 1a2b3c4d": never the value. */
void promote_surroundings_add(struct buf *buf, const char *variable);
