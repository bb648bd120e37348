/* Who a promoted service is on this machine, and whether it still is: the process of its unit, of
 * its container, or whoever listens on its port. Private to promote/. */
#pragma once

#include "base/arena.h"
#include "device/proc.h"
#include "host/config.h"
#include "promote/plan.h"

enum promote_life {
    LIFE_UP,
    LIFE_COMING, /* on its way: activating, or nobody listens yet */
    LIFE_DOWN,   /* failed, stopped, restarted meanwhile */
};

struct promote_alive {
    const char *unit; /* NULL: it has none */
    enum host_scope scope;
    int port;                  /* 0: none is known */
    const char *const *ask_id; /* argv that prints its container's id; NULL: it is none */
    const char *folder;        /* where that runs */
    /* Filled by the first look that finds it up. */
    bool seen;
    struct proc_stat main; /* .pid 0: not known */
    uint32_t restarts;
    pid_t anchor; /* our own idle process, in whose tree `main` is put; 0: none */
    int64_t looked_ns;
};

struct promote_managers { /* opened when first needed, owned */
    struct host_manager *of[HOST_SCOPE_COUNT_];
};
void promote_managers_close(struct promote_managers *managers);

/* One look. Once seen, another process, a restart or an end is LIFE_DOWN. `why` in words, always.
 * False: systemd could not be asked. */
NODISCARD bool promote_alive_look(struct promote_alive *alive, struct promote_managers *managers,
                                  enum promote_life *ret_life, char *why, size_t size,
                                  struct err *err);
/* Who answers on its port? `why` names somebody else, or says that it can't be seen. */
enum promote_listens { LISTENS_OURS, LISTENS_OTHER, LISTENS_UNKNOWN };
enum promote_listens promote_alive_listens(struct promote_alive *alive, char *why, size_t size);
/* Puts the service's processes into a tree of their own, for everything that asks about trees by
 * their root. False: its process is not known, or there is no room. */
bool promote_alive_anchor(struct promote_alive *alive);
void promote_alive_done(struct promote_alive *alive);
