/* Who listens on a port: the proof that the server that answers is the one that we started, and not
 * an old one that kept the port.
 *
 * net/tcp gives the inode of each listening socket, the fd folders give the process that holds it.
 * A netlink query (sock_diag) would be quicker with many sockets, but ends at the same inode and
 * the same search through fd folders, and no test could feed it.
 *
 * That search reads every descriptor of every process. Whoever asks again and again keeps what was
 * found, and has it confirmed by two small files: it is the same process (pid and start), and the
 * same socket is behind the same descriptor of it. Nothing else is read until that is no longer so.
 *
 * Invariant: 0 is said only when no listening socket would get a connection to a loopback address
 * at this port. A socket whose holder is another user's, or in another pid namespace, is -1. */
#include "device/proc_file.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <unistd.h>

enum { STATE_LISTEN = 0x0A, LINE_SIZE = 512, INODES_MAX = 16 };

struct listeners {
    uint64_t inodes[INODES_MAX]; /* several with SO_REUSEPORT, or one per address family */
    size_t count;
};

/* The address as the kernel prints it: each 32-bit word of the network-order address as a
 * host-order number. Is it one that 127.0.0.1 or ::1 reaches? */
static bool reached_by_loopback(const char *hex)
{
    uint32_t words[4] = {0};
    size_t digits = strlen(hex), count = digits / 8;
    if (digits != 8 && digits != 32)
        return false;
    for (size_t i = 0; i < count; i++) {
        char word[9] = {0};
        memcpy(word, hex + 8 * i, 8);
        words[i] = ntohl((uint32_t)strtoul(word, NULL, 16));
    }
    if (count == 1)
        return words[0] == 0 || words[0] >> 24 == 127;
    if (words[0] || words[1])
        return false;
    bool any_or_one = words[2] == 0 && words[3] <= 1;
    bool mapped = words[2] == 0xffff && (words[3] == 0 || words[3] >> 24 == 127);
    return any_or_one || mapped;
}

/* A line of net/tcp about a listening socket that loopback reaches. */
static bool parse_line(const char *line, int *ret_port, uint64_t *ret_inode)
{
    char address[33];
    unsigned port = 0, state = 0;
    uint64_t inode = 0;
    /* sl: local:port remote:port st tx:rx tr:when retrnsmt uid timeout inode */
    int fields = sscanf(line,
                        " %*u: %32[0-9A-Fa-f]:%4x %*32[0-9A-Fa-f]:%*4x %2x %*x:%*x %*x:%*x "
                        "%*x %*u %*u %20" SCNu64,
                        address, &port, &state, &inode);
    if (fields != 4 || state != STATE_LISTEN || inode == 0 || !reached_by_loopback(address))
        return false;
    *ret_port = (int)port;
    *ret_inode = inode;
    return true;
}

static void read_sockets(const char *root, const char *name, int port, struct listeners *listeners)
{
    char path[4096], line[LINE_SIZE];
    snprintf(path, sizeof path, "%s/net/%s", root, name);
    AUTO(fclose) FILE *file = fopen(path, "re");
    while (file && listeners->count < INODES_MAX && fgets(line, sizeof line, file)) {
        int line_port = 0;
        uint64_t inode = 0;
        if (parse_line(line, &line_port, &inode) && line_port == port)
            listeners->inodes[listeners->count++] = inode;
    }
}

static bool is_socket(const char *link, const struct listeners *listeners)
{
    uint64_t inode = 0;
    char end = 0;
    if (sscanf(link, "socket:[%20" SCNu64 "%c", &inode, &end) != 2 || end != ']')
        return false;
    for (size_t i = 0; i < listeners->count; i++) {
        if (listeners->inodes[i] == inode)
            return true;
    }
    return false;
}

/* Which descriptor of it is one of them; -1: none. */
static int holds(int root_fd, pid_t pid, const struct listeners *listeners)
{
    AUTO(fd) int fd = proc_file_open(root_fd, pid, "fd", O_DIRECTORY);
    AUTO(closedir) DIR *files = fd >= 0 ? fdopendir(fd) : NULL;
    if (!files)
        return -1;
    fd_take(&fd);
    for (const struct dirent *entry = readdir(files); entry; entry = readdir(files)) {
        char link[64];
        ssize_t len = readlinkat(dirfd(files), entry->d_name, link, sizeof link - 1);
        if (len <= 0)
            continue;
        link[len] = '\0';
        if (is_socket(link, listeners))
            return (int)strtol(entry->d_name, NULL, 10);
    }
    return -1;
}

/* A socket shared by a parent and its workers belongs to the lowest pid, whatever order the folder
 * has. */
