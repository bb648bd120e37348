/* The loop: what is next, run it, see what comes after it, stop what that does not keep, store. A
 * trial is stored only when it is over, services stopped included, so a kill at any instant loses
 * at most the trial under way. */
#include "study/study.h"

#include "base/cancel.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/log.h"
#include "device/lock.h"
#include "service/process.h"
#include "study/decide.h"
#include "study/leftover.h"
#include "study/plan.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>
#include <time.h>

enum { CONTENDED_MAX = 5, CODES_MAX = 5 * 1000 * 1000 };
static const int64_t LOCK_RETRY_NS = NS_PER_S / 2;

struct loop {
    const struct study_options *options;
    const struct spec_study *study;
    struct arena *arena;                      /* of the whole run */
    struct device *devices[SPEC_DEVICES_MAX]; /* as study->devices */
    struct device *device;                    /* devices[0], borrowed */
    struct device_lock *lock;
    struct store *store;
    struct trial_runner *runner;
    spec_code *codes; /* heap */
    struct study_plan plan;
    struct history history;
    struct study_view view;
    struct buf best;                     /* text of view.best */
    const struct trial_request *request; /* under way */
    struct corpus *corpora;              /* per service, in the arena */
};

static void loop_done(struct loop *loop)
{
    if (!loop)
        return;
    trial_runner_free(loop->runner);
    store_close(loop->store);
    device_lock_release(loop->lock);
    for (size_t i = 0; i < ARRAY_LEN(loop->devices); i++)
        device_close(loop->devices[i]);
    free(loop->codes);
    buf_done(&loop->best);
    arena_free(loop->arena);
}
AUTO_FN(struct loop, loop_done)

static bool take_lock(struct loop *loop, struct err *err)
{
    const char *id = device_facts(loop->device)->id;
    const struct study_observer *observer = &loop->options->observer;
    for (bool told = false;;) {
        struct err busy = ERR_INIT;
        if (device_lock_take(loop->study->device, id, loop->study->name, &loop->lock, &busy))
            return true;
        if (busy.code != ERR_BUSY || !loop->options->wait) {
            *err = busy;
            return false;
        }
        if (!told && observer->waiting)
            observer->waiting(observer->context, busy.text);
        told = true;
        struct timespec pause = {.tv_nsec = LOCK_RETRY_NS};
        nanosleep(&pause, NULL);
        if (cancel_level() != CANCEL_NONE)
            return err_set(err, ERR_STOPPED, "stopped while waiting for %s", loop->study->device);
    }
}

/* Given a moment: a keeper that is just ending its tree may have gone before the last of it. */
static bool check_clean(struct loop *loop, struct err *err)
{
    enum { LOOKS = 10 };
    AUTO(buf_done) struct buf left = BUF_INIT(700);
    for (int look = 0; look < LOOKS; look++) {
        buf_clear(&left);
        if (!study_find_leftovers("/proc", &left, err))
            return false;
        if (left.len == 0)
            return true;
        nanosleep(&(struct timespec){.tv_nsec = LOCK_RETRY_NS / 2}, NULL);
    }
    return err_set(err, ERR_BUSY,
                   "%s is not clean: left of an earlier run: %s; end it, then run again",
                   loop->study->device, buf_text(&left));
}

static bool note_study(struct loop *loop, bool *ret_resumed, struct err *err)
{
    const struct device_facts *device = device_facts(loop->device);
    struct store_study stored;
    bool found = false;
    if (!store_study_get(loop->store, &found, &stored, err))
        return false;
    *ret_resumed = found;
    if (found && strcmp(stored.digest, loop->study->digest) != 0)
        return err_set(err, ERR_INPUT,
                       "%s: its results in %s were measured with another version of "
                       "this file; keep them and start anew with: spica run --fresh %s",
                       loop->study->path, loop->options->folder, loop->study->path);
    if (found && strcmp(stored.device_id, device->id) != 0)
        return err_set(err, ERR_INPUT,
                       "%s: its results in %s were measured on another machine (%s); "
                       "start anew with: spica run --fresh %s",
                       loop->study->path, loop->options->folder, stored.device_name,
                       loop->study->path);
    if (found)
        return store_event_add(loop->store, clock_now_wall_us(), "resumed", NULL, err);
    struct store_study row = {
        .name = loop->study->name,
        .path = loop->study->path,
        .digest = loop->study->digest,
        .text = loop->study->text,
        .device_id = device->id,
        .device_name = device->name,
        .device_versions = device->versions,
        .spica_version = SPICA_VERSION,
        .seed = loop->study->seed,
        .created_wall_us = clock_now_wall_us(),
        .cores = device->cores,
        .memory_bytes = device->memory_bytes,
    };
    return store_study_put(loop->store, &row, err) &&
           store_event_add(loop->store, clock_now_wall_us(), "started", NULL, err);
}

