/* One tier's server through its states, with a systemd and a first request that say what the test
 * wants: this file stands in for find_unit.c and tier_warm.c. */
#include "guard/tier_unit.h"

#include "base/clock.h"
#include "guard/tier_warm.h"

#include "device/kind.h"

#include "listen.h"

#include <math.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

/* ---- systemd, and the first request ---- */

struct guard_unit {
    struct guard_unit_state state;
    int starts, stops;
};
struct tier_warm {
    bool asking, answers;
    int asked;
};
static struct guard_unit the_unit;
static struct tier_warm the_warm;
static enum device_listed listed;
static bool works, loads_when_asked; /* by its CPU time; only with a request */

struct guard_managers *guard_managers_new(sd_event *event)
{
    (void)event;
    return NULL;
}
struct guard_managers *guard_managers_free(struct guard_managers *managers)
{
    (void)managers;
    return NULL;
}
struct guard_unit *guard_unit_new(struct guard_managers *managers, const char *name, bool user)
{
    (void)managers;
    (void)name;
    (void)user;
    return &the_unit;
}
struct guard_unit *guard_unit_free(struct guard_unit *unit)
{
    (void)unit;
    return NULL;
}
void guard_unit_ask(struct guard_unit *unit, int64_t now_ns)
{
    unit->state.at_ns = now_ns;
}
const struct guard_unit_state *guard_unit_state(const struct guard_unit *unit)
{
    return &unit->state;
}
bool guard_unit_job(struct guard_unit *unit, enum host_verb verb, int64_t now_ns)
{
    (void)now_ns;
    unit->starts += verb == HOST_START;
    unit->stops += verb == HOST_STOP;
    return true;
}
const char *guard_unit_refused(const struct guard_unit *unit)
{
    (void)unit;
    return "";
}

struct tier_warm *tier_warm_new(const struct spec_study *study, size_t service, int port,
                                const struct spec_candidate *candidate,
                                const struct corpus *corpora)
{
    (void)study;
    (void)service;
    (void)port;
    (void)candidate;
    (void)corpora;
    return &the_warm;
}
struct tier_warm *tier_warm_free(struct tier_warm *warm)
{
    (void)warm;
    return NULL;
}
bool tier_warm_is_asking(const struct tier_warm *warm)
{
    return warm->asking;
}
int64_t tier_warm_within_ns(const struct tier_warm *warm)
{
    (void)warm;
    return 10 * NS_PER_S;
}
void tier_warm_ask(struct tier_warm *warm, int64_t now_ns)
{
    (void)now_ns;
    warm->asking = true;
    warm->asked++;
    if (loads_when_asked)
        listed = DEVICE_LISTED_YES;
}
void tier_warm_forget(struct tier_warm *warm)
{
    warm->asking = false;
}
enum tier_warmth tier_warm_look(struct tier_warm *warm, int64_t now_ns, double *ret_latency_s)
{
    (void)now_ns;
    if (!warm->answers)
        return WARMTH_WAITING;
    warm->asking = false;
    *ret_latency_s = 0.1;
    return WARMTH_ANSWERED;
}
const char *tier_warm_words(const struct tier_warm *warm)
{
    (void)warm;
    return "";
}
const struct corpus *tier_warm_corpora(const struct spec_study *study, struct arena *arena)
{
    (void)study;
    (void)arena;
    return NULL;
}

/* ---- a tier ---- */

struct world {
    struct spec_service service;
    struct spec_tier tier;
    struct spec_front front;
    struct spec_study study;
    struct guard_tiers_options options;
    struct tier_unit *unit;
    struct proxy_server server;
    bool seen, current; /* HAProxy answers; it is the current one */
    bool frozen;        /* the driver is lost */
    int64_t now_ns;
    enum tier_turn turn;
    char text[240];
};

static void world_begin(struct world *world)
{
    *world = (struct world){
        .service = {.name = "stt", .device_knob = -1, .ready_within_ns = 60 * NS_PER_S},
        .tier = {.name = "base", .unit = "base.service", .port = 8101},
        .front = {.timeout_ns = 600 * NS_PER_S, .tier_count = 1},
        .study = {.name = "s", .service_count = 1},
        .server = {.name = "base", .usable = true},
        .seen = true,
        .now_ns = 1000 * NS_PER_S};
    world->study.services = &world->service;
    world->front.tiers = &world->tier;
    world->options.study = &world->study;
    the_unit = (struct guard_unit){
        .state = {.known = true, .active = "active", .sub = "running", .main_pid = 100}};
    the_warm = (struct tier_warm){.answers = true};
    const struct tier_unit_setup setup = {
        .options = &world->options,
        .managers = (struct guard_managers *)(void *)world, /* there is one */
        .front = &world->front};
    world->unit = tier_unit_new(&setup);
}

