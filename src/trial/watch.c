/* The devices during a trial: who is on them before anything starts, how much each service holds
 * and how that grows, what strangers do during the window, and whether the memory comes back.
 *
 * Every device that a candidate's services are put on is read again and again by the wait loop. A
 * GPU is cheap to ask and is asked ten times a second, so that a peak of 0.2 s is seen; a CPU box
 * has to add up the pages of every process and is asked once a second. Either pause grows with what
 * a reading costs, so that readings never take more than a hundredth of a core.
 *
 * Strangers are judged over a window and never by one reading: the first figure of an idle card may
 * say 87 %, and samples of a process outlive its work by seconds. What they hold is compared with
 * what they held before the start as well: one that came while services started has changed what
 * these found. Memory is judged by what is in
 * use and is explained by nobody: then a stranger that comes while we stop is not called our leak.
 *
 * Invariant: nothing here decides a verdict. It fills struct judge_facts. */
#include "trial/watch.h"

#include "trial/beside.h"

#include "base/cancel.h"
#include "base/clock.h"
#include "base/text.h"
#include "device/machine.h"

#include <math.h>
#include <string.h>
#include <time.h>

static const int64_t GPU_EVERY_NS = NS_PER_S / 10, CPU_EVERY_NS = NS_PER_S;
static const int64_t HOST_MEMORY_EVERY_NS = NS_PER_S;
static const int64_t PAUSE_PER_COST = 100, HOST_PAUSE_PER_COST = 200;
static const double NOTICED_BYTES = 64 << 20;
enum { OTHERS_SM_LEAST = 3 }; /* answers: one or two prove nothing */
static const int64_t BACK_WITHIN_NS = 5 * NS_PER_S, BACK_STEP_NS = NS_PER_S / 5;

static bool is_gpu(const struct device *device)
{
    return device_facts(device)->cores == 0;
}

/* Is the device of study->devices[d] one that this candidate uses? */
static bool uses(const struct attempt *attempt, size_t d)
{
    for (size_t i = 0; i < attempt->study->service_count; i++)
        if (spec_candidate_device(attempt->study, &attempt->request->candidate, i) == d)
            return true;
    return false;
}

/* The roots of what is up, in service order; ret_service[k] is whose roots[k] is. */
static size_t own_roots(const struct trial_runner *runner, pid_t roots[SPEC_SERVICES_MAX],
                        size_t ret_service[SPEC_SERVICES_MAX])
{
    size_t count = 0;
    for (size_t i = 0; i < runner->options.study->service_count; i++) {
        if (runner->services[i].root == 0)
            continue;
        ret_service[count] = i;
        roots[count++] = runner->services[i].root;
    }
    return count;
}

struct ours {
    struct device_ours ours;
    pid_t roots[SPEC_SERVICES_MAX];
    size_t services[SPEC_SERVICES_MAX];
};

static void fill_ours(const struct trial_runner *runner, struct ours *ours)
{
    const struct spec_study *study = runner->options.study;
    size_t count = own_roots(runner, ours->roots, ours->services);
    ours->ours =
        (struct device_ours){ours->roots, count, runner->neighbours, study->neighbour_count};
}

/* In use and held by nobody who can be seen: the driver's own share, and what leaked. */
static double unexplained(struct device *device, const struct device_ours *ours,
                          const struct device_sample *sample)
{
    double rest = reading_value(sample->used_bytes) - reading_value(sample->neighbour_bytes);
    for (size_t i = 0; i < ours->root_count; i++)
        rest -= reading_value(sample->tree_bytes[i]);
    struct device_holder list[DEVICE_STRANGERS_MAX];
    size_t count = device_strangers(device, ours, 0, list, ARRAY_LEN(list));
    for (size_t i = 0; i < count; i++)
        if (list[i].pid != 0)
            rest -= reading_value(list[i].memory_bytes);
    return rest;
}