static pid_t find_holder(const char *root, const struct listeners *listeners, int *ret_descriptor)
{
    AUTO(closedir) DIR *dir = opendir(root);
    pid_t found = -1;
    for (const struct dirent *entry = dir ? readdir(dir) : NULL; entry; entry = readdir(dir)) {
        pid_t pid = proc_file_pid(entry->d_name);
        if (pid <= 0 || (found > 0 && pid > found))
            continue;
        const int descriptor = holds(dirfd(dir), pid, listeners);
        if (descriptor < 0)
            continue;
        found = pid;
        *ret_descriptor = descriptor;
    }
    return found;
}

static void find_sockets(const char *root, int port, struct listeners *ret_listeners)
{
    *ret_listeners = (struct listeners){0};
    read_sockets(root, "tcp", port, ret_listeners);
    read_sockets(root, "tcp6", port, ret_listeners);
}

pid_t proc_listener(const char *root, int port)
{
    struct listeners listeners;
    int descriptor = 0;
    find_sockets(root, port, &listeners);
    return listeners.count == 0 ? 0 : find_holder(root, &listeners, &descriptor);
}

/* ---- again and again ---- */

/* A hidden holder is looked for again so many questions later: it may have been between two
 * processes just then, or be another user's for good. */
enum { HIDDEN_QUESTIONS = 15 };

static uint64_t first_inode(const struct listeners *listeners)
{
    uint64_t first = listeners->count > 0 ? listeners->inodes[0] : 0;
    for (size_t i = 1; i < listeners->count; i++)
        first = listeners->inodes[i] < first ? listeners->inodes[i] : first;
    return first;
}

/* The inode of the socket that is behind a descriptor; 0: there is none. */
static uint64_t inode_of(const char *root, pid_t pid, int descriptor)
{
    char path[4096], link[64];
    uint64_t inode = 0;
    snprintf(path, sizeof path, "%s/%d/fd/%d", root, (int)pid, descriptor);
    ssize_t len = readlink(path, link, sizeof link - 1);
    if (len <= 0)
        return 0;
    link[len] = '\0';
    return sscanf(link, "socket:[%20" SCNu64, &inode) == 1 ? inode : 0;
}

/* The same process has the same socket behind the same descriptor. */
static bool still_holds(const char *root, const struct proc_listening *listening)
{
    struct proc_stat now;
    return listening->pid > 0 && listening->inode > 0 &&
           proc_read_stat(root, listening->pid, &now) && !proc_is_dead(&now) &&
           now.start_ticks == listening->start_ticks &&
           inode_of(root, listening->pid, listening->descriptor) == listening->inode;
}

static bool still_hidden(const struct proc_listening *listening, const struct listeners *listeners)
{
    return listening->pid < 0 && listening->inode == first_inode(listeners) &&
           listening->questions < HIDDEN_QUESTIONS;
}

pid_t proc_listening(struct proc_listening *listening, const char *root, int port)
{
    struct listeners listeners;
    struct proc_stat now;
    int descriptor = 0;
    if (listening->port == port && still_holds(root, listening))
        return listening->pid;
    find_sockets(root, port, &listeners);
    if (listening->port == port && still_hidden(listening, &listeners)) {
        listening->questions++;
        return -1;
    }
    *listening = (struct proc_listening){.port = port};
    if (listeners.count == 0)
        return 0;
    const pid_t pid = find_holder(root, &listeners, &descriptor);
    listening->pid = pid;
    listening->inode = pid > 0 ? inode_of(root, pid, descriptor) : first_inode(&listeners);
    listening->descriptor = descriptor;
    listening->start_ticks = pid > 0 && proc_read_stat(root, pid, &now) ? now.start_ticks : -1;
    return pid;
}

static int compare_ports(const void *a, const void *b)
{
    return *(const int *)a - *(const int *)b;
}

int proc_ports(const char *root, pid_t pid, int *ret_ports, int max)
{
    static const char *const names[] = {"tcp", "tcp6"};
    int count = 0;
    AUTO(fd) int root_fd = proc_file_open_root(root);
    AUTO(fd) int files = root_fd < 0 ? -1 : proc_file_open(root_fd, pid, "fd", O_DIRECTORY);
    if (files < 0)
        return -1;
    for (size_t n = 0; n < ARRAY_LEN(names); n++) {
        char path[4096], line[LINE_SIZE];
        snprintf(path, sizeof path, "%s/%d/net/%s", root, (int)pid, names[n]);
        AUTO(fclose) FILE *file = fopen(path, "re");
        while (file && count < max && fgets(line, sizeof line, file)) {
            struct listeners one = {.count = 1};
            int port = 0;
            if (!parse_line(line, &port, &one.inodes[0]) || holds(root_fd, pid, &one) < 0)
                continue;
            bool known = false;
            for (int i = 0; i < count; i++)
                known |= ret_ports[i] == port;
            if (!known)
                ret_ports[count++] = port;
        }
    }
    if (count)
        qsort(ret_ports, (size_t)count, sizeof *ret_ports, compare_ports);
    return count;
}
