/* Whose a process is, in words a person can act on: the systemd unit to stop, the container, the
 * user to ask. */
#pragma once

#include <stddef.h>
#include <sys/types.h>

struct device_owner {   /* "" what is not known or does not apply */
    char unit[64];      /* the innermost one: "ollama.service" */
    char container[16]; /* the first 12 digits of its id, as podman and docker show it */
    char user[32];      /* its name, or "uid 1000" */
};

void device_owner_read(const char *proc_root, pid_t pid, struct device_owner *ret_owner);
/* Unit and container from the text of /proc/PID/cgroup; for tests and fuzzing. */
void device_owner_parse(const char *cgroup, struct device_owner *ret_owner);
