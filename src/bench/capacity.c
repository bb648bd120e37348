/* The search of a trial over bench windows. What differs is what is known: there is no process to
 * look at, so that a service which does not survive shows only by answering nothing, and memory is
 * unknown.
 *
 * After a level that was too much one request at a time is sent until its answer is quick again:
 * many servers go on computing for clients that have left, and the next level would pay for it. */
#include "bench/capacity.h"

#include "base/cancel.h"
#include "base/clock.h"
#include "base/json.h"
#include "bench/run.h"
#include "device/machine.h"
#include "report/capacity.h"
#include "report/grid.h"
#include "report/words.h"
#include "trial/capacity.h"
#include "trial/capacity_rest.h"
#include "trial/level.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

enum { WINDOWS_MAX = 60, STRETCH_MAX = 4 };
static const int64_t WITHIN_NS = 3600 * NS_PER_S, SETTLE_WITHIN_NS = 60 * NS_PER_S;
static const double SETTLED_RATIO = 2, LEAST_RATIO = 1.0 / 128, ERROR = 0.05;
static const double RATE_RESOLUTION = 0.05;

struct climb {
    const struct bench_setup *setup;
    const struct bench_capacity_options *options;
    struct level_bound bounds[LEVEL_BOUNDS_MAX];
    size_t bound_count;
    const struct bench_requirement *rest[LEVEL_BOUNDS_MAX]; /* what is judged at a window's end */
    size_t rest_count;
    struct finding_limits limits; /* what a good answer keeps */
    double best_rps, rps;
    double quickest_s; /* the smallest median of a level that met, or the first request's time */
    int windows, workers;
    uint64_t made; /* requests with words that were made up */
    bool stopped;
};

struct watch {
    struct level_check *check;
    bool begun;
    int64_t until_ns;
};

/* A variable of a requirement is its metric and its statistic (bench/require.h). */
static bool add_bound(struct climb *climb, const struct bench_requirement *requirement)
{
    size_t used = 0, at = 0;
    for (size_t id = 0; id < (size_t)METRIC_COUNT_ * STAT_COUNT_; id++)
        if (expr_uses(requirement->expr, id)) {
            at = id;
            used++;
        }
    const struct metric_ref ref = {.metric = (enum metric)(at / STAT_COUNT_),
                                   .stat = (enum metric_stat)(at % STAT_COUNT_)};
    return used == 1 &&
           level_bound_of(requirement->expr, at, ref, &climb->bounds[climb->bound_count]);
}

static bool split_requirements(struct climb *climb, struct err *err)
{
    const struct bench_capacity_options *o = climb->options;
    if (o->requirement_count == 0 || o->requirement_count > LEVEL_BOUNDS_MAX)
        return err_set(err, ERR_INPUT,
                       "--capacity needs --require, as in --require \"latency.p95 < 300ms\"");
    climb->limits = bench_require_limits(o->requirements, o->requirement_count);
    for (size_t i = 0; i < o->requirement_count; i++) {
        if (add_bound(climb, &o->requirements[i]))
            climb->bound_count++;
        else
            climb->rest[climb->rest_count++] = &o->requirements[i];
    }
    return true;
}

static enum metric metric_shown(const struct climb *climb)
{
    for (size_t b = 0; b < climb->bound_count; b++)
        if (climb->bounds[b].metric != METRIC_ERRORS && climb->bounds[b].metric != METRIC_RTF)
            return climb->bounds[b].metric;
    return METRIC_LATENCY;
}

static double patience_s(const struct climb *climb)
{
    double longest_s = 0;
    for (size_t b = 0; b < climb->bound_count; b++)
        if (climb->bounds[b].metric != METRIC_ERRORS && climb->bounds[b].metric != METRIC_RTF)
            longest_s = fmax(longest_s, climb->bounds[b].limit);
    return longest_s;
}

