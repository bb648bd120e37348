/* HAProxy in front of services: the study file's `guard.fronts` and `guard.proxy`, part of
 * spec/guard.h. Borrowed from the study's arena. */
#pragma once

#include "spec/service.h"

enum {
    SPEC_TIERS_MAX = 8,
    SPEC_ARMS_MAX = 4,
    SPEC_FRONTS_MAX = 8,
};

struct spec_tier {
    const char *name;
    const char *unit; /* NULL: it always runs, nobody starts or stops it */
    bool user;
    int port;
    bool resident; /* always runs; see struct policy_tier */
    struct spec_setting
        *values; /* which candidate it is: knob and label, for the study's numbers */
    size_t value_count;
    int64_t memory_bytes; /* its peak, where the study did not measure it; 0 */
    double wer;           /* likewise; NaN */
    struct spec_place place;
};

struct spec_arm { /* of a traffic split */
    const char *name;
    int port;
    int weight;  /* 0 to 100; those of a split sum up to 100 */
    bool shadow; /* of a file that was loaded never: HAProxy can't send copies */
};

/* Why no arm can be a shadow, and what to do instead. */
extern const char spec_no_shadow[];

struct spec_split {
    struct spec_arm *arms; /* the first is what runs today */
    size_t count;
    const char *sticky_header, *sticky_cookie; /* one or none */
    double harm_ratio; /* the second arm is stopped once it is certain to be slower than the first
                        * by more than this; default 0.10 */
    double error;      /* of that verdict, however often it is looked at; default 0.05 */
    double quantile;   /* of the latency that is compared; default 0.95 */
};

struct spec_front { /* one service behind HAProxy */
    size_t service;
    const char *address;     /* default 127.0.0.1 */
    int port;                /* where clients come */
    struct spec_tier *tiers; /* most accurate first; one: nothing to choose */
    size_t tier_count;
    const char *pin_header;   /* default "X-Spica-Tier" */
    double limit_s, quantile; /* what must be kept: "p95 < 300ms"; NaN: no policy */
    int64_t reserve_bytes;    /* device memory left free beside all; default 256 MiB */
    int switches_per_minute;  /* default 4 */
    int64_t up_after_ns;      /* calm for so long before a better tier; default 30 s */
    struct spec_split split;  /* count 0: none. Not together with several tiers */
    int64_t timeout_ns;       /* longest silence, longest drain; default 10 min */
    int queue_max;            /* requests at one server at once, the rest queue; 0: no bound */
    struct spec_place place;
};

struct spec_proxy {
    bool given;
    const char *folder; /* absolute; config, maps and sockets; default "NAME.spica.proxy" */
    const char *unit; /* that runs it, reloaded by systemd; NULL: guard starts it as a child of its
                       * own which outlives guard */
    bool user;
    const char *attach_socket; /* an HAProxy that exists: its stats socket; only our sections */
    const char *attach_file;   /* are written here, absolute */
};
