/* What a failure for memory says of others. Two services: s0 has a plain knob and one that takes
 * more; s1 has a share and a demand. */
#include "study/simulate.h"

#include "study/bounds.h"

/* s0: model (no order in memory), cache (more). s1: share, context (more). Three values each. */
static const struct space_knob knobs[] = {{0, 3}, {0, 3}, {1, 3}, {1, 3}};

static struct sim_answer nothing(void *context, const struct trial_request *request, spec_code code,
                                 int tries)
{
    (void)context, (void)request, (void)code, (void)tries;
    return (struct sim_answer){VERDICT_OK, 0.5, NULL};
}

static spec_code code_of(const struct spec_study *study, const int index[4])
{
    struct spec_candidate candidate = {0};
    for (size_t k = 0; k < 4; k++)
        candidate.index[k] = index[k];
    return spec_candidate_code(study, &candidate);
}

static const struct row {
    const char *name;
    enum history_bound bound;
    int fact[4], other[4];
    bool covers;
} rows[] = {
    {"nothing is known", BOUND_NOTHING, {0, 0, 1, 0}, {0, 0, 2, 0}, false},
    {"itself has been run", BOUND_ABOVE_FAILS, {0, 0, 1, 0}, {0, 0, 1, 0}, false},
    {"a larger share fails too", BOUND_ABOVE_FAILS, {0, 0, 1, 0}, {0, 0, 2, 0}, true},
    {"a smaller share may fit", BOUND_ABOVE_FAILS, {0, 0, 1, 0}, {0, 0, 0, 0}, false},
    {"more of the other's", BOUND_ABOVE_FAILS, {0, 0, 1, 0}, {0, 2, 1, 0}, true},
    {"less of the other's may cure", BOUND_ABOVE_FAILS, {0, 1, 1, 0}, {0, 0, 2, 0}, false},
    {"another model is another story", BOUND_ABOVE_FAILS, {0, 0, 1, 0}, {1, 0, 2, 0}, false},
    {"a smaller share fails too", BOUND_BELOW_FAILS, {0, 0, 1, 1}, {0, 0, 0, 1}, true},
    {"whatever the other does", BOUND_BELOW_FAILS, {0, 0, 1, 1}, {2, 2, 0, 1}, true},
    {"a larger share may do", BOUND_BELOW_FAILS, {0, 0, 1, 1}, {0, 0, 2, 1}, false},
    {"more to put into it", BOUND_BELOW_FAILS, {0, 0, 1, 1}, {0, 0, 1, 2}, true},
    {"less to put into it may do", BOUND_BELOW_FAILS, {0, 0, 1, 1}, {0, 0, 0, 0}, false},
};

static void test_covers(void **state)
{
    (void)state;
    struct sim sim;
    sim_init(&sim, 2, knobs, ARRAY_LEN(knobs), nothing, NULL);
    sim.study->knobs[1].memory = sim.study->knobs[3].memory = MEMORY_MORE;
    sim.study->knobs[2].memory = MEMORY_SHARE;
    for (size_t k = 0; k < ARRAY_LEN(knobs); k++)
        for (size_t v = 0; v < 3; v++)
            sim.study->knobs[k].values[v].number = (double)v;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct history_trial fact = {.bound = rows[i].bound, .bound_service = 1};
        fact.code = code_of(sim.study, rows[i].fact);
        CHECK_ROW(i, rows[i].name,
                  study_bound_covers(sim.study, &fact, code_of(sim.study, rows[i].other)) ==
                      rows[i].covers);
    }
    /* Values that are no numbers have no order, so only equal ones compare. */
    sim.study->knobs[2].values[2].number = NAN;
    struct history_trial fact = {.bound = BOUND_ABOVE_FAILS, .bound_service = 1};
    fact.code = code_of(sim.study, (const int[4]){0, 0, 1, 0});
    assert_false(
        study_bound_covers(sim.study, &fact, code_of(sim.study, (const int[4]){0, 0, 2, 0})));
    sim_done(&sim);
}

/* s0 is started first: nobody else of ours was up when it failed. */
static void test_first(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        size_t service;
        bool by_request; /* s0 is */
        int fact[4], other[4];
        bool covers;
    } firsts[] = {
        {"beside another's model", 0, false, {0, 1, 0, 0}, {0, 1, 2, 0}, true},
        {"beside less of the other", 0, false, {0, 1, 2, 2}, {0, 1, 0, 0}, true},
        {"more of its own", 0, false, {0, 1, 2, 2}, {0, 2, 0, 0}, true},
        {"less of its own may fit", 0, false, {0, 1, 0, 0}, {0, 0, 0, 0}, false},
        {"another model of its own", 0, false, {0, 1, 0, 0}, {1, 1, 0, 0}, false},
        {"the second one was not alone", 1, false, {0, 1, 1, 0}, {0, 0, 1, 0}, false},
        {"unless the first is not up by itself", 1, true, {0, 1, 1, 0}, {1, 0, 1, 0}, true},
    };
    struct sim sim;
    sim_init(&sim, 2, knobs, ARRAY_LEN(knobs), nothing, NULL);
    sim.study->knobs[1].memory = sim.study->knobs[2].memory = MEMORY_MORE;
    for (size_t k = 0; k < ARRAY_LEN(knobs); k++)
        for (size_t v = 0; v < 3; v++)
            sim.study->knobs[k].values[v].number = (double)v;
    for (size_t i = 0; i < ARRAY_LEN(firsts); i++) {
        struct history_trial fact = {.bound = BOUND_ABOVE_FAILS,
                                     .bound_service = firsts[i].service};
        fact.code = code_of(sim.study, firsts[i].fact);
        sim.study->services[0].by_request = firsts[i].by_request;
        CHECK_ROW(i, firsts[i].name,
                  study_bound_covers(sim.study, &fact, code_of(sim.study, firsts[i].other)) ==
                      firsts[i].covers);
    }
    sim_done(&sim);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_covers),
        cmocka_unit_test(test_first),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
