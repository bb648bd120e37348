/* Whole studies: baseline, exploration, final, whatever the verdicts; and the same whole study when
 * it is cut anywhere. */
#include "study/simulate.h"

#include "base/clock.h"
#include "base/rng.h"

static const struct space_knob knobs[] = {{0, 4}, {0, 3}, {1, 5}};

/* Fitness grows with the code; nothing fails. */
static struct sim_answer healthy(void *context, const struct trial_request *request, spec_code code,
                                 int tries)
{
    (void)context, (void)request, (void)tries;
    return (struct sim_answer){VERDICT_OK, (double)(code + 1) / 100, NULL};
}

static void init(struct sim *sim, sim_machine machine, void *context)
{
    sim_init(sim, 2, knobs, ARRAY_LEN(knobs), machine, context);
    sim->plan.trials = 24;
    sim_baseline(sim, 17);
}

static void test_healthy_study(void **state)
{
    (void)state;
    struct sim sim;
    init(&sim, healthy, NULL);
    sim_run(&sim);
    const struct history *h = &sim.history;
    assert_int_equal(h->trials[0].purpose, HISTORY_BASELINE);
    assert_int_equal(h->trials[0].code, 17);
    size_t explored = 0, finals = 0;
    for (size_t i = 1; i < h->count; i++) {
        explored += h->trials[i].purpose == HISTORY_EXPLORE;
        finals += h->trials[i].purpose == HISTORY_FINAL;
        assert_true(h->trials[i].purpose != HISTORY_BASELINE);
        assert_true(h->trials[i].purpose >= h->trials[i - 1].purpose);
    }
    assert_true(explored > 12 && explored <= 24);
    assert_int_equal(finals, 4 * 4); /* three finalists and the baseline, four blocks */
    /* Each block has each of them once. */
    const struct history_trial *final = &h->trials[1 + explored];
    for (size_t b = 0; b < 4; b++) {
        spec_code sum = 0, first = 0;
        for (size_t i = 0; i < 4; i++) {
            assert_int_equal(final[4 * b + i].repeat, b + 1);
            sum += UINT64_C(1) << (final[4 * b + i].code % 64);
            first += UINT64_C(1) << (final[i].code % 64);
        }
        assert_int_equal(sum, first);
        assert_int_equal(__builtin_popcountll(sum), 4);
    }
    /* The order is drawn anew in each block: not four times the same one. */
    bool differs = false;
    for (size_t b = 1; b < 4; b++)
        for (size_t i = 0; i < 4; i++)
            differs = differs || final[4 * b + i].code != final[i].code;
    assert_true(differs);
    sim_done(&sim);
}

static void test_requests(void **state)
{
    (void)state;
    struct sim sim;
    init(&sim, healthy, NULL);
    for (;;) {
        const struct study_step step = sim_next(&sim);
        if (step.stage == STAGE_DONE)
            break;
        bool final = step.stage == STAGE_FINAL;
        assert_int_equal(step.request.cold, final);
        assert_int_equal(step.request.alone, final);
        assert_int_equal(step.request.retry_of, 0);
        assert_true(step.request.window_ns >= 7500000000 && step.request.window_ns <= 30000000000);
        if (step.stage != STAGE_EXPLORE)
            assert_int_equal(step.request.window_ns, 30000000000);
        if (step.stage == STAGE_EXPLORE && step.request.round == 1)
            assert_int_equal(step.request.window_ns, 7500000000);
        assert_true(sim_step(&sim));
    }
    sim_done(&sim);
}

