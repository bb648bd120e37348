/* Files written whole or not at all, and folders made where missing. */
#pragma once

#include "base/err.h"

#include <stddef.h>

/* Temporary file in the same folder, fsync, rename: readers see the old file or the new one. */
NODISCARD bool file_write_atomic(const char *path, const void *data, size_t len, struct err *err);
/* The same with mode 0600, whatever stood there before. */
NODISCARD bool file_write_private(const char *path, const void *data, size_t len, struct err *err);

/* mkdir -p with mode 0777 & ~umask; fine when it exists. */
NODISCARD bool file_make_folders(const char *path, struct err *err);

bool file_exists(const char *path);

/* "folder/name" joined, absolute `name` unchanged, "~/" expanded; owned by the caller, never NULL.
 */
char *file_join(const char *folder, const char *name);
/* From the root on, by the current folder, without asking the disk; owned by the caller. */
char *file_absolute(const char *path);
/* The folder part of a path, "." if none; owned by the caller. */
char *file_folder(const char *path);
/* Finds a program as execvp would (a name with a slash is taken relative to `folder`); owned by the
 * caller, NULL when there is none that may be executed. */
char *file_find_program(const char *name, const char *folder);
