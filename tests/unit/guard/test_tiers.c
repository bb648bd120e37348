/* Two fronts on one device, at run time: what each step makes of what it sees. */
#include "tiers_stage.h"

#include "check.h"

#include "guard/policy_record.h"

#include <string.h>

/* A rule asks both to go up: there is room for one of them. */
static void test_one_is_started_where_one_fits(void **state)
{
    (void)state;
    struct world w;
    world_begin(&w);
    step(&w, 5);
    wish_up(&w);
    step(&w, 1);
    assert_int_equal(the_starts, 1);
    for (int i = 0; i < 30; i++) {
        step(&w, 1);
        CHECK_ROW(i, "the larger reserve of both is kept", free_bytes() >= 512 * MIB);
    }
    assert_int_equal(the_starts, 1);
    assert_int_equal(the_drains, 0);
    world_end(&w);
}

static void test_both_are_started_where_both_fit(void **state)
{
    (void)state;
    struct world w;
    world_begin(&w);
    total_bytes = 8000 * MIB;
    step(&w, 5);
    wish_up(&w);
    step(&w, 1);
    assert_int_equal(the_starts, 1); /* one in a look */
    step(&w, 1);
    assert_int_equal(the_starts, 2);
    step(&w, 20);
    assert_string_equal(the_tiers[0], "base");
    assert_string_equal(the_tiers[1], "base");
    world_end(&w);
}

static void test_one_shortage_takes_the_largest(void **state)
{
    (void)state;
    struct world w;
    go_up(&w);
    step(&w, 1);
    assert_int_equal(the_drains, 1);
    assert_int_equal(the_units[2]->power, TIER_DRAINING); /* 2200 MiB, though the second front */
    assert_non_null(strstr(w.told, "1 base -> tiny: the memory of base is needed"));
    step(&w, 30);
    assert_int_equal(the_drains, 1);
    assert_string_equal(the_tiers[0], "base");
    world_end(&w);
}

static void test_one_that_is_refused_leaves_it_to_the_next(void **state)
{
    (void)state;
    struct world w;
    go_up(&w);
    refuses[1] = true;
    step(&w, 1);
    assert_int_equal(the_drains, 1);
    assert_int_equal(the_units[0]->power, TIER_DRAINING);
    world_end(&w);
}

static void test_a_lost_driver_freezes_its_front(void **state)
{
    (void)state;
    struct world w;
    go_up(&w);
    for (size_t f = 0; f < FRONTS; f++)
        guard_tiers_freeze(w.tiers, f, "driver lost");
    step(&w, 700);
    assert_int_equal(the_drains, 0);
    assert_true(the_units[0]->frozen && the_units[3]->frozen);
    assert_non_null(
        strstr(w.told, "0 driver lost: no tier is started or stopped until that is over"));
    guard_tiers_freeze(w.tiers, 1, NULL);
    step(&w, 1);
    assert_int_equal(the_drains, 1);
    assert_int_equal(the_units[2]->power, TIER_DRAINING);
    assert_non_null(strstr(w.told, "1 tiers are started and stopped again"));
    world_end(&w);
}

/* A promotion: first requests are made by it from here on; who is on its way up stays on it, and
 * what takes requests goes on. */
static void test_production_is_followed_in_place(void **state)
{
    (void)state;
    struct world w;
    world_begin(&w);
    step(&w, 5);
    wish_up(&w);
    step(&w, 2);
    assert_int_equal(the_starts, 1);
    const size_t units = the_count;
    w.running.index[0] = 1;
    the_followed = (struct spec_candidate){{0}};
    w.told[0] = '\0';
    assert_true(guard_tiers_are_read(w.tiers));
    assert_true(guard_tiers_follow(w.tiers, &w.running));
    assert_int_equal(the_count, units);
    assert_int_equal(the_followed.index[0], 1);
    step(&w, 10);
    assert_int_equal(the_starts, 1);
    assert_int_equal(the_units[0]->power, TIER_ON);
    assert_string_equal(the_tiers[0], "base"); /* as it was asked to, before */
    assert_non_null(strstr(w.told, "how slow it is under load was not measured"));
    world_end(&w);
}

