/* The comparison's loop: what is next, run it, store it, look after each whole block.
 *
 * It works in the study's own folder and store, under the study's locks, so that the winner it is
 * asked about is at hand and nobody measures beside it. All its state is in the store: an event
 * "compare" says which sides a number stands for, trials carry that number as their round, and the
 * same command finds both again. What is not part of the identity may change from run to run: the
 * tolerance and the budget, because the intervals hold for all of them at once (stats/compare.h).
 *
 * Rejected: a store of its own, which would part the numbers of one study; and reusing the study's
 * trials of the final, which were interleaved with others and chosen by what they showed. */
#include "study/compare.h"

#include "base/cancel.h"
#include "base/clock.h"
#include "base/file.h"
#include "study/beside.h"
#include "study/compare_inside.h"
#include "study/loop.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

static const double START_GUESS_S = 8; /* of all services, before any was started */

struct comparing {
    struct study_loop *loop;
    const struct compare_options *options;
    struct study_comparison *result;
    struct arena *arena;
    struct err *err;
};

/* ---- what is compared ---- */

/* The decision's winner, read before anything is locked; NULL: none. */
static bool read_winner(const char *folder, struct arena *arena, const char **ret_winner,
                        struct err *err)
{
    AUTO(free) char *path = study_store_path(folder);
    AUTO(store_close) struct store *store = NULL;
    AUTO(free) char *text = NULL;
    *ret_winner = NULL;
    if (!file_exists(path))
        return true;
    if (!store_open(path, STORE_READ, &store, err) || !store_decision_get(store, &text, err))
        return false;
    AUTO_JSON json_t *decision = text ? json_loads(text, 0, NULL) : NULL;
    *ret_winner = arena_strdup(arena, json_get_text(decision, "winner"));
    return true;
}

static bool read_sides(struct comparing *c, const struct spec_study *study, const char *folder)
{
    struct study_comparison *result = c->result;
    const char *winner = NULL;
    if (c->options->side_count < 2 || c->options->side_count > COMPARE_SIDES_MAX)
        return err_set(c->err, ERR_INPUT, "%zu sides: 2 to %d can be compared",
                       c->options->side_count, COMPARE_SIDES_MAX);
    if (!read_winner(folder, c->arena, &winner, c->err))
        return false;
    for (size_t i = 0; i < c->options->side_count; i++) {
        struct compare_side *side = &result->sides[i];
        if (!study_compare_read_side(study, winner, c->options->sides[i], c->arena, side, c->err))
            return false;
        for (size_t k = 0; k < i; k++)
            if (result->sides[k].code == side->code)
                return err_set(c->err, ERR_INPUT,
                               "\"%.100s\" and \"%.100s\" are the same candidate: %.300s",
                               result->sides[k].given, side->given, side->text);
        result->side_count = i + 1;
    }
    return true;
}

static json_t *identity(const struct study_comparison *result)
{
    json_t *sides = json_array();
    for (size_t i = 0; i < result->side_count; i++)
        json_array_append_new(sides, json_text_or_null(result->sides[i].text));
    return json_pack("{s:o, s:f, s:f}", "sides", sides, "error", result->error, "window_s",
                     result->window_s);
}

/* The last comparison of the same, or a new one. */
static bool find_number(struct comparing *c)
{
    AUTO(arena_free) struct arena *scratch = arena_new();
    struct study_comparison *result = c->result;
    struct store_event *events = NULL;
    size_t count = 0;
    if (!store_read_events(c->loop->store, scratch, &events, &count, c->err))
        return false;
    AUTO_JSON json_t *mine = identity(result);
    int64_t last = 0, found = 0;
    for (size_t i = 0; i < count; i++) {
        if (strcmp(events[i].kind, "compare") != 0 || !events[i].detail)
            continue;
        AUTO_JSON json_t *other = json_loads(events[i].detail, 0, NULL);
        last = json_get_int(other, "comparison", last);
        json_object_del(other, "comparison");
        if (other && json_equal(mine, other))
            found = last;
    }
    result->number = found && !c->options->anew ? found : last + 1;
    if (result->number == found)
        return true;
    json_object_set_new(mine, "comparison", json_integer(result->number));
    AUTO(free) char *text = json_dump_text(mine);
    return store_event_add(c->loop->store, clock_now_wall_us(), "compare", text, c->err);
}