static const char *name_strangers(const struct trial_runner *runner, struct arena *arena, size_t d,
                                  const struct device_ours *ours, int64_t since_wall_us)
{
    struct device_holder list[DEVICE_STRANGERS_MAX];
    size_t count =
        device_strangers(runner->options.devices[d], ours, since_wall_us, list, ARRAY_LEN(list));
    AUTO(buf_done) struct buf text = BUF_INIT(1024);
    for (size_t i = 0; i < count; i++) {
        buf_add(&text, i ? ", " : "");
        device_holder_add_text(&text, &list[i]);
    }
    return text.len ? arena_strdup(arena, buf_text(&text)) : NULL;
}

static void add_reading(struct attempt *attempt, const char *phase, int service, size_t d,
                        const char *name, struct reading reading, const char *words)
{
    attempt->readings = attempt_grow(attempt->arena, attempt->readings, attempt->reading_count,
                                     &attempt->reading_capacity, sizeof *attempt->readings);
    attempt->readings[attempt->reading_count++] = (struct store_reading){
        .phase = phase,
        .service = service >= 0 ? attempt->study->services[service].name : NULL,
        .device = attempt->study->devices[d],
        .name = name,
        .value = reading_value(reading),
        .source = reading.state == READING_KNOWN ? reading_source_name(reading.source) : NULL,
        .words = words,
    };
}

static void add_sample(struct attempt *attempt, const char *phase, size_t d,
                       const struct device_sample *sample)
{
    add_reading(attempt, phase, -1, d, "free", sample->free_bytes, NULL);
    if (!is_gpu(attempt->runner->options.devices[d]))
        return;
    add_reading(attempt, phase, -1, d, "used", sample->used_bytes, NULL);
    add_reading(attempt, phase, -1, d, "neighbours", sample->neighbour_bytes, NULL);
    add_reading(attempt, phase, -1, d, "strangers", sample->stranger_bytes, NULL);
}

/* What numbers depend on that is no number ("MPS is on"), as it was when the device was opened. */
static void add_notes(struct attempt *attempt, size_t d)
{
    const struct device_facts *facts = device_facts(attempt->runner->options.devices[d]);
    if (facts->notes[0])
        add_reading(attempt, "before", -1, d, "notes", READING_NONE,
                    arena_strdup(attempt->arena, facts->notes));
}

static void note_fault(struct attempt *attempt, size_t d, const struct device_sample *sample)
{
    if (sample->fault[0] && !attempt->facts.device_fault)
        attempt->facts.device_fault =
            arena_printf(attempt->arena, "%s: %s", attempt->study->devices[d], sample->fault);
}

void watch_begin(struct attempt *attempt)
{
    struct trial_runner *runner = attempt->runner;
    struct ours ours;
    fill_ours(runner, &ours);
    for (size_t d = 0; d < attempt->study->device_count; d++) {
        struct watch *watch = &attempt->watches[d];
        *watch = (struct watch){.used = uses(attempt, d),
                                .least_free_bytes = NAN,
                                .strangers_before_bytes = NAN,
                                .strangers_peak_bytes = NAN};
        if (!watch->used)
            continue;
        struct device_sample sample;
        device_sample(runner->options.devices[d], &ours.ours, &sample);
        add_sample(attempt, "before", d, &sample);
        add_notes(attempt, d);
        note_fault(attempt, d, &sample);
        watch->strangers_before_bytes = reading_value(sample.stranger_bytes);
        watch->began_wall_us = sample.at_wall_us;
        beside_begin(attempt, d, &ours.ours, &sample);
        if (!runner->clean_known[d]) {
            runner->clean_bytes[d] = unexplained(runner->options.devices[d], &ours.ours, &sample);
            runner->clean_known[d] = !isnan(runner->clean_bytes[d]);
        }
        if (watch->strangers_before_bytes > NOTICED_BYTES && !attempt->facts.dirty) {
            const char *who = name_strangers(runner, attempt->arena, d, &ours.ours, 0);
            attempt->facts.dirty = arena_printf(attempt->arena, "%s is held by %s",
                                                attempt->study->devices[d], who ? who : "others");
        }
    }
}

