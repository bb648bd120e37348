/* What exactly is executed for one service of one candidate: argv, environment, folder, port, and
 * files written before. Shown by `spica check`, stored with every trial. */
#pragma once

#include "base/arena.h"
#include "spec/space.h"

/* The GPU that a service is to see; what the driver's variables are set to. */
struct launch_device {
    const char *uuid;   /* "GPU-...", "MIG-..."; NULL: a CPU box */
    const char *number; /* in PCI order, for programs that read no UUID; "" if there is none */
};

struct service_launch {
    const char *name; /* "stt" */
    const struct spec_service *spec;
    const struct spec_engine *engine; /* NULL for `command` */
    const char *program;              /* absolute path of what is executed */
    const char **argv;                /* NULL-terminated; argv[0] as written */
    const char **env; /* NULL-terminated "NAME=value": only what is added to or changed in ours */
    const char **env_unset; /* NULL-terminated names removed */
    /* Names of ours that hold keys of the study's requests, and that `environment:` does not speak
     * of: removed as well, and no part of what a service is. NULL: none. */
    const char **env_keys;
    const char *folder;  /* working folder */
    const char *scratch; /* private folder of this service in this trial; made by the start */
    const char *log_path;
    int port;
    const char *model;    /* the name that requests give the engine's model; NULL: they give none */
    size_t container_run; /* a container's: index of "run" in argv; else 0 */
    const char *container_name; /* a container's, else NULL */
    /* A configuration file that the engine wants, or NULLs: written into scratch before the start.
     */
    const char *config_name, *config_text;
};

/* Everything is in `arena`. Writes nothing; missing programs are ERR_MISSING naming the service.
 * `device` NULL: not known yet, the environment then names the study's own word for it. */
NODISCARD bool service_launch_build(struct arena *arena, const struct spec_study *study,
                                    const struct spec_candidate *candidate, size_t service,
                                    int port, const struct launch_device *device,
                                    const char *scratch, const char *log_path,
                                    struct service_launch *ret_launch, struct err *err);

/* Shell-quoted "NAME=value program arg ..." for people. */
void service_launch_add_text(struct buf *buf, const struct service_launch *launch);

/* A free loopback port: bound, found free and closed again; different from those given. */
NODISCARD bool service_port_allot(const int *taken, size_t taken_count, int *ret_port,
                                  struct err *err);
