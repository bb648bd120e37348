/* Devices, watched.
 *
 * One sample of each device at a time (device/sample.h), not more often than half a percent of a
 * core pays for: on a CPU box a sample adds up the pages of every process of a service, which may
 * take tens of milliseconds. What was read last is shown until it is ten seconds old, then it is
 * unknown.
 *
 * A device whose driver is gone tells nothing, so everything of it is unknown, and it is closed and
 * opened again every half minute: the library is loaded anew then, and "mismatch" (the library on
 * the disk is another version than the module that runs) shows itself. It is never a reason to
 * restart a service: what runs may go on, what is started would not come up.
 *
 * The driver is asked through a process of its own (device/nvml_ask.c). What a study may wait for
 * its answers is more than guard's watchdog allows, so guard waits less, and a step in which one
 * device took long leaves the others to the next one: however many hang, a step takes some 20 s at
 * most. Rejected: a thread for the driver's calls, which a call in the kernel would hang as well.
 *
 * Units of tiers are ours as well, though no service of the study: they count with the declared
 * neighbours, whose own memory is then not known apart.
 */
#include "guard/memory.h"

#include "base/clock.h"
#include "base/text.h"
#include "device/kernel_log.h"
#include "device/neighbour.h"

#include <math.h>
#include <string.h>

static const int64_t REOPEN_EVERY_NS = 30 * NS_PER_S, WORD_EVERY_NS = 60 * NS_PER_S;
static const int64_t WAIT_MOST_NS = 960 * NS_PER_S; /* each of both doubles up to it */
static const int64_t START_WITHIN_NS = 10 * NS_PER_S, CALL_WITHIN_NS = 5 * NS_PER_S;
static const int64_t SLOW_NS = NS_PER_S; /* that long is no driver that is well */
static const int64_t OLD_NS = 10 * NS_PER_S;
static const int64_t STATE_EVERY_NS = 5 * NS_PER_S;
static const int64_t TREND_EVERY_NS = 5 * NS_PER_S;
static const int64_t NEIGHBOURS_EVERY_NS = 10 * NS_PER_S;
static const int64_t XID_HOLDS_NS = 60 * NS_PER_S;
static const double CHANGE_BYTES = 256 << 20; /* of others, that is worth a word */
enum { COST_SHARE = 200, SETTLE_SAMPLES = 2 };

const char *const guard_fault_names[FAULT_COUNT_] = {
    [FAULT_UNKNOWN] = NULL, [FAULT_NONE] = "none",         [FAULT_LOST] = "lost",
    [FAULT_XID] = "xid",    [FAULT_MISMATCH] = "mismatch",
};

struct others { /* memory of processes that are not ours */
    double seen_bytes;
    int settled; /* samples since it moved */
};

struct part { /* of one device */
    struct guard_device_view view;
    struct guard_slope slope;
    struct others strangers, neighbours;
    double told_bytes; /* of strangers, as it was said last; NaN: never */
    bool told_grown;
    int64_t told_ns, word_ns; /* when, and how long the same is not said again */
    int64_t due_ns, read_ns, opened_ns, state_ns, xid_ns, began_wall_us;
    int64_t wait_ns; /* after opened_ns until it is tried again; 0: it was well */
    bool lost_told, is_gpu;
    char pci[32];
};

struct neighbour {
    bool looked, there;
    struct proc_stat main;
};

struct guard_memory {
    const struct spec_study *study;
    const char *root;
    struct device *devices[SPEC_DEVICES_MAX]; /* owned; NULL: not open */
    struct part parts[SPEC_DEVICES_MAX];
    struct guard_memory_view services[SPEC_SERVICES_MAX];
    struct guard_slope slopes[SPEC_SERVICES_MAX];
    struct neighbour *neighbours;    /* owned */
    struct spec_neighbour *declared; /* owned: the study's, then units of tiers */
    size_t declared_count;
    pid_t roots[SPEC_SERVICES_MAX]; /* at the last step */
    int64_t trend_ns, neighbours_ns, mismatch_ns;
    bool mismatch;
};

static const struct guard_memory_view unseen = {
    .bytes = NAN, .growth_bytes_per_s = NAN, .listed = DEVICE_LISTED_UNKNOWN};

/* ---- opening ---- */

