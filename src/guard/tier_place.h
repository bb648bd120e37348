/* Inside guard/: is a tier that is on where it must compute? For each tier that is on, whether or
 * not it takes requests. Pure. */
#pragma once

#include "device/device.h"
#include "device/proc.h"
#include "guard/watch_place.h"

struct tier_place { /* zeroed at first */
    struct guard_place seen;
    bool lost;        /* it is not on its device, which is still to be said */
    pid_t proven_pid; /* its first request has shown it there; 0: none is to be taken up */
    pid_t pid;        /* whose place it is */
    int64_t start_ticks, since_ns;
};

/* `usage` of its tree; `device`: its name. */
void tier_place_look(struct tier_place *place, const struct proc_stat *main,
                     const struct device_usage *usage, const char *device, int64_t now_ns);
/* It was said that it is elsewhere, and not seen that it is there again. */
bool tier_place_is_wrong(const struct tier_place *place);
