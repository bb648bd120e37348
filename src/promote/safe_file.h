/* Files of production, read and replaced so that nobody else can make us write elsewhere.
 *
 * Refused (ERR_INPUT, one line that says which part of the path and why): a symlink anywhere in the
 * path, a path that is not absolute or has "..", a folder that its group or all may write to (one
 * with the sticky bit, as /tmp, may stand higher up in the path, and never hold the file itself), a
 * file or folder that belongs neither to root nor to us, anything that is no regular file, over
 * PROMOTE_FILE_MAX. */
#pragma once

#include "promote/plan.h"

/* `there` false: no such file, or not even its folder. */
NODISCARD bool promote_file_read(struct arena *arena, const char *path,
                                 struct promote_bytes *ret_bytes, struct err *err);
/* Is the file still what it was? By bytes, mode and owner. A file that would be refused is not. */
bool promote_file_is(const char *path, const struct promote_bytes *bytes);
bool promote_bytes_equal(const struct promote_bytes *a, const struct promote_bytes *b);
/* Whole or not at all and on the disk when it returns: temporary file beside it, fsync, rename,
 * fsync of the folder. `there` false: removed. Mode and owner as given; extended attributes
 * (labels, access lists) as of the file that is replaced. A file that is so already
 * is left alone. What an earlier call left when it was killed is cleaned up in any case. */
NODISCARD bool promote_file_put(const char *path, const struct promote_bytes *bytes,
                                struct err *err);

/* Whose a new file of that folder is (of the one above, where the folder is to be made): its
 * owner's, with his own group, or the folder's where it gives its group on. The same whoever asks.
 */
NODISCARD bool promote_folder_owner(const char *path, uid_t *ret_uid, gid_t *ret_gid,
                                    struct err *err);
/* Could it be put, as far as rights and a read-only disk are concerned? Its folder, or the one
 * above that where the folder is to be made, must be ours to write to, and the owner one that we
 * may give. ERR_DECLINED says what is in the way. */
NODISCARD bool promote_file_may_put(const char *path, bool makes_folder,
                                    const struct promote_bytes *bytes, struct err *err);

/* The folder that a file is to be in. Made (mode 0755): only the last one, its parent must be
 * there; fine when it exists. */
NODISCARD bool promote_folder_is_there(const char *path, bool *ret_there, struct err *err);
NODISCARD bool promote_folder_make(const char *path, struct err *err);
/* Removed when nothing is in it; else, or when it is gone, fine as well. */
NODISCARD bool promote_folder_drop(const char *path, struct err *err);
