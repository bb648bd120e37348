/* One level of load against records of queues that are played here: slow requests count although
 * their answers come last, and what can't be told is not told. */
#include "trial/capacity.h"
#include "trial/level.h"

#include "level_play.h"

#include <math.h>

#include "base/auto.h"
#include "base/rng.h"

enum { SLOTS = 16 };
static const double SERVICE_S = 0.020;
static const struct level_bound no_errors = {.text = "llm.errors == 0", .metric = METRIC_ERRORS};

static size_t earliest(const double *free_at, size_t n)
{
    size_t best = 0;
    for (size_t i = 1; i < n; i++)
        best = free_at[i] < free_at[best] ? i : best;
    return best;
}

/* `level` clients who joined at the pace of the service, or a Poisson stream of that rate. */
static size_t simulate(double level, bool closed, uint64_t seed, double until_s,
                       struct load_record *records, size_t max)
{
    struct rng rng = rng_init(seed, "level");
    double free_at[SLOTS], ready[64], at = -0.5;
    size_t n = 0;
    for (size_t i = 0; i < ARRAY_LEN(free_at); i++)
        free_at[i] = -0.5;
    for (int c = 0; closed && c < (int)level; c++)
        ready[c] = -0.5 + c * SERVICE_S / SLOTS;
    for (; n < max; n++) {
        size_t client = closed ? earliest(ready, (size_t)level) : 0;
        at = closed ? ready[client] : at + rng_exponential(&rng, 1 / level);
        if (at >= until_s)
            break;
        size_t slot = earliest(free_at, SLOTS);
        double done = fmax(at, free_at[slot]) + SERVICE_S;
        free_at[slot] = done;
        if (closed)
            ready[client] = done;
        records[n] = record_of((uint32_t)n, at, done - at);
    }
    return n;
}

struct queue {
    bool closed;
    uint64_t seed;
    int windows, early;
};

static bool window(void *context, const struct stats_capacity_probe *probe, struct arena *arena,
                   enum stats_level *ret_outcome, bool *ret_longer_helps,
                   struct store_capacity_point *ret_point, struct err *err)
{
    (void)err;
    (void)ret_longer_helps;
    enum { MAX = 200000 };
    struct queue *queue = context;
    struct level_plan plan = plan_of(&p95_bound, 1);
    struct load_record *records = calloc(MAX, sizeof *records);
    assert_non_null(records);
    plan.window_ns *= probe->stretch;
    size_t count = simulate(probe->level, queue->closed, queue->seed++,
                            (double)plan.window_ns / NS_PER_S, records, MAX);
    AUTO(level_check_free) struct level_check *check = level_check_new(&plan);
    *ret_outcome = play(check, records, count, arena, ret_point);
    queue->windows++;
    queue->early += ret_point->early;
    free(records);
    return true;
}

/* 20 ms x c / 16 <= 26 ms: 20 clients. */
static void test_closed_loop(void **state)
{
    (void)state;
    AUTO(arena_free) struct arena *arena = arena_new();
    struct queue queue = {.closed = true, .seed = 1};
    const struct capacity_plan plan = {
        .limits = {.whole = true, .start = 1, .least = 1, .most = 64, .stretch = 4, .windows = 60},
        .within_ns = 3600 * NS_PER_S,
        .context = &queue,
        .window = window};
    struct capacity_points points = {0};
    struct store_capacity found = {0};
    struct err err = ERR_INIT;
    assert_true(capacity_find(&plan, 3, arena, &points, &found, &err));
    assert_string_equal(found.end, "found");
    assert_true(found.low == 20 && found.high == 21 && !found.unsure);
    assert_non_null(strstr(found.broke, "llm.latency.p95 < 26ms: "));
    assert_true(points.count == (size_t)queue.windows && queue.early > 0);
    for (size_t i = 0; i < points.count; i++) {
        const struct store_capacity_point *p = &points.items[i];
        assert_int_equal(p->search, 3);
        /* The knee: more than 16 clients get no more answers. */
        assert_true(p->early || fabs(p->answered_rps - fmin(p->level, 16) * 50) < 12);
        assert_true(isnan(p->p95) || p->p95 > 0.0199);
    }
}

