/* Rows to what the plan needs: retries folded, chains counted, unknown rows refused. */
#include "study/simulate.h"

static struct sim_answer never(void *context, const struct trial_request *request, spec_code code,
                               int tries)
{
    (void)context, (void)request, (void)code, (void)tries;
    return (struct sim_answer){VERDICT_OK, 1, NULL};
}

static const struct space_knob knobs[] = {{0, 3}, {1, 2}};

static void add(struct sim *sim, spec_code code, const char *purpose, int64_t retry_of,
                enum verdict verdict, const char *ruled_out)
{
    const struct trial_request request = {
        .number = (int64_t)sim->history.count + 1,
        .candidate = spec_candidate_decode(sim->study, code),
        .purpose = purpose,
        .round = 1,
        .retry_of = retry_of,
    };
    const struct sim_answer answer = {verdict, verdict_facts(verdict)->has_fitness ? 0.5 : NAN,
                                      ruled_out};
    sim_append(sim, &request, &answer);
}

static void test_settled(void **state)
{
    (void)state;
    struct sim sim;
    sim_init(&sim, 2, knobs, ARRAY_LEN(knobs), never, NULL);
    add(&sim, 0, "explore", 0, VERDICT_OK, NULL);
    add(&sim, 1, "explore", 0, VERDICT_CONTENDED, NULL);
    add(&sim, 1, "explore", 2, VERDICT_INSTRUMENT, NULL);
    add(&sim, 1, "explore", 2, VERDICT_OK, NULL);
    add(&sim, 2, "explore", 0, VERDICT_CONTENDED, NULL);
    add(&sim, 2, "explore", 5, VERDICT_CONTENDED, NULL);
    add(&sim, 2, "explore", 5, VERDICT_CONTENDED, NULL);
    add(&sim, 3, "explore", 0, VERDICT_CRASHED_LOAD, NULL);
    static const struct {
        bool settled;
        int tries;
    } expected[] = {
        {true, 1}, {false, 1}, {false, 2}, {true, 3}, {false, 1}, {false, 2}, {true, 3}, {true, 1},
    };
    for (size_t i = 0; i < ARRAY_LEN(expected); i++) {
        CHECK_ROW(i, "settled", history_settled(&sim.history, i) == expected[i].settled);
        CHECK_ROW(i, "tries", history_tries(&sim.history, i) == expected[i].tries);
    }
    assert_true(history_elapsed_s(&sim.history) == 80);
    sim_done(&sim);
}

/* An env_fault that rules something out settles; one of the surroundings is tried again for ever,
 * and says each third time that it is time to stop. */
static void test_env_fault(void **state)
{
    (void)state;
    struct sim sim;
    sim_init(&sim, 2, knobs, ARRAY_LEN(knobs), never, NULL);
    for (int i = 0; i < 3; i++)
        add(&sim, 0, "explore", i ? 1 : 0, VERDICT_ENV_FAULT, "s0.k0=v0");
    assert_false(history_settled(&sim.history, 1));
    assert_true(history_settled(&sim.history, 2));
    assert_false(history_broken(&sim.history));
    for (int i = 1; i <= 7; i++) {
        add(&sim, 1, "explore", i > 1 ? 4 : 0, VERDICT_ENV_FAULT, NULL);
        assert_false(history_settled(&sim.history, sim.history.count - 1));
        assert_int_equal(history_broken(&sim.history), i % 3 == 0);
    }
    add(&sim, 1, "explore", 4, VERDICT_OK, NULL);
    assert_true(history_settled(&sim.history, sim.history.count - 1));
    assert_false(history_broken(&sim.history));
    sim_done(&sim);
}

static void test_contended_in_a_row(void **state)
{
    (void)state;
    struct sim sim;
    sim_init(&sim, 2, knobs, ARRAY_LEN(knobs), never, NULL);
    assert_int_equal(history_contended_in_a_row(&sim.history), 0);
    add(&sim, 0, "explore", 0, VERDICT_CONTENDED, NULL);
    add(&sim, 0, "explore", 1, VERDICT_OK, NULL);
    assert_int_equal(history_contended_in_a_row(&sim.history), 0);
    for (int i = 1; i <= 5; i++) {
        add(&sim, 1, "explore", 0, VERDICT_CONTENDED, NULL);
        assert_int_equal(history_contended_in_a_row(&sim.history), i);
    }
    sim_done(&sim);
}

