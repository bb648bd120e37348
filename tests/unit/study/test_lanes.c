/* Several lanes: whatever the order in which they end, and wherever the study is cut, the same
 * trials are run and the same candidate wins; nobody runs what another one runs. */
#include "study/simulate.h"

#include "base/rng.h"
#include "study/choose.h"
#include "study/crowd.h"

static const struct space_knob knobs[] = {{0, 4}, {0, 3}, {1, 5}};
enum { LANES_MAX = 4 };

struct crew {
    struct sim sim;
    struct rng rng; /* who ends next */
    size_t lanes;
    bool busy[LANES_MAX];
    struct trial_request request[LANES_MAX];
    int restarts; /* services started by exploring trials */
    bool has_up[LANES_MAX];
    struct spec_candidate up[LANES_MAX];
};

/* Depends on nothing but the candidate and what is measured: the order of lanes is no part of it.
 */
static struct sim_answer steady(void *context, const struct trial_request *request, spec_code code,
                                int tries)
{
    (void)context, (void)request, (void)tries;
    return (struct sim_answer){VERDICT_OK, (double)((code * 37 + 11) % 60 + 1) / 100, NULL};
}

/* Some are disturbed at first, some crash, some library is missing, one fails in the final. */
static struct sim_answer uneven(void *context, const struct trial_request *request, spec_code code,
                                int tries)
{
    if (code % 7 == 3 && tries < 2)
        return (struct sim_answer){VERDICT_CONTENDED, NAN, NULL};
    if (code % 11 == 5)
        return (struct sim_answer){VERDICT_INSTRUMENT, NAN, NULL};
    if (code % 9 == 4)
        return (struct sim_answer){VERDICT_CRASHED_LOAD, NAN, NULL};
    if (request->candidate.index[2] == 3)
        return (struct sim_answer){VERDICT_ENV_FAULT, NAN, "s1.k2=v3"};
    if (strcmp(request->purpose, "final") == 0 && code % 5 == 0 && request->repeat == 2)
        return (struct sim_answer){VERDICT_ERRORS, NAN, NULL};
    return steady(context, request, code, tries);
}

static void crew_init(struct crew *crew, size_t lanes, uint64_t seed, const char *strategy,
                      sim_machine machine)
{
    *crew = (struct crew){.lanes = lanes, .rng = rng_init(seed, "lanes")};
    sim_init(&crew->sim, 2, knobs, ARRAY_LEN(knobs), machine, NULL);
    crew->sim.study->search.strategy = strategy;
    crew->sim.study->seed = 7;
    crew->sim.plan.trials = 24;
    crew->sim.plan.lanes = lanes;
    sim_baseline(&crew->sim, 17);
}

static struct study_step crew_ask(struct crew *crew, size_t lane)
{
    AUTO(arena_free) struct arena *scratch = arena_new();
    struct trial_request pending[LANES_MAX];
    struct study_beside beside = {.pending = pending,
                                  .up = crew->has_up[lane] ? &crew->up[lane] : NULL};
    for (size_t i = 0; i < crew->lanes; i++)
        if (crew->busy[i])
            pending[beside.count++] = crew->request[i];
    return study_next_beside(&crew->sim.plan, &crew->sim.history, &beside, scratch);
}

static bool is_same(const struct trial_request *a, const struct trial_request *b)
{
    return strcmp(a->purpose, b->purpose) == 0 && a->round == b->round && a->repeat == b->repeat &&
           memcmp(a->candidate.index, b->candidate.index, 3 * sizeof(int)) == 0;
}

static void crew_begin(struct crew *crew, size_t lane, const struct study_step *step)
{
    for (size_t i = 0; i < crew->lanes; i++)
        if (crew->busy[i]) {
            assert_false(is_same(&crew->request[i], &step->request));
            assert_true(crew->request[i].number < step->request.number);
            bool final = strcmp(step->request.purpose, "final") == 0;
            assert_int_equal(final, strcmp(crew->request[i].purpose, "final") == 0);
        }
    crew->busy[lane] = true;
    crew->request[lane] = step->request;
    for (size_t s = 0; s < 2 && step->stage == STAGE_EXPLORE; s++) {
        bool changed = !crew->has_up[lane];
        for (size_t k = 0; k < 3; k++)
            changed = changed || (knobs[k].service == s &&
                                  crew->up[lane].index[k] != step->request.candidate.index[k]);
        crew->restarts += changed;
    }
    crew->has_up[lane] = true;
    crew->up[lane] = step->request.candidate;
}

