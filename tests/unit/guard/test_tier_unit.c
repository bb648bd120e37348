/* One tier's server through its states: up, drained, stopped. */
#include "tier_stage.h"

#include "check.h"
#include "guard/tier_doubt.h"

#include <string.h>

/* A guard that was killed may have left any of them half up. */
static void test_only_the_current_one_is_warm_at_first(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        bool seen, current, known;
        enum guard_tier_power first;
        int asked;
    } rows[] = {
        {"current", true, true, true, TIER_ON, 0},
        {"current, before systemd has answered", true, true, false, TIER_ON, 0},
        {"another", true, false, true, TIER_WARMING, 1},
        {"another, before systemd has answered", true, false, false, TIER_OFF, 1},
        {"HAProxy is down", false, false, true, TIER_WARMING, 1},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct world world;
        world_begin(&world);
        world.seen = rows[i].seen;
        world.current = rows[i].current;
        the_unit.state.known = rows[i].known;
        CHECK_ROW(i, rows[i].name, step(&world, 1) == rows[i].first);
        the_unit.state.known = true;
        CHECK_ROW(i, rows[i].name, step(&world, 4) == TIER_ON);
        CHECK_ROW(i, rows[i].name, the_warm.asked == rows[i].asked);
        tier_unit_free(world.unit);
    }
}

/* systemd has restarted it between two looks: it was active in both. */
static void test_another_process_is_warmed_again(void **state)
{
    (void)state;
    struct world world;
    world_begin(&world);
    world.current = true;
    assert_int_equal(step(&world, 3), TIER_ON);
    the_unit.state.main_pid = 200;
    assert_int_equal(step(&world, 1), TIER_WARMING);
    assert_int_equal(world.turn, TURN_WENT);
    assert_non_null(strstr(world.text, "was restarted (process 200 after 100)"));
    assert_int_equal(step(&world, 3), TIER_ON);
    assert_int_equal(the_warm.asked, 1);
    assert_int_equal(step(&world, 5), TIER_ON); /* and that is it */
    tier_unit_free(world.unit);
}

static void set_active(const char *word)
{
    snprintf(the_unit.state.active, sizeof the_unit.state.active, "%s", word);
}

/* A unit of Type=notify-reload that reads its settings anew while it comes up.
 * Before: one that was warming had "not come up", and was stopped. */
static void test_one_that_reloads_runs(void **state)
{
    (void)state;
    struct world world;
    world_begin(&world);
    the_warm.answers = false;
    assert_int_equal(step(&world, 3), TIER_WARMING);
    set_active("reloading");
    for (int s = 0; s < 10; s++) {
        assert_int_equal(step(&world, 1), TIER_WARMING);
        assert_int_equal(world.turn, TURN_NONE);
    }
    world.held = true; /* nor have others taken it down */
    assert_int_equal(step(&world, 3), TIER_WARMING);
    the_warm.answers = true;
    assert_int_equal(step(&world, 3), TIER_ON);
    assert_int_equal(step(&world, 3), TIER_ON);
    assert_int_equal(the_unit.stops, 0);
    tier_unit_free(world.unit);
    for (int held = 0; held < 2; held++) { /* seen first while it reloads */
        char text[240];
        world_begin(&world);
        set_active("inactive");
        assert_int_equal(step(&world, 2), TIER_OFF);
        assert_true(tier_unit_start(world.unit, world.now_ns, text, sizeof text));
        world.held = held;
        set_active("reloading");
        assert_int_equal(step(&world, 5), TIER_ON);
        tier_unit_free(world.unit);
    }
}

static void test_draining_lasts_as_long_as_a_request_may(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        int64_t timeout_s;
        enum tier_haste haste;
        int64_t lasts_s;
    } rows[] = {
        {"a stream", 600, DRAIN_PATIENT, 600},
        {"short ones", 20, DRAIN_PATIENT, 20},
        {"memory is needed", 600, DRAIN_FOR_MEMORY, 60},
        {"memory is needed, short ones", 20, DRAIN_FOR_MEMORY, 20},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct world world;
        world_begin(&world);
        world.current = true;
        world.front.timeout_ns = rows[i].timeout_s * NS_PER_S;
        step(&world, 2);
        world.server.drained = true;
        world.server.in_flight = 1;
        tier_unit_drain(world.unit, rows[i].haste, world.now_ns);
        CHECK_ROW(i, rows[i].name, step(&world, rows[i].lasts_s) == TIER_DRAINING);
        CHECK_ROW(i, rows[i].name, step(&world, 1) == TIER_STOPPING && the_unit.stops == 1);
        CHECK_ROW(i, rows[i].name, strstr(world.text, "with 1 requests on it"));
        tier_unit_free(world.unit);
    }
}

