/* The candidate alone and in a crowd of its own copies, in alternating windows, so that a machine
 * that drifts does so for both. Everything goes through trial_run(): the same starts, loads and
 * judges as in a study; a trial's own verdicts ("slow" in a crowd, late sends on a busy machine)
 * are shown beside the numbers, not instead of them.
 *
 * A copy that can't run (its memory is not there) is named with its verdict, and the crowd is tried
 * again without it and those after it: what is measured is the largest crowd that runs.
 *
 * Rejected: more lanes on one device, as one would run studies in parallel there. Their starts and
 * windows fall where they like, so that the effect would be a matter of luck. */
#include "study/contention.h"

#include "base/cancel.h"
#include "base/clock.h"
#include "base/json.h"
#include "study/crowd.h"
#include "study/loop.h"

#include <math.h>
#include <string.h>

static const struct {
    enum metric metric;
    enum metric_stat stat;
} shown[] = {
    {METRIC_LATENCY, STAT_P50},        {METRIC_LATENCY, STAT_P95},
    {METRIC_TTFT, STAT_P50},           {METRIC_TTFT, STAT_P95},
    {METRIC_TOKENS_PER_S, STAT_VALUE}, {METRIC_REQUESTS_PER_S, STAT_VALUE},
    {METRIC_ERROR_RATIO, STAT_VALUE},
};

struct show {
    struct study_loop *loop;
    const struct spec_study *study; /* the lane's */
    struct arena *arena;
    struct spec_candidate candidate;
    struct trial_request request; /* under way, with the study's own candidate, for who looks on */
    const char *folder;
    int64_t number;
    size_t copies[SPEC_SERVICES_MAX]; /* per service, that run */
    struct study_contention *result;
    struct err *err;
};

static void on_progress(void *context, const struct trial_progress *progress)
{
    const struct show *show = context;
    const struct study_observer *observer = &show->loop->options->observer;
    if (observer->progress)
        observer->progress(observer->context, &show->loop->view, &show->request, progress);
}

static bool run_trial(struct show *show, const struct spec_study *study, struct store_trial *ret)
{
    const struct trial_options options = {
        .study = study,
        .folder = show->folder,
        .devices = show->loop->devices,
        .corpora = show->loop->corpora,
        .progress = on_progress,
        .context = show,
    };
    const struct trial_request request = {
        .number = ++show->number,
        .purpose = "explore",
        .window_ns = study->measure.window_ns,
        .cold = true,
    };
    show->request = request;
    show->request.candidate = show->candidate;
    if (cancel_level() != CANCEL_NONE)
        return err_set(show->err, ERR_STOPPED, "stopped between windows");
    AUTO(trial_runner_free) struct trial_runner *runner = trial_runner_new(&options);
    if (!trial_run(runner, &request, show->arena, ret, show->err))
        return false;
    trial_finish(runner, NULL, show->arena, ret);
    if (strcmp(ret->verdict, verdict_facts(VERDICT_LEAK)->name) == 0)
        return err_set(show->err, ERR_STOPPED, "something that was started is still there: %s",
                       ret->summary);
    return true;
}

static double metric_of(const struct store_trial *trial, const char *service, size_t which,
                        struct contention_value *ret)
{
    *ret = (struct contention_value){NAN, NAN, NAN};
    for (size_t k = 0; k < trial->metric_count; k++) {
        const struct store_metric *m = &trial->metrics[k];
        if (strcmp(m->mode, "shared") == 0 && strcmp(m->service, service) == 0 &&
            strcmp(m->metric, metric_facts(shown[which].metric)->name) == 0 &&
            strcmp(m->stat, metric_stat_name(shown[which].stat)) == 0)
            *ret = (struct contention_value){m->value, isnan(m->low) ? m->value : m->low,
                                             isnan(m->high) ? m->value : m->high};
    }
    return ret->value;
}

static bool is_measured(const struct show *show, const struct store_trial *trial)
{
    struct contention_value value;
    for (size_t i = 0; i < show->study->service_count; i++)
        if (!isnan(metric_of(trial, show->study->services[i].name, 0, &value)))
            return true;
    return false;
}

/* ---- the crowd ---- */

/* Which copy failed: leaves it and those after it out. False: it was no copy. */
static bool leave_out(struct show *show, const struct spec_study *crowd, const size_t *origin,
                      const struct store_trial *trial)
{
    int at = trial->service ? spec_study_service(crowd, trial->service) : -1;
    if (at < (int)show->study->service_count)
        return false;
    size_t of = origin[at], before = 0;
    for (size_t k = show->study->service_count; k < (size_t)at; k++)
        before += origin[k] == of;
    show->copies[of] = before;
    show->result->services[of].copies = before;
    show->result->services[of].why_no_more =
        arena_printf(show->arena, "%s: %s: %s", trial->service, trial->verdict,
                     trial->summary ? trial->summary : "");
    return true;
}

