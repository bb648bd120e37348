/* The study that tests of acting and showing share; see the header. */
#include "check.h"

#include "made_study.h"

#include "base/clock.h"

#include <math.h>

static const char *const devices[] = {"gpu0"};

static void make_guard(struct made_study *made)
{
    struct spec_guard *guard = &made->guard;
    *guard = (struct spec_guard){.given = true,
                                 .every_ns = NS_PER_S,
                                 .window_ns = 60 * NS_PER_S,
                                 .watches = made->watches,
                                 .listen_address = "127.0.0.1",
                                 .fronts = &made->front,
                                 .front_count = 1};
    made->study.guard = guard;
    guard->metrics = guard_metric_refs(&made->study, made->arena, &guard->metric_count);
    made->values = calloc(guard->metric_count, sizeof *made->values);
    assert_non_null(made->values);
    for (size_t i = 0; i < guard->metric_count; i++)
        made->values[i].number = NAN;
}

struct made_study *made_study_new(const char *folder)
{
    struct made_study *made = calloc(1, sizeof *made);
    assert_non_null(made);
    made->arena = arena_new();
    made->services[0] = (struct spec_service){.name = "stt", .on = ON_GPU, .device_knob = -1};
    made->services[1] = (struct spec_service){.name = "llm", .on = ON_CPU, .device_knob = -1};
    made->watches[0] =
        (struct spec_watch){.kind = WATCH_UNIT, .unit = "no-such-unit.service", .user = true};
    made->watches[1] = (struct spec_watch){.kind = WATCH_PID, .pid = 1};
    made->tiers[0] = (struct spec_tier){.name = "base", .port = 1, .wer = NAN};
    made->tiers[1] = (struct spec_tier){.name = "tiny", .port = 2, .wer = NAN};
    made->front = (struct spec_front){.tiers = made->tiers, .tier_count = 2, .port = 8089};
    made->study = (struct spec_study){.name = "voice",
                                      .path = "voice.yaml",
                                      .folder = folder,
                                      .services = made->services,
                                      .service_count = 2,
                                      .device_count = 1};
    made->study.devices[0] = devices[0];
    make_guard(made);
    return made;
}

void made_study_free(struct made_study *made)
{
    arena_free(made->arena);
    free(made->values);
    free(made);
}

struct guard_value *made_value(struct made_study *made, const char *name)
{
    long at = guard_metric_find(made->guard.metrics, made->guard.metric_count, name);
    if (at < 0)
        fail_msg("no metric %s", name);
    return &made->values[at];
}

struct guard_tick made_tick(const struct made_study *made)
{
    return (struct guard_tick){
        .wall_us = clock_now_wall_us(), .mono_ns = clock_now_ns(), .values = made->values};
}