static void test_memory_hurries_one_that_drains(void **state)
{
    (void)state;
    struct world world;
    world_begin(&world);
    world.current = true;
    step(&world, 2);
    world.server.drained = true;
    world.server.in_flight = 1;
    tier_unit_drain(world.unit, DRAIN_PATIENT, world.now_ns);
    step(&world, 30);
    tier_unit_drain(world.unit, DRAIN_FOR_MEMORY, world.now_ns);
    assert_int_equal(step(&world, 40), TIER_DRAINING);
    tier_unit_drain(world.unit, DRAIN_FOR_MEMORY, world.now_ns); /* said again: no longer */
    assert_int_equal(step(&world, 21), TIER_STOPPING);
    tier_unit_free(world.unit);
}

static void test_it_is_looked_at_once_more(void **state)
{
    (void)state;
    struct world world;
    world_begin(&world);
    world.current = true;
    step(&world, 2);
    world.server.drained = true;
    tier_unit_drain(world.unit, DRAIN_PATIENT, world.now_ns);
    assert_int_equal(step(&world, 1), TIER_DRAINING); /* empty, but one was chosen for it */
    world.server.in_flight = 1;
    assert_int_equal(step(&world, 5), TIER_DRAINING);
    world.server.in_flight = 0;
    assert_int_equal(step(&world, 1), TIER_DRAINING);
    assert_int_equal(step(&world, 1), TIER_STOPPING);
    assert_string_equal(world.text, "base is stopped, empty");
    tier_unit_free(world.unit);
    /* Somebody has it take requests again. */
    world_begin(&world);
    world.current = true;
    step(&world, 2);
    world.server.drained = true;
    world.server.in_flight = 1;
    tier_unit_drain(world.unit, DRAIN_PATIENT, world.now_ns);
    step(&world, 3);
    world.server.drained = false;
    assert_int_equal(step(&world, 1), TIER_ON);
    assert_int_equal(world.turn, TURN_KEPT);
    assert_int_equal(the_unit.stops, 0);
    tier_unit_free(world.unit);
}

/* Expected: a unit that hangs in its stop, or whose stop was refused, is said with what is known by
 * then, for as long as it is so; one that hangs takes no requests and is not started. Before: it
 * was taken as on and HAProxy was told so, and as down once its main process was gone. */
