/* Files of production, read and replaced so that nobody else can make us write elsewhere.
 *
 * Refused (ERR_INPUT, one line that says which part of the path and why): a symlink anywhere in the
 * path, a folder that others may write to (group or world, without the sticky bit even then), a
 * file or folder that belongs neither to root nor to us, anything that is no regular file, over
 * PROMOTE_FILE_MAX. */
#pragma once

#include "promote/plan.h"

NODISCARD bool promote_file_read(struct arena *arena, const char *path,
                                 struct promote_bytes *ret_bytes, struct err *err);
/* Is the file still what it was? By bytes, mode and owner. */
bool promote_file_is(const char *path, const struct promote_bytes *bytes);
/* Whole or not at all and on the disk when it returns: temporary file beside it, fsync, rename,
 * fsync of the folder. `there` false: removed. Mode and owner as given. */
NODISCARD bool promote_file_put(const char *path, const struct promote_bytes *bytes,
                                struct err *err);
