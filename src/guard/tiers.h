/* Which model's server takes a front's new requests: the runtime around guard/policy.h. It sees,
 * asks the policy, and does what it says: switches through HAProxy, starts a tier through systemd,
 * warms it up, drains and stops it. Nothing here waits: whatever takes time is looked at again at
 * the next step. When it ends, HAProxy goes on with the tier it has. */
#pragma once

#include "guard/tick.h"
#include "proxy/proxy.h"

struct device;
struct sd_event;
struct spec_candidate;

struct guard_tiers_options {        /* borrowed until guard_tiers_free() */
    const struct spec_study *study; /* with its `guard:` */
    const struct spec_catalog *catalog;
    const struct spec_candidate *running; /* in production; borrowed for guard_tiers_new() alone */
    const char *folder;            /* of the study's results; NULL, or nothing there: nothing is
                                    * known of any tier but what is seen live */
    struct proxy *proxy;           /* NULL only with dry_run */
    struct device *const *devices; /* in the order of study->devices; an entry may be NULL: its
                                    * memory is unknown, and nothing is started there */
    struct sd_event *event;        /* the daemon's loop, for systemd's answers; NULL: units are not
                                    * asked, and a tier is up where HAProxy finds it so */
    bool dry_run; /* says what it would do; nothing is switched, started, stopped */
    bool waits;   /* nothing is made while somebody holds the study's results */
};

struct guard_tiers; /* opaque */
/* Fronts without several tiers and a requirement are left alone, and what the study does not tell
 * is said by the first step. NULL: somebody holds it just now, and options->waits; to be asked
 * again. Never fails else. */
struct guard_tiers *guard_tiers_new(const struct guard_tiers_options *options);
struct guard_tiers *guard_tiers_free(struct guard_tiers *tiers); /* returns NULL; stops nothing */
AUTO_FN(struct guard_tiers, guard_tiers_free)

/* Production runs another setting from here on, or the study has measured anew: curves, peaks and
 * first requests are of that now. Nothing is switched, started or stopped for it. False: somebody
 * holds the study's results just now, and all stays as it was; to be asked again. */
NODISCARD bool guard_tiers_follow(struct guard_tiers *tiers, const struct spec_candidate *running);
/* Could guard_tiers_new() read them? Else nothing is known of any tier, until it is followed. */
bool guard_tiers_are_read(const struct guard_tiers *tiers);

/* Each request that HAProxy logged, as it comes. Cheap. */
void guard_tiers_request(struct guard_tiers *tiers, const struct proxy_request *request,
                         int64_t now_ns);

/* Once a tick. `view`: what proxy_look() says; not up (or NULL): only units
 * are looked at, and memory that others need is given back by tiers that are not the current one.
 * Each choice, and each start, stop and failure of a tier, is told as an EVENT_ACTED of its service
 * in one line with its numbers. `tell` must not call back. */
void guard_tiers_step(struct guard_tiers *tiers, const struct proxy_view *view, int64_t now_ns,
                      void (*tell)(void *context, const struct guard_event *event), void *context);

/* Before a step: the driver of that front's device is lost or mismatched, so nothing of it is
 * started or stopped. `why`: what is wrong, static; NULL: nothing is. */
void guard_tiers_freeze(struct guard_tiers *tiers, size_t front, const char *why);

/* Before a step: a promotion, or its undoing, is under way. Nothing is started or stopped
 * meanwhile, nor of a front of which a study has paused a tier (guard_tiers_options.folder). */
void guard_tiers_promoting(struct guard_tiers *tiers, bool under_way);

/* For the recording: what the last step was decided on, valid until the next one (NULL: nothing is
 * chosen here); and what is known of each tier, as a line. False: there is none. */
struct policy_records *guard_tiers_records(struct guard_tiers *tiers);
bool guard_tiers_head(const struct guard_tiers *tiers, struct buf *buf);

/* A rule's tier-down or tier-up, taken with the next step. False: it can't be, `text` says why. As
 * guard_act_setup.tier; `tiers` is its context. */
bool guard_tiers_wish(void *tiers, size_t service, enum spec_action action, char *text,
                      size_t size);

/* ---- for /status, the terminal and GUARD_TIER ---- */

enum guard_tier_power {
    TIER_OFF,      /* not running */
    TIER_STARTING, /* asked for, not ready yet */
    TIER_WARMING,  /* gets its first request */
    TIER_ON,       /* may take requests */
    TIER_DRAINING, /* takes no new ones, will be stopped */
    TIER_STOPPING,
    TIER_FAILED, /* did not come up, or not on its device; tried again later */
    TIER_POWER_COUNT_
};
extern const char *const guard_tier_power_names[TIER_POWER_COUNT_]; /* "off", "starting", ... */

struct guard_tier_standing {
    const char *name; /* borrowed from the study */
    bool current;
    enum guard_tier_power power;
    double predicted_s;    /* at the present rate; NaN unknown */
    double memory_bytes;   /* held now; NaN unknown */
    const char *placement; /* a word of device_placement_names; NULL: nobody asks. Static */
};
/* The tier that takes a front's new requests, as decided last; NULL: unknown, or no policy there.
 */
const char *guard_tiers_current(const struct guard_tiers *tiers, size_t front);
/* The tiers of a front, most accurate first; 0: no policy there. `text`: the last choice's reason;
 * valid until the next step. */
size_t guard_tiers_standing(const struct guard_tiers *tiers, size_t front,
                            struct guard_tier_standing ret_tiers[SPEC_TIERS_MAX],
                            const char **ret_text);
