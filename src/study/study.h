/* The experiment: baseline, exploration, final, decision; resumable at every instant.
 *
 * All state is the store's history: which trial comes next is a pure function of the study file and
 * the rows (study/plan.c), so a killed study resumes to where it would have been. */
#pragma once

#include "spec/catalog.h"
#include "spec/study.h"
#include "store/store.h"
#include "trial/trial.h"

enum study_stage {
    STAGE_BASELINE,
    STAGE_EXPLORE,
    STAGE_FINAL,
    STAGE_WAIT, /* nothing to run before a trial under way has ended */
    STAGE_DONE,
};

/* Where a study stands, for people. */
struct study_view {
    const struct spec_study *study;
    const struct device_facts *device;
    enum study_stage stage;
    int64_t trials_done; /* stored, retries included */
    size_t explored, explore_planned;
    size_t finals_done, finals_planned;
    uint64_t candidates; /* feasible */
    double best_fitness; /* NaN: none yet */
    const char *best;    /* its candidate's text; NULL */
    double elapsed_s;    /* of this study so far, resumed parts included */
    double left_s;       /* estimate; NaN unknown */
    size_t lane, lanes;  /* the lane that this is about, and how many work at once */
};

/* Told what happens; every member may be NULL. Texts are valid during the call. */
struct study_observer {
    void *context;
    void (*begin)(void *context, const struct study_view *view, bool resumed);
    void (*trial_begin)(void *context, const struct study_view *view,
                        const struct trial_request *request);
    void (*progress)(void *context, const struct study_view *view,
                     const struct trial_request *request, const struct trial_progress *progress);
    void (*trial_end)(void *context, const struct study_view *view,
                      const struct store_trial *trial);
    void (*waiting)(void *context, const char *why); /* for the device's lock */
};

struct study_options {
    const struct spec_study *study;
    const char *folder;  /* NAME.spica: holds study.db, logs/, scratch/, reports */
    bool wait;           /* for a device that another holds */
    bool fresh;          /* earlier results move to FOLDER.1, .2, ... */
    int trials;          /* overrides search.trials when > 0 */
    int64_t time_ns;     /* overrides search.time when > 0 */
    size_t max_parallel; /* trials at once, each on a device of its own; 0: one */
    /* Called once everything is ready and the devices are locked, before the first trial: the last
     * moment to make room on them. NULL: nothing is to be done. */
    bool (*make_room)(void *context, struct err *err);
    void *room_context;
    struct study_observer observer;
};

enum study_outcome { OUTCOME_WINNER, OUTCOME_BASELINE_BEST, OUTCOME_INFEASIBLE, OUTCOME_COUNT_ };
const char *study_outcome_name(enum study_outcome outcome); /* "winner", "baseline_best", ... */

/* Runs or resumes to the decision, which is then in the store. ERR_STOPPED: asked to stop, or the
 * surroundings forbid going on; resumable. ERR_BUSY: the device is held. ERR_INPUT: the study file
 * is not the one that this folder's results were measured with. */
NODISCARD bool study_run(const struct study_options *options, enum study_outcome *ret_outcome,
                         struct err *err);

/* "NAME.spica" beside the study file, unless `given`; the caller owns it. */
char *study_folder(const struct spec_study *study, const char *given);
/* "FOLDER/study.db"; the caller owns it. */
char *study_store_path(const char *folder);

/* Audio and prompts of every service; says what is missing or lacks transcripts although WER is
 * asked for. `ret_corpora` has one entry per service, contents in `arena`. */
NODISCARD bool study_load_corpora(const struct spec_study *study, struct arena *arena,
                                  struct corpus **ret_corpora, struct err *err);

/* Weights and programs of every service, for every distinct setting; problems one per line. */
NODISCARD bool study_check_services(const struct spec_study *study, bool fetch,
                                    struct buf *ret_problems, struct err *err);

/* About how long the study's capacities take in the one trial of a candidate that finds them. */
double study_capacity_guess_s(const struct spec_study *study);
/* A start of all services, a probe each and the stop, when nothing has been measured yet. */
double study_start_guess_s(const struct spec_study *study);
/* What a trial takes beside its windows: one that may keep services up, one that starts them all.
 */
struct study_starts {
    double restart_s, cold_s;
    size_t trials; /* that this was measured in; 0: a guess */
};
/* From the results in `folder`, where they are this very study's; else a guess. */
struct study_starts study_starts(const struct spec_study *study, const char *folder);
struct study_starts study_starts_of(const struct spec_study *study,
                                    const struct store_history_row *rows, size_t count);
/* How long a study takes: windows plus stated allowances for starts. */
struct study_estimate {
    size_t explore_trials, final_trials;
    double explore_s, final_s;
};
struct study_estimate study_estimate(const struct spec_study *study, uint64_t candidates,
                                     const struct study_starts *starts);