static void note_tree(struct attempt *attempt, size_t i, double bytes, int64_t at_ns)
{
    struct running *running = &attempt->runner->services[i];
    struct memory_trend *trend = &attempt->trends[i];
    /* Between two runs there is nothing, and from run to run nothing grows. */
    if (isnan(bytes) || (running->by_request && bytes == 0))
        return;
    if (!(running->peak_memory_bytes >= bytes))
        running->peak_memory_bytes = bytes;
    if (!attempt->in_window || !attempt->in_shared_window || running->by_request)
        return;
    /* Sums of a least-squares line; times from the window's start keep them small. */
    double t = (double)(at_ns - attempt->window_started_ns) / NS_PER_S;
    trend->count++;
    trend->t += t;
    trend->y += bytes;
    trend->tt += t * t;
    trend->ty += t * bytes;
}

/* Who they are is asked once they have grown: they may be gone when it matters. */
static void note_peak(struct attempt *attempt, size_t d, const struct device_ours *ours,
                      double bytes)
{
    struct watch *watch = &attempt->watches[d];
    if (isnan(bytes) || watch->strangers_peak_bytes >= bytes)
        return;
    watch->strangers_peak_bytes = bytes;
    if (bytes - watch->strangers_before_bytes > NOTICED_BYTES && !watch->strangers_at_peak)
        watch->strangers_at_peak =
            name_strangers(attempt->runner, attempt->arena, d, ours, watch->began_wall_us);
}

static void note_strangers(struct attempt *attempt, size_t d, const struct device_ours *ours,
                           const struct device_sample *sample)
{
    struct watch *watch = &attempt->watches[d];
    double bytes = reading_value(sample->stranger_bytes);
    note_peak(attempt, d, ours, bytes);
    if (!attempt->in_window)
        return;
    if (!watch->window_seen && !isnan(bytes)) {
        watch->window_seen = true;
        watch->strangers_least_bytes = watch->strangers_most_bytes = bytes;
    }
    if (bytes < watch->strangers_least_bytes)
        watch->strangers_least_bytes = bytes;
    if (bytes > watch->strangers_most_bytes)
        watch->strangers_most_bytes = bytes;
    if (!isnan(sample->stranger_sm_ratio)) {
        watch->others_sm_sum += sample->stranger_sm_ratio;
        watch->others_sm_count++;
    }
    double busy = reading_value(sample->busy_ratio);
    if (!isnan(busy)) {
        watch->busy_sum += busy;
        watch->busy_count++;
    }
}

static void sample_device(struct attempt *attempt, size_t d, const struct ours *ours)
{
    struct watch *watch = &attempt->watches[d];
    struct device_sample sample;
    device_sample(attempt->runner->options.devices[d], &ours->ours, &sample);
    note_fault(attempt, d, &sample);
    double free_bytes = reading_value(sample.free_bytes);
    if (!(watch->least_free_bytes <= free_bytes))
        watch->least_free_bytes = free_bytes;
    for (size_t k = 0; k < ours->ours.root_count; k++) {
        size_t i = ours->services[k];
        if (spec_candidate_device(attempt->study, &attempt->request->candidate, i) == d)
            note_tree(attempt, i, reading_value(sample.tree_bytes[k]), sample.at_ns);
    }
    note_strangers(attempt, d, &ours->ours, &sample);
    beside_sample(attempt, d, &sample);
}

static void sample_host_memory(struct attempt *attempt)
{
    int64_t begin_ns = clock_now_ns(), begin_cpu_ns = clock_cpu_ns();
    for (size_t i = 0; i < attempt->study->service_count; i++) {
        struct running *running = &attempt->runner->services[i];
        if (running->root == 0)
            continue;
        double bytes = is_gpu(attempt_device(attempt, i))
                           ? reading_value(device_host_memory("/proc", running->root))
                           : running->peak_memory_bytes;
        if (running->by_request && bytes == 0)
            continue;
        if (!(running->peak_host_bytes >= bytes))
            running->peak_host_bytes = bytes;
    }
    int64_t pause_ns = HOST_PAUSE_PER_COST * (clock_cpu_ns() - begin_cpu_ns);
    attempt->host_due_ns =
        begin_ns + (pause_ns > HOST_MEMORY_EVERY_NS ? pause_ns : HOST_MEMORY_EVERY_NS);
}