/* Without room beside what neighbours have held, it has none in a second try either, and nobody who
 * runs there can be found. */
static void test_no_room(void **state)
{
    (void)state;
    struct sim sim;
    sim_init(&sim, 2, knobs, ARRAY_LEN(knobs), never, NULL);
    for (int i = 0; i < 4; i++)
        add(&sim, 0, "explore", i ? 1 : 0, VERDICT_CONTENDED, NULL);
    add(&sim, 1, "explore", 0, VERDICT_NO_ROOM, NULL);
    assert_true(history_settled(&sim.history, 4));
    assert_int_equal(history_contended_in_a_row(&sim.history), 0);
    sim_done(&sim);
}

static void test_refused_rows(void **state)
{
    (void)state;
    static const struct {
        const char *name, *candidate, *purpose, *verdict, *says;
    } rows[] = {
        {"a knob that is gone", "s0.k0=v0 s9.k9=v1", "explore", "ok", "no knob"},
        {"a value that is gone", "s0.k0=v7 s1.k1=v0", "explore", "ok", "no value"},
        {"a knob that came", "s0.k0=v0", "explore", "ok", "s1.k1"},
        {"a purpose", "s0.k0=v0 s1.k1=v0", "audition", "ok", "audition"},
        {"a verdict", "s0.k0=v0 s1.k1=v0", "explore", "splendid", "splendid"},
    };
    struct sim sim;
    sim_init(&sim, 2, knobs, ARRAY_LEN(knobs), never, NULL);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        const struct store_trial row = {.number = 1,
                                        .candidate = rows[i].candidate,
                                        .purpose = rows[i].purpose,
                                        .verdict = rows[i].verdict};
        struct err err = ERR_INIT;
        CHECK_ROW(i, rows[i].name, !history_append(&sim.history, sim.study, &row, sim.arena, &err));
        CHECK_ROW(i, rows[i].name, err.code == ERR_INTERNAL && strstr(err.text, rows[i].says));
        CHECK_ROW(i, rows[i].name, sim.history.count == 0);
    }
    sim_done(&sim);
}

/* What the store gives back is what was appended: retries, rounds, parts ruled out, unknown
 * fitness. */
static void test_load(void **state)
{
    (void)state;
    char *folder = check_make_folder();
    char path[256];
    snprintf(path, sizeof path, "%s/study.db", folder);
    struct sim sim;
    sim_init(&sim, 2, knobs, ARRAY_LEN(knobs), never, NULL);
    add(&sim, 4, "baseline", 0, VERDICT_OK, NULL);
    add(&sim, 0, "explore", 0, VERDICT_ENV_FAULT, "s0.k0=v0");
    add(&sim, 0, "explore", 2, VERDICT_ENV_FAULT, "s0.k0=v0");
    add(&sim, 3, "final", 0, VERDICT_SLOW, NULL);
    struct err err = ERR_INIT;
    struct store *store = NULL;
    if (!store_open(path, STORE_CREATE, &store, &err))
        fail_msg("%s", err.text);
    for (size_t i = 0; i < sim.history.count; i++) {
        const struct history_trial *t = &sim.history.trials[i];
        static const char *const purposes[] = {"baseline", "explore", "final"};
        struct spec_candidate candidate = spec_candidate_decode(sim.study, t->code);
        AUTO(buf_done) struct buf text = BUF_INIT(4096);
        spec_candidate_add_text(&text, sim.study, &candidate);
        const struct store_trial row = {.number = t->number,
                                        .candidate = buf_text(&text),
                                        .purpose = purposes[t->purpose],
                                        .round = t->round,
                                        .repeat = t->repeat,
                                        .retry_of = t->retry_of,
                                        .verdict = verdict_facts(t->verdict)->name,
                                        .summary = "",
                                        .ruled_out = t->ruled_out,
                                        .fitness = t->fitness,
                                        .duration_s = t->duration_s,
                                        .contention_ratio = NAN,
                                        .lateness_p99_s = NAN,
                                        .worker_cpu_s = NAN,
                                        .own_cpu_s = NAN};
        if (!store_trial_add(store, &row, &err))
            fail_msg("%s", err.text);
    }
    struct history loaded = {0};
    if (!history_load(store, sim.study, sim.arena, &loaded, &err))
        fail_msg("%s", err.text);
    assert_int_equal(loaded.count, sim.history.count);
    for (size_t i = 0; i < loaded.count; i++) {
        const struct history_trial *a = &loaded.trials[i], *b = &sim.history.trials[i];
        assert_int_equal(a->number, b->number);
        assert_int_equal(a->retry_of, b->retry_of);
        assert_int_equal(a->purpose, b->purpose);
        assert_int_equal(a->code, b->code);
        assert_int_equal(a->round, b->round);
        assert_int_equal(a->repeat, b->repeat);
        assert_int_equal(a->verdict, b->verdict);
        assert_true(a->fitness == b->fitness || (isnan(a->fitness) && isnan(b->fitness)));
        assert_true(a->duration_s == b->duration_s);
        assert_true(!a->ruled_out == !b->ruled_out);
        assert_true(!a->ruled_out || strcmp(a->ruled_out, b->ruled_out) == 0);
    }
    store_close(store);
    sim_done(&sim);
    check_remove_folder(folder);
}

