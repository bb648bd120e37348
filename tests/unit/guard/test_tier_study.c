/* What trials say of a tier. */
#include "guard/tier_study.h"

#include "check.h"

#include <math.h>

#include "base/clock.h"
#include "held.h"
#include "store/read.h"
#include "study/study.h"

#define GIB 1073741824.0

static struct spec_service service = {
    .name = "stt", .load = {.given = true, .arrivals = ARRIVALS_POISSON, .rate_rps = 0.5}};

static void test_curve(void **state)
{
    (void)state;
    struct spec_study study = {.services = &service, .service_count = 1};
    const struct store_capacity searches[] = {
        {.service = "stt", .of = "rate", .metric = "latency", .memory_bytes = 3 * GIB},
        {.service = "stt", .of = "concurrency", .metric = "latency", .memory_bytes = NAN},
        {.service = "llm", .of = "rate", .metric = "latency", .memory_bytes = 50 * GIB},
        {.service = "stt", .of = "rate", .metric = "ttft", .memory_bytes = NAN},
    };
    const struct store_capacity_point points[] = {
        {0, 1, "met", .p50 = 0.3, .p95 = 0.5, .answered_rps = 1},
        {0, 2, "met", .p50 = 0.4, .p95 = 0.9, .answered_rps = 2},
        {0, 4, "missed", .p50 = 3, .p95 = 7, .answered_rps = 2.5},
        {0, 3, "disturbed", .p50 = 30, .p95 = 70, .answered_rps = 0.1},
        {0, 2, "leans met", .p50 = 0.5, .p95 = 1.1, .answered_rps = 2},
        {1, 1, "met", .p50 = 0.2, .p95 = 0.4, .answered_rps = 2.9},
        {2, 9, "met", .p50 = 0.1, .p95 = 0.1, .answered_rps = 9},
        {3, 9, "met", .p50 = 0.1, .p95 = 0.1, .answered_rps = 9},
        {9, 9, "met", .p50 = 0.1, .p95 = 0.1, .answered_rps = 9},
        /* Expected: its throughput and no latency; before: 0.6 s at 8/s, as quick as at 1/s. */
        {0, 8, "missed", .p50 = 0.35, .p95 = 0.6, .answered_rps = 3, .early = true},
    };
    const struct store_metric metrics[] = {
        {"stt", "shared", "latency", "p95", .value = 0.42, .count = 100},
        {"stt", "shared", "latency", "p99", .value = 0.6, .count = 100},
        {"stt", "alone", "latency", "p95", .value = 0.1},
        {"stt", "shared", "requests_per_s", "", .value = 0.5},
    };
    const struct store_service services[] = {{.name = "stt", .peak_memory_bytes = 2 * GIB}};
    const struct store_trial trial = {.capacities = searches,
                                      .capacity_count = 4,
                                      .capacity_points = points,
                                      .capacity_point_count = 10,
                                      .metrics = metrics,
                                      .metric_count = 4,
                                      .services = services,
                                      .service_count = 1};
    struct tier_study tier = {.curve.most_rps = NAN, .peak_bytes = NAN};
    tier_study_add(&tier, &study, &trial, 0, 0.95);
    assert_true(tier.peak_bytes == 3 * GIB);
    assert_true(tier.curve.most_rps == 3);
    /* One client is a rate of 3 x 0.05; the window's own rate; the search's levels, the worse of
     * two looks. */
    static const struct policy_point expected[] = {
        {0.15, 0.4}, {0.5, 0.42}, {1, 0.5}, {2, 1.1}, {4, 7}};
    assert_int_equal(tier.curve.count, 5);
    for (size_t i = 0; i < 5; i++) {
        CHECK_ROW(i, "rate", fabs(tier.curve.points[i].rate_rps - expected[i].rate_rps) < 1e-9);
        CHECK_ROW(i, "latency", tier.curve.points[i].latency_s == expected[i].latency_s);
    }
    /* A p99 is nothing that the searches have. */
    struct tier_study far = {.curve.most_rps = NAN, .peak_bytes = NAN};
    tier_study_add(&far, &study, &trial, 0, 0.99);
    assert_int_equal(far.curve.count, 1);
    assert_true(far.curve.points[0].latency_s == 0.6);
}