static void crew_end(struct crew *crew, size_t lane)
{
    struct sim *sim = &crew->sim;
    const struct trial_request *request = &crew->request[lane];
    int tries = 1;
    for (size_t i = 0; i < sim->history.count; i++)
        tries += request->retry_of && (sim->history.trials[i].number == request->retry_of ||
                                       sim->history.trials[i].retry_of == request->retry_of);
    const struct sim_answer answer = sim->machine(
        sim->context, request, spec_candidate_code(sim->study, &request->candidate), tries);
    sim_append(sim, request, &answer);
    crew->busy[lane] = false;
}

/* One turn: free lanes begin what they can, then one busy lane ends. False when all is done. */
static bool crew_turn(struct crew *crew)
{
    size_t busy = 0;
    enum study_stage stage = STAGE_DONE;
    for (size_t i = 0; i < crew->lanes; i++) {
        if (!crew->busy[i]) {
            const struct study_step step = crew_ask(crew, i);
            stage = step.stage;
            if (stage < STAGE_WAIT)
                crew_begin(crew, i, &step);
        }
        busy += crew->busy[i];
    }
    if (busy == 0) {
        assert_int_equal(stage, STAGE_DONE); /* nobody waits for nobody */
        return false;
    }
    size_t nth = (size_t)rng_below(&crew->rng, busy);
    for (size_t i = 0; i < crew->lanes; i++)
        if (crew->busy[i] && nth-- == 0) {
            crew_end(crew, i);
            break;
        }
    return true;
}

static void crew_run(struct crew *crew)
{
    for (int i = 0; crew_turn(crew); i++)
        if (i > 2000)
            fail_msg("the study does not end");
}

/* Killed: what was under way is lost. */
static void crew_kill(struct crew *crew)
{
    for (size_t i = 0; i < crew->lanes; i++)
        crew->busy[i] = crew->has_up[i] = false;
}

/* Requests that were settled, as a sorted list of numbers; retries folded. */
static int compare(const void *a, const void *b)
{
    const uint64_t *x = a, *y = b;
    return (*x > *y) - (*x < *y);
}

static size_t settled(const struct sim *sim, uint64_t *ret)
{
    size_t count = 0;
    for (size_t i = 0; i < sim->history.count; i++) {
        const struct history_trial *t = &sim->history.trials[i];
        if (history_settled(&sim->history, i))
            ret[count++] =
                (((uint64_t)t->purpose * 16 + (uint64_t)t->round) * 128 + (uint64_t)t->repeat) *
                    4096 +
                t->code;
    }
    qsort(ret, count, sizeof *ret, compare);
    return count;
}

static char *winner(struct sim *sim)
{
    enum study_outcome outcome;
    AUTO_JSON json_t *decision = sim_decide(sim, &outcome);
    const char *name = json_get_text(decision, "winner");
    return strdup(name ? name : "none");
}

static const char *const strategies[] = {"grid", "random", "tournament"};

static void compare_crews(const char *strategy, sim_machine machine, size_t lanes, uint64_t seed,
                          bool kill)
{
    static uint64_t a[4096], b[4096];
    struct crew one, many;
    crew_init(&one, 1, 1, strategy, machine);
    sim_run(&one.sim);
    crew_init(&many, lanes, seed, strategy, machine);
    if (kill) {
        struct rng rng = rng_init(seed, "kills");
        for (size_t turns = 0; turns < 40; turns++) {
            if (!crew_turn(&many))
                break;
            if (rng_below(&rng, 6) == 0)
                crew_kill(&many);
        }
        crew_kill(&many);
    }
    crew_run(&many);
    size_t count = settled(&one.sim, a);
    CHECK_ROW(seed, strategy, settled(&many.sim, b) == count);
    CHECK_ROW(seed, strategy, memcmp(a, b, count * sizeof *a) == 0);
    AUTO(free) char *first = winner(&one.sim), *second = winner(&many.sim);
    assert_string_equal(first, second);
    for (size_t i = 1; i < many.sim.history.count; i++)
        assert_true(many.sim.history.trials[i].number > many.sim.history.trials[i - 1].number);
    if (!kill) /* no number is left out */
        assert_int_equal(many.sim.history.trials[many.sim.history.count - 1].number,
                         many.sim.history.count);
    sim_done(&one.sim);
    sim_done(&many.sim);
}

static void test_any_order(void **state)
{
    (void)state;
    for (size_t s = 0; s < ARRAY_LEN(strategies); s++)
        for (size_t lanes = 2; lanes <= LANES_MAX; lanes++)
            for (uint64_t seed = 1; seed <= 8; seed++)
                compare_crews(strategies[s], steady, lanes, seed, false);
}