static enum guard_fault fault_of(const char *text)
{
    return text_find_nocase(text, strlen(text), "mismatch") ? FAULT_MISMATCH : FAULT_LOST;
}

static void forget(struct part *part)
{
    struct guard_device_view *view = &part->view;
    view->used_bytes = view->free_bytes = view->full_in_s = view->busy_ratio = view->throttled =
        NAN;
    view->stranger_bytes = view->neighbour_bytes = NAN;
    part->strangers.settled = part->neighbours.settled = 0;
    view->throttle_words[0] = '\0';
    guard_slope_clear(&part->slope);
}

static int64_t doubled(int64_t ns)
{
    return 2 * ns < WAIT_MOST_NS ? 2 * ns : WAIT_MOST_NS;
}

int64_t guard_memory_wait(int64_t before_ns, int64_t took_ns)
{
    return took_ns < SLOW_NS || before_ns == 0 ? REOPEN_EVERY_NS : doubled(before_ns);
}

static void open_device(struct guard_memory *memory, size_t d, int64_t now_ns)
{
    struct part *part = &memory->parts[d];
    struct err err = ERR_INIT;
    const int64_t began_ns = clock_now_ns();
    part->opened_ns = now_ns;
    if (device_open(memory->study->devices[d], memory->root, &memory->devices[d], &err)) {
        const struct device_facts *facts = device_facts(memory->devices[d]);
        part->view.total_bytes = facts->memory_bytes;
        memcpy(part->pci, facts->pci, sizeof part->pci);
        part->view.fault = FAULT_NONE;
        part->view.fault_text[0] = '\0';
        return;
    }
    part->wait_ns = guard_memory_wait(part->wait_ns, clock_now_ns() - began_ns);
    memory->devices[d] = NULL;
    part->view.fault = err.code == ERR_BUSY ? FAULT_UNKNOWN : fault_of(err.text);
    snprintf(part->view.fault_text, sizeof part->view.fault_text, "%.150s", err.text);
}

static void declare(struct guard_memory *memory, const struct spec_study *study)
{
    const struct spec_guard *guard = study->guard;
    size_t count = study->neighbour_count;
    memory->declared =
        calloc(count + SPEC_FRONTS_MAX * SPEC_TIERS_MAX + 1, sizeof *memory->declared);
    if (!memory->declared)
        abort();
    if (count > 0)
        memcpy(memory->declared, study->neighbours, count * sizeof *memory->declared);
    for (size_t f = 0; guard && f < guard->front_count; f++)
        for (size_t t = 0; t < guard->fronts[f].tier_count; t++)
            if (guard->fronts[f].tiers[t].unit)
                memory->declared[count++] =
                    (struct spec_neighbour){.unit = guard->fronts[f].tiers[t].unit};
    memory->declared_count = count;
}

struct guard_memory *guard_memory_new(const struct spec_study *study, const char *proc_root)
{
    struct guard_memory *memory = calloc(1, sizeof *memory);
    struct neighbour *neighbours = calloc(study->neighbour_count + 1, sizeof *neighbours);
    if (!memory || !neighbours)
        abort();
    declare(memory, study);
    memory->study = study;
    memory->root = proc_root;
    memory->neighbours = neighbours;
    device_answer_within(START_WITHIN_NS, CALL_WITHIN_NS);
    const int64_t began_ns = clock_now_ns();
    for (size_t i = 0; i < SPEC_SERVICES_MAX; i++)
        memory->services[i] = unseen;
    for (size_t d = 0; d < study->device_count; d++) {
        struct part *part = &memory->parts[d];
        part->view.total_bytes = NAN;
        part->is_gpu = spec_device_is_gpu(study->devices[d]);
        part->told_bytes = part->strangers.seen_bytes = part->neighbours.seen_bytes = NAN;
        forget(part);
        if (clock_now_ns() - began_ns < SLOW_NS) /* else with the next step */
            open_device(memory, d, clock_now_ns());
    }
    return memory;
}

struct guard_memory *guard_memory_free(struct guard_memory *memory)
{
    if (memory) {
        for (size_t d = 0; d < SPEC_DEVICES_MAX; d++)
            device_close(memory->devices[d]);
        free(memory->neighbours);
        free(memory->declared);
        free(memory);
    }
    return NULL;
}

struct device *const *guard_memory_devices(const struct guard_memory *memory)
{
    return memory->devices;
}

