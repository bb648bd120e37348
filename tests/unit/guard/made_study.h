/* A small study with a guard, by hand: two services (`stt` is a unit on gpu0, `llm` a pid), one
 * front with two tiers for stt. What a test wants otherwise it changes. */
#pragma once

#include "guard/act.h"

struct made_study {
    struct arena *arena; /* owned */
    struct spec_study study;
    struct spec_guard guard;
    struct spec_service services[2];
    struct spec_watch watches[2];
    struct spec_tier tiers[2];
    struct spec_front front;
    struct guard_value *values; /* one for each ref, unknown; owned */
};

struct made_study *made_study_new(const char *folder);
void made_study_free(struct made_study *made);
/* Borrowed; fails the test when there is none of that name. */
struct guard_value *made_value(struct made_study *made, const char *name);
struct guard_tick made_tick(const struct made_study *made);
