/* Inside guard/watch*.c: the watch itself. */
#pragma once

#include "guard/changed.h"
#include "guard/journal.h"
#include "guard/watch.h"
#include "guard/watch_apply.h"
#include "guard/watch_proxy.h"

struct guard_watch {
    struct guard_watch_setup setup;
    const struct spec_study *study;
    const struct guard_metric_ref *refs; /* the study's guard's */
    size_t ref_count;
    struct guard_value *values;      /* owned */
    struct guard_subject *subjects;  /* owned, one for each service */
    struct guard_managers *managers; /* owned, as all below; NULL: is not there */
    struct guard_memory *memory;
    struct guard_prober *prober;
    int64_t prober_due_ns; /* when it is tried to make it for the setting that runs; 0: it is */
    struct guard_engines *engines;
    struct guard_journal *journal;
    struct guard_kernel *kernel;
    struct guard_changes *changes;
    struct guard_traffic *traffic;
    struct guard_apply *applying;           /* before `traffic` is there; NULL: none is under way */
    struct guard_also also[GUARD_ALSO_MAX]; /* servers beside those of `watch:` */
    size_t also_count;
    int64_t also_ns; /* when they were looked at; 0 */
    struct guard_events events;
    struct guard_capacities capacities;
    int64_t capacities_due_ns; /* when they are tried to be read again; 0: they are */
    struct buf missing;
    bool blind_said[SPEC_SERVICES_MAX + GUARD_ALSO_MAX]; /* that its log is in a file */
    uint32_t no_log;                      /* a bit for each service: as struct guard_tick */
    bool no_kernel_log;                   /* likewise */
    bool version_said[SPEC_SERVICES_MAX]; /* that its version can't be known */
    char no_probes[300];                  /* why there are none; "" */
    double disk_free_bytes;
    bool proxy_unapplied; /* HAProxy answers, with another configuration than the study's */
    int64_t traffic_ns;   /* when HAProxy was last tried; 0: never */
    int64_t wall_less_mono_us;
    uint64_t ticks;
};

/* ---- watch_ends.c: memory ran out; `context` is the watch ---- */
void guard_watch_kernel_line(void *context, const char *text, size_t len);
/* `owner`: a service, or behind them the k-th of `also`. */
void guard_watch_service_line(void *context, size_t owner, const char *line, size_t len);
void guard_watch_ends_of(struct guard_watch *watch, size_t service); /* after it was looked at */
uint32_t guard_watch_no_kills(const struct guard_watch *watch);      /* as struct guard_tick */
void guard_watch_ends_of_others(struct guard_watch *watch, int64_t now_ns);

/* ---- watch.c: what comes between two ticks; `context` is the watch ---- */
void guard_watch_flood(void *context, const char *whose);
void guard_watch_log_lost(void *context, const char *why);
void guard_watch_log_found(void *context, const char *what);

/* ---- watch_probe.c; `context` is the watch ---- */
void guard_watch_probe(void *context, size_t i, const struct guard_probe *probe);

/* ---- watch_open.c ---- */
/* Once for each service whose engine's version can't be known: into what is missing. */
void guard_watch_say_versions(struct guard_watch *watch);
/* HAProxy and its log, where fronts are given and they are not there yet: tried once a minute. */
void guard_watch_open_traffic(struct guard_watch *watch, int64_t now_ns);
/* Again each minute, where a setting was followed and its probes could not be made. */
void guard_watch_try_prober(struct guard_watch *watch, int64_t now_ns);
void guard_watch_try_capacities(struct guard_watch *watch, int64_t now_ns);