/* ---- trials ---- */

static void on_progress(void *context, const struct trial_progress *progress)
{
    const struct comparing *c = context;
    const struct study_observer *observer = &c->loop->options->observer;
    if (observer->progress)
        observer->progress(observer->context, &c->loop->view, c->loop->request, progress);
}

/* For people. What is left is for as many blocks as are allowed; it may be over much sooner. */
static void update_view(struct comparing *c)
{
    struct study_loop *loop = c->loop;
    const struct spec_measure *m = &loop->study->measure;
    size_t done = loop->history.count, all = c->result->blocks_most * c->result->side_count;
    double elapsed_s = history_elapsed_s(&loop->history);
    double each_s = done ? elapsed_s / (double)done
                         : (double)(m->warmup_ns + m->window_ns) / NS_PER_S + START_GUESS_S;
    loop->view = (struct study_view){
        .study = loop->study,
        .device = &loop->lanes[0].facts,
        .stage = STAGE_FINAL,
        .trials_done = (int64_t)done,
        .finals_done = done,
        .finals_planned = all,
        .candidates = loop->plan.code_count,
        .best_fitness = NAN,
        .elapsed_s = elapsed_s,
        .left_s = all > done ? each_s * (double)(all - done) : 0,
        .lanes = 1,
    };
}

static bool run_trial(struct comparing *c, struct trial_runner *runner,
                      const struct trial_request *request)
{
    AUTO(arena_free) struct arena *arena = arena_new();
    struct study_loop *loop = c->loop;
    const struct study_observer *observer = &loop->options->observer;
    char detail[64];
    snprintf(detail, sizeof detail, "comparison, trial %" PRId64, request->number);
    device_lock_describe(loop->lanes[0].lock, detail);
    loop->request = request;
    if (observer->trial_begin)
        observer->trial_begin(observer->context, &loop->view, request);
    struct store_trial trial;
    bool ran = trial_run(runner, request, arena, &trial, c->err);
    loop->request = NULL;
    if (!ran)
        return false;
    trial_finish(runner, NULL, arena, &trial);
    if (!study_loop_store_exists(loop, c->err) || !store_trial_add(loop->store, &trial, c->err) ||
        !history_append(&loop->history, loop->study, &trial, loop->arena, c->err))
        return false;
    update_view(c);
    if (observer->trial_end)
        observer->trial_end(observer->context, &loop->view, &trial);
    return study_loop_check(loop, &trial, loop->history.count - 1,
                            history_contended_in_a_row(&loop->history), c->err);
}

static bool look(struct comparing *c, size_t blocks)
{
    AUTO(arena_free) struct arena *scratch = arena_new();
    struct store_trial *trials = NULL;
    size_t count = 0;
    if (!store_read_trials(c->loop->store, scratch, true, &trials, &count, c->err) ||
        !study_compare_fill(c->loop->study, c->loop->store, trials, count, blocks, c->result,
                            c->arena, c->err))
        return false;
    c->result->end = study_compare_is_over(c->result);
    return true;
}

/* Whole blocks when `step` is next. */
static size_t whole_blocks(const struct comparing *c, const struct compare_step *step)
{
    int last = 0;
    if (step->block > 0)
        return step->block - 1;
    for (size_t i = 0; i < c->loop->history.count; i++)
        if (c->loop->history.trials[i].repeat > last)
            last = c->loop->history.trials[i].repeat;
    return (size_t)last < c->result->blocks_most ? (size_t)last : c->result->blocks_most;
}

