/* Everything that is seen, once a tick.
 *
 * The order within a tick: services are looked at first, since who they are decides whose memory,
 * listing and probes are read; then devices, then placement from what those said, then requests to
 * whoever is due. What comes between two ticks (a log's line, a probe's answer, a logged request)
 * is put down where it belongs and told with the next tick.
 *
 * Nothing here decides anything and nothing waits: each part has a bound on what it costs, and what
 * can't be seen is unknown and said so once, at the start.
 *
 * The same kernel kill is told by up to four sources (the kernel's log, systemd's result, systemd's
 * line in the journal, the cgroup's count), within seconds of each other: one event, counted once.
 */
#include "guard/watch.h"

#include "base/clock.h"
#include "base/text.h"
#include "guard/journal.h"
#include "guard/watch_proxy.h"
#include "service/engine.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static const int64_t SAME_END_NS = 10 * NS_PER_S;
static const int64_t STEP_US = 1000 * 1000; /* of the wall clock against the steady one */
static const char proc_root[] = "/proc", cgroup_root[] = "/sys/fs/cgroup";
enum { MEMORY_END_DEVICE, MEMORY_END_KERNEL };
enum { PROBES_OF_ONE_LOOK = 5 }; /* the least that a median may be told of */

struct guard_watch {
    struct guard_watch_setup setup;
    const struct spec_study *study;
    const struct guard_metric_ref *refs; /* the study's guard's */
    size_t ref_count;
    struct guard_value *values;      /* owned */
    struct guard_subject *subjects;  /* owned, one for each service */
    struct guard_managers *managers; /* owned, as all below; NULL: is not there */
    struct guard_memory *memory;
    struct guard_prober *prober;
    struct guard_engines *engines;
    struct guard_journal *journal;
    struct guard_kernel *kernel;
    struct guard_traffic *traffic;
    struct guard_events events;
    struct guard_capacity capacities[SPEC_SERVICES_MAX];
    struct buf missing;
    double disk_free_bytes;
    int64_t wall_less_mono_us;
    uint64_t ticks;
};

static void miss(struct guard_watch *watch, const char *text)
{
    buf_add(&watch->missing, text);
    buf_addc(&watch->missing, '\n');
}

/* ---- memory ran out ---- */

static void note_memory_end(struct guard_watch *watch, size_t i, int kind, const char *evidence)
{
    struct guard_subject *subject = &watch->subjects[i];
    int64_t now_ns = clock_now_ns();
    bool again = subject->told_ns[kind] && now_ns - subject->told_ns[kind] < SAME_END_NS;
    subject->told_ns[kind] = now_ns;
    if (again)
        return;
    subject->memory_ends++;
    guard_events_add(&watch->events,
                     kind == MEMORY_END_DEVICE ? EVENT_OOM_DEVICE : EVENT_OOM_KERNEL, (int)i,
                     "%s: %s", subject->spec->name, evidence);
}

static bool is_inside(const char *group, const char *outer)
{
    size_t len = strlen(outer);
    return len > 1 && strncmp(group, outer, len) == 0 && (group[len] == '\0' || group[len] == '/');
}

/* Whose process was it? By its pid, or by its control group. -1: nobody's here. */
static int victim(const struct guard_watch *watch, const struct guard_kernel_line *line)
{
    for (size_t i = 0; i < watch->study->service_count; i++) {
        const struct guard_subject *subject = &watch->subjects[i];
        if (subject->history.main.pid > 0 && subject->history.main.pid == line->pid)
            return (int)i;
        if (subject->watch->kind != WATCH_NOTHING &&
            is_inside(line->group, guard_finder_group(subject->finder)))
            return (int)i;
    }
    return -1;
}

static void on_kernel_line(void *context, const char *text, size_t len)
{
    struct guard_watch *watch = context;
    struct guard_kernel_line line;
    char evidence[400];
    if (!guard_kernel_parse(text, len, &line))
        return;
    if (line.kind == KERNEL_XID) {
        guard_memory_note_xid(watch->memory, line.pci, line.code, line.words, &watch->events);
        return;
    }
    int service = victim(watch, &line);
    if (service < 0)
        return;
    snprintf(evidence, sizeof evidence, "the kernel killed process %d%s%s%s for memory",
             (int)line.pid, line.comm[0] ? " (" : "", line.comm, line.comm[0] ? ")" : "");
    note_memory_end(watch, (size_t)service, MEMORY_END_KERNEL, evidence);
}

