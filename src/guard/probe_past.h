/* Inside guard/: what one probe's end says of its service, beside what is known of others' requests
 * and of the probes before. Pure. */
#pragma once

#include "guard/probe.h"

struct guard_probe_past { /* of one service; zeroed at first */
    pid_t process;        /* the one that these are of */
    bool answered;        /* a probe, at least once */
    bool told;            /* that it fails */
    int failed;           /* in a row, answered with an error */
    int64_t failed_ns;    /* when the first of them was sent */
};

struct guard_probe_scene { /* when it ended */
    int64_t now_ns;
    int64_t within_ns;   /* its deadline */
    pid_t process;       /* that should answer */
    int64_t up_ns;       /* since when that is up */
    int64_t age_ns;      /* how long ago that was started; -1 unknown */
    int64_t answered_ns; /* another's request ended well there then; 0: that was not seen */
    int64_t moved_ns;    /* its counts of requests or tokens moved then or later, maybe by this very
                          * probe; 0: likewise */
};

enum guard_probe_turn {
    PROBE_SAYS_NOTHING,
    PROBE_HANGS,   /* no answer in time, neither to it nor to anybody else */
    PROBE_SLOW,    /* no answer in time to it; others were answered meanwhile */
    PROBE_FAILS,   /* the last of GUARD_FAILS_IN_A_ROW errors; told once, until one is answered */
    PROBE_ANSWERED /* after that */
};
enum { GUARD_FAILS_IN_A_ROW = 3 };

/* Is it the service's failure? Not a 4xx, nor a 503 of a process that loads, nor a first answer
 * that is late. Before its step. */
bool guard_probe_is_failure(const struct guard_probe_past *past, const struct guard_probe *probe,
                            const struct guard_probe_scene *scene);
enum guard_probe_turn guard_probe_step(struct guard_probe_past *past,
                                       const struct guard_probe *probe,
                                       const struct guard_probe_scene *scene);
/* Which part of its deadline a probe waits before others' answers count for it: what was answered
 * just after it was sent says nothing of a server that froze then. */
int64_t guard_probe_patience_ns(int64_t within_ns);