static void test_it_is_recorded(void **state)
{
    (void)state;
    struct world w;
    world_begin(&w);
    AUTO(buf_done) struct buf head = BUF_INIT(64 << 10);
    assert_true(guard_tiers_head(w.tiers, &head));
    assert_string_equal(buf_text(&head),
                        "{\"fronts\":{\"stt\":{\"reserve\":536870912,\"tiers\":{\"base\":{\"peak\":"
                        "2097152000,\"curve\":[]},\"tiny\":{\"peak\":104857600,\"curve\":[]}}},"
                        "\"llm\":{\"reserve\":536870912,\"tiers\":{\"base\":{\"peak\":2306867200,"
                        "\"curve\":[]},\"tiny\":{\"peak\":104857600,\"curve\":[]}}}}}");
    step(&w, 5);
    wish_up(&w);
    step(&w, 1);
    const struct policy_records *records = guard_tiers_records(w.tiers);
    assert_non_null(records);
    assert_int_equal(records->count, FRONTS);
    const struct policy_record *first = &records->items[0], *second = &records->items[1];
    assert_true(first->choice.start == 0 && first->input.wish == 1);
    assert_int_equal(second->choice.start, -1);
    assert_true(second->input.others_start && second->input.promised_bytes > 2000 * MIB);
    world_end(&w);
}

/* Expected: one that is not down after its stop is told as such, with its words, and once that the
 * last of them is over. */
static void test_one_that_does_not_stop(void **state)
{
    (void)state;
    struct world w;
    world_begin(&w);
    step(&w, 3);
    assert_int_equal(w.kinds[EVENT_TIER_STAYS], 0);
    the_units[2]->stays = "base does not stop: c.service is deactivating";
    the_units[3]->stays = "tiny does not stop either";
    step(&w, 5);
    assert_int_equal(w.kinds[EVENT_TIER_STAYS], 2);
    assert_non_null(strstr(w.told, "1 base does not stop: c.service is deactivating\n"));
    the_units[3]->stays = NULL;
    step(&w, 5);
    assert_int_equal(w.kinds[EVENT_TIER_GONE], 0);
    the_units[2]->stays = NULL;
    step(&w, 5);
    assert_int_equal(w.kinds[EVENT_TIER_GONE], 1);
    assert_int_equal(w.kinds[EVENT_TIER_STAYS], 2);
    world_end(&w);
}

/* Of tiny: so many that took two seconds, or that were quick. */
static void answer(struct world *w, int count, double seconds)
{
    const struct proxy_request request = {
        .front = 0, .server = 1, .status = 200, .total_s = seconds, .first_s = 0.01};
    for (int i = 0; i < count; i++)
        guard_tiers_request(w->tiers, &request, w->now_ns);
    step(w, 2);
}

/* On the edge of its limit, with nothing smaller. Expected: it is said once a minute. Before: each
 * time that it went over, every two seconds. */
static void test_what_can_not_be_mended(void **state)
{
    (void)state;
    static const char words[] = "no other tier keeps it, and this is the smallest";
    struct world w;
    world_begin(&w);
    step(&w, 5);
    /* Over and under the twentieth that may be slow, of all that the window holds. */
    for (int slow = 40; slow < 4000; slow *= 8) {
        answer(&w, slow, 2);
        answer(&w, 40 * slow, 0.01);
    }
    const char *first = strstr(w.told, words);
    assert_non_null(first);
    assert_null(strstr(first + 1, words));
    step(&w, 120);
    answer(&w, 40, 2);
    assert_non_null(strstr(first + 1, words));
    world_end(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_one_is_started_where_one_fits),
        cmocka_unit_test(test_both_are_started_where_both_fit),
        cmocka_unit_test(test_one_shortage_takes_the_largest),
        cmocka_unit_test(test_one_that_is_refused_leaves_it_to_the_next),
        cmocka_unit_test(test_a_lost_driver_freezes_its_front),
        cmocka_unit_test(test_production_is_followed_in_place),
        cmocka_unit_test(test_it_is_recorded),
        cmocka_unit_test(test_one_that_does_not_stop),
        cmocka_unit_test(test_what_can_not_be_mended),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