/* A trial whose window was left since it was certainly missed. Expected: how many it answered, and
 * no latency; before: 0.12 s at 0.5/s, those of the quick answers, and the tier was gone up to. */
static void test_left_early(void **state)
{
    (void)state;
    struct spec_study study = {.services = &service, .service_count = 1};
    const struct store_metric metrics[] = {
        {"stt", "shared", "latency", "p95", .value = 0.12, .count = 20},
        {"stt", "shared", "requests_per_s", "", .value = 0.4}};
    const struct store_evidence evidence[] = {
        {.kind = "start race", .text = "stt"},
        {.kind = "early", .text = "left after 3.0 s of 20 s: certainly missed: ..."}};
    struct store_trial trial = {.metrics = metrics, .metric_count = 2, .evidence = evidence};
    for (size_t known = 1; known <= 2; known++) {
        struct tier_study tier = {.curve.most_rps = NAN, .peak_bytes = NAN};
        trial.evidence_count = known;
        tier_study_add(&tier, &study, &trial, 0, 0.95);
        assert_int_equal(tier.curve.count, known == 1);
        /* Expected: unknown. Before: 0.4, which is what was sent, and the next request behind one
         * was thought to take five seconds. */
        assert_true(known == 1 ? isnan(tier.curve.most_rps) : tier.curve.most_rps == 0.4);
    }
}

/* Clients that wait for their answers send as fast as it answers. */
static void test_closed_loop(void **state)
{
    (void)state;
    struct spec_service clients = {
        .name = "stt", .load = {.given = true, .arrivals = ARRIVALS_CLOSED, .concurrency = 2}};
    struct spec_study study = {.services = &clients, .service_count = 1};
    const struct store_metric metrics[] = {{"stt", "shared", "requests_per_s", "", .value = 0.4}};
    const struct store_trial trial = {.metrics = metrics, .metric_count = 1};
    struct tier_study tier = tier_study_new();
    tier_study_add(&tier, &study, &trial, 0, 0.95);
    assert_true(tier.curve.most_rps == 0.4);
    assert_int_equal(tier.curve.count, 0);
}

/* Expected: a p95 of 19 requests is no point, and the p99 of 100 stands in for it. Before: 0.3 s.
 */
static void test_too_few(void **state)
{
    (void)state;
    struct spec_study study = {.services = &service, .service_count = 1};
    static const struct {
        int64_t p95, p99;
        double latency;
    } rows[] = {{20, 0, 0.3}, {19, 0, NAN}, {19, 99, NAN}, {19, 100, 0.5}, {-1, -1, NAN}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        const struct store_metric metrics[] = {
            {"stt", "shared", "latency", "p95", .value = 0.3, .count = rows[i].p95},
            {"stt", "shared", "latency", "p99", .value = 0.5, .count = rows[i].p99}};
        const struct store_trial trial = {.metrics = metrics, .metric_count = 2};
        struct tier_study tier = {.curve.most_rps = NAN, .peak_bytes = NAN};
        tier_study_add(&tier, &study, &trial, 0, 0.95);
        CHECK_ROW(i, "points", tier.curve.count == (isnan(rows[i].latency) ? 0 : 1));
        CHECK_ROW(i, "latency",
                  tier.curve.count == 0 || tier.curve.points[0].latency_s == rows[i].latency);
    }
}

/* ---- which trials are a tier's ---- */