const struct guard_device_view *guard_memory_device(const struct guard_memory *memory, size_t d)
{
    return &memory->parts[d].view;
}

const struct guard_memory_view *guard_memory_service(const struct guard_memory *memory, size_t i)
{
    return &memory->services[i];
}

/* ---- a sample ---- */

static void lose(struct guard_memory *memory, size_t d, const char *why,
                 const struct guard_memory_subject *subjects)
{
    struct part *part = &memory->parts[d];
    memory->devices[d] = device_close(memory->devices[d]);
    forget(part);
    part->view.fault = fault_of(why);
    snprintf(part->view.fault_text, sizeof part->view.fault_text, "%.150s", why);
    for (size_t i = 0; i < memory->study->service_count; i++)
        if (subjects[i].device == d) {
            memory->services[i] = unseen;
            guard_slope_clear(&memory->slopes[i]);
        }
}

/* Twice the same: that is what they hold. NaN: it moves, or was never told. */
static double settle(struct others *others, double bytes, double known_bytes)
{
    if (isnan(bytes))
        return known_bytes;
    if (!(fabs(bytes - others->seen_bytes) < CHANGE_BYTES / 4))
        others->settled = 0;
    others->seen_bytes = bytes;
    return ++others->settled < SETTLE_SAMPLES ? NAN : bytes;
}

/* Of what goes on and on, a leak, a word now and then: with each step it would bury all others. */
static bool is_news(struct part *part, bool grown, int64_t now_ns)
{
    const int64_t age_ns = now_ns - part->told_ns;
    const bool same = part->told_ns && grown == part->told_grown;
    if (same && age_ns < part->word_ns)
        return false;
    const bool goes_on = same && age_ns < 2 * part->word_ns;
    part->word_ns = goes_on ? doubled(part->word_ns) : WORD_EVERY_NS;
    part->told_grown = grown;
    part->told_ns = now_ns;
    return true;
}

/* Somebody else's memory has changed for good. */
static void tell_strangers(struct guard_memory *memory, size_t d, const struct device_ours *ours,
                           int64_t now_ns, struct guard_events *events)
{
    struct part *part = &memory->parts[d];
    struct device_holder holders[3];
    const double bytes = part->view.stranger_bytes, before = part->told_bytes;
    if (isnan(bytes) || fabs(bytes - before) < CHANGE_BYTES)
        return;
    if (!isnan(before) && !is_news(part, bytes > before, now_ns))
        return;
    part->told_bytes = bytes;
    if (isnan(before))
        return;
    AUTO(buf_done) struct buf text = BUF_INIT(600);
    buf_addf(&text, "%s: others %s ", memory->study->devices[d],
             bytes > before ? "have grown from" : "have given memory back, from");
    text_add_bytes(&text, before);
    buf_add(&text, " to ");
    text_add_bytes(&text, bytes);
    size_t count = device_strangers(memory->devices[d], ours, memory->parts[d].began_wall_us,
                                    holders, ARRAY_LEN(holders));
    for (size_t k = 0; k < count; k++) {
        buf_add(&text, k == 0 ? ": " : "; ");
        device_holder_add_text(&text, &holders[k]);
    }
    guard_events_add(events, EVENT_NEIGHBOUR, -1, "%s", buf_text(&text));
}

static void read_state(struct guard_memory *memory, size_t d, int64_t now_ns)
{
    struct part *part = &memory->parts[d];
    struct device_state_reading readings[16];
    if (part->state_ns && now_ns - part->state_ns < STATE_EVERY_NS)
        return;
    part->state_ns = now_ns;
    part->view.throttled = NAN;
    size_t count = device_state(memory->devices[d], readings, ARRAY_LEN(readings));
    for (size_t k = 0; k < count; k++)
        if (strcmp(readings[k].name, "throttle") == 0 &&
            readings[k].reading.state == READING_KNOWN) {
            memcpy(part->view.throttle_words, readings[k].words, sizeof part->view.throttle_words);
            part->view.throttled = part->view.throttle_words[0] ? 1 : 0;
        }
}

static double fresh(struct reading reading, double otherwise)
{
    return reading.state == READING_UNKNOWN ? otherwise : reading.value;
}

static enum device_listed listed_of(struct reading bytes)
{
    return bytes.state != READING_KNOWN ? DEVICE_LISTED_UNKNOWN
           : bytes.value > 0            ? DEVICE_LISTED_YES
                                        : DEVICE_LISTED_NO;
}

