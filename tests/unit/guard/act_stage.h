/* The actor on a loop of its own, with real children: what its tests share. */
#pragma once

#include "made_study.h"

#include "guard/act.h"

#include <systemd/sd-event.h>

enum { TOLD_MAX = 64 };

struct stage {
    char *folder, *results;
    struct made_study *made;
    struct spec_setting words[8];
    sd_event *event;
    struct guard_actor *actor; /* NULL until it is opened */
    char told[TOLD_MAX][240];
    size_t count;
    int refused; /* times that the judge is told so */
};

/* All actions are allowed, a hundred an hour. */
struct stage *stage_new(void);
void stage_free(struct stage *stage);
/* Closes one that is open: guard is restarted. */
void stage_open(struct stage *stage, bool dry_run);
/* For `acted`. */
void stage_acted(void *context, const struct guard_event *event);
void stage_set_command(struct stage *stage, const char *const *words);
/* A tick. */
void stage_see(struct stage *stage);
/* The rule 'slow "speech"' in alarm. */
void stage_decide(struct stage *stage, int service, uint32_t actions);
/* Until nothing is under way. */
void stage_settle(struct stage *stage);
bool stage_told(const struct stage *stage, const char *part);

#define CHECK_TOLD(stage, part)                                                                    \
    do {                                                                                           \
        if (!stage_told((stage), (part)))                                                          \
            fail_msg("not told: \"%s\"; last: \"%s\"", (part),                                     \
                     (stage)->count ? (stage)->told[(stage)->count - 1] : "(nothing)");            \
    } while (0)
