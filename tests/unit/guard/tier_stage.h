/* One tier's server, with a systemd and a first request that say what the test wants: stands in for
 * find_unit.c and tier_warm.c. What its tests share. */
#pragma once

#include "guard/tier_unit.h"

#include "base/clock.h"
#include "device/kind.h"
#include "guard/tier_warm.h"

struct guard_unit {
    struct guard_unit_state state;
    int starts, stops;
    bool denied; /* systemd lets us do nothing */
};
struct tier_warm {
    bool asking, answers;
    int asked;
};
extern struct guard_unit the_unit;
extern struct tier_warm the_warm;
extern enum device_listed listed;
extern bool works, loads_when_asked; /* by its CPU time; only with a request */

struct world {
    struct spec_service service;
    struct spec_tier tier;
    struct spec_front front;
    struct spec_study study;
    struct guard_tiers_options options;
    struct tier_unit *unit;
    struct proxy_server server;
    bool seen, current; /* HAProxy answers; it is the current one */
    bool last;          /* no other tier can answer */
    bool frozen;        /* the driver is lost */
    bool held, paused;  /* others have spoken for it; a study has stopped it */
    int64_t now_ns;
    enum tier_turn turn;
    char text[240];
};

void world_begin(struct world *world);
enum guard_tier_power step(struct world *world, int64_t seconds);

/* A tier that must be on the GPU, with a process of its own. */
struct placed {
    struct world world;
    struct device card;
    struct device *cards[1];
    struct spec_candidate candidate;
    pid_t child;
};

void placed_begin(struct placed *placed, bool has_unit, bool resident);
void placed_end(struct placed *placed);
/* True once it was said to be on the CPU. */
bool is_said(struct world *world, int seconds);
