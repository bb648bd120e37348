/* Two fronts on one device, at run time, with servers, memory and HAProxy as the test wants: stands
 * in for tier_unit.c, tier_memory.c and proxy/set.c. What its tests share. */
#pragma once

#include "guard/tiers.h"

#include "base/clock.h"
#include "guard/tier_unit.h"
#include "judged.h"

#define MIB 1048576.0
enum { FRONTS = 2, TIERS = 2 };

struct tier_unit {
    enum guard_tier_power power;
    double peak_bytes;
    int steps; /* since it is coming, or going */
    bool frozen, held, paused;
    const char *stays;
    enum tier_death death;
};
extern struct tier_unit *the_units[FRONTS * TIERS]; /* in order: base, tiny of stt, then of llm */
extern size_t the_count;
extern int the_starts, the_drains;
extern struct spec_candidate the_followed; /* that a unit was told of last */
extern bool by_hand[FRONTS][TIERS];        /* drained by a person */
extern bool refuses[FRONTS];               /* HAProxy refuses a switch of that front */
extern double total_bytes, others_bytes;
extern const char *the_tiers[FRONTS]; /* that take new requests */
double free_bytes(void);

/* Study files' `guard:`. In the second one stt's tiny is the one that `watch:` names. */
extern const char two_fronts[], watched[];

struct world {
    struct judged *judged;
    struct guard_tiers_options options;
    struct spec_candidate running;
    struct guard_tiers *tiers;
    int64_t now_ns;
    char told[64 << 10];
    int kinds[EVENT_COUNT_];
};
void world_begin(struct world *w);
/* `folder`: of the study's results; NULL: there are none. */
void world_begin_as(struct world *w, const char *text, const char *folder);
void world_end(struct world *w);
void step(struct world *w, int steps);
void wish_up(struct world *w);
/* Both fronts at their larger tier, and 300 MiB are missing. */
void go_up(struct world *w);
