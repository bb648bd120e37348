/* Inside guard/: the servers of a service beside the one that its `watch:` names: other tiers of
 * its front, arms of its split. Of these the end for want of memory is told, whether they are up
 * and how often they were restarted is shown; what they hold and where they compute is who switches
 * them to know (guard/tier_unit.h, guard/split_place.h). Where nobody does, a tier is asked here.
 */
#pragma once

#include "guard/find.h"
#include "guard/status.h"
#include "guard/tier_process.h"
#include "guard/watch_aside.h"
#include "spec/study.h"

enum { GUARD_ALSO_MAX = GUARD_SERVERS_MAX };

struct guard_ends {      /* out of memory, of one server; zeroed at first, but group_kills -1 */
    uint64_t count;      /* of any kind, since guard began */
    int64_t told_ns[2];  /* the last that counted, per enum guard_end_kind; 0 */
    int64_t group_kills; /* of its control group; -1 unknown */
};
enum guard_end_kind { END_DEVICE, END_KERNEL };
/* Does it count, or is it one that was counted within ten seconds before? Counts it. */
bool guard_ends_add(struct guard_ends *ends, enum guard_end_kind kind, int64_t now_ns);

struct guard_also {
    size_t service, front;
    enum spec_on on;
    bool arm;                    /* else a tier */
    const char *server;          /* the tier's or arm's name; borrowed from the study */
    char name[160];              /* "stt's tier base" */
    struct spec_watch watch;     /* its unit, else its port */
    struct guard_finder *finder; /* owned */
    struct guard_history history;
    struct guard_life life;
    bool another; /* since the look before */
    struct guard_ends ends;
    /* As it is shown: what was stopped on purpose is not down, and its start is no restart. The
     * other two take whatever was seen, for who ran out of memory. */
    struct guard_aside aside;
    const char *folder; /* as for guard_aside_look(); borrowed, NULL at first */
    int64_t ready_within_ns;
    struct guard_life shown;
    struct guard_history shown_history;
    bool weighed; /* a tier, and nobody else asks what it holds and where it is */
    bool placed;  /* likewise, and it must be on the GPU */
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
/* After the look; of one that is `weighed`. `device` NULL: it can't be known. True: `wrong` is
 * another than before. */
bool guard_also_place(struct guard_also *also, struct device *device, const char *device_name,
                      int64_t now_ns);

/* As it is shown; memory and place where they are asked for here, else NaN and NULL. */
struct guard_server guard_also_server(const struct guard_also *also);

struct guard_watch;
/* Those of a watch. Borrowed. */
const struct guard_also *guard_watch_also(const struct guard_watch *watch, size_t *ret_count);
