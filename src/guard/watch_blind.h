/* Inside guard/: does a service write its log where no journal has it? */
#pragma once

#include "base/buf.h"

#include <stdbool.h>
#include <sys/types.h>

struct guard_watch;

/* Where the process writes its errors to a regular file: its path, with control characters as they
 * stand. False: elsewhere, or it may not be looked at. */
bool guard_blind_file(const char *proc_root, pid_t pid, char *ret_path, size_t size);
/* Once for each unit, when it is seen with a process: what of its log can't be seen, into what is
 * missing (guard_watch_missing()). */
void guard_blind_look(struct guard_watch *watch);
