/* A tier's server that is not on its card: found, named, left, and only then stopped (tier_place.c,
 * tier_down.c). */
#include "tier_stage.h"

#include "check.h"
#include "listen.h"

#include "guard/tier_doubt.h"

#include <math.h>
#include <string.h>
#include <unistd.h>

/* Expected: a tier that is on, whether or not it takes requests, is found on the CPU within ten
 * seconds, named, not on any more, and its memory is known; it comes back where it is seen there
 * again. Before: only the watched one was looked at, others when they were warmed. */
static void test_a_tier_that_is_on_is_asked_for_its_place(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        bool unit, resident, frozen;
        enum device_listed now;
        enum guard_tier_power power;
        int stops;
    } rows[] = {
        {"on the card", true, true, false, DEVICE_LISTED_YES, TIER_ON, 0},
        {"not told", true, true, false, DEVICE_LISTED_UNKNOWN, TIER_ON, 0},
        {"on the CPU", true, true, false, DEVICE_LISTED_NO, TIER_FAILED, 0},
        {"on the CPU, ours", true, false, false, DEVICE_LISTED_NO, TIER_FAILED, 1},
        {"on the CPU, driver lost", true, true, true, DEVICE_LISTED_NO, TIER_ON, 0},
        {"on the CPU, no unit", false, true, false, DEVICE_LISTED_NO, TIER_FAILED, 0},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct placed placed;
        struct world *world = &placed.world;
        struct policy_seen seen = {0};
        placed_begin(&placed, rows[i].unit, rows[i].resident);
        CHECK_ROW(i, rows[i].name, step(world, 20) == TIER_ON);
        tier_unit_fill(world->unit, world->now_ns, &seen);
        CHECK_ROW(i, rows[i].name, seen.held_bytes == 3e9);
        CHECK_ROW(i, rows[i].name,
                  strcmp(tier_unit_place(world->unit), rows[i].unit ? "gpu" : "unproven") == 0);
        world->frozen = rows[i].frozen;
        listed = rows[i].now;
        works = true;
        const bool said = is_said(world, 10);
        CHECK_ROW(i, world->text, tier_unit_power(world->unit) == rows[i].power);
        CHECK_ROW(i, world->text, said == (rows[i].power == TIER_FAILED));
        CHECK_ROW(i, rows[i].name, the_unit.stops == rows[i].stops);
        const char *place = tier_unit_place(world->unit);
        CHECK_ROW(i, rows[i].name, rows[i].frozen ? !place : (strcmp(place, "cpu") == 0) == said);
        tier_unit_fill(world->unit, world->now_ns, &seen);
        CHECK_ROW(i, rows[i].name, !said || seen.power == POWER_OFF);
        if (said && rows[i].resident) {
            CHECK_ROW(i, rows[i].name, step(world, 300) != TIER_ON);
            listed = DEVICE_LISTED_YES;
            CHECK_ROW(i, rows[i].name, step(world, 200) == TIER_ON);
        }
        placed_end(&placed);
    }
}

/* Expected: a tier of ours that is found on the CPU goes on for as long as somebody would lose an
 * answer by its end; it is left by the policy, drained, and only then stopped. Before: stopped at
 * once, with what was on it. */
static void test_one_that_serves_is_not_stopped_at_once(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        bool current, last, unseen;
        uint64_t in_flight;
        const char *said; /* NULL: stopped at once */
        bool left;        /* once it is not the current one any more */
    } rows[] = {
        {"nobody on it", false, false, false, 0, NULL, false},
        {"current", true, false, false, 0, "stopped once it is empty", true},
        {"current, with streams", true, false, false, 2, "stopped once it is empty", true},
        {"streams from before", false, false, false, 1, "stopped once it is empty", true},
        {"current, the only usable", true, true, false, 1, "not stopped before another", false},
        {"the only usable", false, true, false, 0, "not stopped before another", false},
        {"HAProxy does not answer", false, true, true, 0, "not stopped before HAProxy", false},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        for (int restarted = 0; restarted < 2; restarted++) { /* moved, or came up there */
            struct placed placed;
            struct world *world = &placed.world;
            struct policy_seen seen = {0};
            placed_begin(&placed, true, false);
            world->current = true;
            step(world, 20);
            world->current = rows[i].current;
            world->last = rows[i].last;
            world->seen = !rows[i].unseen;
            world->server.in_flight = rows[i].in_flight;
            listed = DEVICE_LISTED_NO;
            works = true;
            if (restarted)
                the_unit.state.main_pid = 77;
            for (int s = 0; s < 10 && world->turn != TURN_FAILED; s++)
                step(world, 1);
            CHECK_ROW(i, rows[i].name, world->turn == TURN_FAILED);
            CHECK_ROW(i, world->text, !rows[i].said || strstr(world->text, rows[i].said));
            CHECK_ROW(i, rows[i].name, the_unit.stops == (rows[i].said ? 0 : 1));
            tier_unit_fill(world->unit, world->now_ns, &seen);
            CHECK_ROW(i, rows[i].name, seen.power == POWER_OFF && seen.resting);
            step(world, rows[i].left || !rows[i].said ? 5 : 130);
            CHECK_ROW(i, rows[i].name, the_unit.stops == (rows[i].said ? 0 : 1));
            if (rows[i].left) {
                world->current = false;
                for (int s = 0; s < 3 && world->turn != TURN_LEFT; s++)
                    step(world, 1);
                CHECK_ROW(i, rows[i].name, world->turn == TURN_LEFT && the_unit.stops == 0);
                world->server.drained = true;
                tier_unit_drain(world->unit, DRAIN_PATIENT, world->now_ns);
                CHECK_ROW(i, rows[i].name,
                          step(world, 20) == (rows[i].in_flight ? TIER_DRAINING : TIER_STOPPING));
                world->server.in_flight = 0;
                step(world, 3);
                CHECK_ROW(i, rows[i].name, the_unit.stops == 1);
            }
            placed_end(&placed);
        }
    }
}

