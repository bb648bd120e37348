/* What /proc says about processes and the machine. Every function takes the root ("/proc") so that
 * tests feed files. A process that vanished while being read is not an error: it is absent. */
#pragma once

#include "base/err.h"
#include "device/reading.h"

#include <stdint.h>
#include <sys/types.h>

enum { PROC_COMM_SIZE = 64 };

struct proc_stat {
    pid_t pid, ppid, pgrp, session;
    char state; /* 'R', 'S', 'Z', ... */
    char comm[PROC_COMM_SIZE];
    int64_t start_ticks;   /* since boot: (pid, start_ticks) names a process for good */
    int64_t cpu_ns;        /* user + system of the process itself */
    int64_t reaped_cpu_ns; /* of children it has waited for */
};

/* Ended, though its parent has not asked yet. */
static inline bool proc_is_dead(const struct proc_stat *stat)
{
    return stat->state == 'Z' || stat->state == 'X' || stat->state == 'x';
}

/* How long ago it was started, suspended time counted in, to a tick; -1 unknown. */
int64_t proc_age_ns(const struct proc_stat *stat);

/* false when the process is gone (or the text is not what the kernel writes). */
bool proc_read_stat(const char *root, pid_t pid, struct proc_stat *ret_stat);
/* The same from text; for tests and fuzzing. comm may hold blanks and parentheses. */
bool proc_parse_stat(const char *text, struct proc_stat *ret_stat);

/* The process `pid` and all its descendants by parent links, zombies included, in no stated order.
 * Caller frees *ret_list. An absent pid gives an empty list. */
NODISCARD bool proc_tree(const char *root, pid_t pid, struct proc_stat **ret_list,
                         size_t *ret_count, struct err *err);
/* From now on `child` and what descends from it belong to the tree of `parent` in everything that
 * this program asks about trees, whatever its real parent is: a container that a daemon started for
 * us. One child a parent; false when there is no room. A pid given to another later is nobody's. */
bool proc_adopt(pid_t parent, const struct proc_stat *child);
void proc_disown(pid_t parent);
/* All processes. */
NODISCARD bool proc_all(const char *root, struct proc_stat **ret_list, size_t *ret_count,
                        struct err *err);

struct reading proc_pss(const char *root, pid_t pid); /* bytes, smaps_rollup; unknown if refused */
struct reading proc_peak_rss(const char *root, pid_t pid); /* bytes, VmHWM */
struct reading proc_rss(const char *root, pid_t pid);      /* bytes */

/* Value of one variable in /proc/PID/environ, owned by the caller; NULL when not readable or unset.
 */
char *proc_environ(const char *root, pid_t pid, const char *name);
/* Command line with blanks between arguments, at most 4 KiB; owned, NULL when not readable. */
char *proc_cmdline(const char *root, pid_t pid);

struct proc_cpu {     /* /proc/stat, all cores together, since boot */
    int64_t at_ns;    /* monotonic, when read */
    int64_t busy_ns;  /* user nice system irq softirq (guest is inside user) */
    int64_t steal_ns; /* taken by the hypervisor for others */
    int cores;        /* online */
};
NODISCARD bool proc_read_cpu(const char *root, struct proc_cpu *ret_cpu, struct err *err);

struct proc_memory {
    struct reading total_bytes, available_bytes, swap_used_bytes;
};
NODISCARD bool proc_read_memory(const char *root, struct proc_memory *ret_memory, struct err *err);

/* Which process listens on a loopback TCP port: its pid, 0 when nobody does, -1 when somebody does
 * but whose it is can't be seen. Reads net/tcp, net/tcp6 and the fd folders. */
pid_t proc_listener(const char *root, int port);
/* The same for whoever asks again and again about one port: what was found is kept, and as long as
 * it is that process with that socket nothing is searched. A process that comes to share the socket
 * later is not noticed before then; a holder that can't be seen is looked for at each 16th
 * question. */
struct proc_listening { /* zeroed at first; owns nothing */
    int port;
    pid_t pid;           /* as it was answered */
    int64_t start_ticks; /* of that process */
    uint64_t inode;      /* of the socket */
    int descriptor, questions;
};
pid_t proc_listening(struct proc_listening *listening, const char *root, int port);
/* The TCP ports on which this process itself listens and which loopback reaches in its network
 * namespace, lowest first; at most `max`. -1 when its descriptors may not be looked at. */
int proc_ports(const char *root, pid_t pid, int *ret_ports, int max);
