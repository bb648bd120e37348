/* Inside device/ and doctor/ only: which entries of a driver's process list belong to a process
 * tree of ours. */
#pragma once

#include "device/device.h"
#include "device/nvml.h"

enum { GPU_TREE_PIDS_MAX = 64, GPU_SEEN_MAX = 64 };

struct gpu_join {          /* where processes are looked up; one per open device */
    const char *proc_root; /* borrowed */
    const char *host_root; /* the host's /proc seen from a container; NULL when there is none */
    bool inner;            /* we live in a PID namespace below the machine's own */
    /* Processes known to have the driver's device files open, so that each is asked once. */
    struct {
        pid_t pid;
        int64_t start_ticks;
    } seen[GPU_SEEN_MAX];
    size_t seen_count;
};
/* `host_root` is read from $SPICA_HOST_PROC. */
void gpu_tree_join(struct gpu_join *join, const char *proc_root);

/* The process that the driver means by `pid`, when it can be told from here. */
bool gpu_tree_find(struct gpu_join *join, pid_t pid, struct proc_stat *ret_stat);

struct gpu_tree {
    int64_t cpu_ns; /* of the tree, dead members included */
    int processes;  /* alive, without the root */
    enum device_listed listed;
    struct reading memory_bytes;   /* sum over listed members; 0 when not listed; unknown else */
    pid_t pids[GPU_TREE_PIDS_MAX]; /* listed members, by the driver's own numbers */
    size_t pid_count;
    pid_t holder;  /* the listed member with the most memory, by our own numbers; 0: none */
    size_t others; /* entries of the list that are not of the tree */
    size_t hidden; /* of these: whose they are can't be seen from here */
    struct reading hidden_bytes; /* their memory together */
};
/* The tree below (and without) `root` on this card. */
void gpu_tree_read(struct gpu_join *join, struct nvml_card *card, pid_t root,
                   struct gpu_tree *ret_tree);

/* Which entries of a list, read before, are of the tree below `root`: sets *ret_members[i] for
 * those, leaves the others. Living members without the root; -1 when there is no such tree. */
int gpu_tree_claim(struct gpu_join *join, pid_t root, const struct nvml_process *list, size_t count,
                   bool *ret_members);