/* Once for each finalist and the baseline, and for nobody who was not asked for. */
static void test_capacity(void **state)
{
    (void)state;
    for (size_t asked = 0; asked < 2; asked++) {
        struct sim sim;
        init(&sim, healthy, NULL);
        struct spec_capacity capacity = {.within_ns = 600 * NS_PER_S, .window_ns = 10 * NS_PER_S};
        sim.study->capacities = &capacity;
        sim.study->capacity_count = asked;
        size_t searches = 0;
        for (;;) {
            const struct study_step step = sim_next(&sim);
            if (step.stage == STAGE_DONE)
                break;
            bool first = step.stage == STAGE_FINAL && step.request.repeat == 1;
            assert_int_equal(step.request.capacity, first && asked);
            searches += step.request.capacity;
            assert_true(sim_step(&sim));
        }
        assert_int_equal(searches, asked ? 4 : 0);
        assert_true(study_capacity_guess_s(sim.study) == (asked ? 140 : 0));
        sim_done(&sim);
    }
}

static void test_without_baseline(void **state)
{
    (void)state;
    struct sim sim;
    sim_init(&sim, 2, knobs, ARRAY_LEN(knobs), healthy, NULL);
    sim.plan.trials = 12;
    sim_run(&sim);
    size_t finals = 0;
    for (size_t i = 0; i < sim.history.count; i++) {
        assert_true(sim.history.trials[i].purpose != HISTORY_BASELINE);
        finals += sim.history.trials[i].purpose == HISTORY_FINAL;
    }
    assert_int_equal(finals, 3 * 4);
    sim_done(&sim);
}

/* Verdicts that say nothing about the candidate: two retries, with the same request, then believed.
 */
struct disturbed {
    enum verdict verdict;
    int times;  /* tries that end so */
    int64_t at; /* n-th request */
    int64_t seen;
};
static struct sim_answer disturbed(void *context, const struct trial_request *request,
                                   spec_code code, int tries)
{
    struct disturbed *d = context;
    d->seen += tries == 1;
    if (d->seen == d->at && tries <= d->times)
        return (struct sim_answer){d->verdict, NAN,
                                   d->verdict == VERDICT_ENV_FAULT ? "s0.k0=v9" : NULL};
    return healthy(NULL, request, code, tries);
}

static void test_retries(void **state)
{
    (void)state;
    static const enum verdict verdicts[] = {VERDICT_CONTENDED, VERDICT_INSTRUMENT,
                                            VERDICT_ENV_FAULT};
    for (size_t v = 0; v < ARRAY_LEN(verdicts); v++)
        for (int times = 1; times <= 5; times++)
            for (int64_t at = 1; at < 35; at += 7) {
                struct disturbed d = {verdicts[v], times, at, 0};
                struct sim sim;
                init(&sim, disturbed, &d);
                sim_run(&sim);
                int64_t first = at; /* nothing was retried before */
                int tries = 0;
                for (size_t i = 0; i < sim.history.count; i++) {
                    const struct history_trial *t = &sim.history.trials[i];
                    const struct history_trial *origin = &sim.history.trials[first - 1];
                    if (t->number != first && t->retry_of != first)
                        continue;
                    tries++;
                    assert_int_equal(t->number, first + tries - 1); /* at once */
                    assert_int_equal(t->code, origin->code);
                    assert_int_equal(t->purpose, origin->purpose);
                    assert_int_equal(t->round, origin->round);
                    assert_int_equal(t->repeat, origin->repeat);
                }
                assert_int_equal(tries, times < 3 ? times + 1 : 3);
                sim_done(&sim);
            }
}

/* A retried exploring trial is as long as the first try, also when the time is nearly up. */
static void test_retry_keeps_its_window(void **state)
{
    (void)state;
    struct disturbed d = {VERDICT_CONTENDED, 1, 4, 0};
    struct sim sim;
    init(&sim, disturbed, &d);
    for (int i = 0; i < 3; i++)
        assert_true(sim_step(&sim));
    const struct study_step first = sim_next(&sim);
    assert_true(sim_step(&sim));
    sim.plan.time_s = 1; /* over */
    const struct study_step again = sim_next(&sim);
    assert_int_equal(again.request.retry_of, first.request.number);
    assert_int_equal(again.request.window_ns, first.request.window_ns);
    sim_done(&sim);
}

