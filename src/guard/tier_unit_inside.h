/* Inside guard/: a tier's server, for the two files that move it: tier_unit.c up, tier_down.c down.
 */
#pragma once

#include "guard/tier_process.h"
#include "guard/tier_unit.h"
#include "guard/tier_warm.h"

struct tier_unit {
    const struct guard_tiers_options *options; /* borrowed, as all up to `unit` */
    const struct spec_front *front;
    const struct spec_tier *spec;
    const struct spec_service *service;
    const struct corpus *corpora;
    struct device *const *device; /* its entry: may come and go */
    size_t device_index;
    struct guard_unit *unit; /* owned; NULL: it has none, or systemd is not asked */
    enum guard_tier_power power;
    int64_t since_ns;    /* of `power` */
    bool looked;         /* the first look is over */
    uint32_t served_pid; /* that was proven, or served at first, or failed; 0: not known yet */
    int64_t drain_until_ns;
    int empty_looks; /* in a row, while it drains */
    struct tier_process process;
    struct proc_listening listening; /* of one without a unit */
    struct guard_port_look port;     /* of one with a unit */
    struct tier_warm *warm;          /* owned; NULL: there is nothing to ask */
    unsigned proofs;
    pid_t proven_pid; /* on its device, by its first request, until it is taken as on; 0 */
    int64_t asked_ns;
    double latency_s; /* of its first answer */
    struct device_usage before;
    struct tier_look look;  /* of the step under way; its server is borrowed for that long */
    bool frozen;            /* its driver is lost */
    bool stop_asked;        /* of systemd; what it says to that is to be told */
    bool to_stop;           /* it has failed, runs, and is to be stopped once nobody needs it */
    char stays[240];        /* it was stopped and is not down: what is known of that; "" */
    int64_t stays_since_ns; /* when it was to stop */
    uint32_t stays_pid;     /* who that is; 0: not known */
    int failures;           /* in a row */
    int64_t rest_until_ns;
};

/* ---- tier_unit.c ---- */
void tier_unit_become(struct tier_unit *unit, enum guard_tier_power power, int64_t now_ns);
/* What serves from now on; another process would be cold again. */
void tier_unit_come_on(struct tier_unit *unit, int64_t now_ns);
bool tier_unit_runs(const struct tier_unit *unit, bool *ret_known); /* its unit does */

/* ---- tier_down.c ---- */
/* Left alone for longer with each failure in a row. Returns for how long, in seconds. */
long long tier_unit_rest_longer(struct tier_unit *unit, int64_t now_ns);
enum tier_fault {
    FAULT_SILENT,
    FAULT_MISPLACED, /* it answers, from the wrong place */
    FAULT_DENIED     /* systemd may not start it for us: there is nothing to stop */
};
/* It has failed. Returns what becomes of it: "", "stopped, " and the like, static. */
const char *tier_unit_give_up(struct tier_unit *unit, enum tier_fault fault, int64_t now_ns);
enum tier_turn tier_unit_left(struct tier_unit *unit, char *text, size_t size); /* while to_stop */
enum tier_turn tier_unit_draining(struct tier_unit *unit, int64_t now_ns, char *text, size_t size);
/* Once for each stop: systemd does not stop it for us. TURN_NONE: there is nothing to tell. */
enum tier_turn tier_unit_tell_denied(struct tier_unit *unit, char *text, size_t size);
enum tier_turn tier_unit_stopping(struct tier_unit *unit, int64_t now_ns, char *text, size_t size);
/* Once a step: is that over? What is known of it else. */
void tier_unit_look_at_stay(struct tier_unit *unit, int64_t now_ns);
