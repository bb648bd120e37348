/* Inside guard/: everything that is seen, put together into ticks. Who calls it runs the loop. */
#pragma once

#include "guard/engine_metrics.h"
#include "guard/find.h"
#include "guard/memory.h"
#include "guard/probe_past.h"
#include "guard/watch_candidate.h"
#include "guard/watch_also.h"
#include "guard/watch_aside.h"
#include "guard/watch_events.h"
#include "guard/watch_place.h"
#include "guard/watch_requests.h"
#include "promote/alive.h"
#include "proxy/proxy.h"
#include "spec/space.h"

struct guard_traffic; /* watch_proxy.h */

struct guard_watch_setup { /* borrowed for as long as the watch lives */
    const struct spec_study *study;
    const char *folder;                     /* of the study's results */
    const struct spec_candidate *candidate; /* that runs in production */
    sd_event *event;
    bool once;    /* one look: HAProxy's log is another guard's */
    bool dry_run; /* HAProxy is not started, and its configuration stays as it is */
    /* Each request that HAProxy logged, as it comes; NULL: nobody wants to know. */
    void (*request)(void *context, const struct proxy_request *request, int64_t now_ns);
    void *context;
};

/* What production is compared by with the study: guard/changed.h. */
enum guard_change { CHANGE_VERSIONS, CHANGE_NEIGHBOURS, CHANGE_LOAD, CHANGE_COUNT_ };

struct guard_watch; /* opaque */
/* Nothing of what is watched need be there. What can't be had (no journal, no probes since a corpus
 * is missing) is told by guard_watch_missing() and left out. */
NODISCARD bool guard_watch_new(const struct guard_watch_setup *setup,
                               struct guard_watch **ret_watch, struct err *err);
struct guard_watch *guard_watch_free(struct guard_watch *watch); /* returns NULL */
AUTO_FN(struct guard_watch, guard_watch_free)

/* Production runs another setting now, which stands where the setup's candidate points to, or the
 * study has another decision: what was made from the one before is made anew (probes, engines'
 * metrics, capacities, what is compared with the study), and where each service computes is to be
 * proven again. HAProxy, its requests and what is known of each process stay. */
void guard_watch_follow(struct guard_watch *watch, int64_t now_ns);
/* Looks at everything once and makes a tick of it; its values are borrowed until the next one. */
void guard_watch_tick(struct guard_watch *watch, int64_t now_ns, int64_t wall_us,
                      struct guard_tick *ret_tick);
/* What others have to say goes into the next tick. */
struct guard_events *guard_watch_events(struct guard_watch *watch);
/* What can't be seen here, one line each; "" nothing. Borrowed. */
const char *guard_watch_missing(const struct guard_watch *watch);
/* For who acts: the devices, and what HAProxy said last. */
struct device *const *guard_watch_devices(const struct guard_watch *watch);
struct proxy *guard_watch_proxy(const struct guard_watch *watch); /* NULL: there is none */
const struct proxy_view *guard_watch_proxy_view(const struct guard_watch *watch);
/* The tier that a front's service has, of which the policy knows more; NULL: HAProxy's word. */
void guard_watch_set_tier(struct guard_watch *watch, size_t service, const char *tier);
/* What became of a tier: where it is the server that is watched, and guard stops it, it is not down
 * (watch_aside.h). */
void guard_watch_note_power(struct guard_watch *watch, size_t service, const char *tier,
                            enum guard_tier_power power);
void guard_watch_set_disk(struct guard_watch *watch, double free_bytes);
/* Why no probe of service `i`, which is up, could be sent; "": one was; NULL: none is asked for, or
 * there is nothing to ask with. Borrowed. */
const char *guard_watch_no_probe(const struct guard_watch *watch, size_t i);
/* Have all that can be asked answered, or failed to, at least once? For one look. */
bool guard_watch_has_looked(const struct guard_watch *watch);

/* ---- inside: what is known of one service ---- */
struct guard_subject {
    const struct spec_service *spec;
    const struct spec_watch *watch;
    struct guard_finder *finder; /* owned */
    struct guard_history history;
    struct guard_life life;
    struct guard_aside aside;
    struct guard_turn turn;
    struct promote_alive alive; /* its tree's root */
    bool another;               /* since the last tick */
    int64_t up_ns;              /* since when this process is up; 0 */
    struct guard_place place;
    struct device_proof proof; /* of the last probe, until it was looked at */
    bool has_proof;
    int64_t probe_elsewhere_ns;   /* sent: the last answered one, not proven on the device; 0 */
    int64_t hung_ns;              /* the last probe did; 0 */
    uint64_t probes, probes_ours; /* that ended, and where our own part failed */
    bool probe_ours;              /* of the last one it did */
    struct guard_probe_past probe_past;
    struct guard_requests *probe_window;   /* owned */
    struct guard_requests *request_window; /* owned; NULL: it has no front */
    struct guard_engine_view engine;
    struct guard_requests_view probe, request;
    struct guard_ends ends; /* times it ran out of memory */
    int front;              /* -1: none */
    const char *tier;
    char probe_words[200]; /* of the last failed probe; "" */
};
const struct guard_subject *guard_watch_subject(const struct guard_watch *watch, size_t i);
const struct guard_memory *guard_watch_memory(const struct guard_watch *watch);
const struct guard_metric_ref *guard_watch_refs(const struct guard_watch *watch, size_t *ret_count);