/* What the sample says of a service; what it does not is asked for by itself. */
static void take_service(struct guard_memory *memory, size_t i, size_t d, struct reading bytes,
                         pid_t root)
{
    struct guard_memory_view *view = &memory->services[i];
    view->bytes = fresh(bytes, NAN);
    view->listed = listed_of(bytes);
    view->cpu_at_ns = 0;
    if (!memory->parts[d].is_gpu) {
        view->listed = DEVICE_LISTED_UNKNOWN;
        return;
    }
    if (view->listed == DEVICE_LISTED_YES)
        return;
    struct device_usage usage;
    device_usage(memory->devices[d], root, &usage);
    view->listed = usage.listed;
    view->cpu_ns = usage.cpu_ns;
    view->cpu_at_ns = usage.at_ns;
    if (usage.listed == DEVICE_LISTED_YES)
        view->bytes = reading_value(usage.memory_bytes);
}

static void read_others(struct guard_memory *memory, size_t d, const struct device_sample *sample)
{
    struct part *part = &memory->parts[d];
    struct guard_device_view *view = &part->view;
    view->stranger_bytes =
        settle(&part->strangers, reading_value(sample->stranger_bytes), view->stranger_bytes);
    if (memory->declared_count == memory->study->neighbour_count)
        view->neighbour_bytes = settle(&part->neighbours, reading_value(sample->neighbour_bytes),
                                       view->neighbour_bytes);
}

static void read_device(struct guard_memory *memory, size_t d, int64_t now_ns,
                        const struct guard_memory_subject *subjects, struct guard_events *events)
{
    const struct spec_study *study = memory->study;
    struct part *part = &memory->parts[d];
    struct device_sample sample;
    pid_t roots[SPEC_SERVICES_MAX];
    size_t of[SPEC_SERVICES_MAX], count = 0;
    for (size_t i = 0; i < study->service_count; i++)
        if (subjects[i].root > 0) {
            of[count] = i;
            roots[count++] = subjects[i].root;
        }
    const struct device_ours ours = {.roots = roots,
                                     .root_count = count,
                                     .neighbours = memory->declared,
                                     .neighbour_count = memory->declared_count};
    const int64_t before_ns = clock_cpu_ns(), began_ns = clock_now_ns();
    device_sample(memory->devices[d], &ours, &sample);
    if (sample.fault[0]) {
        const int64_t took_ns = clock_now_ns() - began_ns;
        part->wait_ns = guard_memory_wait(part->wait_ns, took_ns);
        if (took_ns >= SLOW_NS) /* else it is opened again at once */
            part->opened_ns = now_ns;
        lose(memory, d, sample.fault, subjects);
        return;
    }
    part->wait_ns = 0;
    if (part->began_wall_us == 0)
        part->began_wall_us = clock_now_wall_us();
    part->read_ns = now_ns;
    part->view.used_bytes = fresh(sample.used_bytes, NAN);
    part->view.free_bytes = fresh(sample.free_bytes, NAN);
    if (isnan(part->view.used_bytes) && !part->is_gpu)
        part->view.used_bytes = part->view.total_bytes - part->view.free_bytes;
    part->view.busy_ratio = fresh(sample.busy_ratio, NAN);
    for (size_t k = 0; k < count; k++)
        if (subjects[of[k]].device == d)
            take_service(memory, of[k], d, sample.tree_bytes[k], roots[k]);
    if (part->is_gpu) {
        read_state(memory, d, now_ns);
        read_others(memory, d, &sample);
        tell_strangers(memory, d, &ours, now_ns, events);
    }
    part->due_ns = now_ns + COST_SHARE * (clock_cpu_ns() - before_ns);
}

