/* What the judge holds; for judge*.c alone. */
#pragma once

#include "guard/alarms.h"
#include "guard/limits.h"
#include "guard/rules.h"

struct judge_rule {                     /* of the file, or built in */
    const struct spec_guard_rule *spec; /* borrowed; NULL: built in */
    struct guard_alarm *alarm;          /* borrowed from the judge; NULL: of the file */
    struct guard_rule_times times;
    struct guard_rule_state state;
    const char *name; /* borrowed */
    int service;
    uint32_t actions;
    size_t *uses; /* owned: ids of the figures in `when`, for words */
    size_t use_count;

    /* of this tick */
    enum guard_state from;
    enum expr_truth when;
    bool sudden;
    unsigned severity; /* see struct guard_decision */

    /* of the alarm under way */
    uint32_t owed;   /* actions that are still to be done */
    uint32_t asked;  /* actions that no rule has asked for since */
    uint32_t said;   /* and those of them that were told as withheld */
    int64_t owed_ns; /* tier actions: not again before */
    bool notified;
    int64_t alarm_ns, over_ns; /* it began; the last one was over: 0: there was none */
    bool told_unknown;         /* that it has no data */
};

struct guard_judge {
    const struct spec_study *study; /* borrowed */
    struct guard_alarm *alarms;     /* owned */
    struct judge_rule *rules;       /* owned */
    size_t rule_count;
    struct guard_limits *limits; /* owned */
    struct guard_value *values;  /* owned: of the last tick, for words */
    int64_t now_ns;
};

/* judge_text.c: one line each, at most what the buffer takes. */

/* "stt.latency.p95 412 ms of 57 requests > 300 ms", or the event that said it. */
void guard_judge_add_evidence(struct buf *buf, const struct guard_judge *judge,
                              const struct judge_rule *rule);
/* What is not known, and why: "stt.latency.p95 stands on 3 of 20 requests". */
void guard_judge_add_unknown(struct buf *buf, const struct guard_judge *judge,
                             const struct judge_rule *rule);
/* "over when stt.latency.p95 < 250ms for 30 s" */
void guard_judge_add_end(struct buf *buf, const struct judge_rule *rule);
/* Whether this ref's value is known to a rule which wants so many values behind it. */
bool guard_judge_is_known(const struct guard_metric_ref *ref, const struct guard_value *value,
                          uint64_t at_least);