/* One that is drained since it has failed takes requests again where the others are gone; that does
 * not make it well. */
static void test_one_that_has_failed_stays_so(void **state)
{
    (void)state;
    struct placed placed;
    struct world *world = &placed.world;
    placed_begin(&placed, true, false);
    world->current = true;
    step(world, 20);
    listed = DEVICE_LISTED_NO;
    works = true;
    assert_true(is_said(world, 10));
    world->current = false;
    world->server.in_flight = 1;
    step(world, 1);
    assert_int_equal(world->turn, TURN_LEFT);
    world->server.drained = true;
    tier_unit_drain(world->unit, DRAIN_PATIENT, world->now_ns);
    assert_int_equal(step(world, 5), TIER_DRAINING);
    assert_false(tier_unit_wants_ready(world->unit, world->turn));
    world->last = true;
    world->seen = false; /* without HAProxy all others are unknown, and that is no reason */
    assert_int_equal(step(world, 5), TIER_DRAINING);
    world->seen = true;
    assert_int_equal(step(world, 1), TIER_FAILED);
    assert_int_equal(world->turn, TURN_KEPT);
    assert_true(tier_unit_wants_ready(world->unit, world->turn));
    world->server.by_hand = true; /* drained by a person, whose word it is */
    assert_false(tier_unit_wants_ready(world->unit, world->turn));
    world->server.by_hand = false;
    assert_int_equal(step(world, 5), TIER_FAILED); /* HAProxy refuses it at first */
    assert_true(tier_unit_wants_ready(world->unit, world->turn));
    world->server.drained = false;
    assert_false(tier_unit_wants_ready(world->unit, world->turn));
    step(world, 60);
    assert_int_equal(the_unit.stops, 0);
    /* Restarted by a person, on the card. */
    the_unit.state.main_pid = (uint32_t)getpid();
    listed = DEVICE_LISTED_YES;
    assert_int_equal(step(world, 5), TIER_ON);
    placed_end(&placed);
}

/* Expected: one that unloads when nobody asks it stays on for as long as it does nothing, and one
 * that works elsewhere after that is found still. Before: on the CPU, after five seconds. */
static void test_who_unloads_by_himself_stays_on(void **state)
{
    (void)state;
    static const char *const names[] = {"no unit", "a unit", "kept", "a unit, kept"};
    for (size_t i = 0; i < 4; i++) {
        struct placed placed;
        placed_begin(&placed, i & 1, i & 2);
        CHECK_ROW(i, names[i], step(&placed.world, 20) == TIER_ON);
        listed = DEVICE_LISTED_NO;
        CHECK_ROW(i, names[i], !is_said(&placed.world, 40) && step(&placed.world, 1) == TIER_ON);
        works = true; /* what the next overload sends to it */
        CHECK_ROW(i, names[i], is_said(&placed.world, 10));
        placed_end(&placed);
    }
}

/* Expected: one without a unit that loads only with a request gets one, and is back. Before: it was
 * back when the driver listed it, for which nobody asked it. */
static void test_who_loads_when_asked_is_asked(void **state)
{
    (void)state;
    struct placed placed;
    placed_begin(&placed, false, true);
    assert_int_equal(step(&placed.world, 20), TIER_ON);
    listed = DEVICE_LISTED_NO;
    works = true;
    assert_true(is_said(&placed.world, 10));
    works = false;
    assert_int_equal(step(&placed.world, 60), TIER_FAILED); /* it answers from the CPU */
    assert_in_range(the_warm.asked, 1, 2);                  /* more and more seldom */
    loads_when_asked = true;
    assert_int_equal(step(&placed.world, 100), TIER_ON);
    placed_end(&placed);
}

/* Expected: what the driver said while it came up (imports take longer than five seconds) is over
 * when its first request has proven its place. Before: stopped by the next step between two looks.
 */
