/* See tier_stage.h. */
#include "tier_stage.h"

#include "listen.h"

#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

struct guard_unit the_unit;
struct tier_warm the_warm;
enum device_listed listed;
bool works, loads_when_asked;

/* ---- systemd, and the first request ---- */

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
    return unit->denied ? "not allowed" : "";
}
bool guard_unit_is_denied(const struct guard_unit *unit)
{
    return unit->denied;
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

void world_begin(struct world *world)
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

enum guard_tier_power step(struct world *world, int64_t seconds)
{
    for (int64_t i = 0; i < seconds; i++) {
        const struct tier_look look = {.server = world->seen ? &world->server : NULL,
                                       .current = world->current,
                                       .last = world->last,
                                       .frozen = world->frozen,
                                       .held = world->held,
                                       .paused = world->paused};
        world->now_ns += NS_PER_S;
        world->turn =
            tier_unit_step(world->unit, &look, world->now_ns, world->text, sizeof world->text);
    }
    return tier_unit_power(world->unit);
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

static const struct device_ops ops = {.kind = "gpu", .usage = card_usage, .prove = card_prove};

void placed_begin(struct placed *placed, bool has_unit, bool resident)
{
    struct world *world = &placed->world;
    *placed = (struct placed){.card = {.ops = &ops}};
    placed->cards[0] = &placed->card;
    world_begin(world);
    tier_unit_free(world->unit);
    world->tier.port = 0;
    placed->child = check_start_server(&world->tier.port);
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

void placed_end(struct placed *placed)
{
    tier_unit_free(placed->world.unit);
    check_end_server(placed->child);
}

bool is_said(struct world *world, int seconds)
{
    bool said = false;
    for (int s = 0; s < seconds; s++) {
        step(world, 1);
        said = said || (world->turn == TURN_FAILED && strstr(world->text, "is on the CPU"));
    }
    return said;
}