static bool on_result(void *context, const struct load_result *result,
                      const struct bench_results *so_far)
{
    struct watch *watch = context;
    if (so_far->report.window_start_ns == 0)
        return true;
    if (!watch->begun)
        level_check_begin(watch->check, so_far->report.window_start_ns);
    watch->begun = true;
    if (watch->until_ns != CLOCK_NEVER)
        return true; /* what still comes was cut short by us */
    level_check_add(watch->check, &result->record);
    int64_t now_ns = clock_now_ns();
    if (now_ns >= so_far->report.window_end_ns || now_ns < so_far->report.window_start_ns ||
        level_check_look(watch->check, now_ns) == STATS_OPEN)
        return true;
    watch->until_ns = now_ns;
    return false;
}

/* ---- requirements on means, gaps and the like ---- */

static struct expr_operand look_up_value(const void *context, size_t id)
{
    struct bench_results *results = *(struct bench_results *const *)context;
    enum metric metric = (enum metric)(id / STAT_COUNT_);
    enum metric_stat stat = (enum metric_stat)(id % STAT_COUNT_);
    double q = metric_stat_quantile(stat);
    double value = bench_series_of(results, metric) && !isnan(q)
                       ? bench_require_quantile(results, metric, q)
                       : bench_measure(results, metric, stat, BENCH_INTERVAL).value;
    if (isnan(value))
        return (struct expr_operand){.kind = EXPR_UNKNOWN};
    return (struct expr_operand){.kind = EXPR_NUMBER, .number = value};
}

/* A mean and a rate are exact of this window, and say nothing certain of the service. */
static bool is_estimate_without_bounds(const struct bench_requirement *requirement,
                                       struct bench_results *results)
{
    for (size_t id = 0; id < (size_t)METRIC_COUNT_ * STAT_COUNT_; id++) {
        enum metric metric = (enum metric)(id / STAT_COUNT_);
        enum metric_stat stat = (enum metric_stat)(id % STAT_COUNT_);
        if (expr_uses(requirement->expr, id) && !capacity_is_exact(metric, stat) &&
            bench_measure(results, metric, stat, BENCH_BOUNDS).exact)
            return true;
    }
    return false;
}

enum stats_level bench_capacity_judge(const struct bench_requirement *requirement,
                                      struct bench_results *results, struct arena *arena,
                                      bool *ret_longer_helps, const char **ret_why)
{
    /* As large as the window; the search's own arena holds what is kept of it. */
    AUTO(arena_free) struct arena *scratch = arena_new();
    const struct bench_judgement j = bench_require_judge(requirement, results, scratch);
    *ret_why = arena_printf(arena, "%s: %s", requirement->text, j.why);
    *ret_longer_helps = j.answer == BENCH_UNTOLD; /* it takes means and rates as they were seen */
    if (j.answer != BENCH_UNTOLD && !is_estimate_without_bounds(requirement, results))
        return j.answer == BENCH_MET ? LEVEL_MET : LEVEL_MISSED;
    return capacity_lean(expr_eval(requirement->expr, look_up_value, &results), false);
}

static enum stats_level judge_rest(struct climb *climb, struct bench_results *results,
                                   enum stats_level outcome, struct arena *arena,
                                   bool *ret_longer_helps, const char **ret_broke)
{
    bool longer_helps = outcome == LEVEL_LEANS_MET; /* a missed one is not asked here */
    bench_results_grade(results, &climb->limits);
    for (size_t i = 0; i < climb->rest_count; i++) {
        const char *why = NULL;
        bool helps = true;
        enum stats_level one = bench_capacity_judge(climb->rest[i], results, arena, &helps, &why);
        longer_helps = longer_helps || helps;
        if (one <= outcome)
            continue;
        outcome = one;
        if (outcome > LEVEL_LEANS_MET)
            *ret_broke = why;
    }
    *ret_longer_helps = longer_helps;
    return outcome;
}

/* Until one request is quick again, by the time that the levels are looked at by; false: it answers
 * nothing any more. The second of two is asked, which like those of a level has no connection to
 * make. */
