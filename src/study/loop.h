/* Inside study/: one study being worked on. open.c makes it ready, run.c and lanes.c run trials in
 * it, contention.c uses what is open for a measurement of its own. */
#pragma once

#include "device/lock.h"
#include "store/read.h"
#include "study/plan.h"
#include "study/study.h"

/* A device on which whole trials run. */
struct study_lane {
    struct spec_study study; /* as this lane sees it: of the devices that are equals only its own */
    struct device_facts facts;
    struct device_lock *lock;
};

struct study_loop {
    const struct study_options *options;
    const struct spec_study *study;
    struct arena *arena; /* of the whole run */
    struct study_lane lanes[SPEC_DEVICES_MAX];
    size_t lane_count;
    /* As lanes[0].study.devices; NULL with several lanes, each of which opens its own. */
    struct device *devices[SPEC_DEVICES_MAX];
    struct device_lock *locks[SPEC_DEVICES_MAX]; /* of devices that services have of their own */
    struct store *store;
    spec_code *codes; /* heap */
    struct study_plan plan;
    struct history history;
    struct study_view view;
    struct buf best;                     /* text of view.best */
    const struct trial_request *request; /* under way */
    struct corpus *corpora;              /* per service, in the arena */
};

/* --- open.c --- */
/* Everything that is needed before the first trial; errors as study_run(). */
NODISCARD bool study_loop_open(struct study_loop *loop, bool *ret_resumed, struct err *err);
void study_loop_done(struct study_loop *loop);
/* All that the study runs on, in its order: lanes, or what services have of their own. */
void study_loop_join_devices(const struct study_loop *loop, struct buf *ids, struct buf *names);
/* Of two lists of ids. How many lanes there are may change from run to run, so one may go on where
 * the other ends; as far as both go they must be the same. */
bool study_loop_same_devices(const char *stored, const char *now);
/* Of what is left on each lane's device, NaN unknown: do two that are known differ by too much?
 * Then which have least and most. */
bool study_loop_rooms_differ(const double *rooms_bytes, size_t count, size_t *ret_least,
                             size_t *ret_most);
/* Trials are about to run: a card that still lacks what an earlier run leaked is ERR_BUSY. Without
 * any to run it is said and noted. */
NODISCARD bool study_loop_check_cards(const struct study_loop *loop, bool runs, struct err *err);
AUTO_FN(struct study_loop, study_loop_done)

/* --- run.c --- */
void study_loop_update_view(struct study_loop *loop, enum study_stage stage, struct arena *scratch);
/* What would spoil the next trial as well stops the study, resumably. `index` is the trial's place
 * in the history, `contended` how many in a row were contended on its device. */
NODISCARD bool study_loop_check(const struct study_loop *loop, const struct store_trial *trial,
                                size_t index, int contended, struct err *err);
/* SQLite would go on writing into a file that no longer has a name. */
NODISCARD bool study_loop_store_exists(const struct study_loop *loop, struct err *err);

/* --- lanes.c --- */
/* All trials, in a process per lane. */
NODISCARD bool study_lanes_run(struct study_loop *loop, struct err *err);
