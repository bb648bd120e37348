/* Setting up what is watched: each part by itself, so that what is missing takes nothing else
 * along.
 *
 * What can't be had is said once, with what that means, and is left out: a machine without a
 * journal or without its kernel's log is watched all the same. HAProxy alone is tried again later:
 * at a boot it may come after guard. */
#include "guard/watch_inside.h"

#include "base/clock.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <systemd/sd-daemon.h>

static const int64_t TRAFFIC_AGAIN_NS = 60 * NS_PER_S, PROBER_AGAIN_NS = 60 * NS_PER_S;
static const int64_t CAPACITIES_AGAIN_NS = 10 * NS_PER_S;
static const char proc_root[] = "/proc";
enum { PROBES_OF_ONE_LOOK = 5 }; /* the least that a median may be told of */

/* Once: a guard that follows for weeks finds the same missing each time. */
static void miss(struct guard_watch *watch, const char *text)
{
    AUTO(buf_done) struct buf line = BUF_INIT(8192);
    buf_addf(&line, "%s\n", text);
    if (strstr(buf_text(&watch->missing), buf_text(&line)))
        return;
    buf_add(&watch->missing, text);
    buf_addc(&watch->missing, '\n');
}

static void prepare_subject(struct guard_watch *watch, size_t i, int64_t now_ns)
{
    const struct spec_guard *guard = watch->study->guard;
    struct guard_subject *subject = &watch->subjects[i];
    subject->spec = &watch->study->services[i];
    subject->watch = &guard->watches[i];
    subject->finder = guard_finder_new(subject->watch, proc_root, watch->managers);
    subject->probe_window = guard_requests_new(guard->window_ns, now_ns);
    subject->ends.group_kills = -1;
    subject->front = -1;
    const struct spec_tier *tier =
        watch->setup.dry_run ? NULL : guard_aside_tier_of(watch->study, i);
    if (tier)
        subject->aside = (struct guard_aside){.tier = ASIDE_STOPPED, .tier_name = tier->name};
    for (size_t f = 0; f < guard->front_count; f++)
        if (guard->fronts[f].service == i)
            subject->front = (int)f;
    if (subject->front >= 0)
        subject->request_window = guard_requests_new(guard->window_ns, now_ns);
}

static void open_also(struct guard_watch *watch)
{
    watch->also_count = guard_also_open(watch->study, proc_root, watch->managers, watch->also);
    for (size_t k = 0; k < watch->also_count; k++) {
        watch->also[k].folder = watch->setup.folder;
        if (watch->setup.dry_run) /* stops none */
            watch->also[k].aside = (struct guard_aside){0};
    }
}

/* Of a container it is known before anybody looks. */
void guard_watch_say_versions(struct guard_watch *watch)
{
    for (size_t i = 0; i < watch->study->service_count; i++) {
        const bool container = watch->subjects[i].watch->kind == WATCH_CONTAINER;
        if (watch->version_said[i] || (!container && !guard_changes_is_hidden(watch->changes, i)))
            continue;
        watch->version_said[i] = true;
        buf_addf(&watch->missing,
                 "%.80s: %s, so its engine's version is not known: whether it changed since the "
                 "study (guard.changed.versions) is not seen\n",
                 watch->study->services[i].name,
                 container ? "it runs in a container, which has its own files"
                           : "the file of its program can't be seen from here (a "
                             "container's, another user's, or gone)");
    }
}

/* The services first, then their other servers: the order in which watch_ends.c counts them. */
static void open_journal(struct guard_watch *watch, bool kernel,
                         const struct guard_log_hooks *hooks)
{
    struct guard_log_owner owners[SPEC_SERVICES_MAX + GUARD_ALSO_MAX];
    size_t count = 0;
    struct err err = ERR_INIT;
    for (size_t i = 0; i < watch->study->service_count; i++)
        owners[count++] =
            (struct guard_log_owner){watch->subjects[i].watch, watch->study->services[i].name};
    for (size_t k = 0; k < watch->also_count; k++)
        owners[count++] = (struct guard_log_owner){&watch->also[k].watch, watch->also[k].name};
    if (!guard_journal_open(owners, count, kernel, watch->setup.event, hooks, &watch->journal,
                            &err)) {
        buf_addf(&watch->missing, "%s: out of memory in a service's log is not seen\n", err.text);
        watch->journal = NULL;
        watch->no_log = UINT32_MAX;
        return;
    }
    for (size_t k = 0; k < count; k++) {
        char blind[400];
        guard_journal_blind(watch->journal, k, blind, sizeof blind);
        if (blind[0])
            miss(watch, blind);
        if (k < watch->study->service_count && (blind[0] || owners[k].watch->kind == WATCH_NOTHING))
            watch->no_log |= UINT32_C(1) << k;
    }
}

