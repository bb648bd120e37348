/* Whose is an entry of the driver's process list?
 *
 * The driver names processes by numbers of some PID namespace. On a machine's own namespace that is
 * ours too and a number is proof. In a container some drivers translate the numbers, some give the
 * host's, some leave entries out; the host's 4711 may then be another process than ours of that
 * number. So in a container a number is believed only together with the driver's device files (or
 * its library) open in that process; else the entry is looked up in the host's /proc, where one is
 * mounted ($SPICA_HOST_PROC), through NSpid and the start time since boot, which both sides see
 * alike. What is found by neither is hidden: then "not listed" is not known, and memory neither.
 *
 * A member that left the tree by double fork, or that a container daemon holds, is found by cgroup:
 * one that lies in or below a member's cgroup, provided that this cgroup is not spica's own.
 *
 * Rejected: taking an empty list for an idle card. Containers see empty lists of full cards; with
 * memory in use and nobody listed, nothing is known. */
#include "device/gpu_tree.h"

#include "base/text.h"
#include "device/proc_file.h"

#include <fcntl.h>
#include <string.h>

enum { STATUS_SIZE = 8192, CGROUP_SIZE = 4096, GROUPS_MAX = 16, MAPS_CHUNK = 65536 };
static const char machine_namespace[] = "pid:[4026531836]"; /* PROC_PID_INIT_INO of the kernel */
static const double idle_bytes = 64 << 20; /* a card that nobody uses may show some MiB */

void gpu_tree_join(struct gpu_join *join, const char *proc_root)
{
    char path[4096], target[64] = "";
    const char *host = getenv("SPICA_HOST_PROC");
    *join = (struct gpu_join){.proc_root = proc_root, .host_root = host && host[0] ? host : NULL};
    snprintf(path, sizeof path, "%s/self/ns/pid", proc_root);
    ssize_t len = readlink(path, target, sizeof target - 1);
    join->inner = len > 0 && strcmp(target, machine_namespace) != 0;
}

/* Is a descriptor of the process one of the driver's device files? */
static bool opens_driver(const char *root, pid_t pid)
{
    char path[4096], target[128];
    snprintf(path, sizeof path, "%s/%d/fd", root, (int)pid);
    AUTO(closedir) DIR *dir = opendir(path);
    if (!dir)
        return false;
    for (const struct dirent *entry = readdir(dir); entry; entry = readdir(dir)) {
        ssize_t len = readlinkat(dirfd(dir), entry->d_name, target, sizeof target - 1);
        if (len <= 0)
            continue;
        target[len] = '\0';
        if (text_starts_with(target, "/dev/nvidia") || text_starts_with(target, "/dev/dxg"))
            return true;
    }
    return false;
}

static bool maps_driver(int root_fd, pid_t pid)
{
    AUTO(fd) int fd = proc_file_open(root_fd, pid, "maps", 0);
    AUTO(free) char *chunk = malloc(MAPS_CHUNK);
    if (fd < 0 || !chunk)
        return false;
    /* A line is short beside the chunk: keeping its tail, none is cut in two. */
    size_t kept = 0;
    for (;;) {
        ssize_t n = read(fd, chunk + kept, MAPS_CHUNK - kept);
        if (n <= 0)
            return false;
        size_t len = kept + (size_t)n;
        if (text_find_nocase(chunk, len, "libcuda.so") ||
            text_find_nocase(chunk, len, "/dev/nvidia"))
            return true;
        kept = len < 64 ? len : 64;
        memmove(chunk, chunk + len - kept, kept);
    }
}

static bool uses_driver(struct gpu_join *join, int root_fd, const struct proc_stat *member)
{
    for (size_t i = 0; i < join->seen_count; i++) {
        if (join->seen[i].pid == member->pid && join->seen[i].start_ticks == member->start_ticks)
            return true;
    }
    if (!opens_driver(join->proc_root, member->pid) && !maps_driver(root_fd, member->pid))
        return false;
    size_t at =
        join->seen_count < GPU_SEEN_MAX ? join->seen_count++ : (size_t)member->pid % GPU_SEEN_MAX;
    join->seen[at].pid = member->pid;
    join->seen[at].start_ticks = member->start_ticks;
    return true;
}

bool gpu_tree_find(struct gpu_join *join, pid_t pid, struct proc_stat *ret_stat)
{
    struct proc_stat stat;
    AUTO(fd) int root_fd = proc_file_open_root(join->proc_root);
    if (root_fd < 0 || pid <= 0 || !proc_file_stat(root_fd, pid, &stat) ||
        (join->inner && !uses_driver(join, root_fd, &stat)))
        return false;
    *ret_stat = stat;
    return true;
}

