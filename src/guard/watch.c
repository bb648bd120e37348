/* Everything that is seen, once a tick.
 *
 * The order within a tick: services are looked at first, since who they are decides whose memory,
 * listing and probes are read; then devices, then placement from what those said, then requests to
 * whoever is due. What comes between two ticks (a log's line, a probe's answer, a logged request)
 * is put down where it belongs and told with the next tick.
 *
 * Nothing here decides anything and nothing waits: each part has a bound on what it costs, and what
 * can't be seen is unknown and said so once, at the start. */
#include "guard/watch_blind.h"
#include "guard/watch_inside.h"
#include "guard/watch_values.h"

#include "base/clock.h"
#include "base/text.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static const int64_t STEP_US = 1000 * 1000; /* of the wall clock against the steady one */

/* ---- logs ---- */

void guard_watch_flood(void *context, const char *whose)
{
    struct guard_watch *watch = context;
    guard_events_add(&watch->events, EVENT_LOG_FLOOD, -1,
                     "%s: more lines than may be read in time; what is over is left out", whose);
}

void guard_watch_log_lost(void *context, const char *why)
{
    struct guard_watch *watch = context;
    guard_events_add(&watch->events, EVENT_LOG_LOST, -1,
                     "%s; out of memory in a service's log is not seen meanwhile", why);
}

void guard_watch_log_found(void *context, const char *what)
{
    struct guard_watch *watch = context;
    guard_events_add(&watch->events, EVENT_LOG_READ, -1, "%s", what);
}

/* ---- services ---- */

static void tell_turn(struct guard_watch *watch, size_t i)
{
    struct guard_subject *subject = &watch->subjects[i];
    const struct guard_turn *turn = &subject->turn;
    if (turn->went_down)
        guard_events_add(&watch->events, EVENT_DOWN, (int)i, "%s", subject->life.why);
    if (turn->restarted)
        guard_events_add(&watch->events, EVENT_RESTARTED, (int)i, "%s%s%s (%llu since guard began)",
                         subject->life.why, turn->restarts > 1 ? ", more than once" : "",
                         subject->history.restarts_told < 0 ? "; another process" : "",
                         (unsigned long long)subject->history.restarts);
    if (turn->came_up && watch->ticks > 0)
        guard_events_add(&watch->events, EVENT_UP, (int)i, "%s", subject->life.why);
}

/* Its tree gets a root of ours, which all that reads devices asks by. */
static void follow(struct guard_subject *subject)
{
    const struct proc_stat *main = &subject->life.main;
    struct promote_alive *alive = &subject->alive;
    if (main->pid <= 0)
        return;
    if (alive->main.pid == main->pid && alive->main.start_ticks == main->start_ticks &&
        alive->anchor > 0)
        return;
    alive->main = *main;
    subject->another = true;
    (void)!promote_alive_anchor(alive);
}

static void look_at_service(struct guard_watch *watch, size_t i, int64_t now_ns)
{
    struct guard_subject *subject = &watch->subjects[i];
    subject->another = false;
    if (subject->watch->kind == WATCH_NOTHING)
        return;
    guard_finder_look(subject->finder, now_ns, &subject->life);
    guard_aside_look(&subject->aside, subject->watch, watch->setup.folder,
                     subject->spec->ready_within_ns, now_ns, &subject->life);
    subject->turn = guard_history_step(&subject->history, &subject->life);
    follow(subject);
    if (subject->life.presence != PRESENCE_UP)
        subject->up_ns = 0;
    else if (subject->up_ns == 0 || subject->another)
        subject->up_ns = now_ns;
    tell_turn(watch, i);
    guard_watch_ends_of(watch, i);
}

static size_t device_of(const struct guard_watch *watch, size_t i)
{
    return spec_candidate_device(watch->study, watch->setup.candidate, i);
}

static pid_t root_of(const struct guard_subject *subject)
{
    bool there = subject->life.main.pid > 0 && subject->life.presence != PRESENCE_DOWN &&
                 subject->life.presence != PRESENCE_UNKNOWN;
    return there ? subject->alive.anchor : 0;
}

static void look_at_devices(struct guard_watch *watch, int64_t now_ns)
{
    struct guard_memory_subject subjects[SPEC_SERVICES_MAX];
    for (size_t i = 0; i < watch->study->service_count; i++)
        subjects[i] = (struct guard_memory_subject){.root = root_of(&watch->subjects[i]),
                                                    .device = device_of(watch, i),
                                                    .another = watch->subjects[i].another};
    guard_memory_step(watch->memory, now_ns, subjects, &watch->events);
}

