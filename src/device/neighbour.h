/* Is a declared neighbour still the one it was? Its main process is the oldest that its declaration
 * names: a service manager that restarts it makes another one, which is a change all the same. */
#pragma once

#include "device/proc.h"
#include "spec/study.h"

/* False when nothing that the declaration names is running. */
bool device_neighbour_main(const char *proc_root, const struct spec_neighbour *neighbour,
                           struct proc_stat *ret_main);
/* Does exactly this process still live? A zombie does not. */
bool device_neighbour_lives(const char *proc_root, const struct proc_stat *main_process);

/* Does this one's pid or program name mean exactly that process? */
bool device_neighbour_is(const struct proc_stat *process, const struct spec_neighbour *neighbour);
/* Is the process in the cgroup of a unit that one of them names? `root_fd`: /proc, open. */
bool device_neighbour_in_unit(int root_fd, pid_t pid, const struct spec_neighbour *neighbours,
                              size_t count);
/* Is the process, by unit or descent, one of the declared neighbours'? */
bool device_neighbour_owns(const char *proc_root, const struct proc_stat *process,
                           const struct spec_neighbour *neighbours, size_t count);
