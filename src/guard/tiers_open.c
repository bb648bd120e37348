/* Fronts with their tiers: made, followed, ended.
 *
 * Curves, peaks and first requests are of what runs in production beside a tier. When that changes
 * (a promotion, a rollback, a study that was measured anew) they are read again in place: servers
 * on their way up or down stay on it, and the bound of switches and what was learned of going up
 * stand. What was seen live of a tier beside the earlier neighbours stands for as long as it is
 * believed anyhow (policy_curve.h).
 *
 * Rejected: making all of it anew. Each tier but the current one would be warmed again, the bound
 * forgotten, and a replay, which knows of no such moment, would choose otherwise. */
#include "guard/tiers_inside.h"

#include "guard/tier_warm.h"
#include "guard/watch_aside.h"

#include <malloc.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Reads what the study has measured of each tier beside what runs now. False: somebody holds it;
 * what was read once stays. */
static bool read_study(struct guard_tiers *tiers, const struct spec_candidate *running)
{
    char note[sizeof tiers->note];
    struct tier_study(*studied)[SPEC_TIERS_MAX] = calloc(SPEC_FRONTS_MAX, sizeof *studied);
    if (!studied)
        abort();
    const bool read = tier_study_read(tiers->options.study, tiers->options.folder, running, studied,
                                      note, sizeof note);
    if (!read && tiers->began) {
        free(studied);
        return false;
    }
    memcpy(tiers->note, note, sizeof note);
    tiers->began = true;
    tiers->told = false;
    for (size_t i = 0; i < tiers->count; i++) {
        struct front *front = &tiers->fronts[i];
        const struct policy_front plain = policy_front_of(front->spec);
        memcpy(front->studied, studied[front->index], sizeof front->studied);
        for (size_t t = 0; t < plain.count; t++) {
            struct policy_tier *tier = &front->policy.tiers[t];
            tier->curve = front->studied[t].curve;
            tier->peak_bytes = tier_study_peak_bytes(&front->studied[t], plain.tiers[t].peak_bytes);
        }
    }
    free(studied);
    return read;
}

/* By its service's `watch:`, which makes its end an alarm of the service. */
static bool is_watched(const struct spec_study *study, const struct spec_front *front,
                       const struct spec_tier *tier)
{
    const struct spec_watch *watch = &study->guard->watches[front->service];
    if (watch->port > 0 && watch->port == tier->port)
        return true;
    return watch->kind == WATCH_UNIT && tier->unit && watch->user == tier->user &&
           guard_aside_same_unit(watch->unit, tier->unit);
}

static void open_front(struct guard_tiers *tiers, struct front *front, size_t index)
{
    const struct spec_guard *guard = tiers->options.study->guard;
    const struct spec_front *spec = &guard->fronts[index];
    front->spec = spec;
    front->index = index;
    front->state = policy_init();
    front->choice.tier = -1;
    front->load = tier_load_new(spec, guard->window_ns);
    front->policy = policy_front_of(spec);
}

static void open_units(struct guard_tiers *tiers, struct front *front)
{
    for (size_t t = 0; t < front->policy.count; t++) {
        const struct tier_unit_setup setup = {.options = &tiers->options,
                                              .managers = tiers->managers,
                                              .corpora = tiers->corpora,
                                              .front = front->spec,
                                              .tier = t,
                                              .candidate = &front->studied[t].candidate};
        const struct spec_tier *tier = &front->spec->tiers[t];
        front->units[t] = tier_unit_new(&setup);
        front->missed[t] = tier->resident && !is_watched(tiers->options.study, front->spec, tier);
    }
}

/* Who shares a device with whom. */
static void seat_fronts(struct guard_tiers *tiers)
{
    for (size_t i = 0; i < tiers->count; i++) {
        struct front *front = &tiers->fronts[i];
        tiers->seats[i].front = &front->policy;
        tiers->seats[i].input = &front->input;
        for (size_t t = 0; t < front->policy.count; t++)
            tiers->seats[i].devices[t] = tier_unit_device(front->units[t]);
    }
    double reserves[SPEC_FRONTS_MAX];
    for (size_t i = 0; i < tiers->count; i++)
        reserves[i] = policy_share_reserve(tiers->seats, tiers->count, tiers->seats[i].devices[0]);
    for (size_t i = 0; i < tiers->count; i++)
        tiers->fronts[i].policy.reserve_bytes = reserves[i];
}

struct guard_tiers *guard_tiers_new(const struct guard_tiers_options *options)
{
    const struct spec_guard *guard = options->study->guard;
    struct guard_tiers *tiers = calloc(1, sizeof *tiers);
    if (!tiers)
        abort();
    tiers->options = *options;
    tiers->fronts = calloc(guard->front_count + 1, sizeof *tiers->fronts);
    if (!tiers->fronts)
        abort();
    tiers->arena = arena_new();
    for (size_t f = 0; f < guard->front_count; f++)
        if (policy_front_chooses(&guard->fronts[f]))
            open_front(tiers, &tiers->fronts[tiers->count++], f);
    if (tiers->count > 0) {
        tiers->read = read_study(tiers, options->running);
        if (!tiers->read && options->waits)
            return guard_tiers_free(tiers);
        tiers->corpora = tier_warm_corpora(options->study, tiers->arena);
        malloc_trim(0); /* whole corpora and rows were read for it */
    }
    if (options->proxy)
        proxy_set_hurried(options->proxy);
    tiers->managers = options->event ? guard_managers_new(options->event) : NULL;
    for (size_t i = 0; i < tiers->count; i++)
        open_units(tiers, &tiers->fronts[i]);
    seat_fronts(tiers);
    tiers->records.study = options->study;
    return tiers;
}

bool guard_tiers_are_read(const struct guard_tiers *tiers)
{
    return tiers->count == 0 || tiers->read;
}

bool guard_tiers_follow(struct guard_tiers *tiers, const struct spec_candidate *running)
{
    if (tiers->count == 0)
        return true;
    if (!read_study(tiers, running))
        return false;
    tiers->read = true;
    malloc_trim(0); /* whole rows were read for it */
    for (size_t i = 0; i < tiers->count; i++)
        for (size_t t = 0; t < tiers->fronts[i].policy.count; t++)
            tier_unit_follow(tiers->fronts[i].units[t], &tiers->fronts[i].studied[t].candidate);
    seat_fronts(tiers);
    return true;
}

struct guard_tiers *guard_tiers_free(struct guard_tiers *tiers)
{
    if (!tiers)
        return NULL;
    for (size_t i = 0; i < tiers->count; i++) {
        for (size_t t = 0; t < tiers->fronts[i].policy.count; t++)
            tier_unit_free(tiers->fronts[i].units[t]);
        tier_load_free(tiers->fronts[i].load);
    }
    guard_managers_free(tiers->managers); /* after their units */
    arena_free(tiers->arena);
    free(tiers->fronts);
    free(tiers);
    return NULL;
}