void watch_sample(struct attempt *attempt)
{
    int64_t begin_ns = clock_now_ns(), begin_cpu_ns = clock_cpu_ns();
    int64_t every_ns = CPU_EVERY_NS;
    struct ours ours;
    fill_ours(attempt->runner, &ours);
    for (size_t k = 0; k < ours.ours.root_count; k++)
        if (attempt->runner->services[ours.services[k]].by_request)
            every_ns = GPU_EVERY_NS; /* a run may be over within a second */
    for (size_t d = 0; d < attempt->study->device_count; d++) {
        if (!attempt->watches[d].used)
            continue;
        if (is_gpu(attempt->runner->options.devices[d]))
            every_ns = GPU_EVERY_NS;
        sample_device(attempt, d, &ours);
    }
    int64_t pause_ns = PAUSE_PER_COST * (clock_cpu_ns() - begin_cpu_ns);
    attempt->sample_due_ns = begin_ns + (pause_ns > every_ns ? pause_ns : every_ns);
    if (begin_ns >= attempt->host_due_ns)
        sample_host_memory(attempt);
}

void watch_window_begin(struct attempt *attempt, bool shared)
{
    attempt->in_window = true;
    attempt->in_shared_window = shared;
    attempt->window_started_ns = clock_now_ns();
    attempt->window_started_wall_us = clock_now_wall_us();
    attempt->sample_due_ns = 0;
    for (size_t d = 0; d < attempt->study->device_count; d++) {
        struct watch *watch = &attempt->watches[d];
        watch->window_seen = false;
        watch->others_sm_sum = 0;
        watch->others_sm_count = 0;
        watch->strangers_least_bytes = watch->strangers_most_bytes = NAN;
        beside_window_begin(attempt, d);
        if (shared) {
            watch->busy_sum = 0;
            watch->busy_count = 0;
        }
    }
}

/* Strangers' share of the SMs over the window. The driver is asked once at its end, which is all
 * that a short window has, and was asked every second: a driver may forget what is a few seconds
 * old, and one that works now and then shows its share while it worked. The larger counts. */
static bool worked_ratio(const struct attempt *attempt, size_t d, const struct ours *ours,
                         double *ret_ratio)
{
    const struct watch *watch = &attempt->watches[d];
    double at_end = NAN, mean = NAN;
    bool told = device_stranger_work(attempt->runner->options.devices[d], &ours->ours,
                                     attempt->window_started_wall_us, &at_end);
    if (watch->others_sm_count >= OTHERS_SM_LEAST)
        mean = watch->others_sm_sum / (double)watch->others_sm_count;
    if (!told && isnan(mean))
        return false;
    *ret_ratio = !told || mean > at_end ? mean : at_end;
    return true;
}

