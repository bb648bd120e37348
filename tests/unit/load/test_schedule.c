/* Whose turn it is, played without a clock. */
#include "load/schedule.h"

#include "check.h"
#include "plan_of.h"

/* 100 requests/s from the drawn phase on. */
static struct load_schedule open_schedule(struct load_plan *plan, int limit, uint64_t requests)
{
    *plan = plan_of("openai-chat", NULL, "http://127.0.0.1:1/");
    plan->streams[0].concurrency = limit;
    plan->streams[0].request_limit = requests;
    return load_schedule_init(plan, 0, 1000 * NS_PER_MS, 2000 * NS_PER_MS);
}

static void test_open_loop_never_waits_for_answers(void **state)
{
    (void)state;
    struct load_plan plan;
    struct load_schedule s = open_schedule(&plan, 0, 0);
    struct load_arrivals a = load_arrivals_init(&plan, 0);
    int sent = 0;
    while (load_schedule_due_ns(&s) != CLOCK_NEVER) {
        struct load_turn turn = load_schedule_take(&s);
        assert_int_equal(turn.intended_ns, 1000 * NS_PER_MS + load_arrivals_next(&a));
        assert_int_equal(turn.due_ns, turn.intended_ns);
        assert_int_equal(turn.sequence, sent++);
        assert_false(turn.held_back);
    }
    assert_int_equal(sent, 100);
    assert_false(load_schedule_over(&s, 2000 * NS_PER_MS)); /* answers are still out */
    for (int i = 0; i < sent; i++)
        load_schedule_ended(&s, &(struct load_turn){0}, 2100 * NS_PER_MS, false);
    assert_true(load_schedule_over(&s, 2100 * NS_PER_MS));
    assert_false(load_schedule_over(&s, 1999 * NS_PER_MS));
    load_schedule_done(&s);
}

/* Whatever the number of workers, the same requests leave at the same times, each once. */
static void test_workers_share_a_plan(void **state)
{
    (void)state;
    static const struct {
        enum arrivals arrivals;
        int workers, concurrency;
        uint64_t limit;
    } rows[] = {
        {ARRIVALS_CONSTANT, 2, 0, 0}, {ARRIVALS_POISSON, 4, 0, 0}, {ARRIVALS_POISSON, 3, 2, 0},
        {ARRIVALS_CONSTANT, 4, 0, 7}, {ARRIVALS_POISSON, 4, 0, 2},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct load_plan plan;
        struct load_schedule whole = open_schedule(&plan, rows[i].concurrency, rows[i].limit);
        plan.streams[0].arrivals = rows[i].arrivals;
        load_schedule_done(&whole);
        whole = load_schedule_init(&plan, 0, 0, NS_PER_S);
        plan.workers = rows[i].workers;
        struct load_schedule parts[LOAD_WORKERS_MAX];
        int places = 0;
        for (int w = 0; w < plan.workers; w++) {
            plan.worker = w;
            parts[w] = load_schedule_init(&plan, 0, 0, NS_PER_S);
            places += parts[w].limit;
        }
        CHECK_ROW(i, "places", places == whole.limit);
        int count = whole.limit < plan.workers ? whole.limit : plan.workers;
        for (int n = 0; load_schedule_next_ns(&whole) != CLOCK_NEVER; n++) {
            struct load_turn expected = load_schedule_drop(&whole);
            struct load_turn got = load_schedule_drop(&parts[n % count]);
            CHECK_ROW(i, "sequence", got.sequence == expected.sequence);
            CHECK_ROW(i, "time", got.intended_ns == expected.intended_ns);
        }
        for (int w = 0; w < plan.workers; w++) {
            CHECK_ROW(i, "nothing is left", load_schedule_next_ns(&parts[w]) == CLOCK_NEVER);
            CHECK_ROW(i, "over", load_schedule_over(&parts[w], NS_PER_S));
            load_schedule_done(&parts[w]);
        }
        load_schedule_done(&whole);
    }
}

static void test_workers_share_clients(void **state)
{
    (void)state;
    struct load_plan plan;
    open_schedule(&plan, 5, 8);
    plan.streams[0].arrivals = ARRIVALS_CLOSED;
    plan.workers = 2;
    int clients[2] = {0}, requests = 0;
    uint64_t seen = 0;
    for (plan.worker = 0; plan.worker < 2; plan.worker++) {
        struct load_schedule s = load_schedule_init(&plan, 0, 0, NS_PER_S);
        clients[plan.worker] = s.limit;
        while (load_schedule_due_ns(&s) != CLOCK_NEVER) {
            struct load_turn turn = load_schedule_take(&s);
            seen |= UINT64_C(1) << turn.sequence;
            load_schedule_ended(&s, &turn, ++requests, false);
        }
        load_schedule_done(&s);
    }
    assert_int_equal(clients[0], 3);
    assert_int_equal(clients[1], 2);
    assert_int_equal(requests, 8);
    assert_int_equal(seen, 0xff); /* each number once */
}

