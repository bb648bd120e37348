/* The loop: what is next, run it, see what comes after it, stop what that does not keep, store. A
 * trial is stored only when it is over, services stopped included, so a kill at any instant loses
 * at most the trial under way. (With several lanes the same is done by lanes.c.) */
#include "study/loop.h"

#include "base/cancel.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/log.h"
#include "study/beside.h"
#include "study/certain.h"
#include "study/clean.h"
#include "study/decide.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

enum { CONTENDED_MAX = 5 };

void study_loop_update_view(struct study_loop *loop, enum study_stage stage, struct arena *scratch)
{
    struct study_progress_counts counts = study_count(&loop->plan, &loop->history, scratch);
    struct study_view *view = &loop->view;
    *view = (struct study_view){
        .study = loop->study,
        .device = &loop->lanes[0].facts,
        .stage = stage,
        .trials_done = (int64_t)loop->history.count,
        .explored = counts.explored,
        .explore_planned = counts.explore_planned,
        .finals_done = counts.finals_done,
        .finals_planned = counts.finals_planned,
        .candidates = loop->plan.code_count,
        .best_fitness = NAN,
        .elapsed_s = history_elapsed_s(&loop->history) / (double)loop->lane_count,
        .left_s = counts.left_s,
        .lanes = loop->lane_count,
    };
    const struct history_trial *best = NULL;
    for (size_t i = 0; i < loop->history.count; i++) {
        const struct history_trial *t = &loop->history.trials[i];
        if (t->verdict == VERDICT_OK && !isnan(t->fitness) && (!best || t->fitness > best->fitness))
            best = t;
    }
    if (!best)
        return;
    struct spec_candidate candidate = spec_candidate_decode(loop->study, best->code);
    buf_clear(&loop->best);
    spec_candidate_add_text(&loop->best, loop->study, &candidate);
    view->best_fitness = best->fitness;
    view->best = buf_text(&loop->best);
}

static void on_progress(void *context, const struct trial_progress *progress)
{
    struct study_loop *loop = context;
    const struct study_observer *observer = &loop->options->observer;
    if (observer->progress)
        observer->progress(observer->context, &loop->view, loop->request, progress);
}

/* An env_fault of no service, with the device's own words: nothing can be measured on it. */
static bool device_is_lost(const struct store_trial *trial)
{
    bool said = false;
    for (size_t i = 0; i < trial->evidence_count; i++)
        said = said || strcmp(trial->evidence[i].kind, "device") == 0;
    return said && !trial->service &&
           strcmp(trial->verdict, verdict_facts(VERDICT_ENV_FAULT)->name) == 0;
}

bool study_loop_check(const struct study_loop *loop, const struct store_trial *trial, size_t index,
                      int contended, struct err *err)
{
    if (strcmp(trial->verdict, verdict_facts(VERDICT_LEAK)->name) == 0)
        return err_set(err, ERR_STOPPED,
                       "something that trial %" PRId64
                       " started is still there: %s; stopped. End it, "
                       "then run again to resume",
                       trial->number, trial->summary);
    if (strcmp(trial->verdict, verdict_facts(VERDICT_DEVICE_DIRTY)->name) == 0)
        return err_set(err, ERR_BUSY,
                       "%s; stopped before trial %" PRId64 " started anything. Free it, or declare "
                       "who stays under neighbours:, then run again to resume",
                       trial->summary, trial->number);
    if (device_is_lost(trial))
        return err_set(err, ERR_STOPPED, "%s; stopped. Repair, then run again to resume",
                       trial->summary);
    if (contended >= CONTENDED_MAX)
        return err_set(err, ERR_STOPPED,
                       "%d trials in a row were contended (%s); stopped. Find what "
                       "else runs there, then run again to resume",
                       contended, trial->summary);
    if (history_broken_at(&loop->history, index))
        return err_set(err, ERR_STOPPED,
                       "the surroundings are broken: %s; stopped. Repair, then run "
                       "again to resume",
                       trial->summary);
    return true;
}

bool study_loop_store_exists(const struct study_loop *loop, struct err *err)
{
    AUTO(free) char *path = study_store_path(loop->options->folder);
    return file_exists(path) ||
           err_set(err, ERR_INTERNAL,
                   "%s was removed while the study ran, and its trials with it; run "
                   "again to start anew",
                   path);
}

static bool run_trial(struct study_loop *loop, struct trial_runner *runner,
                      const struct trial_request *request, struct err *err)
{
    const struct study_observer *observer = &loop->options->observer;
    AUTO(arena_free) struct arena *arena = arena_new();
    char detail[64];
    snprintf(detail, sizeof detail, "trial %" PRId64, request->number);
    device_lock_describe(loop->lanes[0].lock, detail);
    loop->request = request;
    if (observer->trial_begin)
        observer->trial_begin(observer->context, &loop->view, request);

    struct store_trial trial;
    if (!trial_run(runner, request, arena, &trial, err))
        return false;
    /* What would come next decides what may stay up; the row is put in place provisionally. */
    size_t count = loop->history.count;
    if (!history_append(&loop->history, loop->study, &trial, loop->arena, err))
        return false;
    struct study_step next = study_next(&loop->plan, &loop->history, arena);
    trial_finish(runner, next.stage == STAGE_DONE ? NULL : &next.request, arena, &trial);
    loop->history.count = count;
    if (!study_loop_store_exists(loop, err))
        return false;
    if (!store_trial_add(loop->store, &trial, err))
        return false;
    if (!history_append(&loop->history, loop->study, &trial, loop->arena, err))
        return false;
    study_loop_update_view(loop, next.stage, arena);
    if (observer->trial_end)
        observer->trial_end(observer->context, &loop->view, &trial);
    return study_loop_check(loop, &trial, loop->history.count - 1,
                            history_contended_in_a_row(&loop->history), err);
}