/* What runs goes on, and is read on; but nothing that is started now would find the driver. */
static void look_for_mismatch(struct guard_memory *memory, int64_t now_ns,
                              struct guard_events *events)
{
    char text[160];
    if (memory->mismatch_ns && now_ns - memory->mismatch_ns < REOPEN_EVERY_NS)
        return;
    memory->mismatch_ns = now_ns;
    bool mismatch = guard_memory_mismatch("/", text, sizeof text);
    if (mismatch && !memory->mismatch)
        guard_events_add(events, EVENT_DRIVER_LOST, -1,
                         "%s: what runs goes on, what is started will fail until a reboot", text);
    memory->mismatch = mismatch;
    for (size_t d = 0; d < memory->study->device_count; d++) {
        struct guard_device_view *view = &memory->parts[d].view;
        if (!memory->parts[d].is_gpu || !memory->devices[d])
            continue;
        if (mismatch) {
            view->fault = FAULT_MISMATCH;
            memcpy(view->fault_text, text, sizeof view->fault_text);
            memory->parts[d].lost_told = true;
        } else if (view->fault == FAULT_MISMATCH) {
            view->fault = FAULT_NONE;
        }
    }
}

/* ---- trends ---- */

static void find_trends(struct guard_memory *memory, int64_t now_ns)
{
    struct guard_growth growth;
    if (memory->trend_ns && now_ns - memory->trend_ns < TREND_EVERY_NS)
        return;
    memory->trend_ns = now_ns;
    for (size_t i = 0; i < memory->study->service_count; i++) {
        guard_slope_read(&memory->slopes[i], &growth);
        memory->services[i].growth_bytes_per_s =
            isnan(growth.bytes_per_s) || growth.certain || growth.bytes_per_s < 0
                ? growth.bytes_per_s
                : 0;
    }
    for (size_t d = 0; d < memory->study->device_count; d++) {
        struct guard_device_view *view = &memory->parts[d].view;
        guard_slope_read(&memory->parts[d].slope, &growth);
        view->full_in_s = growth.certain ? view->free_bytes / growth.bytes_per_s : NAN;
    }
}

static void add_points(struct guard_memory *memory, int64_t now_ns,
                       const struct guard_memory_subject *subjects)
{
    for (size_t i = 0; i < memory->study->service_count; i++) {
        if (subjects[i].another)
            guard_slope_clear(&memory->slopes[i]);
        if (subjects[i].root == 0)
            memory->services[i] = unseen;
        guard_slope_add(&memory->slopes[i], now_ns, memory->services[i].bytes);
    }
    for (size_t d = 0; d < memory->study->device_count; d++) {
        struct part *part = &memory->parts[d];
        if (part->read_ns && now_ns - part->read_ns > OLD_NS)
            forget(part);
        guard_slope_add(&part->slope, now_ns, part->view.used_bytes);
    }
}

/* ---- declared neighbours ---- */

static void watch_neighbours(struct guard_memory *memory, int64_t now_ns,
                             struct guard_events *events)
{
    if (memory->neighbours_ns && now_ns - memory->neighbours_ns < NEIGHBOURS_EVERY_NS)
        return;
    memory->neighbours_ns = now_ns;
    for (size_t n = 0; n < memory->study->neighbour_count; n++) {
        const struct spec_neighbour *spec = &memory->study->neighbours[n];
        struct neighbour *known = &memory->neighbours[n];
        struct proc_stat now = {0};
        const char *name = spec->unit ? spec->unit : spec->command ? spec->command : "by pid";
        if (spec->unseen_bytes > 0)
            continue;
        bool same = known->there && device_neighbour_lives(memory->root, &known->main);
        bool there = same || device_neighbour_main(memory->root, spec, &now);
        if (known->looked && there && !known->there)
            guard_events_add(events, EVENT_NEIGHBOUR, -1, "neighbour %s came (process %d)", name,
                             (int)now.pid);
        else if (known->looked && !there && known->there)
            guard_events_add(events, EVENT_NEIGHBOUR, -1, "neighbour %s went", name);
        else if (known->looked && there && !same)
            guard_events_add(events, EVENT_NEIGHBOUR, -1,
                             "neighbour %s was restarted (process %d after %d)", name, (int)now.pid,
                             (int)known->main.pid);
        known->looked = true;
        known->there = there;
        if (there && !same)
            known->main = now;
    }
}

bool guard_memory_add_gone(const struct guard_memory *memory, struct buf *buf)
{
    const struct spec_study *study = memory->study;
    for (size_t n = 0; n < study->neighbour_count; n++) {
        const struct spec_neighbour *spec = &study->neighbours[n];
        if (spec->unseen_bytes > 0 || memory->neighbours[n].there)
            continue;
        if (!memory->neighbours[n].looked)
            return false;
        buf_addf(buf, "%sneighbour %s", buf->len ? ", " : "",
                 spec->unit      ? spec->unit
                 : spec->command ? spec->command
                                 : "by pid");
    }
    return true;
}