static bool check_services(struct loop *loop, struct err *err)
{
    AUTO(buf_done) struct buf problems = BUF_INIT(1 << 20);
    if (!study_check_services(loop->study, false, &problems, err))
        return false;
    if (problems.len == 0)
        return true;
    const char *end = strchrnul(buf_text(&problems), '\n');
    bool more = end[0] && end[1];
    return err_set(err, ERR_MISSING, "%.*s%s; see: spica prepare %s",
                   (int)(end - buf_text(&problems)), buf_text(&problems), more ? " (and more)" : "",
                   loop->study->path);
}

static void fill_plan(struct loop *loop, size_t code_count)
{
    const struct spec_study *study = loop->study;
    loop->plan = (struct study_plan){
        .study = study,
        .codes = loop->codes,
        .code_count = code_count,
        .has_baseline = study->baseline != NULL,
        .trials = loop->options->trials > 0 ? loop->options->trials : study->search.trials,
        .time_s =
            (double)(loop->options->time_ns > 0 ? loop->options->time_ns : study->search.time_ns) /
            NS_PER_S,
    };
    if (study->baseline) {
        struct spec_candidate baseline;
        memcpy(baseline.index, study->baseline, study->knob_count * sizeof *baseline.index);
        loop->plan.baseline = spec_candidate_code(study, &baseline);
    }
}

/* A space too large to list is the study file's matter, not a failure of ours. */
static bool list_candidates(struct loop *loop, size_t *ret_count, struct err *err)
{
    struct err cause = ERR_INIT;
    if (spec_space_list(loop->study, CODES_MAX, &loop->codes, ret_count, &cause))
        return true;
    return err_set(err, cause.code == ERR_LIMIT ? ERR_INPUT : cause.code, "%s: %s%s",
                   loop->study->path, cause.text,
                   cause.code == ERR_LIMIT ? "; give knobs fewer values or add constraints" : "");
}

/* Nothing is deleted: the old folder gets the first free number. Only whoever holds the lock may do
 * this: a study that runs there would lose its store. */
static bool move_aside(const char *folder, struct err *err)
{
    size_t len = strlen(folder);
    while (len > 1 && folder[len - 1] == '/')
        len--;
    if (!file_exists(folder))
        return true;
    for (int n = 1; n < 10000; n++) {
        AUTO(buf_done) struct buf name = BUF_INIT(8192);
        buf_addf(&name, "%.*s.%d", (int)len, folder, n);
        if (file_exists(buf_text(&name)))
            continue;
        if (rename(folder, buf_text(&name)) != 0)
            return err_sys(err, "moving %s to %s", folder, buf_text(&name));
        return true;
    }
    return err_set(err, ERR_INPUT, "%s: too many earlier results", folder);
}

static bool open_devices(struct loop *loop, struct err *err)
{
    const struct spec_study *study = loop->study;
    for (size_t i = 0; i < study->device_count; i++)
        if (!device_open(study->devices[i], "/proc", &loop->devices[i], err))
            return false;
    loop->device = loop->devices[0];
    return true;
}

static bool open_loop(struct loop *loop, bool *ret_resumed, struct err *err)
{
    const struct spec_study *study = loop->study;
    size_t code_count = 0;
    AUTO(free) char *path = study_store_path(loop->options->folder);
    if (!study_load_corpora(study, loop->arena, &loop->corpora, err) ||
        !check_services(loop, err) || !list_candidates(loop, &code_count, err) ||
        !open_devices(loop, err) || !take_lock(loop, err) || !check_clean(loop, err) ||
        (loop->options->fresh && !move_aside(loop->options->folder, err)) ||
        !file_make_folders(loop->options->folder, err) ||
        !store_open(path, STORE_CREATE, &loop->store, err) || !note_study(loop, ret_resumed, err) ||
        !history_load(loop->store, study, loop->arena, &loop->history, err))
        return false;
    fill_plan(loop, code_count);
    return true;
}