/* Words when strangers disturbed the window just over, on any device. */
static void note_contention(struct attempt *attempt, size_t d, const struct ours *ours)
{
    const struct watch *watch = &attempt->watches[d];
    struct device *device = attempt->runner->options.devices[d];
    double changed = watch->strangers_most_bytes -
                     fmin(watch->strangers_least_bytes, watch->strangers_before_bytes);
    double work = NAN;
    bool told = worked_ratio(attempt, d, ours, &work);
    bool worked = told && work > attempt->study->measure.contention_ratio;
    bool moved = watch->window_seen && changed > NOTICED_BYTES;
    if (is_gpu(device) && (!told || !watch->window_seen) && !attempt->facts.others_unknown)
        attempt->facts.others_unknown = arena_printf(
            attempt->arena, "%s: its driver does not tell %s of others", attempt->study->devices[d],
            told                 ? "the memory"
            : watch->window_seen ? "the work"
                                 : "memory and work");
    if (attempt->facts.device_contention || (!worked && !moved))
        return;
    const char *who =
        name_strangers(attempt->runner, attempt->arena, d, &ours->ours, watch->began_wall_us);
    AUTO(buf_done) struct buf text = BUF_INIT(1024);
    buf_addf(&text, "strangers on %s ", attempt->study->devices[d]);
    if (worked)
        buf_addf(&text, "kept %.0f %% of it busy, %.0f %% allowed", 100 * work,
                 100 * attempt->study->measure.contention_ratio);
    if (moved) {
        buf_addf(&text, "%schanged their memory by ", worked ? " and " : "");
        text_add_bytes(&text, changed);
    }
    buf_addf(&text, "%s%s", who ? ": " : "", who ? who : "");
    attempt->facts.device_contention = arena_strdup(attempt->arena, buf_text(&text));
}

void watch_window_end(struct attempt *attempt)
{
    struct ours ours;
    if (!attempt->in_window)
        return;
    watch_sample(attempt);
    attempt->in_window = false;
    fill_ours(attempt->runner, &ours);
    for (size_t d = 0; d < attempt->study->device_count; d++)
        if (attempt->watches[d].used) {
            note_contention(attempt, d, &ours);
            beside_window_end(attempt, d);
        }
}

void watch_note_state(struct attempt *attempt)
{
    for (size_t d = 0; d < attempt->study->device_count; d++) {
        const struct watch *watch = &attempt->watches[d];
        struct device_state_reading list[16];
        if (!watch->used)
            continue;
        size_t count = device_state(attempt->runner->options.devices[d], list, ARRAY_LEN(list));
        for (size_t k = 0; k < count; k++)
            add_reading(attempt, "measure", -1, d, list[k].name, list[k].reading,
                        list[k].words[0] ? arena_strdup(attempt->arena, list[k].words) : NULL);
        if (watch->busy_count)
            add_reading(attempt, "measure", -1, d, "busy mean",
                        reading_known(READING_FROM_NVML, watch->busy_sum / watch->busy_count),
                        NULL);
        add_reading(attempt, "measure", -1, d, "free, least",
                    isnan(watch->least_free_bytes)
                        ? READING_NONE
                        : reading_known(is_gpu(attempt->runner->options.devices[d])
                                            ? READING_FROM_NVML
                                            : READING_FROM_PROC,
                                        watch->least_free_bytes),
                    NULL);
    }
}

void watch_note_device(struct attempt *attempt, size_t d, const char *name, double bytes)
{
    add_reading(attempt, "measure", -1, d, name,
                isnan(bytes) ? READING_NONE : reading_known(READING_FROM_NVML, bytes), NULL);
}

void watch_note_words(struct attempt *attempt, const char *phase, size_t service, const char *name,
                      const char *words)
{
    add_reading(attempt, phase, (int)service,
                spec_candidate_device(attempt->study, &attempt->request->candidate, service), name,
                READING_NONE, arena_strdup(attempt->arena, words));
}

void watch_note_value(struct attempt *attempt, const char *phase, size_t service, const char *name,
                      struct reading reading)
{
    add_reading(attempt, phase, (int)service,
                spec_candidate_device(attempt->study, &attempt->request->candidate, service), name,
                reading, NULL);
}

void watch_note_idle(struct attempt *attempt)
{
    struct ours ours;
    fill_ours(attempt->runner, &ours);
    for (size_t d = 0; d < attempt->study->device_count; d++) {
        struct device_sample sample;
        if (!attempt->watches[d].used)
            continue;
        device_sample(attempt->runner->options.devices[d], &ours.ours, &sample);
        add_sample(attempt, "start", d, &sample);
    }
}

