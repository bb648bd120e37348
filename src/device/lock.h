/* One trial per device at a time, across users and containers which share the lock folder:
 * /run/lock/spica, or $SPICA_LOCK_DIR. flock(2) on a file named after the device's id, so the lock
 * ends with its holder whatever kills it; the file's text says who holds it. */
#pragma once

#include "base/err.h"

#include <stdint.h>
#include <sys/types.h>

struct device_lock; /* opaque */

struct device_lock_holder {
    pid_t pid; /* 0 when it can't be read */
    char study[128];
    char detail[64]; /* "trial 3" */
    int64_t since_wall_us;
    char user[32];  /* its name, when it is not ours; else "" */
    bool elsewhere; /* the pid is of another container than this one */
};

/* ERR_BUSY with "DEVICE is busy: trial 3 of "night-run" holds it (pid 41877, since 02:14). Wait,
 * or: spica run --wait" when held. */
NODISCARD bool device_lock_take(const char *device_name, const char *device_id, const char *study,
                                struct device_lock **ret_lock, struct err *err);
/* The same for a part of a device (a MIG instance of the card `parent_id`): parts exclude each
 * other not, but a part and the whole do. `parent_id` NULL or "": as above. */
NODISCARD bool device_lock_take_part(const char *device_name, const char *device_id,
                                     const char *parent_id, const char *study,
                                     struct device_lock **ret_lock, struct err *err);
/* True while somebody holds it (the whole of it, not only parts); *ret_holder as far as known. */
bool device_lock_held(const char *device_id, struct device_lock_holder *ret_holder);
void device_lock_describe(struct device_lock *lock, const char *detail); /* updates "trial N" */
struct device_lock *device_lock_release(struct device_lock *lock);
AUTO_FN(struct device_lock, device_lock_release)
