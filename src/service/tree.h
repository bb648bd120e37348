/* A process tree as /proc shows it now, and the killing of it. No heap: the keeper uses this after
 * a fork without exec, and a full machine must not stop it. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct service_tree_entry {
    pid_t pid, ppid, session;
    char state;          /* as in /proc/PID/stat: 'Z' is a zombie, 'T' stopped */
    bool member;         /* below the root of the last scan */
    int64_t start_ticks; /* with the pid: a name that is never given again */
};

struct service_tree {
    struct service_tree_entry *entries; /* mapped; every process of the last scan, by rising pid */
    size_t count;
    size_t members; /* of those, below the root and not zombies */
};

bool service_tree_init(struct service_tree *tree); /* false: no memory (errno is set) */
void service_tree_done(struct service_tree *tree);

/* Lists all processes and marks those below (and without) `root`. False when /proc can't be read.
 */
bool service_tree_scan(struct service_tree *tree, pid_t root);
/* Adds what is below `root`, and `root` itself, to the marked of the last scan. */
void service_tree_mark_with(struct service_tree *tree, pid_t root);
const struct service_tree_entry *service_tree_find(const struct service_tree *tree, pid_t pid);

/* Signals exactly this process, never one that got its pid later. */
bool service_tree_signal(const struct service_tree_entry *entry, int sig);
/* `sig` to every marked process that is not a zombie; returns how many took it. */
size_t service_tree_signal_members(const struct service_tree *tree, int sig);

/* One pass: stops everything below `root` until nothing new turns up (a fork bomb can't outrun the
 * kill then), kills it. Returns how many were alive. */
size_t service_tree_kill_below(struct service_tree *tree, pid_t root);