static struct spec_value models[] = {{.label = "base"}, {.label = "tiny"}};
static struct spec_value threads[] = {{.label = "1"}, {.label = "2"}};
static struct spec_value shares[] = {{.label = "0.5"}, {.label = "0.8"}};
static struct spec_knob knobs[] = {
    {.name = "model", .full_name = "stt.model", .service = 0, .values = models, .value_count = 2},
    {.name = "threads",
     .full_name = "stt.threads",
     .service = 0,
     .values = threads,
     .value_count = 2},
    {.name = "share", .full_name = "llm.share", .service = 1, .values = shares, .value_count = 2}};
static struct spec_service both[] = {
    {.name = "stt",
     .device_knob = -1,
     .load = {.given = true, .arrivals = ARRIVALS_POISSON, .rate_rps = 0.5}},
    {.name = "llm", .device_knob = -1}};

#define THE(model, threads, share) "stt.model=" model " stt.threads=" threads " llm.share=" share

static const struct {
    const char *name;
    struct {
        const char *candidate, *verdict;
    } trials[3];
    size_t counted, elsewhere;
    double latency, peak_gib; /* NaN unknown */
    const char *words;
} beside[] = {
    {"beside it", {{THE("tiny", "2", "0.8"), "ok"}}, 1, 0, 0.1, 1, "measured in 1 trials"},
    {"the slower of two",
     {{THE("tiny", "2", "0.8"), "ok"}, {THE("tiny", "2", "0.8"), "slow"}},
     2,
     0,
     0.2,
     2,
     "measured in 2 trials"},
    {"others with another share are not counted",
     {{THE("tiny", "2", "0.8"), "ok"}, {THE("tiny", "2", "0.5"), "ok"}},
     1,
     1,
     0.1,
     1,
     "measured in 1 trials"},
    {"only beside another share",
     {{THE("tiny", "2", "0.5"), "ok"}, {THE("tiny", "2", "0.5"), "ok"}},
     0,
     2,
     NAN,
     2,
     "not measured beside what runs now (2 trials have its settings beside others, and its peak of "
     "memory is theirs)"},
    {"as the study began",
     {{THE("tiny", "1", "0.5"), "ok"}},
     0,
     0,
     NAN,
     NAN,
     "not measured; its memory is unknown, so it is never started (set `memory:`)"},
    {"its own other knobs", {{THE("tiny", "1", "0.8"), "ok"}}, 0, 0, NAN, NAN, "not measured; "},
    {"another tier", {{THE("base", "2", "0.8"), "ok"}}, 0, 0, NAN, NAN, "not measured; "},
    {"not to the end", {{THE("tiny", "2", "0.8"), "contended"}}, 0, 0, NAN, NAN, "not measured"},
};

/* What was promoted is base with 2 threads beside a language model with 0.8 of the card; the study
 * began with 1 and 0.5. Expected: a tier's curve and peak are those beside that; where there are
 * none, the curve is unknown, and the peak is the file's, else the most that was seen beside
 * others. Before: the peak was unknown as well, so that a promotion took away the last resort. */