static void on_service_line(void *context, size_t service, const char *line, size_t len)
{
    struct guard_watch *watch = context;
    const struct spec_engine_use *use =
        spec_candidate_engine(watch->study, watch->setup.candidate, service);
    const struct engine_ops *ops = use ? engine_find(use->engine->name) : NULL;
    struct signature_match match;
    char evidence[300];
    if (!signature_scan(ops ? ops->signatures : NULL, line, len, &match))
        return;
    snprintf(evidence, sizeof evidence, "%s: \"%.*s\"", match.signature->meaning,
             (int)(match.line_len < 160 ? match.line_len : 160), line + match.line_start);
    if (match.signature->cause == CAUSE_OOM)
        note_memory_end(watch, service, MEMORY_END_DEVICE, evidence);
    else if (match.signature->cause == CAUSE_OOM_HOST)
        note_memory_end(watch, service, MEMORY_END_KERNEL, evidence);
}

static void on_flood(void *context, const char *whose)
{
    struct guard_watch *watch = context;
    guard_events_add(&watch->events, EVENT_LOG_FLOOD, -1,
                     "%s: more lines than may be read in time; what is over is left out", whose);
}

static void look_at_group(struct guard_watch *watch, size_t i)
{
    struct guard_subject *subject = &watch->subjects[i];
    if (subject->watch->kind == WATCH_NOTHING || subject->life.main.pid <= 0)
        return;
    int64_t kills = guard_cgroup_kills(cgroup_root, guard_finder_group(subject->finder));
    if (kills > subject->group_kills && subject->group_kills >= 0 && !subject->another)
        note_memory_end(watch, i, MEMORY_END_KERNEL,
                        "its control group counts another process killed for memory");
    subject->group_kills = kills;
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
    if (turn->killed_for_memory)
        note_memory_end(watch, i, MEMORY_END_KERNEL,
                        "systemd: a process of the unit was killed for memory (oom-kill)");
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
    subject->turn = guard_history_step(&subject->history, &subject->life);
    follow(subject);
    if (subject->life.presence != PRESENCE_UP)
        subject->up_ns = 0;
    else if (subject->up_ns == 0 || subject->another)
        subject->up_ns = now_ns;
    tell_turn(watch, i);
    look_at_group(watch, i);
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
    if (subject->spec->on != ON_GPU || subject->watch->kind == WATCH_NOTHING)
        return;
    const struct guard_sighting sighting = {
        .now_ns = now_ns,
        .up_ns = subject->up_ns,
        .another = subject->another,
        .listed = guard_memory_service(watch->memory, i)->listed,
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

static void note_hang(struct guard_watch *watch, size_t i)
{
    struct guard_subject *subject = &watch->subjects[i];
    subject->hung_ns = clock_now_ns();
    guard_events_add(&watch->events, EVENT_HANGS, (int)i,
                     "no answer to one request within %.1f s, though its port accepts",
                     (double)subject->watch->probe_within_ns / NS_PER_S);
}

static void on_probe(void *context, size_t i, const struct guard_probe *probe)
{
    struct guard_watch *watch = context;
    struct guard_subject *subject = &watch->subjects[i];
    subject->probes++;
    subject->probe_words[0] = '\0';
    if (probe->ours) {
        snprintf(subject->probe_words, sizeof subject->probe_words, "our own probe failed: %.150s",
                 probe->words);
        return;
    }
    bool well = probe->error == LOAD_OK;
    const struct guard_request request = {.counted = probe->error != LOAD_RELOAD,
                                          .failed = !well,
                                          .latency_s = probe->latency_s,
                                          .first_s = probe->first_s,
                                          .queue_s = NAN};
    guard_requests_add(subject->probe_window, clock_now_ns(), &request);
    if (well) {
        subject->proof = probe->proof;
        subject->has_proof = true;
        subject->hung_ns = 0;
    } else {
        AUTO(buf_done) struct buf words = BUF_INIT(800);
        text_add_escaped(&words, TEXT_TERMINAL, probe->words, strlen(probe->words), 120);
        snprintf(subject->probe_words, sizeof subject->probe_words, "%s%s%.120s",
                 load_error_name(probe->error), words.len ? ": " : "", buf_text(&words));
    }
    if (probe->hung && subject->life.presence == PRESENCE_UP)
        note_hang(watch, i);
}

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
    bool up[SPEC_SERVICES_MAX] = {false};
    if (!watch->engines)
        return;
    for (size_t i = 0; i < watch->study->service_count; i++)
        up[i] = watch->subjects[i].life.presence == PRESENCE_UP;
    guard_engines_step(watch->engines, now_ns, up);
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

static void fill_values(struct guard_watch *watch)
{
    struct guard_seen seen = {.study = watch->study,
                              .subjects = watch->subjects,
                              .memory = watch->memory,
                              .proxy = guard_watch_proxy_view(watch),
                              .disk_free_bytes = watch->disk_free_bytes};
    memcpy(seen.capacities, watch->capacities, sizeof seen.capacities);
    for (size_t i = 0; i < watch->study->service_count; i++) {
        struct guard_subject *subject = &watch->subjects[i];
        seen.engine_asked[i] = watch->engines && guard_engines_asks(watch->engines, i);
        if (subject->front >= 0 && seen.proxy && seen.proxy->up)
            subject->tier = seen.proxy->fronts[subject->front].tier
                                ? seen.proxy->fronts[subject->front].tier
                                : subject->tier;
    }
    guard_values_fill(&seen, watch->refs, watch->ref_count, watch->values);
}

void guard_watch_tick(struct guard_watch *watch, int64_t now_ns, int64_t wall_us,
                      struct guard_tick *ret_tick)
{
    look_at_clock(watch, now_ns, wall_us);
    for (size_t i = 0; i < watch->study->service_count; i++)
        look_at_service(watch, i, now_ns);
    if (watch->journal)
        guard_journal_read(watch->journal);
    look_at_devices(watch, now_ns);
    for (size_t i = 0; i < watch->study->service_count; i++)
        look_at_placement(watch, i, now_ns);
    if (watch->traffic)
        guard_traffic_step(watch->traffic, now_ns);
    read_engines(watch, now_ns);
    send_probes(watch, now_ns);
    read_windows(watch, now_ns);
    fill_values(watch);
    ret_tick->wall_us = wall_us;
    ret_tick->mono_ns = now_ns;
    ret_tick->values = watch->values;
    guard_events_take(&watch->events, ret_tick);
    watch->ticks++;
}

/* ---- opening ---- */

static void prepare_subject(struct guard_watch *watch, size_t i, int64_t now_ns)
{
    const struct spec_guard *guard = watch->study->guard;
    struct guard_subject *subject = &watch->subjects[i];
    subject->spec = &watch->study->services[i];
    subject->watch = &guard->watches[i];
    subject->finder = guard_finder_new(subject->watch, proc_root, watch->managers);
    subject->probe_window = guard_requests_new(guard->window_ns, now_ns);
    subject->group_kills = -1;
    subject->front = -1;
    for (size_t f = 0; f < guard->front_count; f++)
        if (guard->fronts[f].service == i)
            subject->front = (int)f;
    if (subject->front >= 0)
        subject->request_window = guard_requests_new(guard->window_ns, now_ns);
}

static void open_logs(struct guard_watch *watch)
{
    const struct guard_log_hooks hooks = {
        .context = watch, .service = on_service_line, .kernel = on_kernel_line, .flood = on_flood};
    struct err err = ERR_INIT;
    sd_event *event = watch->setup.event;
    bool kernel = guard_kernel_open(event, &hooks, &watch->kernel, &err);
    if (!kernel)
        miss(watch, "the kernel's log may not be read here: kernel OOM is known by systemd and "
                    "control groups alone, XIDs by the journal");
    err = ERR_INIT;
    if (!guard_journal_open(watch->study, !kernel, event, &hooks, &watch->journal, &err)) {
        buf_addf(&watch->missing, "%s: out of memory in a service's log is not seen\n", err.text);
        watch->journal = NULL;
    }
}

static void open_asking(struct guard_watch *watch)
{
    struct err err = ERR_INIT;
    const struct guard_prober_setup setup = {.study = watch->study,
                                             .candidate = watch->setup.candidate,
                                             .folder = watch->setup.folder,
                                             .devices = guard_memory_devices(watch->memory),
                                             .event = watch->setup.event,
                                             .burst = watch->setup.once ? PROBES_OF_ONE_LOOK : 0,
                                             .done = on_probe,
                                             .context = watch};
    if (!guard_prober_new(&setup, &watch->prober, &err))
        miss(watch, err.text);
    err = ERR_INIT;
    if (!guard_engines_new(watch->study, watch->setup.candidate, watch->setup.event,
                           &watch->engines, &err))
        miss(watch, err.text);
}

static void open_traffic(struct guard_watch *watch)
{
    struct err err = ERR_INIT;
    struct guard_traffic_setup setup = {.study = watch->study,
                                        .event = watch->setup.event,
                                        .request = watch->setup.request,
                                        .context = watch->setup.context,
                                        .events = &watch->events,
                                        .apply = !watch->setup.once && !watch->setup.dry_run,
                                        .listen = !watch->setup.once};
    if (watch->study->guard->front_count == 0)
        return;
    for (size_t i = 0; i < watch->study->service_count; i++)
        if (watch->subjects[i].front >= 0)
            setup.windows[watch->subjects[i].front] = watch->subjects[i].request_window;
    if (!guard_traffic_open(&setup, &watch->traffic, &err))
        miss(watch, err.text);
}

bool guard_watch_new(const struct guard_watch_setup *setup, struct guard_watch **ret_watch,
                     struct err *err)
{
    struct guard_watch *made = calloc(1, sizeof *made);
    if (!made)
        abort();
    AUTO(guard_watch_free) struct guard_watch *watch = made;
    watch->setup = *setup;
    watch->study = setup->study;
    watch->missing = BUF_INIT(8192);
    watch->disk_free_bytes = NAN;
    if (!setup->study->guard || !setup->study->guard->given)
        return err_set(err, ERR_INPUT, "%s has no guard:", setup->study->path);
    watch->refs = setup->study->guard->metrics;
    watch->ref_count = setup->study->guard->metric_count;
    watch->values = calloc(watch->ref_count + 1, sizeof *watch->values);
    watch->subjects = calloc(setup->study->service_count + 1, sizeof *watch->subjects);
    if (!watch->values || !watch->subjects)
        abort();
    watch->managers = guard_managers_new(setup->event);
    for (size_t i = 0; i < setup->study->service_count; i++)
        prepare_subject(watch, i, clock_now_ns());
    watch->memory = guard_memory_new(setup->study, proc_root);
    guard_capacity_find(setup->study, setup->folder, setup->candidate, watch->capacities);
    open_logs(watch);
    open_asking(watch);
    open_traffic(watch);
    *ret_watch = TAKE(watch);
    return true;
}

struct guard_watch *guard_watch_free(struct guard_watch *watch)
{
    if (!watch)
        return NULL;
    guard_traffic_close(watch->traffic);
    guard_kernel_free(watch->kernel);
    guard_journal_free(watch->journal);
    guard_engines_free(watch->engines);
    guard_prober_free(watch->prober);
    guard_memory_free(watch->memory);
    for (size_t i = 0; watch->subjects && i < watch->study->service_count; i++) {
        struct guard_subject *subject = &watch->subjects[i];
        guard_finder_free(subject->finder);
        guard_requests_free(subject->probe_window);
        guard_requests_free(subject->request_window);
        promote_alive_done(&subject->alive);
    }
    guard_managers_free(watch->managers); /* after the units that ask by them */
    free(watch->subjects);
    free(watch->values);
    buf_done(&watch->missing);
    free(watch);
    return NULL;
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
    return watch->traffic ? guard_traffic_view(watch->traffic) : NULL;
}

void guard_watch_set_tier(struct guard_watch *watch, size_t service, const char *tier)
{
    watch->subjects[service].tier = tier;
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