/* What a queue of 200,000 requests says, within 10 %. */
static void test_poisson(void **state)
{
    (void)state;
    enum { MAX = 220000 };
    struct load_record *records = calloc(MAX, sizeof *records);
    assert_non_null(records);
    double truth = 500;
    for (double rate = 505; rate < 800; rate += 5, truth += 5) {
        size_t n = simulate(rate, false, 99, 200000 / rate, records, MAX), over = 0;
        for (size_t i = 0; i < n; i++)
            over += load_latency_s(&records[i]) >= 0.026;
        if ((double)over > 0.05 * (double)n)
            break;
    }
    free(records);
    for (uint64_t seed = 1; seed <= 10; seed++) {
        AUTO(arena_free) struct arena *arena = arena_new();
        struct queue queue = {.seed = 1000 * seed};
        const struct capacity_plan plan = {.limits = {.start = 50,
                                                      .least = 1,
                                                      .most = 10000,
                                                      .resolution_ratio = 0.05,
                                                      .stretch = 4,
                                                      .windows = 60},
                                           .within_ns = 3600 * NS_PER_S,
                                           .context = &queue,
                                           .window = window};
        struct capacity_points points = {0};
        struct store_capacity found = {0};
        struct err err = ERR_INIT;
        assert_true(capacity_find(&plan, 0, arena, &points, &found, &err));
        assert_string_equal(found.end, "found");
        assert_true(fabs(found.low / truth - 1) < 0.10);
        assert_true(!(found.low > 1.05 * truth) && !(found.high < truth / 1.05));
    }
}

/* Every third request hangs for a second; the others are quick, and come first. */
static void test_slow_ones_count(void **state)
{
    (void)state;
    AUTO(arena_free) struct arena *arena = arena_new();
    struct load_record records[600];
    struct store_capacity_point point;
    for (uint32_t i = 0; i < ARRAY_LEN(records); i++)
        records[i] = record_of(i, i * 0.002, i % 3 == 1 ? 1 : 0.01);
    const struct level_plan plan = plan_of(&p95_bound, 1);
    AUTO(level_check_free) struct level_check *check = level_check_new(&plan);
    assert_int_equal(play(check, records, ARRAY_LEN(records), arena, &point), LEVEL_MISSED);
    assert_true(point.early && point.window_s < 1); /* before the first of them has answered */
    assert_int_equal(point.failed, 0);
}

/* Two workers of two clients each, numbers n mod 2; the second one is slow to begin with and stays
 * behind. In a chain, a number leaves when what it follows has answered. expected: quick requests,
 * whenever they leave, are no miss; before: a hole in the numbers was taken for one that is over.
 */
static void test_numbers_out_of_order(void **state)
{
    (void)state;
    enum { COUNT = 400 };
    static const struct {
        const char *name;
        int turns;
        double behind_s, latency_s; /* of every second number */
        bool missed;
    } rows[] = {
        {"another worker is behind", 2, 0.3, 0.010, false},
        {"steps of a chain", 0, 0.3, 0.010, false},
        {"one worker, every second one hangs", 1, 0, 1, true},
        {"two workers, one of them slow", 2, 0, 0.1, true},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        AUTO(arena_free) struct arena *arena = arena_new();
        struct load_record records[COUNT];
        struct store_capacity_point point;
        for (uint32_t n = 0; n < COUNT; n++)
            records[n] = record_of(n, n * 0.004 + (n % 2 ? rows[i].behind_s : 0),
                                   n % 2 ? rows[i].latency_s : 0.010);
        struct level_plan plan = plan_of(&p95_bound, 1);
        plan.turns[0] = rows[i].turns;
        AUTO(level_check_free) struct level_check *check = level_check_new(&plan);
        enum stats_level outcome = play(check, records, COUNT, arena, &point);
        CHECK_ROW(i, rows[i].name, (outcome == LEVEL_MISSED) == rows[i].missed);
        CHECK_ROW(i, rows[i].name, point.early || !rows[i].missed);
        CHECK_ROW(i, rows[i].name, !level_check_missed(check, arena) == !rows[i].missed);
    }
}

