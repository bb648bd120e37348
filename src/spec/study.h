/* The study file, checked and frozen. Everything here is borrowed from the study's arena and does
 * not change after loading. Durations are ns, sizes bytes, shares ratios. */
#pragma once

#include "base/digest.h"
#include "spec/capacity.h"
#include "spec/production.h"

enum {
    SPEC_SERVICES_MAX = 32,
    SPEC_OBJECTIVES_MAX = 64,
    SPEC_DEVICES_MAX = 8,
    SPEC_CAPACITIES_MAX = 32
};

struct spec_neighbour {
    const char *unit;     /* systemd unit, or NULL */
    int64_t pid;          /* or a pid, else 0 */
    const char *command;  /* or a program's name (comm), else NULL */
    int64_t unseen_bytes; /* or what processes that can't be seen from here hold, else 0 */
    int64_t by_ticks;     /* not of the file: of `command`, who had started by then; 0: all */
};

struct spec_objective {
    struct metric_ref metric;
    double good, bad, weight; /* base units; desirability 1 at good, 0 at bad */
    const char *name;         /* "stt.latency.p95" */
    struct spec_place place;
};

struct spec_requirement {
    const struct expr *expr; /* variables are indices into spec_study.metric_refs */
    struct spec_place place;
};

struct spec_constraint {
    const struct expr *expr; /* variables are knob indices */
    struct spec_place place;
};

struct spec_measure {
    int64_t warmup_ns; /* default 5 s */
    int64_t window_ns; /* default 30 s: the full-length window of finalists */
    int64_t alone_ns;  /* default = window_ns: each service alone, finalists and baseline; 0: not */
    int64_t drain_ns;  /* default 30 s: requests in flight at the window's end may take this long */
    int64_t probe_within_ns; /* default 60 s: deadline of the first request */
    double contention_ratio; /* default 0.10 */
    int64_t lateness_ns; /* default 1 ms (the bound: it or 1 % of the median latency if larger) */
    int repeats;         /* default 4, at least 3: cold starts of each finalist and the baseline */
};

struct spec_search {
    const char *strategy; /* "tournament" */
    int trials;           /* exploring trials at most; 0: no limit */
    int64_t time_ns;      /* budget of the whole study; 0: no limit */
    int finalists;        /* default 3, besides the baseline */
};

struct spec_study {
    struct arena *arena; /* owned by the study, holds everything below */
    const char *name;
    const char *path;             /* of the file, as given */
    const char *folder;           /* absolute folder of the file: relative paths start there */
    char digest[DIGEST_HEX_SIZE]; /* of `text`: of all that a measurement depends on */
    const char *device;           /* "cpu", "gpu0", a UUID: devices[0] */
    /* Every device the file names. The first `lane_count` are the list under `device:`, equals on
     * each of which a whole trial can run; services may name others. */
    const char *devices[SPEC_DEVICES_MAX];
    size_t device_count, lane_count;
    const char *text; /* the file as read, without `production:` and `guard:`; stored with it */

    struct spec_service *services;
    size_t service_count;
    struct spec_knob *knobs; /* of all services, in file order */
    size_t knob_count;
    struct spec_neighbour *neighbours;
    size_t neighbour_count;
    struct spec_constraint *constraints;
    size_t constraint_count;
    struct spec_objective *objectives;
    size_t objective_count;
    struct spec_requirement *requirements;
    size_t requirement_count;
    struct spec_capacity *capacities;
    size_t capacity_count;
    struct metric_ref *metric_refs; /* every metric an objective or requirement names */
    size_t metric_ref_count;
    int *baseline; /* value index per knob (-1: inactive), or NULL when none given */
    struct spec_measure measure;
    struct spec_search search;
    struct spec_production *production; /* one for each service; NULL: the file has none */
    struct spec_promotion promotion;
    const struct spec_guard *guard; /* NULL: the file has none */
    uint64_t seed;
};

/* Caller owns *ret_study. Errors are ERR_INPUT: "file:line:column: where: what is wrong; what is
 * allowed". The file is at most 1 MiB and 32 levels deep. */
NODISCARD bool spec_study_load(const char *path, const struct spec_catalog *catalog,
                               struct spec_study **ret_study, struct err *err);
/* The same from memory; `path` is used for messages and relative paths. For tests and fuzzing. */
NODISCARD bool spec_study_parse(const char *path, const char *text, size_t len,
                                const struct spec_catalog *catalog, struct spec_study **ret_study,
                                struct err *err);
struct spec_study *spec_study_free(struct spec_study *study);
AUTO_FN(struct spec_study, spec_study_free)

/* Does a device's name mean a GPU, rather than the CPU box? NULL is none. */
bool spec_device_is_gpu(const char *name);
/* Is one of the study's devices a GPU? */
bool spec_study_on_gpu(const struct spec_study *study);
/* Index of the service, or -1. */
int spec_study_service(const struct spec_study *study, const char *name);
/* Index of the knob by full name, or -1. */
int spec_study_knob(const struct spec_study *study, const char *full_name);
/* "stt.latency.p95" -> ref; err names what that service has. */
NODISCARD bool spec_metric_ref_parse(const struct spec_study *study, const char *text,
                                     struct metric_ref *ret_ref, struct err *err);
/* "stt.latency.p95", in the study's arena. */
const char *spec_metric_ref_name(const struct spec_study *study, struct metric_ref ref);
