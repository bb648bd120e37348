/* A service that is a container: its command line, its processes, and its certain end.
 *
 * The service's main process is the runtime's client (`podman run`, `docker run`), whose output and
 * exit status are the container's. Its processes may be anywhere: podman's are orphans that come to
 * our keeper, docker's are a daemon's. They are known by the container's id in their cgroup. */
#pragma once

#include "service/launch.h"
#include "service/tree.h"

#include <stdatomic.h>
#include <sys/types.h>

enum { CONTAINER_ID_SIZE = 65, CONTAINER_TEXT_SIZE = 8192 };

/* Turns the launch of a `container:` line as the study has it into the one that is executed: what
 * we need is put right after "run", our environment into -e. ERR_INPUT names an option that would
 * take the container out of our hands, or its port onto other interfaces. */
NODISCARD bool service_container_build(struct arena *arena, const struct spec_study *study,
                                       struct service_launch *launch, struct err *err);

/* What is needed to ask the runtime about a container after the launch is gone: texts only, so that
 * a fork can use it as it is. */
struct service_container {
    char *service, *program, *folder, *id_path, *name;
    char *study_filter, *folder_filter; /* "label=spica.study=..." */
    char **prefix;                      /* of every command: the line's words before "run" */
    size_t prefix_count;
    char **env;
    /* Were processes of it ever seen from here? Shared with the keeper, borrowed; NULL: not told.
     */
    const atomic_bool *seen;
};
/* NULL when the launch is no container's. */
struct service_container *service_container_new(const struct service_launch *launch,
                                                const char *study);
struct service_container *service_container_free(struct service_container *container);
AUTO_FN(struct service_container, service_container_free)

/* Before a start: removes what a killed run of this study left under the same folder, which only
 * its lock's holder uses. ERR_BUSY when the name belongs to another's container, ERR_STOPPED when
 * the runtime does not work. */
NODISCARD bool service_container_clear(const struct service_container *container, struct err *err);

/* What a log is ended with when a runtime failed before there was a container: words of ours, which
 * signature_common.c knows. */
#define SERVICE_NO_CONTAINER "spica: the runtime ended before there was a container"

/* ---- no heap, no stdio, no lock: the keeper uses these after a fork without exec ---- */

/* False until the runtime has written it. */
bool service_container_id(const struct service_container *container,
                          char ret_id[CONTAINER_ID_SIZE]);
/* Runs "PREFIX words..." (NULL-terminated, at most 8). Its exit status, -1 when it could not be run
 * or had to be killed after `within_ns`. Output and errors, cut, into `ret_text`. */
int service_container_call(const struct service_container *container, const char *const *words,
                           int64_t within_ns, char *ret_text, size_t size);
/* The same without waiting, its output dropped: the pid, -1 on failure. */
pid_t service_container_begin(const struct service_container *container, const char *const *words);
/* Processes with this id in their cgroup, counted; *ret_first: the one whose parent is none of
 * them, 0 none. Scans `tree` anew. */
size_t service_container_processes(struct service_tree *tree, const char *id, pid_t *ret_first);
/* Did memory end it, as the runtime tells of a container that has ended? 1, 0, or -1 when it can't
 * be told. */
int service_container_oom(const struct service_container *container, int64_t within_ns);
/* Until the runtime knows no such container and no process of it is left: true. False when
 * processes are left after `within_ns`, or when the runtime does not answer and none was seen. */
bool service_container_remove(const struct service_container *container, struct service_tree *tree,
                              int64_t within_ns);