/* The client of a worker hangs at half of the window: nothing of that worker comes after it, and
 * what was seen before it does not show that the level is met. */
static void test_held_up(void **state)
{
    (void)state;
    enum { COUNT = 400, HANGS = 121 };
    AUTO(arena_free) struct arena *arena = arena_new();
    struct load_record records[COUNT];
    size_t count = 0;
    for (uint32_t n = 0; n < COUNT; n++)
        if (n % 2 == 0 || n < HANGS)
            records[count++] = record_of(n, n * 0.004, 0.010);
    const struct level_bound none_over = {.text = "llm.latency.p90 < 26ms",
                                          .metric = METRIC_LATENCY,
                                          .limit = 0.026,
                                          .allowed = 0.10,
                                          .at_limit_is_over = true};
    struct level_plan plan = plan_of(&none_over, 1);
    struct store_capacity_point point;
    plan.turns[0] = 2;
    AUTO(level_check_free) struct level_check *check = level_check_new(&plan);
    play(check, records, count, arena, &point);
    assert_false(point.early);
}

static void test_turns(void **state)
{
    (void)state;
    AUTO(free) struct load_plan *load = calloc(1, sizeof *load);
    struct level_plan plan = {.bound_count = 0};
    assert_non_null(load);
    load->stream_count = 3;
    load->workers = 4;
    load->streams[0] = (struct load_stream){.arrivals = ARRIVALS_CLOSED, .concurrency = 3};
    load->streams[1] = (struct load_stream){.arrivals = ARRIVALS_AFTER, .after = 0};
    load->streams[2] = (struct load_stream){.arrivals = ARRIVALS_POISSON, .concurrency = 64};
    level_plan_turns(&plan, load);
    assert_int_equal(plan.turns[0], 3);
    assert_int_equal(plan.turns[1], 0);
    assert_true(plan.begun[0] == 0 && plan.begun[1] == 1 && plan.begun[2] == 0);
    assert_int_equal(plan.turns[2], 4);
}

static void test_errors(void **state)
{
    (void)state;
    AUTO(arena_free) struct arena *arena = arena_new();
    const struct level_bound bounds[] = {p95_bound, no_errors};
    static const struct {
        const char *name;
        int failing, late_ms,
            part_before; /* which request fails, below -1: is a reload; our own lateness */
        enum stats_level outcome;
        const char *broke;
    } rows[] = {
        {"all is well", -1, 0, 0, LEVEL_MET, NULL},
        {"one failed", 300, 0, 0, LEVEL_MISSED, "llm.errors == 0: 1 of 301 failed"},
        {"one failed in the warm-up", 20, 0, 40, LEVEL_MET, NULL},
        {"we were late", -1, 5, 0, LEVEL_OWN_LIMIT, NULL},
        {"late, and one failed", 300, 5, 0, LEVEL_OWN_LIMIT, NULL},
        /* expected: neither a request nor a failure; before: one over every limit */
        {"one loaded its model", -300, 0, 0, LEVEL_MET, NULL},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct load_record records[900];
        struct store_capacity_point point;
        for (uint32_t k = 0; k < ARRAY_LEN(records); k++) {
            records[k] = record_of(k, ((double)k - rows[i].part_before) * 0.002, 0.015);
            if (rows[i].failing != -1 && (int)k == abs(rows[i].failing))
                records[k].error = rows[i].failing < -1 ? LOAD_RELOAD : LOAD_CLOSED;
        }
        const struct level_plan plan = plan_of(bounds, ARRAY_LEN(bounds));
        AUTO(level_check_free) struct level_check *check = level_check_new(&plan);
        const struct load_report report = {.lateness_p99_s = rows[i].late_ms / 1e3};
        enum stats_level outcome =
            play_by(&report, check, records, ARRAY_LEN(records), arena, &point);
        CHECK_ROW_TEXT(i, rows[i].name, stats_level_name(outcome),
                       stats_level_name(rows[i].outcome));
        CHECK_ROW(i, rows[i].name, !point.broke == !rows[i].broke);
        if (rows[i].broke)
            CHECK_ROW_TEXT(i, rows[i].name, point.broke, rows[i].broke);
    }
}