static enum guard_tier_power step(struct world *world, int64_t seconds)
{
    for (int64_t i = 0; i < seconds; i++) {
        const struct tier_look look = {.server = world->seen ? &world->server : NULL,
                                       .current = world->current,
                                       .frozen = world->frozen};
        world->now_ns += NS_PER_S;
        world->turn =
            tier_unit_step(world->unit, &look, world->now_ns, world->text, sizeof world->text);
    }
    return tier_unit_power(world->unit);
}

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

static void set_active(const char *word)
{
    snprintf(the_unit.state.active, sizeof the_unit.state.active, "%s", word);
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

/* ---- its place ---- */

static void card_usage(struct device *device, pid_t root, struct device_usage *ret_usage)
{
    static int64_t cpu_ns;
    (void)device;
    cpu_ns += works ? 2 * NS_PER_S : 20 * NS_PER_MS;
    *ret_usage = (struct device_usage){
        .root = root,
        .listed = listed,
        .cpu_ns = cpu_ns,
        .memory_bytes = reading_known(READING_FROM_NVML, listed == DEVICE_LISTED_YES ? 3e9 : 0)};
}

static void card_prove(struct device *device, const struct device_usage *before,
                       const struct device_usage *after, enum spec_on on,
                       struct device_proof *ret_proof)
{
    (void)device;
    (void)before;
    (void)after;
    (void)on;
    *ret_proof = (struct device_proof){.placement = listed == DEVICE_LISTED_YES ? PLACEMENT_GPU
                                                                                : PLACEMENT_CPU,
                                       .evidence = {"as the test says"}};
}

/* A process that listens on a port of its own. */
static pid_t start_server(int *ret_port)
{
    *ret_port = 0;
    int fd = check_listen(ret_port, 1);
    pid_t child = fork();
    if (child == 0)
        for (;;)
            pause();
    close(fd);
    return child;
}

static const struct device_ops ops = {.kind = "gpu", .usage = card_usage, .prove = card_prove};

/* A tier that must be on the GPU, with a process of its own. */
struct placed {
    struct world world;
    struct device card;
    struct device *cards[1];
    struct spec_candidate candidate;
    pid_t child;
};

static void placed_begin(struct placed *placed, bool has_unit, bool resident)
{
    struct world *world = &placed->world;
    *placed = (struct placed){.card = {.ops = &ops}};
    placed->cards[0] = &placed->card;
    world_begin(world);
    tier_unit_free(world->unit);
    placed->child = start_server(&world->tier.port);
    listed = DEVICE_LISTED_YES;
    works = loads_when_asked = false;
    the_unit.state.main_pid = (uint32_t)placed->child;
    world->service.on = ON_GPU;
    world->study.devices[0] = "gpu0";
    world->study.device_count = 1;
    world->options.devices = placed->cards;
    world->tier.resident = resident;
    if (!has_unit)
        world->tier.unit = NULL;
    const struct tier_unit_setup setup = {.options = &world->options,
                                          .managers = (struct guard_managers *)(void *)world,
                                          .candidate = &placed->candidate,
                                          .front = &world->front};
    world->unit = tier_unit_new(&setup);
}

static void placed_end(struct placed *placed)
{
    tier_unit_free(placed->world.unit);
    kill(placed->child, SIGKILL);
    waitpid(placed->child, NULL, 0);
}

/* True once it was said to be on the CPU. */
static bool is_said(struct world *world, int seconds)
{
    bool said = false;
    for (int s = 0; s < seconds; s++) {
        step(world, 1);
        said = said || (world->turn == TURN_FAILED && strstr(world->text, "is on the CPU"));
    }
    return said;
}

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
        world->frozen = rows[i].frozen;
        listed = rows[i].now;
        works = true;
        const bool said = is_said(world, 10);
        CHECK_ROW(i, world->text, tier_unit_power(world->unit) == rows[i].power);
        CHECK_ROW(i, world->text, said == (rows[i].power == TIER_FAILED));
        CHECK_ROW(i, rows[i].name, the_unit.stops == rows[i].stops);
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_only_the_current_one_is_warm_at_first),
        cmocka_unit_test(test_another_process_is_warmed_again),
        cmocka_unit_test(test_draining_lasts_as_long_as_a_request_may),
        cmocka_unit_test(test_memory_hurries_one_that_drains),
        cmocka_unit_test(test_it_is_looked_at_once_more),
        cmocka_unit_test(test_a_dry_run_stops_nothing),
        cmocka_unit_test(test_a_lost_driver_stops_nothing),
        cmocka_unit_test(test_a_tier_that_is_on_is_asked_for_its_place),
        cmocka_unit_test(test_who_unloads_by_himself_stays_on),
        cmocka_unit_test(test_who_loads_when_asked_is_asked),
        cmocka_unit_test(test_its_way_up_is_not_held_against_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
