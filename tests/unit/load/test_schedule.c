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

/* 64 clients, a warm-up of 2 s: they join one by one over its first second, the same ones at the
 * same times whoever sends. Before: all in the same moment, and in step from there on. */
static void test_clients_spread(void **state)
{
    (void)state;
    enum { CLIENTS = 64 };
    static const struct {
        const char *name;
        int64_t warmup_ns, after_ns, span_ns;
    } rows[] = {
        {"warm-up", 2 * NS_PER_S, 0, NS_PER_S},
        {"starts within it", 2 * NS_PER_S, NS_PER_S, NS_PER_S / 2},
        {"starts after it", NS_PER_S, 2 * NS_PER_S, 0},
        {"none", 0, 0, 0},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct load_plan plan = plan_of("openai-chat", NULL, "http://127.0.0.1:1/");
        int64_t joined[CLIENTS], phase_most = 0, phases[10] = {0};
        plan.warmup_ns = rows[i].warmup_ns;
        plan.streams[0].arrivals = ARRIVALS_CLOSED;
        plan.streams[0].concurrency = CLIENTS;
        plan.streams[0].start_after_ns = rows[i].after_ns;
        for (int workers = 1; workers <= 2; workers++)
            for (plan.workers = workers, plan.worker = 0; plan.worker < workers; plan.worker++) {
                struct load_schedule s = load_schedule_init(&plan, 0, NS_PER_S, 9 * NS_PER_S);
                for (int c = plan.worker; c < CLIENTS; c += workers) {
                    int64_t at_ns = load_schedule_take(&s).intended_ns - NS_PER_S;
                    CHECK_ROW(i, rows[i].name, workers == 1 || at_ns == joined[c]);
                    joined[c] = at_ns;
                }
                load_schedule_done(&s);
            }
        CHECK_ROW(i, rows[i].name, joined[0] == 0);
        for (int c = 1; c < CLIENTS; c++) {
            int64_t part_ns = rows[i].span_ns / CLIENTS;
            CHECK_ROW(i, rows[i].name, joined[c] >= c * part_ns && joined[c] <= (c + 1) * part_ns);
            /* Answers of 4 parts: equal gaps would have 16 in each of four places. */
            phase_most += part_ns && ++phases[joined[c] % (4 * part_ns) * 10 / (4 * part_ns)] > 15;
        }
        CHECK_ROW(i, rows[i].name, phase_most == 0);
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

/* A plan with no protocol's need: turns and think times only. */
static struct load_plan session_plan(enum arrivals arrivals, int turns)
{
    static const struct corpus none = {0};
    struct load_plan plan = plan_of("openai-chat", &none, "http://127.0.0.1:1/");
    plan.streams[0].arrivals = arrivals;
    plan.streams[0].concurrency = 2;
    plan.streams[0].shape.think_ns =
        (struct spec_spread){.kind = SPREAD_FIXED, .low = 50e6, .high = 50e6, .max = 50e6};
    if (turns > 0)
        plan.streams[0].shape.turns =
            (struct spec_spread){.kind = SPREAD_FIXED, .low = turns, .high = turns, .max = turns};
    return plan;
}

static void test_clients_think(void **state)
{
    (void)state;
    struct load_plan plan = session_plan(ARRIVALS_CLOSED, 0);
    struct load_schedule s = load_schedule_init(&plan, 0, 0, 10 * NS_PER_S);
    struct load_turn a = load_schedule_take(&s), b = load_schedule_take(&s);
    /* They do not begin in step: each waits for a part of its think time first. */
    assert_in_range(a.intended_ns, 0, 50 * NS_PER_MS);
    assert_in_range(b.intended_ns, a.intended_ns + 1, 50 * NS_PER_MS);
    load_schedule_ended(&s, &a, 100 * NS_PER_MS, false);
    assert_int_equal(load_schedule_next_ns(&s), 150 * NS_PER_MS);
    /* A failure rests, not thinks and rests. */
    load_schedule_ended(&s, &b, 100 * NS_PER_MS, true);
    load_schedule_take(&s);
    assert_int_equal(load_schedule_next_ns(&s), 100 * NS_PER_MS + LOAD_REST_NS);
    load_schedule_done(&s);
    /* A probe thinks of nothing. */
    plan.probe = true;
    s = load_schedule_init(&plan, 0, 77, 10 * NS_PER_S);
    assert_int_equal(load_schedule_next_ns(&s), 77);
    load_schedule_done(&s);
}

static void test_sessions_of_a_closed_loop(void **state)
{
    (void)state;
    struct load_plan plan = session_plan(ARRIVALS_CLOSED, 3);
    plan.streams[0].concurrency = 1;
    struct load_schedule s = load_schedule_init(&plan, 0, 0, 100 * NS_PER_S);
    int64_t now_ns = 0;
    for (unsigned i = 0; i < 9; i++) {
        struct load_turn turn = load_schedule_take(&s);
        assert_int_equal(turn.sequence, i);
        assert_int_equal(turn.session, i / 3);
        assert_int_equal(turn.turn, i % 3);
        assert_int_equal(turn.client, 0);
        now_ns = turn.intended_ns + NS_PER_S;
        load_schedule_ended(&s, &turn, now_ns, false);
        /* Until its answer is read, nobody knows what comes next; and it is not over. */
        assert_int_equal(load_schedule_next_ns(&s), CLOCK_NEVER);
        assert_false(load_schedule_over(&s, 1000 * NS_PER_S));
        assert_int_equal(load_schedule_go_on(&s, &turn, now_ns, false), i % 3 < 2);
        assert_int_equal(load_schedule_next_ns(&s), now_ns + 50 * NS_PER_MS);
    }
    /* A failed turn ends its session; the client rests and begins another. */
    struct load_turn turn = load_schedule_take(&s);
    load_schedule_ended(&s, &turn, now_ns, true);
    assert_false(load_schedule_go_on(&s, &turn, now_ns, true));
    assert_int_equal(load_schedule_next_ns(&s), now_ns + LOAD_REST_NS);
    turn = load_schedule_take(&s);
    assert_int_equal(turn.session, 4);
    assert_int_equal(turn.turn, 0);
    load_schedule_done(&s);
}

/* New sessions come at the plan's times, whatever the others do; further turns lie between. */
static void test_sessions_of_an_open_loop(void **state)
{
    (void)state;
    struct load_plan plan = session_plan(ARRIVALS_CONSTANT, 2);
    plan.streams[0].concurrency = 100;
    struct load_schedule s = load_schedule_init(&plan, 0, 0, NS_PER_S);
    struct load_arrivals arrivals = load_arrivals_init(&plan, 0);
    uint64_t sessions = 0, turns = 0;
    int64_t last_ns = 0;
    while (load_schedule_due_ns(&s) != CLOCK_NEVER) {
        struct load_turn turn = load_schedule_take(&s);
        assert_true(turn.intended_ns >= last_ns);
        last_ns = turn.intended_ns;
        assert_int_equal(turn.sequence, turns++);
        if (turn.turn == 0) {
            assert_int_equal(turn.session, sessions++);
            assert_int_equal(turn.intended_ns, load_arrivals_next(&arrivals));
        }
        load_schedule_ended(&s, &turn, turn.intended_ns + NS_PER_MS, false);
        load_schedule_go_on(&s, &turn, turn.intended_ns + NS_PER_MS, false);
    }
    assert_int_equal(sessions, 100);
    assert_int_equal(turns, 195); /* of the last five sessions the second turn is over the end */
    assert_true(s.client_count <= 8);
    assert_true(load_schedule_over(&s, NS_PER_S));
    load_schedule_done(&s);
}

static void test_dropped_turn_ends_its_session(void **state)
{
    (void)state;
    struct load_plan plan = session_plan(ARRIVALS_CONSTANT, 5);
    struct load_schedule s = load_schedule_init(&plan, 0, 0, NS_PER_S);
    struct load_turn turn = load_schedule_take(&s);
    load_schedule_ended(&s, &turn, turn.intended_ns, false);
    assert_true(load_schedule_go_on(&s, &turn, turn.intended_ns, false));
    uint64_t dropped = 0;
    while (load_schedule_next_ns(&s) != CLOCK_NEVER)
        dropped += load_schedule_drop(&s).turn > 0;
    assert_int_equal(dropped, 1);
    assert_int_equal(s.client_count, s.unused_count);
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
        cmocka_unit_test(test_clients_spread),
        cmocka_unit_test(test_closed_loop),
        cmocka_unit_test(test_clients_think),
        cmocka_unit_test(test_sessions_of_a_closed_loop),
        cmocka_unit_test(test_sessions_of_an_open_loop),
        cmocka_unit_test(test_dropped_turn_ends_its_session),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