static void test_too_few_to_tell(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        uint32_t count, slow; /* of the first ones */
        enum stats_level outcome;
    } rows[] = {
        {"none at all", 0, 0, LEVEL_LEANS_MISSED},
        {"seven good ones", 7, 0, LEVEL_LEANS_MET},
        {"one of seven slow", 7, 1, LEVEL_LEANS_MISSED},
        {"one of 30 slow", 30, 1, LEVEL_LEANS_MET},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        AUTO(arena_free) struct arena *arena = arena_new();
        struct load_record records[64];
        struct store_capacity_point point;
        for (uint32_t k = 0; k < rows[i].count; k++)
            records[k] = record_of(k, k * 0.06, k < rows[i].slow ? 0.03 : 0.01);
        const struct level_plan plan = plan_of(&p95_bound, 1);
        AUTO(level_check_free) struct level_check *check = level_check_new(&plan);
        enum stats_level outcome = play(check, records, rows[i].count, arena, &point);
        CHECK_ROW_TEXT(i, rows[i].name, stats_level_name(outcome),
                       stats_level_name(rows[i].outcome));
        CHECK_ROW(i, rows[i].name, isnan(point.p95) == (rows[i].count < 20));
    }
}

static void test_nothing_was_counted(void **state)
{
    (void)state;
    AUTO(arena_free) struct arena *arena = arena_new();
    struct load_record none = {0};
    struct store_capacity_point point;
    const struct level_plan plan = plan_of(&no_errors, 1);
    AUTO(level_check_free) struct level_check *check = level_check_new(&plan);
    assert_int_equal(play(check, &none, 0, arena, &point), LEVEL_LEANS_MISSED);
    assert_string_equal(point.broke, "llm.errors == 0: no request of it was counted");
}

/* The first content, request by request: thinking that is quick keeps no promise about it. */
static void test_content(void **state)
{
    (void)state;
    static const struct level_bound bound = {.text = "llm.content.p90 < 50ms",
                                             .metric = METRIC_CONTENT,
                                             .limit = 0.05,
                                             .allowed = 0.1,
                                             .at_limit_is_over = true};
    static const struct {
        const char *name;
        double content_s, late_s; /* of most, of each `every`-th; NaN: thinking alone */
        int every;
        enum stats_level outcome;
        const char *broke;
    } rows[] = {
        {"all at once", 0.02, 0.02, 1, LEVEL_MET, NULL},
        {"one in fifty thinks long", 0.02, 0.15, 50, LEVEL_MET, NULL},
        {"half think long", 0.02, 0.15, 2, LEVEL_MISSED, "llm.content.p90 < 50ms: "},
        {"half only think", 0.02, NAN, 2, LEVEL_MISSED, "llm.content.p90 < 50ms: "},
    };
    enum { N = 1000 };
    struct load_record *records = calloc(N, sizeof *records);
    assert_non_null(records);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        AUTO(arena_free) struct arena *arena = arena_new();
        struct level_plan plan = plan_of(&bound, 1);
        plan.metric = METRIC_CONTENT;
        AUTO(level_check_free) struct level_check *check = level_check_new(&plan);
        struct store_capacity_point point;
        for (int k = 0; k < N; k++) {
            const double s = k % rows[i].every ? rows[i].content_s : rows[i].late_s;
            struct load_record *r = &records[k];
            *r = record_of((uint32_t)k, 0.002 * k, 0.2);
            r->first_token_ns = r->intended_ns + 5 * NS_PER_MS;
            r->first_content_ns = isnan(s) ? -1 : r->intended_ns + (int64_t)(s * NS_PER_S);
        }
        CHECK_ROW_TEXT(i, rows[i].name, stats_level_name(play(check, records, N, arena, &point)),
                       stats_level_name(rows[i].outcome));
        CHECK_ROW(i, rows[i].name, !point.broke == !rows[i].broke);
        CHECK_ROW(i, rows[i].name, !rows[i].broke || strstr(point.broke, rows[i].broke));
        if (rows[i].outcome == LEVEL_MET) /* the point tells of it too, and not of the latency */
            CHECK_ROW(i, rows[i].name, fabs(point.p50 - 0.02) < 1e-9);
    }
    free(records);
}

