/* A traffic split between the arms of one front: who answered how fast, whether the second arm does
 * harm, and the weights that follow. The verdict is stats/anytime.h's: it may be looked at after
 * every request. HAProxy splits, guard only counts its log; a guard that dies leaves the weights as
 * they are, and the next one goes on from FOLDER.split-SERVICE.json.
 *
 * The file is one, written whole, and written by `spica split` as well: who changes the weights
 * holds FOLDER.split-SERVICE.lock, writes the file first and HAProxy after it; the daemon sees at
 * its next step that the decision is not its own and follows. */
#pragma once

#include "guard/status.h"
#include "guard/tick.h"
#include "proxy/proxy.h"
#include "spec/space.h"

struct guard_split_setup { /* borrowed for as long as the split lives */
    const struct spec_study *study;
    size_t front;        /* whose split: spec_guard.fronts[front].split.count > 0 */
    const char *folder;  /* of the study's results, absolute; the file stands beside it */
    struct proxy *proxy; /* NULL: nobody to set weights at: nothing is set, only counted */
    /* What reference clips are asked with (as for guard/probe.h): the study's own recordings with
     * transcripts, one at a time to each arm in turn. NULL, or no such recordings: no word errors
     * are compared. */
    const struct spec_candidate *candidate;
    double reference_rps; /* of both arms together; 0: none */
    bool dry_run;         /* says what would be done, sets no weight */
    /* As guard_memory_devices(); NULL: no arm is asked for its place. With it `candidate` is. */
    struct device *const *devices;
    /* What was decided, done or held back and why; once for each change. Called from _step(), must
     * not call back. NULL: nobody is told. */
    void (*tell)(void *context, const struct guard_event *event);
    void *context;
};

struct guard_split; /* opaque */
/* Goes on from the file if there is one for these arms; weights that it holds are set again at the
 * first step. One that is damaged is moved to FILE.bad: then the study file's weights stand, and
 * nothing is judged until a person says how it goes on. */
NODISCARD bool guard_split_new(const struct guard_split_setup *setup,
                               struct guard_split **ret_split, struct err *err);
/* Keeps what is not kept yet; returns NULL. */
struct guard_split *guard_split_free(struct guard_split *split);
AUTO_FN(struct guard_split, guard_split_free)

/* A request of this front, as HAProxy logged it; those of other fronts are passed over. */
void guard_split_add(struct guard_split *split, const struct proxy_request *request);
/* Once a tick: reads what `spica split` has decided, stops an arm that does harm, sends a reference
 * clip when one is due, keeps the file (after each decision, else every 5 s if something was
 * counted). False: our own failure (disk, HAProxy), to be told; the next steps try again, and say
 * no more of it. */
NODISCARD bool guard_split_step(struct guard_split *split, int64_t now_ns, int64_t wall_us,
                                struct err *err);
/* `candidate` of the setup points to another one: what is asked by it is made anew. What was
 * counted and decided, and the weights, are of the arms and stay. */
void guard_split_follow(struct guard_split *split);
void guard_split_status(const struct guard_split *split, struct guard_status_split *ret_status);