/* What one load worker was too slow for is sent by two, and so is what comes after. */
static void test_late_load_is_shared_out(void **state)
{
    (void)state;
    struct disturbed d = {VERDICT_INSTRUMENT, 1, 4, 0};
    struct sim sim;
    init(&sim, disturbed, &d);
    int shared = 0;
    for (int i = 0; i < 8; i++) {
        const struct study_step step = sim_next(&sim);
        shared += step.request.workers == 2;
        if (step.request.retry_of)
            assert_int_equal(step.request.workers, 2);
        assert_int_equal(step.request.workers, shared ? 2 : 1);
        assert_true(sim_step(&sim));
    }
    assert_true(shared > 0);
    sim_done(&sim);
}

/* Candidates with s0.k0=v2 need a library that is not there. */
static struct sim_answer missing_library(void *context, const struct trial_request *request,
                                         spec_code code, int tries)
{
    (void)context;
    if (request->candidate.index[0] == 2)
        return (struct sim_answer){VERDICT_ENV_FAULT, NAN, "s0.k0=v2"};
    return healthy(NULL, request, code, tries);
}

static void test_ruled_out(void **state)
{
    (void)state;
    static const char *const strategies[] = {"grid", "random", "tournament"};
    for (size_t s = 0; s < ARRAY_LEN(strategies); s++) {
        struct sim sim;
        init(&sim, missing_library, NULL);
        sim.study->search.strategy = strategies[s];
        sim.plan.trials = s == 0 ? 0 : 40;
        sim_run(&sim);
        int with = 0;
        for (size_t i = 0; i < sim.history.count; i++) {
            const struct history_trial *t = &sim.history.trials[i];
            struct spec_candidate candidate = spec_candidate_decode(sim.study, t->code);
            with += candidate.index[0] == 2;
        }
        CHECK_ROW(s, strategies[s], with == 3); /* the first one, and its retries */
        sim_done(&sim);
    }
}

/* "s0.k0=v1" is no part of "s0.k0=v10", nor of "x.s0.k0=v1". */
static struct sim_answer missing_v1(void *context, const struct trial_request *request,
                                    spec_code code, int tries)
{
    (void)context;
    if (request->candidate.index[0] == 1)
        return (struct sim_answer){VERDICT_ENV_FAULT, NAN, "s0.k0=v1"};
    return healthy(NULL, request, code, tries);
}

static void test_ruled_out_whole_words(void **state)
{
    (void)state;
    const struct space_knob knob = {0, 12};
    struct sim sim;
    sim_init(&sim, 1, &knob, 1, missing_v1, NULL);
    sim.study->search.strategy = "grid";
    sim_run(&sim);
    size_t explored = 0;
    for (size_t i = 0; i < sim.history.count; i++)
        explored += sim.history.trials[i].purpose == HISTORY_EXPLORE;
    assert_int_equal(explored, 12 + 2);
    sim_done(&sim);
}

/* A finalist that fails is out at once, and the next in rank runs in its place. */
static struct sim_answer best_fails_late(void *context, const struct trial_request *request,
                                         spec_code code, int tries)
{
    const spec_code *bad = context;
    if (strcmp(request->purpose, "final") == 0 && code == *bad && request->repeat == 2)
        return (struct sim_answer){VERDICT_CRASHED_LOAD, NAN, NULL};
    return healthy(NULL, request, code, tries);
}