static void test_limit_holds_back(void **state)
{
    (void)state;
    struct load_plan plan;
    struct load_schedule s = open_schedule(&plan, 2, 0);
    struct load_turn first = load_schedule_take(&s);
    load_schedule_take(&s);
    assert_int_equal(load_schedule_due_ns(&s), CLOCK_NEVER);
    int64_t third_ns = first.intended_ns + 20 * NS_PER_MS;
    assert_int_equal(load_schedule_next_ns(&s), third_ns);
    /* A place becomes free 5 ms after the third was due: held back, and not by us. */
    load_schedule_ended(&s, &first, third_ns + 5 * NS_PER_MS, false);
    assert_int_equal(load_schedule_due_ns(&s), third_ns);
    struct load_turn third = load_schedule_take(&s);
    assert_true(third.held_back);
    assert_int_equal(third.intended_ns, third_ns);
    assert_int_equal(third.due_ns, third_ns + 5 * NS_PER_MS);
    /* Free again before the fourth is due. */
    load_schedule_ended(&s, &third, third_ns + 7 * NS_PER_MS, false);
    struct load_turn fourth = load_schedule_take(&s);
    assert_false(fourth.held_back);
    assert_int_equal(fourth.due_ns, third_ns + 10 * NS_PER_MS);
    load_schedule_done(&s);
}

static void test_request_limit(void **state)
{
    (void)state;
    struct load_plan plan;
    struct load_schedule s = open_schedule(&plan, 0, 1);
    struct load_turn turn = load_schedule_take(&s);
    assert_int_equal(load_schedule_next_ns(&s), CLOCK_NEVER);
    assert_false(load_schedule_over(&s, 0));
    load_schedule_ended(&s, &turn, 1, false);
    assert_true(load_schedule_over(&s, 0));
    load_schedule_done(&s);
}

static void test_clients_join_one_by_one(void **state)
{
    (void)state;
    struct load_plan plan = plan_of("openai-chat", NULL, "http://127.0.0.1:1/");
    plan.streams[0].arrivals = ARRIVALS_CLOSED;
    plan.streams[0].concurrency = 5;
    plan.streams[0].client_gap_ns = 3 * NS_PER_MS;
    plan.workers = 2;
    for (plan.worker = 0; plan.worker < 2; plan.worker++) {
        struct load_schedule s = load_schedule_init(&plan, 0, NS_PER_S, 2 * NS_PER_S);
        for (int client = plan.worker; client < 5; client += 2)
            assert_int_equal(load_schedule_take(&s).intended_ns, NS_PER_S + client * 3 * NS_PER_MS);
        assert_int_equal(load_schedule_next_ns(&s), CLOCK_NEVER);
        load_schedule_done(&s);
    }
}

static void test_closed_loop(void **state)
{
    (void)state;
    struct load_plan plan = plan_of("openai-chat", NULL, "http://127.0.0.1:1/");
    plan.streams[0].arrivals = ARRIVALS_CLOSED;
    plan.streams[0].concurrency = 2;
    struct load_schedule s = load_schedule_init(&plan, 0, 1000, NS_PER_S);
    struct load_turn a = load_schedule_take(&s), b = load_schedule_take(&s);
    assert_int_equal(a.intended_ns, 1000);
    assert_int_equal(b.intended_ns, 1000);
    assert_int_not_equal(a.client, b.client);
    assert_int_equal(load_schedule_due_ns(&s), CLOCK_NEVER);
    load_schedule_ended(&s, &a, 5000, true); /* rests */
    load_schedule_ended(&s, &b, 7000, false);
    assert_int_equal(load_schedule_due_ns(&s), 7000);
    struct load_turn turn = load_schedule_take(&s);
    assert_int_equal(turn.intended_ns, 7000);
    assert_int_equal(turn.due_ns, 7000);
    assert_int_equal(load_schedule_due_ns(&s), 5000 + LOAD_REST_NS);
    struct load_turn last = load_schedule_take(&s);
    /* Free after the end: no more turns. */
    load_schedule_ended(&s, &turn, NS_PER_S, false);
    load_schedule_ended(&s, &last, NS_PER_S + 1, false);
    assert_int_equal(load_schedule_due_ns(&s), CLOCK_NEVER);
    assert_true(load_schedule_over(&s, NS_PER_S + 1));
    load_schedule_done(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_open_loop_never_waits_for_answers),
        cmocka_unit_test(test_workers_share_a_plan),
        cmocka_unit_test(test_workers_share_clients),
        cmocka_unit_test(test_limit_holds_back),
        cmocka_unit_test(test_request_limit),
        cmocka_unit_test(test_clients_join_one_by_one),
        cmocka_unit_test(test_closed_loop),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
