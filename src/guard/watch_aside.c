/* Stopped on purpose is not down.
 *
 * Guard's policy stops a tier whose memory is needed, and a study pauses the units that it was told
 * to. A call in the night for either would have somebody start by hand what was stopped with
 * reason. So such a service is *put aside*: whether it is up is unknown, and why is said; no event
 * and no alarm follow, and no rule on its `up` holds. What guard did not do stays what it was: a
 * tier that ends by itself, or does not come up when it is started, is down.
 *
 * A study's word is its journal (host/journal.h), which is on the disk before it stops a unit and
 * is done only when that has been started again; then it may still load its model for as long as it
 * is allowed to. It holds while its process lives: of one that was killed the restorer starts the
 * units (host/restorer.h), and where that could not, nobody will, and the service is down.
 * Rejected: asking who stopped a unit. systemd does not know. */
#include "guard/watch_aside.h"

#include "base/auto.h"
#include "base/clock.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static const int64_t LOOK_EVERY_NS = NS_PER_S;
static const int64_t ANSWER_NS = 3 * NS_PER_S; /* what systemd said may be of the look before */
static const int64_t FAILED_NS =
    10 * NS_PER_S; /* and its study is gone: the restorer begins at once,
                    * and many servers "fail" when they are stopped */

enum guard_aside_tier guard_aside_step(enum guard_aside_tier aside, enum guard_tier_power power)
{
    switch (power) {
    case TIER_DRAINING:
    case TIER_STOPPING:
        return ASIDE_YES;
    case TIER_STARTING: /* again after a failure: it stays down until it is on */
        return aside == ASIDE_NO ? ASIDE_NO : ASIDE_YES;
    case TIER_ON:
    case TIER_FAILED:
        return ASIDE_NO;
    default: /* off, by whoever; or warming, which is a start or a restart */
        return aside;
    }
}

bool guard_aside_same_unit(const char *a, const char *b)
{
    static const char suffix[] = ".service";
    const size_t tail = sizeof suffix - 1, a_len = strlen(a), b_len = strlen(b);
    const size_t a_stem = a_len > tail && !strcmp(a + a_len - tail, suffix) ? a_len - tail : a_len;
    const size_t b_stem = b_len > tail && !strcmp(b + b_len - tail, suffix) ? b_len - tail : b_len;
    return a_stem == b_stem && strncmp(a, b, a_stem) == 0;
}

const struct spec_tier *guard_aside_tier_of(const struct spec_study *study, size_t service)
{
    const struct spec_guard *guard = study->guard;
    const struct spec_watch *watch = &guard->watches[service];
    for (size_t f = 0; watch->kind == WATCH_UNIT && f < guard->front_count; f++) {
        const struct spec_front *front = &guard->fronts[f];
        if (front->service != service || front->tier_count < 2 || isnan(front->limit_s))
            continue; /* nothing is stopped there */
        for (size_t t = 0; t < front->tier_count; t++) {
            const struct spec_tier *tier = &front->tiers[t];
            if (tier->unit && !tier->resident && tier->user == watch->user &&
                guard_aside_same_unit(tier->unit, watch->unit))
                return tier;
        }
    }
    return NULL;
}

/* Has a study stopped this unit, and not yet started it again? ret_within_ns: the restorer's time,
 * for it starts one after another. */
static bool is_paused(struct guard_aside *aside, const struct spec_watch *watch, const char *folder,
                      struct host_process *ret_owner, int64_t *ret_within_ns)
{
    AUTO(free) char *path = host_journal_path(folder);
    AUTO(free) struct host_journal *journal = calloc(1, sizeof *journal);
    struct err ignored = ERR_INIT; /* what can't be read says nothing */
    bool found = false;
    int64_t within_ns = 0;
    if (!journal)
        abort();
    if (!host_journal_read(path, &found, journal, &ignored) || !found || journal->done ||
        (journal->scope == HOST_USER) != watch->user)
        return false;
    for (size_t i = 0; i < journal->count; i++) {
        within_ns += journal->units[i].was_up ? journal->units[i].start_within_ns : 0;
        if (!guard_aside_same_unit(journal->units[i].name, watch->unit))
            continue;
        snprintf(aside->study, sizeof aside->study, "%s", journal->study);
        *ret_owner = journal->owner;
        *ret_within_ns = within_ns;
        return true;
    }
    return false;
}

static void look_at_study(struct guard_aside *aside, const struct spec_watch *watch,
                          const char *folder, int64_t now_ns)
{
    struct host_process owner;
    if (aside->looked_ns > 0 && now_ns - aside->looked_ns < LOOK_EVERY_NS)
        return;
    aside->looked_ns = now_ns;
    if (!is_paused(aside, watch, folder, &owner, &aside->within_ns)) {
        if (aside->paused && aside->over_ns == 0)
            aside->over_ns = now_ns;
        return;
    }
    aside->paused = true;
    aside->orphaned = !host_process_alive(&owner);
    if (aside->orphaned && !host_process_same(&owner, &aside->gone)) {
        aside->gone = owner;
        aside->gone_ns = now_ns;
    }
    aside->over_ns = aside->orphaned ? aside->gone_ns : 0;
}

static bool is_studys(const struct guard_aside *aside, const struct guard_life *life,
                      int64_t ready_within_ns, int64_t now_ns)
{
    const bool coming = life->presence == PRESENCE_COMING;
    int64_t within_ns = coming ? ready_within_ns : ANSWER_NS;
    if (aside->orphaned && !coming)
        within_ns = life->stopped ? aside->within_ns : FAILED_NS;
    else if (aside->orphaned && within_ns < aside->within_ns)
        within_ns = aside->within_ns;
    return aside->paused && (aside->over_ns == 0 || now_ns - aside->over_ns <= within_ns);
}

static bool is_tiers(const struct guard_aside *aside, const struct guard_life *life)
{
    return aside->tier == ASIDE_YES || (aside->tier == ASIDE_STOPPED && life->stopped);
}

void guard_aside_look(struct guard_aside *aside, const struct spec_watch *watch, const char *folder,
                      int64_t ready_within_ns, int64_t now_ns, struct guard_life *life)
{
    if (watch->kind != WATCH_UNIT || life->presence == PRESENCE_UNKNOWN)
        return;
    if (life->presence == PRESENCE_UP) {
        aside->paused = false;
        aside->looked_ns = 0;
        return;
    }
    if (folder)
        look_at_study(aside, watch, folder, now_ns);
    char was[sizeof life->why];
    memcpy(was, life->why, sizeof was);
    if (is_studys(aside, life, ready_within_ns, now_ns))
        snprintf(life->why, sizeof life->why, "put aside by the study %.40s: %.80s", aside->study,
                 was);
    else if (is_tiers(aside, life))
        snprintf(life->why, sizeof life->why, "put aside, the tier %.30s is not needed now: %.80s",
                 aside->tier_name ? aside->tier_name : "", was);
    else
        return;
    life->aside = true;
    life->presence = PRESENCE_UNKNOWN;
}
