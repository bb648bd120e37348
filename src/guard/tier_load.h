/* Inside guard/: what a front is asked and how it answers, for choosing a tier. Times are
 * CLOCK_MONOTONIC ns. */
#pragma once

#include "guard/policy.h"
#include "proxy/proxy.h"

struct tier_load; /* opaque: of one front */
struct tier_load *tier_load_new(const struct spec_front *front, int64_t window_ns);
struct tier_load *tier_load_free(struct tier_load *load); /* returns NULL */

/* Counts of HAProxy; `began_ns`: another process of it counts anew. */
void tier_load_look(struct tier_load *load, const struct proxy_front *front, int64_t pid,
                    int64_t now_ns);
void tier_load_request(struct tier_load *load, const struct proxy_request *request, int64_t now_ns);
/* New requests go to that tier from now on: answers to earlier ones say nothing of it. */
void tier_load_switched(struct tier_load *load, int64_t now_ns);

/* Fills the rates, and of each tier what is known of its answers and its requests. `current`: -1
 * unknown. */
void tier_load_fill(struct tier_load *load, int current, int64_t now_ns,
                    struct policy_input *input);

/* Pure: what the rate is at least, from n arrivals, with 99.9 %; and what it may well be. */
double tier_load_least(double arrivals, double seconds);
double tier_load_most(double arrivals, double seconds);
