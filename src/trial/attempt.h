/* Inside trial/: the trial under way. */
#pragma once

#include "load/worker.h"
#include "trial/judge.h"
#include "trial/metrics.h"
#include "trial/readings.h"
#include "trial/runner.h"

struct live_options;

struct attempt {
    struct trial_runner *runner;
    const struct live_options *live; /* production's services are asked; NULL: a trial */
    const struct spec_study *study;  /* = runner->options.study */
    const struct trial_request *request;
    struct arena *arena; /* of the trial's rows, borrowed */
    int64_t started_ns;
    struct judge_facts facts;
    struct trial_progress progress;
    int64_t progress_due_ns, sample_due_ns, host_due_ns;
    bool in_window, in_shared_window; /* one whose readings count */
    int64_t window_started_ns, window_started_wall_us;
    struct watch watches[SPEC_DEVICES_MAX];
    struct memory_trend trends[SPEC_SERVICES_MAX];

    struct neighbour_seen {
        bool seen;
        struct proc_stat main;
    } * neighbours; /* at the start */

    struct load_worker *worker;              /* the load under way, borrowed by wait.c; NULL none */
    struct answer_list *answers;             /* per stream of that load; NULL: drop them */
    size_t stream_service[LOAD_STREAMS_MAX]; /* stream -> service */

    double window_cpu_s[SPEC_SERVICES_MAX];
    struct scrape scrapes[SPEC_SERVICES_MAX];
    double own_cpu_s, worker_cpu_s, kernel_mark_s;   /* of device_kernel_mark(), at the start */
    double lateness_p99_s, stall_p99_s, stall_max_s; /* worst of the measured windows */

    struct store_phase *phases;
    size_t phase_count, phase_capacity;
    struct store_reading *readings;
    size_t reading_count, reading_capacity;
    struct store_metric *metrics;
    size_t metric_count, metric_capacity;
    struct store_request *requests;
    size_t request_count, request_capacity;
    struct store_requirement *requirements;
    size_t requirement_count, requirement_capacity;
    struct store_utterance *utterances;
    size_t utterance_count, utterance_capacity;
    const struct store_capacity *capacities;
    size_t capacity_count;
    const struct store_capacity_point *capacity_points;
    size_t capacity_point_count;
};

void attempt_init(struct attempt *attempt, struct trial_runner *runner,
                  const struct trial_request *request, struct arena *arena);
/* Metrics that are not about requests. A kept service's ready time stays that of its start. */
void attempt_add_service_metrics(struct attempt *attempt);
/* The device that this trial's candidate puts service `i` on. */
struct device *attempt_device(const struct attempt *attempt, size_t i);

/* --- wait.c --- */
enum wait_end {
    WAIT_TIME,    /* the deadline came */
    WAIT_SERVICE, /* a service's main process ended: *ret_service */
    WAIT_WORKER,  /* the load worker has ended */
    WAIT_CANCEL,  /* we were asked to stop */
};
/* Serves processes, load results, samples and progress until the deadline or one of the above. */
enum wait_end attempt_wait(struct attempt *attempt, int64_t until_ns, size_t *ret_service);
void attempt_progress(struct attempt *attempt, enum trial_phase phase, const char *service,
                      double expected_s);

/* --- running.c --- */
/* Brings service `i` up and ready. False only for our own failure or a stop; a service that does
 * not come up is written into attempt->facts and *ret_up is false. */
NODISCARD bool attempt_start_service(struct attempt *attempt, size_t i, bool *ret_up,
                                     struct err *err);
/* One check; `why`: what was seen. Both are left alone when nothing was. */
bool attempt_says_ready(const struct attempt *attempt, size_t i, bool *ret_untrusted, char *why,
                        size_t size);
/* Writes into facts how the service ended (or that it is up), from its process and log. */
void attempt_note_end(struct attempt *attempt, size_t i, enum service_end end,
                      enum trial_phase phase, const char *detail);
/* Reads its log for the judge although it is alive. */
void attempt_note_log(struct attempt *attempt, size_t i);

/* --- probe.c, load_run.c --- */
struct load_window {
    int64_t warmup_ns, window_ns;
    const char *mode;
    int only; /* service, -1: all */
};
enum load_end { LOAD_RAN, LOAD_SERVICE_ENDED };
/* One probe request to service `i`, with proof of placement. */
NODISCARD bool attempt_probe(struct attempt *attempt, size_t i, bool *ret_answered,
                             struct err *err);
/* Metrics of mode "fallback" of a service that computed in the wrong place: evidence only. */
NODISCARD bool attempt_measure_fallback(struct attempt *attempt, size_t i, struct err *err);
/* One mixed (or alone) load; fills metrics and requests, and facts when mode is "shared". */
NODISCARD bool attempt_load(struct attempt *attempt, const struct load_window *window,
                            enum load_end *ret_end, struct err *err);

/* --- capacity_run.c --- */
/* The study's capacities, one after the other. A service that does not survive it is in facts. */
NODISCARD bool attempt_capacities(struct attempt *attempt, struct err *err);

/* --- rows.c --- */
void attempt_add_metric(struct attempt *attempt, const struct store_metric *metric);
void attempt_phase(struct attempt *attempt, enum trial_phase phase, int64_t started_ns,
                   const char *outcome);
/* Everything into one row set. */
void attempt_finish_rows(struct attempt *attempt, const struct judgement *judgement,
                         struct store_trial *ret_trial);
/* Room for one more element in an arena array. */
void *attempt_grow(struct arena *arena, void *items, size_t count, size_t *capacity, size_t size);