static void test_killed_anywhere(void **state)
{
    (void)state;
    for (size_t s = 0; s < ARRAY_LEN(strategies); s++)
        for (uint64_t seed = 1; seed <= 20; seed++)
            compare_crews(strategies[s], steady, 2 + seed % 3, seed, true);
}

/* With failures the rulings come earlier or later, so that a lane may run what one lane alone would
 * have known to fail; what is measured well is the same, and everybody's answer too. */
static void test_uneven(void **state)
{
    (void)state;
    for (size_t s = 0; s < ARRAY_LEN(strategies); s++)
        for (uint64_t seed = 1; seed <= 8; seed++) {
            struct crew one, many;
            crew_init(&one, 1, 1, strategies[s], uneven);
            sim_run(&one.sim);
            crew_init(&many, 2 + seed % 3, seed, strategies[s], uneven);
            crew_run(&many);
            AUTO(free) char *first = winner(&one.sim), *second = winner(&many.sim);
            assert_string_equal(first, second);
            for (size_t i = 0; i < many.sim.history.count; i++)
                CHECK_ROW(i, strategies[s], history_tries(&many.sim.history, i) <= HISTORY_TRIES);
            sim_done(&one.sim);
            sim_done(&many.sim);
        }
}

/* What many lanes have left behind, one goes on with, and the other way round. */
static void test_lanes_change(void **state)
{
    (void)state;
    static uint64_t a[4096], b[4096];
    for (size_t cut = 1; cut < 36; cut += 3) {
        struct crew one, crew;
        crew_init(&one, 1, 1, "tournament", steady);
        sim_run(&one.sim);
        crew_init(&crew, 3, cut, "tournament", steady);
        for (size_t i = 0; i < cut; i++)
            (void)crew_turn(&crew);
        crew_kill(&crew);
        crew.lanes = crew.sim.plan.lanes = 1;
        crew_run(&crew);
        assert_int_equal(settled(&one.sim, a), settled(&crew.sim, b));
        assert_memory_equal(a, b, settled(&one.sim, a) * sizeof *a);
        sim_done(&one.sim);
        sim_done(&crew.sim);
    }
}

/* Lanes that take what they have up restart less than lanes which take turns. */
static void test_restarts(void **state)
{
    (void)state;
    struct crew one, two;
    crew_init(&one, 1, 1, "grid", steady);
    one.sim.plan.trials = 0;
    crew_run(&one);
    crew_init(&two, 2, 1, "grid", steady);
    two.sim.plan.trials = 0;
    crew_run(&two);
    assert_true(two.restarts <= one.restarts + 4);
    sim_done(&one.sim);
    sim_done(&two.sim);
}

/* Two lanes need half of the time, so that twice as much is explored in the same. */
static void test_time(void **state)
{
    (void)state;
    size_t explored[3] = {0};
    for (size_t lanes = 1; lanes <= 2; lanes++) {
        struct crew crew;
        crew_init(&crew, lanes, 1, "grid", steady);
        crew.sim.plan.trials = 0;
        crew.sim.plan.time_s = 900;
        crew_run(&crew);
        for (size_t i = 0; i < crew.sim.history.count; i++)
            explored[lanes] += crew.sim.history.trials[i].purpose == HISTORY_EXPLORE;
        sim_done(&crew.sim);
    }
    assert_true(explored[2] > explored[1]);
    assert_true(explored[1] > 0);
}

/* A study as those on a GPU are: 2 small models by 7 shares of a large one, which starts in 3 s and
 * 68 s, windows of 25 s. Two lanes come to the end in at most 0.6 of the time of one. */
