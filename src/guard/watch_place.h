/* Inside guard/: is a service, a tier or an arm still where it must compute? Pure, from one look to
 * the next. */
#pragma once

#include "device/device.h"

struct guard_place {     /* of one server; zeroed at first */
    enum placement word; /* what is believed now */
    bool proven;         /* by a probe, of this process */
    bool told;           /* that it is not on the device */
    bool owed; /* the process before was elsewhere: that it is there again is still to be told */
    int64_t unlisted_ns; /* since when the driver does not list it; 0: it does, or is silent */
    int64_t computed_ns; /* since when it is known to have computed while not listed; 0 */
    int64_t cpu_ns, cpu_at_ns; /* CPU time of its tree at the last look; at 0: not read */
    int64_t worked_ns;         /* CPU time of looks at which it worked, while not listed */
    int64_t worked_at_ns;      /* the last of these; soon after it they are forgotten */
    char evidence[240];        /* for the word */
};
struct guard_place_turn {
    bool on_cpu, placed;
};

struct guard_sighting {
    int64_t now_ns, up_ns; /* up_ns: since when this process is up; 0: it is not */
    bool another;          /* another process than at the last look */
    enum device_listed listed;
    int64_t cpu_ns, cpu_at_ns; /* CPU time of its tree since its start, when read; at 0: not read */
    int64_t answered_ns; /* all of a request that it computed lies after this; 0: none known */
    int64_t probed_ns;   /* as above, of a probe that was answered and not proven here; 0: none */
    const char *device;  /* "gpu0" */
    const struct device_proof *proof; /* of a probe that ended since the last look; NULL: none */
};

/* It is told once that a service is not on its device, and once that it is again; another process
 * is told of anew. */
struct guard_place_turn guard_place_step(struct guard_place *place,
                                         const struct guard_sighting *sighting);
