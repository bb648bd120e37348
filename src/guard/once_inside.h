/* One look, as once.c makes it and once_table.c shows it; for them alone. */
#pragma once

#include "guard/daemon.h"
#include "guard/judge.h"

enum { ONCE_TEXT_MAX = 256 << 10, ONCE_SAID_MAX = 64 };

struct once_said {
    char *items[ONCE_SAID_MAX]; /* owned */
    size_t count;
};

struct once {
    const struct spec_study *study;
    const char *folder; /* of its results */
    struct guard_lookout lookout;
    struct guard_judge *judge; /* owned: the file's rules */
    struct guard_tick tick;    /* the last */
    struct once_said wrong, unknown;
    char unserved[SPEC_SERVICES_MAX][240]; /* HAProxy has no usable server; "" */
    double looked_s;
};

/* ---- once.c: a sentence, once, made harmless ---- */
void guard_once_say(struct once_said *said, const char *format, ...) PRINTF_LIKE(2, 3);

/* ---- once_rules.c ---- */
void guard_once_judge_rules(struct once *once); /* by the last tick */
void guard_once_tell_rules(struct once *once);  /* what of them is wrong, or not known */

/* ---- once_fronts.c ---- */
void guard_once_tell_fronts(struct once *once); /* tiers, arms, splits */
void guard_once_tell_disk(struct once *once, double free_bytes);

/* ---- once_table.c ---- */
/* Of the last tick; NULL: there is no such figure. `quantile` NaN: any. */
const struct guard_value *guard_once_value(const struct once *once, size_t service,
                                           enum guard_metric metric, enum guard_source source,
                                           double quantile);
void guard_once_add_table(struct buf *text, const struct once *once, int width);
void guard_once_add_json(struct buf *text, const struct once *once);