static void test_replacement(void **state)
{
    (void)state;
    spec_code bad = UINT64_MAX;
    struct sim sim;
    init(&sim, best_fails_late, &bad);
    sim.study->search.strategy = "grid";
    sim.plan.trials = 0;
    bad = 59; /* the best of the space */
    sim_run(&sim);
    AUTO(arena_free) struct arena *scratch = arena_new();
    spec_code codes[STUDY_FINALISTS_MAX];
    size_t count = study_finalists(&sim.plan, &sim.history, scratch, codes);
    assert_int_equal(count, 4);
    for (size_t i = 0; i < 4; i++)
        assert_int_equal(codes[i], 59 - i);
    int runs[60] = {0};
    for (size_t i = 0; i < sim.history.count; i++)
        if (sim.history.trials[i].purpose == HISTORY_FINAL)
            runs[sim.history.trials[i].code]++;
    assert_int_equal(runs[59], 2);
    assert_int_equal(runs[58], 4);
    assert_int_equal(runs[57], 4);
    assert_int_equal(runs[56], 4);
    assert_int_equal(runs[17], 4);
    assert_int_equal(runs[55], 0);
    sim_done(&sim);
}

/* Everybody fails in the final: as many replacements as finalists, then it is enough. */
static struct sim_answer finals_fail(void *context, const struct trial_request *request,
                                     spec_code code, int tries)
{
    if (strcmp(request->purpose, "final") == 0 && code != 17)
        return (struct sim_answer){VERDICT_ERRORS, NAN, NULL};
    return healthy(context, request, code, tries);
}

/* Of the first `finals` trials of the final. */
static size_t finalists_after(const struct sim *sim, int finals, double time_s)
{
    spec_code codes[STUDY_FINALISTS_MAX];
    struct study_plan plan = sim->plan;
    struct history history = sim->history;
    plan.time_s = time_s;
    for (history.count = 0; history.count < sim->history.count && finals > 0; history.count++)
        finals -= history.trials[history.count].purpose == HISTORY_FINAL;
    return study_finalists(&plan, &history, sim->arena, codes);
}

/* Whoever met the requirements is asked; those of them that are beyond twice the finalists, as long
 * as the study's time lasts. */
static void test_replacements_end(void **state)
{
    (void)state;
    struct sim sim;
    init(&sim, finals_fail, NULL);
    sim.study->search.strategy = "grid";
    sim.plan.trials = 0;
    sim_run(&sim);
    int failed = 0, baseline = 0, explored = 0;
    for (size_t i = 0; i < sim.history.count; i++) {
        const struct history_trial *t = &sim.history.trials[i];
        explored += t->purpose == HISTORY_EXPLORE && t->code != 17;
        failed += t->purpose == HISTORY_FINAL && t->code != 17;
        baseline += t->purpose == HISTORY_FINAL && t->code == 17;
    }
    assert_true(explored > 20);
    assert_int_equal(failed, explored);
    assert_int_equal(baseline, 4);
    assert_int_equal(finalists_after(&sim, 1, 1), 4); /* one fell, three are in it */
    assert_in_range(finalists_after(&sim, 12, 0), 12, 16);
    assert_int_equal(finalists_after(&sim, 12, 0) - finalists_after(&sim, 12, 1), 3);
    sim_done(&sim);
}

/* A finalist whose library vanished in the final is not tried again and again in every block. */
static struct sim_answer vanishes_in_final(void *context, const struct trial_request *request,
                                           spec_code code, int tries)
{
    if (strcmp(request->purpose, "final") == 0 && request->candidate.index[0] == 3)
        return (struct sim_answer){VERDICT_ENV_FAULT, NAN, "s0.k0=v3"};
    return healthy(context, request, code, tries);
}

static void test_finalists_ruled_out(void **state)
{
    (void)state;
    struct sim sim;
    init(&sim, vanishes_in_final, NULL);
    sim.study->search.strategy = "grid";
    sim.plan.trials = 0;
    sim_run(&sim);
    int tries = 0, others[60] = {0};
    for (size_t i = 0; i < sim.history.count; i++) {
        const struct history_trial *t = &sim.history.trials[i];
        if (t->purpose != HISTORY_FINAL)
            continue;
        tries += t->code >= 45;
        others[t->code]++;
    }
    assert_int_equal(tries, 3);
    assert_int_equal(others[44], 4);
    assert_int_equal(others[43], 4);
    assert_int_equal(others[42], 4);
    sim_done(&sim);
}

