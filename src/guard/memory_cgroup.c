/* The kernel's own count of kills in a memory cgroup: memory.events of version 2, and
 * memory.oom_control of version 1, which has had the same line since Linux 4.13.
 *
 * A group ends with its unit, often before the next look, so this count alone is not enough; the
 * kernel's log and systemd's result are looked at as well. */
#include "guard/journal.h"

#include "base/buf.h"

#include <stdlib.h>
#include <string.h>

enum { FILE_MAX = 4096 };

static int64_t read_count(const char *path)
{
    AUTO(buf_done) struct buf text = BUF_INIT(FILE_MAX);
    struct err ignored = ERR_INIT;
    static const char key[] = "oom_kill ";
    if (!buf_read_file(&text, path, &ignored))
        return -1;
    for (const char *at = buf_text(&text); *at;) {
        if (strncmp(at, key, sizeof key - 1) == 0) {
            char *end = NULL;
            long long count = strtoll(at + sizeof key - 1, &end, 10);
            return end && (*end == '\n' || *end == '\0') && count >= 0 ? count : -1;
        }
        at += strcspn(at, "\n");
        at += *at == '\n';
    }
    return -1;
}

int64_t guard_cgroup_kills(const char *root, const char *group)
{
    char path[1024];
    if (group[0] != '/' || strstr(group, "/../") ||
        snprintf(path, sizeof path, "%s%s/memory.events", root, group) >= (int)sizeof path)
        return -1;
    int64_t count = read_count(path);
    if (count < 0 && snprintf(path, sizeof path, "%s/memory%s/memory.oom_control", root, group) <
                         (int)sizeof path)
        count = read_count(path);
    return count;
}