static void test_beside_what_runs(void **state)
{
    (void)state;
    struct spec_study study = {
        .services = both, .service_count = 2, .knobs = knobs, .knob_count = 3};
    struct spec_setting value = {.name = "model", .text = "tiny"};
    const struct spec_tier tiny = {.name = "tiny", .values = &value, .value_count = 1};
    struct spec_candidate running;
    assert_true(spec_candidate_parse(&study, THE("base", "2", "0.8"), &running, NULL));
    for (size_t i = 0; i < sizeof beside / sizeof *beside; i++) {
        struct store_metric metrics[3];
        struct store_service seen[3];
        struct store_trial trials[3] = {{0}};
        size_t count = 0;
        for (; count < 3 && beside[i].trials[count].candidate; count++) {
            metrics[count] = (struct store_metric){
                "stt",       "shared", "latency", "p95", .value = 0.1 * (double)(count + 1),
                .count = 100};
            seen[count] = (struct store_service){.name = "stt",
                                                 .peak_memory_bytes = (double)(count + 1) * GIB};
            trials[count] = (struct store_trial){.candidate = beside[i].trials[count].candidate,
                                                 .verdict = beside[i].trials[count].verdict,
                                                 .metrics = &metrics[count],
                                                 .metric_count = 1,
                                                 .services = &seen[count],
                                                 .service_count = 1};
        }
        struct tier_study tier = tier_study_new();
        tier.candidate = tier_study_candidate(&study, &tiny, 0, &running);
        tier_study_take(&tier, &study, 0, trials, count, 0.95);
        CHECK_ROW(i, beside[i].name, tier.trials == beside[i].counted);
        CHECK_ROW(i, beside[i].name, tier.elsewhere == beside[i].elsewhere);
        const bool known = !isnan(beside[i].latency);
        CHECK_ROW(i, beside[i].name, tier.curve.count == (known ? 1 : 0));
        CHECK_ROW(i, beside[i].name, !known || tier.curve.points[0].latency_s == beside[i].latency);
        const double peak_bytes = tier_study_peak_bytes(&tier, NAN);
        CHECK_ROW(i, beside[i].name,
                  isnan(beside[i].peak_gib) ? isnan(peak_bytes)
                                            : peak_bytes == beside[i].peak_gib * GIB);
        CHECK_ROW(i, beside[i].name,
                  tier_study_peak_bytes(&tier, 5 * GIB) == (known ? peak_bytes : 5 * GIB));
        struct policy_tier policy = {.name = "tiny", .managed = true, .curve = tier.curve};
        policy.peak_bytes = peak_bytes;
        AUTO(buf_done) struct buf words = BUF_INIT(1024);
        tier_study_add_words(&tier, &policy, 0.95, "", &words);
        CHECK_ROW(i, buf_text(&words), strstr(buf_text(&words), beside[i].words));
    }
    /* Nor is one that is to run always the last resort then. */
    const struct tier_study none = tier_study_new();
    const struct policy_tier resident = {
        .name = "tiny", .managed = true, .resident = true, .peak_bytes = NAN};
    AUTO(buf_done) struct buf words = BUF_INIT(1024);
    tier_study_add_words(&none, &resident, 0.95, "", &words);
    assert_non_null(strstr(buf_text(&words), "its memory is unknown, so guard does not start it "
                                             "where no tier is usable (set `memory:`)"));
}

/* Nothing was ever measured: said, with why. Requests are made by what runs. */
static void test_no_results(void **state)
{
    (void)state;
    static struct tier_study tiers[SPEC_FRONTS_MAX][SPEC_TIERS_MAX];
    struct spec_setting value = {.name = "model", .text = "tiny"};
    struct spec_tier two[] = {{.name = "base"},
                              {.name = "tiny", .values = &value, .value_count = 1}};
    struct spec_front front = {.tiers = two, .tier_count = 2, .quantile = 0.95, .limit_s = 1};
    struct spec_guard guard = {.fronts = &front, .front_count = 1};
    struct spec_study study = {
        .services = both, .service_count = 2, .knobs = knobs, .knob_count = 3, .guard = &guard};
    struct spec_candidate running;
    char note[200];
    assert_true(spec_candidate_parse(&study, THE("base", "2", "0.8"), &running, NULL));
    assert_true(tier_study_read(&study, NULL, &running, tiers, note, sizeof note));
    assert_string_equal(note, "no measurements: no results");
    for (size_t t = 0; t < 2; t++) {
        assert_true(isnan(tiers[0][t].peak_bytes) && isnan(tiers[0][t].curve.most_rps));
        assert_int_equal(tiers[0][t].curve.count, 0);
        assert_int_equal(tiers[0][t].candidate.index[0], t);
        assert_true(tiers[0][t].candidate.index[1] == 1 && tiers[0][t].candidate.index[2] == 1);
    }
}

