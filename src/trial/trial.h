/* One candidate from start to verdict, on real processes.
 *
 * A runner lives as long as a study and keeps services up between trials when the next candidate
 * does not change them. A trial has two halves: trial_run() starts, proves, loads and judges;
 * trial_finish() stops what the next trial does not keep, checks that it is gone, and may turn the
 * verdict into `leak`. Only then is the trial stored. */
#pragma once

#include "device/device.h"
#include "load/corpus.h"
#include "spec/space.h"
#include "spec/verdict.h"
#include "store/store.h"
#include "trial/goal.h"

enum trial_phase {
    PHASE_START,    /* services started one after the other, each ready and settled */
    PHASE_PROBE,    /* one real request each, placement proven during it */
    PHASE_WARMUP,   /* the whole mixed load, not counted */
    PHASE_MEASURE,  /* the window */
    PHASE_DRAIN,    /* requests in flight at the window's end come home */
    PHASE_ALONE,    /* each service loaded alone at the same settings */
    PHASE_CAPACITY, /* how much the services asked for can take */
    PHASE_STOP,     /* what the next trial does not keep goes, and is proven gone */
    PHASE_COUNT_
};
const char *trial_phase_name(enum trial_phase phase);

struct trial_progress {
    int64_t number;
    enum trial_phase phase;
    const char *service;          /* whom the phase is about, or NULL */
    double elapsed_s, expected_s; /* of the phase; expected NaN when it has only a deadline */
    struct load_counts {
        uint64_t answered, failed;
    } loads[SPEC_SERVICES_MAX];
};
typedef void (*trial_progress_fn)(void *context, const struct trial_progress *progress);

struct trial_options { /* all borrowed, for as long as the runner lives */
    const struct spec_study *study;
    const char *folder;  /* of the study's files: logs/ and scratch/ are made in it */
    const char *scratch; /* NULL: folder/scratch. Runners at work at once need one each. */
    /* In the order of study->devices. With several lanes, [0] is this lane's own. */
    struct device *const *devices;
    const struct corpus *corpora; /* per service */
    /* Everything below this process is ours and no stranger: the parent of several lanes. 0: what
     * this process itself has started. */
    pid_t root;
    /* Per device of study->devices: the most that declared neighbours held on it in earlier trials
     * of the study, 0 unknown. NULL: there were none. */
    const double *neighbours_most_bytes;
    bool any_neighbours; /* programs that started after this process are neighbours as well */
    trial_progress_fn progress; /* may be NULL; called about five times a second */
    void *context;
};

struct trial_request {
    int64_t number; /* of the trial, for logs, seeds and the store */
    struct spec_candidate candidate;
    const char *purpose; /* "baseline", "explore", "final", "compare" */
    int round, repeat;
    int64_t retry_of;
    int64_t window_ns;
    bool cold;     /* restart every service even if unchanged */
    bool alone;    /* also measure each service alone */
    bool capacity; /* also find the study's capacities, last of all */
    int workers;   /* processes that share the sending; 0: one */
};

struct trial_runner; /* opaque */

struct trial_runner *trial_runner_new(const struct trial_options *options);
/* Stops everything that still runs (no grace when stop-now was asked). NULL is fine. */
struct trial_runner *trial_runner_free(struct trial_runner *runner);
AUTO_FN(struct trial_runner, trial_runner_free)

/* Everything in *ret_trial is in `arena`. False only for our own failures and when asked to stop
 * (ERR_STOPPED): nothing is to be stored then. */
NODISCARD bool trial_run(struct trial_runner *runner, const struct trial_request *request,
                         struct arena *arena, struct store_trial *ret_trial, struct err *err);
/* `next` is the next trial's request, NULL when there is none. May change trial->verdict. */
void trial_finish(struct trial_runner *runner, const struct trial_request *next,
                  struct arena *arena, struct store_trial *trial);
