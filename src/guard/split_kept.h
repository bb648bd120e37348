/* Inside guard/: what a split knows, as it is kept in FOLDER.split-SERVICE.json. Two programs write
 * that file, the daemon and `spica split`; whoever does holds the lock from reading to writing, so
 * that neither undoes the other's decision. */
#pragma once

#include "spec/guard.h"
#include "spec/study.h"
#include "stats/anytime.h"
#include "stats/anytime_pairs.h"
#include "stats/sketch.h"
#include "stats/wer.h"

enum { GUARD_SPLIT_CLIPS_MAX = 64, GUARD_SPLIT_WHY_MAX = 240 };

enum guard_split_state {
    SPLIT_RUNNING,
    SPLIT_STOPPED,  /* the second arm did harm: it gets nothing */
    SPLIT_ABORTED,  /* somebody said so: likewise */
    SPLIT_FULL,     /* the second arm gets everything: to be promoted, or aborted */
    SPLIT_UNJUDGED, /* what was known was lost: weights as the study file says, no verdict */
    SPLIT_STATE_COUNT_
};
extern const char *const guard_split_state_names[SPLIT_STATE_COUNT_];

struct guard_split_arm {
    const char *name; /* borrowed from the study */
    int weight;       /* percent, now */
    /* Since the split began, or was advanced last. */
    uint64_t requests, failed, left; /* all; with an error; whose client did not wait */
    struct stats_sketch *latency;    /* of those answered; owned */
    /* Since the split began: what arms make of the same clips does not depend on weights. */
    struct stats_wer clips[GUARD_SPLIT_CLIPS_MAX]; /* pooled by clip */
    uint64_t references, references_failed;
};

/* At 100 %: nothing runs beside the second arm, so it is held to what the first was
 * (split_alone.h).
 */
struct guard_split_alone {
    double slow_s; /* a request that takes longer is slow; NaN: not known, nothing is judged */
    double failed_ratio;                    /* so often the first arm failed at most */
    uint64_t round;                         /* counts begin anew with each */
    uint64_t timed, slow, requests, failed; /* of this round */
    bool harm;                              /* it was stopped for this */
};

struct guard_split_kept {
    enum guard_split_state state;
    uint64_t revision; /* of the decision: state and weights */
    int64_t began_wall_us, since_wall_us;
    char why[GUARD_SPLIT_WHY_MAX]; /* of the last decision, one line */
    size_t arm_count;
    struct guard_split_arm arms[SPEC_ARMS_MAX];
    size_t second; /* the arm that is judged; the first is 0 */
    struct stats_anytime_sums sums;
    struct guard_split_alone alone;
    struct stats_anytime_pairs pairs;   /* word errors of both arms on the same clip */
    bool by_words;                      /* it was stopped for them */
    char no_words[GUARD_SPLIT_WHY_MAX]; /* why no word errors can be known; "": they can */
};

/* As the study file says, nothing seen yet. */
void guard_split_kept_init(struct guard_split_kept *kept, const struct spec_split *split,
                           int64_t wall_us);
void guard_split_kept_done(struct guard_split_kept *kept);
/* The file's error is shared out: nine tenths for time and failures of requests, one for word
 * errors, so that both tests together keep it. */
struct stats_anytime_options guard_split_options(const struct spec_split *split);
struct stats_anytime_pairs_options guard_split_pairs_options(const struct spec_split *split);

/* "FOLDER.split-stt.json"; owned by the caller. */
char *guard_split_path(const char *folder, const struct spec_study *study, size_t front);
/* Released by closing it. ERR_BUSY: another holds it for longer than two seconds. */
NODISCARD bool guard_split_lock(const char *path, int *ret_fd, struct err *err);

/* *ret_found false, and *kept as it was: there is none, or it is of other arms, weights or limits
 * than the study file's now, which is newer: a person's word. ERR_INPUT: it is none of ours. */
NODISCARD bool guard_split_kept_read(const char *path, const struct spec_split *split,
                                     struct guard_split_kept *kept, bool *ret_found,
                                     struct err *err);
/* Moves a file that can't be read to PATH.bad, in the place of an older one; lock held. */
NODISCARD bool guard_split_kept_set_aside(const char *path, struct err *err);
NODISCARD bool guard_split_kept_write(const char *path, const struct spec_split *split,
                                      const struct guard_split_kept *kept, struct err *err);
