/* Inside device/ only: how the files under /proc are read. One open, few reads, one close, never
 * more than the caller's buffer, and no path built on the heap: a sample a second over a hundred
 * processes must not show in the numbers it takes. */
#pragma once

#include "base/auto.h"
#include "device/proc.h"

#include <dirent.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

/* The root as a folder descriptor, -1 with errno. */
int proc_file_open_root(const char *root);

/* "PID/name" under the root, -1 with errno. `name` is ours, never outside text. */
int proc_file_open(int root_fd, pid_t pid, const char *name, int flags);

/* Reads until the end or until size - 1 bytes, adds a NUL. Length, or -1 with errno. */
ssize_t proc_file_fill(int fd, char *text, size_t size);
/* Open, fill, close. */
ssize_t proc_file_read(int root_fd, pid_t pid, const char *name, char *text, size_t size);

/* The number of the line "key   123 kB", in bytes. `key` holds its colon and is looked for at the
 * starts of lines only. A line cut short before its "kB" is not believed. */
bool proc_file_kib(const char *text, const char *key, double *ret_bytes);

/* A folder's entry as a process id: digits only, 0 otherwise. */
pid_t proc_file_pid(const char *name);

/* As proc_read_stat, below a root that is open already. */
bool proc_file_stat(int root_fd, pid_t pid, struct proc_stat *ret_stat);

/* In a list sorted by pid (proc_all gives one): the process, or NULL. */
const struct proc_stat *proc_find(const struct proc_stat *list, size_t count, pid_t pid);
/* Sets mark[i] (others are left as they are) for every process of the sorted list that is one of
 * the roots or below one. False when some process names a parent that is not in the list: the list
 * was taken while processes died, and a member may have been missed. */
bool proc_mark_trees(const struct proc_stat *list, size_t count, const pid_t *roots,
                     size_t root_count, bool *mark);

static inline void closedir_auto_(DIR **dir)
{
    if (*dir)
        closedir(*dir);
}

/* Sums of CPU time stop at the largest value instead of wrapping: a file may say anything. */
static inline int64_t proc_add_ns(int64_t a, int64_t b)
{
    int64_t sum = 0;
    if (__builtin_add_overflow(a, b, &sum))
        return a > 0 ? INT64_MAX : INT64_MIN;
    return sum;
}
