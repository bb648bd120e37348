/* Limits as a ring of the last times, one for each action: a sliding hour, exact. Rejected: a token
 * bucket, which allows twice the number in an unlucky hour, and then the log and the file disagree.
 *
 * A restart's back-off is each service's own, since one that can't start must not keep another from
 * its first restart; the number per hour is shared, since it is the machine that is protected. It
 * is never shorter than the time that the service may take to be ready: a second restart in the
 * middle of loading a model would go on for ever. It starts anew once a service has gone without
 * for an hour longer than it was. */
#include "guard/limits.h"

#include "base/clock.h"
#include "base/text.h"

#include <stdlib.h>

static const int64_t HOUR_NS = 3600 * NS_PER_S;

struct ring {
    int64_t *at; /* owned; of the last `size` times */
    int size, count, next;
};

struct back_off {
    int64_t last_ns, delay_ns; /* 0: none yet */
};

struct guard_limits {
    const struct spec_study *study; /* borrowed */
    struct ring rings[ACTION_COUNT_];
    struct back_off *restarts; /* owned; one for each service */
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
    for (int i = 0; i < ring->count; i++)
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
        ring->count += ring->count < ring->size;
    }
    if (!back_off)
        return;
    const int64_t ready_ns = limits->study->services[service].ready_within_ns;
    const int64_t given_ns = limits->study->guard->limits[action].back_off_ns;
    const int64_t first_ns = ready_ns > given_ns ? ready_ns : given_ns;
    const bool anew =
        back_off->delay_ns == 0 || now_ns - back_off->last_ns >= back_off->delay_ns + HOUR_NS;
    const int64_t doubled_ns = 2 * back_off->delay_ns < HOUR_NS ? 2 * back_off->delay_ns : HOUR_NS;
    back_off->delay_ns = anew || doubled_ns < first_ns ? first_ns : doubled_ns;
    back_off->last_ns = now_ns;
}
