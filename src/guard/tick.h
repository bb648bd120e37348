/* What was seen in one moment: a value for each name of spec/guard_metric.h, and what happened
 * since the last one. The judge sees ticks and nothing else; they are recorded as JSON Lines, and
 * judging a recording gives the same decisions. */
#pragma once

#include "base/err.h"
#include "spec/study.h"
#include "spec/guard.h"

#include <jansson.h>

struct guard_value {
    double number;    /* base units; NaN: unknown. Truth is 0 or 1 */
    const char *text; /* of a text metric; NULL: unknown. A word of a fixed set, static */
    uint64_t count;   /* how many values a percentile, rate or ratio stands on; 0 for gauges */
    enum guard_source source; /* of a ref without one: which it was */
    /* Of a quantile from an engine's histogram: the width of the bucket that it is in, infinite
     * beyond the last bound; 0: it is from no histogram. Shown and not recorded. */
    double bucket_s;
};

enum guard_event_kind {
    EVENT_OOM_DEVICE, /* an engine's log says that the device's memory ran out */
    EVENT_OOM_KERNEL, /* the kernel killed one of its processes for memory */
    EVENT_DOWN,       /* a service ended, its unit failed, or its port is closed */
    EVENT_UP,
    EVENT_RESTARTED,  /* another process, or its unit's count of restarts rose */
    EVENT_HANGS,      /* a probe had no answer within its deadline, nor did anybody, though the port
                       * accepts */
    EVENT_OVERLOADED, /* likewise, but others were answered meanwhile: it is full */
    EVENT_FAILS,      /* several probes in a row were answered with an error */
    EVENT_ANSWERS,    /* one was answered again */
    EVENT_ON_CPU,     /* placement: what must be on the device is not */
    EVENT_PLACED,     /* it is again */
    EVENT_XID,        /* the driver's error */
    EVENT_XID_OVER,   /* it says that nothing is to be done to the card any more */
    EVENT_DRIVER_LOST, /* the library answers no more: lost, or another version than the module */
    EVENT_PROXY_RESTARTED,
    EVENT_PROXY_DOWN,
    EVENT_CLOCK_STEP,  /* the wall clock jumped; windows are by the steady clock and go on */
    EVENT_LOG_FLOOD,   /* lines were dropped: more than we may read in time */
    EVENT_LOG_LOST,    /* a log can't be read: what it would tell is not seen; said once */
    EVENT_LOG_READ,    /* it is read again */
    EVENT_DISK_FULL,   /* recording stopped; said once, the watching goes on */
    EVENT_NO_RECORD,   /* the same for another reason, which it says */
    EVENT_DISK_WRITES, /* it goes on */
    EVENT_NEIGHBOUR,   /* a declared neighbour came, went, or has grown */
    EVENT_VERSIONS,    /* a service or the driver is not the version that the study measured */
    /* Not as in the study: what others hold or that a neighbour is there; what comes. */
    EVENT_OTHER_NEIGHBOURS,
    EVENT_OTHER_LOAD,
    EVENT_UNSERVED,   /* HAProxy has no usable server for the service's front */
    EVENT_SERVED,     /* it has one again */
    EVENT_ARM_DOUBT,  /* an arm hears worse, is slower than the first was, or is on the CPU */
    EVENT_ARM_SOUND,  /* nothing of the kind any more */
    EVENT_TIER_STAYS, /* a tier that guard has stopped is not down after two minutes */
    EVENT_TIER_GONE,  /* it is, or it is used again */
    EVENT_ACTED,      /* what became of an action, by the actor */
    EVENT_SETTING,    /* production runs another setting, or the study has decided anew: what was
                       * known of services by probes and engines begins anew */
    EVENT_COUNT_
};
extern const char *const guard_event_names[EVENT_COUNT_];

struct guard_event {
    enum guard_event_kind kind;
    int service;    /* or -1 */
    char text[240]; /* evidence: the log's line, numbers; one line, valid UTF-8 */
};

/* An action of an earlier decision that the actor refused: the judge is told before it sees this
 * tick (guard_judge_refused). */
struct guard_refusal {
    enum spec_action action;
    int service; /* or -1 */
};
struct policy_records; /* policy_record.h: what tiers were chosen on */

enum { GUARD_REFUSALS_MAX = 16 };
enum { GUARD_EVENTS_MAX = 32 }; /* of one tick; what is over is counted in `events_lost` */
struct guard_tick {
    int64_t wall_us;
    int64_t mono_ns;                  /* judging counts in this one */
    const struct guard_value *values; /* as many as the study's refs */
    struct guard_event events[GUARD_EVENTS_MAX];
    size_t event_count;
    uint32_t events_lost;
    struct guard_refusal refusals[GUARD_REFUSALS_MAX];
    size_t refusal_count;
    /* Seen by nobody now; a bit for each service: its log, its control group's kills for memory. */
    uint32_t no_log, no_kills;
    bool no_kernel_log;
    struct policy_records *tiers; /* borrowed; NULL: there are none, or nobody wants to read them */
};

/* One line without its end: {"t":wall s,"m":mono ns,"v":{"stt.latency.p95":[0.21,57,"requests"],
 * ...},"e":[...],"r":[what was refused],"u":[what is not
 * seen],"p":{what tiers were chosen on}}. Unknown values are left
 * out. */
void guard_tick_write(const struct guard_tick *tick, const struct guard_metric_ref *refs,
                      size_t count, struct buf *buf);
/* A number as ticks should hold it, of six digits: what is recorded is short, and is exactly what
 * was judged. Every other number is written in full. */
double guard_tick_number(double value);
/* As it is recorded: reads back as the same double. */
void guard_tick_add_number(struct buf *buf, double value);
/* The word of this ref's fixed set, or NULL: what `text` of a value may be. */
const char *guard_tick_word(const struct guard_metric_ref *ref, const char *text);

/* Written where guard begins: what stands behind it is judged anew, as it was then. */
#define GUARD_TICK_BEGINS "{\"begins\":1}"
bool guard_tick_begins(const char *line, size_t len);

/* Into `values` (count of them, owned by the caller), and into ret_tick->tiers where that is given,
 * with its study. Names that are not known are skipped: a file
 * of another version is read as far as it goes. ERR_INPUT otherwise, with the column; then both
 * outputs hold anything. */
NODISCARD bool guard_tick_read(const char *line, size_t len, const struct guard_metric_ref *refs,
                               size_t count, struct guard_value *values,
                               struct guard_tick *ret_tick, struct err *err);
