/* What is always wrong, whatever the study file says: rules that guard has itself. They only
 * notify, but for two that ask for a new study. One table of kinds; of a kind there is one alarm
 * for each service, device, or machine. */
#pragma once

#include "guard/rules.h"

struct guard_alarm;

enum guard_alarm_need { /* without what nobody would know that it has begun */
                        NEEDS_NOTHING,
                        NEEDS_LOOK,   /* at the service's process */
                        NEEDS_PROBE,  /* that was answered or failed of late */
                        NEEDS_LOG,    /* the service's, in the journal */
                        NEEDS_KERNEL, /* its log */
                        NEEDS_PROXY,  /* HAProxy answers */
};

struct guard_alarm_kind {
    const char *name;
    enum guard_scope scope; /* SCOPE_GUARD: of the machine */
    /* What the figure says; TRUE is bad. NULL: events alone say it. */
    enum expr_truth (*look)(struct guard_alarm *alarm, const struct guard_tick *tick);
    enum guard_metric metric; /* the figure; GUARD_METRIC_COUNT_: none */
    uint64_t begins, ends;    /* events, a bit each */
    uint64_t tells;           /* events that only say what the figure stands for */
    int64_t for_ns, clear_ns; /* of the figure; an event needs no time to be sure */
    int64_t hold_ns;          /* without an event that ends it, it is over so long after the last */
    bool front;               /* only of services behind HAProxy */
    bool split;               /* only of those with a split, or tiers chosen or on the GPU */
    bool chosen;              /* only of those whose tiers guard chooses */
    bool minor;               /* it can wait: others are told first */
    bool restudy;             /* asks for a new study as well, where `act` names it */
    bool machine;             /* also one for events that concern no service of the study */
    enum guard_alarm_need needs; /* of one that only events tell: without it nobody knows */
    const char *meaning;         /* a phrase: what it means, or what to do */
};
extern const struct guard_alarm_kind guard_alarm_kinds[];
extern const size_t guard_alarm_kind_count;

struct guard_alarm {
    const struct guard_alarm_kind *kind;
    const struct spec_study *study; /* borrowed */
    const char *who;                /* service's or device's name; NULL: the machine */
    int service;                    /* or -1 */
    long device;                    /* or -1 */
    long id, up;                    /* of its figure, and of the service's "up"; or -1 */
    long shown;                     /* its figure, from the source that says most */
    long seen_by;                   /* the figure that says whether `needs` is there; or -1 */
    const char *unseen;             /* what it needs and has not now, in words; NULL: nothing */
    int64_t hold_ns;
    bool latched; /* an event said so */
    bool bad;     /* its figure was beyond the threshold: hysteresis */
    int64_t latched_ns, began_ns, known_ns;
    int64_t last_ns[3]; /* of the last events, newest first; 0: none */
    char text[240];     /* the last event's; while `fatal`, the last fatal one's */
    /* Of a driver's errors: one after which the card computes no more, when, which services were
     * not there at some moment since, and whether one of those was proven to be there again. */
    bool fatal, proven, left[SPEC_SERVICES_MAX];
    bool worse;    /* in this tick: the first fatal one, after others */
    bool demanded; /* the driver itself has named what is to be done to the card */
    int64_t fatal_ns;
};

/* Every alarm of this study, owned by the caller (free). */
size_t guard_alarms_list(const struct spec_study *study, struct guard_alarm **ret_alarms);
/* What it says now, and whether an event just said so. */
enum expr_truth guard_alarm_look(struct guard_alarm *alarm, const struct guard_tick *tick,
                                 bool *ret_sudden);
/* Is the driver so broken that a service which is restarted would not come back? Of a device. */
bool guard_alarm_is_driver(const struct guard_alarm *alarm);
/* Does the text of an XID name one after which the GPU computes no more? */
bool guard_alarm_xid_is_fatal(const char *text);
/* ERR_INPUT: a rule of the file (`path`) is called as one of these. */
NODISCARD bool guard_alarms_check_names(const struct spec_study *study, const char *path,
                                        struct err *err);