static void update_view(struct loop *loop, enum study_stage stage, struct arena *scratch)
{
    struct study_progress_counts counts = study_count(&loop->plan, &loop->history, scratch);
    struct study_view *view = &loop->view;
    *view = (struct study_view){
        .study = loop->study,
        .device = device_facts(loop->device),
        .stage = stage,
        .trials_done = (int64_t)loop->history.count,
        .explored = counts.explored,
        .explore_planned = counts.explore_planned,
        .finals_done = counts.finals_done,
        .finals_planned = counts.finals_planned,
        .candidates = loop->plan.code_count,
        .best_fitness = NAN,
        .elapsed_s = history_elapsed_s(&loop->history),
        .left_s = counts.left_s,
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
    struct loop *loop = context;
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

/* Surroundings that would spoil the next trial as well: stop, resumably. */
static bool check_surroundings(const struct loop *loop, const struct store_trial *trial,
                               struct err *err)
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
    int contended = history_contended_in_a_row(&loop->history);
    if (contended >= CONTENDED_MAX)
        return err_set(err, ERR_STOPPED,
                       "%d trials in a row were contended (%s); stopped. Find what "
                       "else runs there, then run again to resume",
                       contended, trial->summary);
    if (history_broken(&loop->history))
        return err_set(err, ERR_STOPPED,
                       "the surroundings are broken: %s; stopped. Repair, then run "
                       "again to resume",
                       trial->summary);
    return true;
}

/* SQLite would go on writing into a file that no longer has a name. */
static bool check_store_has_name(const struct loop *loop, struct err *err)
{
    AUTO(free) char *path = study_store_path(loop->options->folder);
    return file_exists(path) ||
           err_set(err, ERR_INTERNAL,
                   "%s was removed while the study ran, and its trials with it; run "
                   "again to start anew",
                   path);
}

static bool run_trial(struct loop *loop, const struct trial_request *request, struct err *err)
{
    const struct study_observer *observer = &loop->options->observer;
    AUTO(arena_free) struct arena *arena = arena_new();
    char detail[64];
    snprintf(detail, sizeof detail, "trial %" PRId64, request->number);
    device_lock_describe(loop->lock, detail);
    loop->request = request;
    if (observer->trial_begin)
        observer->trial_begin(observer->context, &loop->view, request);

    struct store_trial trial;
    if (!trial_run(loop->runner, request, arena, &trial, err))
        return false;
    /* What would come next decides what may stay up; the row is put in place provisionally. */
    size_t count = loop->history.count;
    if (!history_append(&loop->history, loop->study, &trial, loop->arena, err))
        return false;
    struct study_step next = study_next(&loop->plan, &loop->history, arena);
    trial_finish(loop->runner, next.stage == STAGE_DONE ? NULL : &next.request, arena, &trial);
    loop->history.count = count;
    if (!check_store_has_name(loop, err))
        return false;
    if (!store_trial_add(loop->store, &trial, err))
        return false;
    if (!history_append(&loop->history, loop->study, &trial, loop->arena, err))
        return false;
    update_view(loop, next.stage, arena);
    if (observer->trial_end)
        observer->trial_end(observer->context, &loop->view, &trial);
    return check_surroundings(loop, &trial, err);
}

static bool run_all(struct loop *loop, struct err *err)
{
    for (;;) {
        AUTO(arena_free) struct arena *scratch = arena_new();
        struct study_step step = study_next(&loop->plan, &loop->history, scratch);
        update_view(loop, step.stage, scratch);
        if (step.stage == STAGE_DONE)
            return true;
        if (cancel_level() != CANCEL_NONE)
            return err_set(err, ERR_STOPPED, "stopped before trial %" PRId64, step.request.number);
        bool ran = run_trial(loop, &step.request, err);
        loop->request = NULL;
        if (!ran)
            return false;
    }
}

/* Disturbed trials alone say nothing of any candidate: "none is feasible" would be a guess. */
static bool check_measured(const struct loop *loop, struct err *err)
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

static bool conclude(struct loop *loop, enum study_outcome *ret_outcome, struct err *err)
{
    AUTO(arena_free) struct arena *scratch = arena_new();
    AUTO_JSON json_t *decision = study_decide(&loop->plan, &loop->history, scratch, ret_outcome);
    AUTO(free) char *text = json_dump_text(decision);
    return store_decision_put(loop->store, text, err) &&
           store_event_add(loop->store, clock_now_wall_us(), "decided",
                           study_outcome_name(*ret_outcome), err);
}

bool study_run(const struct study_options *options, enum study_outcome *ret_outcome,
               struct err *err)
{
    struct loop state = {
        .options = options, .study = options->study, .arena = arena_new(), .best = BUF_INIT(65536)};
    AUTO(loop_done) struct loop *loop = &state;
    bool resumed = false;
    if (!open_loop(loop, &resumed, err))
        return false;
    struct trial_options trial_options = {
        .study = options->study,
        .folder = options->folder,
        .devices = loop->devices,
        .corpora = loop->corpora,
        .progress = on_progress,
        .context = loop,
    };
    loop->runner = trial_runner_new(&trial_options);
    AUTO(arena_free) struct arena *scratch = arena_new();
    update_view(loop, study_next(&loop->plan, &loop->history, scratch).stage, scratch);
    if (options->observer.begin)
        options->observer.begin(options->observer.context, &loop->view, resumed);
    if (run_all(loop, err) && check_measured(loop, err))
        return conclude(loop, ret_outcome, err);
    if (err->code == ERR_STOPPED) {
        struct err ignored = ERR_INIT; /* the stop itself matters more than its note */
        if (!store_event_add(loop->store, clock_now_wall_us(), "stopped", err->text, &ignored))
            log_debug("study", "%s", ignored.text);
    }
    return false;
}
