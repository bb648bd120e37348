/* Memory ran out: whose was it, and was it counted already?
 *
 * The same kernel kill is told by up to four sources (the kernel's log, systemd's result, systemd's
 * line in the journal, the cgroup's count), within seconds of each other, and an engine's log
 * repeats why it ends: one event, counted once. What comes ten seconds after the one that was
 * counted is another.
 *
 * A service's other servers (tiers, arms) end for want of memory as well. That is told of the
 * service, with the server's name. It is not in the service's `oom`: a rule on that figure may
 * restart what is watched, and that is another server. */
#include "guard/watch_inside.h"

#include "base/clock.h"
#include "device/device.h"
#include "service/engine.h"

#include <string.h>

static const char cgroup_root[] = "/sys/fs/cgroup";
/* systemd is asked about a unit that is off at every look, and a tier may be off for hours. */
static const int64_t ALSO_EVERY_NS = 2 * NS_PER_S;

/* `owner`: a service, or behind them another server; as the journal counts them. */
static struct guard_also *also_of(struct guard_watch *watch, size_t owner)
{
    size_t services = watch->study->service_count;
    return owner >= services ? &watch->also[owner - services] : NULL;
}

static void note_end(struct guard_watch *watch, size_t owner, enum guard_end_kind kind,
                     const char *evidence)
{
    struct guard_also *also = also_of(watch, owner);
    struct guard_ends *ends = also ? &also->ends : &watch->subjects[owner].ends;
    size_t service = also ? also->service : owner;
    if (!guard_ends_add(ends, kind, clock_now_ns()))
        return;
    guard_events_add(&watch->events, kind == END_DEVICE ? EVENT_OOM_DEVICE : EVENT_OOM_KERNEL,
                     (int)service, "%s: %s",
                     also ? also->name : watch->study->services[service].name, evidence);
}

/* ---- lines ---- */

static bool is_inside(const char *group, const char *outer)
{
    size_t len = strlen(outer);
    return len > 1 && strncmp(group, outer, len) == 0 && (group[len] == '\0' || group[len] == '/');
}

static bool is_victim(const struct guard_kernel_line *line, const struct guard_history *history,
                      const struct guard_finder *finder)
{
    return (history->main.pid > 0 && history->main.pid == line->pid) ||
           is_inside(line->group, guard_finder_group(finder));
}

/* Whose process was it? By its pid, or by its control group. -1: nobody's here. */
static int victim(const struct guard_watch *watch, const struct guard_kernel_line *line)
{
    size_t services = watch->study->service_count;
    for (size_t i = 0; i < services; i++)
        if (watch->subjects[i].watch->kind != WATCH_NOTHING &&
            is_victim(line, &watch->subjects[i].history, watch->subjects[i].finder))
            return (int)i;
    for (size_t k = 0; k < watch->also_count; k++)
        if (is_victim(line, &watch->also[k].history, watch->also[k].finder))
            return (int)(services + k);
    return -1;
}

void guard_watch_kernel_line(void *context, const char *text, size_t len)
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
    int owner = victim(watch, &line);
    if (owner < 0)
        return;
    snprintf(evidence, sizeof evidence, "the kernel killed process %d%s%s%s for memory",
             (int)line.pid, line.comm[0] ? " (" : "", line.comm, line.comm[0] ? ")" : "");
    note_end(watch, (size_t)owner, END_KERNEL, evidence);
}

void guard_watch_service_line(void *context, size_t owner, const char *line, size_t len)
{
    struct guard_watch *watch = context;
    const struct guard_also *also = also_of(watch, owner);
    const struct spec_engine_use *use =
        spec_candidate_engine(watch->study, watch->setup.candidate, also ? also->service : owner);
    const struct engine_ops *ops = use ? engine_find(use->engine->name) : NULL;
    struct signature_match match;
    char evidence[300];
    if (!also && watch->subjects[owner].watch->kind == WATCH_CONTAINER)
        watch->no_log &= ~(UINT32_C(1) << owner); /* its first line */
    if (!signature_scan(ops ? ops->signatures : NULL, line, len, &match))
        return;
    snprintf(evidence, sizeof evidence, "%s: \"%.*s\"", match.signature->meaning,
             (int)(match.line_len < 160 ? match.line_len : 160), line + match.line_start);
    if (match.signature->cause == CAUSE_OOM)
        note_end(watch, owner, END_DEVICE, evidence);
    else if (match.signature->cause == CAUSE_OOM_HOST)
        note_end(watch, owner, END_KERNEL, evidence);
}

/* ---- looks ---- */

static void look_at_group(struct guard_watch *watch, size_t owner, struct guard_ends *ends,
                          const struct guard_finder *finder, bool another)
{
    int64_t kills = guard_cgroup_kills(cgroup_root, guard_finder_group(finder));
    if (kills > ends->group_kills && ends->group_kills >= 0 && !another)
        note_end(watch, owner, END_KERNEL,
                 "its control group counts another process killed for memory");
    ends->group_kills = kills;
}

static const char by_systemd[] = "systemd: a process of the unit was killed for memory (oom-kill)";

void guard_watch_ends_of(struct guard_watch *watch, size_t service)
{
    struct guard_subject *subject = &watch->subjects[service];
    if (subject->turn.killed_for_memory)
        note_end(watch, service, END_KERNEL, by_systemd);
    if (subject->life.main.pid > 0)
        look_at_group(watch, service, &subject->ends, subject->finder, subject->another);
}

/* A unit's systemd tells as well. */
uint32_t guard_watch_no_kills(const struct guard_watch *watch)
{
    uint32_t bits = 0;
    for (size_t i = 0; i < watch->study->service_count; i++)
        if (watch->subjects[i].watch->kind != WATCH_UNIT && watch->subjects[i].ends.group_kills < 0)
            bits |= UINT32_C(1) << i;
    return bits;
}

/* One alarm for all of a service: it is over with the last of them. */
static void look_at_place(struct guard_watch *watch, struct guard_also *also, int64_t now_ns)
{
    const size_t d = spec_candidate_device(watch->study, watch->setup.candidate, also->service);
    const bool turned = guard_also_place(also, guard_memory_devices(watch->memory)[d],
                                         watch->study->devices[d], now_ns);
    bool any = false;
    for (size_t k = 0; k < watch->also_count; k++)
        any |= watch->also[k].wrong && watch->also[k].service == also->service;
    if (turned && also->wrong)
        guard_events_add(&watch->events, EVENT_ARM_DOUBT, (int)also->service,
                         "%s must be on the GPU and is on the CPU: %s", also->name,
                         also->process.place.seen.evidence);
    else if (turned && !any)
        guard_events_add(&watch->events, EVENT_ARM_SOUND, (int)also->service,
                         "%s is on %s again, or down", also->name, watch->study->devices[d]);
}

void guard_watch_ends_of_others(struct guard_watch *watch, int64_t now_ns)
{
    if (watch->also_ns && now_ns - watch->also_ns < ALSO_EVERY_NS)
        return;
    watch->also_ns = now_ns;
    for (size_t k = 0; k < watch->also_count; k++) {
        struct guard_also *also = &watch->also[k];
        size_t owner = watch->study->service_count + k;
        if (guard_also_look(also, now_ns))
            note_end(watch, owner, END_KERNEL, by_systemd);
        if (also->life.main.pid > 0)
            look_at_group(watch, owner, &also->ends, also->finder, also->another);
        if (also->weighed)
            look_at_place(watch, also, now_ns);
    }
}

const struct guard_also *guard_watch_also(const struct guard_watch *watch, size_t *ret_count)
{
    *ret_count = watch->also_count;
    return watch->also;
}
