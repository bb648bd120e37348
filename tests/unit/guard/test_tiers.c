/* Two fronts on one device, at run time: what each step makes of what it sees. This file stands in
 * for the servers (tier_unit.c), the device's memory (tier_memory.c) and HAProxy (proxy/set.c). */
#include "guard/tiers.h"

#include "check.h"

#include "base/clock.h"
#include "guard/policy_record.h"
#include "guard/tier_memory.h"
#include "guard/tier_unit.h"
#include "judged.h"

#include <math.h>
#include <stdlib.h>

#define MIB 1048576.0
enum { FRONTS = 2, TIERS = 2, LOADS = 5 };

/* ---- the servers ---- */

struct tier_unit {
    enum guard_tier_power power;
    double peak_bytes;
    int steps; /* since it is coming, or going */
    bool frozen;
    const char *stays;
};
static struct tier_unit *the_units[FRONTS * TIERS]; /* in order: base, tiny of stt, then of llm */
static size_t the_count;
static int the_starts, the_drains;
static struct spec_candidate the_followed; /* that a unit was told of last */
static bool refuses[FRONTS];               /* HAProxy refuses a switch of that front */
static double total_bytes, others_bytes;

const char *const guard_tier_power_names[TIER_POWER_COUNT_] = {"off"};

struct tier_unit *tier_unit_new(const struct tier_unit_setup *setup)
{
    struct tier_unit *unit = calloc(1, sizeof *unit);
    const struct spec_tier *tier = &setup->front->tiers[setup->tier];
    assert_non_null(unit);
    unit->power = tier->resident ? TIER_ON : TIER_OFF;
    unit->peak_bytes = (double)tier->memory_bytes;
    the_units[the_count++] = unit;
    return unit;
}

void tier_unit_follow(struct tier_unit *unit, const struct spec_candidate *candidate)
{
    (void)unit;
    the_followed = *candidate;
}

struct tier_unit *tier_unit_free(struct tier_unit *unit)
{
    free(unit);
    return NULL;
}

static double held_by(const struct tier_unit *unit)
{
    switch (unit->power) {
    case TIER_STARTING:
        return unit->peak_bytes * unit->steps / LOADS;
    case TIER_ON:
    case TIER_DRAINING:
        return unit->peak_bytes;
    default:
        return 0;
    }
}

enum tier_turn tier_unit_step(struct tier_unit *unit, const struct tier_look *look, int64_t now_ns,
                              char *text, size_t size)
{
    (void)now_ns;
    unit->frozen = look->frozen;
    if ((unit->power != TIER_STARTING && unit->power != TIER_DRAINING) || ++unit->steps < LOADS)
        return TURN_NONE;
    const bool came = unit->power == TIER_STARTING;
    unit->power = came ? TIER_ON : TIER_OFF;
    snprintf(text, size, came ? "it is warm" : "it is down");
    return came ? TURN_CAME : TURN_STOPPED;
}

double tier_unit_ours(struct tier_unit *unit, bool again, int64_t now_ns)
{
    (void)again;
    (void)now_ns;
    return held_by(unit);
}

bool tier_unit_start(struct tier_unit *unit, int64_t now_ns, char *text, size_t size)
{
    (void)now_ns;
    (void)text;
    (void)size;
    unit->power = TIER_STARTING;
    unit->steps = 0;
    the_starts++;
    return true;
}

void tier_unit_drain(struct tier_unit *unit, enum tier_haste haste, int64_t now_ns)
{
    (void)haste;
    (void)now_ns;
    if (unit->power == TIER_DRAINING)
        return;
    unit->power = TIER_DRAINING;
    unit->steps = 0;
    the_drains++;
}

bool tier_unit_wants_ready(const struct tier_unit *unit, enum tier_turn turn)
{
    (void)unit;
    (void)turn;
    return false; /* nothing is drained here */
}

const char *tier_unit_place(const struct tier_unit *unit)
{
    return unit->power == TIER_ON ? "gpu" : NULL;
}

const char *tier_unit_stays(const struct tier_unit *unit)
{
    return unit->stays;
}

enum guard_tier_power tier_unit_power(const struct tier_unit *unit)
{
    return unit->power;
}

void tier_unit_fill(const struct tier_unit *unit, int64_t now_ns, struct policy_seen *seen)
{
    (void)now_ns;
    seen->power = unit->power == TIER_ON         ? POWER_ON
                  : unit->power == TIER_STARTING ? POWER_COMING
                  : unit->power == TIER_DRAINING ? POWER_GOING
                                                 : POWER_OFF;
    seen->held_bytes = unit->power == TIER_OFF ? NAN : held_by(unit);
}

size_t tier_unit_device(const struct tier_unit *unit)
{
    (void)unit;
    return 0;
}