/* Expected: that somebody writes to the results is another thing than that there are none. */
static void test_held_results(void **state)
{
    (void)state;
    static struct tier_study tiers[SPEC_FRONTS_MAX][SPEC_TIERS_MAX];
    struct spec_tier two[] = {{.name = "base"}, {.name = "tiny"}};
    struct spec_front front = {.tiers = two, .tier_count = 2, .quantile = 0.95, .limit_s = 1};
    struct spec_guard guard = {.fronts = &front, .front_count = 1};
    struct spec_study study = {
        .services = both, .service_count = 2, .knobs = knobs, .knob_count = 3, .guard = &guard};
    struct spec_candidate running;
    struct store *store = NULL;
    struct err err = ERR_INIT;
    char note[200], *folder = check_make_folder();
    AUTO(free) char *path = study_store_path(folder);
    assert_true(spec_candidate_parse(&study, THE("base", "2", "0.8"), &running, NULL));
    assert_true(store_open(path, STORE_CREATE, &store, &err));
    store_close(store);
    sqlite3 *holder = check_hold_database(path);
    assert_false(tier_study_read(&study, folder, &running, tiers, note, sizeof note));
    assert_non_null(strstr(note, "no measurements: "));
    assert_int_equal(tiers[0][1].candidate.index[1], 1);
    sqlite3_close(holder);
    assert_true(tier_study_read(&study, folder, &running, tiers, note, sizeof note));
    assert_string_equal(note, "");
    check_remove_folder(folder);
}

static void test_forecast(void **state)
{
    (void)state;
    struct policy_curve curve = {.most_rps = NAN};
    struct policy_learned learned = {.count = 0};
    const int64_t now_ns = 7200 * NS_PER_S;
    assert_true(isnan(policy_forecast(&curve, &learned, 1, now_ns).latency_s));
    policy_curve_add(&curve, 4, 2);
    policy_curve_add(&curve, 1, 0.5);
    policy_curve_add(&curve, 2, 0.4); /* no faster at more: lifted */
    static const struct {
        double rate, latency, least;
    } rows[] = {{0, 0.5, 0},    {1, 0.5, 0}, {1.5, 0.5, 0.5},
                {3, 1.25, 0.5}, {4, 2, 0.5}, {5, NAN, 2}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct policy_forecast f = policy_forecast(&curve, &learned, rows[i].rate, now_ns);
        CHECK_ROW(i, "latency",
                  isnan(rows[i].latency) ? isnan(f.latency_s)
                                         : fabs(f.latency_s - rows[i].latency) < 1e-9);
        CHECK_ROW(i, "least", f.least_s == rows[i].least);
    }
    /* Seen live, slower: believed for ten minutes, at its rate and above. */
    policy_learned_add(&learned, 1, 1.2, 3, now_ns);
    assert_true(policy_forecast(&curve, &learned, 1.1, now_ns).latency_s < 1);
    assert_true(policy_forecast(&curve, &learned, 1.2, now_ns).latency_s == 3);
    assert_true(policy_forecast(&curve, &learned, 1.2, now_ns + POLICY_MISS_NS + 1).latency_s < 1);
    /* Seen live where nothing was measured: it stands for all rates below. */
    policy_learned_add(&learned, 8, 9, 2.5, now_ns);
    struct policy_forecast f = policy_forecast(&curve, &learned, 6, now_ns);
    assert_true(f.live && f.latency_s == 3); /* not below what was seen at 1.2 */
    /* Bounded. */
    for (int i = 0; i < 100; i++)
        policy_learned_add(&learned, pow(1.3, i), pow(1.3, i), 1, now_ns + i);
    assert_int_equal(learned.count, POLICY_LEARNED_MAX);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_curve),       cmocka_unit_test(test_left_early),
        cmocka_unit_test(test_closed_loop), cmocka_unit_test(test_too_few),
        cmocka_unit_test(test_forecast),    cmocka_unit_test(test_beside_what_runs),
        cmocka_unit_test(test_no_results),  cmocka_unit_test(test_held_results),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
