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
