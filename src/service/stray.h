/* What is left when a keeper itself was killed: orphans of a server that the kernel hands to us.
 *
 * service_init() makes us a subreaper, so that nothing which a service started can slip away to
 * init even then. Processes which other parts of this program fork are told with
 * service_child_add() and are never touched here; neither are children that were ours before
 * service_init() (a shell that became us by exec may have left some). */
#pragma once

#include "base/err.h"

#include <stdint.h>
#include <sys/types.h>

/* Once, before the first start. ERR_INTERNAL when the kernel refuses. */
NODISCARD bool service_init(struct err *err);

void service_child_add(pid_t pid);
void service_child_remove(pid_t pid);

/* Kills strays and what is below them, waits at most `within_ns` for their end and reaps them.
 * Returns how many were found alive. A stray is a child of ours that we do not know, outside our
 * session, and either in a session one of our servers led or marked by SPICA_SERVICE in its
 * environment. */
int service_reap_strays(int64_t within_ns);

/* For process.c: from now on processes of this session are ours. */
void service_session_add(pid_t session);
