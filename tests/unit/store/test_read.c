/* What was written comes back the same, unknown as unknown. */
#include "check.h"

#include "made.h"
#include "store/read.h"

#include <math.h>

static bool same_real(double a, double b)
{
    return (isnan(a) && isnan(b)) || a == b;
}

static bool same_text(const char *a, const char *b)
{
    return a == b || (a && b && strcmp(a, b) == 0);
}

static void check_findings(const struct store_trial *is, const struct store_trial *was)
{
    assert_int_equal(is->requirement_count, was->requirement_count);
    for (size_t i = 0; i < is->requirement_count; i++) {
        const struct store_requirement *a = &is->requirements[i], *b = &was->requirements[i];
        assert_true(same_text(a->service, b->service) && same_text(a->text, b->text) &&
                    a->allowed == b->allowed && a->requests == b->requests && a->over == b->over &&
                    same_real(a->worth, b->worth) && same_text(a->answer, b->answer) &&
                    same_text(a->of, b->of));
    }
    assert_int_equal(is->utterance_count, was->utterance_count);
    for (size_t i = 0; i < is->utterance_count; i++) {
        const struct store_utterance *a = &is->utterances[i], *b = &was->utterances[i];
        assert_true(same_text(a->service, b->service) && a->item == b->item &&
                    a->heard == b->heard && a->words == b->words &&
                    a->substitutions == b->substitutions && a->deletions == b->deletions &&
                    a->insertions == b->insertions && same_text(a->reference, b->reference) &&
                    same_text(a->hypothesis, b->hypothesis));
    }
    for (size_t i = 0; i < is->metric_count; i++)
        assert_true(same_text(is->metrics[i].method, was->metrics[i].method));
}

static void check_capacities(const struct store_trial *is, const struct store_trial *was)
{
    assert_int_equal(is->capacity_count, was->capacity_count);
    assert_int_equal(is->capacity_point_count, was->capacity_point_count);
    for (size_t i = 0; i < is->capacity_count; i++) {
        const struct store_capacity *a = &is->capacities[i], *b = &was->capacities[i];
        assert_true(same_text(a->service, b->service) && same_text(a->of, b->of) &&
                    same_text(a->metric, b->metric) && a->beside == b->beside &&
                    same_text(a->end, b->end) && same_real(a->low, b->low) &&
                    same_real(a->high, b->high) && a->unsure == b->unsure &&
                    same_text(a->broke, b->broke) && same_real(a->memory_bytes, b->memory_bytes) &&
                    same_real(a->seconds, b->seconds));
    }
    for (size_t i = 0; i < is->capacity_point_count; i++) {
        const struct store_capacity_point *a = &is->capacity_points[i];
        const struct store_capacity_point *b = &was->capacity_points[i];
        assert_true(a->search == b->search && same_real(a->level, b->level) &&
                    same_text(a->outcome, b->outcome) && same_real(a->window_s, b->window_s) &&
                    a->early == b->early && a->requests == b->requests && a->failed == b->failed);
        assert_true(same_real(a->p50, b->p50) && same_real(a->p50_low, b->p50_low) &&
                    same_real(a->p50_high, b->p50_high) && same_real(a->p95, b->p95) &&
                    same_real(a->p95_low, b->p95_low) && same_real(a->p95_high, b->p95_high) &&
                    same_real(a->answered_rps, b->answered_rps) &&
                    same_real(a->good_rps, b->good_rps) && same_text(a->broke, b->broke));
    }
}

static void check_details(const struct store_trial *is, const struct store_trial *was)
{
    assert_int_equal(is->phase_count, was->phase_count);
    assert_int_equal(is->evidence_count, was->evidence_count);
    assert_int_equal(is->service_count, was->service_count);
    assert_int_equal(is->metric_count, was->metric_count);
    for (size_t i = 0; i < is->phase_count; i++)
        assert_true(same_text(is->phases[i].name, was->phases[i].name) &&
                    same_text(is->phases[i].outcome, was->phases[i].outcome) &&
                    same_real(is->phases[i].duration_s, was->phases[i].duration_s));
    for (size_t i = 0; i < is->evidence_count; i++)
        assert_true(same_text(is->evidence[i].service, was->evidence[i].service) &&
                    same_text(is->evidence[i].kind, was->evidence[i].kind) &&
                    same_text(is->evidence[i].text, was->evidence[i].text));
    for (size_t i = 0; i < is->metric_count; i++) {
        const struct store_metric *a = &is->metrics[i], *b = &was->metrics[i];
        assert_true(same_text(a->service, b->service) && same_text(a->mode, b->mode) &&
                    same_text(a->metric, b->metric) && same_text(a->stat, b->stat) &&
                    same_real(a->value, b->value) && same_real(a->low, b->low) &&
                    same_real(a->high, b->high) && a->count == b->count);
    }
    for (size_t i = 0; i < is->service_count; i++) {
        const struct store_service *a = &is->services[i], *b = &was->services[i];
        assert_true(same_text(a->name, b->name) && same_text(a->engine, b->engine) &&
                    same_text(a->version, b->version) && same_text(a->command, b->command) &&
                    same_text(a->environment, b->environment) &&
                    same_text(a->settings, b->settings) && same_text(a->placement, b->placement) &&
                    same_text(a->placement_evidence, b->placement_evidence) &&
                    a->started_in_trial == b->started_in_trial &&
                    same_real(a->ready_s, b->ready_s) &&
                    same_real(a->first_request_s, b->first_request_s) &&
                    same_real(a->idle_memory_bytes, b->idle_memory_bytes) &&
                    same_real(a->peak_memory_bytes, b->peak_memory_bytes) &&
                    same_real(a->cpu_s, b->cpu_s) && a->exit_code == b->exit_code &&
                    a->signal == b->signal);
        assert_null(a->log); /* read when asked for */
    }
}

