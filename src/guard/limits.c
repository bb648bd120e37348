/* Limits as a ring of the last times, one for each action: a sliding hour, exact. Rejected: a token
 * bucket, which allows twice the number in an unlucky hour, and then the log and the file disagree.
 *
 * A restart's back-off is each service's own, since one that can't start must not keep another from
 * its first restart; the number per hour is shared, since it is the machine that is protected. It
 * is never shorter than the time that the service may take to be ready: a second restart in the
 * middle of loading a model would go on for ever. It starts anew once a service has gone without
 * for an hour longer than it was. One that was refused (the unit is stopped by somebody's hand) is
 * taken back whole, since nothing was done to anybody; it is only not asked for again at once. So
 * is a rollback that met another promotion's lock. */
#include "guard/limits.h"

#include "base/clock.h"
#include "base/text.h"

#include <stdlib.h>

static const int64_t HOUR_NS = 3600 * NS_PER_S, REFUSED_LEAST_NS = 60 * NS_PER_S;

static const int64_t LONG_AGO_NS = -3600 * NS_PER_S; /* of a place without a time */

struct ring {
    int64_t *at; /* owned; of the last `size` times */
    int size, next;
};

struct back_off {
    int64_t last_ns, delay_ns;     /* 0: none yet */
    int64_t before_ns, delayed_ns; /* these two as they were before the last one */
    int64_t refused_ns;            /* it was refused: not again before; 0: it was not */
};

struct guard_limits {
    const struct spec_study *study; /* borrowed */
    struct ring rings[ACTION_COUNT_];
    struct back_off *restarts;         /* owned; one for each service */
    int64_t refused_ns[ACTION_COUNT_]; /* of those without: not again before; 0: it was not */
};

static void *checked(void *memory)
{
    if (!memory)
        abort();
    return memory;
}

struct guard_limits *guard_limits_new(const struct spec_study *study)
{
    struct guard_limits *limits = checked(calloc(1, sizeof *limits));
    limits->study = study;
    limits->restarts = checked(calloc(study->service_count + 1, sizeof *limits->restarts));
    for (int i = 0; i < ACTION_COUNT_; i++) {
        struct ring *ring = &limits->rings[i];
        ring->size = study->guard->limits[i].per_hour;
        ring->at = checked(calloc((size_t)ring->size + 1, sizeof *ring->at));
        for (int k = 0; k < ring->size; k++)
            ring->at[k] = LONG_AGO_NS;
    }
    return limits;
}

struct guard_limits *guard_limits_free(struct guard_limits *limits)
{
    for (int i = 0; limits && i < ACTION_COUNT_; i++)
        free(limits->rings[i].at);
    if (limits)
        free(limits->restarts);
    free(limits);
    return NULL;
}

int guard_limits_used(const struct guard_limits *limits, enum spec_action action, int64_t now_ns)
{
    const struct ring *ring = &limits->rings[action];
    int used = 0;
    for (int i = 0; i < ring->size; i++)
        used += now_ns - ring->at[i] < HOUR_NS;
    return used;
}

static struct back_off *back_off_of(struct guard_limits *limits, enum spec_action action,
                                    int service)
{
    if (action != ACTION_RESTART || service < 0 || (size_t)service >= limits->study->service_count)
        return NULL;
    return &limits->restarts[service];
}

bool guard_limits_allow(struct guard_limits *limits, enum spec_action action, int service,
                        int64_t now_ns, struct buf *why)
{
    const struct spec_guard_limit *limit = &limits->study->guard->limits[action];
    const struct back_off *back_off = back_off_of(limits, action, service);
    if (!limit->allowed) {
        buf_add(why, "not named under act");
        return false;
    }
    int used = guard_limits_used(limits, action, now_ns);
    if (used >= limit->per_hour) {
        buf_addf(why, "%d of %d this hour", used, limit->per_hour);
        return false;
    }
    const int64_t refused_ns = back_off ? back_off->refused_ns : limits->refused_ns[action];
    if (now_ns < refused_ns) {
        buf_add(why, "it was refused; asked again in ");
        text_add_duration(why, (double)(refused_ns - now_ns) / 1e9);
        return false;
    }
    int64_t left_ns = back_off ? back_off->last_ns + back_off->delay_ns - now_ns : 0;
    if (!back_off || back_off->delay_ns == 0 || left_ns <= 0)
        return true;
    buf_add(why, "backs off for another ");
    text_add_duration(why, (double)left_ns / 1e9);
    return false;
}

void guard_limits_take(struct guard_limits *limits, enum spec_action action, int service,
                       int64_t now_ns)
{
    struct ring *ring = &limits->rings[action];
    struct back_off *back_off = back_off_of(limits, action, service);
    if (ring->size > 0) {
        ring->at[ring->next] = now_ns;
        ring->next = (ring->next + 1) % ring->size;
    }
    limits->refused_ns[action] = 0;
    if (!back_off)
        return;
    const int64_t ready_ns = limits->study->services[service].ready_within_ns;
    const int64_t given_ns = limits->study->guard->limits[action].back_off_ns;
    const int64_t first_ns = ready_ns > given_ns ? ready_ns : given_ns;
    const bool anew =
        back_off->delay_ns == 0 || now_ns - back_off->last_ns >= back_off->delay_ns + HOUR_NS;
    const int64_t doubled_ns = 2 * back_off->delay_ns < HOUR_NS ? 2 * back_off->delay_ns : HOUR_NS;
    back_off->before_ns = back_off->last_ns;
    back_off->delayed_ns = back_off->delay_ns;
    back_off->refused_ns = 0;
    back_off->delay_ns = anew || doubled_ns < first_ns ? first_ns : doubled_ns;
    back_off->last_ns = now_ns;
}

void guard_limits_give_back(struct guard_limits *limits, enum spec_action action, int service,
                            int64_t now_ns)
{
    struct ring *ring = &limits->rings[action];
    struct back_off *back_off = back_off_of(limits, action, service);
    const int64_t given_ns = limits->study->guard->limits[action].back_off_ns;
    if (ring->size > 0) {
        ring->next = (ring->next + ring->size - 1) % ring->size;
        ring->at[ring->next] = LONG_AGO_NS;
    }
    const int64_t again_ns = now_ns + (given_ns > REFUSED_LEAST_NS ? given_ns : REFUSED_LEAST_NS);
    if (!back_off)
        limits->refused_ns[action] = again_ns;
    if (!back_off || back_off->refused_ns > 0)
        return;
    back_off->last_ns = back_off->before_ns;
    back_off->delay_ns = back_off->delayed_ns;
    back_off->refused_ns = again_ns;
}