static bool settle(const struct climb *climb, struct err *err)
{
    const enum metric metric = metric_shown(climb);
    int64_t until_ns = clock_now_ns() + SETTLE_WITHIN_NS;
    bool answered = false;
    while (clock_now_ns() < until_ns && cancel_level() == CANCEL_NONE) {
        struct load_record last;
        struct err failure = ERR_INIT;
        bool ok = bench_probe(climb->setup, 2, &last, &failure);
        answered = answered || ok;
        if (ok && !(level_value_of(metric, &last) > SETTLED_RATIO * climb->quickest_s))
            return true;
        if (!ok)
            *err = failure;
    }
    return answered || cancel_level() != CANCEL_NONE;
}

static struct level_plan level_plan_of(const struct climb *climb, const struct load_plan *plan)
{
    const struct load_stream *stream = &plan->streams[0];
    double window_s = (double)plan->window_ns / NS_PER_S;
    struct level_plan level = {
        .bounds = climb->bounds,
        .bound_count = climb->bound_count,
        .limits = &climb->limits,
        .metric = metric_shown(climb),
        .window_ns = plan->window_ns,
        .error = ERROR,
        .lateness_s = 0.001,
        .has_more = climb->rest_count > 0,
    };
    level_plan_turns(&level, plan);
    level.expected[0] = (stream->rate_rps > 0 ? stream->rate_rps : climb->rps) * window_s;
    return level;
}

static bool run_level(void *context, const struct stats_capacity_probe *probe, struct arena *arena,
                      enum stats_level *ret_outcome, bool *ret_longer_helps,
                      struct store_capacity_point *ret_point, struct err *err)
{
    struct climb *climb = context;
    struct load_plan *plan = arena_alloc(arena, sizeof *plan);
    const struct store_capacity shown = {.of = spec_capacity_of_name(climb->options->of)};
    AUTO(buf_done) struct buf level = BUF_INIT(64);
    *ret_outcome = LEVEL_DISTURBED;
    if (climb->stopped)
        return true;
    report_add_level(&level, &shown, probe->level);
    *plan = climb->setup->plan;
    plan->salt = arena_printf(arena, "capacity %s %d", buf_text(&level), climb->windows++);
    plan->window_ns *= probe->stretch;
    plan->workers = climb->workers;
    plan->streams[0].request_limit = 0;
    capacity_set_level(&plan->streams[0], climb->options->of, probe->level, patience_s(climb),
                       climb->best_rps);
    if (climb->options->tell)
        climb->options->tell(climb->options->context, buf_text(&level));
    const struct level_plan level_plan = level_plan_of(climb, plan);
    AUTO(level_check_free) struct level_check *check = level_check_new(&level_plan);
    struct watch watch = {.check = check, .until_ns = CLOCK_NEVER};
    const struct bench_hooks hooks = {.context = &watch, .result = on_result};
    AUTO(bench_results_free) struct bench_results *results = NULL;
    if (!bench_window(plan, &hooks, &results, err))
        return false;
    climb->stopped = results->end == BENCH_STOPPED;
    climb->made += results->made;
    *ret_outcome = level_check_close(check, watch.until_ns, &results->report, arena, ret_point);
    if (results->end == BENCH_BROKEN || climb->stopped)
        *ret_outcome = LEVEL_DISTURBED;
    if (results->end == BENCH_WHOLE && *ret_outcome <= LEVEL_LEANS_MET)
        *ret_outcome =
            judge_rest(climb, results, *ret_outcome, arena, ret_longer_helps, &ret_point->broke);
    int workers = climb->workers > 1 ? climb->workers : 1;
    if (!climb->setup->workers_fixed && 2 * workers <= device_machine_cores())
        *ret_outcome = capacity_add_workers(&climb->workers, *ret_outcome, ret_point, arena);
    climb->rps = (double)level_check_count(check, 0) / ret_point->window_s;
    climb->best_rps = fmax(climb->best_rps, ret_point->answered_rps);
    /* A queue of our own making is not what "quick" means. */
    if (*ret_outcome == LEVEL_MET || *ret_outcome == LEVEL_LEANS_MET)
        climb->quickest_s = fmin(climb->quickest_s, ret_point->p50);
    struct err failure = ERR_INIT;
    bool overloaded = *ret_outcome == LEVEL_MISSED || *ret_outcome == LEVEL_LEANS_MISSED;
    if (overloaded && !settle(climb, &failure)) {
        *ret_outcome = LEVEL_ENDED;
        ret_point->broke = arena_strdup(arena, failure.text);
    }
    return true;
}

