/* A service's own keeper ends its whole tree, so this finds something only when both spica and the
 * keeper were killed at the same moment. Killing what is found was rejected: it is not our child,
 * the pid may by now be somebody's, and a person should know. */
#include "study/leftover.h"

#include "device/proc.h"

#include <string.h>

static const struct proc_stat *find(const struct proc_stat *list, size_t count, pid_t pid)
{
    for (size_t i = 0; i < count; i++)
        if (list[i].pid == pid)
            return &list[i];
    return NULL;
}

/* A keeper minds what it has started; so does spica itself, or a lane of it, what it asks for its
 * version, which may be one that runs a study on another device. */
static bool has_keeper(const struct proc_stat *list, size_t count, const struct proc_stat *process)
{
    /* A parent chain is short; the bound is against a list read while links changed. */
    for (int depth = 0; process && depth < 64; depth++) {
        if (strcmp(process->comm, "spica-keeper") == 0 || strcmp(process->comm, "spica") == 0 ||
            strcmp(process->comm, "spica-lane") == 0)
            return true;
        process = find(list, count, process->ppid);
    }
    return false;
}

bool study_find_leftovers(const char *proc_root, struct buf *ret_text, struct err *err)
{
    AUTO(free) struct proc_stat *list = NULL;
    size_t count = 0;
    if (!proc_all(proc_root, &list, &count, err))
        return false;
    for (size_t i = 0; i < count; i++) {
        if (list[i].state == 'Z' || has_keeper(list, count, &list[i]))
            continue;
        AUTO(free) char *of = proc_environ(proc_root, list[i].pid, "SPICA_SERVICE");
        if (of)
            buf_addf(ret_text, "%spid %d (%s) of %s", ret_text->len ? ", " : "", (int)list[i].pid,
                     list[i].comm, of);
    }
    return true;
}
