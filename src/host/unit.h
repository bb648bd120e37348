/* What systemd knows of one unit, as far as stopping it and starting it again asks. */
#pragma once

#include "base/arena.h"
#include "device/reading.h"
#include "host/manager.h"

#include <sys/types.h>

struct host_unit {
    char name[HOST_NAME_SIZE]; /* its own, not an alias */
    char description[128];
    bool found;       /* there is such a unit */
    char active[16];  /* systemd's word: "active", "failed", ... */
    char sub[32];     /* and its finer one: "running", "auto-restart" */
    char at_boot[24]; /* systemd's word for its file: "enabled", "static", ... */
    char group[512];  /* its control group; "" none */
    bool up;          /* runs, or is on its way: active, reloading, activating */
    bool can_start;   /* again, once stopped */
    bool can_stop;    /* by hand */
    bool transient;   /* made on the fly: gone once stopped */
    bool once;        /* up only while it does its work (Type=oneshot) */
    int exit_status;  /* of its main process, once that has ended; -1: none, or by a signal */
    struct reading memory_bytes;
    int64_t start_within_ns, stop_within_ns; /* systemd gives up after that; bounded by us */
    /* Comma-separated, only those that are up: what would start it again by itself, and what would
     * be stopped along with it. */
    char triggers[512], dependents[512];
};

/* A unit that does not exist is not an error: `found` is false then. A name without a suffix is a
 * service's. */
NODISCARD bool host_unit_read(struct host_manager *manager, const char *name,
                              struct host_unit *ret_unit, struct err *err);

/* Names of all units that are loaded or have a file; for "did you mean". In the arena. */
NODISCARD bool host_unit_list(struct host_manager *manager, struct arena *arena,
                              const char *const **ret_names, size_t *ret_count, struct err *err);