static void test_time_budget(void **state)
{
    (void)state;
    struct sim sim;
    init(&sim, healthy, NULL);
    sim.study->search.strategy = "grid";
    sim.plan.trials = 0;
    /* A final of 16 trials of 30 + 5 + 8 s and alone windows of 2 * 3 s: 784 s. */
    sim.plan.time_s = 784 + 105;
    sim_run(&sim);
    size_t explored = 0, finals = 0;
    for (size_t i = 0; i < sim.history.count; i++) {
        explored += sim.history.trials[i].purpose == HISTORY_EXPLORE;
        finals += sim.history.trials[i].purpose == HISTORY_FINAL;
    }
    assert_int_equal(explored, 10); /* with the baseline 11 of 10 s each */
    assert_int_equal(finals, 16);
    sim_done(&sim);
}

/* A machine of moods: every verdict, deterministic in (trial number). */
static struct sim_answer moody(void *context, const struct trial_request *request, spec_code code,
                               int tries)
{
    const uint64_t *seed = context;
    char stream[64];
    snprintf(stream, sizeof stream, "trial %lld", (long long)request->number);
    struct rng rng = rng_init(*seed, stream);
    double mood = rng_unit(&rng);
    if (mood < 0.05)
        return (struct sim_answer){VERDICT_CONTENDED, NAN, NULL};
    if (mood < 0.10)
        return (struct sim_answer){VERDICT_INSTRUMENT, NAN, NULL};
    if (mood < 0.15)
        return (struct sim_answer){VERDICT_ENV_FAULT, NAN, NULL};
    if (mood < 0.25 && request->candidate.index[2] == 1)
        return (struct sim_answer){VERDICT_ENV_FAULT, NAN, "s1.k2=v1"};
    if (mood < 0.30)
        return (struct sim_answer){VERDICT_CRASHED_START, NAN, NULL};
    if (mood < 0.35)
        return (struct sim_answer){VERDICT_SLOW, 0, NULL};
    if (mood < 0.37)
        return (struct sim_answer){VERDICT_OK, NAN, NULL};
    struct sim_answer answer = healthy(NULL, request, code, tries);
    answer.fitness += 0.3 * rng_unit(&rng);
    return answer;
}

static bool same_request(const struct trial_request *a, const struct trial_request *b,
                         size_t knob_count)
{
    return a->number == b->number && strcmp(a->purpose, b->purpose) == 0 && a->round == b->round &&
           a->repeat == b->repeat && a->retry_of == b->retry_of && a->window_ns == b->window_ns &&
           a->cold == b->cold && a->alone == b->alone &&
           memcmp(a->candidate.index, b->candidate.index, knob_count * sizeof(int)) == 0;
}

/* Cut at every step: a history read back from its rows asks for the same next trial. */
static void test_resume(void **state)
{
    (void)state;
    static const char *const strategies[] = {"grid", "random", "tournament"};
    for (uint64_t seed = 1; seed <= 12; seed++) {
        struct sim sim;
        init(&sim, moody, &seed);
        sim.study->seed = seed;
        sim.study->search.strategy = strategies[seed % 3];
        sim.plan.time_s = seed % 4 == 0 ? 900 : 0;
        sim_run(&sim);
        const size_t count = sim.history.count;
        /* A second one, which forgets everything after each trial. */
        struct sim other;
        init(&other, moody, &seed);
        other.study->seed = seed;
        other.study->search.strategy = sim.study->search.strategy;
        other.plan.time_s = sim.plan.time_s;
        for (size_t cut = 0; cut <= count; cut++) {
            struct history part = sim.history;
            part.count = cut;
            AUTO(arena_free) struct arena *scratch = arena_new();
            const struct study_step next = study_next(&sim.plan, &part, scratch);
            const struct study_step fresh = sim_next(&other);
            assert_int_equal(next.stage, fresh.stage);
            assert_int_equal(next.stage == STAGE_DONE, cut == count);
            if (next.stage == STAGE_DONE)
                break;
            assert_true(same_request(&next.request, &fresh.request, sim.study->knob_count));
            assert_int_equal(spec_candidate_code(sim.study, &next.request.candidate),
                             sim.history.trials[cut].code);
            assert_int_equal(next.request.retry_of, sim.history.trials[cut].retry_of);
            /* Through rows, as the store gives them back. */
            const struct history_trial *t = &sim.history.trials[cut];
            const struct sim_answer answer = {t->verdict, t->fitness, t->ruled_out};
            sim_append(&other, &fresh.request, &answer);
        }
        sim_done(&other);
        sim_done(&sim);
    }
}