static bool run_crowd(struct show *show, struct store_trial *ret)
{
    for (;;) {
        struct spec_study crowd;
        size_t origin[SPEC_SERVICES_MAX], sum = 0;
        for (size_t i = 0; i < show->study->service_count; i++)
            sum += show->copies[i];
        study_crowd_build(show->study, &show->candidate, show->copies, show->arena, &crowd, origin);
        /* The corpora are per service as well. */
        struct corpus *corpora = show->loop->corpora;
        struct corpus *each = arena_array(show->arena, SPEC_SERVICES_MAX, sizeof *each);
        for (size_t k = 0; k < crowd.service_count; k++)
            each[k] = corpora[origin[k]];
        show->loop->corpora = each;
        bool ran = run_trial(show, &crowd, ret);
        show->loop->corpora = corpora;
        if (!ran || sum == 0 || is_measured(show, ret) || !leave_out(show, &crowd, origin, ret))
            return ran;
    }
}

/* ---- what came out ---- */

static struct contention_value combine(const struct show *show, const struct store_trial *trials,
                                       bool crowded, const char *service, size_t which)
{
    struct contention_value sum = {0, NAN, NAN};
    int count = 0;
    for (size_t w = 0; w < CONTENTION_WINDOWS; w++) {
        struct contention_value v;
        if (show->result->windows[w].crowded != crowded ||
            isnan(metric_of(&trials[w], service, which, &v)))
            continue;
        sum.value += v.value;
        sum.low = fmin(sum.low, v.low);
        sum.high = fmax(sum.high, v.high);
        count++;
    }
    sum.value = count ? sum.value / count : NAN;
    return sum;
}

/* Unknown where the divisor is 0. */
static double divide(double a, double b)
{
    return b > 0 ? a / b : NAN;
}

static void fill_rows(struct show *show, const struct store_trial *trials)
{
    struct study_contention *result = show->result;
    size_t n = show->study->service_count;
    result->rows = arena_array(show->arena, n * ARRAY_LEN(shown), sizeof *result->rows);
    for (size_t i = 0; i < n; i++)
        for (size_t k = 0; k < ARRAY_LEN(shown); k++) {
            const char *service = show->study->services[i].name;
            struct contention_row row = {
                .service = service,
                .metric = metric_facts(shown[k].metric)->name,
                .stat = metric_stat_name(shown[k].stat),
                .unit = metric_facts(shown[k].metric)->unit,
                .alone = combine(show, trials, false, service, k),
                .crowded = combine(show, trials, true, service, k),
            };
            row.ratio = (struct contention_value){divide(row.crowded.value, row.alone.value),
                                                  divide(row.crowded.low, row.alone.high),
                                                  divide(row.crowded.high, row.alone.low)};
            if (!isnan(row.alone.value) || !isnan(row.crowded.value))
                result->rows[result->row_count++] = row;
        }
}

static json_t *value_json(const struct contention_value *v)
{
    return json_pack("{s:o, s:o, s:o}", "value", json_real_or_null(v->value), "low",
                     json_real_or_null(v->low), "high", json_real_or_null(v->high));
}

static json_t *to_json(const struct study_contention *c)
{
    json_t *windows = json_array(), *services = json_array(), *rows = json_array();
    for (size_t i = 0; i < CONTENTION_WINDOWS; i++)
        json_array_append_new(windows,
                              json_pack("{s:b, s:o, s:o}", "crowded", c->windows[i].crowded,
                                        "verdict", json_text_or_null(c->windows[i].verdict),
                                        "summary", json_text_or_null(c->windows[i].summary)));
    for (size_t i = 0; i < c->service_count; i++)
        json_array_append_new(services,
                              json_pack("{s:s, s:I, s:o}", "service", c->services[i].name, "copies",
                                        (json_int_t)c->services[i].copies, "why_no_more",
                                        json_text_or_null(c->services[i].why_no_more)));
    for (size_t i = 0; i < c->row_count; i++)
        json_array_append_new(rows,
                              json_pack("{s:s, s:s, s:s, s:o, s:o, s:o}", "service",
                                        c->rows[i].service, "metric", c->rows[i].metric, "stat",
                                        c->rows[i].stat, "alone", value_json(&c->rows[i].alone),
                                        "crowded", value_json(&c->rows[i].crowded), "ratio",
                                        value_json(&c->rows[i].ratio)));
    return json_pack("{s:o, s:s, s:I, s:f, s:o, s:o, s:o}", "candidate",
                     json_text_or_null(c->candidate), "device", c->device, "copies",
                     (json_int_t)c->copies, "window_s", c->window_s, "windows", windows, "services",
                     services, "metrics", rows);
}

