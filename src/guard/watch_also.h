/* Inside guard/: the servers of a service beside the one that its `watch:` names: other tiers of
 * its front, arms of its split. Of these the end for want of memory is told; whether they are up,
 * what they hold and where they compute is who switches them to know (guard/tier_unit.h,
 * guard/split_place.h). Where nobody does, a tier's place is looked at here. */
#pragma once

#include "guard/find.h"
#include "guard/tier_process.h"
#include "spec/study.h"

enum { GUARD_ALSO_MAX = SPEC_FRONTS_MAX * SPEC_TIERS_MAX };

struct guard_ends {      /* out of memory, of one server; zeroed at first, but group_kills -1 */
    uint64_t count;      /* of any kind, since guard began */
    int64_t told_ns[2];  /* the last that counted, per enum guard_end_kind; 0 */
    int64_t group_kills; /* of its control group; -1 unknown */
};
enum guard_end_kind { END_DEVICE, END_KERNEL };
/* Does it count, or is it one that was counted within ten seconds before? Counts it. */
bool guard_ends_add(struct guard_ends *ends, enum guard_end_kind kind, int64_t now_ns);

struct guard_also {
    size_t service;
    const char *server;          /* the tier's or arm's name; borrowed from the study */
    char name[160];              /* "stt's tier base" */
    struct spec_watch watch;     /* its unit, else its port */
    struct guard_finder *finder; /* owned */
    struct guard_history history;
    struct guard_life life;
    bool another; /* since the look before */
    struct guard_ends ends;
    bool placed; /* a tier that must be on the GPU, and nobody else asks where it is */
    struct tier_process process;
    bool wrong; /* it is elsewhere: until it is seen where it must be, or is down */
};

/* Into `ret_also`, of GUARD_ALSO_MAX; returns how many. `managers` as of guard_finder_new(). */
size_t guard_also_open(const struct spec_study *study, const char *proc_root,
                       struct guard_managers *managers, struct guard_also *ret_also);
void guard_also_close(struct guard_also *also, size_t count);
/* Looks at all of them. True: systemd says of this one, as it did not before, that it was killed
 * for memory. */
bool guard_also_look(struct guard_also *also, int64_t now_ns);
/* After the look; of one that is `placed`. `device` NULL: it can't be known. True: `wrong` is
 * another than before. */
bool guard_also_place(struct guard_also *also, struct device *device, const char *device_name,
                      int64_t now_ns);

struct guard_watch;
/* Those of a watch. Borrowed. */
const struct guard_also *guard_watch_also(const struct guard_watch *watch, size_t *ret_count);
