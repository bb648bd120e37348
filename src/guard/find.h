/* Inside guard/: who a watched service is at this moment, again and again. Nothing waits: systemd
 * is asked on the event loop, /proc is read.
 *
 * A service is known by its main process (pid and start), which is systemd's word for a unit, the
 * outermost process of a container's cgroup, the pid of the study file, or whoever listens on the
 * port. It is up once that process lives and its port, where one is known, is listened on, and not
 * by a process that is known to be another's. */
#pragma once

#include "device/proc.h"
#include "host/manager.h"
#include "spec/guard.h"

#include <systemd/sd-event.h>

enum guard_presence {
    PRESENCE_UNKNOWN, /* systemd does not answer, or /proc can't be read */
    PRESENCE_DOWN,
    PRESENCE_COMING, /* on its way: activating, or it does not listen yet */
    PRESENCE_UP,
    PRESENCE_COUNT_
};

struct guard_life { /* of one look */
    enum guard_presence presence;
    struct proc_stat main;  /* .pid 0: not known */
    int64_t restarts;       /* systemd's count; -1: none is known */
    bool killed_for_memory; /* systemd's result is "oom-kill" */
    bool stopped;           /* systemd says that it was, or is being, and not that it failed */
    bool aside;             /* on purpose (watch_aside.h), so `presence` is unknown */
    bool listens;           /* somebody does on its port, or it has none */
    char why[160];
};

/* ---- find.c ---- */
struct guard_finder; /* opaque: of one service */

struct guard_managers; /* find_unit.c: connections to systemd, shared by all finders */
struct guard_managers *guard_managers_new(sd_event *event);
struct guard_managers *guard_managers_free(struct guard_managers *managers); /* returns NULL */
AUTO_FN(struct guard_managers, guard_managers_free)

/* All borrowed; managers NULL: units stay unknown. */
struct guard_finder *guard_finder_new(const struct spec_watch *watch, const char *proc_root,
                                      struct guard_managers *managers);
struct guard_finder *guard_finder_free(struct guard_finder *finder); /* returns NULL */

/* Looks: *ret_life is what is known now. Of a unit that may be what systemd answered to the look
 * before; while its process lives it is asked every ten seconds, else at each look. */
void guard_finder_look(struct guard_finder *finder, int64_t now_ns, struct guard_life *ret_life);
/* The control group of its main process below the mount of that hierarchy; "" unknown. */
const char *guard_finder_group(const struct guard_finder *finder);
/* "whisper.service", "pid 4711", "container web", "port 8090". */
void guard_watch_where(const struct spec_watch *watch, char *ret_text, size_t size);

/* ---- what follows from two looks; pure ---- */
struct guard_history { /* of one service; zeroed at first */
    bool began;
    enum guard_presence presence; /* the last one that was known */
    struct proc_stat main;        /* the last that was seen */
    int64_t restarts_told;        /* systemd's count then; -1 */
    bool counted;                 /* a restart was counted since `main` was last seen alive */
    bool killed;
    uint64_t restarts; /* since guard began */
};
struct guard_turn { /* what has changed */
    bool came_up, went_down, restarted, killed_for_memory, another;
    uint64_t restarts; /* how many of them now */
};
struct guard_turn guard_history_step(struct guard_history *history, const struct guard_life *life);

/* ---- find_listener.c ---- */
enum guard_port_owner {
    PORT_UNKNOWN, /* nobody listens, or whose it is can't be told */
    PORT_ITS,
    PORT_ANOTHERS
};
struct guard_port_asked {
    int port;
    struct proc_stat main; /* of the service; .pid 0: not known */
    const char *unit;      /* borrowed; NULL: it has none */
};
struct guard_port_look { /* zeroed at first; what was found is kept; owns nothing */
    struct proc_listening listening;
    struct proc_stat main, holder;
    enum guard_port_owner owner; /* as it was judged of those two */
    int64_t judged_ns;
};
/* `ret_why` is written for PORT_ANOTHERS alone: who it is, in words. */
enum guard_port_owner guard_port_whose(struct guard_port_look *look, const char *proc_root,
                                       const struct guard_port_asked *asked, int64_t now_ns,
                                       char *ret_why, size_t size);

/* ---- inside: find_unit.c, find_port.c ---- */
struct guard_unit_state {
    bool known; /* systemd has answered */
    char active[24], sub[32], result[32];
    uint32_t main_pid, restarts;
    int64_t at_ns; /* of the answer */
};
struct guard_unit; /* opaque */
struct guard_unit *guard_unit_new(struct guard_managers *managers, const char *name, bool user);
struct guard_unit *guard_unit_free(struct guard_unit *unit);
/* Asks unless an answer is awaited. The answer comes on the loop. */
void guard_unit_ask(struct guard_unit *unit, int64_t now_ns);
const struct guard_unit_state *guard_unit_state(const struct guard_unit *unit);
/* Asks systemd to start or to stop it, and waits for nothing: how that ends is seen in its state.
 * False, or a text later: it was refused. */
bool guard_unit_job(struct guard_unit *unit, enum host_verb verb, int64_t now_ns);
const char *guard_unit_refused(const struct guard_unit *unit); /* "" */
bool guard_unit_is_denied(const struct guard_unit *unit); /* for want of a right: nothing began */

enum guard_listening { LISTENING_UNKNOWN, LISTENING_NO, LISTENING_YES };
/* Does anybody listen on this TCP port, on any address? The kernel is asked (sock_diag): nothing
 * reaches the service, and ten thousand connections cost nothing. */
enum guard_listening guard_port_listening(int port);