static void test_one_that_does_not_stop(void **state)
{
    (void)state;
    static const struct {
        const char *name, *active;
        uint32_t pid;
        const char *then;
        uint32_t then_pid;
        bool then_current, over;
    } rows[] = {
        {"it goes down at last", "deactivating", 100, "inactive", 0, false, true},
        {"it fails at last", "deactivating", 100, "failed", 0, false, true},
        {"somebody restarts it", "deactivating", 100, "active", 200, false, true},
        {"it is used again", "active", 100, "active", 100, true, true},
        {"it hangs", "deactivating", 100, "deactivating", 100, false, false},
        {"it stays as if nothing were", "active", 100, "active", 100, false, false},
        {"killed, and a process is left", "deactivating", 100, "failed", 100, false, false},
        {"its main process is gone, another is not", "deactivating", 0, "deactivating", 0, false,
         false},
        {"and goes later", "deactivating", 100, "deactivating", 0, false, false},
        {"all are gone at last", "deactivating", 0, "inactive", 0, false, true},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct world world;
        struct tier_doubt doubt = {0};
        enum guard_event_kind kind = EVENT_COUNT_;
        world_begin(&world);
        world.current = true;
        step(&world, 2);
        world.current = false;
        world.server.drained = true;
        tier_unit_drain(world.unit, DRAIN_PATIENT, world.now_ns);
        CHECK_ROW(i, rows[i].name, step(&world, 3) == TIER_STOPPING);
        snprintf(the_unit.state.active, sizeof the_unit.state.active, "%s", rows[i].active);
        the_unit.state.main_pid = rows[i].pid;
        CHECK_ROW(i, rows[i].name, step(&world, 115) == TIER_STOPPING);
        CHECK_ROW(i, rows[i].name, !tier_unit_stays(world.unit));
        CHECK_ROW(i, rows[i].name, !tier_doubt_note_stay(&doubt, 0, world.unit, 0, &kind));
        for (int k = 0; k < 6 && world.turn != TURN_STAYS; k++)
            step(&world, 1);
        CHECK_ROW(i, rows[i].name, world.turn == TURN_STAYS && tier_unit_stays(world.unit));
        CHECK_ROW(i, tier_unit_stays(world.unit),
                  strstr(tier_unit_stays(world.unit), "base does not stop: ") &&
                      strstr(tier_unit_stays(world.unit), rows[i].active) &&
                      !strstr(tier_unit_stays(world.unit), "process 100") == !rows[i].pid);
        const bool runs = strcmp(rows[i].active, "active") == 0;
        struct policy_seen seen = {0};
        tier_unit_fill(world.unit, world.now_ns, &seen);
        CHECK_ROW(i, rows[i].name,
                  tier_unit_power(world.unit) == (runs ? TIER_ON : TIER_OFF) &&
                      tier_unit_wants_ready(world.unit, TURN_NONE) == runs &&
                      seen.resting == !runs);
        char before[240];
        snprintf(before, sizeof before, "%s", tier_unit_stays(world.unit));
        CHECK_ROW(i, rows[i].name, tier_doubt_note_stay(&doubt, 0, world.unit, 0, &kind));
        CHECK_ROW(i, rows[i].name, kind == EVENT_TIER_STAYS);
        CHECK_ROW(i, rows[i].name, !tier_doubt_note_stay(&doubt, 0, world.unit, NS_PER_S, &kind));
        CHECK_ROW(i, rows[i].name,
                  tier_doubt_note_stay(&doubt, 0, world.unit, 301 * NS_PER_S, &kind));
        snprintf(the_unit.state.active, sizeof the_unit.state.active, "%s", rows[i].then);
        the_unit.state.main_pid = rows[i].then_pid;
        world.current = rows[i].then_current;
        step(&world, 5);
        const char *now = tier_unit_stays(world.unit);
        CHECK_ROW(i, rows[i].name, (now == NULL) == rows[i].over);
        CHECK_ROW(i, rows[i].name, !now || (strcmp(now, before) != 0 && strstr(now, rows[i].then)));
        CHECK_ROW(i, rows[i].name,
                  (tier_doubt_note_stay(&doubt, 0, world.unit, 302 * NS_PER_S, &kind) != NULL) ==
                      rows[i].over);
        CHECK_ROW(i, rows[i].name, !rows[i].over || kind == EVENT_TIER_GONE);
        tier_unit_free(world.unit);
    }
}

/* The tier that took its place is gone. Expected: it takes requests again at once, whatever its
 * memory is needed for. Before: it was emptied and stopped, and nobody answered until another was
 * warm. */
static void test_the_last_one_is_not_stopped(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        enum tier_haste haste;
        bool seen, usable, kept;
    } rows[] = {
        {"unused", DRAIN_PATIENT, true, true, true},
        {"memory is needed", DRAIN_FOR_MEMORY, true, true, true},
        {"it answers no more itself", DRAIN_FOR_MEMORY, true, false, false},
        {"HAProxy does not answer, nobody knows", DRAIN_FOR_MEMORY, false, true, false},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct world world;
        world_begin(&world);
        world.current = true;
        step(&world, 2);
        world.current = false;
        world.server.drained = true;
        world.server.in_flight = 1;
        tier_unit_drain(world.unit, rows[i].haste, world.now_ns);
        CHECK_ROW(i, rows[i].name, step(&world, 5) == TIER_DRAINING);
        world.last = true;
        world.seen = rows[i].seen;
        world.server.usable = rows[i].usable;
        CHECK_ROW(i, rows[i].name, step(&world, 1) == (rows[i].kept ? TIER_ON : TIER_DRAINING));
        CHECK_ROW(i, rows[i].name, (world.turn == TURN_KEPT) == rows[i].kept);
        CHECK_ROW(i, rows[i].name, tier_unit_wants_ready(world.unit, world.turn) == rows[i].kept);
        CHECK_ROW(i, rows[i].name, the_unit.stops == 0);
        tier_unit_free(world.unit);
    }
}

