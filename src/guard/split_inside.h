/* Private to a split in the daemon: what it holds, and how what is kept is read, followed and
 * written (split_follow.c). */
#pragma once

#include "guard/split.h"
#include "guard/split_decide.h"
#include "guard/split_place.h"
#include "guard/split_reference.h"

#include <stdarg.h>

struct guard_split {
    struct guard_split_setup setup;
    const struct spec_split *split;
    char *path; /* owned */
    struct guard_split_kept kept;
    struct stats_anytime *test;        /* owned */
    struct guard_reference *reference; /* owned; NULL: none */
    bool dirty;                        /* counted since it was kept */
    bool weights_due;                  /* HAProxy was not told yet */
    /* A decision that the disk did not take: it holds here, and stands on that revision. */
    bool unsaved;
    uint64_t unsaved_on;
    bool judged;     /* the harm that is known was acted on, or said in a dry run */
    bool said_fine;  /* likewise of no harm */
    bool failing;    /* told already */
    bool lost;       /* the file was none of ours and was set aside: to be told */
    unsigned doubts; /* told, a bit each: see add_doubts() */
    unsigned idle;   /* likewise: arms that get nothing, and are on the CPU */
    struct split_place places[SPEC_ARMS_MAX];
    int busy; /* times that a stop was held up by another program */
    int64_t keep_ns, retry_ns, retry_wait_ns;
    int64_t busy_ns;   /* since when another changes HAProxy's settings; 0: none does */
    uint64_t words_of; /* answers to reference clips that `words` stands on */
    struct stats_interval words;
};

void split_setup_tell(const struct guard_split_setup *setup, enum guard_event_kind kind,
                      int service, const char *format, va_list args) PRINTF_LIKE(4, 0);
void split_tell(struct guard_split *split, enum guard_event_kind kind, const char *format, ...)
    PRINTF_LIKE(3, 4);
/* What is on disk, at the beginning; damaged: set aside, with weights that are known to have been
 * HAProxy's, or nothing to the second arm. */
NODISCARD bool split_read_first(struct guard_split *split, bool *ret_found, struct err *err);
void split_adopt(struct guard_split *split);
/* Under the lock: takes over what another program has decided. */
NODISCARD bool split_follow(struct guard_split *split, bool *ret_followed, struct err *err);
NODISCARD bool split_write(struct guard_split *split, struct err *err);
NODISCARD bool split_keep(struct guard_split *split, struct err *err);
