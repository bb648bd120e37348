/* One trial as it is stored, filled by trial/ and written at its end in one transaction. All texts
 * are borrowed. Reals are base units (seconds, bytes, ratios), NaN unknown. */
#pragma once

#include "store/capacity.h"
#include "store/finding.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct store_phase {
    const char *name;
    double start_s, duration_s;
    const char *outcome;
};
struct store_evidence {
    const char *service, *kind, *text;
};

/* One outside number at one moment of a trial. */
struct store_reading {
    const char *phase;   /* trial_phase_name(), or "before", "after" the trial */
    const char *service; /* whose; NULL: of the device */
    const char *device;  /* "gpu0" */
    const char *name;    /* "free", "used", "reserved", "strangers", "temperature", "power", ... */
    double value;        /* base units; NaN unknown */
    const char *source;  /* "nvml", "/proc" */
    const char *words;   /* instead of, or beside, a number; NULL */
};

struct store_service {
    const char *name, *engine, *version;
    const char *command;      /* shell-quoted, for people */
    const char *environment;  /* JSON object of what was set; secrets as digests */
    const char *settings;     /* its part of the candidate's text */
    int64_t started_in_trial; /* number of the trial that started it: its own number when cold */
    double ready_s, first_request_s;             /* NaN: not measured in this trial */
    double idle_memory_bytes, peak_memory_bytes; /* on its device: PSS on a CPU box */
    double host_memory_bytes; /* peak PSS of the tree, NaN unknown; on a CPU box the same */
    const char *device;       /* where it was put: "gpu0", "cpu" */
    double cpu_s;             /* over the shared window */
    int exit_code, signal;    /* -1 and 0 unless it ended by itself */
    const char *placement;    /* "cpu", "gpu", "partial", "unproven"; NULL not probed */
    const char *placement_evidence;
    const char *log; /* bounded head and tail */
};

struct store_metric {
    const char *service, *mode; /* "shared", or "alone": this service loaded alone */
    const char *metric, *stat;  /* "latency", "p95" ("" for single values) */
    double value, low, high;    /* 95 % interval; NaN where the sample carries none */
    int64_t count;              /* sample size behind it */
    const char *method;         /* of its interval, or why there is none; NULL: not said */
};

#define STORE_NEVER INT64_MIN /* a time that never came */

struct store_request {
    const char *service, *mode;
    int part;                              /* enum load_part */
    int64_t sequence, item, session, turn; /* without sessions each is one: sequence, 0 */
    const char *error;                     /* load_error_name(), NULL for success */
    int http_status;
    /* Relative to the window's start (warm-up is below zero); STORE_NEVER: NULL. A turn's start is
     * that of the chain which the request is a step of. */
    int64_t intended_ns, sent_ns, first_byte_ns, first_token_ns, last_token_ns, done_ns;
    int64_t turn_start_ns, first_content_ns; /* content: first token after all thinking */
    bool held_back; /* the in-flight limit made it wait: sent - intended is not our lateness */
    int64_t tokens; /* < 0: NULL */
    bool tokens_exact;
    double audio_s;             /* NaN: NULL */
    const char *text;           /* transcript or answer; NULL not kept */
    int64_t word_errors, words; /* against the reference; < 0: NULL */
};

struct store_trial {
    int64_t number;        /* 1, 2, ... in order of start, unique; retries get their own */
    const char *candidate; /* spica_candidate text */
    const char *purpose;   /* "baseline", "explore", "final", "compare" */
    int round, repeat;     /* exploring round; repeat of a final (1..n), else 0 */
    int64_t retry_of;      /* number of the trial this one repeats, 0 */
    const char *verdict;   /* verdict_facts()->name */
    const char *service;   /* the service the verdict is about; NULL: the whole */
    const char *summary;   /* one line for people: the evidence in short */
    const char *ruled_out; /* env_fault of one service: the part of a candidate's text that is at
                            * fault ("stt.server=x"); NULL none */
    const char *bound; /* what its failure says of others, to be read with `service`: "above": who
                        * asks for more device memory fails too; "below": who leaves that
                        * service less of it; NULL: nothing */
    double fitness;    /* NaN when the verdict has none */
    int64_t started_wall_us;
    double duration_s, window_s;
    double contention_ratio, lateness_p99_s; /* NaN unknown */
    int workers;                             /* processes that shared the sending; 0 unknown */
    /* How late the load worker's loop was, at moments 20 ms apart; NaN unknown. */
    double stall_p99_s, stall_max_s;
    double worker_cpu_s, own_cpu_s; /* CPU of the load worker and of spica itself in the window */
    bool cold;                      /* every service was started by this trial */
    const struct store_phase *phases;
    size_t phase_count;
    const struct store_evidence *evidence;
    size_t evidence_count;
    const struct store_reading *readings;
    size_t reading_count;
    const struct store_service *services;
    size_t service_count;
    const struct store_metric *metrics;
    size_t metric_count;
    const struct store_request *requests;
    size_t request_count;
    const struct store_capacity *capacities;
    size_t capacity_count;
    const struct store_capacity_point *capacity_points; /* in order of search and time */
    size_t capacity_point_count;
    const struct store_requirement *requirements;
    size_t requirement_count;
    const struct store_utterance *utterances; /* worst first */
    size_t utterance_count;
};