static void test_its_way_up_is_not_held_against_it(void **state)
{
    (void)state;
    struct placed placed;
    placed_begin(&placed, true, false);
    listed = DEVICE_LISTED_NO;
    works = true;
    the_warm.answers = false;
    assert_int_equal(step(&placed.world, 20), TIER_WARMING);
    listed = DEVICE_LISTED_YES;
    the_warm.answers = true;
    for (int i = 0; i < 80; i++) { /* four steps a second, a look every two */
        placed.world.now_ns -= NS_PER_S * 3 / 4;
        assert_false(is_said(&placed.world, 1));
    }
    assert_true(tier_unit_power(placed.world.unit) == TIER_ON && the_unit.stops == 0);
    placed_end(&placed);
}

/* What it holds is known once nothing moves. */
static void test_what_it_holds_is_settled(void **state)
{
    (void)state;
    struct placed placed;
    struct world *world = &placed.world;
    placed_begin(&placed, true, false);
    world->current = true;
    step(world, 20);
    assert_true(tier_unit_ours(world->unit, false, world->now_ns) == 3e9);
    the_unit.state.main_pid = (uint32_t)getpid(); /* another process */
    assert_int_equal(step(world, 1), TIER_WARMING);
    assert_true(isnan(tier_unit_ours(world->unit, false, world->now_ns)));
    assert_true(tier_unit_ours_least(world->unit) == 3e9); /* so much of it is no one else's */
    assert_int_equal(step(world, 3), TIER_ON);
    assert_true(isnan(tier_unit_ours(world->unit, true, world->now_ns)));
    step(world, 8);
    assert_true(tier_unit_ours(world->unit, false, world->now_ns) == 3e9);
    snprintf(the_unit.state.active, sizeof the_unit.state.active, "inactive");
    the_unit.state.main_pid = 0;
    assert_int_equal(step(world, 1), TIER_OFF); /* its workers hold it a while longer */
    assert_true(isnan(tier_unit_ours(world->unit, true, world->now_ns)));
    assert_true(tier_unit_ours_least(world->unit) == 0);
    step(world, 5);
    assert_true(tier_unit_ours(world->unit, true, world->now_ns) == 0);
    placed_end(&placed);
}

/* Expected: one that fails is an alarm, and it is over when all are on again. Before: a line. */
static void test_one_in_doubt_is_told(void **state)
{
    (void)state;
    struct placed placed;
    struct world *world = &placed.world;
    struct tier_doubt doubt = {.of = {[1] = true}}; /* another one is */
    enum guard_event_kind kind = EVENT_ACTED;
    placed_begin(&placed, false, true);
    step(world, 20);
    assert_false(tier_doubt_note(&doubt, 0, world->turn, world->unit, &kind));
    listed = DEVICE_LISTED_NO;
    works = true;
    for (int s = 0; s < 10 && world->turn != TURN_FAILED; s++)
        step(world, 1);
    assert_true(tier_doubt_note(&doubt, 0, world->turn, world->unit, &kind));
    assert_int_equal(kind, EVENT_ARM_DOUBT);
    step(world, 1);
    assert_false(tier_doubt_note(&doubt, 0, world->turn, world->unit, &kind));
    listed = DEVICE_LISTED_YES;
    assert_int_equal(step(world, 5), TIER_ON);
    assert_false(tier_doubt_note(&doubt, 0, TURN_CAME, world->unit, &kind));
    assert_true(tier_doubt_note(&doubt, 1, TURN_CAME, world->unit, &kind));
    assert_int_equal(kind, EVENT_ARM_SOUND);
    placed_end(&placed);
}

/* Before: an orphan had its port and answered its first request, and a tier on the CPU was warm. */
static void test_an_answer_of_another(void **state)
{
    (void)state;
    struct placed placed;
    placed_begin(&placed, true, false);
    placed.world.service.on = ON_CPU;
    if (proc_listener("/proc", placed.world.tier.port) != placed.child)
        skip(); /* not to be seen here */
    int port = 0;
    usleep(30000); /* younger than the other one, by the kernel's ticks */
    pid_t without = check_start_server(&port); /* that one listens elsewhere */
    the_unit.state.main_pid = (uint32_t)without;
    for (int s = 0; s < 6 && placed.world.turn != TURN_FAILED; s++)
        assert_int_not_equal(step(&placed.world, 1), TIER_ON);
    assert_non_null(strstr(placed.world.text, "is served by process"));
    check_end_server(without);
    placed_end(&placed);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_an_answer_of_another),
        cmocka_unit_test(test_a_tier_that_is_on_is_asked_for_its_place),
        cmocka_unit_test(test_one_that_serves_is_not_stopped_at_once),
        cmocka_unit_test(test_one_that_has_failed_stays_so),
        cmocka_unit_test(test_who_unloads_by_himself_stays_on),
        cmocka_unit_test(test_who_loads_when_asked_is_asked),
        cmocka_unit_test(test_its_way_up_is_not_held_against_it),
        cmocka_unit_test(test_what_it_holds_is_settled),
        cmocka_unit_test(test_one_in_doubt_is_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