/* The innermost number of "NSpid:\t4711\t12", 0 when the line is not there. */
static pid_t innermost(const char *status)
{
    const char *line = strstr(status, "\nNSpid:");
    pid_t pid = 0;
    if (!line)
        return 0;
    line += strlen("\nNSpid:");
    for (const char *at = line; *at && *at != '\n';) {
        size_t blanks = strspn(at, " \t"), digits = strspn(at + blanks, "0123456789");
        if (digits == 0 || digits > 10)
            return 0;
        pid = (pid_t)strtol(at + blanks, NULL, 10);
        at += blanks + digits;
    }
    return pid;
}

/* What one reading of a tree works on. */
struct reader {
    struct gpu_join *join;
    int root_fd, host_fd;
    const struct proc_stat *members; /* the tree, root included */
    size_t count;
    pid_t root;
    char groups[GROUPS_MAX][256]; /* members' cgroups that are not spica's own */
    size_t group_count;
};

static const struct proc_stat *member_of(const struct reader *reader, pid_t pid)
{
    for (size_t i = 0; i < reader->count; i++) {
        if (reader->members[i].pid == pid && pid != reader->root)
            return &reader->members[i];
    }
    return NULL;
}

/* The path of cgroup v2's line "0::/path". False for the top, which everybody is in. */
static bool read_group(int root_fd, const char *name, char *ret_group, size_t size)
{
    char path[64], text[CGROUP_SIZE];
    snprintf(path, sizeof path, "%s/cgroup", name);
    AUTO(fd) int fd = openat(root_fd, path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || proc_file_fill(fd, text, sizeof text) <= 0)
        return false;
    const char *line = text_starts_with(text, "0::") ? text : strstr(text, "\n0::");
    if (!line)
        return false;
    line += strspn(line, "\n") + strlen("0::");
    size_t len = strcspn(line, "\n");
    if (len < 2 || len >= size)
        return false;
    memcpy(ret_group, line, len);
    ret_group[len] = '\0';
    return true;
}

static void note_groups(struct reader *reader)
{
    char own[256] = "", group[256], name[16];
    read_group(reader->root_fd, "self", own, sizeof own);
    for (size_t i = 0; i < reader->count && reader->group_count < GROUPS_MAX; i++) {
        snprintf(name, sizeof name, "%d", (int)reader->members[i].pid);
        if (!read_group(reader->root_fd, name, group, sizeof group) || strcmp(group, own) == 0)
            continue;
        bool known = false;
        for (size_t g = 0; g < reader->group_count; g++)
            known |= strcmp(reader->groups[g], group) == 0;
        /* Above us in the hierarchy is what holds us, and everything beside us. */
        size_t len = strlen(group);
        bool above = strncmp(own, group, len) == 0 && own[len] == '/';
        if (!known && !above)
            memcpy(reader->groups[reader->group_count++], group, len + 1);
    }
}

static bool in_groups(const struct reader *reader, pid_t pid)
{
    char group[256], name[16];
    snprintf(name, sizeof name, "%d", (int)pid);
    if (reader->group_count == 0 || !read_group(reader->root_fd, name, group, sizeof group))
        return false;
    for (size_t g = 0; g < reader->group_count; g++) {
        size_t len = strlen(reader->groups[g]);
        if (strncmp(group, reader->groups[g], len) == 0 &&
            (group[len] == '\0' || group[len] == '/'))
            return true;
    }
    return false;
}

/* Through the host's /proc: its process P is, inside, the number that NSpid ends with. */
static const struct proc_stat *joined_by_host(const struct reader *reader, pid_t pid)
{
    char status[STATUS_SIZE];
    struct proc_stat outside;
    if (reader->host_fd < 0 ||
        proc_file_read(reader->host_fd, pid, "status", status, sizeof status) <= 0 ||
        !proc_file_stat(reader->host_fd, pid, &outside))
        return NULL;
    const struct proc_stat *member = member_of(reader, innermost(status));
    return member && member->start_ticks == outside.start_ticks ? member : NULL;
}

enum owner { OWNER_OTHER, OWNER_TREE, OWNER_HIDDEN };

/* *ret_pid: for one of the tree, its number as we count. */
static enum owner owner_of(const struct reader *reader, pid_t pid, pid_t *ret_pid)
{
    struct gpu_join *join = reader->join;
    const struct proc_stat *member = member_of(reader, pid);
    struct proc_stat stat;
    *ret_pid = pid;
    if (member && (!join->inner || uses_driver(join, reader->root_fd, member)))
        return OWNER_TREE;
    const struct proc_stat *outside = joined_by_host(reader, pid);
    if (outside) {
        *ret_pid = outside->pid;
        return OWNER_TREE;
    }
    if (!join->inner)
        return in_groups(reader, pid) ? OWNER_TREE : OWNER_OTHER;
    /* In a container: a process that we see and that uses the driver is somebody else's. */
    if (!member && gpu_tree_find(join, pid, &stat))
        return in_groups(reader, pid) ? OWNER_TREE : OWNER_OTHER;
    return OWNER_HIDDEN;
}