static void check_trial(const struct store_trial *is, const struct store_trial *was)
{
    assert_int_equal(is->number, was->number);
    assert_true(same_text(is->candidate, was->candidate) && same_text(is->purpose, was->purpose) &&
                same_text(is->verdict, was->verdict) && same_text(is->service, was->service) &&
                same_text(is->summary, was->summary) && same_text(is->ruled_out, was->ruled_out));
    assert_true(is->round == was->round && is->repeat == was->repeat &&
                is->retry_of == was->retry_of && is->cold == was->cold &&
                is->started_wall_us == was->started_wall_us);
    assert_true(
        same_real(is->fitness, was->fitness) && same_real(is->duration_s, was->duration_s) &&
        same_real(is->window_s, was->window_s) &&
        same_real(is->contention_ratio, was->contention_ratio) &&
        same_real(is->lateness_p99_s, was->lateness_p99_s) && is->workers == was->workers &&
        same_real(is->stall_p99_s, was->stall_p99_s) &&
        same_real(is->stall_max_s, was->stall_max_s) &&
        same_real(is->worker_cpu_s, was->worker_cpu_s) && same_real(is->own_cpu_s, was->own_cpu_s));
}

enum { TRIALS = 5 };

static void reads_what_was_written(void **state)
{
    (void)state;
    char *folder = check_make_folder();
    AUTO(store_close) struct store *store = made_store(folder);
    AUTO(arena_free) struct arena *arena = arena_new();
    struct err err = ERR_INIT;
    struct store_trial written[TRIALS];
    for (int64_t n = 0; n < TRIALS; n++) {
        written[n] = made_trial(arena, n + 1, (size_t)n);
        written[n].ruled_out = n == 2 ? "stt.threads=0" : NULL;
        if (n == 3) /* one that failed before anything was known */
            written[n].phase_count = written[n].evidence_count = written[n].service_count =
                written[n].metric_count = written[n].capacity_count =
                    written[n].capacity_point_count = written[n].requirement_count =
                        written[n].utterance_count = 0;
        assert_true(store_trial_add(store, &written[n], &err));
    }
    struct store_trial *trials = NULL;
    size_t count = 0;
    assert_true(store_read_trials(store, arena, true, &trials, &count, &err));
    assert_int_equal(count, TRIALS);
    for (size_t n = 0; n < TRIALS; n++) {
        check_trial(&trials[n], &written[n]);
        check_details(&trials[n], &written[n]);
        check_capacities(&trials[n], &written[n]);
        check_findings(&trials[n], &written[n]);
        struct store_trial *one = NULL;
        assert_true(store_read_trial(store, arena, (int64_t)n + 1, &one, &err));
        assert_non_null(one);
        check_trial(one, &written[n]);
        check_details(one, &written[n]);
    }
    assert_true(store_read_trials(store, arena, false, &trials, &count, &err));
    assert_int_equal(count, TRIALS);
    assert_int_equal(trials[0].metric_count, 0);
    struct store_trial *missing = trials;
    assert_true(store_read_trial(store, arena, 99, &missing, &err));
    assert_null(missing);
    check_remove_folder(folder);
}

static void reads_logs(void **state)
{
    (void)state;
    static const struct {
        int64_t trial;
        const char *service, *expected;
    } rows[] = {
        {2, "stt", "log of trial 2\nsecond line"},
        {2, "llm", NULL},
        {9, "stt", NULL},
        {2, "nobody", NULL},
    };
    char *folder = check_make_folder();
    AUTO(store_close) struct store *store = made_store(folder);
    AUTO(arena_free) struct arena *arena = arena_new();
    struct err err = ERR_INIT;
    for (int64_t n = 1; n <= 2; n++) {
        struct store_trial trial = made_trial(arena, n, 1);
        assert_true(store_trial_add(store, &trial, &err));
    }
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        const char *log = "?";
        CHECK_ROW(i, rows[i].service,
                  store_read_log(store, arena, rows[i].trial, rows[i].service, &log, &err));
        CHECK_ROW(i, rows[i].service, same_text(log, rows[i].expected));
    }
    check_remove_folder(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_what_was_written),
        cmocka_unit_test(reads_logs),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