static void test_counts(void **state)
{
    (void)state;
    struct sim sim;
    init(&sim, healthy, NULL);
    AUTO(arena_free) struct arena *scratch = arena_new();
    double before = INFINITY;
    do {
        const struct study_progress_counts c = study_count(&sim.plan, &sim.history, scratch);
        assert_true(c.explored <= c.explore_planned && c.finals_done <= c.finals_planned);
        assert_true(c.left_s >= 0 &&
                    (sim.history.count < 3 || c.left_s <= before + 1e-6 || c.finals_done == 1));
        before = c.left_s;
    } while (sim_step(&sim));
    const struct study_progress_counts c = study_count(&sim.plan, &sim.history, scratch);
    assert_int_equal(c.explored, c.explore_planned);
    assert_int_equal(c.finals_done, c.finals_planned);
    assert_true(c.left_s == 0);
    sim_done(&sim);
}

/* The baseline's own start is what the others are expected to take. Before: a guess, until a trial
 * of each kind had been run. */
static void test_slow_starts(void **state)
{
    (void)state;
    double left_s[2];
    for (int slow = 0; slow < 2; slow++) {
        struct sim sim;
        init(&sim, healthy, NULL);
        AUTO(arena_free) struct arena *scratch = arena_new();
        sim.trial_s = slow ? 1000 : 100;
        assert_true(sim_step(&sim));
        assert_int_equal(sim.history.trials[0].purpose, HISTORY_BASELINE);
        sim.history.trials[0].cold = true;
        left_s[slow] = study_count(&sim.plan, &sim.history, scratch).left_s;
        const struct study_progress_counts c = study_count(&sim.plan, &sim.history, scratch);
        if (slow)
            assert_true(fabs(left_s[1] - left_s[0] -
                             900.0 * (double)(c.explore_planned + c.finals_planned)) < 1e-6);
        sim_done(&sim);
    }
}

/* A large study does not slow down: 1,000 trials of a space of 100,000. */
static void test_large(void **state)
{
    (void)state;
    const struct space_knob many[] = {{0, 500}, {1, 200}};
    struct sim sim;
    sim_init(&sim, 2, many, 2, healthy, NULL);
    sim.plan.trials = 1000;
    sim_baseline(&sim, 5);
    sim_run(&sim);
    assert_true(sim.history.count > 900);
    sim_done(&sim);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_late_load_is_shared_out),
        cmocka_unit_test(test_healthy_study),
        cmocka_unit_test(test_requests),
        cmocka_unit_test(test_capacity),
        cmocka_unit_test(test_without_baseline),
        cmocka_unit_test(test_retries),
        cmocka_unit_test(test_retry_keeps_its_window),
        cmocka_unit_test(test_ruled_out),
        cmocka_unit_test(test_ruled_out_whole_words),
        cmocka_unit_test(test_replacement),
        cmocka_unit_test(test_replacements_end),
        cmocka_unit_test(test_finalists_ruled_out),
        cmocka_unit_test(test_time_budget),
        cmocka_unit_test(test_resume),
        cmocka_unit_test(test_counts),
        cmocka_unit_test(test_slow_starts),
        cmocka_unit_test(test_large),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