/* What others have started and does not answer is not stopped by one that only says. */
static void test_a_dry_run_stops_nothing(void **state)
{
    (void)state;
    for (int dry = 0; dry < 2; dry++) {
        struct world world;
        world_begin(&world);
        world.options.dry_run = dry;
        the_warm.answers = false;
        assert_int_equal(step(&world, 80), TIER_FAILED);
        assert_int_equal(the_unit.stops, dry ? 0 : 1);
        tier_unit_free(world.unit);
    }
}

/* A promotion, or a study that has paused units, begins while it drains; and one that fails then.
 */
static void test_what_others_have_spoken_for_is_not_stopped(void **state)
{
    (void)state;
    struct world world;
    world_begin(&world);
    world.current = true;
    step(&world, 2);
    world.server.drained = true;
    tier_unit_drain(world.unit, DRAIN_FOR_MEMORY, world.now_ns);
    world.held = true;
    assert_int_equal(step(&world, 1), TIER_ON);
    assert_int_equal(world.turn, TURN_KEPT);
    assert_string_equal(world.text, "base is not stopped before others are done with its unit");
    assert_int_equal(step(&world, 1000), TIER_ON);
    tier_unit_drain(world.unit, DRAIN_FOR_MEMORY, world.now_ns);
    set_active("deactivating"); /* by them */
    assert_int_equal(step(&world, 1), TIER_OFF);
    assert_int_equal(world.turn, TURN_STOPPED);
    assert_false(tier_unit_wants_ready(world.unit, world.turn));
    assert_int_equal(the_unit.stops, 0);
    tier_unit_free(world.unit);

    world_begin(&world);
    the_warm.answers = false;
    world.held = true;
    for (int i = 0; i < 200 && world.turn != TURN_FAILED; i++)
        step(&world, 1);
    assert_int_equal(world.turn, TURN_FAILED);
    assert_non_null(strstr(world.text, "not stopped before others are done with its unit"));
    assert_int_equal(step(&world, 60), TIER_FAILED);
    assert_int_equal(world.turn, TURN_NONE);
    assert_int_equal(the_unit.stops, 0);
    world.held = false;
    step(&world, 1);
    assert_int_equal(world.turn, TURN_LEFT);
    tier_unit_free(world.unit);
}

/* Expected: it has not failed, and what runs later is warmed and kept. Before: an alarm, and the
 * new server was drained and stopped. */
static void test_what_others_take_down_has_not_failed(void **state)
{
    (void)state;
    static const struct {
        const char *name, *active, *sub;
        bool starting, paused, failed;
    } rows[] = {
        {"a study stops it while it loads", "deactivating", "stop", false, true, false},
        {"a promotion restarts it while it loads", "deactivating", "stop", false, false, false},
        {"it is down already", "inactive", "dead", false, true, false},
        {"it was started a moment ago", "deactivating", "stop", true, true, false},
        {"it was started, and is down already", "inactive", "dead", true, false, false},
        {"it dies again and again, and comes up at last", "activating", "auto-restart", true, false,
         true},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct world world;
        char text[240];
        bool failed = false;
        world_begin(&world);
        the_warm.answers = false;
        if (rows[i].starting) {
            set_active("inactive");
            step(&world, 2);
            CHECK_ROW(i, text, tier_unit_start(world.unit, world.now_ns, text, sizeof text));
        } else {
            CHECK_ROW(i, rows[i].name, step(&world, 3) == TIER_WARMING);
        }
        world.held = true;
        world.paused = rows[i].paused;
        set_active(rows[i].active);
        snprintf(the_unit.state.sub, sizeof the_unit.state.sub, "%s", rows[i].sub);
        the_unit.state.main_pid = 0;
        for (int s = 0; s < 20 && !failed; s++) {
            step(&world, 1);
            failed = world.turn == TURN_FAILED;
        }
        CHECK_ROW(i, rows[i].name, failed == rows[i].failed);
        CHECK_ROW(i, rows[i].name,
                  tier_unit_power(world.unit) == (rows[i].failed ? TIER_FAILED : TIER_OFF));
        world.held = world.paused = false;
        the_warm.answers = true;
        set_active("active");
        snprintf(the_unit.state.sub, sizeof the_unit.state.sub, "running");
        the_unit.state.main_pid = 200;
        step(&world, rows[i].failed ? 130 : 10);
        CHECK_ROW(i, rows[i].name, tier_unit_power(world.unit) == TIER_ON);
        CHECK_ROW(i, rows[i].name, the_unit.stops == 0);
        tier_unit_free(world.unit);
    }
}

