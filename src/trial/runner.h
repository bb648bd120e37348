/* Inside trial/: the runner, with what is up and stays true from trial to trial. */
#pragma once

#include "load/plan.h"
#include "service/process.h"
#include "trial/trial.h"

/* One service that is up (process != NULL), with what stays true of it from trial to trial. */
struct running {
    struct arena *arena; /* owned: launch and settings live here */
    struct service_launch launch;
    struct service_process *process; /* owned; NULL: not up */
    const char *settings;            /* its part of the candidate's text */
    /* Its processes are the tree below this one: its keeper, or whatever stands there for a service
     * that somebody else runs (trial/live.h). 0: nothing is up. */
    pid_t root;
    bool by_request; /* it has no process: its root is the load worker that is under way */
    struct load_program program; /* which that one runs */
    int64_t started_in_trial;
    double ready_s, first_request_s; /* NaN until known */
    double idle_memory_bytes;        /* before the first request; NaN unknown */
    double peak_memory_bytes;        /* over its life, on its device; NaN until read */
    double peak_host_bytes;          /* the same of the machine's memory (PSS) */
};

/* Its launch as what the load worker runs for each request. */
void attempt_take_program(const struct spec_study *study, struct running *running);
/* What the service has printed, for the caller to free; NULL: nothing is known of it. */
char *attempt_log(const struct running *running, size_t *ret_len);

struct program_version { /* heap texts; version NULL: unknown */
    char *program, *version;
};

struct trial_runner {
    struct trial_options options;
    struct running services[SPEC_SERVICES_MAX];
    struct program_version versions[SPEC_SERVICES_MAX * 2]; /* filled from the front */
    /* The most that declared neighbours were seen to hold since the study began, per device. */
    double neighbours_most_bytes[SPEC_DEVICES_MAX];
    /* As declared, with when they had to be there at the latest; owned. */
    struct spec_neighbour *neighbours;
    /* In use with nobody's name on it before the first start, per device: what has to come back. */
    bool clean_known[SPEC_DEVICES_MAX];
    double clean_bytes[SPEC_DEVICES_MAX];
};

/* --- running.c, rows.c --- */
/* Stops one service and proves it gone. *ret_left: what survived, in `arena`; NULL: nothing. */
void attempt_stop_service(struct trial_runner *runner, size_t i, struct arena *arena,
                          const char **ret_left);
bool attempt_service_matches(const struct trial_runner *runner,
                             const struct spec_candidate *candidate, size_t i);
void attempt_forget_versions(struct trial_runner *runner);