/* Beside a service that stayed up and has grown, memory may lack that a cold start has. */
static void test_out_of_memory_beside_kept_services(void **state)
{
    (void)state;
    struct history_trial trials[] = {
        {.number = 1, .verdict = VERDICT_OOM_START, .cold = true},
        {.number = 2, .verdict = VERDICT_OOM_START, .cold = false},
        {.number = 3, .retry_of = 2, .verdict = VERDICT_OOM_START, .cold = true},
    };
    const struct history history = {.trials = trials, .count = ARRAY_LEN(trials)};
    assert_true(history_settled(&history, 0));
    assert_false(history_settled(&history, 1));
    assert_true(history_settled(&history, 2));
    trials[2].cold = false; /* a retry that could not be cold ends it all the same */
    assert_true(history_settled(&history, 2));
}

/* A load that one worker was late with is shared out, and the study keeps that. */
static void test_workers(void **state)
{
    (void)state;
    static const struct {
        struct history_trial trials[4];
        size_t count;
        bool again; /* the last one is tried again */
        int workers;
    } rows[] = {
        {{{0}}, 0, false, 1},
        {{{.verdict = VERDICT_OK, .workers = 1}}, 1, false, 1},
        {{{.verdict = VERDICT_INSTRUMENT, .workers = 1}}, 1, true, 2},
        {{{.verdict = VERDICT_INSTRUMENT, .workers = 2}}, 1, true, 4},
        {{{.verdict = VERDICT_INSTRUMENT, .workers = 4}}, 1, true, 4},
        {{{.verdict = VERDICT_CONTENDED, .workers = 2}}, 1, true, 2},
        {{{.verdict = VERDICT_INSTRUMENT, .workers = 1}, {.verdict = VERDICT_OK, .workers = 2}},
         2,
         false,
         2},
        /* Of a number that was not enough either nothing is learned. */
        {{{.verdict = VERDICT_INSTRUMENT, .workers = 4}}, 1, false, 1},
        {{{.verdict = VERDICT_SLOW, .workers = 2}, {.verdict = VERDICT_INSTRUMENT, .workers = 1}},
         2,
         true,
         2},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct history history = {.trials = (struct history_trial *)rows[i].trials,
                                  .count = rows[i].count};
        const struct history_trial *last =
            rows[i].again ? &history.trials[history.count - 1] : NULL;
        CHECK_ROW(i, "workers", history_workers(&history, last) == rows[i].workers);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_out_of_memory_beside_kept_services),
        cmocka_unit_test(test_workers),
        cmocka_unit_test(test_settled),
        cmocka_unit_test(test_env_fault),
        cmocka_unit_test(test_contended_in_a_row),
        cmocka_unit_test(test_no_room),
        cmocka_unit_test(test_refused_rows),
        cmocka_unit_test(test_load),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
