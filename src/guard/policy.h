/* Which tier takes new requests: a pure step function of (state, input). No clock, no file, nobody
 * is asked: the same inputs give the same choices, live and replayed.
 *
 * Tiers are in order of accuracy, 0 the most accurate. The most accurate one is chosen whose
 * predicted latency keeps the limit and whose memory is there; unknown is never "keeps". Down at
 * once, up after calm; see policy.c. */
#pragma once

#include "guard/policy_curve.h"
#include "spec/guard.h"

struct policy_tier { /* what does not change */
    const char *name;
    bool resident;     /* kept running by others: never stopped by us, and started only where no
                        * tier of the front is usable */
    bool managed;      /* has a unit */
    double peak_bytes; /* measured, or as the file says; NaN: unknown, then it is never started */
    struct policy_curve curve;
};
struct policy_front {
    struct policy_tier tiers[SPEC_TIERS_MAX];
    size_t count; /* >= 1 */
    double limit_s, quantile;
    double reserve_bytes;
    int switches_per_minute;
    int64_t up_after_ns;
};

enum policy_power {
    POWER_OFF,
    POWER_COMING, /* asked for; not warm yet */
    POWER_ON,
    POWER_GOING, /* drained, stopped */
};
struct policy_seen { /* of a tier, now */
    enum policy_power power;
    bool usable;       /* HAProxy would send it requests */
    bool resting;      /* its last start failed a short while ago */
    double held_bytes; /* NaN unknown */
    double in_flight, waiting;
    double pinned_ratio; /* of all requests: pinned to it by header */
    /* Of answers to requests that came since it took over, in the window. */
    uint64_t answers, over;    /* over the limit */
    double latency_s;          /* the front's quantile; NaN */
    double mean_rps, most_rps; /* over that window and its busiest seconds; NaN: too young */
};
struct policy_input {
    int64_t now_ns;
    int current; /* as HAProxy has it; -1 unknown: taken as decided last */
    /* Arrivals: the last seconds' mean, what it certainly is at least, and what it may well be over
     * the last while (as long as calm must last). NaN: not yet known. low <= high. */
    double rate_rps, rate_low_rps, rate_high_rps;
    double free_bytes; /* of the tiers' device; NaN unknown */
    double owed_bytes; /* of that, what others are about to take (back) */
    /* Of other fronts on that device (policy_share.h): what their tiers that come up will still
     * take, NaN unknown; one was started in this step; one is on its way down. */
    double promised_bytes;
    bool others_start, others_stop;
    bool frozen; /* nothing is started or stopped: the driver is lost or mismatched (what is stopped
                  * would not come back), or others have spoken for the units */
    int wish;    /* -1: a rule asks for a smaller tier, +1: for a better one */
    struct policy_seen tiers[SPEC_TIERS_MAX];
};

enum { POLICY_SWITCHES_MAX = 64, POLICY_REASON_SIZE = 240 };
struct policy_state {
    int current;                             /* as decided; -1: nothing yet */
    int64_t calm_since_ns[SPEC_TIERS_MAX];   /* 0: it is not */
    int64_t unused_since_ns[SPEC_TIERS_MAX]; /* 0: it is used */
    struct policy_learned learned[SPEC_TIERS_MAX];
    int64_t learned_ns; /* when last */
    int64_t switches_ns[POLICY_SWITCHES_MAX];
    size_t switch_count; /* since ever; the ring holds the last ones */
    double backlog;      /* of the current tier at the last step; NaN */
    double busy_ratio;   /* of the last looks, by their age: those in which it had a request; NaN */
    int64_t busy_since_ns, busy_ns; /* the first look, the last */
    int64_t up_ns;                  /* when it last went up; 0 never */
    int patience; /* calm must last so many times up_after: doubles when going up was wrong */
    int trial;    /* an unknown tier that may show what it does; -1: none */
    int64_t trial_until_ns;
    int wanted; /* by a rule's tier-up, until it is warm; -1 */
    int64_t wanted_until_ns;
    int held; /* why nothing is done, said once: an enum of policy.c */
};
struct policy_state policy_init(void);

struct policy_choice {
    int tier;                        /* that takes new requests from now on; -1: none is usable */
    bool switched;                   /* that is another one than before */
    bool forced;                     /* it could not stay: not usable, or its memory is needed */
    int start, stop;                 /* a tier to be started, to be stopped (drained first); -1 */
    bool for_memory;                 /* it is stopped since others need its memory now */
    double predicted_s;              /* of `tier` at the present rate; NaN unknown */
    char reason[POLICY_REASON_SIZE]; /* in one line, with its numbers; "": nothing new */
};
struct policy_choice policy_step(struct policy_state *state, const struct policy_front *front,
                                 const struct policy_input *input);
/* While HAProxy does not answer: nothing is switched or started, but memory that others need is
 * given back, by tiers that take no new requests. */
struct policy_choice policy_step_blind(const struct policy_state *state,
                                       const struct policy_front *front,
                                       const struct policy_input *input);
/* Held by the tier that the next step would give up for others' memory; -1: none. `current`: as
 * decided last. */
enum policy_sight { POLICY_SEES, POLICY_BLIND /* HAProxy does not answer */ };
double policy_victim_bytes(const struct policy_front *front, const struct policy_input *input,
                           enum policy_sight sight, int current);
/* Of any tier at the present rate, for showing. */
double policy_predict(const struct policy_state *state, const struct policy_front *front,
                      const struct policy_input *input, size_t tier);