static void open_logs(struct guard_watch *watch)
{
    const struct guard_log_hooks hooks = {.context = watch,
                                          .service = guard_watch_service_line,
                                          .kernel = guard_watch_kernel_line,
                                          .flood = guard_watch_flood,
                                          .lost = guard_watch_log_lost,
                                          .found = guard_watch_log_found};
    struct err err = ERR_INIT;
    sd_event *event = watch->setup.event;
    bool kernel = guard_kernel_open(event, &hooks, &watch->kernel, &err);
    if (!kernel)
        miss(watch, "the kernel's log may not be read here: kernel OOM is known by systemd and "
                    "control groups alone, XIDs by the journal");
    err = ERR_INIT;
    open_journal(watch, !kernel, &hooks);
    watch->no_kernel_log = !kernel && !(watch->journal && guard_journal_has_kernel());
}

/* What can't be read now (a network's file system, a list that is being written) is tried again
 * when a setting is followed; until then it is asked as before, which still shows a server that
 * hangs. */
static void open_prober(struct guard_watch *watch)
{
    struct err err = ERR_INIT;
    struct guard_prober *made = NULL;
    const struct guard_prober_setup setup = {.study = watch->study,
                                             .candidate = watch->setup.candidate,
                                             .folder = watch->setup.folder,
                                             .devices = guard_memory_devices(watch->memory),
                                             .event = watch->setup.event,
                                             .burst = watch->setup.once ? PROBES_OF_ONE_LOOK : 0,
                                             .done = guard_watch_probe,
                                             .context = watch};
    const bool ok = guard_prober_new(&setup, &made, &err);
    if (ok) {
        guard_prober_free(watch->prober);
        watch->prober = made;
        watch->prober_due_ns = 0;
        watch->no_probes[0] = '\0';
        return;
    }
    miss(watch, err.text);
    if (!watch->prober)
        snprintf(watch->no_probes, sizeof watch->no_probes, "%.290s", err.text);
}

void guard_watch_try_prober(struct guard_watch *watch, int64_t now_ns)
{
    if (watch->prober_due_ns == 0 || now_ns < watch->prober_due_ns)
        return;
    watch->prober_due_ns = now_ns + PROBER_AGAIN_NS;
    open_prober(watch);
    for (size_t i = 0; watch->prober_due_ns == 0 && i < watch->study->service_count; i++)
        guard_requests_restart(watch->subjects[i].probe_window, now_ns); /* of the old setting */
}

static void open_engines(struct guard_watch *watch)
{
    struct err err = ERR_INIT;
    if (!guard_engines_new(watch->study, watch->setup.candidate, watch->setup.event,
                           &watch->engines, &err))
        miss(watch, err.text);
}

/* At first, before the loop runs, it may take its time; after that a child does it. */
static bool is_applied(struct guard_watch *watch)
{
    struct err ignored = ERR_INIT; /* told at first; tried again */
    const char *why = "";
    if (!watch->applying) {
        if (!guard_apply_start(watch->study, watch->setup.event, &watch->applying, &ignored))
            watch->applying = NULL;
        return false;
    }
    enum guard_applied state = guard_apply_look(watch->applying, &why);
    if (state == APPLY_UNDER_WAY)
        return false;
    watch->applying = guard_apply_free(watch->applying);
    return state == APPLY_DONE;
}

#define APPLY_WITHIN_US "180000000"

static bool proxy_answers(const struct spec_study *study)
{
    AUTO(proxy_close) struct proxy *proxy = NULL;
    struct proxy_view view = {0};
    struct err ignored = ERR_INIT;
    return proxy_open(study, &proxy, &ignored) && proxy_look(proxy, &view, &ignored) && view.up;
}

/* One that goes on with its old configuration is not down: it carries what it carried before. */
static void tell_not_applied(struct guard_watch *watch, const char *why)
{
    watch->proxy_unapplied = proxy_answers(watch->study);
    if (watch->proxy_unapplied)
        guard_events_add(&watch->events, EVENT_ACTED, -1,
                         "HAProxy goes on as it was, this study's configuration was not applied "
                         "(tried again each minute): %.130s",
                         why);
    else
        guard_events_add(&watch->events, EVENT_PROXY_DOWN, -1,
                         "HAProxy: %s; tried again each minute", why);
}

