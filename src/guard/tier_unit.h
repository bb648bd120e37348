/* Inside guard/: one tier's server: is it up, what does it hold, and the way from off to warm and
 * back. Never waits: each step looks at what has come of the last. */
#pragma once

#include "guard/find.h"
#include "guard/policy.h"
#include "guard/tiers.h"
#include "load/corpus.h"
#include "spec/space.h"

struct tier_unit; /* opaque */

struct tier_unit_setup { /* borrowed */
    const struct guard_tiers_options *options;
    struct guard_managers *managers; /* NULL: systemd is not asked */
    const struct corpus *corpora;    /* per service, for its first request; NULL: none */
    const struct spec_front *front;
    size_t tier;
    const struct spec_candidate *candidate; /* what its requests are made from */
};
struct tier_unit *tier_unit_new(const struct tier_unit_setup *setup);
struct tier_unit *tier_unit_free(struct tier_unit *unit); /* returns NULL; stops nothing */

/* What its requests are made from, from here on; borrowed as the setup's. A first request under way
 * is asked again. */
void tier_unit_follow(struct tier_unit *unit, const struct spec_candidate *candidate);

enum tier_turn { /* what a step has found, told once */
                 TURN_NONE,
                 TURN_CAME,    /* warm: it may take requests, HAProxy should be told */
                 TURN_FAILED,  /* it did not come up; tried again after a while */
                 TURN_WENT,    /* it was on, and is down by itself */
                 TURN_DRAINED, /* nobody is on it any more, or its time is over: it is being stopped
                                */
                 TURN_STOPPED,
                 TURN_STAYS, /* it was stopped, and is not down after two minutes */
                 TURN_LEFT,  /* it has failed and nobody needs it any more: HAProxy should be told
                                that it drains, then it (tier_unit_drain) */
                 TURN_KEPT,  /* it was to be stopped, and takes requests again: HAProxy should be
                                told */
};
struct tier_look {                     /* what HAProxy says of it */
    const struct proxy_server *server; /* NULL: unknown, HAProxy does not answer */
    bool current;                      /* it takes the front's new requests */
    bool last;                         /* no other tier of the front can answer */
    bool frozen; /* its driver is lost: what is stopped would not come back, nothing is proven */
    bool held;   /* others have spoken for the front's units (tier_hold.h): it is not stopped */
    bool paused; /* for its own: a study has stopped it */
};
/* `text` says what was found, with its numbers. */
enum tier_turn tier_unit_step(struct tier_unit *unit, const struct tier_look *look, int64_t now_ns,
                              char *text, size_t size);

/* Drained by us, or by a guard before us that did not live to undo it, and to be used again:
 * HAProxy should be told, again until it is. One that has failed too, where no other can answer:
 * slow answers are better than none. Never one that a person has drained. `turn`: of the last
 * step. */
bool tier_unit_wants_ready(const struct tier_unit *unit, enum tier_turn turn);

/* Through systemd. False: it can't be asked; `text` says why. */
bool tier_unit_start(struct tier_unit *unit, int64_t now_ns, char *text, size_t size);
/* It takes no new ones already; stopped once it is empty. Else when a request may take no longer
 * (the front's `timeout:`), or, where its memory is needed, after a minute. Of one that is draining
 * already, memory shortens the time. */
enum tier_haste { DRAIN_PATIENT, DRAIN_FOR_MEMORY };
void tier_unit_drain(struct tier_unit *unit, enum tier_haste haste, int64_t now_ns);

/* It was stopped and was not down in time: what is known of that, until it is down, another
 * process, or used again; NULL: nothing of the kind. Borrowed until the next step. */
const char *tier_unit_stays(const struct tier_unit *unit);

/* Has its unit ended by itself? */
enum tier_death {
    DEATH_NONE,    /* it serves, somebody or a study has stopped it, or no unit could say so */
    DEATH_UNKNOWN, /* it is on its way up or down, or nobody knows */
    DEATH_SEEN,    /* systemd calls it failed, or is about to try again */
};
enum tier_death tier_unit_death(const struct tier_unit *unit);

enum guard_tier_power tier_unit_power(const struct tier_unit *unit);
/* power, resting and held_bytes. */
void tier_unit_fill(const struct tier_unit *unit, int64_t now_ns, struct policy_seen *seen);
/* Held on its device, 0 where that is unknown; NaN: that moves now, since it comes up, ends, or is
 * another since a moment ago. `again`: it is asked, however shortly ago it was. */
double tier_unit_ours(struct tier_unit *unit, bool again, int64_t now_ns);
/* As it was seen last, while that moves too: it holds at least so much. 0: nothing surely. */
double tier_unit_ours_least(const struct tier_unit *unit);
size_t tier_unit_device(const struct tier_unit *unit); /* index into the study's devices */
/* Where it computes, as a word; NULL: nobody asks, or it is not up. Static. */
const char *tier_unit_place(const struct tier_unit *unit);
/* How long it is to be left alone now; doubles with each failure in a row. */
void tier_unit_rest(struct tier_unit *unit, int64_t now_ns, int64_t for_ns);
