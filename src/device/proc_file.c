/* Reading /proc with few system calls.
 *
 * stdio and buf_read_file() were not used for the hot files: each would allocate, and a listing of
 * all processes reads hundreds of files that fit a stack buffer. Everything goes through one folder
 * descriptor, so a test's fake root and /proc take the same path.
 *
 * Invariant: text handed back is always NUL-terminated and at most what the caller gave room for;
 * whether it is complete is for the parser to see (the kernel ends each line with a newline). */
#include "device/proc_file.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>

int proc_file_open_root(const char *root)
{
    return open(root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

int proc_file_open(int root_fd, pid_t pid, const char *name, int flags)
{
    char path[96];
    int len = snprintf(path, sizeof path, "%d/%s", (int)pid, name);
    if (len < 0 || (size_t)len >= sizeof path) {
        errno = ENAMETOOLONG;
        return -1;
    }
    return openat(root_fd, path, flags | O_RDONLY | O_CLOEXEC);
}

ssize_t proc_file_fill(int fd, char *text, size_t size)
{
    size_t len = 0;
    while (len + 1 < size) {
        ssize_t n = read(fd, text + len, size - 1 - len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -1;
        if (n == 0)
            break;
        len += (size_t)n;
    }
    text[len] = '\0';
    return (ssize_t)len;
}

ssize_t proc_file_read(int root_fd, pid_t pid, const char *name, char *text, size_t size)
{
    AUTO(fd) int fd = proc_file_open(root_fd, pid, name, 0);
    return fd < 0 ? -1 : proc_file_fill(fd, text, size);
}

bool proc_file_kib(const char *text, const char *key, double *ret_bytes)
{
    size_t key_len = strlen(key);
    for (const char *line = text; line && *line;) {
        if (strncmp(line, key, key_len) == 0) {
            const char *digits = line + key_len + strspn(line + key_len, " \t");
            size_t count = strspn(digits, "0123456789");
            /* More than 15 digits of KiB are no machine's memory. */
            if (count == 0 || count > 15 || strncmp(digits + count, " kB\n", 4) != 0)
                return false;
            *ret_bytes = strtod(digits, NULL) * 1024;
            return true;
        }
        const char *end = strchr(line, '\n');
        line = end ? end + 1 : NULL;
    }
    return false;
}

pid_t proc_file_pid(const char *name)
{
    int64_t pid = 0;
    for (const char *at = name; *at; at++) {
        if (*at < '0' || *at > '9')
            return 0;
        pid = pid * 10 + (*at - '0');
        if (pid > INT_MAX)
            return 0;
    }
    return (pid_t)pid;
}
