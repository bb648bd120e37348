/* What a promotion would do, complete before anything is touched: every file with its bytes before
 * and after, every unit with its restart, in the order in which it is done. The plan is what a
 * person sees and approves: its id is the digest of exactly that, so a plan that has changed since
 * is another plan. Making one reads, and changes nothing.
 *
 * Everything is in the plan's arena. Files hold the bytes as they are; secrets in them are hidden
 * when they are shown (promote/secret.h), never in what is written. */
#pragma once

#include "base/arena.h"
#include "base/digest.h"
#include "promote/step.h"
#include "spec/production.h"
#include "spec/space.h"
#include "spec/study.h"

struct promote_expectation {               /* one metric: what the study says will change */
    const char *metric;                    /* "stt.latency.p95" */
    int unit;                              /* enum metric_unit */
    int kind;                              /* enum report_kind: of `then` and its interval */
    size_t runs;                           /* behind `then` */
    double now, then, then_low, then_high; /* base units; NaN unknown */
    const char *words;                     /* the change in words, with its interval */
};

struct promote_difference { /* production is not what was measured */
    const char *name;       /* for --accept: "version.llm", "driver", "device", "study", "spica",
                             * "candidate" (it is not the winner), "unit.llm" (its next start brings
                             * an edit) */
    const char *measured, *found;
    bool accepted;
};

struct promote_witness { /* read for the plan and not changed by it: a unit's own file, its other
                          * drop-ins, a Compose file. Applying asks that it is still the same */
    const char *path;
    char digest[DIGEST_HEX_SIZE]; /* "": it is not there */
};

struct promote_plan {
    struct arena *arena;            /* owned */
    const struct spec_study *study; /* NULL: read back from a journal */
    const char *run_folder;         /* absolute: commands run here; NULL: the study file's folder */
    /* "NAME=value" of what its commands are given besides their words (promote/surroundings.h);
     * NULL at the end; NULL: it has no commands, or is not known. Shown by digest */
    const char *const *surroundings;
    struct spec_candidate winner;
    const char *winner_text;
    const char *last_record; /* the name of what was recorded last, so that an approval holds for
                              * one promotion; NULL: nothing yet */
    const char *nothing; /* why there is nothing to promote (what runs today stays best), one line;
                          * NULL: there is a plan */
    struct promote_step *steps;
    size_t step_count;
    struct promote_expectation *expectations;
    size_t expectation_count;
    struct promote_difference *differences;
    size_t difference_count;
    struct promote_witness *witnesses;
    size_t witness_count;
    bool was_down[SPEC_SERVICES_MAX]; /* per service: its unit did not run. Not in the id: a unit
                                       * with a step has it there */
    bool any_program; /* of an undo: its programs are run as they are now (promote/program.h) */
    const char *const *secret_names; /* variables marked `secret:`; NULL at the end, or NULL */
    double memory_before_bytes, memory_after_bytes; /* of all services; NaN unknown */
    char id[17]; /* 16 hex digits: of everything above that is shown, and of all bytes */
};

struct promote_world; /* promote/world.h */
struct promote_options {
    const char *folder;                 /* the study's results, absolute */
    const struct spec_catalog *catalog; /* to read the study as it is stored */
    const char *const *accept;          /* names of differences, NULL at the end; NULL: none */
    const char *candidate;              /* text; NULL: the study's winner */
    const struct promote_world *world;  /* NULL: this machine */
};

/* ERR_INPUT: no `production:`, no proven winner, an unsafe file, a unit that does not exist;
 * ERR_INFEASIBLE: no candidate met the requirements; ERR_DECLINED: a difference that was not
 * accepted (names all of them and how to accept). */
NODISCARD bool promote_plan_make(const struct spec_study *study,
                                 const struct promote_options *options,
                                 struct promote_plan **ret_plan, struct err *err);
struct promote_plan *promote_plan_free(struct promote_plan *plan);
AUTO_FN(struct promote_plan, promote_plan_free)

/* Nothing in it changes anything: production is already so. */
bool promote_plan_is_empty(const struct promote_plan *plan);