static struct stats_capacity_limits limits_of(const struct bench_setup *setup,
                                              const struct bench_capacity_options *o)
{
    const struct load_stream *stream = &setup->plan.streams[0];
    bool whole = o->of == CAPACITY_OF_CONCURRENCY;
    double most = o->most > 0 ? o->most : whole ? 256 : 10000;
    double start =
        whole ? (stream->arrivals == ARRIVALS_CLOSED ? stream->concurrency : 1) : stream->rate_rps;
    start = fmin(start > 0 ? start : 1, most);
    return (struct stats_capacity_limits){.whole = whole,
                                          .start = start,
                                          .least = whole ? 1 : start * LEAST_RATIO,
                                          .most = most,
                                          .resolution_ratio = whole ? 0 : RATE_RESOLUTION,
                                          .stretch = STRETCH_MAX,
                                          .windows = WINDOWS_MAX};
}

bool bench_capacity_find(const struct bench_setup *setup,
                         const struct bench_capacity_options *options, struct arena *arena,
                         struct bench_capacity *ret, struct err *err)
{
    struct climb *climb = arena_alloc(arena, sizeof *climb);
    struct capacity_points points = {0};
    *climb = (struct climb){
        .setup = setup, .options = options, .rps = NAN, .workers = setup->plan.workers};
    if (!split_requirements(climb, err))
        return false;
    climb->quickest_s = level_value_of(metric_shown(climb), &options->first_request);
    const struct capacity_plan plan = {.limits = limits_of(setup, options),
                                       .within_ns = WITHIN_NS,
                                       .context = climb,
                                       .window = run_level};
    struct store_capacity found = {.service = setup->plan.streams[0].name,
                                   .of = spec_capacity_of_name(options->of),
                                   .metric = metric_facts(metric_shown(climb))->name,
                                   .memory_bytes = NAN};
    if (!capacity_find(&plan, 0, arena, &points, &found, err))
        return false;
    if (climb->stopped)
        found.end = stats_capacity_end_name(CAPACITY_OPEN);
    *ret = (struct bench_capacity){.found = found,
                                   .points = points.items,
                                   .point_count = points.count,
                                   .stopped = climb->stopped,
                                   .text_salt = setup->plan.text_salt,
                                   .made = climb->made};
    return true;
}

/* ---- shown ---- */

struct shown_time {
    double value, low, high;
};

/* "22.6 ms [21.4, 25.7]": the unit once where it is the same. */
static const char *time_text(const struct shown_time *time, bool with_interval, struct arena *arena)
{
    const double ends[] = {time->low, time->high};
    AUTO(buf_done) struct buf text = BUF_INIT(256);
    AUTO(buf_done) struct buf end = BUF_INIT(64);
    if (isnan(time->value))
        return "-";
    metric_add_value(&text, UNIT_SECONDS, time->value);
    const char *unit = strrchr(buf_text(&text), ' ');
    if (!with_interval || isnan(time->low) || isnan(time->high) || !unit)
        return arena_strdup(arena, buf_text(&text));
    unit = arena_strdup(arena, unit);
    const char *words[ARRAY_LEN(ends)];
    bool same = true;
    for (size_t i = 0; i < ARRAY_LEN(ends); i++) {
        buf_clear(&end);
        metric_add_value(&end, UNIT_SECONDS, ends[i]);
        words[i] = arena_strdup(arena, buf_text(&end));
        const char *its = strrchr(words[i], ' ');
        same = same && its && strcmp(its, unit) == 0;
    }
    int cut = same ? (int)strlen(unit) : 0;
    return arena_printf(arena, "%s [%.*s, %.*s]", buf_text(&text), (int)strlen(words[0]) - cut,
                        words[0], (int)strlen(words[1]) - cut, words[1]);
}