/* One member with unknown memory makes the sum unknown: NaN stays NaN. */
static void add(struct reading *sum, const struct reading *bytes)
{
    if (bytes->state != READING_KNOWN)
        *sum = READING_NONE;
    else if (sum->state == READING_KNOWN)
        sum->value += bytes->value;
}

static void sort_entries(const struct reader *reader, const struct nvml_process *list, size_t count,
                         struct gpu_tree *tree)
{
    double most = -1;
    for (size_t i = 0; i < count; i++) {
        pid_t pid = 0;
        enum owner owner = owner_of(reader, list[i].pid, &pid);
        if (owner == OWNER_TREE) {
            double bytes = reading_value(list[i].memory_bytes);
            if (bytes > most || tree->holder == 0) {
                most = bytes;
                tree->holder = pid;
            }
            add(&tree->memory_bytes, &list[i].memory_bytes);
            tree->listed = DEVICE_LISTED_YES;
            if (tree->pid_count < GPU_TREE_PIDS_MAX)
                tree->pids[tree->pid_count++] = list[i].pid;
            continue;
        }
        tree->others++;
        if (owner == OWNER_HIDDEN) {
            tree->hidden++;
            add(&tree->hidden_bytes, &list[i].memory_bytes);
        }
    }
}

static void read_list(const struct reader *reader, struct nvml_card *card, struct gpu_tree *tree)
{
    AUTO(free) struct nvml_process *list = NULL;
    size_t count = 0;
    if (!nvml_read_processes(card, &list, &count))
        return;
    tree->memory_bytes = tree->hidden_bytes = reading_known(READING_FROM_NVML, 0);
    tree->listed = DEVICE_LISTED_NO;
    sort_entries(reader, list, count, tree);
    if (tree->listed == DEVICE_LISTED_YES)
        return;
    struct nvml_memory memory = {.used_bytes = READING_NONE};
    if (count == 0)
        nvml_read_memory(card, reader->join->proc_root, &memory);
    if (tree->hidden > 0 || reading_value(memory.used_bytes) > idle_bytes) {
        tree->listed = DEVICE_LISTED_UNKNOWN;
        tree->memory_bytes = READING_NONE;
        if (count == 0)
            tree->hidden_bytes = memory.used_bytes;
    }
}

/* The tree's members, for the caller to free; false when there is no such root. */
static bool open_reader(struct reader *reader, struct proc_stat **ret_members)
{
    struct err ignored = ERR_INIT;
    if (reader->root_fd < 0 ||
        !proc_tree(reader->join->proc_root, reader->root, ret_members, &reader->count, &ignored) ||
        reader->count == 0)
        return false; /* without its keeper the tree can't be told from others */
    reader->members = *ret_members;
    note_groups(reader);
    return true;
}

void gpu_tree_read(struct gpu_join *join, struct nvml_card *card, pid_t root,
                   struct gpu_tree *ret_tree)
{
    struct gpu_tree tree = {.memory_bytes = READING_NONE, .hidden_bytes = READING_NONE};
    AUTO(free) struct proc_stat *members = NULL;
    AUTO(fd) int root_fd = proc_file_open_root(join->proc_root);
    AUTO(fd) int host_fd = join->host_root ? proc_file_open_root(join->host_root) : -1;
    struct reader reader = {.join = join, .root_fd = root_fd, .host_fd = host_fd, .root = root};
    if (open_reader(&reader, &members)) {
        for (size_t i = 0; i < reader.count; i++) {
            tree.cpu_ns = proc_add_ns(tree.cpu_ns, members[i].reaped_cpu_ns);
            if (members[i].pid == root)
                continue;
            tree.cpu_ns = proc_add_ns(tree.cpu_ns, members[i].cpu_ns);
            tree.processes += !proc_is_dead(&members[i]);
        }
        read_list(&reader, card, &tree);
    }
    *ret_tree = tree;
}

int gpu_tree_claim(struct gpu_join *join, pid_t root, const struct nvml_process *list, size_t count,
                   bool *ret_members)
{
    AUTO(free) struct proc_stat *members = NULL;
    AUTO(fd) int root_fd = proc_file_open_root(join->proc_root);
    AUTO(fd) int host_fd = join->host_root ? proc_file_open_root(join->host_root) : -1;
    struct reader reader = {.join = join, .root_fd = root_fd, .host_fd = host_fd, .root = root};
    int living = 0;
    if (!open_reader(&reader, &members))
        return -1;
    for (size_t i = 0; i < reader.count; i++)
        living += members[i].pid != root && !proc_is_dead(&members[i]);
    for (size_t i = 0; i < count; i++) {
        pid_t pid = 0;
        ret_members[i] |= owner_of(&reader, list[i].pid, &pid) == OWNER_TREE;
    }
    return living;
}
