/* Inside guard/: what a tier is worth at this moment, for policy.c. Pure. */
#pragma once

#include "base/buf.h"
#include "guard/policy.h"

enum policy_why { /* a tier does not keep the limit */
                  WHY_KEEPS,
                  WHY_RATE,    /* predicted: too slow at this rate */
                  WHY_BACKLOG, /* what waits there already takes too long */
                  WHY_GROWING, /* not yet, but it grows, and more comes than it can take */
                  WHY_SEEN,    /* it is over the limit, whatever was predicted */
                  WHY_UNKNOWN, /* nothing is known of it at this rate */
                  WHY_COUNT_
};

struct policy_fit {
    struct policy_forecast now; /* at the rate that is certain */
    double rate_rps, high_rps;  /* of what it would get */
    double high_s;              /* predicted at high_rps; NaN */
    double backlog, wait_s;     /* requests there; what the next one would take for them */
    enum policy_why why;
    bool keeps;    /* the limit, if it takes all requests from now on */
    bool promises; /* with margin: it may be gone up to, once that has lasted */
    bool certain;  /* also at the rate that may well be */
    bool room;     /* memory: to be started, or for what it may still grow by */
    bool idle;     /* holds memory for nothing: it may be stopped for another */
    bool could;    /* room, once those that are idle are stopped */
};
/* Of every tier. `current` as decided last. */
void policy_fit_all(const struct policy_state *state, const struct policy_front *front,
                    const struct policy_input *input, struct policy_fit ret_fits[SPEC_TIERS_MAX]);

/* What room a tier must find; NaN unknown. */
double policy_peak_bytes(const struct policy_tier *tier);
/* Memory that is free and will stay so; NaN unknown. */
double policy_room_bytes(const struct policy_input *input);
bool policy_is_pressed(const struct policy_front *front, const struct policy_input *input);

/* "7 requests at base, the next would take 7.8 s, over 4 s". */
void policy_fit_add_why(struct buf *buf, const struct policy_state *state,
                        const struct policy_front *front, const struct policy_input *input,
                        const struct policy_fit *fit, size_t tier);