/* The last so many of the two times with their intervals. */
static void add_row(struct report_grid *grid, const struct bench_capacity *c,
                    const struct store_capacity_point *p, size_t intervals)
{
    AUTO(buf_done) struct buf text = BUF_INIT(8192);
    struct grid_row *row = report_grid_add(grid);
    const struct shown_time times[] = {{p->p50, p->p50_low, p->p50_high},
                                       {p->p95, p->p95_low, p->p95_high}};
    report_add_level(&text, &c->found, p->level);
    row->cells[0] = arena_strdup(grid->arena, buf_text(&text));
    row->cells[1] = p->outcome;
    for (size_t i = 0; i < ARRAY_LEN(times); i++)
        row->cells[2 + i] = time_text(&times[i], i + intervals >= ARRAY_LEN(times), grid->arena);
    buf_clear(&text);
    metric_add_value(&text, UNIT_PER_SECOND, p->good_rps);
    row->cells[4] = arena_strdup(grid->arena, buf_text(&text));
}

static struct report_grid make_grid(const struct bench_capacity *c, size_t intervals,
                                    struct arena *arena)
{
    struct report_grid grid = {.arena = arena, .column_count = 5, .right = {[0] = true}};
    struct grid_row *head = report_grid_add(&grid);
    const char *const titles[] = {"level", "", arena_printf(arena, "%s p50", c->found.metric),
                                  arena_printf(arena, "%s p95", c->found.metric), "good"};
    for (size_t i = 0; i < ARRAY_LEN(titles); i++)
        head->cells[i] = titles[i];
    for (size_t i = 0; i < c->point_count; i++)
        add_row(&grid, c, &c->points[i], intervals);
    return grid;
}

/* An interval less rather than a number that is cut. */
static void print_points(const struct bench_capacity *c, FILE *out, struct report_terminal terminal,
                         struct arena *arena)
{
    for (size_t intervals = 2;; intervals--) {
        const struct report_grid grid = make_grid(c, intervals, arena);
        if (intervals > 0 && report_grid_width(&grid) > report_terminal_width(terminal))
            continue;
        report_grid_print(&grid, out, terminal, 0);
        return;
    }
}

void bench_capacity_print(const struct bench_capacity *c, FILE *out,
                          struct report_terminal terminal)
{
    AUTO(arena_free) struct arena *arena = arena_new();
    AUTO(buf_done) struct buf text = BUF_INIT(8192);
    print_points(c, out, terminal, arena);
    buf_add(&text, "Capacity: ");
    report_add_capacity(&text, &c->found);
    if (c->found.broke) {
        buf_add(&text, " (");
        report_add_text(&text, TEXT_TERMINAL, c->found.broke);
        buf_addc(&text, ')');
    }
    fputc('\n', out);
    report_print_wrapped(out, terminal, buf_text(&text), 0, 2);
    if (c->made == 0)
        return;
    buf_clear(&text);
    bench_add_salt(&text, c->text_salt);
    report_print_wrapped(out, terminal, buf_text(&text), 0, 2);
}

json_t *bench_capacity_json(const struct bench_capacity *c)
{
    const struct report_capacity shown = {
        .found = &c->found, .points = c->points, .point_count = c->point_count};
    json_t *json = report_capacity_json(&shown);
    json_object_set_new(json, "text_salt", json_text_or_null(c->text_salt));
    return json;
}
