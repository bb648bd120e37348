/* Servers that a front switches between: which they are, and who they are at this moment.
 *
 * A service's `watch:` names one server. With tiers or a split there are others, on the same card,
 * which run out of memory as well, and are the likelier ones to: a tier is started into what is
 * left. They are found as every service is (guard/find.h), so that the kernel's word about a
 * process or a control group, systemd's about a unit, and a line of a journal find their server.
 *
 * Rejected: a whole subject for each, with probes and figures by server. Who switches proves and
 * measures them already; two who send first requests would disturb each other. Where a front only
 * has tiers that a person or a rule's own program switches (no `keep:`), nobody proves anything:
 * there the driver's list is read, which disturbs nobody.
 *
 * Invariant: a server that its service's `watch:` names is not in the list. */
#include "guard/watch_also.h"

#include "base/clock.h"
#include "guard/policy_record.h"

#include <math.h>
#include <string.h>

static const int64_t SAME_END_NS = 10 * NS_PER_S;

/* The same end is told by up to four sources, and a traceback repeats its reason. The time runs
 * from the one that counted: were it begun anew by each, an end every five seconds would be one. */
bool guard_ends_add(struct guard_ends *ends, enum guard_end_kind kind, int64_t now_ns)
{
    int64_t told_ns = ends->told_ns[kind];
    if (told_ns && now_ns - told_ns < SAME_END_NS)
        return false;
    ends->told_ns[kind] = now_ns;
    ends->count++;
    return true;
}

static bool is_watched(const struct spec_watch *watch, const struct spec_watch *other)
{
    if (watch->port > 0 && watch->port == other->port)
        return true;
    return watch->kind == WATCH_UNIT && other->kind == WATCH_UNIT && watch->user == other->user &&
           strcmp(watch->unit, other->unit) == 0;
}

/* The same server may be in two fronts. */
static bool is_known(const struct spec_study *study, const struct guard_also *also, size_t count,
                     size_t service, const struct spec_watch *watch)
{
    for (size_t i = 0; i < count; i++)
        if (is_watched(&also[i].watch, watch))
            return true;
    return is_watched(&study->guard->watches[service], watch);
}

/* NULL: there is no room for it, or it is there already. */
static struct guard_also *add(const struct spec_study *study, size_t front, bool arm,
                              const char *server, const struct spec_watch *watch,
                              struct guard_also *also, size_t *count)
{
    const size_t service = study->guard->fronts[front].service;
    if (*count == GUARD_ALSO_MAX || is_known(study, also, *count, service, watch))
        return NULL;
    struct guard_also *one = &also[(*count)++];
    *one = (struct guard_also){.service = service,
                               .front = front,
                               .on = study->services[service].on,
                               .arm = arm,
                               .server = server,
                               .watch = *watch,
                               .ready_within_ns = study->services[service].ready_within_ns};
    one->ends.group_kills = -1;
    one->process = tier_process_new();
    snprintf(one->name, sizeof one->name, "%.60s's %s %.60s", study->services[service].name,
             arm ? "arm" : "tier", server);
    return one;
}

size_t guard_also_open(const struct spec_study *study, const char *proc_root,
                       struct guard_managers *managers, struct guard_also *ret_also)
{
    size_t count = 0;
    for (size_t f = 0; f < study->guard->front_count; f++) {
        const struct spec_front *front = &study->guard->fronts[f];
        for (size_t t = 0; t < front->tier_count; t++) {
            const struct spec_tier *tier = &front->tiers[t];
            const struct spec_watch watch = {.kind = tier->unit ? WATCH_UNIT : WATCH_PORT,
                                             .unit = tier->unit,
                                             .user = tier->user,
                                             .port = tier->port};
            struct guard_also *one = add(study, f, false, tier->name, &watch, ret_also, &count);
            if (!one)
                continue;
            one->weighed = !policy_front_chooses(front);
            one->placed = one->weighed && one->on == ON_GPU;
            if (!one->weighed && tier->unit && !tier->resident)
                one->aside = (struct guard_aside){.tier = ASIDE_STOPPED, .tier_name = tier->name};
        }
        for (size_t a = 0; a < front->split.count; a++) {
            const struct spec_arm *arm = &front->split.arms[a];
            const struct spec_watch watch = {.kind = WATCH_PORT, .port = arm->port};
            (void)add(study, f, true, arm->name, &watch, ret_also, &count);
        }
    }
    for (size_t i = 0; i < count; i++)
        ret_also[i].finder = guard_finder_new(&ret_also[i].watch, proc_root, managers);
    return count;
}

void guard_also_close(struct guard_also *also, size_t count)
{
    for (size_t i = 0; also && i < count; i++) {
        also[i].finder = guard_finder_free(also[i].finder);
        tier_process_forget(&also[i].process);
    }
}

bool guard_also_look(struct guard_also *also, int64_t now_ns)
{
    pid_t before = also->history.main.pid;
    int64_t start_ticks = also->history.main.start_ticks;
    guard_finder_look(also->finder, now_ns, &also->life);
    struct guard_turn turn = guard_history_step(&also->history, &also->life);
    also->another =
        before != also->history.main.pid || start_ticks != also->history.main.start_ticks;
    also->shown = also->life;
    guard_aside_look(&also->aside, &also->watch, also->folder, also->ready_within_ns, now_ns,
                     &also->shown);
    (void)guard_history_step(&also->shown_history, &also->shown);
    return turn.killed_for_memory;
}

static pid_t main_of(void *owner)
{
    const struct guard_also *also = owner;
    return also->life.main.pid;
}

bool guard_also_place(struct guard_also *also, struct device *device, const char *device_name,
                      int64_t now_ns)
{
    const struct tier_process_look look = {.device = device,
                                           .device_name = device_name,
                                           .find = main_of,
                                           .owner = also,
                                           .place = also->placed};
    const struct guard_place *seen = &also->process.place.seen;
    const bool before = also->wrong;
    if (also->life.presence == PRESENCE_DOWN) {
        tier_process_forget(&also->process);
        also->wrong = false; /* that is HAProxy's word */
    } else if (also->life.presence == PRESENCE_UP) {
        tier_process_weigh(&also->process, &look, now_ns);
        /* Another process after one that was elsewhere: it has to be seen there. */
        also->wrong = also->placed && (seen->told || (also->wrong && seen->owed));
    }
    return also->wrong != before;
}

struct guard_server guard_also_server(const struct guard_also *also)
{
    const struct guard_life *life = &also->shown;
    const bool up = life->presence == PRESENCE_UP;
    struct guard_server server = {
        .service = also->service,
        .front = also->front,
        .name = also->server,
        .arm = also->arm,
        .up = life->presence == PRESENCE_UNKNOWN ? NAN : up,
        .restarts = also->shown_history.began ? (double)also->shown_history.restarts : NAN,
        .out_of_memory = (double)also->ends.count,
        .memory_bytes = also->process.held_bytes,
        .placement = also->on == ON_CPU ? device_placement_names[PLACEMENT_CPU]
                     : also->placed     ? device_placement_names[also->process.place.seen.word]
                                        : NULL};
    snprintf(server.why, sizeof server.why, "%s", life->why);
    return server;
}