void tier_unit_rest(struct tier_unit *unit, int64_t now_ns, int64_t for_ns)
{
    (void)unit;
    (void)now_ns;
    (void)for_ns;
}

/* ---- the device, and HAProxy ---- */

static double free_bytes(void)
{
    double bytes = total_bytes - others_bytes;
    for (size_t i = 0; i < the_count; i++)
        bytes -= held_by(the_units[i]);
    return bytes;
}

void tier_memory_step(struct tier_memory *memory, struct device *device, double ours_bytes,
                      int64_t now_ns)
{
    (void)device;
    (void)ours_bytes;
    (void)now_ns;
    memory->free_bytes = free_bytes();
    memory->owed_bytes = 0;
}

static const char *the_tiers[FRONTS]; /* that take new requests */

void proxy_set_hurried(struct proxy *proxy)
{
    (void)proxy;
}

bool proxy_set_tier(struct proxy *proxy, size_t front, const char *tier, struct err *err)
{
    (void)proxy;
    if (refuses[front])
        return err_set(err, ERR_INTERNAL, "HAProxy says no");
    the_tiers[front] = tier;
    return true;
}

bool proxy_set_server(struct proxy *proxy, size_t front, const char *server,
                      enum proxy_server_state state, struct err *err)
{
    (void)proxy;
    (void)front;
    (void)server;
    (void)state;
    (void)err;
    return true;
}

/* ---- a world ---- */

static const char guard[] =
    "  fronts:\n"
    "    stt:\n"
    "      port: 8089\n"
    "      keep: p95 < 500ms\n"
    "      reserve: 256MiB\n"
    "      tiers:\n"
    "        base: {unit: b.service, port: 8101, memory: 2000MiB, values: {model: base}}\n"
    "        tiny: {unit: t.service, port: 8102, memory: 100MiB, values: {model: tiny}, resident: "
    "true}\n"
    "    llm:\n"
    "      port: 8079\n"
    "      keep: p95 < 500ms\n"
    "      reserve: 512MiB\n"
    "      tiers:\n"
    "        base: {unit: c.service, port: 8111, memory: 2200MiB}\n"
    "        tiny: {unit: d.service, port: 8112, memory: 100MiB, resident: true}\n";

struct world {
    struct judged *judged;
    struct guard_tiers_options options;
    struct spec_candidate running;
    struct guard_tiers *tiers;
    int64_t now_ns;
    char told[64 << 10];
    int kinds[EVENT_COUNT_];
};

static void world_begin(struct world *w)
{
    memset(w, 0, sizeof *w);
    the_count = 0;
    the_starts = the_drains = 0;
    memset(refuses, 0, sizeof refuses);
    total_bytes = 4096 * MIB;
    others_bytes = 0;
    w->judged = judged_new(guard);
    w->options.study = w->judged->study;
    w->options.running = &w->running;
    w->now_ns = 1000 * NS_PER_S;
    the_tiers[0] = the_tiers[1] = "tiny";
    w->tiers = guard_tiers_new(&w->options);
    assert_int_equal(the_count, FRONTS * TIERS);
}

static void world_end(struct world *w)
{
    guard_tiers_free(w->tiers);
    judged_free(w->judged);
}

static void tell(void *context, const struct guard_event *event)
{
    struct world *w = context;
    size_t len = strlen(w->told);
    w->kinds[event->kind]++;
    snprintf(w->told + len, sizeof w->told - len, "%d %s\n", event->service, event->text);
}

static void step(struct world *w, int steps)
{
    static const char *const names[] = {"base", "tiny"};
    for (int i = 0; i < steps; i++) {
        struct proxy_view view = {.up = true, .pid = 7};
        for (size_t f = 0; f < FRONTS; f++) {
            view.fronts[f].tier = the_tiers[f];
            view.fronts[f].server_count = TIERS;
            for (size_t t = 0; t < TIERS; t++)
                view.fronts[f].servers[t] = (struct proxy_server){
                    .name = names[t], .usable = the_units[TIERS * f + t]->power == TIER_ON};
        }
        w->now_ns += NS_PER_S;
        guard_tiers_step(w->tiers, &view, w->now_ns, tell, w);
    }
}

static void wish_up(struct world *w)
{
    char text[240];
    for (size_t s = 0; s < FRONTS; s++)
        assert_true(guard_tiers_wish(w->tiers, s, ACTION_TIER_UP, text, sizeof text));
}

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

static void go_up(struct world *w)
{
    world_begin(w);
    total_bytes = 8000 * MIB;
    step(w, 5);
    wish_up(w);
    step(w, 20);
    assert_string_equal(the_tiers[0], "base");
    assert_string_equal(the_tiers[1], "base");
    others_bytes += free_bytes() - 512 * MIB + 300 * MIB; /* 300 MiB are missing */
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
    guard_tiers_follow(w.tiers, &w.running);
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
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
