/* A study's SQLite file: append-only, one transaction per finished trial, WAL, so that reports and
 * `spica show` read while a study runs. Everything the report prints is recomputed from it.
 *
 * Text columns hold outside text as it was (bounded); NULL is unknown. Reals are base units (seconds,
 * bytes, ratios); *_ns columns of requests are relative to their window's start. */
#pragma once

#include "base/err.h"
#include "base/json.h"

#include <stdint.h>

struct store; /* opaque */

enum store_mode { STORE_CREATE, STORE_WRITE, STORE_READ };

/* CREATE makes the file if missing and opens it for writing; WRITE needs it; READ never writes.
 * ERR_MISSING: no such file. ERR_INPUT: not a study's file, or of a newer version of spica (says both
 * versions). A file of an older version is migrated by CREATE and WRITE. */
NODISCARD bool store_open(const char *path, enum store_mode mode, struct store **ret_store,
                          struct err *err);
struct store *store_close(struct store *store);
AUTO_FN(struct store, store_close)

struct store_study { /* one row; borrowed texts */
    const char *name, *path, *digest, *text; /* the study file as read */
    const char *device_id, *device_name, *device_versions;
    const char *spica_version;
    uint64_t seed;
    int64_t created_wall_us;
    int cores;
    double memory_bytes;
};
NODISCARD bool store_study_put(struct store *store, const struct store_study *study, struct err *err);
/* ret_found false when there is none yet. Texts are borrowed from the store until it is closed. */
NODISCARD bool store_study_get(struct store *store, bool *ret_found, struct store_study *ret_study,
                               struct err *err);

/* --- one trial, filled by trial/, written at its end in one transaction --- */

struct store_phase { const char *name; double start_s, duration_s; const char *outcome; };
struct store_evidence { const char *service; const char *kind; const char *text; };

struct store_service {
    const char *name, *engine, *version;
    const char *command;      /* shell-quoted, for people */
    const char *environment;  /* JSON object of what was set; secrets as digests */
    const char *settings;     /* its part of the candidate's text */
    int64_t started_in_trial; /* number of the trial that started it: its own number when cold */
    double ready_s, first_request_s; /* NaN: not measured in this trial */
    double idle_memory_bytes, peak_memory_bytes;
    double cpu_s;             /* over the shared window */
    int exit_code, signal;    /* -1 and 0 unless it ended by itself */
    const char *placement;    /* "cpu", "gpu", "partial", "unproven"; NULL not probed */
    const char *placement_evidence;
    const char *log;          /* bounded head and tail */
};

struct store_metric {
    const char *service, *mode; /* "shared", or "alone": this service loaded alone */
    const char *metric, *stat;  /* "latency", "p95" ("" for single values) */
    double value, low, high;    /* 95 % interval; NaN where the sample carries none */
    int64_t count;              /* sample size behind it */
};

#define STORE_NEVER INT64_MIN /* a time that never came */

struct store_request {
    const char *service, *mode;
    int part;                  /* enum load_part */
    int64_t sequence, item;
    const char *error;         /* load_error_name(), NULL for success */
    int http_status;
    /* Relative to the window's start (warm-up is below zero); STORE_NEVER: NULL. */
    int64_t intended_ns, sent_ns, first_byte_ns, first_token_ns, last_token_ns, done_ns;
    int64_t tokens;            /* < 0: NULL */
    bool tokens_exact;
    double audio_s;            /* NaN: NULL */
    const char *text;          /* transcript or answer; NULL not kept */
    int64_t word_errors, words; /* against the reference; < 0: NULL */
};

struct store_trial {
    int64_t number;            /* 1, 2, ... in order of start, unique; retries get their own */
    const char *candidate;     /* spica_candidate text */
    const char *purpose;       /* "baseline", "explore", "final" */
    int round, repeat;         /* exploring round; repeat of a final (1..n), else 0 */
    int64_t retry_of;          /* number of the trial this one repeats, 0 */
    const char *verdict;       /* verdict_facts()->name */
    const char *service;       /* the service the verdict is about; NULL: the whole */
    const char *summary;       /* one line for people: the evidence in short */
    const char *ruled_out;     /* env_fault of one service: the part of a candidate's text that is at
                                * fault ("stt.server=x"); NULL none */
    double fitness;            /* NaN when the verdict has none */
    int64_t started_wall_us;
    double duration_s, window_s;
    double contention_ratio, lateness_p99_s; /* NaN unknown */
    double worker_cpu_s, own_cpu_s; /* CPU of the load worker and of spica itself in the window */
    bool cold;                 /* every service was started by this trial */
    const struct store_phase *phases; size_t phase_count;
    const struct store_evidence *evidence; size_t evidence_count;
    const struct store_service *services; size_t service_count;
    const struct store_metric *metrics; size_t metric_count;
    const struct store_request *requests; size_t request_count;
};

/* All of it or nothing. On failure (disk full, ...) the file is as before. */
NODISCARD bool store_trial_add(struct store *store, const struct store_trial *trial, struct err *err);

/* What the search needs of each trial, in order of number. The caller frees *ret_rows; texts are
 * borrowed until the next store_history call or close. */
struct store_history_row {
    int64_t number;
    const char *candidate, *purpose, *verdict, *summary, *ruled_out;
    int round, repeat;
    int64_t retry_of;
    double fitness, duration_s, window_s;
    bool cold;
};
NODISCARD bool store_history(struct store *store, struct store_history_row **ret_rows,
                             size_t *ret_count, struct err *err);

/* Study-level events ("started", "resumed", "stopped", "finished", "winner") with a JSON detail. */
NODISCARD bool store_event_add(struct store *store, int64_t wall_us, const char *kind,
                               const char *detail, struct err *err);
/* The decision at the end: JSON written by study/ (who won, why, confidence, comparisons). */
NODISCARD bool store_decision_put(struct store *store, const char *json, struct err *err);
NODISCARD bool store_decision_get(struct store *store, char **ret_json, struct err *err); /* NULL: none;
                                                                                             owned */