static bool run_all(struct study_loop *loop, struct err *err)
{
    const double *most = NULL;
    if (!study_beside_most(loop->store, &loop->lanes[0].study, loop->arena, &most, err))
        return false;
    struct trial_options options = {
        .study = &loop->lanes[0].study,
        .folder = loop->options->folder,
        .devices = loop->devices,
        .corpora = loop->corpora,
        .neighbours_most_bytes = most,
        .progress = on_progress,
        .context = loop,
    };
    AUTO(trial_runner_free) struct trial_runner *runner = trial_runner_new(&options);
    for (;;) {
        AUTO(arena_free) struct arena *scratch = arena_new();
        struct study_step step = study_next(&loop->plan, &loop->history, scratch);
        study_loop_update_view(loop, step.stage, scratch);
        if (step.stage == STAGE_DONE)
            return true;
        if (cancel_level() != CANCEL_NONE)
            return err_set(err, ERR_STOPPED, "stopped before trial %" PRId64, step.request.number);
        bool ran = run_trial(loop, runner, &step.request, err);
        loop->request = NULL;
        if (!ran)
            return false;
    }
}

/* Disturbed trials alone say nothing of any candidate: "none is feasible" would be a guess. */
static bool check_measured(const struct study_loop *loop, struct err *err)
{
    const struct verdict_facts *last = NULL;
    for (size_t i = 0; i < loop->history.count; i++) {
        const struct history_trial *t = &loop->history.trials[i];
        last = verdict_facts(t->verdict);
        if (!last->retried || t->ruled_out)
            return true;
    }
    return !last || err_set(err, ERR_STOPPED,
                            "every trial was disturbed (the last: %s), so nothing is known of any "
                            "candidate; mend that, then start anew with: spica run --fresh %s",
                            last->name, loop->study->path);
}

/* What an earlier run decided does not hold either: nobody may promote it. */
static bool withdraw(const struct study_loop *loop, const char *why, struct err *err)
{
    AUTO(free) char *earlier = NULL;
    return store_decision_get(loop->store, &earlier, err) &&
           (!earlier || store_decision_withdraw(loop->store, err)) &&
           store_event_add(loop->store, clock_now_wall_us(), "undecided", why, err);
}

static bool conclude(struct study_loop *loop, enum study_outcome *ret_outcome, struct err *err)
{
    AUTO(arena_free) struct arena *scratch = arena_new();
    AUTO_JSON json_t *decision = study_decide(&loop->plan, &loop->history, scratch, ret_outcome);
    struct store_trial *trials = NULL;
    size_t count = 0;
    if (!store_read_trials(loop->store, scratch, true, &trials, &count, err))
        return err_wrap(err, "deciding");
    const char *lacks = study_beside_lacks(decision, trials, count, loop->study->devices,
                                           loop->study->device_count, scratch);
    if (lacks && !withdraw(loop, lacks, err))
        return false;
    if (lacks)
        return err_set(err, ERR_STOPPED,
                       "%s: nothing is decided. Measure anew beside what stays: spica run --fresh "
                       "%s",
                       lacks, loop->study->path);
    study_add_requirements(decision, loop->study, trials, count);
    AUTO(free) char *text = json_dump_text(decision);
    return store_decision_put(loop->store, text, err) &&
           store_event_add(loop->store, clock_now_wall_us(), "decided",
                           study_outcome_name(*ret_outcome), err);
}

/* Told to stop: the same look at the cards that every trial gets, for nobody else says it. */
static void add_leaked(const struct study_loop *loop, struct err *err)
{
    AUTO(buf_done) struct buf words = BUF_INIT(400);
    struct err ignored = ERR_INIT, was = *err;
    if (cancel_level() == CANCEL_NONE || err->code != ERR_STOPPED || !loop->store ||
        !study_clean_compare(loop, CLEAN_STOPPED, &words, &ignored) || words.len == 0)
        return;
    *err = (struct err)ERR_INIT;
    (void)!err_set(err, was.code, "%s; %s", was.text, buf_text(&words));
}

bool study_run(const struct study_options *options, enum study_outcome *ret_outcome,
               struct err *err)
{
    struct study_loop state = {
        .options = options, .study = options->study, .arena = arena_new(), .best = BUF_INIT(65536)};
    AUTO(study_loop_done) struct study_loop *loop = &state;
    bool resumed = false;
    if (!study_loop_open(loop, &resumed, err) ||
        !store_event_add(loop->store, clock_now_wall_us(), resumed ? "resumed" : "started", NULL,
                         err))
        return false;
    AUTO(arena_free) struct arena *scratch = arena_new();
    const enum study_stage stage = study_next(&loop->plan, &loop->history, scratch).stage;
    if (!study_loop_check_cards(loop, stage != STAGE_DONE, err))
        return false;
    study_loop_update_view(loop, stage, scratch);
    if (options->observer.begin)
        options->observer.begin(options->observer.context, &loop->view, resumed);
    bool ran = loop->lane_count > 1 ? study_lanes_run(loop, err) : run_all(loop, err);
    if (ran && check_measured(loop, err))
        return conclude(loop, ret_outcome, err);
    add_leaked(loop, err);
    if (err->code == ERR_STOPPED && loop->store) {
        struct err ignored = ERR_INIT; /* the stop itself matters more than its note */
        if (!store_event_add(loop->store, clock_now_wall_us(), "stopped", err->text, &ignored))
            log_debug("study", "%s", ignored.text);
    }
    return false;
}