void watch_note_failure(struct attempt *attempt)
{
    struct ours ours;
    fill_ours(attempt->runner, &ours);
    for (size_t d = 0; d < attempt->study->device_count; d++)
        if (attempt->watches[d].used)
            sample_device(attempt, d, &ours);
}

/* By the peak and not by what is there now: a server that found no memory may take seconds to say
 * so, and who took it may have left. */
void watch_end(struct attempt *attempt)
{
    for (size_t d = 0; d < attempt->study->device_count; d++) {
        const struct watch *watch = &attempt->watches[d];
        double grown = watch->strangers_peak_bytes - watch->strangers_before_bytes;
        if (!watch->used || !(grown > NOTICED_BYTES) || attempt->facts.others_grew)
            continue;
        AUTO(buf_done) struct buf bytes = BUF_INIT(64);
        text_add_bytes(&bytes, grown);
        const char *who = watch->strangers_at_peak;
        attempt->facts.others_grew = arena_printf(
            attempt->arena, "strangers on %s took %s meanwhile%s%s", attempt->study->devices[d],
            buf_text(&bytes), who ? ": " : "", who ? who : "");
    }
    beside_end(attempt);
}

double watch_growth(const struct attempt *attempt, size_t i)
{
    const struct memory_trend *trend = &attempt->trends[i];
    double n = (double)trend->count;
    double spread = n * trend->tt - trend->t * trend->t;
    return trend->count >= 3 && spread > 0 ? (n * trend->ty - trend->t * trend->y) / spread : NAN;
}

static const char *leaked_words(struct trial_runner *runner, struct arena *arena, size_t d,
                                double bytes)
{
    AUTO(buf_done) struct buf text = BUF_INIT(256);
    text_add_bytes(&text, bytes);
    return arena_printf(arena,
                        "%s: %s did not come back within %d s after everything had been stopped, "
                        "and no process that can be seen holds it",
                        runner->options.study->devices[d], buf_text(&text),
                        (int)(BACK_WITHIN_NS / NS_PER_S));
}

static bool is_back(const struct trial_runner *runner, size_t d, const struct device_ours *ours,
                    struct device_sample *ret_sample, double *ret_over)
{
    device_sample(runner->options.devices[d], ours, ret_sample);
    *ret_over = unexplained(runner->options.devices[d], ours, ret_sample) - runner->clean_bytes[d];
    return *ret_over <= NOTICED_BYTES; /* not yet known is not yet back */
}

const char *watch_await_memory(struct trial_runner *runner, struct arena *arena,
                               struct store_reading *ret_readings, size_t *ret_count)
{
    int64_t deadline_ns = clock_now_ns() + BACK_WITHIN_NS;
    const char *leaked = NULL;
    size_t count = 0;
    struct ours ours;
    fill_ours(runner, &ours);
    for (size_t d = 0; d < runner->options.study->device_count; d++) {
        struct device_sample sample;
        double over = NAN;
        if (!is_gpu(runner->options.devices[d]))
            continue;
        if (!runner->clean_known[d])
            device_sample(runner->options.devices[d], &ours.ours, &sample);
        while (runner->clean_known[d] && !is_back(runner, d, &ours.ours, &sample, &over) &&
               clock_now_ns() < deadline_ns && cancel_level() != CANCEL_NOW)
            nanosleep(&(struct timespec){.tv_nsec = BACK_STEP_NS}, NULL);
        if (over > NOTICED_BYTES && !leaked)
            leaked = leaked_words(runner, arena, d, over);
        if (isnan(over))
            ret_readings[count++] = (struct store_reading){
                .phase = "after",
                .device = runner->options.study->devices[d],
                .name = "memory back",
                .value = NAN,
                .words = "unknown: the driver does not tell what is in use, or whose it is",
            };
        ret_readings[count++] = (struct store_reading){
            .phase = "after",
            .device = runner->options.study->devices[d],
            .name = "free",
            .value = reading_value(sample.free_bytes),
            .source = reading_source_name(READING_FROM_NVML),
        };
    }
    *ret_count = count;
    return leaked;
}
