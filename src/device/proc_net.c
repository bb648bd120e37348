/* Who listens on a port: the proof that the server that answers is the one that we started, and not
 * an old one that kept the port.
 *
 * net/tcp gives the inode of each listening socket, the fd folders give the process that holds it.
 * A netlink query (sock_diag) would be quicker with many sockets, but ends at the same inode and
 * the same search through fd folders, and no test could feed it.
 *
 * Invariant: 0 is said only when no listening socket would get a connection to a loopback address
 * at this port. A socket whose holder is another user's, or in another pid namespace, is -1. */
#include "device/proc_file.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>

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

static void read_sockets(const char *root, const char *name, int port, struct listeners *listeners)
{
    char path[4096], line[LINE_SIZE];
    snprintf(path, sizeof path, "%s/net/%s", root, name);
    AUTO(fclose) FILE *file = fopen(path, "re");
    while (file && listeners->count < INODES_MAX && fgets(line, sizeof line, file)) {
        char address[33];
        unsigned line_port = 0, state = 0;
        uint64_t inode = 0;
        /* sl: local:port remote:port st tx:rx tr:when retrnsmt uid timeout inode */
        int fields = sscanf(line,
                            " %*u: %32[0-9A-Fa-f]:%4x %*32[0-9A-Fa-f]:%*4x %2x %*x:%*x %*x:%*x "
                            "%*x %*u %*u %20" SCNu64,
                            address, &line_port, &state, &inode);
        if (fields == 4 && state == STATE_LISTEN && (int)line_port == port && inode != 0 &&
            reached_by_loopback(address))
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

static bool holds(int root_fd, pid_t pid, const struct listeners *listeners)
{
    AUTO(fd) int fd = proc_file_open(root_fd, pid, "fd", O_DIRECTORY);
    AUTO(closedir) DIR *files = fd >= 0 ? fdopendir(fd) : NULL;
    if (!files)
        return false;
    fd_take(&fd);
    for (const struct dirent *entry = readdir(files); entry; entry = readdir(files)) {
        char link[64];
        ssize_t len = readlinkat(dirfd(files), entry->d_name, link, sizeof link - 1);
        if (len <= 0)
            continue;
        link[len] = '\0';
        if (is_socket(link, listeners))
            return true;
    }
    return false;
}

pid_t proc_listener(const char *root, int port)
{
    struct listeners listeners = {0};
    read_sockets(root, "tcp", port, &listeners);
    read_sockets(root, "tcp6", port, &listeners);
    if (listeners.count == 0)
        return 0;
    AUTO(closedir) DIR *dir = opendir(root);
    pid_t found = -1;
    for (const struct dirent *entry = dir ? readdir(dir) : NULL; entry; entry = readdir(dir)) {
        pid_t pid = proc_file_pid(entry->d_name);
        /* A socket shared by a parent and its workers belongs to the lowest pid, whatever order the
         * folder has. */
        if (pid > 0 && (found < 0 || pid < found) && holds(dirfd(dir), pid, &listeners))
            found = pid;
    }
    return found;
}
