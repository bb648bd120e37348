/* See tiers_stage.h. */
#include "tiers_stage.h"

#include "check.h"

#include "guard/policy_record.h"
#include "guard/tier_memory.h"

#include <math.h>
#include <stdlib.h>

enum { LOADS = 5 };

/* ---- the servers ---- */

struct tier_unit *the_units[FRONTS * TIERS];
size_t the_count;
int the_starts, the_drains;
struct spec_candidate the_followed;
bool refuses[FRONTS];
bool by_hand[FRONTS][TIERS];
double total_bytes, others_bytes;

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
    unit->held = look->held;
    unit->paused = look->paused;
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

double tier_unit_ours_least(const struct tier_unit *unit)
{
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

enum tier_death tier_unit_death(const struct tier_unit *unit)
{
    return unit->death;
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

double free_bytes(void)
{
    double bytes = total_bytes - others_bytes;
    for (size_t i = 0; i < the_count; i++)
        bytes -= held_by(the_units[i]);
    return bytes;
}

void tier_memory_step(struct tier_memory *memory, struct device *device,
                      struct tier_memory_ours ours, int64_t now_ns)
{
    double held_bytes = 0;
    for (size_t i = 0; i < the_count; i++)
        held_bytes += held_by(the_units[i]);
    assert_true(ours.bytes == held_bytes && ours.least_bytes == held_bytes);
    (void)device;
    (void)now_ns;
    memory->free_bytes = free_bytes();
    memory->owed_bytes = 0;
}

const char *the_tiers[FRONTS];

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

const char two_fronts[] =
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

const char watched[] =
    "  fronts:\n"
    "    stt:\n"
    "      port: 8089\n"
    "      keep: p95 < 500ms\n"
    "      tiers:\n"
    "        base: {unit: b.service, port: 8101, memory: 2000MiB, values: {model: base}}\n"
    "        tiny: {unit: w, port: 8000, memory: 100MiB, values: {model: tiny}, resident: true}\n"
    "    llm:\n"
    "      port: 8079\n"
    "      keep: p95 < 500ms\n"
    "      tiers:\n"
    "        base: {unit: c.service, port: 8111, memory: 2200MiB}\n"
    "        tiny: {unit: d.service, port: 8112, memory: 100MiB, resident: true}\n";

void world_begin_as(struct world *w, const char *text, const char *folder)
{
    memset(w, 0, sizeof *w);
    the_count = 0;
    the_starts = the_drains = 0;
    the_followed = (struct spec_candidate){{0}};
    memset(refuses, 0, sizeof refuses);
    memset(by_hand, 0, sizeof by_hand);
    total_bytes = 4096 * MIB;
    others_bytes = 0;
    w->judged = judged_new(text);
    w->options.folder = folder;
    w->options.study = w->judged->study;
    w->options.running = &w->running;
    w->now_ns = 1000 * NS_PER_S;
    the_tiers[0] = the_tiers[1] = "tiny";
    w->tiers = guard_tiers_new(&w->options);
    assert_int_equal(the_count, FRONTS * TIERS);
}

void world_begin(struct world *w)
{
    world_begin_as(w, two_fronts, NULL);
}

void world_end(struct world *w)
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

void step(struct world *w, int steps)
{
    static const char *const names[] = {"base", "tiny"};
    for (int i = 0; i < steps; i++) {
        struct proxy_view view = {.up = true, .pid = 7};
        for (size_t f = 0; f < FRONTS; f++) {
            view.fronts[f].tier = the_tiers[f];
            view.fronts[f].server_count = TIERS;
            for (size_t t = 0; t < TIERS; t++)
                view.fronts[f].servers[t] =
                    (struct proxy_server){.name = names[t],
                                          .usable = the_units[TIERS * f + t]->power == TIER_ON,
                                          .drained = by_hand[f][t],
                                          .by_hand = by_hand[f][t]};
        }
        w->now_ns += NS_PER_S;
        guard_tiers_step(w->tiers, &view, w->now_ns, tell, w);
    }
}

void wish_up(struct world *w)
{
    char text[240];
    for (size_t s = 0; s < FRONTS; s++)
        assert_true(guard_tiers_wish(w->tiers, s, ACTION_TIER_UP, text, sizeof text));
}

void go_up(struct world *w)
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