static enum expr_name resolve(void *context, const char *name, size_t *ret_id, struct err *err)
{
    (void)context, (void)name, (void)err;
    *ret_id = 5;
    return EXPR_NAME_VARIABLE;
}

static void test_bounds(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        enum metric metric;
        enum metric_stat stat;
        bool is;
        double limit, allowed;
    } rows[] = {
        {"m < 0.3", METRIC_LATENCY, STAT_P95, true, 0.3, 0.05},
        {"m <= 0.3", METRIC_TTFT, STAT_P50, true, 0.3, 0.5},
        {"m < 0.2", METRIC_CONTENT, STAT_P90, true, 0.2, 0.1},
        {"m < 2", METRIC_TURN, STAT_P95, true, 2, 0.05},
        {"m < 1", METRIC_RTF, STAT_MAX, true, 1, 0},
        {"m == 0", METRIC_ERRORS, STAT_VALUE, true, NAN, 0},
        {"m < 1", METRIC_ERRORS, STAT_VALUE, true, NAN, 0},
        {"m <= 0.02", METRIC_ERROR_RATIO, STAT_VALUE, true, NAN, 0.02},
        {"m < 5", METRIC_ERRORS, STAT_VALUE, false, 0, 0},
        {"m > 0.3", METRIC_LATENCY, STAT_P95, false, 0, 0},
        {"m < 0.3", METRIC_LATENCY, STAT_MEAN, false, 0, 0},
        {"m < 0.3", METRIC_ITL, STAT_P95, false, 0, 0},
        {"2 * m < 0.3", METRIC_LATENCY, STAT_P95, false, 0, 0},
        {"m < 2 * m", METRIC_LATENCY, STAT_P95, false, 0, 0},
        {"0.3 > m", METRIC_LATENCY, STAT_P95, false, 0, 0},
        {"m < 0.3 or m < 1", METRIC_LATENCY, STAT_P95, false, 0, 0},
        {"m < 0", METRIC_LATENCY, STAT_P95, false, 0, 0},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        AUTO(arena_free) struct arena *arena = arena_new();
        const struct expr_names names = {.resolve = resolve};
        const struct metric_ref ref = {.metric = rows[i].metric, .stat = rows[i].stat};
        struct expr *expr = NULL;
        struct level_bound bound;
        struct err err = ERR_INIT;
        CHECK_ROW(i, rows[i].text, expr_parse(arena, rows[i].text, &names, &expr, &err));
        CHECK_ROW(i, rows[i].text, level_bound_of(expr, 5, ref, &bound) == rows[i].is);
        if (!rows[i].is)
            continue;
        CHECK_ROW(i, rows[i].text,
                  isnan(rows[i].limit) ? isnan(bound.limit) : bound.limit == rows[i].limit);
        CHECK_ROW(i, rows[i].text, fabs(bound.allowed - rows[i].allowed) < 1e-12);
    }
}

/* Late twice: by two, then by four workers; after that it is a limit of ours. */
static void test_workers_are_added(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        int before, after;
        enum stats_level outcome, told;
    } rows[] = {
        {"one was late", 0, 2, LEVEL_OWN_LIMIT, LEVEL_DISTURBED},
        {"two were", 2, 4, LEVEL_OWN_LIMIT, LEVEL_DISTURBED},
        {"four are all", 4, 4, LEVEL_OWN_LIMIT, LEVEL_OWN_LIMIT},
        {"nobody was", 0, 0, LEVEL_MISSED, LEVEL_MISSED},
    };
    AUTO(arena_free) struct arena *arena = arena_new();
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct store_capacity_point point = {.broke = NULL};
        int workers = rows[i].before;
        enum stats_level told = capacity_add_workers(&workers, rows[i].outcome, &point, arena);
        CHECK_ROW_TEXT(i, rows[i].name, stats_level_name(told), stats_level_name(rows[i].told));
        CHECK_ROW(i, rows[i].name, workers == rows[i].after);
        CHECK_ROW(i, rows[i].name, !point.broke == (told != LEVEL_DISTURBED));
    }
}