/* ---- the whole ---- */

static bool choose_copies(const struct spec_study *study, size_t *copies, struct err *err)
{
    size_t room = SPEC_SERVICES_MAX / study->service_count - 1;
    if (*copies == 0)
        *copies = room < CONTENTION_COPIES ? room : CONTENTION_COPIES;
    if (*copies > 0 && *copies <= room)
        return true;
    return err_set(err, ERR_INPUT,
                   "%s: %zu copies of %zu services are too many: %d services are the most that can "
                   "be started, which leaves room for %zu copies of each",
                   study->path, *copies, study->service_count, SPEC_SERVICES_MAX, room);
}

static void fill_head(struct show *show, size_t copies)
{
    struct study_loop *loop = show->loop;
    AUTO(buf_done) struct buf text = BUF_INIT(65536);
    show->candidate = spec_candidate_decode(
        show->study, loop->plan.has_baseline ? loop->plan.baseline : loop->codes[0]);
    spec_candidate_add_text(&text, show->study, &show->candidate);
    *show->result = (struct study_contention){
        .candidate = arena_strdup(show->arena, buf_text(&text)),
        .device = show->study->device,
        .copies = copies,
        .window_s = (double)show->study->measure.window_ns / NS_PER_S,
        .services =
            arena_array(show->arena, show->study->service_count, sizeof(struct contention_service)),
        .service_count = show->study->service_count,
    };
    for (size_t i = 0; i < show->study->service_count; i++) {
        show->copies[i] = copies;
        show->result->services[i] =
            (struct contention_service){show->study->services[i].name, copies, NULL};
    }
}

/* Without numbers of the candidate alone there is nothing to compare with. */
static bool run_windows(struct show *show)
{
    struct store_trial *trials = arena_array(show->arena, CONTENTION_WINDOWS, sizeof *trials);
    const size_t nobody[SPEC_SERVICES_MAX] = {0};
    for (size_t w = 0; w < CONTENTION_WINDOWS; w++) {
        struct contention_window *window = &show->result->windows[w];
        struct spec_study alone;
        size_t origin[SPEC_SERVICES_MAX];
        window->crowded = w % 2 == 1;
        study_crowd_build(show->study, &show->candidate, nobody, show->arena, &alone, origin);
        if (window->crowded ? !run_crowd(show, &trials[w]) : !run_trial(show, &alone, &trials[w]))
            return false;
        window->verdict = trials[w].verdict;
        window->summary = trials[w].summary;
        window->measured = is_measured(show, &trials[w]);
        if (!window->crowded && !window->measured)
            return err_set(show->err, ERR_INFEASIBLE, "%s could not be measured even alone: %s: %s",
                           show->result->candidate, window->verdict,
                           window->summary ? window->summary : "");
    }
    fill_rows(show, trials);
    return true;
}

bool study_show_contention(const struct study_options *options, size_t copies, struct arena *arena,
                           struct study_contention *ret, struct err *err)
{
    struct study_loop state = {
        .options = options, .study = options->study, .arena = arena_new(), .best = BUF_INIT(65536)};
    AUTO(study_loop_done) struct study_loop *loop = &state;
    bool resumed = false;
    if (!choose_copies(options->study, &copies, err) || !study_loop_open(loop, &resumed, err))
        return false;
    if (loop->plan.code_count == 0)
        return err_set(err, ERR_INFEASIBLE, "%s: no candidate satisfies the constraints",
                       options->study->path);
    if (!study_loop_check_cards(loop, true, err))
        return false;
    AUTO(arena_free) struct arena *scratch = arena_new();
    study_loop_update_view(loop, STAGE_EXPLORE, scratch);
    struct study_contention result;
    struct show show = {
        .loop = loop,
        .study = &loop->lanes[0].study,
        .arena = arena,
        .folder = arena_printf(arena, "%s/contention", options->folder),
        .result = &result,
        .err = err,
    };
    fill_head(&show, copies);
    if (!run_windows(&show))
        return false;
    AUTO_JSON json_t *json = to_json(&result);
    AUTO(free) char *text = json_dump_text(json);
    *ret = result;
    return store_event_add(loop->store, clock_now_wall_us(), "contention", text, err);
}