/* ---- all of it ---- */

/* What was held by a service whose process was not known then was somebody else's. */
static void see_roots(struct guard_memory *memory, const struct guard_memory_subject *subjects)
{
    bool same = true;
    for (size_t i = 0; i < memory->study->service_count; i++) {
        same &= memory->roots[i] == subjects[i].root;
        memory->roots[i] = subjects[i].root;
    }
    for (size_t d = 0; !same && d < memory->study->device_count; d++) {
        struct part *part = &memory->parts[d];
        part->strangers.settled = part->neighbours.settled = 0;
        part->view.stranger_bytes = part->view.neighbour_bytes = NAN;
    }
}

static void tell_lost(struct guard_memory *memory, size_t d, struct guard_events *events)
{
    struct part *part = &memory->parts[d];
    bool lost = part->view.fault == FAULT_LOST || part->view.fault == FAULT_MISMATCH;
    if (lost && !part->lost_told)
        guard_events_add(events, EVENT_DRIVER_LOST, -1, "%s: %s; nothing is known of it now",
                         memory->study->devices[d], part->view.fault_text);
    part->lost_told = lost;
}

void guard_memory_step(struct guard_memory *memory, int64_t now_ns,
                       const struct guard_memory_subject *subjects, struct guard_events *events)
{
    const int64_t began_ns = clock_now_ns();
    see_roots(memory, subjects);
    for (size_t d = 0; d < memory->study->device_count; d++) {
        struct part *part = &memory->parts[d];
        bool late = clock_now_ns() - began_ns >= SLOW_NS;
        if (!late && !memory->devices[d] &&
            now_ns - part->opened_ns >= (part->wait_ns ? part->wait_ns : REOPEN_EVERY_NS))
            open_device(memory, d, now_ns);
        if (!late && memory->devices[d] && now_ns >= part->due_ns)
            read_device(memory, d, now_ns, subjects, events);
        if (part->view.fault == FAULT_XID && now_ns - part->xid_ns > XID_HOLDS_NS)
            part->view.fault = FAULT_NONE;
        tell_lost(memory, d, events);
    }
    if (spec_study_on_gpu(memory->study))
        look_for_mismatch(memory, now_ns, events);
    add_points(memory, now_ns, subjects);
    find_trends(memory, now_ns);
    watch_neighbours(memory, now_ns, events);
}

/* The kernel writes "0000:44:00", the driver "00000000:44:00.0". */
static bool same_card(const char *a, const char *b)
{
    unsigned one[3], two[3];
    return sscanf(a, "%x:%x:%x", &one[0], &one[1], &one[2]) == 3 &&
           sscanf(b, "%x:%x:%x", &two[0], &two[1], &two[2]) == 3 &&
           memcmp(one, two, sizeof one) == 0;
}

static const char of_nobody[] = "a card of no service here";

bool guard_memory_xid_is_nobodys(const char *text)
{
    return text_starts_with(text, of_nobody);
}

void guard_memory_note_xid(struct guard_memory *memory, const char *pci, int code,
                           const char *words, struct guard_events *events)
{
    const char *unknown = NULL, *name = NULL;
    const bool over = device_kernel_xid_is_over(code, words, strlen(words));
    for (size_t d = 0; d < memory->study->device_count; d++) {
        struct part *part = &memory->parts[d];
        if (part->is_gpu && !part->pci[0])
            unknown = memory->study->devices[d];
        if (!part->is_gpu || !same_card(pci, part->pci))
            continue;
        name = memory->study->devices[d];
        if (over || (part->view.fault != FAULT_NONE && part->view.fault != FAULT_XID))
            continue;
        part->view.fault = FAULT_XID;
        part->xid_ns = clock_now_ns();
        snprintf(part->view.fault_text, sizeof part->view.fault_text, "Xid %d: %.120s", code,
                 words);
    }
    guard_events_add(events, over ? EVENT_XID_OVER : EVENT_XID, -1, "%s%s (%s): Xid %d%s%s",
                     name      ? name
                     : unknown ? unknown
                               : of_nobody,
                     name || !unknown ? "" : " or a card of no service", pci, code,
                     words[0] ? ": " : "", words);
}
