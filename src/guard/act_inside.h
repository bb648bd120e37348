/* The actor's own: its state, and what its files ask of each other. Private to act*.c. */
#pragma once

#include "guard/act.h"
#include "guard/act_child.h"
#include "guard/act_kept.h"
#include "guard/act_restudy.h"
#include "guard/act_work.h"

#include <systemd/sd-event.h>

enum {
    ACT_NOTIFIES_MAX = 32, /* that wait or run */
    ACT_NOTIFIES_AT_ONCE = 4,
    ACT_NOTIFY_AGAIN_MAX = 3, /* after the first failure */
    ACT_CHANGES_MAX = 16
};

struct act_change { /* restart, rollback, or the request for a study */
    enum spec_action action;
    int service; /* or -1 */
    char rule[128], why[512];
    bool resumed; /* of an earlier guard: neither counted nor limited */
};

struct act_notify {
    struct arena *arena;       /* owned: its words; NULL: this place is free */
    struct guard_child *child; /* owned; NULL: it waits */
    struct guard_notify_work work;
    struct guard_actor *actor; /* borrowed */
    int service;
    char rule[128];
    unsigned severity; /* of the decision */
    uint64_t order;    /* as they came */
    int failures;
    int64_t due_ns; /* not before */
};

struct guard_actor {
    struct guard_act_setup setup;
    sd_event *event;
    bool journal;                         /* what we print goes there */
    bool looked;                          /* has been told a first tick */
    const char *faults[SPEC_DEVICES_MAX]; /* "lost", ...; static; NULL unknown */
    struct guard_kept kept;
    char put_aside[2][240]; /* of damaged files, to be told with the first tick; "" none */

    /* One change of the machine at a time: two services that start together take each other's
     * memory. queue[0] is under way while `change` is set. */
    struct act_change queue[ACT_CHANGES_MAX];
    size_t queued;
    struct guard_child *change;                    /* owned */
    struct guard_act *act;                         /* of it, in `kept`; NULL: it is not counted */
    struct guard_refusal refused[ACT_CHANGES_MAX]; /* the judge is to be told of with the tick */
    size_t refused_count;

    struct act_notify notifies[ACT_NOTIFIES_MAX];
    uint64_t notices;       /* so far */
    sd_event_source *again; /* owned: for those that failed */

    struct guard_restudy restudy;
    bool has_restudy;           /* there is a request */
    struct guard_child *minder; /* owned: ours; NULL: none, or an earlier guard's */
    sd_event_source *timer;     /* owned */
    int64_t tried_ns;           /* when it was last begun; 0: not by us */
    char program[4096];
    char *study_path, *folder; /* owned, absolute */
};

/* act_log.c: an EVENT_ACTED, told and logged. */
void act_tell(struct guard_actor *actor, int service, const char *rule, bool done, const char *fmt,
              ...) PRINTF_LIKE(5, 6);
void act_log_decision(const struct guard_actor *actor, const struct guard_decision *decision);
bool act_has_journal(void);

/* act_change.c */
void act_change_add(struct guard_actor *actor, const struct act_change *change);
void act_change_forget(struct guard_actor *actor, const char *rule); /* those that wait */
void act_change_next(struct guard_actor *actor);
void act_change_tell_refused(struct guard_actor *actor); /* those of decisions before this tick */
const char *act_change_refusal(const struct guard_actor *actor, const struct act_change *change);

/* act_notify.c */
NODISCARD bool act_notify_open(struct guard_actor *actor, struct err *err);
void act_notify_close(struct guard_actor *actor);
void act_notify_add(struct guard_actor *actor, const struct guard_decision *decision);
void act_notify_next(struct guard_actor *actor);
size_t act_notify_busy(const struct guard_actor *actor);

/* act_minder.c */
NODISCARD bool act_minder_open(struct guard_actor *actor, struct err *err);
void act_minder_look(struct guard_actor *actor);