/* Its stop was asked for, and systemd does not answer any more. Expected: nobody is told that it
 * may be used, and it is the same when systemd is back. Before: its old word was taken for one that
 * runs, and the process that was to stop for another. */
static void test_systemd_is_silent_while_it_stops(void **state)
{
    (void)state;
    struct world world;
    struct policy_seen seen = {0};
    world_begin(&world);
    world.current = true;
    step(&world, 2);
    world.current = false;
    world.server.drained = true;
    tier_unit_drain(world.unit, DRAIN_PATIENT, world.now_ns);
    assert_int_equal(step(&world, 3), TIER_STOPPING);
    the_unit.state = (struct guard_unit_state){0}; /* one of its answers did not come */
    for (int s = 0; s < 200 && world.turn != TURN_STAYS; s++)
        step(&world, 1);
    assert_int_equal(world.turn, TURN_STAYS);
    assert_int_equal(step(&world, 60), TIER_OFF);
    assert_false(tier_unit_wants_ready(world.unit, TURN_NONE));
    tier_unit_fill(world.unit, world.now_ns, &seen);
    assert_true(seen.resting && tier_unit_stays(world.unit));
    the_unit.state = (struct guard_unit_state){
        .known = true, .active = "deactivating", .sub = "stop-sigterm", .main_pid = 100};
    step(&world, 2);
    assert_non_null(tier_unit_stays(world.unit));
    assert_non_null(strstr(tier_unit_stays(world.unit), "process 100"));
    the_unit.state = (struct guard_unit_state){.known = true, .active = "inactive"};
    step(&world, 2);
    assert_null(tier_unit_stays(world.unit));
    tier_unit_free(world.unit);
}

/* Expected: one that has died and is not back within a minute is told once, and once that it is.
 * Before: a word that it is down, and nobody was called. */
static void test_one_that_died(void **state)
{
    (void)state;
    static const struct {
        const char *name, *active, *sub;
        bool paused, frozen, told;
    } rows[] = {
        {"it has failed", "failed", "failed", false, false, true},
        {"systemd tries again and again", "activating", "auto-restart", false, false, true},
        {"somebody has stopped it", "inactive", "dead", false, false, false},
        {"a study has stopped it", "failed", "failed", true, false, false},
        {"it loads for long", "activating", "start", false, false, false},
        {"the driver is lost", "failed", "failed", false, true, false},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct world world;
        struct tier_doubt doubt = {0};
        enum guard_event_kind kind = EVENT_COUNT_;
        int told = 0;
        world_begin(&world);
        world.current = true;
        CHECK_ROW(i, rows[i].name, step(&world, 2) == TIER_ON);
        set_active(rows[i].active);
        snprintf(the_unit.state.sub, sizeof the_unit.state.sub, "%s", rows[i].sub);
        the_unit.state.main_pid = 0;
        world.paused = rows[i].paused;
        world.frozen = rows[i].frozen;
        for (int s = 0; s < 300; s++) {
            step(&world, 1);
            told += tier_doubt_note_death(&doubt, 0, world.unit, world.now_ns, &kind);
            CHECK_ROW(i, rows[i].name, told == (rows[i].told && s >= 60));
        }
        CHECK_ROW(i, rows[i].name, !told || kind == EVENT_ARM_DOUBT);
        set_active("active");
        snprintf(the_unit.state.sub, sizeof the_unit.state.sub, "running");
        the_unit.state.main_pid = 200;
        world.frozen = world.paused = false;
        for (int s = 0; s < 10; s++) {
            step(&world, 1);
            told += tier_doubt_note_death(&doubt, 0, world.unit, world.now_ns, &kind);
        }
        CHECK_ROW(i, rows[i].name, tier_unit_power(world.unit) == TIER_ON);
        CHECK_ROW(i, rows[i].name, told == (rows[i].told ? 2 : 0));
        CHECK_ROW(i, rows[i].name, !told || kind == EVENT_ARM_SOUND);
        tier_unit_free(world.unit);
    }
}

