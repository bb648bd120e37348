/* Does a unit's process run with what was promoted? What systemd has read is one thing, with which
 * variables the kernel has started the process another. Private to promote/. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

enum promote_has {
    PROMOTE_HAS_UNKNOWN, /* not ours to read, or not the program that systemd has started any more
                          */
    PROMOTE_HAS_IT,
    PROMOTE_HAS_NOT,
};

/* `program`: that systemd starts. `variables`: "NAME=value", or "NAME" for one that must not be
 * set; `exec`: its words, NULL: not compared. `why` of HAS_NOT names what differs, never a value.
 */
enum promote_has promote_process_has(pid_t pid, const char *program, const char *const *variables,
                                     const char *const *exec, char *why, size_t size);