static void look_at_placement(struct guard_watch *watch, size_t i, int64_t now_ns)
{
    struct guard_subject *subject = &watch->subjects[i];
    const char *device = watch->study->devices[device_of(watch, i)];
    const struct guard_memory_view *memory = guard_memory_service(watch->memory, i);
    if (subject->spec->on != ON_GPU || subject->watch->kind == WATCH_NOTHING)
        return;
    const struct guard_sighting sighting = {
        .now_ns = now_ns,
        .up_ns = subject->up_ns,
        .another = subject->another,
        .listed = memory->listed,
        .cpu_ns = memory->cpu_ns,
        .cpu_at_ns = memory->cpu_at_ns,
        .answered_ns = subject->engine.moved_ns,
        .probed_ns = subject->probe_elsewhere_ns,
        .device = device,
        .proof = subject->has_proof ? &subject->proof : NULL,
    };
    struct guard_place_turn turn = guard_place_step(&subject->place, &sighting);
    subject->has_proof = false;
    if (turn.on_cpu)
        guard_events_add(&watch->events, EVENT_ON_CPU, (int)i, "%s, should be on %s: %s",
                         device_placement_names[subject->place.word], device,
                         subject->place.evidence);
    if (turn.placed)
        guard_events_add(&watch->events, EVENT_PLACED, (int)i, "on %s again%s%s", device,
                         subject->place.evidence[0] ? ": " : "", subject->place.evidence);
}

/* ---- probes ---- */

static void send_probes(struct guard_watch *watch, int64_t now_ns)
{
    struct guard_probe_subject subjects[SPEC_SERVICES_MAX];
    if (!watch->prober)
        return;
    for (size_t i = 0; i < watch->study->service_count; i++)
        subjects[i] =
            (struct guard_probe_subject){.up = watch->subjects[i].life.presence == PRESENCE_UP,
                                         .another = watch->subjects[i].another,
                                         .root = root_of(&watch->subjects[i]),
                                         .device = device_of(watch, i)};
    guard_prober_step(watch->prober, now_ns, subjects);
}

static void read_engines(struct guard_watch *watch, int64_t now_ns)
{
    bool up[SPEC_SERVICES_MAX] = {false}, hurried[SPEC_SERVICES_MAX] = {false};
    if (!watch->engines)
        return;
    for (size_t i = 0; i < watch->study->service_count; i++) {
        const struct guard_subject *subject = &watch->subjects[i];
        up[i] = subject->life.presence == PRESENCE_UP;
        hurried[i] = watch->prober && guard_prober_waits_ns(watch->prober, i, now_ns) >
                                          guard_probe_patience_ns(subject->watch->probe_within_ns);
    }
    guard_engines_step(watch->engines, now_ns, up, hurried);
    for (size_t i = 0; i < watch->study->service_count; i++)
        if (guard_engines_asks(watch->engines, i))
            guard_engines_read(watch->engines, now_ns, i, &watch->subjects[i].engine);
}

/* ---- a tick ---- */

static void look_at_clock(struct guard_watch *watch, int64_t now_ns, int64_t wall_us)
{
    int64_t less_us = wall_us - now_ns / NS_PER_US;
    int64_t step_us = less_us - watch->wall_less_mono_us;
    if (watch->ticks > 0 && (step_us > STEP_US || step_us < -STEP_US))
        guard_events_add(&watch->events, EVENT_CLOCK_STEP, -1,
                         "the wall clock went %s by %.1f s (or the machine slept); windows go on "
                         "by the steady clock",
                         step_us > 0 ? "forward" : "back", fabs((double)step_us) / 1e6);
    watch->wall_less_mono_us = less_us;
}

static void read_windows(struct guard_watch *watch, int64_t now_ns)
{
    for (size_t i = 0; i < watch->study->service_count; i++) {
        struct guard_subject *subject = &watch->subjects[i];
        guard_requests_read(subject->probe_window, now_ns, &subject->probe);
        if (subject->request_window)
            guard_requests_read(subject->request_window, now_ns, &subject->request);
    }
}

static void compare_with_study(struct guard_watch *watch, struct guard_seen *seen, int64_t now_ns)
{
    double rates[SPEC_SERVICES_MAX];
    for (size_t i = 0; i < watch->study->service_count; i++)
        rates[i] = guard_values_arrivals(seen, i);
    guard_changes_step(watch->changes, now_ns, watch->subjects, watch->memory, rates,
                       &watch->events);
    guard_watch_say_versions(watch);
    for (int c = 0; c < CHANGE_COUNT_; c++)
        seen->changed[c] = guard_changes_answer(watch->changes, (enum guard_change)c)->truth;
}

static void fill_values(struct guard_watch *watch, int64_t now_ns)
{
    struct guard_seen seen = {.study = watch->study,
                              .subjects = watch->subjects,
                              .memory = watch->memory,
                              .proxy = guard_watch_proxy_view(watch),
                              .requests_seen =
                                  watch->traffic && guard_traffic_is_read(watch->traffic),
                              .disk_free_bytes = watch->disk_free_bytes,
                              .capacities = &watch->capacities};
    for (size_t i = 0; i < watch->study->service_count; i++) {
        struct guard_subject *subject = &watch->subjects[i];
        seen.engine_asked[i] = watch->engines && guard_engines_asks(watch->engines, i);
        if (subject->front >= 0 && seen.proxy && seen.proxy->up)
            subject->tier = seen.proxy->fronts[subject->front].tier
                                ? seen.proxy->fronts[subject->front].tier
                                : subject->tier;
    }
    compare_with_study(watch, &seen, now_ns);
    guard_values_fill(&seen, watch->refs, watch->ref_count, watch->values);
}

