/* Memory that is freed as a whole: a study file, a report's view. Allocation never fails (it
 * aborts: sizes here are ours or were bounded before). Everything from it is borrowed from the
 * arena. */
#pragma once

#include "base/auto.h"

#include <stddef.h>

struct arena; /* opaque */

struct arena *arena_new(void);
struct arena *arena_free(struct arena *arena); /* returns NULL */
AUTO_FN(struct arena, arena_free)
/* `child` is freed together with `arena`, which owns it from now on. */
void arena_adopt(struct arena *arena, struct arena *child);

void *arena_alloc(struct arena *arena, size_t size);       /* zeroed, aligned for any type */
char *arena_strdup(struct arena *arena, const char *text); /* NULL gives NULL */
char *arena_strndup(struct arena *arena, const char *text, size_t len);
char *arena_printf(struct arena *arena, const char *fmt, ...) PRINTF_LIKE(2, 3);
void *arena_array(struct arena *arena, size_t count, size_t size); /* zeroed; checks overflow */
