/* Splits in the daemon, and what is owed to the disk.
 *
 * A split that can't be opened is no reason for guard to end, nor to give up the others: it is said
 * once, and tried again, as is all that run time has set at HAProxy and a full disk did not take.
 *
 * Rejected: opening all of them at once, when HAProxy is there. One whose file can't be read for a
 * moment then is never counted, and nobody stops its arm.
 *
 * Invariant: one attempt each RETRY_NS, so that a disk that takes long is not asked each tick. */
#include "guard/fronts.h"

#include "base/clock.h"
#include "base/log.h"
#include "guard/split_inside.h"
#include "proxy/keep.h"

#include <stdlib.h>

static const char who[] = "guard";
static const int64_t RETRY_NS = 5 * NS_PER_S;

struct guard_fronts {
    struct guard_split_setup setup;
    struct guard_split *splits[SPEC_FRONTS_MAX]; /* owned; NULL: none, or not open yet */
    int64_t open_ns[SPEC_FRONTS_MAX];            /* the next attempt */
    bool said[SPEC_FRONTS_MAX];
    bool said_unsaved;
    int64_t keep_ns;
};

struct guard_fronts *guard_fronts_new(const struct guard_split_setup *setup)
{
    struct guard_fronts *fronts = calloc(1, sizeof *fronts);
    if (!fronts)
        abort();
    fronts->setup = *setup;
    return fronts;
}

struct guard_fronts *guard_fronts_free(struct guard_fronts *fronts)
{
    for (size_t f = 0; fronts && f < SPEC_FRONTS_MAX; f++)
        guard_split_free(fronts->splits[f]);
    free(fronts);
    return NULL;
}

void guard_fronts_follow(struct guard_fronts *fronts)
{
    for (size_t f = 0; f < SPEC_FRONTS_MAX; f++)
        if (fronts->splits[f])
            guard_split_follow(fronts->splits[f]);
}

static void tell(const struct guard_fronts *fronts, int service, const char *format, ...)
    PRINTF_LIKE(3, 4);
static void tell(const struct guard_fronts *fronts, int service, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    split_setup_tell(&fronts->setup, EVENT_ACTED, service, format, args);
    va_end(args);
}

static void open_split(struct guard_fronts *fronts, size_t f, struct proxy *proxy, int64_t now_ns)
{
    const struct spec_guard *guard = fronts->setup.study->guard;
    const size_t service = guard->fronts[f].service;
    struct guard_split_setup setup = fronts->setup;
    struct err err = ERR_INIT;
    if ((!proxy && !setup.dry_run) || now_ns < fronts->open_ns[f])
        return;
    setup.front = f;
    setup.proxy = proxy;
    setup.reference_rps = guard->watches[service].probe_rps;
    fronts->open_ns[f] = now_ns + RETRY_NS;
    if (guard_split_new(&setup, &fronts->splits[f], &err)) {
        if (fronts->said[f])
            tell(fronts, (int)service, "split: it is open now, and counted from here on");
        return;
    }
    if (!fronts->said[f])
        tell(fronts, (int)service,
             "split: not open, nothing is counted and no arm stopped; tried again: %.140s",
             err.text);
    fronts->said[f] = true;
}

static void keep_unsaved(struct guard_fronts *fronts, struct proxy *proxy, int64_t now_ns)
{
    struct err ignored = ERR_INIT; /* it is said already why not */
    const char *why = proxy_unsaved(proxy);
    if (why && !fronts->said_unsaved)
        tell(fronts, -1,
             "HAProxy was told, but that is not kept: a restart of HAProxy forgets it; tried "
             "again: %.120s",
             why);
    fronts->said_unsaved = fronts->said_unsaved || why;
    if (why && now_ns >= fronts->keep_ns) {
        fronts->keep_ns = now_ns + RETRY_NS;
        (void)!proxy_keep(proxy, &ignored);
    }
    if (!fronts->said_unsaved || proxy_unsaved(proxy))
        return;
    fronts->said_unsaved = false;
    tell(fronts, -1, "what HAProxy was told is kept now");
}

void guard_fronts_step(struct guard_fronts *fronts, struct proxy *proxy,
                       struct guard_status *status, int64_t now_ns, int64_t wall_us)
{
    const struct spec_study *study = fronts->setup.study;
    for (size_t f = 0; f < study->guard->front_count; f++) {
        struct guard_status_split split;
        struct err err = ERR_INIT;
        if (study->guard->fronts[f].split.count > 0 && !fronts->splits[f])
            open_split(fronts, f, proxy, now_ns);
        if (!fronts->splits[f])
            continue;
        if (!guard_split_step(fronts->splits[f], now_ns, wall_us, &err))
            log_write(LOG_WARNING, who, "split of %s: %s; it is tried again",
                      study->services[study->guard->fronts[f].service].name, err.text);
        guard_split_status(fronts->splits[f], &split);
        guard_status_split(status, f, &split);
    }
    if (proxy)
        keep_unsaved(fronts, proxy, now_ns);
}

void guard_fronts_add(struct guard_fronts *fronts, const struct proxy_request *request)
{
    if (request->front < SPEC_FRONTS_MAX && fronts->splits[request->front])
        guard_split_add(fronts->splits[request->front], request);
}
