/* A split in the daemon, fed with requests by a test's own clock. No HAProxy. */
#pragma once

#include "check.h"
#include "split_sample.h"

#include "base/clock.h"
#include "base/file.h"
#include "base/rng.h"
#include "guard/split.h"
#include "guard/split_decide.h"
#include "stats/summary.h"

#include <math.h>

struct world {
    struct split_sample sample;
    char *folder;
    struct guard_split_setup setup;
    struct rng rng;
    int64_t now_ns;
    int told, doubts;
    enum guard_event_kind kind; /* of the last */
    char last[240];
};

static inline void on_tell(void *context, const struct guard_event *event)
{
    struct world *world = context;
    assert_int_equal(event->service, 0);
    world->kind = event->kind;
    world->told++;
    world->doubts += event->kind == EVENT_ARM_DOUBT;
    snprintf(world->last, sizeof world->last, "%s", event->text);
}

static inline void world_begin(struct world *world)
{
    *world = (struct world){.folder = check_make_folder(), .rng = rng_init(3, "split")};
    split_sample_init(&world->sample);
    world->sample.arms[0].weight = world->sample.arms[1].weight = 50;
    world->setup = (struct guard_split_setup){
        .study = &world->sample.study, .folder = world->folder, .tell = on_tell, .context = world};
}

static inline struct guard_split *open_split(struct world *world)
{
    struct guard_split *split = NULL;
    struct err err = ERR_INIT;
    if (!guard_split_new(&world->setup, &split, &err))
        fail_msg("%s", err.text);
    return split;
}

static inline void step(struct world *world, struct guard_split *split)
{
    struct err err = ERR_INIT;
    world->now_ns += NS_PER_S;
    if (!guard_split_step(split, world->now_ns, world->now_ns / 1000, &err))
        fail_msg("%s", err.text);
}

static inline void feed(struct world *world, struct guard_split *split, int requests,
                        double slowdown)
{
    for (int i = 0; i < requests; i++) {
        double u = rng_unit(&world->rng);
        struct proxy_request request = {.server = i % 2, .end = PROXY_OK, .status = 200};
        request.total_s =
            0.1 * exp(0.4 * stats_normal_quantile(u > 0 ? u : 0x1p-54)) * (i % 2 ? slowdown : 1);
        guard_split_add(split, &request);
        if (i % 40 == 39)
            step(world, split);
    }
}

static inline struct guard_split_kept on_disk(struct world *world)
{
    struct guard_split_kept kept;
    struct err err = ERR_INIT;
    bool found = false;
    AUTO(free) char *path = guard_split_path(world->folder, &world->sample.study, 0);
    guard_split_kept_init(&kept, &world->sample.front.split, 0);
    if (!guard_split_kept_read(path, &world->sample.front.split, &kept, &found, &err) || !found)
        fail_msg("%s: %s", path, err.text);
    return kept;
}
