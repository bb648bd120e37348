/* Inside trial/: what others did on this machine while a window ran. */
#pragma once

#include "device/machine.h"
#include "trial/attempt.h"

struct contention_readings { /* zeroed; ended by contention_done() */
    struct device_snapshot machine;
    struct device_activity *activity; /* owned; NULL: not taken */
    int64_t tree_cpu_ns[SPEC_SERVICES_MAX];
    int64_t keepers_cpu_ns, worker_cpu_ns, own_cpu_ns;
};

/* While attempt->worker runs. Lists all processes: some milliseconds. */
void contention_take(struct attempt *attempt, struct contention_readings *ret_readings);
void contention_done(struct contention_readings *readings);

struct contention {
    double ratio;       /* of the machine's core time; NaN unknown */
    double steal_ratio; /* of it, what a hypervisor took */
};
struct contention contention_between(const struct attempt *attempt,
                                     const struct contention_readings *before,
                                     const struct contention_readings *after);
/* "cc1 (pid 81, 1.80 cores), ..." in the attempt's arena; NULL: nobody stands out. */
const char *contention_names(struct attempt *attempt, const struct contention_readings *before,
                             const struct contention_readings *after);
