/* The measuring half of a trial on services that somebody else runs: production. The same probe,
 * proof, metrics and requirements; nothing is started, and nothing but requests reaches them. */
#pragma once

#include "load/plan.h"
#include "trial/judge.h"

struct live_service {
    bool here; /* is asked and loaded; the others are left alone */
    int port;
    pid_t root; /* its processes are the tree below this one (and not it); 0: unknown */
};

struct live_options { /* borrowed for as long as the struct live lives */
    const struct spec_study *study;
    const struct spec_candidate *candidate; /* what requests are made from */
    struct device *const *devices;          /* in the order of study->devices; NULL: nothing is
                                             * measured, only live_stream() is asked */
    const struct corpus *corpora;           /* per service */
    struct live_service services[SPEC_SERVICES_MAX];
    double rate_rps; /* of each service, whatever load the study puts on it */
    int64_t warmup_ns, window_ns;
    /* Asked several times a second while anything is under way: are all of them still what they
     * were? False ends it, and *ret_service is the one that is not. May be NULL. */
    bool (*fine)(void *context, size_t *ret_service);
    void *context;
};

struct live; /* opaque */

struct live *live_new(const struct live_options *options, struct arena *arena);
struct live *live_free(struct live *live); /* stops nothing */
AUTO_FN(struct live, live_free)

/* One check, at most half a second. `why`: what was seen. *ret_untrusted: it is not who it should
 * be (its certificate), which waiting does not mend. */
bool live_is_ready(const struct live *live, size_t i, bool *ret_untrusted, char *why, size_t size);

struct live_probe {
    bool ended;    /* a service stopped being fine meanwhile: *ended_service */
    bool answered; /* as the protocol says */
    size_t ended_service;
    enum load_error error;     /* of an answer that was none */
    int http_status;           /* 0: none came */
    const char *words;         /* what was wrong; NULL */
    double latency_s;          /* NaN unless answered */
    struct device_proof proof; /* of where it computed; unproven unless the request was sent */
};
/* One real request (a second one where the driver had no sample of the first), and where it was
 * computed. ERR_STOPPED when we are asked to stop. */
NODISCARD bool live_probe(struct live *live, size_t i, struct live_probe *ret_probe,
                          struct err *err);

/* The stream of that request, for who waits for its answer in his own way: one client, one request,
 * its deadline the study's. What it points to lives as long as `live` and its arena. */
void live_stream(struct live *live, size_t i, struct load_stream *ret_stream);

struct live_requirement {
    struct goal_answer answer;
    bool here;     /* every service that it names is */
    bool doubtful; /* missed, and kept if our own worst delay is taken off every time: we were late
                    * ourselves, and it may be that alone */
    bool shown;    /* a gentle window on a running service can show it: no throughput, no start */
};

struct live_load {
    bool ended; /* as in a probe: the window was left then */
    size_t ended_service;
    struct judgement judgement; /* of answers and errors. Not of contention, others are meant to
                                 * work beside them; nor of our lateness, which only adds to times:
                                 * what is kept in spite of it is kept */
    double late_s; /* our own worst delay, when we were late by a trial's bound; else 0 */
    struct live_requirement *requirements;
    size_t requirement_count;
    uint64_t requests, failed;
};
/* One window of gentle load on all of them at once. */
NODISCARD bool live_load(struct live *live, struct live_load *ret_load, struct err *err);

/* ---- inside trial/ ---- */
struct attempt;

/* Is service `i` one that this attempt may ask? In a trial all are. */
bool live_is_here(const struct attempt *attempt, size_t i);
/* Is one of production's services no longer what it was? */
bool live_has_ended(const struct attempt *attempt, size_t *ret_service);
/* Production's load instead of the study's. */
void live_soften(const struct attempt *attempt, size_t i, struct load_stream *stream);