void guard_watch_open_traffic(struct guard_watch *watch, int64_t now_ns)
{
    struct err err = ERR_INIT;
    struct guard_traffic_setup setup = {.study = watch->study,
                                        .event = watch->setup.event,
                                        .request = watch->setup.request,
                                        .context = watch->setup.context,
                                        .events = &watch->events,
                                        .apply = !watch->setup.once && !watch->setup.dry_run,
                                        .revive = !watch->setup.once && !watch->setup.dry_run,
                                        .listen = !watch->setup.once};
    bool due = watch->traffic_ns == 0 || now_ns - watch->traffic_ns >= TRAFFIC_AGAIN_NS;
    if (watch->study->guard->front_count == 0 || watch->traffic || (!watch->applying && !due))
        return;
    bool first = watch->traffic_ns == 0;
    watch->traffic_ns = now_ns;
    if (!first && setup.apply && !is_applied(watch))
        return;
    setup.apply = setup.apply && first;
    if (setup.apply) /* its waits may be longer than systemd's for our start */
        (void)sd_notify(0, "EXTEND_TIMEOUT_USEC=" APPLY_WITHIN_US);
    for (size_t i = 0; i < watch->study->service_count; i++)
        if (watch->subjects[i].front >= 0)
            setup.windows[watch->subjects[i].front] = watch->subjects[i].request_window;
    if (guard_traffic_open(&setup, &watch->traffic, &err)) {
        const char *why = guard_traffic_log_why(watch->traffic);
        if (first && why[0])
            buf_addf(&watch->missing, "HAProxy's log is not read, requests are not seen: %s\n",
                     why);
        char narrow[300];
        if (guard_traffic_log_is_narrow(watch->traffic, narrow, sizeof narrow))
            miss(watch, narrow);
        return;
    }
    watch->traffic = NULL;
    if (!first)
        return;
    miss(watch, err.text);
    tell_not_applied(watch, err.text);
}

static void open_changes(struct guard_watch *watch)
{
    const struct guard_changes_setup changes = {.study = watch->study,
                                                .folder = watch->setup.folder,
                                                .candidate = watch->setup.candidate,
                                                .event = watch->setup.event,
                                                .proc_root = proc_root};
    watch->changes = guard_changes_new(&changes);
}

static void find_capacities(struct guard_watch *watch, int64_t now_ns)
{
    const bool read = guard_capacities_find(watch->study, watch->setup.folder,
                                            watch->setup.candidate, &watch->capacities);
    watch->capacities_due_ns = read ? 0 : now_ns + CAPACITIES_AGAIN_NS;
}

void guard_watch_try_capacities(struct guard_watch *watch, int64_t now_ns)
{
    if (watch->capacities_due_ns && now_ns >= watch->capacities_due_ns)
        find_capacities(watch, now_ns);
}

/* As at the beginning: what the old setting's probes said is nothing that the new one did. But what
 * was told and is not over yet stays owed: nobody else would end that alarm. */
static void forget_setting(struct guard_subject *subject, int64_t now_ns)
{
    guard_requests_restart(subject->probe_window, now_ns);
    subject->place = (struct guard_place){.owed = subject->place.told || subject->place.owed};
    subject->probe_past = (struct guard_probe_past){.process = subject->probe_past.process,
                                                    .told = subject->probe_past.told};
    subject->engine = (struct guard_engine_view){0};
    subject->has_proof = false;
    subject->probe_ours = false;
    subject->probe_words[0] = '\0';
    subject->hung_ns = 0;
    if (subject->up_ns) /* it has as long to be seen on its device as one that just came up */
        subject->up_ns = now_ns;
}

void guard_watch_follow(struct guard_watch *watch, int64_t now_ns)
{
    watch->engines = guard_engines_free(watch->engines);
    watch->changes = guard_changes_free(watch->changes);
    find_capacities(watch, now_ns);
    open_changes(watch);
    watch->prober_due_ns = now_ns + PROBER_AGAIN_NS;
    open_prober(watch);
    open_engines(watch);
    for (size_t i = 0; i < watch->study->service_count; i++)
        forget_setting(&watch->subjects[i], now_ns);
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
    find_capacities(watch, clock_now_ns());
    open_also(watch);
    open_changes(watch);
    guard_watch_say_versions(watch);
    open_logs(watch);
    open_prober(watch);
    open_engines(watch);
    guard_watch_open_traffic(watch, clock_now_ns());
    *ret_watch = TAKE(watch);
    return true;
}

struct guard_watch *guard_watch_free(struct guard_watch *watch)
{
    if (!watch)
        return NULL;
    guard_apply_free(watch->applying);
    guard_traffic_close(watch->traffic);
    guard_kernel_free(watch->kernel);
    guard_journal_free(watch->journal);
    guard_engines_free(watch->engines);
    guard_prober_free(watch->prober);
    guard_changes_free(watch->changes);
    guard_memory_free(watch->memory);
    for (size_t i = 0; watch->subjects && i < watch->study->service_count; i++) {
        struct guard_subject *subject = &watch->subjects[i];
        guard_finder_free(subject->finder);
        guard_requests_free(subject->probe_window);
        guard_requests_free(subject->request_window);
        promote_alive_done(&subject->alive);
    }
    guard_also_close(watch->also, watch->also_count);
    guard_managers_free(watch->managers); /* after the units that ask by them */
    free(watch->subjects);
    free(watch->values);
    buf_done(&watch->missing);
    free(watch);
    return NULL;
}
