/* How a service runs in production: the study file's `production:`. What is written there comes
 * from the winner's values by the same templates as in the study, with production's port. Borrowed
 * from the study's arena. No measurement depends on it: the study's digest leaves it out. */
#pragma once

#include "spec/service.h"

enum production_kind {
    PRODUCTION_NONE,       /* the study says nothing of it: it is not promoted */
    PRODUCTION_UNIT,       /* a drop-in beside a systemd unit */
    PRODUCTION_ENV_FILE,   /* an environment file that a unit reads */
    PRODUCTION_COMPOSE,    /* an override file of Docker Compose */
    PRODUCTION_KUBERNETES, /* a patch, written and not applied */
    PRODUCTION_COMMAND,    /* the user's own apply, verify, rollback */
    PRODUCTION_COUNT_
};
extern const char *const spec_production_names[PRODUCTION_COUNT_]; /* "unit", "env_file", ... */

enum { SPEC_HOOKS_MAX = 8 };

struct spec_argv { /* templates of one command; no shell. Hooks know {study} alone */
    struct spec_setting *items;
    size_t count; /* 0: not given */
};

struct spec_production {
    enum production_kind kind;
    const char *unit; /* full name with its suffix, a service's; NULL where the kind needs none */
    bool user;        /* of the user's manager; else the system's */
    const char *file; /* env file, Compose override, Kubernetes patch; absolute. Of a unit: NULL,
                       * its drop-in is "10-spica.conf" */
    const char *compose_file;         /* the file that is overridden; absolute */
    const char *name;                 /* Compose's service, Kubernetes' deployment */
    const char *container, *space;    /* Kubernetes; NULL: not given */
    int port;                         /* where production serves; 0: no request can be sent */
    struct spec_setting *environment; /* NAME: template; NULL text: the variable is taken away */
    bool *secret;                     /* per variable: marked `secret:`, its text taken literally */
    size_t environment_count;
    struct spec_argv exec;                    /* the whole command; count 0: left as it is */
    bool exec_as_measured;                    /* the command line, variables and working folder that
                                               * the study measured; PRODUCTION_UNIT alone */
    uint64_t except; /* bit per knob of the study: production has a value of its own for it */
    struct spec_argv apply, verify, rollback; /* PRODUCTION_COMMAND */
    int64_t within_ns;                        /* to be ready again; default: the service's */
    struct spec_place place;
};

/* `production:` has, beside the services, what holds for all of them. */
struct spec_promotion {
    bool given;
    size_t *order; /* services in the order of applying; NULL: memory-givers before memory-takers */
    size_t order_count;
    double probe_rate_rps; /* of the verifying window; default 1/s */
    int64_t window_ns;     /* its length; default 30 s */
    int64_t within_ns;     /* for all of the verifying; default 10 min */
    struct spec_argv before[SPEC_HOOKS_MAX], after[SPEC_HOOKS_MAX];
    struct spec_argv before_undo[SPEC_HOOKS_MAX], after_undo[SPEC_HOOKS_MAX]; /* count 0: none */
    size_t before_count, after_count;
};