/* Would one more block take longer than is allowed? */
static bool time_is_up(const struct comparing *c)
{
    double time_s = (double)c->loop->options->time_ns / NS_PER_S;
    double spent_s = history_elapsed_s(&c->loop->history), blocks = (double)c->result->blocks;
    return time_s > 0 && blocks > 0 && spent_s + spent_s / blocks > time_s;
}

static bool run_all(struct comparing *c)
{
    struct study_loop *loop = c->loop;
    const double *most = NULL;
    if (!study_beside_most(loop->store, &loop->lanes[0].study, loop->arena, &most, c->err))
        return false;
    struct trial_options options = {
        .study = &loop->lanes[0].study,
        .folder = loop->options->folder,
        .devices = loop->devices,
        .corpora = loop->corpora,
        .neighbours_most_bytes = most,
        .progress = on_progress,
        .context = c,
    };
    AUTO(trial_runner_free) struct trial_runner *runner = trial_runner_new(&options);
    bool checked = false;
    for (size_t seen = SIZE_MAX;;) {
        struct compare_step step = study_compare_next(loop->study, c->result, &loop->history);
        size_t whole = whole_blocks(c, &step);
        if (whole != seen) {
            if (!look(c, whole))
                return false;
            seen = whole;
            if (c->result->end == COMPARE_GOES_ON && step.block == 0)
                c->result->end = COMPARE_BLOCKS;
            if (c->result->end == COMPARE_GOES_ON && time_is_up(c))
                c->result->end = COMPARE_TIME;
            if (c->options->looked && whole > 0)
                c->options->looked(c->options->context, c->result);
        }
        if (whole > 0 && c->result->end != COMPARE_GOES_ON)
            return true;
        if (cancel_level() != CANCEL_NONE)
            return err_set(c->err, ERR_STOPPED,
                           "stopped after %zu whole blocks; run again to resume", whole);
        if (!checked && !study_loop_check_cards(loop, true, c->err))
            return false;
        checked = true;
        if (!run_trial(c, runner, &step.request))
            return false;
    }
}

/* ---- the whole ---- */

static bool compare(struct comparing *c, bool resumed)
{
    struct study_loop *loop = c->loop;
    const struct study_observer *observer = &loop->options->observer;
    if (!find_number(c) || !history_load_compare(loop->store, loop->study, (int)c->result->number,
                                                 loop->arena, &loop->history, c->err))
        return false;
    update_view(c);
    if (observer->begin)
        observer->begin(observer->context, &loop->view, resumed && loop->history.count > 0);
    size_t before = loop->history.count;
    if (!run_all(c))
        return false;
    if (loop->history.count == before && before > 0)
        return true; /* nothing new */
    AUTO_JSON json_t *json = study_comparison_json(c->result);
    AUTO(free) char *text = json_dump_text(json);
    return store_event_add(loop->store, clock_now_wall_us(), "compared", text, c->err);
}

bool study_compare(const struct study_options *options, const struct compare_options *how,
                   struct arena *arena, struct study_comparison *ret, struct err *err)
{
    struct study_loop state = {
        .options = options, .study = options->study, .arena = arena_new(), .best = BUF_INIT(65536)};
    AUTO(study_loop_done) struct study_loop *loop = &state;
    struct study_comparison result = {
        .blocks_most = stats_compare_look(how->blocks < COMPARE_BLOCKS_MAX ? (size_t)how->blocks
                                                                           : COMPARE_BLOCKS_MAX),
        .error = how->error,
        .tolerance = how->tolerance,
        .window_s = (double)options->study->measure.window_ns / NS_PER_S,
    };
    struct comparing c = {loop, how, &result, arena, err};
    bool resumed = false;
    if (!read_sides(&c, options->study, options->folder))
        return false;
    study_compare_plan_rows(options->study, &result, arena);
    if (!study_loop_open(loop, &resumed, err) || !compare(&c, resumed))
        return false;
    *ret = result;
    return true;
}
