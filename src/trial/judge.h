/* From what was seen to a verdict. Pure: facts in, verdict with evidence out, so that every case is
 * a row of a table in the tests, and the reader sees in one place what beats what. */
#pragma once

#include "base/arena.h"
#include "device/device.h"
#include "load/record.h"
#include "service/signature.h"
#include "spec/verdict.h"
#include "store/store.h"
#include "trial/goal.h"
#include "trial/trial.h"

#include <sys/types.h>

/* How a service's part of the trial came to an end. */
enum service_end {
    SERVICE_UP = 0,      /* alive to the end of the measurement */
    SERVICE_ENDED,       /* ended by itself (exit_code, signal) */
    SERVICE_NOT_READY,   /* alive, not ready before its deadline */
    SERVICE_UNTRUSTED,   /* alive, but its certificate is not trusted, or it speaks no TLS */
    SERVICE_SILENT,      /* ready, but its probe request was never answered */
    SERVICE_UNSTARTABLE, /* could not be executed at all */
    SERVICE_PORT_TAKEN,  /* its port was taken, several times over */
    SERVICE_KEEPER_LOST, /* our keeper of it was killed: its end says nothing about it */
};

struct judge_service {
    const char *name;
    enum service_end end;
    enum trial_phase phase;     /* in which it ended */
    int exit_code, term_signal; /* -1 and 0 unless it ended by itself */
    int oom_kills;              /* kills by its memory limit; -1 unknown */
    bool runtime_oom;           /* its container's runtime says that memory ended it */
    bool kernel_oom;            /* the kernel log names a process of its tree */
    bool has_match;             /* a log signature matched */
    struct signature_match match;
    const char *match_line; /* that line, bounded */
    const char *last_line;  /* its log's last line, for evidence */
    const char *start_race; /* its first start lost a race for memory; NULL */
    const char
        *overridden;    /* the process that computes has another environment than we set; NULL */
    const char *detail; /* for UNSTARTABLE, NOT_READY, UNTRUSTED: what was seen last */
    enum spec_on on;
    bool by_request; /* a program, run anew for each request */
    bool probed;
    struct device_proof proof;
    /* The window's requests (shared mode). */
    bool loaded;
    uint64_t requests, ok;
    uint64_t errors[LOAD_ERROR_COUNT_];
    const char *first_error; /* text of the first failed answer, bounded; NULL */
    int first_http_status;
    double median_s; /* of its latency; NaN unknown. Of a window that was left: of the quick ones */
    double silent_s; /* from its last good answer to the end of the run; NaN: none at all */
    bool unchecked;  /* its texts mean nothing */
    uint64_t degenerate, repeating; /* answers of the shape of no answer */
    const char *bad_example;        /* one of them */
    double wer;                     /* pooled over the window; NaN unknown */
    uint64_t wer_words;
    double max_wer;                /* study's limit; NaN: the default */
    const char *warmup, *unsteady; /* trial/window.h; NULL */
    uint64_t gaps_left_out;        /* between text events, in no quantile of theirs */
};

struct judge_facts {
    struct judge_service services[SPEC_SERVICES_MAX];
    size_t service_count;
    bool measured; /* the window ran to its end */
    double window_s;
    double contention_ratio, contention_bound; /* NaN unknown */
    const char *dirty;                         /* who held a device before the start; NULL */
    const char *device_fault;      /* a device is lost or its driver broken: its words; NULL */
    const char *device_contention; /* what strangers did on a device during a window; NULL */
    const char *others_unknown;    /* what can't be told of strangers; NULL */
    const char *others_grew; /* strangers or neighbours took memory since the trial began; NULL */
    const char *no_room;     /* it would not fit beside what neighbours have held; NULL */
    const char *harmed;      /* declared neighbours that ended during the trial; NULL */
    const char *neighbour_left; /* processes of theirs that did, with nothing to show that it was
                                 * our doing; NULL */
    const char *contenders;     /* who used the CPU, for evidence; NULL */
    double steal_ratio;         /* of the contention, what the hypervisor took */
    double lateness_p99_s, lateness_bound_s;
    double stall_p99_s;         /* how late our load worker's own loop was, under the same bound */
    const char *worker_failure; /* the load worker did not complete: why; NULL */
    const char *readings_failure; /* our own readings are not of the window: why; NULL */
    struct goal_result goal;      /* when measured */
    const char *left_early;       /* its window, for a requirement that was missed; NULL */
    struct goal_result left_goal; /* the same as the goal's answer */
};

struct judgement {
    enum verdict verdict;
    int service;                /* index, -1: the whole */
    double fitness;             /* NaN when the verdict carries none */
    const char *summary;        /* one line, in the arena */
    enum signature_bound bound; /* what its failure says of other candidates */
    bool rules_out;             /* env_fault of the service's settings: others with them fail too */
    struct store_evidence evidence[16];
    size_t evidence_count;
};

struct judgement judge_trial(const struct judge_facts *facts, struct arena *arena);

/* The WER over which answers are called bad when the study states no limit: whoever gets four of
 * five words wrong is not transcribing what was sent. */
#define JUDGE_WER_LIMIT 0.80
/* Share of failed requests over which a trial is `errors` even if no requirement speaks of them:
 * the latencies of the rest are those of a service that drops the hard cases. */
#define JUDGE_ERROR_RATIO 0.05