void guard_watch_tick(struct guard_watch *watch, int64_t now_ns, int64_t wall_us,
                      struct guard_tick *ret_tick)
{
    look_at_clock(watch, now_ns, wall_us);
    for (size_t i = 0; i < watch->study->service_count; i++)
        look_at_service(watch, i, now_ns);
    guard_watch_ends_of_others(watch, now_ns);
    guard_blind_look(watch);
    if (watch->journal)
        guard_journal_read(watch->journal);
    look_at_devices(watch, now_ns);
    for (size_t i = 0; i < watch->study->service_count; i++)
        look_at_placement(watch, i, now_ns);
    guard_watch_open_traffic(watch, now_ns);
    guard_watch_try_prober(watch, now_ns);
    guard_watch_try_capacities(watch, now_ns);
    if (watch->traffic)
        guard_traffic_step(watch->traffic, now_ns);
    read_engines(watch, now_ns);
    send_probes(watch, now_ns);
    read_windows(watch, now_ns);
    fill_values(watch, now_ns);
    ret_tick->wall_us = wall_us;
    ret_tick->mono_ns = now_ns;
    ret_tick->values = watch->values;
    ret_tick->no_log = watch->no_log;
    ret_tick->no_kills = guard_watch_no_kills(watch);
    ret_tick->no_kernel_log = watch->no_kernel_log;
    guard_events_take(&watch->events, ret_tick);
    watch->ticks++;
}

/* ---- for others ---- */

struct guard_events *guard_watch_events(struct guard_watch *watch)
{
    return &watch->events;
}

const char *guard_watch_missing(const struct guard_watch *watch)
{
    return buf_text(&watch->missing);
}

struct device *const *guard_watch_devices(const struct guard_watch *watch)
{
    return guard_memory_devices(watch->memory);
}

struct proxy *guard_watch_proxy(const struct guard_watch *watch)
{
    return watch->traffic ? guard_traffic_proxy(watch->traffic) : NULL;
}

const struct proxy_view *guard_watch_proxy_view(const struct guard_watch *watch)
{
    static const struct proxy_view down; /* wanted, and not there */
    if (watch->traffic)
        return guard_traffic_view(watch->traffic);
    return watch->study->guard->front_count > 0 && !watch->proxy_unapplied ? &down : NULL;
}

void guard_watch_set_tier(struct guard_watch *watch, size_t service, const char *tier)
{
    watch->subjects[service].tier = tier;
}

void guard_watch_note_power(struct guard_watch *watch, size_t service, const char *tier,
                            enum guard_tier_power power)
{
    struct guard_aside *aside = &watch->subjects[service].aside;
    if (aside->tier_name && strcmp(aside->tier_name, tier) == 0)
        aside->tier = guard_aside_step(aside->tier, power);
    for (size_t k = 0; k < watch->also_count; k++) {
        aside = &watch->also[k].aside;
        if (watch->also[k].service == service && aside->tier_name &&
            strcmp(aside->tier_name, tier) == 0)
            aside->tier = guard_aside_step(aside->tier, power);
    }
}

void guard_watch_set_disk(struct guard_watch *watch, double free_bytes)
{
    watch->disk_free_bytes = free_bytes;
}

const struct guard_subject *guard_watch_subject(const struct guard_watch *watch, size_t i)
{
    return &watch->subjects[i];
}

const struct guard_memory *guard_watch_memory(const struct guard_watch *watch)
{
    return watch->memory;
}

const struct guard_metric_ref *guard_watch_refs(const struct guard_watch *watch, size_t *ret_count)
{
    *ret_count = watch->ref_count;
    return watch->refs;
}

const char *guard_watch_no_probe(const struct guard_watch *watch, size_t i)
{
    const struct guard_subject *subject = &watch->subjects[i];
    if (subject->watch->kind == WATCH_NOTHING || subject->watch->probe_rps <= 0)
        return NULL;
    if (!watch->prober)
        return watch->no_probes;
    if (!guard_prober_asks(watch->prober, i))
        return NULL;
    if (subject->probes == 0)
        return "none had ended so far";
    return subject->probes == subject->probes_ours ? subject->probe_words : "";
}

bool guard_watch_has_looked(const struct guard_watch *watch)
{
    for (size_t i = 0; i < watch->study->service_count; i++) {
        const struct guard_subject *subject = &watch->subjects[i];
        bool asked = watch->prober && guard_prober_asks(watch->prober, i);
        if (subject->watch->kind == WATCH_NOTHING)
            continue;
        bool up = subject->life.presence == PRESENCE_UP;
        bool placed = subject->spec->on != ON_GPU || subject->place.word != PLACEMENT_UNPROVEN;
        if (subject->life.presence == PRESENCE_UNKNOWN || (asked && up && subject->probes == 0) ||
            (up && !placed))
            return false;
    }
    return watch->ticks > 1;
}