struct disturbance {
    int windows, spoilt; /* so many of them, from the third on */
};

static bool disturbed_window(void *context, const struct stats_capacity_probe *probe,
                             struct arena *arena, enum stats_level *ret_outcome,
                             bool *ret_longer_helps, struct store_capacity_point *ret_point,
                             struct err *err)
{
    (void)ret_longer_helps;
    (void)err, (void)arena;
    struct disturbance *d = context;
    d->windows++;
    *ret_outcome = probe->level > 2 ? LEVEL_MISSED : LEVEL_MET;
    *ret_point = (struct store_capacity_point){.broke = probe->level > 2 ? "too slow" : NULL};
    if (d->windows > 2 && d->windows <= 2 + d->spoilt) {
        *ret_outcome = LEVEL_DISTURBED;
        ret_point->broke = "others used 80 % of the cores";
    }
    return true;
}

/* A level that somebody disturbed is looked at again; one that is disturbed always ends the search,
 * which then says by what. */
static void test_disturbed_levels(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        int spoilt;
        const char *end, *broke;
    } rows[] = {
        {"not at all", 0, "found", "too slow"},
        {"once", 1, "found", "too slow"},
        {"always", 99, "disturbed", "others used 80 % of the cores"},
    };
    AUTO(arena_free) struct arena *arena = arena_new();
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct disturbance d = {.spoilt = rows[i].spoilt};
        const struct capacity_plan plan = {
            .limits =
                {.whole = true, .start = 1, .least = 1, .most = 64, .stretch = 4, .windows = 60},
            .within_ns = 3600 * NS_PER_S,
            .context = &d,
            .window = disturbed_window};
        struct capacity_points points = {0};
        struct store_capacity found = {0};
        struct err err = ERR_INIT;
        assert_true(capacity_find(&plan, 0, arena, &points, &found, &err));
        CHECK_ROW_TEXT(i, rows[i].name, found.end, rows[i].end);
        CHECK_ROW_TEXT(i, rows[i].name, found.broke, rows[i].broke);
        CHECK_ROW(i, rows[i].name, found.low == 2);
    }
}

/* Ten sessions that take turns, one of them slow: its requests are spread over the whole window, so
 * that neighbours are not alike, but they are one voice of ten. Before: "met", as if each request
 * were somebody's own. */
static void test_sessions(void **state)
{
    (void)state;
    AUTO(arena_free) struct arena *arena = arena_new();
    enum { COUNT = 400, SESSIONS = 10 };
    for (int alike = 0; alike < 2; alike++) {
        struct level_bound bound = p95_bound;
        struct level_plan plan = plan_of(&bound, 1);
        struct load_record records[COUNT];
        struct store_capacity_point point;
        bound.allowed = 0.25;
        for (uint32_t i = 0; i < COUNT; i++) {
            /* Each round in another order. */
            uint32_t session = (i * 7 + i / SESSIONS * 3) % SESSIONS;
            records[i] =
                record_of(i, i * 2.0 / COUNT, session == 4 || session == 5 ? 0.030 : 0.010);
            records[i].session = alike ? session : i;
        }
        AUTO(level_check_free) struct level_check *check = level_check_new(&plan);
        enum stats_level outcome = play(check, records, COUNT, arena, &point);
        assert_int_equal(outcome, alike ? LEVEL_LEANS_MET : LEVEL_MET);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_nothing_was_counted),
        cmocka_unit_test(test_closed_loop),
        cmocka_unit_test(test_sessions),
        cmocka_unit_test(test_poisson),
        cmocka_unit_test(test_slow_ones_count),
        cmocka_unit_test(test_errors),
        cmocka_unit_test(test_too_few_to_tell),
        cmocka_unit_test(test_content),
        cmocka_unit_test(test_bounds),
        cmocka_unit_test(test_numbers_out_of_order),
        cmocka_unit_test(test_held_up),
        cmocka_unit_test(test_turns),
        cmocka_unit_test(test_workers_are_added),
        cmocka_unit_test(test_disturbed_levels),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