static double virtual_time(size_t lanes, const char *strategy)
{
    static const struct space_knob few[] = {{0, 2}, {1, 7}};
    static const double start_s[] = {3, 68};
    struct crew crew = {.lanes = lanes, .rng = rng_init(1, "lanes")};
    double end_s[LANES_MAX] = {0}, now_s = 0;
    sim_init(&crew.sim, 2, few, ARRAY_LEN(few), steady, NULL);
    crew.sim.study->search.strategy = strategy;
    crew.sim.plan.lanes = lanes;
    sim_baseline(&crew.sim, 9);
    for (;;) {
        size_t first = lanes;
        for (size_t i = 0; i < lanes; i++) {
            const struct study_step step =
                crew.busy[i] ? (struct study_step){.stage = STAGE_WAIT} : crew_ask(&crew, i);
            if (step.stage < STAGE_WAIT) {
                end_s[i] = now_s + 5 + (double)step.request.window_ns / 1e9 * 25 / 30;
                for (size_t s = 0; s < 2; s++)
                    if (step.request.cold || !crew.has_up[i] ||
                        crew.up[i].index[s] != step.request.candidate.index[s])
                        end_s[i] += start_s[s];
                crew.request[i] = step.request;
                crew.busy[i] = true;
                crew.has_up[i] = !step.request.cold;
                crew.up[i] = step.request.candidate;
            }
            if (crew.busy[i] && (first == lanes || end_s[i] < end_s[first]))
                first = i;
        }
        if (first == lanes)
            break;
        now_s = end_s[first];
        crew_end(&crew, first);
    }
    sim_done(&crew.sim);
    return now_s;
}

static void test_two_lanes_take_half(void **state)
{
    (void)state;
    for (size_t s = 0; s < ARRAY_LEN(strategies); s++) {
        double one = virtual_time(1, strategies[s]), two = virtual_time(2, strategies[s]);
        CHECK_ROW(s, strategies[s], two <= 0.6 * one);
    }
}

/* Copies: values in place of knobs, names, the order, who is whose copy. */
static void test_crowd(void **state)
{
    (void)state;
    struct sim sim;
    sim_init(&sim, 2, knobs, ARRAY_LEN(knobs), steady, NULL);
    struct spec_setting command[] = {{.text = "serve"},
                                     {.text = "--model={k0}"},
                                     {.text = "{port}"},
                                     {.text = "{{{dir}/{k1}"},
                                     {.text = "{k1}"}};
    sim.study->services[0].command = command;
    sim.study->services[0].command_count = ARRAY_LEN(command);
    struct spec_setting environment[] = {{.name = "TOKEN", .text = "{TOKEN}"}, /* handed on */
                                         {.name = "k0", .text = "{k0}"},
                                         {.name = "MODEL", .text = "{k0}"}};
    sim.study->services[0].environment = environment;
    sim.study->services[0].environment_count = ARRAY_LEN(environment);
    for (size_t k = 0; k < 2; k++)
        for (size_t v = 0; v < knobs[k].values; v++)
            sim.study->knobs[k].values[v].text =
                arena_printf(sim.arena, "%s%zu{", k ? "b" : "a", v);
    sim.study->knobs[1].values[2].text = NULL;
    struct spec_candidate candidate = {.index = {3, 1, 0}};
    const size_t copies[SPEC_SERVICES_MAX] = {3, 1};
    size_t origin[SPEC_SERVICES_MAX];
    struct spec_study crowd;
    study_crowd_build(sim.study, &candidate, copies, sim.arena, &crowd, origin);
    static const char *const names[] = {"s0", "s1", "s0~2", "s1~2", "s0~3", "s0~4"};
    static const size_t origins[] = {0, 1, 0, 1, 0, 0};
    assert_int_equal(crowd.service_count, ARRAY_LEN(names));
    assert_int_equal(crowd.knob_count, 0);
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        assert_string_equal(crowd.services[i].name, names[i]);
        assert_int_equal(origin[i], origins[i]);
    }
    static const char *const texts[] = {"serve", "--model=a3{{", "{port}", "{{{dir}/b1{{", "b1{{"};
    for (size_t i = 0; i < ARRAY_LEN(texts); i++)
        assert_string_equal(crowd.services[4].command[i].text, texts[i]);
    const struct spec_setting *handed = crowd.services[4].environment;
    assert_non_null(handed[0].text);
    assert_string_equal(handed[0].text, "{TOKEN}");
    assert_true(spec_setting_hands_on(&crowd, 4, &handed[0]));
    assert_string_equal(handed[1].text, "a3{{"); /* a knob's value */
    assert_string_equal(handed[2].text, "a3{{");
    candidate.index[1] = 2; /* a value that leaves its texts out */
    study_crowd_build(sim.study, &candidate, copies, sim.arena, &crowd, origin);
    assert_null(crowd.services[0].command[3].text);
    assert_null(crowd.services[2].command[4].text);
    sim_done(&sim);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_any_order),
        cmocka_unit_test(test_killed_anywhere),
        cmocka_unit_test(test_uneven),
        cmocka_unit_test(test_lanes_change),
        cmocka_unit_test(test_restarts),
        cmocka_unit_test(test_time),
        cmocka_unit_test(test_two_lanes_take_half),
        cmocka_unit_test(test_crowd),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