/* While the driver is lost nothing is stopped: what comes up is waited for, what drains is kept. */
static void test_a_lost_driver_stops_nothing(void **state)
{
    (void)state;
    struct world world;
    world_begin(&world);
    the_warm.answers = false;
    assert_int_equal(step(&world, 30), TIER_WARMING);
    world.frozen = true;
    assert_int_equal(step(&world, 3600), TIER_WARMING);
    set_active("failed");
    assert_int_equal(step(&world, 10), TIER_WARMING);
    set_active("active");
    world.frozen = false;
    assert_int_equal(step(&world, 60), TIER_WARMING); /* its time begins anew */
    assert_int_equal(step(&world, 40), TIER_FAILED);
    assert_int_equal(the_unit.stops, 1);
    tier_unit_free(world.unit);

    world_begin(&world);
    world.current = true;
    step(&world, 2);
    world.server.drained = true;
    tier_unit_drain(world.unit, DRAIN_FOR_MEMORY, world.now_ns);
    world.frozen = true;
    assert_int_equal(step(&world, 1), TIER_ON);
    assert_int_equal(world.turn, TURN_KEPT);
    assert_string_equal(world.text,
                        "base is not stopped: the driver is lost, it would not come back");
    assert_int_equal(step(&world, 200), TIER_ON);
    assert_int_equal(the_unit.stops, 0);
    tier_unit_free(world.unit);

    world_begin(&world);
    set_active("inactive");
    the_unit.state.main_pid = 0;
    assert_int_equal(step(&world, 2), TIER_OFF);
    assert_true(tier_unit_start(world.unit, world.now_ns, world.text, sizeof world.text));
    world.frozen = true;
    assert_int_equal(step(&world, 300), TIER_STARTING);
    assert_int_equal(the_unit.stops, 0);
    tier_unit_free(world.unit);
}

/* Each denied job is told once, by what it was, and nothing that was not begun is undone. */
static void test_what_systemd_does_not_let_us_do_is_told(void **state)
{
    (void)state;
    struct world world;
    char text[240];
    world_begin(&world);
    assert_int_equal(step(&world, 5), TIER_ON);
    the_unit.denied = true;
    world.server.drained = true;
    tier_unit_drain(world.unit, DRAIN_FOR_MEMORY, world.now_ns);
    for (int i = 0; i < 100 && the_unit.stops == 0; i++)
        step(&world, 1);
    assert_int_equal(the_unit.stops, 1);
    assert_int_equal(step(&world, 1), TIER_STOPPING);
    assert_int_equal(world.turn, TURN_STOPPED);
    assert_string_equal(world.text, "base can't be stopped: not allowed");
    for (int i = 0; i < 30; i++) {
        step(&world, 1);
        assert_int_equal(world.turn, TURN_NONE);
    }
    for (int i = 0; i < 120 && tier_unit_power(world.unit) != TIER_ON; i++)
        step(&world, 1);
    assert_int_equal(tier_unit_power(world.unit), TIER_ON);
    tier_unit_free(world.unit);

    world_begin(&world);
    set_active("inactive");
    assert_int_equal(step(&world, 1), TIER_OFF);
    the_unit.denied = true;
    assert_true(tier_unit_start(world.unit, world.now_ns, text, sizeof text));
    assert_int_equal(step(&world, 1), TIER_FAILED);
    assert_int_equal(world.turn, TURN_FAILED);
    assert_non_null(strstr(world.text, "base did not come up: not allowed; not tried again for"));
    assert_int_equal(the_unit.stops, 0);
    assert_int_equal(step(&world, 1), TIER_FAILED);
    assert_int_equal(world.turn, TURN_NONE);
    tier_unit_free(world.unit);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_only_the_current_one_is_warm_at_first),
        cmocka_unit_test(test_another_process_is_warmed_again),
        cmocka_unit_test(test_one_that_reloads_runs),
        cmocka_unit_test(test_draining_lasts_as_long_as_a_request_may),
        cmocka_unit_test(test_memory_hurries_one_that_drains),
        cmocka_unit_test(test_it_is_looked_at_once_more),
        cmocka_unit_test(test_one_that_does_not_stop),
        cmocka_unit_test(test_what_others_have_spoken_for_is_not_stopped),
        cmocka_unit_test(test_what_others_take_down_has_not_failed),
        cmocka_unit_test(test_systemd_is_silent_while_it_stops),
        cmocka_unit_test(test_one_that_died),
        cmocka_unit_test(test_the_last_one_is_not_stopped),
        cmocka_unit_test(test_a_dry_run_stops_nothing),
        cmocka_unit_test(test_a_lost_driver_stops_nothing),
        cmocka_unit_test(test_what_systemd_does_not_let_us_do_is_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
