/* Environment and command line of a process: bytes of its own choice, bounded here and escaped by
 * whoever shows them.
 *
 * Both files show the process's memory as it is now: a program may have overwritten its command
 * line (many servers write a title there), and `environ` is what it was started with, not what
 * setenv(3) made of it. */
#include "base/buf.h"
#include "device/proc_file.h"

#include <string.h>

/* The kernel allows arguments and environment a quarter of the stack limit together (2 MiB
 * usually). More is cut: a variable behind it is not found. */
enum { ENVIRON_MAX = 8 * 1024 * 1024, CMDLINE_MAX = 4096 };

static char *copy(const char *text)
{
    char *copied = strdup(text);
    if (!copied)
        abort();
    return copied;
}

char *proc_environ(const char *root, pid_t pid, const char *name)
{
    char path[4096];
    snprintf(path, sizeof path, "%s/%d/environ", root, (int)pid);
    AUTO(buf_done) struct buf text = BUF_INIT(ENVIRON_MAX);
    struct err ignored = ERR_INIT;
    if (!buf_read_file(&text, path, &ignored))
        return NULL;
    size_t name_len = strlen(name);
    /* buf_text() is followed by a NUL, so the last entry ends too. */
    const char *end = buf_text(&text) + text.len;
    for (const char *entry = buf_text(&text); entry < end; entry += strlen(entry) + 1) {
        if (strncmp(entry, name, name_len) == 0 && entry[name_len] == '=')
            return copy(entry + name_len + 1);
    }
    return NULL;
}

char *proc_cmdline(const char *root, pid_t pid)
{
    char text[CMDLINE_MAX + 1];
    AUTO(fd) int root_fd = proc_file_open_root(root);
    ssize_t len = root_fd < 0 ? -1 : proc_file_read(root_fd, pid, "cmdline", text, sizeof text);
    while (len > 0 && text[len - 1] == '\0')
        len--;
    /* Kernel threads and zombies have none. */
    if (len <= 0)
        return NULL;
    for (ssize_t i = 0; i < len; i++) {
        if (text[i] == '\0')
            text[i] = ' ';
    }
    return copy(text);
}
